package vwo

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sentryflags/sentryflags-go/internal/request"
)

// DefaultBaseURL is where VWO's API is, for accounts that VWO has not told
// otherwise.
const DefaultBaseURL = "https://app.vwo.com/api/v2"

// ErrInvalidBaseURL means that a base URL is not one: https (plain http is for
// loopback only), a host, perhaps a path, and nothing else.
var ErrInvalidBaseURL = errors.New("vwo: invalid base URL")

// parseBaseURL returns the base without a trailing slash. Its errors do not
// show the URL, in which somebody may have pasted a token.
func parseBaseURL(raw string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: it cannot be parsed", ErrInvalidBaseURL)
	case u.Host == "" || u.Hostname() == "":
		return "", fmt.Errorf("%w: it names no host, as in %s", ErrInvalidBaseURL, DefaultBaseURL)
	case u.User != nil:
		return "", fmt.Errorf("%w: it must not carry a user or password", ErrInvalidBaseURL)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return "", fmt.Errorf("%w: it must not carry a query or a fragment", ErrInvalidBaseURL)
	case u.Scheme != "https" && (u.Scheme != "http" || !request.IsLoopback(u.Hostname())):
		return "", fmt.Errorf("%w: it must be https, because the token travels with each request; http is for loopback only", ErrInvalidBaseURL)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return "", fmt.Errorf("%w: its path must not contain %q", ErrInvalidBaseURL, segment)
		}
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), nil
}
