package httptoggle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/httptoggle"
)

const token = "s3cr3t-token/+value"

// call is a request as a server sees it.
type call struct {
	Method, Path, Query string
	Header              http.Header
	Body                string
}

// system is a flag system that records what it is asked.
type system struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []call
	answer func(http.ResponseWriter, *http.Request)
}

func newSystem(t testing.TB) *system {
	t.Helper()
	s := &system{answer: func(http.ResponseWriter, *http.Request) {}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.calls = append(s.calls, call{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header, string(body)})
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *system) says(status int, body string, headers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// last returns the only request since the last time.
func (s *system) last(t testing.TB) call {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) != 1 {
		t.Fatalf("%d requests: %v", len(s.calls), s.calls)
	}
	c := s.calls[0]
	s.calls = nil
	return c
}

func configOf(base string) httptoggle.Config {
	return httptoggle.Config{
		Method:  "PUT",
		URL:     base + "/api/${target.environment}/flags/${target.flag}?why=${switch.alert}&v=2",
		Headers: map[string]httptoggle.Header{"Authorization": {Prefix: "Bearer ", Env: "HTTPTOGGLE_TEST_TOKEN"}, "Idempotency-Key": {Value: "${switch.id}"}},
		Body:    json.RawMessage(`{"enabled": "${state}", "comment": "by ${switch.alert} (${switch.trigger})", "big": 12345678901234567890, "${target.environment}": ["${state} $${x}", null]}`),
		Message: "/error/message",
	}
}

func newToggler(t testing.TB, config httptoggle.Config) *httptoggle.Toggler {
	t.Helper()
	toggler, err := httptoggle.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return toggler
}

func setToken(t testing.TB) {
	t.Helper()
	t.Setenv("HTTPTOGGLE_TEST_TOKEN", token+"\n")
}

func off() killswitch.Switch {
	return killswitch.Switch{
		ID: "0a-1b", Target: killswitch.Target{Flag: "new-checkout", Attributes: map[string]string{"environment": "production"}},
		Alert: "Checkout failing", Trigger: "event_alert.triggered", At: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestRequest(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	toggler := newToggler(t, configOf(s.URL))
	for on, word := range map[bool]string{false: "false", true: "true"} {
		sw := off()
		sw.On = on
		if was, err := toggler.Toggle(t.Context(), sw); err != nil || was != killswitch.StateUnknown {
			t.Fatal(was, err)
		}
		got := s.last(t)
		want := call{
			Method: "PUT", Path: "/api/production/flags/new-checkout", Query: "why=Checkout+failing&v=2",
			Body: `{"enabled":` + word + `,"comment":"by Checkout failing (event_alert.triggered)","big":12345678901234567890,"production":["` + word + ` ${x}",null]}`,
		}
		header := got.Header
		got.Header = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if header.Get("Authorization") != "Bearer "+token || header.Get("Content-Type") != "application/json" || header.Get("Idempotency-Key") != "0a-1b" {
			t.Error(header)
		}
	}
}

// The words of a flag system can be any JSON, and part of the path.
func TestWords(t *testing.T) {
	s := newSystem(t)
	config := httptoggle.Config{
		Method: "POST", URL: s.URL + "/${state}", Body: json.RawMessage(`"${state}"`),
		State: httptoggle.Words{On: json.RawMessage(`"turnFlagOn"`), Off: json.RawMessage(`"turnFlagOff"`)},
	}
	if _, err := newToggler(t, config).Toggle(t.Context(), killswitch.Switch{Target: killswitch.Target{Flag: "a"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.last(t); got.Path != "/turnFlagOff" || got.Body != `"turnFlagOff"` {
		t.Error(got)
	}
	config.URL, config.State = s.URL, httptoggle.Words{On: json.RawMessage(`{"v":1}`), Off: json.RawMessage(`[0]`)}
	if _, err := newToggler(t, config).Toggle(t.Context(), killswitch.Switch{Target: killswitch.Target{Flag: "a"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.last(t); got.Body != `[0]` {
		t.Error(got)
	}
}

func TestStatuses(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	config := configOf(s.URL)
	config.Done, config.Final, config.Retry = []int{409}, []int{503, 202}, []int{404}
	toggler := newToggler(t, config)
	plain := newToggler(t, configOf(s.URL))
	const done, final, retry = "done", "final", "retry"
	for _, c := range []struct {
		status           int
		plain, overruled string
	}{
		{200, done, done},
		{201, done, done},
		{204, done, done},
		{202, done, final},
		{302, retry, retry},
		{304, retry, retry},
		{400, final, final},
		{401, retry, retry},
		{403, retry, retry},
		{404, final, retry},
		{405, final, final},
		{408, retry, retry},
		{409, retry, done},
		{422, final, final},
		{423, retry, retry},
		{425, retry, retry},
		{429, retry, retry},
		{500, retry, retry},
		{503, retry, final},
	} {
		s.says(c.status, "")
		for _, run := range []struct {
			toggler *httptoggle.Toggler
			want    string
		}{{plain, c.plain}, {toggler, c.overruled}} {
			_, err := run.toggler.Toggle(t.Context(), off())
			got := retry
			steer, _ := errors.AsType[*killswitch.ToggleError](err)
			switch {
			case err == nil:
				got = done
			case steer != nil && steer.Final:
				got = final
			}
			if got != run.want {
				t.Errorf("%d is %s (%v), want %s", c.status, got, err, run.want)
			}
			if answer, ok := errors.AsType[*httptoggle.AnswerError](err); err != nil && (!ok || answer.Status != c.status) {
				t.Errorf("%d: %v", c.status, err)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	toggler := newToggler(t, configOf(s.URL))
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-1": 0, "soon": 0, "99999999999": time.Minute, "Mon, 01 Jan 2001 00:00:00 GMT": 0,
		time.Now().Add(40 * time.Second).UTC().Format(http.TimeFormat): 40 * time.Second,
	} {
		s.says(429, "", "Retry-After", value)
		_, err := toggler.Toggle(t.Context(), off())
		steer, ok := errors.AsType[*killswitch.ToggleError](err)
		if !ok || (steer.RetryAfter-want).Abs() > 10*time.Second {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// A redirect would carry the secret to wherever it points.
func TestRedirectsAreRefused(t *testing.T) {
	setToken(t)
	elsewhere := newSystem(t)
	s := newSystem(t)
	toggler := newToggler(t, configOf(s.URL))
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.says(status, "", "Location", elsewhere.URL+"/stolen")
		_, err := toggler.Toggle(t.Context(), off())
		if err == nil || !strings.Contains(err.Error(), "redirected") || strings.Contains(err.Error(), "stolen") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if len(elsewhere.calls) > 0 {
		t.Error(elsewhere.calls)
	}
}

func TestConfirmation(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	config := configOf(s.URL)
	config.Confirm = &httptoggle.Place{Pointer: "/environments/${target.environment}/on"}
	config.Was = &httptoggle.Place{Pointer: "/before/0", Words: httptoggle.Words{On: json.RawMessage(`"ON"`), Off: json.RawMessage(`"OFF"`)}}
	toggler := newToggler(t, config)
	for _, c := range []struct {
		body, want string
		was        killswitch.State
	}{
		{`{"environments":{"production":{"on":false}},"before":["ON"]}`, "", killswitch.StateOn},
		{`{"environments":{"production":{"on":false}},"before":["OFF"]}`, "", killswitch.StateOff},
		{`{"environments":{"production":{"on":false}},"before":["on"]}`, "", killswitch.StateUnknown},
		{`{"environments":{"production":{"on":true}},"before":{"0":"ON"}}`, "the other state", killswitch.StateOn},
		{`{"environments":{"production":{"on":"false"}}}`, "unconfirmed", killswitch.StateUnknown},
		{`{"environments":{"production":{"On":false}}}`, "unconfirmed", killswitch.StateUnknown},
		{`{"environments":{"staging":{"on":false}}}`, "unconfirmed", killswitch.StateUnknown},
		{`{"environments":null}`, "unconfirmed", killswitch.StateUnknown},
		{`{}`, "unconfirmed", killswitch.StateUnknown},
		{``, "unconfirmed", killswitch.StateUnknown},
		{"\ufeff\n<!DOCTYPE html><title>Log in</title>", "a web page", killswitch.StateUnknown},
		{`OK`, "unconfirmed", killswitch.StateUnknown},
		{`{"environments":{"production":{"on":false,"on":false}}}`, "unconfirmed", killswitch.StateUnknown},
		{strings.Repeat(" ", httptoggle.MaxAnswer) + `{}`, "unconfirmed", killswitch.StateUnknown},
	} {
		s.says(200, c.body)
		was, err := toggler.Toggle(t.Context(), off())
		steer, _ := errors.AsType[*killswitch.ToggleError](err)
		got := ""
		switch {
		case steer != nil && steer.Unconfirmed:
			got = "unconfirmed"
		case err != nil && strings.Contains(err.Error(), "the other state"):
			got = "the other state"
		case err != nil && strings.Contains(err.Error(), "a web page"):
			got = "a web page"
		case err != nil:
			got = err.Error()
		}
		if got != c.want || was != c.was {
			t.Errorf("%.80s: %s (%v), was %s", c.body, got, err, was)
		}
	}
}

// An answer that does not show the state may not be the flag system's: a login's
// page has status 200, too. Where the state can be asked for, it is.
func TestDoubtfulAnswersAreAskedAgain(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	pointer := httptoggle.Place{Pointer: "/on"}
	for name, c := range map[string]struct {
		confirm, before bool
		answer, after   string
		want            string
	}{
		"a page, off all the same":       {true, true, "<html>", `{"on":false}`, ""},
		"a page, still on":               {true, true, "<html>", `{"on":true}`, "asked afterwards, it shows the other state"},
		"a page twice":                   {true, true, "<html>", "<html>", "a web page"},
		"a page, nobody to ask":          {true, false, "<html>", "", "a web page"},
		"a page without confirm":         {false, false, "<html>", "", "a web page"},
		"a page without confirm, on":     {false, true, "<html>", `{"on":true}`, "asked afterwards, it shows the other state"},
		"nothing, off":                   {true, true, "", `{"on":false}`, ""},
		"nothing, on":                    {true, true, "", `{"on":true}`, "asked afterwards, it shows the other state"},
		"nothing, nothing":               {true, true, "", "{}", "the answer does not show the state"},
		"nothing without confirm":        {false, true, "", `{"on":true}`, ""},
		"JSON without the state, on":     {true, true, "{}", `{"on":true}`, "asked afterwards, it shows the other state"},
		"text without confirm or before": {false, false, "OK", "", ""},
	} {
		config := configOf(s.URL)
		if c.confirm {
			config.Confirm = &pointer
		}
		if c.before {
			config.Before = &httptoggle.Before{URL: s.URL + "/api/flags/${target.flag}?env=${target.environment}", Place: pointer}
		}
		s.mu.Lock()
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			text := c.answer
			if r.Method == http.MethodGet {
				text = c.after
			}
			_, _ = io.WriteString(w, text)
		}
		s.mu.Unlock()
		_, err := newToggler(t, config).Toggle(t.Context(), off())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "no JSON") {
			t.Errorf("%s: %v", name, err)
		}
		steer, _ := errors.AsType[*killswitch.ToggleError](err)
		if unconfirmed := steer != nil && steer.Unconfirmed; unconfirmed != (name == "nothing, nothing") {
			t.Errorf("%s: unconfirmed %t", name, unconfirmed)
		}
	}
}

func TestFormerState(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	config := configOf(s.URL)
	config.Before = &httptoggle.Before{
		URL: s.URL + "/api/flags/${target.flag}?env=${target.environment}", Place: httptoggle.Place{Pointer: "/env/${target.environment}"},
		Timeout: httptoggle.Duration(time.Minute),
	}
	patient := newToggler(t, config)
	config.Before.Timeout = httptoggle.Duration(50 * time.Millisecond)
	impatient := newToggler(t, config)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		want   killswitch.State
		check  string
	}{
		"on":      {func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"env":{"production":true}}`) }, killswitch.StateOn, ""},
		"off":     {func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"env":{"production":false}}`) }, killswitch.StateOff, ""},
		"other":   {func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"env":{}}`) }, killswitch.StateUnknown, "does not show"},
		"missing": {func(w http.ResponseWriter) { w.WriteHeader(404) }, killswitch.StateUnknown, "no such flag"},
		"hangs":   {func(http.ResponseWriter) { <-hang }, killswitch.StateUnknown, "no usable answer"},
	} {
		s.mu.Lock()
		s.calls = nil
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				c.answer(w)
			}
		}
		s.mu.Unlock()
		toggler := patient
		if name == "hangs" {
			toggler = impatient
		}
		was, err := toggler.Toggle(t.Context(), off())
		if err != nil || was != c.want {
			t.Errorf("%s: %s, %v", name, was, err)
		}
		s.mu.Lock()
		asked, switched := s.calls[0], s.calls[len(s.calls)-1]
		s.mu.Unlock()
		if asked.Path != "/api/flags/new-checkout" || asked.Query != "env=production" || asked.Body != "" || asked.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("%s: %+v", name, asked)
		}
		if asked.Header.Get("Content-Type") != "" || switched.Method != "PUT" {
			t.Errorf("%s: %+v, %+v", name, asked, switched)
		}
		err = toggler.Check(t.Context(), off().Target)
		if (err == nil) != (c.check == "") || err != nil && !strings.Contains(err.Error(), c.check) {
			t.Errorf("%s: the check says %v", name, err)
		}
	}
	if err := patient.Check(t.Context(), killswitch.Target{Flag: "a"}); !errors.Is(err, httptoggle.ErrInvalidTarget) {
		t.Errorf("a target without an environment: %v", err)
	}
}

func TestTargets(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	toggler := newToggler(t, configOf(s.URL))
	target := func(flag string, attributes ...string) killswitch.Target {
		all := map[string]string{}
		for i := 0; i < len(attributes); i += 2 {
			all[attributes[i]] = attributes[i+1]
		}
		return killswitch.Target{Flag: flag, Attributes: all}
	}
	for name, c := range map[string]struct {
		target killswitch.Target
		path   string // "" is refused
	}{
		"plain":               {target("new-checkout", "environment", "production"), "/api/production/flags/new-checkout"},
		"dots and colons":     {target("team:checkout.v2", "environment", "p"), "/api/p/flags/team:checkout.v2"},
		"spaces":              {target("New checkout", "environment", "p"), "/api/p/flags/New%20checkout"},
		"a slash":             {target("a/b", "environment", "p"), "/api/p/flags/a%2Fb"},
		"a question":          {target("a?b#c&d", "environment", "p"), "/api/p/flags/a%3Fb%23c&d"},
		"a percent":           {target("100%", "environment", "p"), "/api/p/flags/100%25"},
		"three dots":          {target("...", "environment", "p"), "/api/p/flags/..."},
		"no environment":      {target("new-checkout"), ""},
		"an empty one":        {target("new-checkout", "environment", ""), ""},
		"another attribute":   {target("new-checkout", "environment", "p", "project", "q"), ""},
		"no flag":             {target("", "environment", "p"), ""},
		"up":                  {target("..", "environment", "p"), ""},
		"up in between":       {target("a/../b", "environment", "p"), ""},
		"up with backslashes": {target(`a\..\b`, "environment", "p"), ""},
		"up, escaped":         {target("%2e%2e", "environment", "p"), ""},
		"up, escaped twice":   {target("a%252f..", "environment", "p"), ""},
		"here":                {target(".", "environment", "p"), ""},
		"taken member":        {target("a", "environment", "enabled"), ""},
	} {
		_, err := toggler.Toggle(t.Context(), killswitch.Switch{ID: "1", Target: c.target})
		if c.path == "" {
			steer, ok := errors.AsType[*killswitch.ToggleError](err)
			if !ok || !steer.Final || !errors.Is(err, httptoggle.ErrInvalidTarget) {
				t.Errorf("%s: %v", name, err)
			}
			if len(s.calls) != 0 {
				t.Errorf("%s: %v", name, s.last(t))
			}
			continue
		}
		if err != nil || toggler.Validate(c.target) != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := s.last(t); got.Path != c.path {
			t.Errorf("%s: %s", name, got.Path)
		}
	}
	if _, err := toggler.Toggle(t.Context(), killswitch.Switch{ID: "a\r\nX-Evil: 1", Target: off().Target}); !errors.Is(err, httptoggle.ErrInvalidTarget) {
		t.Error(err)
	}
}

// TestNamesDoNotBreakOut is about whoever may rename an alert in Sentry: no name
// changes more than the strings that were meant for it.
func TestNamesDoNotBreakOut(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	toggler := newToggler(t, configOf(s.URL))
	names := breakingNames()
	if len(names) < 200 {
		t.Fatalf("only %d names", len(names))
	}
	quiet := off()
	quiet.Alert = "quiet"
	if _, err := toggler.Toggle(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	plain := s.last(t)
	broken := 0
	for _, name := range names {
		sw := off()
		sw.Alert = name
		valid := strings.ToValidUTF8(name, "\uFFFD")
		s.says(200, "{}")
		if _, err := toggler.Toggle(t.Context(), sw); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		got := s.last(t)
		var body map[string]any
		decoder := json.NewDecoder(strings.NewReader(got.Body))
		decoder.UseNumber()
		if err := decoder.Decode(&body); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		want := map[string]any{"enabled": false, "comment": "by " + valid + " (event_alert.triggered)", "big": json.Number("12345678901234567890"), "production": []any{"false ${x}", nil}}
		query, err := url.ParseQuery(got.Query)
		wantQuery := url.Values{"why": {valid}, "v": {"2"}}
		if !cmp.Equal(body, want) || err != nil || !cmp.Equal(query, wantQuery) || got.Path != plain.Path || got.Method != plain.Method || len(got.Header) != len(plain.Header) {
			broken++
			t.Errorf("%q: %+v", name, got)
		}
		for field, values := range got.Header {
			if field != "Content-Length" && !cmp.Equal(values, plain.Header[field]) {
				broken++
				t.Errorf("%q: %s is %q", name, field, values)
			}
		}
		// The flag system quotes the name in its answer; it stays on one line of the log.
		quoted, _ := json.Marshal(map[string]any{"error": map[string]string{"message": name}})
		s.says(400, string(quoted))
		_, err = toggler.Toggle(t.Context(), sw)
		s.last(t)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Error("not switched", "err", err)
		if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Count(log.String(), "\n") != 1 {
			broken++
			t.Errorf("%q: %s", name, log.String())
		}
	}
	t.Logf("%d names, %d broke out", len(names), broken)
}

// breakingNames are 200 and more names for an alert, each made to leave the
// place where names belong.
func breakingNames() []string {
	seeds := []string{
		`"`, `\"`, `\`, `"}`, `","enabled":true,"x":"`, `"}],"instructions":[{"kind":"turnFlagOn"`, "\u0022", `\u0022`, `{"a":1}`, `null`, "true",
		"${state}", "${target.flag}", "$${state}", "${switch.alert}", "${", "}", "{{.}}", "{{state}}", "<%= 1 %>", "#{1}", "$(id)", "`id`", "%s%n", "%00", "%2e%2e%2f", "%22",
		"a/b", "../..", "..\\..", "/", "//evil.example.com/", "?a=b", "&v=3", "&why=x", "#frag", ";a=b", "=", "+", "@evil.example.com", ":80", "http://evil.example.com/",
		"\r\n", "\r\nX-Evil: 1", "\n\nHTTP/1.1 200 OK", "\x00", "\x1b[31m", "\u202e", "\u2028", "\u2029", "\ufeff", "\u0085", "\xff", "\xc0\xaf", "\xed\xa0\x80", "é", "😀",
		"</script><script>alert(1)</script>", "<!--", "]]>", "' OR 1=1 --", `'; DROP TABLE flags; --`, "\t", " ", "",
	}
	var names []string
	for _, seed := range seeds {
		names = append(names, seed, "Checkout "+seed+" failing", seed+seed, strings.Repeat("x", 90)+seed)
	}
	return names
}

// The secret shows in no error, whatever the flag system and the transport say.
func TestSecretsStayHidden(t *testing.T) {
	setToken(t)
	s := newSystem(t)
	config := configOf(s.URL)
	config.Confirm = &httptoggle.Place{Pointer: "/x"}
	toggler := newToggler(t, config)
	for _, body := range []string{token, `{"error":{"message":"bad token ` + token + `"}}`, `{"error":{"message":"` + url.QueryEscape(token) + url.PathEscape(token) + `"}}`, `"` + token + `"`} {
		for _, status := range []int{200, 302, 400, 401, 500} {
			s.says(status, body, "Location", "https://x.example.com/?t="+token, "Retry-After", token)
			if _, err := toggler.Toggle(t.Context(), off()); err == nil || leaks(err) {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
	for _, text := range []string{"failed for Bearer " + token, "proxy http://user:pass@proxy.example.com", url.QueryEscape(token)} {
		config.Transport = failing{errors.New(text)}
		_, err := newToggler(t, config).Toggle(t.Context(), off())
		if err == nil || leaks(err) || strings.Contains(err.Error(), "proxy.example.com") {
			t.Error(err)
		}
	}
	config.Transport = failing{&url.Error{Op: "Put", URL: "https://x.example.com/", Err: context.DeadlineExceeded}}
	if _, err := newToggler(t, config).Toggle(t.Context(), off()); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "x.example.com") {
		t.Error(err)
	}
}

func leaks(err error) bool {
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	return strings.Contains(text, token) || strings.Contains(text, url.QueryEscape(token)) || strings.Contains(text, url.PathEscape(token))
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// A token in a file can be replaced while the program runs.
func TestSecretFromFile(t *testing.T) {
	s := newSystem(t)
	file := filepath.Join(t.TempDir(), "token")
	config := httptoggle.Config{Method: "POST", URL: s.URL, Headers: map[string]httptoggle.Header{"Authorization": {File: file}}}
	if _, err := httptoggle.New(config); !errors.Is(err, httptoggle.ErrInvalidConfig) {
		t.Errorf("a missing file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	toggler := newToggler(t, config)
	sw := killswitch.Switch{Target: killswitch.Target{Flag: "a"}}
	for _, want := range []string{"first", "second"} {
		write(want + "\n")
		if _, err := toggler.Toggle(t.Context(), sw); err != nil {
			t.Fatal(err)
		}
		if got := s.last(t).Header.Get("Authorization"); got != want {
			t.Error(got)
		}
	}
	for _, text := range []string{"", " \n", "a\nb"} {
		write(text)
		if _, err := toggler.Toggle(t.Context(), sw); err == nil {
			t.Errorf("%q is a secret", text)
		}
	}
}

func TestDeadline(t *testing.T) {
	s := newSystem(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s.answer = func(http.ResponseWriter, *http.Request) { <-hang }
	config := httptoggle.Config{Method: "POST", URL: s.URL, Timeout: httptoggle.Duration(20 * time.Millisecond)}
	if _, err := newToggler(t, config).Toggle(t.Context(), killswitch.Switch{Target: killswitch.Target{Flag: "a"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
