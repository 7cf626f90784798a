package vwotrack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/vwo/vwotrack"
)

// sdkFlag and sdk have the shape of VWO's SDK.
type sdkFlag struct {
	enabled bool
	panics  bool
}

func (f *sdkFlag) IsEnabled() bool {
	if f.panics {
		panic("a bug in the SDK")
	}
	return f.enabled
}

func (f *sdkFlag) GetVariable(string, any) any { return "variable" }

type sdk struct {
	flags map[string]*sdkFlag
	err   error
}

func (s *sdk) GetFlag(key string, _ map[string]interface{}) (*sdkFlag, error) {
	return s.flags[key], s.err
}

func newScope(t *testing.T) (context.Context, func() *sentry.Event) {
	t.Helper()
	kept := &sentry.MockTransport{}
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: "https://key@sentry.example.com/1", Transport: kept})
	if err != nil {
		t.Fatal(err)
	}
	hub := sentry.NewHub(client, sentry.NewScope())
	return sentry.SetHubOnContext(context.Background(), hub), func() *sentry.Event {
		hub.CaptureMessage("failed")
		events := kept.Events()
		return events[len(events)-1]
	}
}

func flagsOf(event *sentry.Event) string {
	return fmt.Sprint(event.Contexts["flags"]["values"])
}

func TestGetFlagRecordsWhatTheApplicationReceives(t *testing.T) {
	ctx, capture := newScope(t)
	backend := &sdk{flags: map[string]*sdkFlag{"on": {enabled: true}, "off": {}, "nil": nil, "bug": {panics: true}}}
	client := vwotrack.Wrap(backend, flagtrack.NewHook())
	user := map[string]any{"id": "jane.doe@example.com", "customVariables": map[string]any{"plan": "gold"}}

	flag, err := client.GetFlag(ctx, "on", user)
	if err != nil || flag != backend.flags["on"] || flag.GetVariable("x", nil) != "variable" {
		t.Errorf("%v, %v", flag, err)
	}
	for _, key := range []string{"off", "nil", "bug", "missing"} {
		if flag, err := client.GetFlag(ctx, key, user); err != nil || flag != backend.flags[key] {
			t.Errorf("%s: %v, %v", key, flag, err)
		}
	}
	backend.err = errors.New("no settings yet")
	if _, err := client.GetFlag(ctx, "failed", user); !errors.Is(err, backend.err) {
		t.Errorf("%v", err)
	}
	if len(user) != 2 {
		t.Errorf("the user's context was changed: %v", user)
	}

	event := capture()
	got := flagsOf(event)
	for _, want := range []string{"{on true}", "{off false}", "{failed false}"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	for _, other := range []string{"nil", "bug", "missing"} {
		if strings.Contains(got, other) {
			t.Errorf("%s has %s", got, other)
		}
	}
	if all := fmt.Sprintf("%+v %+v %+v %+v", event.Contexts, event.Tags, event.User, event.Breadcrumbs); strings.Contains(all, "jane") || strings.Contains(all, "gold") {
		t.Errorf("personal data in %s", all)
	}
}

func TestWrapWithOptions(t *testing.T) {
	ctx, capture := newScope(t)
	tracker, err := flagtrack.New()
	if err != nil {
		t.Fatal(err)
	}
	client := vwotrack.Wrap(&sdk{flags: map[string]*sdkFlag{"a": {enabled: true}}}, tracker)
	if _, err := client.GetFlag(ctx, "a", nil); err != nil {
		t.Error(err)
	}
	if got := flagsOf(capture()); !strings.Contains(got, "{a true}") {
		t.Errorf("%s", got)
	}
	// A nil tracker records nothing, and a nil context fails nothing.
	if flag, err := vwotrack.Wrap(&sdk{flags: map[string]*sdkFlag{"a": {}}}, nil).GetFlag(ctx, "a", nil); err != nil || flag == nil {
		t.Errorf("%v, %v", flag, err)
	}
	if flag, err := client.GetFlag(nil, "a", nil); err != nil || flag == nil { //nolint:staticcheck // a nil context is the bad input under test
		t.Errorf("%v, %v", flag, err)
	}
}

// TestFilterSetLater: a filter that becomes the default after Wrap holds here too.
func TestFilterSetLater(t *testing.T) {
	t.Cleanup(func() { flagtrack.SetDefault(nil) })
	ctx, capture := newScope(t)
	client := vwotrack.Wrap(&sdk{flags: map[string]*sdkFlag{"secret": {enabled: true}}}, flagtrack.NewHook())
	tracker, err := flagtrack.New(flagtrack.WithFilter(
		func(_ context.Context, e flagtrack.Evaluation) (flagtrack.Evaluation, bool) { return e, false }))
	if err != nil {
		t.Fatal(err)
	}
	flagtrack.SetDefault(tracker)
	if _, err := client.GetFlag(ctx, "secret", nil); err != nil {
		t.Error(err)
	}
	if got := flagsOf(capture()); strings.Contains(got, "secret") {
		t.Errorf("the filter was not asked: %s", got)
	}
}

// VWO's own declaration fits the interface.
var _ vwotrack.Getter[*sdkFlag] = (*sdk)(nil)
