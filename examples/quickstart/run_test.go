package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

const (
	testSecret = "the-secret-of-the-test-0123456789"
	testKey    = "thekeyofthetest"
)

// ourSentry plays the Sentry that a user has: its addresses are handed to the
// program through the environment.
type ourSentry struct {
	changes *webhooktest.Server
	events  *ingestion
	env     map[string]string
}

func newOurSentry(t *testing.T, config webhooktest.Config) *ourSentry {
	t.Helper()
	config.Secret = signing.NewSecret(testSecret)
	s := &ourSentry{
		changes: webhooktest.NewServer(config),
		events:  &ingestion{project: "42", key: testKey},
	}
	t.Cleanup(s.changes.Close)
	server := httptest.NewServer(s.events)
	t.Cleanup(server.Close)
	s.env = map[string]string{
		envDSN:    s.events.dsn(server.URL),
		envURL:    s.changes.URL(),
		envSecret: testSecret,
	}
	return s
}

type result struct {
	status      int
	out, errors string
	took        time.Duration
}

func (r result) lastLine() string {
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	return lines[len(lines)-1]
}

// execute runs the program and looks through all its output for secrets.
func execute(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	start := time.Now()
	status := run(t.Context(), args, func(name string) string { return env[name] }, &out, &errs)
	r := result{status, out.String(), errs.String(), time.Since(start)}
	secrets := slices.Concat([]string{testKey, testSecret, webhooktest.DefaultSecret}, slices.Collect(maps.Values(env)))
	for _, secret := range secrets {
		if secret != "" && strings.Contains(r.out+r.errors, secret) {
			t.Errorf("the output shows %q:\n%s\n%s", secret, r.out, r.errors)
		}
	}
	if r.took > time.Minute {
		t.Errorf("took %v", r.took)
	}
	return r
}

func (r result) mustSucceed(t *testing.T, lastLine string) {
	t.Helper()
	if r.status != 0 || r.errors != "" {
		t.Errorf("exit status %d: %s", r.status, r.errors)
	}
	if r.lastLine() != lastLine {
		t.Errorf("last line %q, want %q", r.lastLine(), lastLine)
	}
}

func (r result) mustFail(t *testing.T, status int, words ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d\n%s", r.status, status, r.out)
	}
	for _, word := range words {
		if !strings.Contains(r.errors, word) {
			t.Errorf("the error does not mention %q: %s", word, r.errors)
		}
	}
}

func TestStandIn(t *testing.T) {
	r := execute(t, nil)
	r.mustSucceed(t, "quickstart: 2 errors carried 16 flags; 3 changes accepted, 1 rejected")
	for _, want := range []string{
		"checkout: the payment has no currency  (user carol)",
		"    FLAG             RESULT\n    cart-upsell      true\n    express-payment  true\n    gift-wrapping    false\n",
		"    new-checkout     true <-- the bug is behind this one\n",
		"  accepted  created  parcel-lockers ",
		"  accepted  updated  new-checkout ",
		"  accepted  deleted  legacy-banner ",
		"  rejected  created  checkout-experiment-… (150 characters)",
		"Sentry's reason: flag: Ensure this field has no more than 100 characters.",
		"under the edited definitions:\n  carol  POST /checkout  200\n",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the output lacks %q:\n%s", want, r.out)
		}
	}
}

// The README shows the end of the output.
func TestREADMEShowsTheOutput(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if os.IsNotExist(err) {
		t.Skip("no README here: this is not the whole checkout")
	}
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```\n(  error .*?)```").FindSubmatch(readme)
	if shown == nil {
		t.Fatal("the README shows no output")
	}
	id := regexp.MustCompile("error [0-9a-f]{8}")
	want := id.ReplaceAllString(string(shown[1]), "error")
	out := id.ReplaceAllString(execute(t, nil).out, "error")
	if !strings.HasSuffix(out, want) {
		t.Errorf("the README shows\n%s\nbut this is the output:\n%s", want, out)
	}
}

func TestOwnSentry(t *testing.T) {
	s := newOurSentry(t, webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
	r := execute(t, s.env)
	r.mustSucceed(t, "quickstart: 2 errors carried 16 flags; 3 changes accepted, 1 rejected")

	want := []recordedFlag{
		{"cart-upsell", true},
		{"express-payment", true},
		{"gift-wrapping", false},
		{"guest-checkout", true},
		{"legacy-banner", false},
		{"new-checkout", true},
		{"saved-baskets", true},
		{"stock-badges", true},
	}
	events := s.events.arrived()
	if len(events) != 2 {
		t.Fatalf("%d events arrived", len(events))
	}
	for _, e := range events {
		if diff := cmp.Diff(want, e.Contexts.Flags.Values); diff != "" {
			t.Errorf("flags of event %s (-want +got):\n%s", e.ID, diff)
		}
		if !strings.Contains(r.out, "error "+e.ID[:8]) {
			t.Errorf("event %s is not in the output", e.ID)
		}
	}
	var stored []string
	for _, change := range s.changes.Changes() {
		stored = append(stored, fmt.Sprint(change.Action, " ", change.Flag))
	}
	if diff := cmp.Diff([]string{"created parcel-lockers", "updated new-checkout", "deleted legacy-banner"}, stored); diff != "" {
		t.Errorf("stored changes (-want +got):\n%s", diff)
	}
}

func TestNewerServerTakesTheLongName(t *testing.T) {
	s := newOurSentry(t, webhooktest.Config{})
	execute(t, s.env).mustSucceed(t, "quickstart: 2 errors carried 16 flags; 4 changes accepted, 0 rejected")
	if n := len(s.changes.Changes()); n != 4 {
		t.Errorf("%d changes stored", n)
	}
}

func TestOlderShapeOfErrors(t *testing.T) {
	s := newOurSentry(t, webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026, ErrorShape: webhooktest.ErrorsInList})
	r := execute(t, s.env)
	r.mustSucceed(t, "quickstart: 2 errors carried 16 flags; 3 changes accepted, 1 rejected")
	if !strings.Contains(r.out, "no more than 100 characters") {
		t.Errorf("no reason:\n%s", r.out)
	}
}

func TestOwnDefinitions(t *testing.T) {
	flags := map[string]any{}
	for i := range 120 {
		flags[fmt.Sprintf("flag-%03d", i)] = map[string]any{
			"state":          "ENABLED",
			"variants":       map[string]any{"yes": true, "no": false},
			"defaultVariant": []string{"yes", "no"}[i%2],
		}
	}
	flags["a-colour"] = map[string]any{
		"state": "ENABLED", "variants": map[string]any{"b": "blue"}, "defaultVariant": "b",
	}
	content, err := json.Marshal(map[string]any{"flags": flags})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newOurSentry(t, webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})

	execute(t, s.env, "-flags", file).
		mustSucceed(t, "quickstart: 2 errors carried 200 flags; 3 changes accepted, 1 rejected")
	for _, e := range s.events.arrived() {
		got := e.Contexts.Flags.Values
		if len(got) != 100 || got[0] != (recordedFlag{"flag-020", true}) || got[99] != (recordedFlag{"flag-119", false}) {
			t.Errorf("%d flags on the error, from %v to %v", len(got), got[0], got[len(got)-1])
		}
	}
}

func TestOddDefinitions(t *testing.T) {
	for _, c := range []struct{ name, flags, lastLine, said string }{
		{
			"names that Sentry would delete",
			`"my flag": {"state":"ENABLED","variants":{"on":true},"defaultVariant":"on"},
			 "größe": {"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}`,
			"quickstart: 2 errors carried 4 flags; 3 changes accepted, 1 rejected",
			"my_flag",
		},
		{
			"a single flag, that is off",
			`"only": {"state":"DISABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}`,
			"quickstart: 3 errors carried 4 flags; 3 changes accepted, 1 rejected",
			"only",
		},
		{
			"targeting that is not understood, and no default variant",
			`"a": {"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on","targeting":{"fractional":[["on",50],["off",50]]}},
			 "b": {"state":"ENABLED","variants":{"on":true,"off":false}},
			 "c": {"state":"ENABLED","variants":{"x":{"y":1}},"defaultVariant":"x"},
			 "d": {"state":"ENABLED","variants":{"one":1,"two":2.5},"defaultVariant":"two"}`,
			"quickstart: 2 errors carried 4 flags; 3 changes accepted, 1 rejected",
			"Everybody gets the default variant of a: in its targeting, the operation fractional is not known here.",
		},
		{
			"names too long for an older server",
			`"` + strings.Repeat("n", 120) + `": {"state":"ENABLED","variants":{"on":true},"defaultVariant":"on"}`,
			"quickstart: 2 errors carried 2 flags; 2 changes accepted, 2 rejected",
			"(120 characters)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "flags.json")
			if err := os.WriteFile(file, []byte(`{"flags":{`+c.flags+`}}`), 0o600); err != nil {
				t.Fatal(err)
			}
			r := execute(t, nil, "-flags", file)
			r.mustSucceed(t, c.lastLine)
			if !strings.Contains(r.out, c.said) {
				t.Errorf("the output lacks %q:\n%s", c.said, r.out)
			}
		})
	}
}

func TestCalledWrongly(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(broken, []byte("{\"flags\": {\n\"a\": {,}}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, nil, "-flags", broken).mustFail(t, 1, broken, "line 2")
	execute(t, nil, "-flags", broken+".not").mustFail(t, 1, "no such file")
	execute(t, nil, "-colour").mustFail(t, 2, "-flags")
	execute(t, nil, "flags.json").mustFail(t, 2, "flags.json")
	execute(t, map[string]string{envDSN: "http://key@127.0.0.1/1"}).
		mustFail(t, 2, "not set: SENTRY_FLAGS_WEBHOOK_URL, SENTRY_FLAGS_WEBHOOK_SECRET")
	if r := execute(t, nil, "-h"); r.status != 0 || !strings.Contains(r.errors, "-flags") || !strings.Contains(r.errors, envDSN) {
		t.Errorf("-h: status %d, %s", r.status, r.errors)
	}
}

func TestWrongSecret(t *testing.T) {
	s := newOurSentry(t, webhooktest.Config{})
	s.env[envSecret] = "another-secret-0123456789"
	execute(t, s.env).mustFail(t, 1, "secret", "401")
}

func TestWrongAddresses(t *testing.T) {
	s := newOurSentry(t, webhooktest.Config{})
	for name, change := range map[string]map[string]string{
		"not a DSN":          {envDSN: "https://127.0.0.1/secret-path"},
		"not a URL":          {envURL: "http://user:password-of-the-test@127.0.0.1:99999/"},
		"nobody there":       {envURL: "http://127.0.0.1:1/api/0/organizations/acme/flags/hooks/provider/generic/"},
		"nobody takes event": {envDSN: "http://" + testKey + "@127.0.0.1:1/42"},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(s.env)
			maps.Copy(env, change)
			r := execute(t, env)
			r.mustFail(t, 1)
			if strings.Contains(r.out+r.errors, "password-of-the-test") {
				t.Errorf("the output shows a password: %s", r.errors)
			}
		})
	}
}

func TestErrorsThatDoNotArrive(t *testing.T) {
	s := newOurSentry(t, webhooktest.Config{})
	s.events.key = "another" // what the DSN holds is not known any more
	execute(t, s.env).mustFail(t, 1, "did not arrive", "answered 403")
}

func TestSentryThatDoesNotAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := newOurSentry(t, webhooktest.Config{})
	ended := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	defer silent.Close()
	defer close(ended)

	noEvents := maps.Clone(s.env)
	noEvents[envDSN] = (&ingestion{project: "42", key: testKey}).dsn(silent.URL)
	execute(t, noEvents).mustFail(t, 1, "not sent within 4s")

	noChanges := maps.Clone(s.env)
	noChanges[envURL] = silent.URL + s.changes.Path()
	execute(t, noChanges).mustFail(t, 1, "no clear answer")
}

// A run succeeds only if what arrived is what was expected, so each way in which
// it can differ has to be found.
func TestDifferencesAreFound(t *testing.T) {
	alter := func(change func(*event)) func(*destination) {
		return func(d *destination) {
			arrived := d.arrived
			d.arrived = func() []event {
				events := arrived()
				for i := range events {
					events[i].Contexts.Flags.Values = slices.Clone(events[i].Contexts.Flags.Values)
					change(&events[i])
				}
				return events
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*destination)
		want  string
	}{
		{"nothing", func(*destination) {}, ""},
		{"an error is lost", func(d *destination) {
			arrived := d.arrived
			d.arrived = func() []event { return arrived()[1:] }
		}, "did not arrive"},
		{"an error of somebody else", func(d *destination) {
			arrived := d.arrived
			d.arrived = func() []event { return append(arrived(), event{ID: "0123456789"}) }
		}, "3 errors arrived, 2 of them"},
		{"a flag is lost", alter(func(e *event) {
			e.Contexts.Flags.Values = e.Contexts.Flags.Values[1:]
		}), "7 flags instead of 8"},
		{"all flags are lost", alter(func(e *event) {
			e.Contexts.Flags.Values = nil
		}), "0 flags instead of 8"},
		{"a value is wrong", alter(func(e *event) {
			e.Contexts.Flags.Values[5].Result = false
		}), "flag 6 is new-checkout=false instead of new-checkout=true"},
		{"a value of another type", alter(func(e *event) {
			e.Contexts.Flags.Values[5].Result = "true"
		}), "flag 6 is"},
		{"the order is wrong", alter(func(e *event) {
			slices.Reverse(e.Contexts.Flags.Values)
		}), "flag 1 is stock-badges"},
		{"a change is lost", func(d *destination) {
			stored := d.stored
			d.stored = func() []webhook.Change { return stored()[1:] }
		}, "the flag log holds"},
		{"the long name is accepted", func(d *destination) {
			newer := webhooktest.NewServer(webhooktest.Config{})
			t.Cleanup(newer.Close)
			d.webhook.URL, d.stored = newer.URL(), newer.Changes
		}, "(150 characters) was accepted"},
		{"a good change is rejected", func(d *destination) {
			strict := webhooktest.NewServer(webhooktest.Config{MaxFlag: 12})
			t.Cleanup(strict.Close)
			d.webhook.URL, d.stored = strict.URL(), strict.Changes
		}, "parcel-lockers was rejected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags, err := loadDefinitions("")
			if err != nil {
				t.Fatal(err)
			}
			fault, _ := findFault(flags)
			to := standIn()
			defer to.close()
			c.spoil(&to)
			var out bytes.Buffer
			err = (&loop{to: to, report: reporter{&out}, flags: flags, fault: fault}).run(context.Background())
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A bug that the tables cannot show: the shop answers well where it should fail.
func TestMissingFailureIsFound(t *testing.T) {
	v := visit{visitor: visitors[0], method: "POST", path: "/checkout", status: 200, wantError: true}
	if _, err := v.compare(nil); err == nil || !strings.Contains(err.Error(), "answered 200") {
		t.Errorf("error %v", err)
	}
	v = visit{visitor: visitors[0], method: "POST", path: "/checkout", status: 500, wantError: true}
	if _, err := v.compare(nil); err == nil || !strings.Contains(err.Error(), "not reported") {
		t.Errorf("error %v", err)
	}
}
