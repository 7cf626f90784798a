package flagtrack

import (
	"context"
	"errors"
	"testing"

	"github.com/getsentry/sentry-go"
	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
)

// failingHook fails at the stages where it has an error.
type failingHook struct {
	openfeature.UnimplementedHook
	before, after error
}

func (h failingHook) Before(
	context.Context, openfeature.HookContext, openfeature.HookHints,
) (*openfeature.EvaluationContext, error) {
	return nil, h.before
}

func (h failingHook) After(
	context.Context, openfeature.HookContext, openfeature.InterfaceEvaluationDetails, openfeature.HookHints,
) error {
	return h.after
}

// brokenProvider cannot be initialised.
type brokenProvider struct {
	openfeature.FeatureProvider
	err error
}

func (p brokenProvider) Init(openfeature.EvaluationContext) error { return p.err }
func (brokenProvider) Shutdown()                                  {}

// startingProvider is not ready until it is released.
type startingProvider struct {
	openfeature.FeatureProvider
	release chan struct{}
}

func (p startingProvider) Init(openfeature.EvaluationContext) error { <-p.release; return nil }
func (startingProvider) Shutdown()                                  {}

func shopFlags() map[string]memprovider.InMemoryFlag {
	flag := func(variant string, variants map[string]any) memprovider.InMemoryFlag {
		return memprovider.InMemoryFlag{State: memprovider.Enabled, DefaultVariant: variant, Variants: variants}
	}
	return map[string]memprovider.InMemoryFlag{
		"hello":  flag("on", map[string]any{"on": true}),
		"theme":  flag("dark", map[string]any{"dark": "blue"}),
		"limit":  flag("high", map[string]any{"high": int64(42)}),
		"ratio":  flag("half", map[string]any{"half": 0.5}),
		"layout": flag("grid", map[string]any{"grid": map[string]any{"columns": 3}}),
		"broken": flag("missing", map[string]any{"on": true}),
	}
}

// newAPI returns an OpenFeature API of its own with the shop's flags.
func newAPI(t testing.TB, hooks ...openfeature.Hook) *openfeature.EvaluationAPI {
	t.Helper()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(t.Context(), memprovider.NewInMemoryProvider(shopFlags())); err != nil {
		t.Fatal(err)
	}
	api.AddHooks(hooks...)
	return api
}

// TestHookRecordsWhatTheApplicationReceives runs every row of the table of what a hook of go-sdk 1.20 sees, and the
// ways of registering ours. In every row the flag must be recorded with the very value that the application received.
func TestHookRecordsWhatTheApplicationReceives(t *testing.T) {
	failing := errors.New("another hook failed")
	for name, c := range map[string]struct {
		api   func(t *testing.T, ours openfeature.Hook) *openfeature.EvaluationAPI
		hooks []openfeature.Hook // of the client
		ours  bool               // register ours at the client too
		flag  string
		def   bool
		want  bool
	}{
		"success":                {flag: "hello", want: true},
		"not found":              {flag: "missing", def: true, want: true},
		"type mismatch":          {flag: "theme", def: true, want: true},
		"provider error":         {flag: "broken", def: true, want: true},
		"default false":          {flag: "missing", want: false},
		"another Before fails":   {flag: "hello", hooks: []openfeature.Hook{failingHook{before: failing}}, want: false},
		"another After fails":    {flag: "hello", hooks: []openfeature.Hook{failingHook{after: failing}}, want: false},
		"ours twice":             {flag: "hello", ours: true, want: true},
		"ours twice, not found":  {flag: "missing", def: true, ours: true, want: true},
		"ours twice, with After": {flag: "hello", ours: true, hooks: []openfeature.Hook{failingHook{after: failing}}},
		"another After fails after ours": {
			flag: "hello",
			api: func(t *testing.T, ours openfeature.Hook) *openfeature.EvaluationAPI {
				return newAPI(t, failingHook{after: failing}, ours) // After runs in reverse
			},
		},
		"provider not ready": {
			flag: "hello", def: true, want: true,
			api: func(t *testing.T, ours openfeature.Hook) *openfeature.EvaluationAPI {
				api := isolated.NewAPI()
				release := make(chan struct{})
				t.Cleanup(func() { close(release) })
				p := startingProvider{memprovider.NewInMemoryProvider(shopFlags()), release}
				if err := api.SetProvider(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				api.AddHooks(ours)
				return api
			},
		},
		"provider fatal": {
			flag: "hello", def: true, want: true,
			api: func(t *testing.T, ours openfeature.Hook) *openfeature.EvaluationAPI {
				api := isolated.NewAPI()
				p := brokenProvider{
					memprovider.NewInMemoryProvider(shopFlags()),
					&openfeature.ProviderInitError{ErrorCode: openfeature.ProviderFatalCode},
				}
				if err := api.SetProviderAndWait(t.Context(), p); err == nil {
					t.Fatal("the provider should not start")
				}
				api.AddHooks(ours)
				return api
			},
		},
		"no provider": {
			flag: "hello", def: true, want: true,
			api: func(_ *testing.T, ours openfeature.Hook) *openfeature.EvaluationAPI {
				api := isolated.NewAPI()
				api.AddHooks(ours)
				return api
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours := NewHook()
			if c.api == nil {
				c.api = func(t *testing.T, ours openfeature.Hook) *openfeature.EvaluationAPI { return newAPI(t, ours) }
			}
			client := c.api(t, ours).NewClient()
			if c.ours {
				client.AddHooks(ours)
			}
			client.AddHooks(c.hooks...)
			ctx, hub, held := newHub(t)
			got := client.Boolean(ctx, c.flag, c.def, openfeature.EvaluationContext{})
			if got != c.want {
				t.Fatalf("the application received %t: the row itself is wrong", got)
			}
			want := c.flag + "=F"
			if got {
				want = c.flag + "=T"
			}
			wantFlags(t, captured(t, hub, held), want)
		})
	}
}

func TestHookInvalidKey(t *testing.T) {
	client := newAPI(t, NewHook()).NewClient()
	ctx, hub, held := newHub(t)
	if !client.Boolean(ctx, "hello\xff", true, openfeature.EvaluationContext{}) {
		t.Error("the application did not receive its default")
	}
	wantFlags(t, captured(t, hub, held), "")
}

func TestHookErrorsAndSpans(t *testing.T) {
	client := newAPI(t, NewHook()).NewClient()
	ctx, hub, held := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	client.Boolean(span.Context(), "hello", false, openfeature.EvaluationContext{})
	client.Boolean(span.Context(), "world", false, openfeature.EvaluationContext{})
	wantFlags(t, captured(t, hub, held), "hello=T world=F")
	span.Finish()
	wantAttributes(t, attributes(held.last(t)), map[string]any{"hello": true, "world": false})
}

func TestHookBooleansOnly(t *testing.T) {
	client := newAPI(t, NewHook()).NewClient()
	ctx, hub, held := newHub(t)
	evaluateAll(ctx, client)
	wantFlags(t, captured(t, hub, held), "hello=T")
}

func TestHookAllValues(t *testing.T) {
	client := newAPI(t, mustNew(t, WithAllValues())).NewClient()
	ctx, hub, held := newHub(t)
	evaluateAll(ctx, client)
	wantFlags(t, captured(t, hub, held), "hello=T theme:blue=T limit:42=T ratio:0.5=T layout:grid=T")
}

func evaluateAll(ctx context.Context, client *openfeature.Client) {
	ec := openfeature.EvaluationContext{}
	client.Boolean(ctx, "hello", false, ec)
	client.String(ctx, "theme", "red", ec)
	client.Int(ctx, "limit", 1, ec)
	client.Float(ctx, "ratio", 1, ec)
	client.Object(ctx, "layout", nil, ec)
}

// TestHookObjectBecomesDefault: an object's variant is shown by its name, and when another hook makes the application
// receive the default instead, which has no name, the variant is not claimed any more.
func TestHookObjectBecomesDefault(t *testing.T) {
	api := newAPI(t, failingHook{after: errors.New("another hook failed")}, mustNew(t, WithAllValues()))
	ctx, hub, held := newHub(t)
	span := sentry.StartSpan(ctx, "job")
	api.NewClient().Object(span.Context(), "layout", nil, openfeature.EvaluationContext{})
	wantFlags(t, captured(t, hub, held), "")
	span.Finish()
	wantAttributes(t, attributes(held.last(t)), map[string]any{})
}

// TestHookNil: an evaluation with a hook that was never made is an evaluation all the same.
func TestHookNil(t *testing.T) {
	var hook *Tracker
	if !newAPI(t, hook).NewClient().Boolean(t.Context(), "hello", false, openfeature.EvaluationContext{}) {
		t.Error("the hook changed the value of a flag")
	}
	if !newAPI(t, hook).NewClient().Boolean(t.Context(), "missing", true, openfeature.EvaluationContext{}) {
		t.Error("the hook changed the default of a flag")
	}
}

// TestFilterSeesWhatDecides: everything that OpenFeature tells a hook, for evaluations, failures and AddFeatureFlag.
func TestFilterSeesWhatDecides(t *testing.T) {
	type seen struct {
		Flag, Variant, Domain, Provider, Reason string
		Value                                   any
		Failed, Context                         bool
	}
	var got []seen
	type key struct{}
	tracker := mustNew(t, WithFilter(func(ctx context.Context, e Evaluation) (Evaluation, bool) {
		got = append(got, seen{
			Flag: e.Flag, Variant: e.Variant, Domain: e.Domain, Provider: e.Provider, Reason: string(e.Reason),
			Value: e.Value, Failed: e.Err != nil, Context: ctx.Value(key{}) == true,
		})
		return e, true
	}))
	if err := openfeature.SetNamedProviderAndWait("shop", memprovider.NewInMemoryProvider(shopFlags())); err != nil {
		t.Fatal(err)
	}
	client := openfeature.NewClient("shop")
	client.AddHooks(tracker)
	ctx, _, _ := newHub(t)
	ctx = context.WithValue(ctx, key{}, true)
	client.Boolean(ctx, "hello", false, openfeature.EvaluationContext{})
	client.String(ctx, "theme", "red", openfeature.EvaluationContext{})
	client.Boolean(ctx, "missing", true, openfeature.EvaluationContext{})
	tracker.AddFeatureFlag(ctx, "own", true)
	want := []seen{
		{"hello", "on", "shop", "InMemoryProvider", "STATIC", true, false, true},
		{"theme", "dark", "shop", "InMemoryProvider", "STATIC", "blue", false, true},
		{"missing", "", "shop", "InMemoryProvider", "ERROR", true, true, true},
		{"own", "", "", "", "", true, false, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHookPanickingFilter: a panic in a hook reaches the application, so there must be none.
func TestHookPanickingFilter(t *testing.T) {
	hook := mustNew(t, WithFilter(func(context.Context, Evaluation) (Evaluation, bool) { panic("filter") }))
	client := newAPI(t, hook).NewClient()
	ctx, _, _ := newHub(t)
	if !client.Boolean(ctx, "hello", false, openfeature.EvaluationContext{}) {
		t.Error("the hook changed the value of a flag")
	}
}
