package vwo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// userAgent names us in VWO's request logs.
const userAgent = "sentryflags-go/0.1.0"

// DefaultTimeout is how long a [Client] waits for an answer.
const DefaultTimeout = 10 * time.Second

// ErrInvalidConfig means that a configuration cannot be used; the error names
// the field and the rule.
var ErrInvalidConfig = errors.New("vwo: invalid configuration")

var errNilContext = errors.New("vwo: the context is nil")

// ClientConfig is what a [Client] is made of.
type ClientConfig struct {
	// Token is the API token. Required. It may do everything that VWO's API
	// can, and does not expire. VWO allows it one request per second:
	// [RequestInterval] is kept between two, over all clients that share it.
	Token Token
	// BaseURL is where VWO's API is: https, or http on loopback. Defaults to
	// [DefaultBaseURL].
	BaseURL string
	// Account is the account's id. Defaults to "current", the one that the
	// token belongs to.
	Account string
	// HTTPClient has the Transport that makes the requests: set one for a proxy
	// or a private CA. Its Timeout counts as well; its Jar and CheckRedirect are
	// not used, since redirects are refused. Defaults to http.DefaultTransport.
	HTTPClient *http.Client
	// Timeout is how long to wait for one answer, not counting the wait for the
	// token's turn. Defaults to [DefaultTimeout].
	Timeout time.Duration
	// UseTriggerForm makes Toggle send what the trigger URL does: a POST
	// whose query carries the token. For accounts in which the API form is not
	// available; the token then passes through every log on the way.
	UseTriggerForm bool
	// Unlimited switches the limit of one request per second off. It is for
	// stand-ins of VWO only: VWO answers 429, which costs a minute.
	Unlimited bool
}

func (c ClientConfig) withDefaults() ClientConfig {
	c.BaseURL = cmp.Or(c.BaseURL, DefaultBaseURL)
	c.Account = cmp.Or(c.Account, currentAccount)
	c.HTTPClient = cmp.Or(c.HTTPClient, &http.Client{})
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	return c
}

func (c ClientConfig) validate() error {
	if err := c.Token.usable(); err != nil {
		return fmt.Errorf("%w: Token: %w", ErrInvalidConfig, err)
	}
	if err := checkName("account", c.Account); err != nil {
		return fmt.Errorf("%w: Account: %w", ErrInvalidConfig, err)
	}
	if c.Timeout < 0 {
		return fmt.Errorf("%w: Timeout must not be negative", ErrInvalidConfig)
	}
	return nil
}

// Client talks to VWO's API. It makes one request per call and does not retry:
// [killswitch.Relay] does. It is safe for concurrent use.
type Client struct {
	base      string
	account   string
	token     Token
	transport http.RoundTripper
	timeout   time.Duration
	trigger   bool
	unlimited bool
}

// NewClient checks the configuration and makes a client; it sends nothing. Its
// errors wrap [ErrInvalidConfig].
func NewClient(config ClientConfig) (*Client, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	base, err := parseBaseURL(config.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("%w: BaseURL: %w", ErrInvalidConfig, err)
	}
	c := &Client{
		base:      base,
		account:   config.Account,
		token:     config.Token,
		transport: config.HTTPClient.Transport,
		timeout:   config.Timeout,
		trigger:   config.UseTriggerForm,
		unlimited: config.Unlimited,
	}
	if limit := config.HTTPClient.Timeout; limit > 0 {
		c.timeout = min(c.timeout, limit)
	}
	return c, nil
}

func (c *Client) toggleRequest(ctx context.Context, target Target, enabled bool) (*http.Request, error) {
	if c.trigger {
		address := TriggerURL{address: toggleURL(c.base, c.account, target), enabled: enabled, token: c.token}
		return http.NewRequestWithContext(ctx, http.MethodPost, address.Reveal(), http.NoBody)
	}
	body := `{"isEnabled":false}`
	if enabled {
		body = `{"isEnabled":true}`
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, toggleURL(c.base, c.account, target), bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Token", c.token.plain())
	return request, nil
}

// get requests a path below the account.
func (c *Client) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	return c.do(ctx, func(ctx context.Context) (*http.Request, error) {
		address := c.base + "/accounts/" + c.account + "/" + path
		if len(query) > 0 {
			address += "?" + query.Encode()
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Token", c.token.plain())
		return request, nil
	})
}

// do waits for the token's turn, makes one request, and returns the body of a
// success.
func (c *Client) do(ctx context.Context, build func(context.Context) (*http.Request, error)) ([]byte, error) {
	pace := &c.token.state.pace
	if err := pace.wait(ctx, !c.unlimited); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := build(ctx)
	if err != nil {
		return nil, c.noAnswer(0, err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent)
	response, err := c.roundTrip(request)
	if err != nil {
		return nil, c.noAnswer(0, err)
	}
	defer response.Body.Close()
	body, err := c.judge(response)
	if answer, ok := errors.AsType[*AnswerError](err); ok && answer.RetryAfter > 0 {
		pace.pause(answer.RetryAfter)
	}
	return body, err
}

// roundTrip makes a request without http.Client: a redirect would carry the
// token along, and a Location that is no URL would be quoted in an error.
func (c *Client) roundTrip(request *http.Request) (*http.Response, error) {
	transport := c.transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return transport.RoundTrip(request)
}
