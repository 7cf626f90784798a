package vwo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
)

// newStandIn gives a stand-in for VWO on loopback with a client for it.
func newStandIn(t testing.TB, features ...string) (*vwotest.Server, *vwo.Client) {
	t.Helper()
	server := vwotest.NewServer(vwotest.Config{Features: features})
	t.Cleanup(server.Close)
	return server, newClient(t, vwo.ClientConfig{BaseURL: server.URL, Token: vwo.NewToken(server.Token()), Unlimited: true})
}

// toggle sets a state, and leaves out the one before, which VWO does not tell.
func toggle(ctx context.Context, client *vwo.Client, environment, feature string, enabled bool) error {
	_, err := client.Toggle(ctx, killswitch.Switch{Target: target(environment, feature), On: enabled})
	return err
}

func target(environment, feature string) killswitch.Target {
	return killswitch.Target{Flag: feature, Attributes: map[string]string{"environment": environment}}
}

func newClient(t testing.TB, config vwo.ClientConfig) *vwo.Client {
	t.Helper()
	if config.HTTPClient == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: 16}
		t.Cleanup(transport.CloseIdleConnections)
		config.HTTPClient = &http.Client{Transport: transport}
	}
	client, err := vwo.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestToggleSetsTheState(t *testing.T) {
	for _, trigger := range []bool{false, true} {
		t.Run(fmt.Sprintf("trigger=%t", trigger), func(t *testing.T) {
			server, _ := newStandIn(t, "new_checkout", "search")
			client := newClient(t, vwo.ClientConfig{
				BaseURL: server.URL, Token: vwo.NewToken(server.Token()), Account: "123456", Unlimited: true, UseTriggerForm: trigger,
			})
			for _, step := range []struct {
				environment, feature string
				enabled              bool
			}{{"production", "search", false}, {"production", "search", false}, {"2", "1", false}, {"production", "search", true}} {
				if err := toggle(t.Context(), client, step.environment, step.feature, step.enabled); err != nil {
					t.Fatal(err)
				}
			}
			want := []vwotest.Toggle{
				{Environment: "production", Feature: "search"},
				{Environment: "production", Feature: "search"},
				{Environment: "staging", Feature: "new_checkout"},
				{Environment: "production", Feature: "search", Enabled: true},
			}
			got := server.Toggles()
			for i := range got {
				got[i].At = time.Time{}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The request on the wire is the published one, in each form.
func TestToggleOnTheWire(t *testing.T) {
	var seen *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		fmt.Fprint(w, `{"_data":{"f":{"isEnabled":false}}}`)
	}))
	defer server.Close()
	config := vwo.ClientConfig{BaseURL: server.URL + "/api/v2", Token: vwo.NewToken("a+b"), Unlimited: true}
	if err := toggle(t.Context(), newClient(t, config), "e", "f", false); err != nil {
		t.Fatal(err)
	}
	got := []string{seen.Method, seen.RequestURI, seen.Header.Get("token"), seen.Header.Get("Content-Type"), string(body)}
	want := []string{"PATCH", "/api/v2/accounts/current/environments/e/features/f/toggle", "a+b", "application/json", `{"isEnabled":false}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	config.UseTriggerForm = true
	if err := toggle(t.Context(), newClient(t, config), "e", "f", false); err != nil {
		t.Fatal(err)
	}
	got = []string{seen.Method, seen.RequestURI, seen.Header.Get("token"), string(body)}
	want = []string{"POST", "/api/v2/accounts/current/environments/e/features/f/toggle?isEnabled=0&authToken=a%2Bb", "", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestToggleRefusesNamesBeforeSending(t *testing.T) {
	server, client := newStandIn(t, "f")
	for _, name := range []string{"", "..", "a/b", "a?b", strings.Repeat("x", 201)} {
		for _, err := range []error{
			toggle(t.Context(), client, name, "f", false),
			toggle(t.Context(), client, "production", name, false),
		} {
			if !errors.Is(err, vwo.ErrInvalidName) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := client.Feature(t.Context(), name); !errors.Is(err, vwo.ErrInvalidName) {
			t.Errorf("Feature(%q): %v", name, err)
		}
	}
	if n := server.Requests(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// VWO wants an environment and nothing else beside the feature.
func TestTargets(t *testing.T) {
	server, client := newStandIn(t, "f")
	for name, bad := range map[string]killswitch.Target{
		"no environment":    {Flag: "f"},
		"another attribute": {Flag: "f", Attributes: map[string]string{"environment": "production", "project": "shop"}},
		"another name":      {Flag: "team:checkout", Attributes: map[string]string{"environment": "production"}},
	} {
		if err := client.Validate(bad); !errors.Is(err, vwo.ErrInvalidName) {
			t.Errorf("%s: %v", name, err)
		}
		_, err := client.Toggle(t.Context(), killswitch.Switch{Target: bad})
		if !errors.Is(err, vwo.ErrInvalidName) || steering(err) != "final" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := client.Validate(target("production", "f")); err != nil || server.Requests() != 0 {
		t.Error(err, server.Requests())
	}
}

type answerCase struct {
	Name, Body, Cause, Detail string
	Steer                     string // what the error says of what is to follow
	Status, Code              int
	Header                    map[string]string
	WaitSeconds               int
}

var causes = map[string]error{
	"": nil, "unauthorized": vwo.ErrUnauthorized, "not found": vwo.ErrNotFound, "rate limited": vwo.ErrRateLimited, "refused": vwo.ErrRefused,
	"redirected": vwo.ErrRedirected, "unavailable": vwo.ErrUnavailable, "unexpected": vwo.ErrUnexpectedAnswer,
}

// answers are those to a request that switches feature "f" off.
// steering names what an error says of what is to follow.
func steering(err error) string {
	steer, _ := errors.AsType[*killswitch.ToggleError](err)
	switch {
	case steer == nil:
		return ""
	case steer.Final:
		return "final"
	case steer.Unconfirmed:
		return "unconfirmed"
	case steer.RetryAfter > 0:
		return "later"
	}
	return "none"
}

func readAnswers(t testing.TB) []answerCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []answerCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 30 {
		t.Fatalf("only %d answers were read", len(cases))
	}
	return cases
}

func TestWhatAnswersMean(t *testing.T) {
	for _, tc := range readAnswers(t) {
		t.Run(tc.Name, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range tc.Header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tc.Status)
				fmt.Fprint(w, tc.Body)
			})
			client := newClient(t, vwo.ClientConfig{
				Token: vwo.NewToken(treasure), Unlimited: true, HTTPClient: &http.Client{Transport: inMemory{handler}},
			})
			err := toggle(t.Context(), client, "production", "f", false)
			want, known := causes[tc.Cause]
			if !known {
				t.Fatalf("unknown cause %q", tc.Cause)
			}
			for name, cause := range causes {
				if cause != nil && errors.Is(err, cause) != (name == tc.Cause) {
					t.Errorf("errors.Is(%v, %q) is %t", err, name, errors.Is(err, cause))
				}
			}
			if got := steering(err); got != tc.Steer {
				t.Errorf("it is to be %q, want %q: %v", got, tc.Steer, err)
			}
			if want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			answer, ok := errors.AsType[*vwo.AnswerError](err)
			if !ok {
				t.Fatalf("%v is a %T", err, err)
			}
			if answer.Status != tc.Status || answer.Code != tc.Code || !strings.Contains(answer.Detail, tc.Detail) {
				t.Errorf("got %+v", answer)
			}
			if answer.RetryAfter != time.Duration(tc.WaitSeconds)*time.Second {
				t.Errorf("RetryAfter is %v, want %d s", answer.RetryAfter, tc.WaitSeconds)
			}
			noToken(t, fmt.Sprintf("%v %+v %#v %q", err, err, err, err))
		})
	}
}

func noToken(t testing.TB, text string) {
	t.Helper()
	for _, hidden := range spellings(treasure) {
		if strings.Contains(text, hidden) {
			t.Errorf("the token shows, as %.12q…, in %.300s", hidden, text)
		}
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestTransportErrorsShowNoToken(t *testing.T) {
	marker := errors.New("the cable is out")
	for _, trigger := range []bool{false, true} {
		for _, cause := range []error{
			marker,
			fmt.Errorf("GET https://x/?authToken=%s: %w", url.QueryEscape(treasure), marker),
			&url.Error{Op: "Patch", URL: "https://x/?authToken=" + treasure, Err: marker},
			fmt.Errorf("dial: %w", &url.Error{Op: "Patch", URL: "https://x/?authToken=" + url.QueryEscape(treasure), Err: marker}),
			errors.New("proxy https://user:f00dface@proxy"),
		} {
			client := newClient(t, vwo.ClientConfig{
				Token: vwo.NewToken(treasure), Unlimited: true, UseTriggerForm: trigger, HTTPClient: &http.Client{Transport: failing{cause}},
			})
			err := toggle(t.Context(), client, "e", "f", false)
			if !errors.Is(err, vwo.ErrUnavailable) {
				t.Errorf("%v", err)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				noToken(t, fmt.Sprintf("%v %+v %#v", e, e, e))
			}
			if wrapped, ok := errors.AsType[*url.Error](err); ok {
				t.Errorf("a url.Error can be reached: %v", wrapped)
			}
		}
	}
	client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken(treasure), Unlimited: true, HTTPClient: &http.Client{Transport: failing{marker}}})
	if err := toggle(t.Context(), client, "e", "f", false); !errors.Is(err, marker) {
		t.Errorf("a harmless cause is lost: %v", err)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s arrived elsewhere with token %q", r.Method, r.URL, r.Header.Get("token"))
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		custom := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }, Transport: &http.Transport{DisableKeepAlives: true}}
		client := newClient(t, vwo.ClientConfig{BaseURL: server.URL, Token: vwo.NewToken("t"), Unlimited: true, HTTPClient: custom})
		if err := toggle(t.Context(), client, "e", "f", false); !errors.Is(err, vwo.ErrRedirected) {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	server, _ := newStandIn(t, "f")
	server.SetFault(vwotest.Fault{Hang: true})
	client := newClient(t, vwo.ClientConfig{BaseURL: server.URL, Token: vwo.NewToken(server.Token()), Unlimited: true, Timeout: 50 * time.Millisecond})
	if err := toggle(t.Context(), client, "production", "f", false); !errors.Is(err, vwo.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAnswerThatNeverEnds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat("x", 1<<16))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	client := newClient(t, vwo.ClientConfig{BaseURL: server.URL, Token: vwo.NewToken("t"), Unlimited: true})
	if err := toggle(t.Context(), client, "e", "f", false); !errors.Is(err, vwo.ErrUnexpectedAnswer) {
		t.Errorf("%v", err)
	}
}

func TestBadContexts(t *testing.T) {
	_, client := newStandIn(t, "f")
	//nolint:staticcheck // a nil context is the bad input under test
	if err := toggle(nil, client, "production", "f", false); err == nil {
		t.Error("a nil context was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := toggle(ctx, client, "production", "f", false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestClientConfigIsChecked(t *testing.T) {
	good := vwo.ClientConfig{Token: vwo.NewToken("t")}
	for field, spoil := range map[string]func(*vwo.ClientConfig){
		"Token":   func(c *vwo.ClientConfig) { c.Token = vwo.Token{} },
		"BaseURL": func(c *vwo.ClientConfig) { c.BaseURL = "http://app.vwo.com" },
		"Account": func(c *vwo.ClientConfig) { c.Account = ".." },
		"Timeout": func(c *vwo.ClientConfig) { c.Timeout = -1 },
	} {
		config := good
		spoil(&config)
		if _, err := vwo.NewClient(config); !errors.Is(err, vwo.ErrInvalidConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := vwo.NewClient(good); err != nil {
		t.Error(err)
	}
}

// TestRequestsAreSpaced has two clients share a token.
func TestRequestsAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		standIn := vwotest.NewHandler(vwotest.Config{Features: []string{"f"}, Interval: time.Second})
		token := vwo.NewToken(standIn.Token())
		transport := &http.Client{Transport: inMemory{standIn}}
		var wg sync.WaitGroup
		start := time.Now()
		for range 2 {
			client := newClient(t, vwo.ClientConfig{Token: token, HTTPClient: transport})
			for range 5 {
				wg.Go(func() {
					if err := toggle(t.Context(), client, "production", "f", false); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if took := time.Since(start); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("10 requests took %v", took)
		}
		// Whoever cannot wait is told at once.
		if err := toggle(t.Context(), newClient(t, vwo.ClientConfig{Token: token, HTTPClient: transport}), "production", "f", false); err != nil {
			t.Error(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		before := time.Now()
		err := toggle(short, newClient(t, vwo.ClientConfig{Token: token, HTTPClient: transport}), "production", "f", false)
		if !errors.Is(err, vwo.ErrRateLimited) || time.Since(before) != 0 {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

func TestPauseAfterTooManyRequests(t *testing.T) {
	for _, tc := range []struct {
		status     int
		retryAfter string
		pause      time.Duration
	}{{429, "", time.Minute}, {503, "", time.Minute}, {429, "5", time.Minute}, {503, "90", 90 * time.Second}, {429, "999999999999", 2 * time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			standIn := vwotest.NewHandler(vwotest.Config{Features: []string{"f"}})
			client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken(standIn.Token()), HTTPClient: &http.Client{Transport: inMemory{standIn}}})
			fault := vwotest.Fault{Status: tc.status, Header: http.Header{}}
			if tc.retryAfter != "" {
				fault.Header.Set("Retry-After", tc.retryAfter)
			}
			standIn.SetFault(fault)
			start := time.Now()
			answer, ok := errors.AsType[*vwo.AnswerError](toggle(t.Context(), client, "production", "f", false))
			if !ok || answer.RetryAfter != tc.pause {
				t.Fatalf("%+v, want a wait of %v", answer, tc.pause)
			}
			standIn.SetFault(vwotest.Fault{})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			answer, ok = errors.AsType[*vwo.AnswerError](toggle(ctx, client, "production", "f", false))
			if !ok || !errors.Is(answer, vwo.ErrRateLimited) || answer.RetryAfter != tc.pause || standIn.Requests() != 1 {
				t.Errorf("during the pause: %+v after %d requests", answer, standIn.Requests())
			}
			if err := toggle(t.Context(), client, "production", "f", false); err != nil {
				t.Error(err)
			}
			if waited := time.Since(start); waited < tc.pause || waited > tc.pause+5*time.Second {
				t.Errorf("the next request came after %v, want %v", waited, tc.pause)
			}
		})
	}
}

func TestFeaturesAndEnvironments(t *testing.T) {
	var keys []string
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("feature_%d", i))
	}
	server, client := newStandIn(t, keys...)
	features, err := client.Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range features {
		got = append(got, f.Key)
	}
	if !slices.Equal(got, keys) || features[249].ID != "250" {
		t.Errorf("got %d features in %d requests", len(got), server.Requests())
	}
	environments, err := client.Environments(t.Context())
	want := []vwo.Environment{{ID: "1", Name: "production", SDKKey: "production", Project: "Default"}, {ID: "2", Name: "staging", SDKKey: "staging", Project: "Default"}}
	if diff := cmp.Diff(want, environments); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, name := range []string{"feature_7", "8"} {
		feature, err := client.Feature(t.Context(), name)
		if err != nil || feature != (vwo.Feature{ID: "8", Key: "feature_7", Name: "feature_7"}) {
			t.Errorf("%s: %+v, %v", name, feature, err)
		}
	}
	if _, err := client.Feature(t.Context(), "missing"); !errors.Is(err, vwo.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// A server that ignores paging, or sends another shape, neither loops nor
// passes for an empty account.
func TestListsOfAnotherShape(t *testing.T) {
	page := strings.TrimSuffix(strings.Repeat(`{"id":1,"featureKey":"a"},`, 100), ",")
	for body, want := range map[string]int{
		`{"_data":[` + page + `]}`:                               1,
		`{"_data":{"partialCollection":[{"id":"7","key":"a"}]}}`: 1,
		`{"_data":[]}`:            0,
		`{"_data":{}}`:            -1,
		`{"_data":null,"x":1}`:    0,
		`{}`:                      -1,
		`<html>`:                  -1,
		`{"_data":"x"}`:           -1,
		`{"_data":[{"id":true}]}`: -1,
		``:                        -1,
	} {
		client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken("t"), Unlimited: true, HTTPClient: &http.Client{
			Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })},
		}})
		features, err := client.Features(t.Context())
		if want < 0 != (err != nil) || want >= 0 && len(features) != want {
			t.Errorf("%.40s gives %v, %v", body, features, err)
		}
		if err != nil && !errors.Is(err, vwo.ErrUnexpectedAnswer) {
			t.Errorf("%.40s gives %v", body, err)
		}
	}
}

func TestCheck(t *testing.T) {
	server, client := newStandIn(t, "a", "b")
	if err := client.Check(t.Context(), target("production", "a"), target("2", "1")); err != nil {
		t.Error(err)
	}
	before := server.Requests()
	err := client.Check(t.Context(), target("nowhere", "a"), target("production", "c"),
		target("production", "a"), target("..", "a"))
	if !errors.Is(err, vwo.ErrNotFound) || !errors.Is(err, vwo.ErrInvalidName) {
		t.Errorf("%v", err)
	}
	for _, named := range []string{`environment "nowhere"`, `feature "c"`} {
		if !strings.Contains(fmt.Sprint(err), named) {
			t.Errorf("%v does not name %s", err, named)
		}
	}
	for _, there := range []string{`"1" ("production" of project "Default"), "2" ("staging" of project "Default")`, `"a", "b"`} {
		if !strings.Contains(fmt.Sprint(err), there) {
			t.Errorf("%v does not list %s", err, there)
		}
	}
	// The environments, the first features, one that is not among them, and the list
	// of what there is.
	if n := server.Requests() - before; n != 4 {
		t.Errorf("the check took %d requests, want 4", n)
	}
	if len(server.Toggles()) != 0 {
		t.Error("the check has changed something")
	}
	wrong := newClient(t, vwo.ClientConfig{BaseURL: server.URL, Token: vwo.NewToken("wrong"), Unlimited: true})
	if err := wrong.Check(t.Context()); !errors.Is(err, vwo.ErrUnauthorized) {
		t.Errorf("%v", err)
	}
}

// TestCheckTakesFewRequests has 20 rules: two relays with one token have a second
// each, and a switch that meets the other's check waits for a minute.
func TestCheckTakesFewRequests(t *testing.T) {
	var keys []string
	var targets []killswitch.Target
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("feature_%d", i))
		targets = append(targets, target("production", keys[i]), target("1", strconv.Itoa(i+1)))
	}
	server, client := newStandIn(t, keys...)
	if err := client.Check(t.Context(), targets...); err != nil {
		t.Error(err)
	}
	if n := server.Requests(); n != 2 {
		t.Errorf("the check took %d requests", n)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, tc := range readAnswers(f) {
		f.Add(tc.Status, tc.Body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		status = 200 + (status%400+400)%400
		// A client for each call, because the next one would wait after a 429.
		fresh := func() *vwo.Client {
			return newClient(t, vwo.ClientConfig{Token: vwo.NewToken(treasure), Unlimited: true, HTTPClient: &http.Client{
				Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					fmt.Fprint(w, body)
				})},
			}})
		}
		err := toggle(t.Context(), fresh(), "e", "f", false)
		if err == nil && (status >= 300 || !strings.Contains(body, "isEnabled")) {
			t.Errorf("status %d with %q passes for a confirmation", status, body)
		}
		if err != nil && !strings.Contains(body, treasure[:4]) { // what VWO says by itself is no leak
			noToken(t, err.Error())
		}
		_, _ = fresh().Features(t.Context())
		_, _ = fresh().Environments(t.Context())
	})
}

// TestClientAgainstOddAnswers: a connection that becomes another protocol's has
// no deadline, and a location that is no URL must not be quoted.
func TestClientAgainstOddAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   error
	}{
		"switching protocols": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", vwo.ErrUnexpectedAnswer},
		"a location that is no URL": {
			"HTTP/1.1 302 Found\r\nLocation: https://sso.example.com/%zz?token=SECRET\r\nContent-Length: 0\r\n\r\n", vwo.ErrRedirected,
		},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			hold := make(chan struct{})
			defer close(hold)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(io.Discard, request.Body)
					_, _ = io.WriteString(conn, tc.answer)
				}
				<-hold
			}()
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client, err := vwo.NewClient(vwo.ClientConfig{
				Token: vwo.NewToken("a-token"), BaseURL: "http://" + listener.Addr().String(),
				HTTPClient: &http.Client{Transport: transport}, Timeout: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = toggle(t.Context(), client, "production", "feature", false)
			if !errors.Is(err, tc.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > 50*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestPauseHoldsForThoseInLine has requests wait for their turn when VWO says
// that it was too much.
func TestPauseHoldsForThoseInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		standIn := vwotest.NewHandler(vwotest.Config{Features: []string{"f"}})
		var mu sync.Mutex
		var at []time.Duration
		start := time.Now()
		standIn.SetFaults(func(*http.Request) vwotest.Fault {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
			if len(at) == 1 {
				return vwotest.Fault{Status: 429, Delay: 300 * time.Millisecond}
			}
			return vwotest.Fault{}
		})
		client := newClient(t, vwo.ClientConfig{Token: vwo.NewToken(standIn.Token()), HTTPClient: &http.Client{Transport: inMemory{standIn}}})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = toggle(t.Context(), client, "production", "f", false) }) // one is told off
		}
		wg.Wait()
		if len(at) != 3 || at[1] < time.Minute || at[2]-at[1] < vwo.RequestInterval {
			t.Errorf("requests at %v", at)
		}
	})
}
