package webhook

import "context"

// Post sends a body with n changes that no rule of ours has looked at.
func (c *Client) Post(ctx context.Context, body []byte, n int) error { return c.post(ctx, body, n) }
