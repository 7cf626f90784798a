package vwo

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// TriggerURL is VWO's trigger URL, which switches one feature in one
// environment when it is requested with POST. The published recipe pastes it
// into Sentry as the webhook URL of an internal integration.
//
// The recipe works, and it is dangerous:
//
//   - The account-wide API token, which never expires, sits in a URL that
//     Sentry logs, shows in its request log and mails about.
//   - If the boxes for issues and errors are ticked in Sentry, any change of
//     any issue and any error event switches the flag; no threshold applies.
//   - A resolved alert switches it too; warning and critical are the same.
//   - A test notification switches the flag in production.
//   - Nothing is checked: whoever has the URL switches the flag, and no rule,
//     project or environment narrows it.
//   - Sentry asks once and waits about a second. If VWO is slow or answers 401,
//     429 or 5xx, the flag stays as it was and nobody is told.
//   - Nothing records which alert did it.
//
// [killswitch.Relay] removes each of these; use it unless you have to use the recipe as it
// is.
//
// A TriggerURL prints with its token redacted under every fmt verb and in JSON,
// text and slog output; only [TriggerURL.Reveal] returns it whole. The zero
// value is no URL; make one with [NewTriggerURL].
type TriggerURL struct {
	address string // without the query
	enabled bool
	token   Token
}

// TriggerURLConfig is what a [TriggerURL] is made of.
type TriggerURLConfig struct {
	// BaseURL is where VWO's API is: https, or http on loopback. Defaults to
	// [DefaultBaseURL].
	BaseURL string
	// Token is the API token. Required.
	Token Token
	// Environment is the environment's id or SDK key. Required: 1 to 200
	// characters out of A-Z, a-z, 0-9, "_" and "-".
	Environment string
	// Feature is the feature's id or key. Required, as Environment.
	Feature string
	// Enabled is the state that the URL sets: false, as for a kill switch, by
	// default.
	Enabled bool
}

// NewTriggerURL makes the URL. It fails with [ErrInvalidName],
// [ErrInvalidBaseURL], [ErrEmptyToken] or [ErrMalformedToken].
func NewTriggerURL(config TriggerURLConfig) (TriggerURL, error) {
	base, err := parseBaseURL(cmp.Or(config.BaseURL, DefaultBaseURL))
	if err != nil {
		return TriggerURL{}, err
	}
	if err := config.Token.usable(); err != nil {
		return TriggerURL{}, err
	}
	target := Target{Environment: config.Environment, Feature: config.Feature}
	if err := target.validate(); err != nil {
		return TriggerURL{}, err
	}
	return TriggerURL{
		address: toggleURL(base, currentAccount, target),
		enabled: config.Enabled,
		token:   config.Token,
	}, nil
}

// Reveal returns the URL with the token in it, to be pasted into Sentry's
// settings. Keep it out of logs. It returns "" for the zero TriggerURL.
func (u TriggerURL) Reveal() string {
	if u.token.IsZero() {
		return ""
	}
	return u.with(url.QueryEscape(u.token.plain()))
}

// String returns the URL with "REDACTED" in place of the token.
func (u TriggerURL) String() string {
	if u.token.IsZero() {
		return ""
	}
	return u.with("REDACTED")
}

func (u TriggerURL) with(token string) string {
	return u.address + "?isEnabled=" + zeroOrOne(u.enabled) + "&authToken=" + token
}

// Format implements fmt.Formatter: every verb prints what String returns, %q
// in quotes.
func (u TriggerURL) Format(f fmt.State, verb rune) {
	text := u.String()
	if verb == 'q' {
		text = `"` + text + `"`
	}
	_, _ = io.WriteString(f, text)
}

// MarshalText returns what String returns; JSON, XML and other encoders use it.
func (u TriggerURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue implements slog.LogValuer with what String returns.
func (u TriggerURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// currentAccount is VWO's name for the account that the token belongs to.
const currentAccount = "current"

// toggleURL needs parts that have been validated.
func toggleURL(base, account string, target Target) string {
	return strings.Join([]string{
		base, "accounts", url.PathEscape(account), "environments", url.PathEscape(target.Environment),
		"features", url.PathEscape(target.Feature), "toggle",
	}, "/")
}

func zeroOrOne(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
