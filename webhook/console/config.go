package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/internal/environ"
	"github.com/sentryflags/sentryflags-go/internal/typednil"
	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
)

// ErrInvalidConfig means that a [Config] or a password cannot be used; the error
// says why.
var ErrInvalidConfig = errors.New("console: the configuration is not usable")

// MinPassword is how many characters [PasswordFrom] asks of a password, at least.
const MinPassword = 12

// Config says what the page shows and who may see it. At least one of Inspector,
// Switches and Sources is required.
type Config struct {
	// Title is what the page is called, at most 100 characters are shown.
	// Defaults to "Feature flags".
	Title string

	// Inspector is the queue of changes on their way to Sentry's flag log:
	// [webhook.Emitter.Inspector], in the process that delivers, also says why
	// delivery is paused.
	Inspector *webhook.Inspector

	// Switches are the flags that a kill switch has switched off, and those that
	// it could not.
	Switches Switches

	// Decisions are what a kill switch has made of the alerts of the last hour.
	Decisions *Decisions

	// Sources returns where changes come from, as it is now. It is called for
	// each page and has to be quick.
	Sources func() []Source

	// Password is what lets people in. If it is empty and there is no
	// ProxyHeader, one is made up and printed to Announce: it is good for this
	// process. See [PasswordFrom].
	Password signing.Secret
	// Announce gets the password that was made up, once. Defaults to os.Stderr.
	Announce io.Writer

	// ProxyHeader is a header that an authenticating proxy sets, and ProxyValues
	// what it may be: a secret that the proxy and this program share, more than
	// one only while it is being replaced. The proxy has to remove the header
	// from what it gets. Both or neither. With them Password may be empty; then
	// the proxy is the only way in.
	ProxyHeader string
	ProxyValues []signing.Secret
	// ProxyUser is the header in which the proxy says who it has let in,
	// "X-Forwarded-User" say. It is believed only beside the right ProxyHeader.
	// Defaults to none: everybody is "somebody".
	ProxyUser string

	// Hosts are the names by which the page is reached, as the Host header has
	// them, whatever the port: another one is refused. Defaults to "localhost",
	// "127.0.0.1" and "::1".
	Hosts []string

	// Logger gets a line for whatever somebody does, with their name, and for
	// refused passwords. Defaults to slog.Default().
	Logger *slog.Logger
}

// Switches are what a kill switch has done and has to do.
type Switches interface {
	// SwitchedOff lists the flags that are switched off and not restored.
	SwitchedOff(ctx context.Context) ([]SwitchedOff, error)
	// Restore brings the flag with this [SwitchedOff.Target] back to how it was,
	// on behalf of by. With force it is switched on although it is not known how
	// it was. The error is shown: it must hold no secret.
	Restore(ctx context.Context, target, by string, force bool) error
	// Pending lists the switches that are not done: under way, put off or failed
	// for good. They are shown before all else, for a flag that should be off is
	// not.
	Pending(ctx context.Context) ([]PendingSwitch, error)
	// Retry has one that has failed tried again, and GiveUp drops one that has
	// failed or waits. Their errors are shown: they must hold no secret.
	Retry(ctx context.Context, id, by string) error
	GiveUp(ctx context.Context, id, by string) error
}

// PendingSwitch is a switch that is not done.
type PendingSwitch struct {
	// ID says which one it is, and no other.
	ID string
	// Target says which flag it is, and On what it is to be set to.
	Target string
	On     bool
	// Alert is the name of the alert that has asked for it, By the person if it
	// was one, at At.
	Alert, By string
	At        time.Time
	// Failed says that it is not tried again. Otherwise it is under way, or due
	// at Due.
	Failed bool
	Due    time.Time
	// Reason is why it has failed or was put off. It is shown: it must hold no
	// secret.
	Reason string
}

// SwitchedOff is a flag that is switched off and not restored.
type SwitchedOff struct {
	// Target says which flag it is, and no other.
	Target string
	// Flag is its name in Sentry's flag log.
	Flag string
	// Alert is the name of the alert that has switched it off, at Since.
	Alert string
	Since time.Time
	// Was is how the flag was before.
	Was Was
}

// Was is how a flag was before it was switched off.
type Was int

// How a flag was before. One that was off is not switched on by restoring it.
const (
	WasUnknown Was = iota
	WasOn
	WasOff
)

// String returns "on", "off" or "unknown".
func (w Was) String() string {
	switch w {
	case WasOn:
		return "on"
	case WasOff:
		return "off"
	}
	return "unknown"
}

// Source is something that is watched for changes, or that tells of them.
type Source struct {
	Name string
	// Received says that it is not watched but posts webhooks. Flags counts nothing
	// then, and LastGood is when the last one came.
	Received bool
	// Flags is how many flags there were when it was last read.
	Flags int
	// LastGood is when it was last read without a problem; zero if never.
	LastGood time.Time
	// Problem is why it cannot be read or heard, since Since; empty if it can. It is
	// shown: it must hold no secret.
	Problem string
	Since   time.Time
}

// PasswordFrom reads a password from the environment variable called name, or
// from the file that the variable name_FILE names, without white space around it.
// It is empty if neither is set. Its error is [ErrInvalidConfig]: both are set,
// the file cannot be read or is empty, or the password has less than [MinPassword]
// characters.
func PasswordFrom(name string) (signing.Secret, error) {
	password, err := environ.Password(os.Getenv, name, MinPassword)
	if err != nil {
		return signing.Secret{}, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	return signing.NewSecret(password), nil
}

func (c Config) withDefaults() Config {
	c.Title = cmp.Or(c.Title, "Feature flags")
	c.Hosts = slices.Clone(c.Hosts)
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	c.ProxyValues = slices.Clone(c.ProxyValues)
	if c.Announce == nil {
		c.Announce = os.Stderr
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalidConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Inspector == nil && c.Switches == nil && c.Sources == nil:
		return invalid("set Inspector, Switches or Sources: there is nothing to show")
	case typednil.In(c.Switches):
		return invalid("Switches holds a nil pointer; leave it unset")
	case c.Inspector != nil && c.Inspector.Queue() == "":
		return invalid("Inspector is not one that NewInspector or an emitter has made")
	case (c.ProxyHeader == "") != (len(c.ProxyValues) == 0):
		return invalid("ProxyHeader and ProxyValues must be set together")
	case c.ProxyUser != "" && c.ProxyHeader == "":
		return invalid("ProxyUser is believed only with a ProxyHeader")
	case c.ProxyUser != "" && http.CanonicalHeaderKey(c.ProxyUser) == http.CanonicalHeaderKey(c.ProxyHeader):
		return invalid("ProxyUser must be another header than ProxyHeader")
	}
	for i, value := range c.ProxyValues {
		if value.IsZero() {
			return fmt.Errorf("%w: ProxyValues[%d]: %w", ErrInvalidConfig, i, signing.ErrEmptySecret)
		}
	}
	for _, host := range c.Hosts {
		if host == "" || strings.ContainsAny(host, "/*@ ") {
			return invalid("Hosts has to hold plain names or addresses, without a scheme or a wildcard")
		}
	}
	return nil
}

// madeUp returns a password for this process, and prints it.
func (c Config) madeUp() (signing.Secret, error) {
	text := rand.Text()
	_, err := fmt.Fprintf(c.Announce, "console: no password is set; until this process ends it is %s (as the user name give your own)\n", text)
	if err != nil {
		return signing.Secret{}, fmt.Errorf("%w: no password is set, and the one that was made up cannot be printed: %w", ErrInvalidConfig, err)
	}
	return signing.NewSecret(text), nil
}
