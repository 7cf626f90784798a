package httptoggle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sentryflags/sentryflags-go/internal/request"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// maxPause is as long as a switch waits for what a Retry-After asks.
const maxPause = time.Minute

// AnswerError is an answer that is no success, or the lack of one.
type AnswerError struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Detail says what went wrong, or what the flag system said, quoted and cut.
	Detail string

	cause error // of the transport; never a *url.Error, which prints the URL
}

// Error says what happened and what to do about it.
func (e *AnswerError) Error() string {
	text := "httptoggle: no usable answer"
	switch {
	case e.Status/100 == 3:
		text = "httptoggle: redirected, which is not followed; check the url"
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		text = "httptoggle: the secret is not accepted, or may not switch this flag"
	case e.Status == http.StatusNotFound:
		text = "httptoggle: there is no such flag or environment, or the secret may not see it"
	case e.Status/100 == 4:
		text = "httptoggle: the request is refused"
	}
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns what the transport said, if it did.
func (e *AnswerError) Unwrap() error { return e.cause }

// outcome is what a status means.
type outcome int

const (
	done outcome = iota
	final
	retry
)

func (c *Config) outcomeOf(status int) outcome {
	switch {
	case slices.Contains(c.Done, status):
		return done
	case slices.Contains(c.Final, status):
		return final
	case slices.Contains(c.Retry, status):
		return retry
	case status/100 == 2:
		return done
	case status/100 != 4:
		return retry
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return retry
	}
	return final
}

// answer is an answer that was read.
type answer struct {
	status     int
	retryAfter time.Duration
	document   any // nil if the body is no JSON
	isJSON     bool
	isPage     bool // HTML, or XML: no answer of an API that speaks JSON
	size       int
}

func readAnswer(response *http.Response) (answer, error) {
	a := answer{status: response.StatusCode, retryAfter: request.RetryAfter(response.Header, time.Now(), maxPause)}
	if a.status < 200 {
		return a, nil // 101: the body is the bare connection, which ends with no deadline
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1))
	a.size = len(body)
	if err == nil && a.size <= MaxAnswer {
		a.isJSON = json.Unmarshal(body, &a.document, jsontext.AllowInvalidUTF8(true)) == nil
	}
	if !a.isJSON {
		a.document = nil // what was read up to the fault
		a.isPage = bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\ufeff")), " \t\r\n"), []byte("<"))
	}
	return a, err
}

// pointed is a Place that is ready to be looked at.
type pointed struct {
	tokens  []template
	on, off any
}

func (p *Place) compile(field string, where place) (*pointed, error) {
	if p == nil {
		return nil, nil
	}
	if err := p.validate(field, false); err != nil {
		return nil, err
	}
	tokens, err := parsePointer(p.Pointer, where)
	if err != nil {
		return nil, invalid(field+".pointer", err.Error())
	}
	compiled := &pointed{tokens: tokens}
	if err := errors.Join(json.Unmarshal(p.On, &compiled.on), json.Unmarshal(p.Off, &compiled.off)); err != nil {
		return nil, invalid(field, "on or off is not JSON")
	}
	return compiled, nil
}

// parsePointer parses the tokens first and the placeholders in each then, so that
// a "/" in a name does not lead elsewhere.
func parsePointer(pointer string, where place) (tokens []template, err error) {
	if !jsontext.Pointer(pointer).IsValid() {
		return nil, errors.New(`it must be a JSON pointer, as "/environments/production/on"`)
	}
	for token := range jsontext.Pointer(pointer).Tokens() {
		t, err := parseTemplate(token, where)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

// look returns the state that the document shows.
func (p *pointed) look(document any, v *values) killswitch.State {
	switch found, _ := follow(document, p.tokens, v); found {
	case nil:
	case p.on:
		return killswitch.StateOn
	case p.off:
		return killswitch.StateOff
	}
	return killswitch.StateUnknown
}

// follow returns what stands at the pointer, if it is a boolean, a string or a
// number.
func follow(document any, tokens []template, v *values) (any, bool) {
	for _, t := range tokens {
		token := t.render(v)
		switch container := document.(type) {
		case map[string]any:
			member, found := container[token]
			if !found {
				return nil, false
			}
			document = member
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(container) || strconv.Itoa(i) != token {
				return nil, false
			}
			document = container[i]
		default:
			return nil, false
		}
	}
	switch document.(type) {
	case bool, string, float64:
		return document, true
	}
	return nil, false
}

// secrets is what must not be shown.
type secrets []string

const redacted = "[redacted]"

func (s secrets) scrub(text string) string {
	for _, secret := range s {
		if secret == "" {
			continue
		}
		for _, spelled := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			text = strings.ReplaceAll(text, spelled, redacted)
		}
	}
	return text
}

// shown makes foreign text fit for an error: without secrets, cut, in quotes,
// and with everything but printable ASCII escaped.
func (s secrets) shown(text string) string { return fmt.Sprintf("%+.200q", s.scrub(text)) }
