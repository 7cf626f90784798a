package main

// user is a visitor of the shop, as its flags see them.
type user struct {
	name, email, plan string
}

// visitors are the people who use the shop in the quickstart. They are made up.
var visitors = []user{
	{"alice", "alice@example.com", "free"},
	{"bob", "bob@example.com", "plus"},
	{"carol", "carol@beta.example.com", "plus"},
	{"dave", "dave@example.com", "free"},
}

// attributes is what targeting rules can ask for.
func (u user) attributes() map[string]any {
	return map[string]any{"targetingKey": u.name, "email": u.email, "plan": u.plan}
}
