package httptoggle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// ErrInvalidTarget means that the configuration cannot make a request for a
// target: an attribute is missing, or is one that the configuration does not
// use, or a value cannot stand where it is to stand.
var ErrInvalidTarget = errors.New("httptoggle: invalid target")

// userAgent names us in the flag system's request logs.
const userAgent = "sentryflags-go/0.1.0"

// Toggler is a flag system with an HTTP API. It is safe for concurrent use.
type Toggler struct {
	config  Config
	address address
	headers []header
	wanted  []string // attributes
	usesID  bool     // in a header

	confirm, was, former *pointed
	asking               address
	message              []template

	// words are the states as JSON and as text.
	words map[bool]values
}

var (
	_ killswitch.Toggler   = (*Toggler)(nil)
	_ killswitch.Validator = (*Toggler)(nil)
	_ killswitch.Checker   = (*Toggler)(nil)
)

// New checks a configuration and makes a toggler of it; it sends nothing. Its
// errors wrap [ErrInvalidConfig].
func New(config Config) (*Toggler, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	t := &Toggler{config: config, words: map[bool]values{}}
	for on, word := range map[bool][]byte{true: config.State.On, false: config.State.Off} {
		text := string(word)
		var s string
		if json.Unmarshal(word, &s) == nil {
			text = s
		}
		t.words[on] = values{state: word, word: text}
	}
	var templates []template
	var err error
	if t.address, err = parseAddress(config.URL, inURL); err != nil {
		return nil, invalid("url", err.Error())
	}
	templates = append(templates, t.address.templates()...)
	if len(config.Body) > 0 {
		inside, err := parseBody(config.Body)
		if err != nil {
			return nil, invalid("body", err.Error())
		}
		templates = append(templates, inside...)
	}
	if err := t.compileHeaders(); err != nil {
		return nil, err
	}
	places, err := t.compilePlaces()
	if err != nil {
		return nil, err
	}
	for _, template := range append(templates, places...) {
		t.wanted = append(t.wanted, template.attributes()...)
	}
	slices.Sort(t.wanted)
	t.wanted = slices.Compact(t.wanted)
	return t, nil
}

func (t *Toggler) compileHeaders() error {
	named := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.config.Headers)) {
		compiled, err := t.config.Headers[name].compile(name)
		if err != nil {
			return err
		}
		if canonical := http.CanonicalHeaderKey(name); named[canonical] {
			return invalid("headers."+name, "it is there twice")
		}
		named[http.CanonicalHeaderKey(name)] = true
		t.usesID = t.usesID || compiled.text.holds()
		t.headers = append(t.headers, compiled)
	}
	return nil
}

// compilePlaces returns the templates in what is looked for in answers.
func (t *Toggler) compilePlaces() (templates []template, err error) {
	if t.confirm, err = t.config.Confirm.compile("confirm", inName); err != nil {
		return nil, err
	}
	if t.was, err = t.config.Was.compile("was", inName); err != nil {
		return nil, err
	}
	if before := t.config.Before; before != nil {
		if t.former, err = before.compile("before", inAsking); err != nil {
			return nil, err
		}
		if t.asking, err = parseAddress(before.URL, inAsking); err != nil {
			return nil, invalid("before.url", err.Error())
		}
		templates = append(templates, t.asking.templates()...)
	}
	for _, p := range []*pointed{t.confirm, t.was, t.former} {
		if p != nil {
			templates = append(templates, p.tokens...)
		}
	}
	if t.message, err = parsePointer(t.config.Message, inName); err != nil {
		return nil, invalid("message", err.Error())
	}
	return append(templates, t.message...), nil
}

// Validate fails with [ErrInvalidTarget], without asking anybody.
func (t *Toggler) Validate(target killswitch.Target) error {
	if err := target.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidTarget, err)
	}
	for _, name := range t.wanted {
		if target.Attributes[name] == "" {
			return fmt.Errorf("%w: it must have %q", ErrInvalidTarget, name)
		}
	}
	for name := range target.Attributes {
		if !slices.Contains(t.wanted, name) {
			return fmt.Errorf("%w: %q is not used by this toggler", ErrInvalidTarget, name)
		}
	}
	v := t.values(killswitch.Switch{Target: target, ID: "id"})
	for _, a := range []*address{&t.address, &t.asking} {
		if _, err := a.render(v); err != nil {
			return err
		}
	}
	return nil
}

func (t *Toggler) values(s killswitch.Switch) *values {
	v := t.words[s.On]
	v.s = s
	return &v
}

// Check asks for the state of each target, as [Config.Before] says, without
// changing anything. Without Before there is nothing to ask: only the names are
// checked. Whether the secret may switch what it can read, it does not tell.
func (t *Toggler) Check(ctx context.Context, targets ...killswitch.Target) error {
	var missing []error
	for _, target := range targets {
		err := t.Validate(target)
		if err == nil && t.former != nil {
			var state killswitch.State
			if state, err = t.ask(ctx, t.values(killswitch.Switch{Target: target})); err == nil && state == killswitch.StateUnknown {
				err = errors.New("httptoggle: the answer does not show its state; check before.pointer")
			}
		}
		if err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", target, err))
		}
	}
	return errors.Join(missing...)
}

// Toggle sets a state. Its errors wrap [ErrInvalidTarget] or are an
// [*AnswerError], steered as [Config] says.
func (t *Toggler) Toggle(ctx context.Context, s killswitch.Switch) (was killswitch.State, err error) {
	if err := t.Validate(s.Target); err != nil {
		return killswitch.StateUnknown, killswitch.Final(err)
	}
	if t.usesID && !isID(s.ID) {
		return killswitch.StateUnknown, killswitch.Final(fmt.Errorf("%w: the id of the switch cannot be in a header", ErrInvalidTarget))
	}
	v := t.values(s)
	if t.was == nil && t.former != nil {
		was, _ = t.ask(ctx, v) // not knowing it is no reason to leave a flag on
	}
	a, err := t.send(ctx, t.config.Method, &t.address, t.config.Body, v, time.Duration(t.config.Timeout))
	if err != nil {
		return was, err
	}
	if t.was != nil {
		was = t.was.look(a.document, v)
	}
	return was, t.judge(ctx, &a, v)
}

// judge says what an answer to a switch means.
func (t *Toggler) judge(ctx context.Context, a *answer, v *values) error {
	switch t.config.outcomeOf(a.status) {
	case final:
		return killswitch.Final(t.refusal(a, v))
	case retry:
		return killswitch.RetryAfter(t.refusal(a, v), a.retryAfter)
	}
	if t.confirm == nil && !a.isPage {
		return nil
	}
	shown := killswitch.StateUnknown
	if t.confirm != nil {
		shown = t.confirm.look(a.document, v)
	}
	detail := "the answer shows the other state"
	if shown == killswitch.StateUnknown && t.former != nil {
		// What took the switch may not have been the flag system at all.
		if shown, _ = t.ask(ctx, v); shown != killswitch.StateUnknown {
			detail = "asked afterwards, it shows the other state"
		}
	}
	switch shown {
	case killswitch.StateOf(v.s.On):
		return nil
	case killswitch.StateUnknown:
		if a.isPage {
			return &AnswerError{Status: a.status, Detail: fmt.Sprintf("a web page of %d bytes, as a login or a proxy in front sends it", a.size)}
		}
		detail = "the answer does not show the state"
		if !a.isJSON {
			detail = fmt.Sprintf("a body of %d bytes that is no JSON", a.size)
		}
		return killswitch.Unconfirmed(&AnswerError{Status: a.status, Detail: detail})
	}
	return &AnswerError{Status: a.status, Detail: detail}
}

// refusal is the error for an answer that is no success.
func (t *Toggler) refusal(a *answer, v *values) *AnswerError {
	e := &AnswerError{Status: a.status}
	if t.config.Message == "" {
		return e
	}
	if message, found := follow(a.document, t.message, v); found {
		hidden, _ := t.secrets()
		e.Detail = hidden.shown(fmt.Sprint(message))
	}
	return e
}

// ask returns the state that a target has.
func (t *Toggler) ask(ctx context.Context, v *values) (killswitch.State, error) {
	a, err := t.send(ctx, http.MethodGet, &t.asking, nil, v, time.Duration(t.config.Before.Timeout))
	if err != nil {
		return killswitch.StateUnknown, err
	}
	if a.status/100 != 2 {
		return killswitch.StateUnknown, t.refusal(&a, v)
	}
	return t.former.look(a.document, v), nil
}

// send makes one request and reads the answer.
func (t *Toggler) send(ctx context.Context, method string, to *address, body []byte, v *values, timeout time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, hidden, err := t.request(ctx, method, to, body, v)
	if err != nil {
		return answer{}, err
	}
	// Without http.Client: a redirect would carry the headers along, and a
	// Location that is no URL would be quoted in an error.
	response, err := t.config.Transport.RoundTrip(request)
	if err != nil {
		return answer{}, noAnswer(0, err, hidden)
	}
	defer response.Body.Close()
	a, err := readAnswer(response)
	if err != nil {
		return answer{}, noAnswer(a.status, err, hidden)
	}
	return a, nil
}

func (t *Toggler) request(ctx context.Context, method string, to *address, body []byte, v *values) (*http.Request, secrets, error) {
	where, err := to.render(v)
	if err != nil {
		return nil, nil, killswitch.Final(err)
	}
	var reader io.Reader = http.NoBody
	if len(body) > 0 {
		rendered, err := renderBody(body, v)
		if err != nil {
			// Two members of an object have become one.
			return nil, nil, killswitch.Final(fmt.Errorf("%w: it cannot stand in the body", ErrInvalidTarget))
		}
		reader = bytes.NewReader(rendered)
	}
	request, err := http.NewRequestWithContext(ctx, method, where, reader)
	if err != nil {
		return nil, nil, killswitch.Final(fmt.Errorf("%w: it cannot stand in the URL", ErrInvalidTarget))
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent)
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	hidden, err := t.secrets()
	if err != nil {
		return nil, nil, fmt.Errorf("httptoggle: %w", err)
	}
	for i, h := range t.headers {
		if len(body) == 0 && http.CanonicalHeaderKey(h.name) == "Content-Type" {
			continue
		}
		if value := h.text.render(v) + h.prefix + hidden[i]; value != "" {
			request.Header.Set(h.name, value)
		}
	}
	return request, hidden, nil
}

// secrets reads the secret of each header, "" for those without.
func (t *Toggler) secrets() (all secrets, err error) {
	for i := range t.headers {
		secret, err := t.headers[i].readSecret()
		if err != nil {
			return all, err
		}
		all = append(all, secret)
	}
	return all, nil
}

// noAnswer is the error for a request whose answer did not arrive, or not to its
// end. It may have been done or not.
func noAnswer(status int, cause error, hidden secrets) error {
	if wrapped, ok := errors.AsType[*url.Error](cause); ok {
		cause = wrapped.Err // a url.Error prints the whole URL, and says nothing more
	}
	// A transport of the caller's may have put the request into its error, and the
	// standard one quotes the URL of a proxy.
	if text := cause.Error(); hidden.scrub(text) != text || strings.Contains(text, "://") {
		return &AnswerError{Status: status, Detail: "the cause shows a URL or a secret and is left out"}
	}
	return &AnswerError{Status: status, Detail: fmt.Sprintf("%.200s", cause.Error()), cause: cause}
}

// isID reports whether an id is what killswitch.Switch promises.
func isID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}
