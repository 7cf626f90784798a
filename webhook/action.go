package webhook

// Action says what was done to a flag's definition.
type Action string

// The actions that Sentry's generic provider takes; it refuses any other.
const (
	ActionCreated Action = "created"
	ActionUpdated Action = "updated"
	ActionDeleted Action = "deleted"
)

// valid reports whether Sentry takes the action.
func (a Action) valid() bool {
	return a == ActionCreated || a == ActionUpdated || a == ActionDeleted
}
