package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

// userAgent names us in Sentry's request logs.
const userAgent = "sentryflags-go/0.1.0"

// Client posts changes to Sentry, each call as one signed request, and says
// what the answer means. It does not retry: the emitter does. It is safe for
// concurrent use.
type Client struct {
	endpoint  *url.URL
	secrets   []signing.Secret
	current   atomic.Int32 // the index of the secret that worked last
	timeout   time.Duration
	transport http.RoundTripper
	rules
}

// NewClient checks the configuration and makes a client; it sends nothing. Its
// errors wrap [ErrInvalidConfig] and name the field.
func NewClient(config Config) (*Client, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	endpoint, err := config.endpoint()
	if err != nil {
		return nil, err
	}
	c := &Client{
		endpoint:  endpoint,
		secrets:   append([]signing.Secret(nil), config.Secrets...),
		timeout:   config.timeout(),
		transport: config.HTTPClient.Transport,
		rules:     rules{config.MaxFlag, config.ShownNames, config.OnWarning},
	}
	return c, nil
}

// Send posts the changes to Sentry in one request and returns nil when Sentry
// has stored them all. Without changes it does nothing.
//
// Before anything is sent each change is checked: a [*ChangeError] names the
// first that Sentry would refuse, or whose ChangeID another one in the call has
// already, for Sentry would drop it silently. After that:
//
//   - a [*RejectionError] is Sentry's own refusal, of all the changes because
//     of some;
//   - an [*AnswerError] is any other answer, or none; the sentinel that it wraps
//     says what to do;
//   - a context that has ended before the request is sent is returned as its own
//     error and its cause, wrapped: nothing was stored. One that ends later makes
//     the outcome [ErrAmbiguous].
//
// Sentry recognises no repeat: a change that is sent again after an ambiguous
// answer may appear twice in its log.
func (c *Client) Send(ctx context.Context, changes ...Change) error {
	if ctx == nil {
		return errNilContext
	}
	if len(changes) == 0 {
		return nil
	}
	if err := c.usable(); err != nil {
		return err
	}
	encoded, err := c.encodeAll(changes, time.Now())
	if err != nil {
		return err
	}
	return c.post(ctx, joinBody(nil, encoded...), len(changes))
}

// Check proves that the URL and the secret are right, by a signed request that
// carries no change and writes nothing. It fails as [Client.Send] does.
func (c *Client) Check(ctx context.Context) error {
	if ctx == nil {
		return errNilContext
	}
	return c.post(ctx, joinBody(nil), 0)
}

// Format implements fmt.Formatter: every verb prints where the client sends to
// and nothing else, since the state of an HTTP client holds much that is
// private, and changes while it is read.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil || c.endpoint == nil {
		_, _ = io.WriteString(f, "webhook.Client()")
		return
	}
	fmt.Fprintf(f, "webhook.Client(%s)", c.endpoint)
}

// usable refuses a client that [NewClient] has not made.
func (c *Client) usable() error {
	if c == nil || c.endpoint == nil {
		return invalidConfig("the client is not one that NewClient has made")
	}
	return nil
}

// post signs body, which carries n changes, and sends it, with the next secret
// if Sentry does not know the first. The body must not be used again: a
// transport may read it after it has returned.
func (c *Client) post(ctx context.Context, body []byte, n int) error {
	if err := c.usable(); err != nil {
		return err
	}
	first := int(c.current.Load())
	var refused error
	for try := range c.secrets {
		if ctx.Err() != nil {
			return nothingStored(ctx)
		}
		i := (first + try) % len(c.secrets)
		err := c.postSigned(ctx, c.secrets[i], body, n)
		answer, _ := errors.AsType[*AnswerError](err)
		if answer == nil || answer.Status != http.StatusUnauthorized {
			if err == nil || errors.Is(err, ErrRejected) {
				c.current.Store(int32(i)) // Sentry accepted the signature
			}
			return err
		}
		refused = err
	}
	return refused
}

// postSigned makes one request: the bytes signed are the bytes sent.
func (c *Client) postSigned(ctx context.Context, secret signing.Secret, body []byte, n int) error {
	signature, err := signing.Sign(secret, body)
	if err != nil {
		return err
	}
	callers := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	out := &outgoing{body: body}
	// Made by hand: http.NewRequest would parse the URL each time.
	request := (&http.Request{
		Method: http.MethodPost,
		URL:    c.endpoint,
		Header: http.Header{
			"Content-Type":    {"application/json"},
			"Accept-Encoding": {"identity"}, // also keeps the transport from asking for gzip
			"User-Agent":      {userAgent},
			signing.Header:    {signature},
		},
		Body:          out.reader(),
		GetBody:       func() (io.ReadCloser, error) { return out.reader(), nil },
		ContentLength: int64(len(body)),
	}).WithContext(ctx)
	response, err := c.roundTrip(request)
	if err != nil {
		sent := !out.revoke()
		if !sent && callers.Err() != nil {
			return nothingStored(callers)
		}
		return noAnswer(ctx, 0, sent, err)
	}
	defer response.Body.Close()
	return interpret(ctx, response, n)
}
