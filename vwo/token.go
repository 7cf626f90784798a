package vwo

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// redacted is all that is ever printed of a token.
const redacted = "[redacted]"

// RequestInterval is the shortest time between two requests with one [Token].
// VWO allows one request a second; the tenth on top keeps two requests apart
// that the network pushes together, because being told off costs a minute.
const RequestInterval = 1100 * time.Millisecond

// What is wrong with a token.
var (
	// ErrEmptyToken means that a token is empty, or white space only. An empty
	// token never switches a check off: set one.
	ErrEmptyToken = errors.New("vwo: the token is empty; set the one from VWO's settings")
	// ErrMalformedToken means that a token has characters that cannot stand in
	// an HTTP header: anything but visible ASCII.
	ErrMalformedToken = errors.New("vwo: the token has characters other than visible ASCII; copy it again")
)

// Token is a secret that is sent as it is: VWO's API token.
//
// It prints as "[redacted]" under every fmt verb and in JSON, text and slog
// output, and holds nothing that a printer of unexported fields can reach. It
// is cheap to copy and safe for concurrent use. Copies share one rate limit, as
// VWO counts requests by token: make one Token and give it to each [Client].
//
// The zero value is an empty token: every use of it fails with [ErrEmptyToken].
type Token struct {
	state *tokenState
}

type tokenState struct {
	// text hides the token in a closure, where no printer finds it.
	text func() string
	pace pace
}

// NewToken makes a Token of s, without the white space around it: one read from
// a file usually ends in a line break. An empty s gives the zero Token, so that
// one missing from the configuration is refused where it would be used.
func NewToken(s string) Token {
	s = strings.TrimSpace(s)
	if s == "" {
		return Token{}
	}
	return Token{state: &tokenState{
		text: func() string { return s },
		pace: pace{limiter: rate.NewLimiter(rate.Every(RequestInterval), 1)},
	}}
}

// IsZero reports whether the token is empty, and so unusable.
func (t Token) IsZero() bool { return t.state == nil }

// usable returns the error that keeps the token from being used, if any.
func (t Token) usable() error {
	if t.state == nil {
		return ErrEmptyToken
	}
	for _, c := range []byte(t.plain()) {
		if c <= ' ' || c > '~' {
			return ErrMalformedToken
		}
	}
	return nil
}

func (t Token) plain() string { return t.state.text() }

// Format implements fmt.Formatter: every verb prints "[redacted]".
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted)
}

// String returns "[redacted]".
func (t Token) String() string { return redacted }

// MarshalText returns "[redacted]"; JSON, XML and other encoders use it.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer with "[redacted]".
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }
