// Package recipes_test runs each recipe against a stand-in written from the flag
// system's public API reference.
package recipes_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/killswitch"
	"github.com/sentryflags/sentryflags-go/webhook/killswitch/httptoggle"
)

// product is a stand-in with one flag.
type product struct {
	name   string
	recipe []byte
	target killswitch.Target
	// secrets are the environment variables that the recipe wants.
	secrets map[string]string
	// answer plays the product. It may read and set on, and notes in comment what
	// the product would show in its history.
	answer func(s *standIn, w http.ResponseWriter, r *http.Request)
	// comments says whether the product keeps one.
	comments bool
}

type standIn struct {
	mu      sync.Mutex
	on      bool
	comment string
	t       *testing.T
}

// reply writes an answer as products do.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// members reads a JSON body and insists on exactly these members.
func members(r *http.Request, names ...string) (map[string]any, bool) {
	var body map[string]any
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return nil, false
	}
	slices.Sort(names)
	return body, slices.Equal(slices.Sorted(maps.Keys(body)), names)
}

// launchDarkly: https://launchdarkly.com/docs/api/feature-flags/update-feature-flag
func launchDarkly(s *standIn, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "api-token" {
		reply(w, 401, map[string]any{"code": "unauthorized", "message": "Invalid access token"})
		return
	}
	if r.URL.Path != "/api/v2/flags/default/new-checkout" {
		reply(w, 404, map[string]any{"code": "not_found", "message": "Unknown feature key"})
		return
	}
	switch r.Method {
	case http.MethodGet:
		if r.URL.RawQuery != "env=production" {
			s.t.Errorf("asked with %s", r.URL.RawQuery)
		}
	case http.MethodPatch:
		// Without the domain model it would be taken for a JSON patch.
		if r.Header.Get("Content-Type") != "application/json; domain-model=launchdarkly.semanticpatch" {
			reply(w, 400, map[string]any{"code": "invalid_request", "message": "expected a JSON patch"})
			return
		}
		body, ok := members(r, "environmentKey", "comment", "instructions")
		instructions, _ := body["instructions"].([]any)
		if !ok || body["environmentKey"] != "production" || len(instructions) != 1 {
			reply(w, 400, map[string]any{"code": "invalid_request", "message": "invalid semantic patch"})
			return
		}
		instruction, _ := instructions[0].(map[string]any)
		if len(instruction) != 1 || instruction["kind"] != "turnFlagOn" && instruction["kind"] != "turnFlagOff" {
			reply(w, 400, map[string]any{"code": "invalid_request", "message": "unknown instruction"})
			return
		}
		s.on, s.comment = instruction["kind"] == "turnFlagOn", body["comment"].(string)
	default:
		reply(w, 405, map[string]any{"code": "method_not_allowed", "message": "Method not allowed"})
		return
	}
	reply(w, 200, map[string]any{"key": "new-checkout", "environments": map[string]any{"production": map[string]any{"on": s.on, "archived": false}}})
}

// unleash: https://docs.getunleash.io/api/toggle-feature-environment-off
func unleash(s *standIn, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "api-token" {
		reply(w, 401, map[string]any{"name": "AuthenticationRequired", "message": "You must log in to use Unleash"})
		return
	}
	const feature = "/api/admin/projects/default/features/new-checkout/environments/production"
	switch r.Method + " " + r.URL.Path {
	case "GET " + feature:
		reply(w, 200, map[string]any{"name": "production", "type": "production", "enabled": s.on, "strategies": []any{}})
	case "POST " + feature + "/on", "POST " + feature + "/off":
		s.on = strings.HasSuffix(r.URL.Path, "/on")
		w.WriteHeader(200) // the body is empty
	default:
		reply(w, 404, map[string]any{"name": "NotFoundError", "message": "Could not find feature"})
	}
}

// growthBook: https://docs.growthbook.io/api/features-v2/operation/toggleFeatureV2
func growthBook(s *standIn, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer api-token" {
		reply(w, 401, map[string]any{"message": "Invalid API key"})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /api/v2/features/new-checkout":
	case "POST /api/v2/features/new-checkout/toggle":
		body, ok := members(r, "environments", "reason")
		environments, _ := body["environments"].(map[string]any)
		on, isBool := environments["production"].(bool)
		if !ok || len(environments) != 1 || !isBool {
			reply(w, 400, map[string]any{"message": "Request body: [environments] Invalid input"})
			return
		}
		s.on, s.comment = on, body["reason"].(string)
	default:
		reply(w, 400, map[string]any{"message": "Could not find a feature with that key"})
		return
	}
	reply(w, 200, map[string]any{"feature": map[string]any{"id": "new-checkout", "environments": map[string]any{"production": map[string]any{"enabled": s.on, "defaultValue": "false"}}}})
}

// postHog: https://posthog.com/docs/api/feature-flags
func postHog(s *standIn, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer api-token" {
		reply(w, 401, map[string]any{"type": "authentication_error", "detail": "Invalid personal API key."})
		return
	}
	if r.URL.Path != "/api/projects/42/feature_flags/4711/" {
		reply(w, 404, map[string]any{"type": "invalid_request", "detail": "Not found."})
		return
	}
	if r.Method == http.MethodPatch {
		body, ok := members(r, "active")
		on, isBool := body["active"].(bool)
		if !ok || !isBool {
			reply(w, 400, map[string]any{"type": "validation_error", "detail": "Must be a valid boolean."})
			return
		}
		s.on = on
	}
	reply(w, 200, map[string]any{"id": 4711, "key": "new-checkout", "active": s.on, "filters": map[string]any{}})
}

// flagsmith: https://docs.flagsmith.com/integrating-with-flagsmith/flagsmith-api-overview/admin-api
func flagsmith(s *standIn, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Api-Key api-token" {
		reply(w, 401, map[string]any{"detail": "Authentication credentials were not provided."})
		return
	}
	if r.URL.Path != "/api/v1/environments/AbCdEf/featurestates/123456/" {
		reply(w, 404, map[string]any{"detail": "Not found."})
		return
	}
	if r.Method == http.MethodPatch {
		body, ok := members(r, "enabled")
		on, isBool := body["enabled"].(bool)
		if !ok || !isBool {
			reply(w, 400, map[string]any{"enabled": []string{"Must be a valid boolean."}})
			return
		}
		s.on = on
	}
	reply(w, 200, map[string]any{"id": 123456, "feature": 1, "enabled": s.on, "feature_state_value": nil})
}

// configCat: https://configcat.com/docs/api/reference/update-setting-value-by-sdkkey
func configCat(s *standIn, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Basic api-token" {
		w.WriteHeader(401)
		return
	}
	if r.Header.Get("X-CONFIGCAT-SDKKEY") != "sdk-key" || r.URL.Path != "/v1/settings/newCheckout/value" {
		w.WriteHeader(404)
		return
	}
	if r.Method == http.MethodPatch {
		var patch []map[string]any
		if json.NewDecoder(r.Body).Decode(&patch) != nil || len(patch) != 1 || patch[0]["op"] != "replace" || patch[0]["path"] != "/value" {
			w.WriteHeader(400)
			return
		}
		on, isBool := patch[0]["value"].(bool)
		if !isBool {
			w.WriteHeader(400)
			return
		}
		if s.comment = r.URL.Query().Get("reason"); on == s.on {
			w.WriteHeader(204)
			return
		}
		s.on = on
	}
	reply(w, 200, map[string]any{"setting": map[string]any{"key": "newCheckout"}, "value": s.on, "rolloutRules": []any{}})
}

func products(t *testing.T) []product {
	t.Helper()
	file := func(name string) []byte {
		recipe, err := os.ReadFile(name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		return recipe
	}
	flag := func(name string, attributes ...string) killswitch.Target {
		target := killswitch.Target{Flag: name, Attributes: map[string]string{}}
		for i := 0; i < len(attributes); i += 2 {
			target.Attributes[attributes[i]] = attributes[i+1]
		}
		return target
	}
	page := pageRecipes(t)
	return []product{
		{"LaunchDarkly", file("launchdarkly"), flag("new-checkout", "project", "default", "environment", "production"), map[string]string{"LAUNCHDARKLY_TOKEN": "api-token"}, launchDarkly, true},
		{"Unleash", file("unleash"), flag("new-checkout", "project", "default", "environment", "production"), map[string]string{"UNLEASH_TOKEN": "api-token"}, unleash, false},
		{"GrowthBook", file("growthbook"), flag("new-checkout", "environment", "production"), map[string]string{"GROWTHBOOK_API_KEY": "api-token"}, growthBook, true},
		{"PostHog", page["PostHog"], flag("4711", "project", "42"), map[string]string{"POSTHOG_API_KEY": "api-token"}, postHog, false},
		{"Flagsmith", page["Flagsmith"], flag("123456", "environment", "AbCdEf"), map[string]string{"FLAGSMITH_API_KEY": "api-token"}, flagsmith, false},
		{"ConfigCat", page["ConfigCat"], flag("newCheckout"), map[string]string{"CONFIGCAT_BASIC": "api-token", "CONFIGCAT_SDK_KEY": "sdk-key"}, configCat, true},
	}
}

// pageRecipes returns the recipes of README.md by their heading.
func pageRecipes(t *testing.T) map[string][]byte {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes := map[string][]byte{}
	for section := range strings.SplitSeq(string(page), "\n### ") {
		name, rest, _ := strings.Cut(section, "\n")
		if block := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(rest); block != nil {
			recipes[name] = []byte(block[1])
		}
	}
	return recipes
}

// serve starts the product and makes a toggler of its recipe, whose host is
// replaced.
func serve(t *testing.T, p product) (*standIn, *httptoggle.Toggler) {
	t.Helper()
	for name, value := range p.secrets {
		t.Setenv(name, value)
	}
	s := &standIn{on: true, t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.answer(s, w, r)
	}))
	t.Cleanup(server.Close)
	decoder := json.NewDecoder(bytes.NewReader(p.recipe))
	decoder.DisallowUnknownFields()
	var config httptoggle.Config
	if err := decoder.Decode(&config); err != nil {
		t.Fatal(err)
	}
	host := regexp.MustCompile(`^https://[^/]+`)
	config.URL = host.ReplaceAllString(config.URL, server.URL)
	config.Before.URL = host.ReplaceAllString(config.Before.URL, server.URL)
	toggler, err := httptoggle.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, toggler
}

func TestRecipes(t *testing.T) {
	for _, p := range products(t) {
		t.Run(p.name, func(t *testing.T) {
			s, toggler := serve(t, p)
			if err := toggler.Check(t.Context(), p.target); err != nil {
				t.Errorf("the check says %v", err)
			}
			off := killswitch.Switch{
				ID: "1", Target: p.target, Alert: `Checkout "failing"`, Trigger: "event_alert.triggered", At: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC),
			}
			on := off
			on.On, on.Alert, on.By, on.Trigger = true, "", "ada@example.com", "restore"
			for i, step := range []struct {
				s   killswitch.Switch
				was killswitch.State
			}{{off, killswitch.StateOn}, {off, killswitch.StateOff}, {on, killswitch.StateOff}, {on, killswitch.StateOn}} {
				was, err := toggler.Toggle(t.Context(), step.s)
				if err != nil || was != step.was || s.on != step.s.On {
					t.Errorf("%d: was %s, %v; it is on: %t", i, was, err, s.on)
				}
				if p.comments && s.comment != step.s.Reason() {
					t.Errorf("%d: the history says %q", i, s.comment)
				}
			}

			gone := p.target
			gone.Flag = "old-checkout"
			_, err := toggler.Toggle(t.Context(), killswitch.Switch{Target: gone})
			if steer, ok := errors.AsType[*killswitch.ToggleError](err); !ok || !steer.Final {
				t.Errorf("a flag that is not there: %v", err)
			}
			if err := toggler.Check(t.Context(), gone); err == nil {
				t.Error("a flag that is not there passes the check")
			}
		})
	}
}

// A token that is not accepted can be replaced: it is tried again.
func TestWrongToken(t *testing.T) {
	for _, p := range products(t) {
		t.Run(p.name, func(t *testing.T) {
			for name := range p.secrets {
				p.secrets[name] = "revoked-token"
			}
			s, toggler := serve(t, p)
			_, err := toggler.Toggle(t.Context(), killswitch.Switch{Target: p.target})
			if steer, ok := errors.AsType[*killswitch.ToggleError](err); !ok || steer.Final || !strings.Contains(err.Error(), "not accepted") || strings.Contains(err.Error(), "revoked-token") {
				t.Error(err)
			}
			if !s.on {
				t.Error("it was switched")
			}
		})
	}
}

// Whoever names the alert writes a comment, and nothing else: the stand-ins take
// no other member, instruction or path.
func TestNamesStayComments(t *testing.T) {
	names := []string{
		`"}],"instructions":[{"kind":"turnFlagOn"}],"x":[{"a":"`, `","environments":{"production":true},"x":"`, "../../on", "on?x=", "&reason=", "\r\nAuthorization: x",
		"${state}", "${target.flag}", "{{.Token}}", "%2e%2e%2fon", "\u202e", strings.Repeat("x", 2000),
	}
	for _, p := range products(t) {
		t.Run(p.name, func(t *testing.T) {
			s, toggler := serve(t, p)
			for _, name := range names {
				s.on = true
				off := killswitch.Switch{ID: "1", Target: p.target, Alert: name, Trigger: "event_alert.triggered"}
				if _, err := toggler.Toggle(t.Context(), off); err != nil || s.on {
					t.Errorf("%q: %v; it is on: %t", name, err, s.on)
				}
				if p.comments && s.comment != off.Reason() {
					t.Errorf("%q: the history says %q", name, s.comment)
				}
			}
		})
	}
}

// The example of a target on the page is one, and so are those of the recipes.
func TestPageTargets(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`\{"flag":[^}]*\}`).FindAllString(string(page), -1)
	if len(found) < 4 {
		t.Fatalf("%d targets on the page", len(found))
	}
	for _, text := range found {
		var target killswitch.Target
		if err := json.Unmarshal([]byte(text), &target); err != nil || target.Validate() != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for link := range strings.SplitSeq(string(page), "](") {
		path, _, closed := strings.Cut(link, ")")
		if u, err := url.Parse(path); !closed || err != nil || u.Scheme != "" || strings.Contains(path, "\n") {
			continue
		}
		if strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".go") {
			if _, err := os.Stat(path); err != nil {
				t.Error(fmt.Errorf("a link of the page: %w", err))
			}
		}
	}
}
