package webhook

import "context"

// Post sends a body that no rule of ours has looked at.
func (c *Client) Post(ctx context.Context, body []byte) error { return c.post(ctx, body) }
