package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
)

// The environment variables that name a Sentry to talk to.
const (
	envDSN    = "SENTRY_DSN"
	envURL    = "SENTRY_FLAGS_WEBHOOK_URL"
	envSecret = "SENTRY_FLAGS_WEBHOOK_SECRET"
)

// settings are what the user asks for.
type settings struct {
	flagsFile  string // empty: the definitions that are shipped
	dsn        string // empty: the stand-in
	webhookURL string
	secret     signing.Secret
}

// errUsage means that the flag package has said already what is wrong.
var errUsage = errors.New("usage")

func readSettings(args []string, getenv func(string) string, stderr io.Writer) (settings, error) {
	var s settings
	commandLine := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	commandLine.SetOutput(stderr)
	commandLine.StringVar(&s.flagsFile, "flags", "", "`file` with flag definitions in flagd's JSON format, instead of the shop's own")
	commandLine.Usage = func() {
		fmt.Fprintln(stderr, "Shows the whole loop between a shop, its flags and Sentry, or a stand-in for it.")
		fmt.Fprintln(stderr, "\nusage: quickstart [-flags file]")
		commandLine.PrintDefaults()
		fmt.Fprintf(stderr, "\nTo use your own Sentry, set %s, %s and %s.\n", envDSN, envURL, envSecret)
	}
	if err := commandLine.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return settings{}, err
		}
		return settings{}, errUsage
	}
	if commandLine.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q; definitions are given with -flags", commandLine.Arg(0))
	}

	var missing []string
	for _, name := range []string{envDSN, envURL, envSecret} {
		if strings.TrimSpace(getenv(name)) == "" {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
		s.dsn = strings.TrimSpace(getenv(envDSN))
		s.webhookURL = strings.TrimSpace(getenv(envURL))
		s.secret = signing.NewSecret(getenv(envSecret))
		return s, nil
	case 3:
		return s, nil
	default:
		return settings{}, fmt.Errorf("not set: %s; set %s, %s and %s to use your own Sentry, or none of them to use the stand-in",
			strings.Join(missing, ", "), envDSN, envURL, envSecret)
	}
}
