package httptoggle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sentryflags/sentryflags-go/internal/request"
)

// address is a URL whose placeholders are whole segments of its path or whole
// values of its query.
type address struct {
	origin   string // https://flags.example.com
	segments []template
	query    []parameter
}

type parameter struct {
	name  string // as it stands in the query, with its "="
	value template
}

func parseAddress(raw string, where place) (address, error) {
	if strings.ContainsAny(raw, "#\\ \t\r\n") {
		return address{}, errors.New("it must not have a fragment, a backslash or white space")
	}
	raw, query, hasQuery := strings.Cut(raw, "?")
	origin, path := raw, ""
	if i := strings.Index(raw, "://"); i >= 0 {
		if j := strings.IndexByte(raw[i+3:], '/'); j >= 0 {
			origin, path = raw[:i+3+j], raw[i+3+j+1:]
		}
	}
	if err := checkOrigin(origin); err != nil {
		return address{}, err
	}
	a := address{origin: origin}
	for segment := range strings.SplitSeq(path, "/") {
		t, err := parsePiece(segment, where, url.PathUnescape)
		if err != nil {
			return address{}, err
		}
		// An alert without a name, or with one that is ".", must not keep a flag on.
		if t.holds() && strings.HasPrefix(t[0].name, "switch.") && t[0].name != "switch.id" {
			return address{}, fmt.Errorf("${%s} must not be in the path; it may be in the query", t[0].name)
		}
		if isDots(segment) {
			return address{}, fmt.Errorf("its path must not contain %q", segment)
		}
		a.segments = append(a.segments, t)
	}
	if !hasQuery {
		return a, nil
	}
	for piece := range strings.SplitSeq(query, "&") {
		name, value, found := strings.Cut(piece, "=")
		if strings.Contains(name, "${") {
			return address{}, errors.New("the name of a parameter must not hold a placeholder")
		}
		t, err := parsePiece(value, where, url.QueryUnescape)
		if err != nil {
			return address{}, err
		}
		if found {
			name += "="
		}
		a.query = append(a.query, parameter{name, t})
	}
	return a, nil
}

// checkOrigin does not show the URL in its errors, in which somebody may have
// written a password.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case err != nil || strings.Contains(origin, "${"):
		return errors.New("its host must be a plain one, without placeholders")
	case u.Host == "" || u.Hostname() == "":
		return errors.New("it names no host, as in https://flags.example.com/")
	case u.User != nil:
		return errors.New("it must not carry a user or a password; use headers")
	case u.Scheme != "https" && (u.Scheme != "http" || !request.IsLoopback(u.Hostname())):
		return errors.New("it must be https, because secrets travel with each request; http is for loopback only")
	}
	return nil
}

func parsePiece(text string, where place, unescape func(string) (string, error)) (template, error) {
	t, err := parseTemplate(text, where)
	if err != nil {
		return nil, err
	}
	if t.holds() && len(t) != 1 {
		return nil, errors.New("a placeholder must be a whole segment of the path or a whole value of the query")
	}
	if !t.holds() {
		if _, err := unescape(text); err != nil {
			return nil, errors.New("it has a % that escapes nothing")
		}
	}
	return t, nil
}

// isDots reports whether a server could take part of the text for a step through
// the path. Some decode more than once, and some take a backslash for a slash.
func isDots(text string) bool {
	for range 3 {
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '/' || r == '\\' }) {
			if part == "." || part == ".." {
				return true
			}
		}
		decoded, err := url.PathUnescape(text)
		if err != nil || decoded == text {
			return false
		}
		text = decoded
	}
	return false
}

func (a *address) render(v *values) (string, error) {
	var b strings.Builder
	b.WriteString(a.origin)
	for _, segment := range a.segments {
		b.WriteByte('/')
		text := segment.render(v)
		if segment.holds() {
			if text == "" || isDots(text) {
				return "", fmt.Errorf("%w: ${%s} cannot be a segment of the URL's path", ErrInvalidTarget, segment[0].name)
			}
			text = url.PathEscape(text)
		}
		b.WriteString(text)
	}
	for i, p := range a.query {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(p.name)
		text := p.value.render(v)
		if p.value.holds() {
			text = url.QueryEscape(text)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (a *address) templates() (all []template) {
	all = append(all, a.segments...)
	for _, p := range a.query {
		all = append(all, p.value)
	}
	return all
}

// rewrite copies a JSON value and puts what replace returns in the place of each
// string. Numbers keep their digits.
func rewrite(body []byte, replace func(text string, isName bool) (jsontext.Value, error)) ([]byte, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	var out bytes.Buffer
	encoder := jsontext.NewEncoder(&out)
	for {
		if decoder.PeekKind() != jsontext.KindString {
			token, err := decoder.ReadToken()
			if errors.Is(err, io.EOF) && out.Len() > 0 {
				return bytes.TrimSpace(out.Bytes()), nil
			}
			if err == nil {
				err = encoder.WriteToken(token)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		kind, length := decoder.StackIndex(decoder.StackDepth())
		token, err := decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		value, err := replace(token.String(), kind == jsontext.KindBeginObject && length%2 == 0)
		if err == nil {
			err = encoder.WriteValue(value)
		}
		if err != nil {
			return nil, err
		}
	}
}

// parseBody returns the templates in a body, checked.
func parseBody(body []byte) (all []template, err error) {
	_, err = rewrite(body, func(text string, isName bool) (jsontext.Value, error) {
		where := inBody
		if isName {
			where = inName
		}
		t, err := parseTemplate(text, where)
		all = append(all, t)
		return quoted(text), err
	})
	return all, err
}

// renderBody needs a body that parseBody has taken.
func renderBody(body []byte, v *values) ([]byte, error) {
	return rewrite(body, func(text string, isName bool) (jsontext.Value, error) {
		t, err := parseTemplate(text, inBody)
		if t.isState() && !isName {
			return v.state, err
		}
		return quoted(t.render(v)), err
	})
}

// quoted makes a JSON string of any text.
func quoted(text string) jsontext.Value {
	value, _ := jsontext.AppendQuote(nil, text)
	return value
}
