package webhook

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/request"
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

	// ShownNames sends each change under the name by which package flagtrack
	// shows the flag ([ShownName]), so that a flag whose name Sentry would
	// delete from an event is found in both: "my flag" as "my_flag-a84e63b3".
	// Names that Sentry keeps are sent as they are. Set it where flagtrack
	// records the evaluations and such names are in use; Sentry's log then lists
	// those flags by the shown name. Defaults to false.
	ShownNames bool

	// AllowHTTP permits a URL without TLS to a host other than this machine, for
	// a self-hosted Sentry within a cluster. Loopback addresses and "localhost"
	// need no permission. Defaults to false.
	AllowHTTP bool

	// HTTPClient has the Transport that makes the requests: for proxies, private
	// certificate authorities, instrumentation. Its Timeout counts as well; its
	// Jar and CheckRedirect are not used, since a redirected POST loses its
	// body. Defaults to http.DefaultTransport.
	HTTPClient *http.Client

	// Timeout bounds each request, its answer included; a call that tries the
	// next of several Secrets makes one for each. Defaults to [DefaultTimeout]; a
	// negative one is an error. A shorter deadline of the context or of
	// HTTPClient counts too.
	Timeout time.Duration

	// OnWarning is called for each change that Sentry would store and that will
	// not do what is expected, before it is sent or enqueued, on the goroutine
	// that does so. Defaults to a line on slog.Default(), for such a change shows
	// nowhere and nothing else says so; func(Warning) {} chooses silence.
	OnWarning func(Warning)
}

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Host = cmp.Or(c.Host, "sentry.io")
	c.MaxFlag = cmp.Or(c.MaxFlag, MaxFlag)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.HTTPClient = cmp.Or(c.HTTPClient, &http.Client{})
	if c.OnWarning == nil {
		c.OnWarning = logWarning
	}
	return c
}

// timeout is the shorter of the two, where zero is none.
func (c Config) timeout() time.Duration {
	if client := c.HTTPClient.Timeout; client > 0 {
		return min(client, c.Timeout)
	}
	return c.Timeout
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

// endpointPath is the path of Sentry's generic endpoint; a self-hosted Sentry
// may stand below a prefix.
var endpointPath = regexp.MustCompile(`^(?:/[A-Za-z0-9_.~-]+)*/api/0/organizations/([A-Za-z0-9_-]+)/flags/hooks/provider/generic/$`)

var organization = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// endpoint returns the URL that changes are posted to. Its errors show nothing
// of the URL but the host, since what was pasted may hold credentials.
func (c Config) endpoint() (*url.URL, error) {
	if c.URL != "" {
		if c.Organization != "" {
			return nil, invalidConfig("set URL or Organization, not both")
		}
		return c.parse("URL", strings.TrimSpace(c.URL))
	}
	if c.Organization == "" {
		return nil, invalidConfig("URL is empty; copy it from Sentry's settings page, or set Organization")
	}
	if !organization.MatchString(c.Organization) {
		return nil, invalidConfig("Organization has to be the slug or id as in Sentry's URLs: letters, digits, '-' and '_'")
	}
	origin := strings.TrimSuffix(strings.TrimSpace(c.Host), "/")
	if !strings.Contains(origin, "://") {
		origin = "https://" + origin
	}
	return c.parse("Host", origin+"/api/0/organizations/"+c.Organization+"/flags/hooks/provider/generic/")
}

func (c Config) parse(field, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The cause prints the URL.
		return nil, invalidConfig("%s is not a URL", field)
	}
	switch {
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, invalidConfig("%s names no host", field)
	case u.User != nil:
		return nil, invalidConfig("%s must not hold credentials; the signature is all that Sentry asks for", field)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, invalidConfig("%s must not have a query or a fragment", field)
	}
	if err := c.checkScheme(field, u); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/" // without it Sentry answers 404
	}
	if u.RawPath != "" || path.Clean(u.Path)+"/" != u.Path || !endpointPath.MatchString(u.Path) {
		return nil, invalidConfig("%s has to end in /api/0/organizations/<organisation>/flags/hooks/provider/generic/; copy it from Sentry's settings page", field)
	}
	return u, nil
}

func (c Config) checkScheme(field string, u *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (c.AllowHTTP || request.IsLoopback(u.Hostname())):
		return nil
	case u.Scheme == "http":
		return invalidConfig("%s has to be https; set AllowHTTP for a Sentry inside your own network", field)
	default:
		return invalidConfig("%s has to be https", field)
	}
}
