package webhook

// AuthorType says what an [Author]'s ID is.
type AuthorType string

// The author types that Sentry's generic provider takes; it refuses any other.
const (
	AuthorEmail AuthorType = "email" // Sentry does not check that it looks like one
	AuthorID    AuthorType = "id"
	AuthorName  AuthorType = "name"
)

func (t AuthorType) valid() bool {
	return t == AuthorEmail || t == AuthorID || t == AuthorName
}

// Author is who changed a flag, as it will be shown in Sentry's flag log. Do
// not invent an e-mail address for a change whose author is not known: name the
// system that made it, as {ID: "deploy-bot", Type: AuthorName}.
type Author struct {
	// ID is the author's e-mail address, identifier or name: 1 to
	// [MaxAuthorID] code points after trimming white space.
	ID string
	// Type says which of these ID is.
	Type AuthorType
}
