package webhook

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
)

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
	case u.Scheme == "http" && (c.AllowHTTP || isLoopback(u.Hostname())):
		return nil
	case u.Scheme == "http":
		return invalidConfig("%s has to be https; set AllowHTTP for a Sentry inside your own network", field)
	default:
		return invalidConfig("%s has to be https", field)
	}
}

// isLoopback reports whether host is this machine for certain: a name other
// than localhost may resolve to anything.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
