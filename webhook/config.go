package webhook

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
)

// DefaultTimeout is how long one request may take, its answer included, unless
// [Config.Timeout] says otherwise.
const DefaultTimeout = 10 * time.Second

// Config says where changes go and how they are signed.
type Config struct {
	// URL is the webhook URL as Sentry's settings page shows it for the
	// provider Generic:
	// https://<host>/api/0/organizations/<organisation>/flags/hooks/provider/generic/
	// A missing trailing slash is added. Set it, or Organization and maybe Host.
	URL string

	// Host is the host of Sentry, when URL is empty: "us.sentry.io", or the
	// origin of a self-hosted Sentry with its scheme, "https://sentry.example.com".
	// Behind a host of the form <organisation>.sentry.io Sentry knows only that
	// organisation. Defaults to "sentry.io".
	Host string

	// Organization is the organisation's slug or numeric id, when URL is empty.
	Organization string

	// Secrets are the signing secrets, the one in use first. When Sentry answers
	// 401 the next one is tried, and kept to once it works: list the coming
	// secret before it is saved in Sentry, and replacing it loses nothing. At
	// least one is required.
	Secrets []signing.Secret

	// MaxFlag is the longest flag name, in code points, that is sent; a longer
	// one would have Sentry reject the whole request. Set it to
	// [MaxFlagBefore2026] for a self-hosted server older than September 2026.
	// Defaults to [MaxFlag].
	MaxFlag int

	// AllowHTTP permits a URL without TLS to a host other than this machine, for
	// a self-hosted Sentry within a cluster. Loopback addresses and "localhost"
	// need no permission. Defaults to false.
	AllowHTTP bool

	// HTTPClient makes the requests: for proxies, private certificate
	// authorities, instrumentation. It is copied, and its CheckRedirect is not
	// used, since a redirected POST loses its body. Defaults to a client on
	// http.DefaultTransport.
	HTTPClient *http.Client

	// Timeout bounds each request, its answer included. Defaults to
	// [DefaultTimeout]; a negative one is an error. A shorter deadline of the
	// context or of HTTPClient counts too.
	Timeout time.Duration

	// OnWarning is called for each change that Sentry would store and that will
	// not do what is expected, before it is sent or enqueued, on the goroutine
	// that does so. Defaults to nil, which ignores warnings.
	OnWarning func(Warning)
}

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Host = cmp.Or(c.Host, "sentry.io")
	c.MaxFlag = cmp.Or(c.MaxFlag, MaxFlag)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.HTTPClient = cmp.Or(c.HTTPClient, &http.Client{})
	return c
}

func (c Config) validate() error {
	switch {
	case c.MaxFlag < 0:
		return invalidConfig("MaxFlag must not be negative")
	case c.Timeout < 0:
		return invalidConfig("Timeout must not be negative")
	}
	// NewKeys knows what makes a secret unusable.
	if _, err := signing.NewKeys(c.Secrets...); err != nil {
		return fmt.Errorf("%w: Secrets: %w", ErrInvalidConfig, err)
	}
	return nil
}

func invalidConfig(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidConfig, fmt.Sprintf(format, args...))
}
