package webhooktest

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// What a zero [Config] stands for. They are public on purpose: nothing real is
// ever protected by them.
const (
	DefaultOrganization = "acme"
	DefaultSecret       = "webhooktest-secret-0123456789abc"
	DefaultToken        = "webhooktest-token"
)

// Config says which Sentry is played. The zero value plays a current one.
type Config struct {
	// Organization is the organisation's slug, or its number if the sender's URL
	// has that. Defaults to [DefaultOrganization].
	Organization string

	// Secret is the one that is saved in Sentry. Defaults to [DefaultSecret];
	// to play a Sentry without any, call [Handler.SetSecret] with the zero
	// value.
	Secret signing.Secret

	// Token is the one that the log is read with. Defaults to [DefaultToken].
	Token string

	// MaxFlag is the longest flag name in code points. Defaults to 256;
	// [webhook.MaxFlagBefore2026] plays a server from before September 2026.
	MaxFlag int

	// ErrorShape is how errors name the changes they are about. Defaults to
	// [ErrorsByIndex].
	ErrorShape ErrorShape

	// MaxBody is the longest body, in bytes, that is read; above it the answer
	// is 413. Defaults to 20 MiB.
	MaxBody int64

	// Now is the clock of requests and records, which decides as well which
	// changes are visible in the log. Defaults to time.Now.
	Now func() time.Time

	// InMemory makes [NewServer] use pipes within the process instead of a
	// socket, so that client and server fit into a testing/synctest bubble.
	// Only [Server.Client] and [Server.Transport] reach such a server.
	InMemory bool
}

// ErrorShape is how an answer names the changes that its errors are about.
type ErrorShape int

// The two shapes in use.
const (
	// ErrorsByIndex is an object keyed by position, {"data":{"1":{…}}}: Django
	// REST framework from 3.18 (August 2026).
	ErrorsByIndex ErrorShape = iota
	// ErrorsInList is a list with {} in the good places, {"data":[{},{…}]}:
	// Django REST framework up to 3.17.
	ErrorsInList
)

func (c Config) withDefaults() Config {
	c.Organization = cmp.Or(c.Organization, DefaultOrganization)
	c.Token = cmp.Or(c.Token, DefaultToken)
	c.MaxFlag = cmp.Or(c.MaxFlag, webhook.MaxFlag)
	c.MaxBody = cmp.Or(c.MaxBody, 20<<20)
	if c.Secret.IsZero() {
		c.Secret = signing.NewSecret(DefaultSecret)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	switch {
	case strings.ContainsAny(c.Organization, "/?# %"):
		return fmt.Errorf("webhooktest: Organization: %q is not a slug", c.Organization)
	case c.MaxFlag < 1:
		return errors.New("webhooktest: MaxFlag must be at least 1")
	case c.MaxBody < 1:
		return errors.New("webhooktest: MaxBody must be at least 1")
	case c.ErrorShape != ErrorsByIndex && c.ErrorShape != ErrorsInList:
		return errors.New("webhooktest: ErrorShape must be ErrorsByIndex or ErrorsInList")
	}
	return nil
}
