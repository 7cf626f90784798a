package vwo

import (
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// authorName is the name under which a switch shows in Sentry's flag log: the
// alert's, as far as it can be printed.
func authorName(a *alert) string {
	if name := strings.TrimSpace(printable(strings.TrimSpace(a.name), webhook.MaxAuthorID)); name != "" {
		return name
	}
	if id := printable(a.ruleID, maxQuoted/2); id != "" {
		return "Sentry alert " + id
	}
	return "Sentry alert"
}
