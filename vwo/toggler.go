package vwo

import (
	"context"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// Toggler sets the state of a flag. [Client] is one for VWO; write another one
// and the [Relay] serves any flag system.
//
// Setting a state that is set already must be harmless, because the relay
// repeats a call whose outcome it does not know. Set is called from several
// goroutines, for different flags at the same time, and must return when ctx
// ends. What its error says steers the relay:
//
//   - a RetryAfter in an [*AnswerError] is waited for;
//   - [ErrNotFound], [ErrRefused] and [ErrInvalidName] are final: repeating
//     would change nothing;
//   - everything else is tried again until the relay's MaxAge.
type Toggler interface {
	Set(ctx context.Context, environment, feature string, enabled bool) error
}

var _ Toggler = (*Client)(nil)

// Set is [Client.Toggle] as the [Relay] calls it.
func (c *Client) Set(ctx context.Context, environment, feature string, enabled bool) error {
	_, err := c.Toggle(ctx, killswitch.Switch{
		Target: killswitch.Target{Flag: feature, Attributes: map[string]string{"environment": environment}}, On: enabled,
	})
	return err
}
