package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// The tests of this file hold the client against the stand-in, which judges as
// Sentry does and shares no code with the client's own rules.

func newPair(tb testing.TB, config webhooktest.Config, edit func(*webhook.Config)) (*webhooktest.Server, *webhook.Client) {
	tb.Helper()
	server := webhooktest.NewServer(config)
	tb.Cleanup(server.Close)
	settings := webhook.Config{URL: server.URL(), Secrets: []signing.Secret{server.Secret()}, HTTPClient: server.Client()}
	if edit != nil {
		edit(&settings)
	}
	client, err := webhook.NewClient(settings)
	if err != nil {
		tb.Fatal(err)
	}
	return server, client
}

func someChange(flag string) webhook.Change {
	return webhook.Change{
		Action: webhook.ActionUpdated, CreatedAt: time.Date(2026, 9, 1, 12, 0, 0, 123456000, time.UTC),
		CreatedBy: webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}, Flag: flag,
	}
}

func TestSentChangesAreStored(t *testing.T) {
	server, client := newPair(t, webhooktest.Config{}, nil)
	want := []webhook.Change{
		{Action: webhook.ActionCreated, ChangeID: 7, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), CreatedBy: webhook.Author{ID: "jane@example.com", Type: webhook.AuthorEmail}, Flag: "new-checkout"},
		{Action: webhook.ActionUpdated, ChangeID: -1 << 63, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CreatedBy: webhook.Author{ID: "4711", Type: webhook.AuthorID}, Flag: "größe <b>\"x\"</b> \u2028."},
		{Action: webhook.ActionDeleted, ChangeID: 1<<63 - 1, CreatedAt: time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), CreatedBy: webhook.Author{ID: strings.Repeat("日", 100), Type: webhook.AuthorName}, Flag: strings.Repeat("🚩", 256)},
	}
	if err := client.Send(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, server.Changes()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestMadeUpChangeIDsLoseNothing(t *testing.T) {
	server, client := newPair(t, webhooktest.Config{}, nil)
	changes := make([]webhook.Change, 5000)
	for i := range changes {
		changes[i] = someChange(fmt.Sprintf("flag-%d", i))
	}
	if err := client.Send(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	if got := len(server.Changes()); got != len(changes) {
		t.Errorf("%d of %d changes were stored", got, len(changes))
	}
}

// TestRulesAgreeWithSentry is a property: of any change, the client's own
// judgement is Sentry's, so that it refuses nothing that would be stored and
// sends nothing that would be rejected.
func TestRulesAgreeWithSentry(t *testing.T) {
	for _, limit := range []int{webhook.MaxFlag, webhook.MaxFlagBefore2026} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			server, client := newPair(t, webhooktest.Config{MaxFlag: limit}, func(c *webhook.Config) { c.MaxFlag = limit })
			text := rapid.OneOf(
				rapid.String(),
				rapid.SampledFrom([]string{"", " ", "\x00", "a\x00b", "\x1c\x1d\x1e\x1f", "\u0085", "\u00a0x\u3000", "\u200b", "\ufeff", "\u180e", "a\ufffe"}),
				rapid.Map(rapid.IntRange(98, 102), func(n int) string { return strings.Repeat("ü", n) }),
				rapid.Map(rapid.IntRange(254, 258), func(n int) string { return " " + strings.Repeat("🚩", n) + "\n" }),
			)
			rapid.Check(t, func(t *rapid.T) {
				change := webhook.Change{
					Action:    rapid.SampledFrom([]webhook.Action{"created", "updated", "deleted", "", "Created", "created ", "toggled"}).Draw(t, "action"),
					ChangeID:  rapid.Int64().Filter(func(id int64) bool { return id != 0 }).Draw(t, "id"),
					CreatedAt: time.UnixMicro(rapid.Int64Range(-62135596800e6+1, 253402300799e6).Draw(t, "at")),
					CreatedBy: webhook.Author{
						ID:   text.Draw(t, "author"),
						Type: rapid.SampledFrom([]webhook.AuthorType{"email", "id", "name", "", "NAME", "user"}).Draw(t, "type"),
					},
					Flag: text.Draw(t, "flag"),
				}
				ours := client.Send(t.Context(), change)
				theirs := client.Post(t.Context(), unchecked(change), 1)
				if errors.Is(ours, webhook.ErrInvalidChange) != errors.Is(theirs, webhook.ErrRejected) {
					t.Fatalf("ours: %v\ntheirs: %v", ours, theirs)
				}
				if (ours == nil) != (theirs == nil) {
					t.Fatalf("ours: %v\ntheirs: %v", ours, theirs)
				}
				if ours == nil {
					stored := server.Changes()
					if diff := cmp.Diff(stored[len(stored)-2], stored[len(stored)-1]); diff != "" {
						t.Fatalf("what was sent is not what was meant:\n%s", diff)
					}
				}
			})
		})
	}
}

// TestShownNamesAgreeWithTheEvaluationSide: whatever a flag is called, with
// ShownNames its change is stored under a name that Sentry keeps.
func TestShownNamesAgreeWithTheEvaluationSide(t *testing.T) {
	var warned []webhook.Warning
	server, client := newPair(t, webhooktest.Config{}, func(c *webhook.Config) {
		c.ShownNames = true
		c.OnWarning = func(w webhook.Warning) { warned = append(warned, w) }
	})
	names := map[string]string{ // as in testdata/names.json, and untrimmed
		"my flag": "my_flag-a84e63b3", " my flag\n": "my_flag-a84e63b3", "my/flag": "my_flag-cdd9fdee",
		"my_flag": "my_flag", strings.Repeat("x", 201): webhook.ShownName(strings.Repeat("x", 201)),
		strings.Repeat("ü ", 500): webhook.ShownName(strings.Repeat("ü ", 499) + "ü"), "a\xffb": webhook.ShownName("a\xffb"), "a\x00b": webhook.ShownName("a\x00b"),
	}
	for name, want := range names {
		if err := client.Send(t.Context(), someChange(name)); err != nil {
			t.Errorf("%.20q: %v", name, err)
			continue
		}
		stored := server.Changes()
		if got := stored[len(stored)-1].Flag; got != want || !webhook.Correlates(got) {
			t.Errorf("%.20q is sent as %q, want %q", name, got, want)
		}
	}
	if len(warned) != 0 {
		t.Errorf("warned of %v", warned)
	}
	for _, nothing := range []string{"", " \n"} {
		if err := client.Send(t.Context(), someChange(nothing)); !errors.Is(err, webhook.ErrInvalidChange) {
			t.Errorf("%q: %v", nothing, err)
		}
	}
	entries, err := readLog(t.Context(), client, webhooktest.DefaultToken, webhook.LogsQuery{Flags: []string{"my flag "}})
	if err != nil || len(entries) != 2 || entries[0].Flag != "my_flag-a84e63b3" {
		t.Errorf("the log of that flag is %v, %v", entries, err)
	}
}

// unchecked encodes a change as somebody would who knows no rules.
func unchecked(c webhook.Change) []byte {
	raw, err := json.Marshal(map[string]any{
		"data": []any{map[string]any{
			"action": c.Action, "change_id": c.ChangeID, "created_at": c.CreatedAt.Format(time.RFC3339Nano),
			"created_by": map[string]any{"id": c.CreatedBy.ID, "type": c.CreatedBy.Type}, "flag": c.Flag,
		}},
		"meta": map[string]any{"version": 1},
	})
	if err != nil {
		panic(err)
	}
	return raw
}

// TestRejectionsNameChangeAndField breaks each rule of Sentry in the middle of
// a request, in both shapes of its errors.
func TestRejectionsNameChangeAndField(t *testing.T) {
	const good = `{"action":"created","change_id":1,"created_at":"2024-12-12T00:00:00+00:00","created_by":{"id":"u","type":"name"},"flag":"a"}`
	broken := map[string]string{ // the field named -> a change that breaks its rule
		"action":          strings.Replace(good, `"created"`, `"toggled"`, 1),
		"change_id":       strings.Replace(good, `:1,`, `:"x",`, 1),
		"created_at":      strings.Replace(good, `2024-12-12T`, `yesterday `, 1),
		"created_by":      strings.Replace(good, `{"id":"u","type":"name"}`, `null`, 1),
		"created_by.id":   strings.Replace(good, `"u"`, `""`, 1),
		"created_by.type": strings.Replace(good, `"name"`, `"robot"`, 1),
		"flag":            strings.Replace(good, `"a"`, `"`+strings.Repeat("a", 257)+`"`, 1),
	}
	for _, shape := range []webhooktest.ErrorShape{webhooktest.ErrorsByIndex, webhooktest.ErrorsInList} {
		server, client := newPair(t, webhooktest.Config{ErrorShape: shape}, nil)
		for field, change := range broken {
			second := strings.Replace(good, `:1,`, `:2,`, 1)
			body := `{"data":[` + good + `,` + change + `,` + second + `],"meta":{"version":1}}`
			err := client.Post(t.Context(), []byte(body), 3)
			rejection, ok := errors.AsType[*webhook.RejectionError](err)
			if !ok || !errors.Is(err, webhook.ErrRejected) {
				t.Errorf("shape %v, %s: got %v", shape, field, err)
				continue
			}
			if got := slices.Collect(maps.Keys(rejection.Changes)); len(got) != 1 || got[0] != 1 {
				t.Errorf("shape %v, %s: blames the changes %v", shape, field, got)
			}
			if got := slices.Collect(maps.Keys(rejection.Changes[1])); len(got) != 1 || got[0] != field {
				t.Errorf("shape %v, %s: blames the fields %v", shape, field, got)
			}
			if len(rejection.Changes[1][field]) == 0 || rejection.Changes[1][field][0] == "" {
				t.Errorf("shape %v, %s: gives no reason", shape, field)
			}
		}
		if stored := server.Changes(); len(stored) != 0 {
			t.Errorf("shape %v: stored %v", shape, stored)
		}
		for name, body := range map[string]string{
			"data":                  `{"meta":{"version":1}}`,
			"data.non_field_errors": `{"data":{"a":1},"meta":{"version":1}}`,
			"meta":                  `{"data":[]}`,
			"meta.version":          `{"data":[],"meta":{}}`,
			"non_field_errors":      `[]`,
		} {
			rejection, ok := errors.AsType[*webhook.RejectionError](client.Post(t.Context(), []byte(body), 1))
			if !ok || len(rejection.Changes) != 0 || len(rejection.Request[name]) == 0 {
				t.Errorf("shape %v, %s: got %+v", shape, name, rejection)
			}
		}
	}
}

// TestFaults says of everything that goes wrong on the way what it is, and
// whether the change was stored all the same.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fault  webhooktest.Fault
		want   error
		stored int
	}{
		{"no fault", webhooktest.Fault{}, nil, 1},
		{"proxy page", webhooktest.ProxyPage(), webhook.ErrUnexpectedAnswer, 0},
		{"proxy page, stored", webhooktest.ProxyPage().AfterStoring(), webhook.ErrUnexpectedAnswer, 1},
		{"disconnect", webhooktest.Disconnect(), webhook.ErrAmbiguous, 0},
		{"disconnect, stored", webhooktest.Disconnect().AfterStoring(), webhook.ErrAmbiguous, 1},
		{"half an answer, stored", webhooktest.Truncate().AfterStoring(), webhook.ErrAmbiguous, 1},
		{"endless", webhooktest.Endless(), webhook.ErrUnexpectedAnswer, 0},
		{"silence", webhooktest.Hold(nil), webhook.ErrAmbiguous, 0},
		{"408", webhooktest.Status(408).AfterStoring(), webhook.ErrAmbiguous, 1},
		{"500", webhooktest.Status(500), webhook.ErrAmbiguous, 0},
		{"502", webhooktest.Status(502), webhook.ErrAmbiguous, 0},
		{"503", webhooktest.Status(503), webhook.ErrAmbiguous, 0},
		{"400", webhooktest.Status(400), webhook.ErrRefused, 0},
		{"413", webhooktest.Status(413), webhook.ErrRefused, 0},
		{"422", webhooktest.Status(422), webhook.ErrRefused, 0},
		{"401", webhooktest.Status(401), webhook.ErrUnauthorized, 0},
		{"403", webhooktest.Status(403), webhook.ErrUnauthorized, 0},
		{"404", webhooktest.Status(404), webhook.ErrNotFound, 0},
		{"405", webhooktest.Status(405), webhook.ErrMisdirected, 0},
		{"415", webhooktest.Status(415), webhook.ErrMisdirected, 0},
		{"301", webhooktest.Redirect(301, "/"), webhook.ErrRedirected, 0},
		{"302", webhooktest.Redirect(302, "/"), webhook.ErrRedirected, 0},
		{"303", webhooktest.Redirect(303, "/"), webhook.ErrRedirected, 0},
		{"307", webhooktest.Redirect(307, "/"), webhook.ErrRedirected, 0},
		{"308", webhooktest.Redirect(308, "/"), webhook.ErrRedirected, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := newPair(t, webhooktest.Config{InMemory: true}, nil)
				server.Fail(tc.fault)
				start := time.Now()
				err := client.Send(t.Context(), someChange("a"))
				if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if took := time.Since(start); took > webhook.DefaultTimeout {
					t.Errorf("took %v", took)
				}
				server.Close()
				if got := len(server.Changes()); got != tc.stored {
					t.Errorf("%d changes are stored, want %d", got, tc.stored)
				}
				if n := len(server.Requests()); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func TestRateLimitTellsWhenToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := newPair(t, webhooktest.Config{InMemory: true}, nil)
		server.Fail(webhooktest.RateLimited(time.Now().Add(40 * time.Second)))
		err := client.Send(t.Context(), someChange("a"))
		answer, ok := errors.AsType[*webhook.AnswerError](err)
		if !ok || !errors.Is(err, webhook.ErrRateLimited) || answer.RetryAfter != 40*time.Second {
			t.Errorf("got %v", err)
		}
	})
}

func TestCheckProvesURLAndSecret(t *testing.T) {
	server, client := newPair(t, webhooktest.Config{}, nil)
	if err := client.Check(t.Context()); err != nil {
		t.Errorf("right URL and secret: %v", err)
	}
	server.SetSecret(signing.NewSecret("another-secret-0123456789"))
	if err := client.Check(t.Context()); !errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("wrong secret: %v", err)
	}
	server.SetSecret(signing.Secret{})
	if err := client.Check(t.Context()); !errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("no secret saved: %v", err)
	}
	_, stranger := newPair(t, webhooktest.Config{}, func(c *webhook.Config) {
		c.URL = strings.Replace(c.URL, "/acme/", "/nobody/", 1)
	})
	if err := stranger.Check(t.Context()); !errors.Is(err, webhook.ErrUnauthorized) {
		t.Errorf("unknown organisation: %v", err)
	}
	for _, older := range []webhooktest.Fault{
		webhooktest.Status(http.StatusNotFound), // of an unknown organisation
		webhooktest.Answer(http.StatusNotFound, "application/json", `"Not enabled."`),
	} {
		server.Fail(older)
		if err := client.Check(t.Context()); !errors.Is(err, webhook.ErrNotFound) {
			t.Errorf("an older server: %v", err)
		}
	}
	if stored := server.Changes(); len(stored) != 0 {
		t.Errorf("Check has written %v", stored)
	}
}

// TestHugeRequests sends more than a server takes.
func TestHugeRequests(t *testing.T) {
	_, client := newPair(t, webhooktest.Config{MaxBody: 1 << 20}, nil)
	changes := make([]webhook.Change, 20_000)
	for i := range changes {
		changes[i] = someChange(strings.Repeat("x", 250))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The server may hang up on a body of this size before its answer is read.
	if err := client.Send(ctx, changes...); !errors.Is(err, webhook.ErrRefused) && !errors.Is(err, webhook.ErrAmbiguous) {
		t.Errorf("got %v", err)
	}
}
