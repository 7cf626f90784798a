package httptoggle

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// ErrInvalidConfig means that a configuration cannot be used; the error names
// the field and the rule.
var ErrInvalidConfig = errors.New("httptoggle: invalid configuration")

// Limits and defaults.
const (
	// DefaultTimeout is how long one request may take.
	DefaultTimeout = 10 * time.Second
	// DefaultBeforeTimeout is how long the question for the former state may
	// take, since the switch waits for it.
	DefaultBeforeTimeout = 2 * time.Second
	// MaxAnswer is the largest answer in bytes that is read: 4 MiB. A larger one
	// confirms nothing.
	MaxAnswer = 4 << 20
)

// Config says how a flag system is asked to switch a flag. See the package
// comment for an example and for the placeholders.
type Config struct {
	// Method is POST, PUT, PATCH or DELETE. Required.
	Method string `json:"method"`
	// URL is https, or http on loopback. Required.
	URL string `json:"url"`
	// Headers are sent with every request. Content-Type defaults to
	// application/json if there is a Body.
	Headers map[string]Header `json:"headers,omitempty"`
	// Body is the JSON value to send; none if it is empty.
	Body json.RawMessage `json:"body,omitempty"`
	// State has the words for on and off, in ${state} and in the answers.
	// Defaults to true and false.
	State Words `json:"state,omitzero"`

	// Done, Final and Retry list statuses and override what they mean by default:
	// 2xx is done; 4xx is final, for repeating it changes nothing, except 401,
	// 403 (the token may be replaced), 408, 409, 423, 425 and 429; everything
	// else is tried again. No status may be in two lists.
	Done  []int `json:"done,omitempty"`
	Final []int `json:"final,omitempty"`
	Retry []int `json:"retry,omitempty"`

	// Confirm says where the answer shows the state that is set. If the answer
	// shows the other one, the switch is tried again; if it shows neither, Before
	// is asked, and if that does not tell, it is done but not confirmed. Without
	// Confirm the status counts. An answer that is a web page, as a login sends it
	// with status 200, never counts: Before is asked, else it is tried again.
	Confirm *Place `json:"confirm,omitempty"`
	// Was says where the answer shows the state before, if it does.
	Was *Place `json:"was,omitempty"`
	// Before asks for the state before the switch, and afterwards if the answer
	// does not show it. Before the switch it is not asked when the answer has it
	// (Was). A failure is no obstacle: the former state is then not
	// known, and a person who restores the flag must say so.
	Before *Before `json:"before,omitempty"`
	// Message is a JSON pointer to the text in an answer that says what is wrong:
	// "/message". It is shown in errors, cut and without any secret. Other parts
	// of an answer are not, because a proxy may echo the request.
	Message string `json:"message,omitempty"`

	// Timeout is how long one request may take: "10s". Defaults to
	// DefaultTimeout.
	Timeout Duration `json:"timeout,omitzero"`

	// Transport makes the requests: set one for a proxy or a private CA. Defaults
	// to http.DefaultTransport.
	Transport http.RoundTripper `json:"-"`
}

// Header is the value of a header: a text, a secret from the environment, or a
// secret from a file. In JSON a string is a text.
type Header struct {
	// Value is the text. It may hold ${switch.id}. It shows in a configuration
	// that is printed: tokens belong into Env or File.
	Value string `json:"value,omitempty"`
	// Prefix comes before a secret: "Bearer ".
	Prefix string `json:"prefix,omitempty"`
	// Env names an environment variable, which is read once.
	Env string `json:"env,omitempty"`
	// File names a file, which is read for each request, so that a token can be
	// replaced. White space around the secret is left out.
	File string `json:"file,omitempty"`
}

// UnmarshalJSON takes a string for a Value.
func (h *Header) UnmarshalJSON(text []byte) error {
	var value string
	if json.Unmarshal(text, &value) == nil {
		*h = Header{Value: value}
		return nil
	}
	type plain Header
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	return decoder.Decode((*plain)(h))
}

// Words are the words of a flag system for on and off: any JSON values.
type Words struct {
	On  json.RawMessage `json:"on"`
	Off json.RawMessage `json:"off"`
}

// Place is where an answer shows a state.
type Place struct {
	// Pointer is a JSON pointer (RFC 6901) whose tokens may hold target.* and
	// state. "" is the whole answer.
	Pointer string `json:"pointer"`
	// On and Off are the values that mean on and off: booleans, strings or
	// numbers. They default to Config.State if those are such values, else to
	// true and false.
	Words
}

// Before is a GET that asks for a state.
type Before struct {
	// URL is as in Config. It takes target.* only.
	URL string `json:"url"`
	Place
	// Timeout is how long it may take: "2s". Defaults to DefaultBeforeTimeout.
	Timeout Duration `json:"timeout,omitzero"`
}

// Duration is a time.Duration that is a string in JSON: "10s".
type Duration time.Duration

// MarshalText returns the duration as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

var (
	wordTrue  = json.RawMessage("true")
	wordFalse = json.RawMessage("false")
)

func (w Words) withDefaults(on, off json.RawMessage) Words {
	if w.On == nil && w.Off == nil {
		return Words{On: on, Off: off}
	}
	return w
}

func (c Config) withDefaults() Config {
	c.State = c.State.withDefaults(wordTrue, wordFalse)
	on, off := wordTrue, wordFalse
	if isScalar(c.State.On) && isScalar(c.State.Off) {
		on, off = c.State.On, c.State.Off
	}
	c.Timeout = cmp.Or(c.Timeout, Duration(DefaultTimeout))
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Confirm != nil {
		c.Confirm = &Place{c.Confirm.Pointer, c.Confirm.withDefaults(on, off)}
	}
	if c.Was != nil {
		c.Was = &Place{c.Was.Pointer, c.Was.withDefaults(on, off)}
	}
	if c.Before != nil {
		before := *c.Before
		before.Words = before.withDefaults(on, off)
		before.Timeout = cmp.Or(before.Timeout, Duration(DefaultBeforeTimeout))
		c.Before = &before
	}
	return c
}

func (c Config) validate() error {
	switch c.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return invalid("method", "it must be POST, PUT, PATCH or DELETE")
	}
	if c.Timeout < 0 || c.Before != nil && c.Before.Timeout < 0 {
		return invalid("timeout", "it must not be negative")
	}
	if err := c.State.validate("state", true); err != nil {
		return err
	}
	listed := map[int]string{}
	for name, statuses := range map[string][]int{"done": c.Done, "final": c.Final, "retry": c.Retry} {
		for _, status := range statuses {
			switch other := listed[status]; {
			case status < 200 || status > 599:
				return invalid(name, fmt.Sprintf("%d is no status of an answer", status))
			case status/100 == 3 && name == "done":
				return invalid(name, fmt.Sprintf("%d is a redirect, which switches nothing", status))
			case other != "":
				return invalid(name, fmt.Sprintf("%d is in %s already", status, other))
			}
			listed[status] = name
		}
	}
	return nil
}

func (w Words) validate(field string, any bool) error {
	for name, word := range map[string]json.RawMessage{"on": w.On, "off": w.Off} {
		switch {
		case len(word) == 0:
			return invalid(field+"."+name, "it must be set, because the other one is")
		case !json.Valid(word):
			return invalid(field+"."+name, "it is not JSON")
		case !any && !isScalar(word):
			return invalid(field+"."+name, "it must be a boolean, a string or a number, to be compared with")
		}
	}
	if string(w.On) == string(w.Off) {
		return invalid(field, "on and off are the same")
	}
	return nil
}

func isScalar(word json.RawMessage) bool {
	if len(word) == 0 || !json.Valid(word) {
		return false
	}
	switch word[0] {
	case '{', '[', 'n':
		return false
	}
	return true
}

// invalid names the field and what it must be.
func invalid(field, rule string) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidConfig, field, rule)
}

// header is a Header that is ready to be sent.
type header struct {
	name   string
	text   template // of a Value
	prefix string
	secret string // from the environment
	file   string
}

func (h Header) compile(name string) (header, error) {
	field := "headers." + name
	if !isToken(name) {
		return header{}, invalid(field, "it is no name of a header")
	}
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Te":
		return header{}, invalid(field, "it belongs to the connection")
	}
	compiled := header{name: name, prefix: h.Prefix, file: h.File}
	switch {
	case h.Env != "" && h.File == "" && h.Value == "":
		compiled.secret = strings.TrimSpace(os.Getenv(h.Env))
		if compiled.secret == "" {
			return header{}, invalid(field, "the environment variable "+h.Env+" is not set, or empty")
		}
	case h.File != "" && h.Env == "" && h.Value == "":
	case h.Value != "" && h.Env == "" && h.File == "" && h.Prefix == "":
		text, err := parseTemplate(h.Value, inHeader)
		if err != nil {
			return header{}, invalid(field, err.Error())
		}
		compiled.text = text
	default:
		return header{}, invalid(field, "exactly one of value, env and file must be set; prefix goes with env and file")
	}
	if !isFieldValue(h.Value + h.Prefix + compiled.secret) {
		return header{}, invalid(field, "it has characters that cannot be in a header")
	}
	if _, err := compiled.readSecret(); err != nil {
		return header{}, invalid(field, err.Error())
	}
	return compiled, nil
}

// readSecret returns the secret, or "" if the header is a text.
func (h *header) readSecret() (string, error) {
	if h.file == "" {
		return h.secret, nil
	}
	raw, err := os.ReadFile(h.file)
	if err != nil {
		return "", fmt.Errorf("its secret cannot be read: %w", err)
	}
	secret := strings.TrimSpace(string(raw))
	if secret == "" || !isFieldValue(secret) {
		return "", fmt.Errorf("the file %s is empty, or has characters that cannot be in a header", h.file)
	}
	return secret, nil
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
