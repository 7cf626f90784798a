package flagtrack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
	gocmp "github.com/google/go-cmp/cmp"
)

func TestMaxBytes(t *testing.T) {
	for _, budget := range []int{1, 50, 51, 100, 1000, 8000} {
		tracker := mustNew(t, WithMaxBytes(budget), WithCapacity(1000))
		ctx, hub, held := newHub(t)
		for i := range 300 {
			tracker.AddFeatureFlag(ctx, fmt.Sprintf("flag-%0*d", i%50+1, i), i%3 == 0)
		}
		hub.CaptureMessage("error")
		event := held.last(t)
		flags, ok := event.Contexts["flags"]
		if !ok {
			if budget > 60 {
				t.Errorf("no flags under a budget of %d", budget)
			}
			continue
		}
		b, err := json.Marshal(flags)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > budget {
			t.Errorf("%d bytes under a budget of %d", len(b), budget)
		}
		if budget >= 1000 && len(b) < budget-100 {
			t.Errorf("%d bytes only under a budget of %d", len(b), budget)
		}
		values := flags["values"].([]Value)
		if newest := values[len(values)-1].Flag; !strings.HasSuffix(newest, "299") {
			t.Errorf("the newest flag is %s", newest)
		}
	}
}

// TestDefaultBytes: 100 long names do not fit into what every Sentry takes, so the oldest give way.
func TestDefaultBytes(t *testing.T) {
	tracker := mustNew(t)
	ctx, hub, held := newHub(t)
	for i := range 100 {
		tracker.AddFeatureFlag(ctx, fmt.Sprintf("%s-%03d", strings.Repeat("long", 25), i), true)
	}
	hub.CaptureMessage("error")
	flags := held.last(t).Contexts["flags"]
	b, err := json.Marshal(flags)
	if err != nil || len(b) > DefaultMaxBytes || len(b) < DefaultMaxBytes-200 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	values := flags["values"].([]Value)
	if newest := values[len(values)-1].Flag; !strings.HasSuffix(newest, "-099") {
		t.Errorf("the newest flag is %s", newest)
	}
}

func TestMaxBytesExact(t *testing.T) {
	one := len(`{"values":[{"flag":"b","result":false}]}`)
	for budget, want := range map[int]string{one - 1: "", one: "b=F", one + 26: "b=F", one + 28: "a=T b=F"} {
		ctx, hub, held := newHub(t)
		add(ctx, mustNew(t, WithMaxBytes(budget)), "a=T b=F")
		wantFlags(t, captured(t, hub, held), want)
	}
}

func TestFilter(t *testing.T) {
	tracker := mustNew(t, WithAllValues(), WithFilter(func(_ context.Context, e Evaluation) (Evaluation, bool) {
		switch {
		case e.Flag == "secret":
			return Evaluation{}, false
		case e.Flag == "panic":
			panic("filter")
		case strings.HasPrefix(e.Flag, "acme-"):
			e.Flag = "customer"
		case e.Flag == "email":
			e.Value = true
		case e.Flag == "nameless":
			e.Flag = ""
		}
		return e, true
	}))
	ctx, hub, held := newHub(t)
	for flag, value := range map[string]any{"secret": true, "panic": true, "nameless": true} {
		tracker.AddFeatureFlag(ctx, flag, value)
	}
	wantFlags(t, captured(t, hub, held), "")
	tracker.AddFeatureFlag(ctx, "plain", false)
	tracker.AddFeatureFlag(ctx, "acme-beta", true)
	tracker.AddFeatureFlag(ctx, "email", "jane.doe@example.com")
	wantFlags(t, captured(t, hub, held), "plain=F customer=T email=T")
}

// TestFilterRedacts: a value that the filter takes away does not come back as the name of its variant.
func TestFilterRedacts(t *testing.T) {
	var variants []string
	tracker := mustNew(t, WithAllValues(), WithFilter(func(_ context.Context, e Evaluation) (Evaluation, bool) {
		variants = append(variants, e.Variant)
		return Evaluation{Flag: e.Flag}, true
	}))
	inPlace := mustNew(t, WithAllValues(), WithFilter(func(_ context.Context, e Evaluation) (Evaluation, bool) {
		e.Value = nil
		return e, true
	}))
	ctx, hub, held := newHub(t)
	evaluateAll(ctx, newAPI(t, tracker).NewClient())
	wantFlags(t, captured(t, hub, held), "")
	if diff := gocmp.Diff([]string{"on", "dark", "high", "half", "grid"}, variants); diff != "" {
		t.Errorf("the filter sees other variants (-want +got):\n%s", diff)
	}
	evaluateAll(ctx, newAPI(t, inPlace).NewClient())
	wantFlags(t, captured(t, hub, held), "layout:grid=T") // it left the variant, which it saw, as it was
}

// TestCurrentHub: a program that does one thing at a time may record on the process-wide scope, and only if it says so.
func TestCurrentHub(t *testing.T) {
	tracker := mustNew(t, WithCurrentHub())
	defer tracker.ClearFeatureFlags(context.Background())
	AddFeatureFlag(context.Background(), "not asked for", true)
	_, hub, held := newHub(t) // cloned from the current hub after the record
	wantFlags(t, captured(t, hub, held), "")
	tracker.AddFeatureFlag(context.Background(), "process", true)
	tracker.AddFeatureFlag(nil, "nil-context", true) //nolint:staticcheck // a nil context is the case
	_, hub, held = newHub(t)
	wantFlags(t, captured(t, hub, held), "process=T nil-context=T")
	tracker.ClearFeatureFlags(context.Background())
	_, hub, held = newHub(t)
	wantFlags(t, captured(t, hub, held), "")
}

type scopeKey struct{}

func TestScopeFinder(t *testing.T) {
	tracker := mustNew(t, WithScopeFinder(func(ctx context.Context) *sentry.Scope {
		scope, _ := ctx.Value(scopeKey{}).(*sentry.Scope)
		return scope
	}))
	_, hub, held := newHub(t)
	ctx := context.WithValue(context.Background(), scopeKey{}, hub.Scope())
	tracker.AddFeatureFlag(ctx, "a", true)
	wantFlags(t, captured(t, hub, held), "a=T")
	tracker.ClearFeatureFlags(ctx)
	wantFlags(t, captured(t, hub, held), "")

	asked := 0
	tracker = mustNew(t, WithScopeFinder(func(ctx context.Context) *sentry.Scope {
		_ = ctx.Value(scopeKey{}) // panics if it is nil
		asked++
		return nil
	}))
	tracker.AddFeatureFlag(nil, "a", true) //nolint:staticcheck // a nil context is the case
	if asked != 1 {
		t.Error("the function was not called with a context")
	}
}

func TestNilOptionsAreIgnored(t *testing.T) {
	tracker := mustNew(t, nil, WithCapacity(5), nil)
	ctx, hub, held := newHub(t)
	tracker.AddFeatureFlag(ctx, "a", true)
	wantFlags(t, captured(t, hub, held), "a=T")
}

// TestOptionsThatCannotWork are errors: above all a filter that would keep nothing private.
func TestOptionsThatCannotWork(t *testing.T) {
	find := func(context.Context) *sentry.Scope { return nil }
	for name, opts := range map[string][]Option{
		"nil filter":      {WithFilter(nil)},
		"nil finder":      {WithScopeFinder(nil)},
		"hub and finder":  {WithCurrentHub(), WithScopeFinder(find)},
		"finder and hub":  {WithScopeFinder(find), WithCurrentHub()},
		"nil filter last": {WithFilter(func(_ context.Context, e Evaluation) (Evaluation, bool) { return e, true }), WithFilter(nil)},
	} {
		if tracker, err := New(opts...); !errors.Is(err, ErrInvalidOption) || tracker != nil {
			t.Errorf("%s: New returned %v and %v", name, tracker, err)
		}
	}
}

// TestFiltersAddUp: a second filter does not switch the first one off.
func TestFiltersAddUp(t *testing.T) {
	drop := func(flag string) Option {
		return WithFilter(func(_ context.Context, e Evaluation) (Evaluation, bool) { return e, e.Flag != flag })
	}
	tracker := mustNew(t, drop("a"), drop("b"))
	ctx, hub, held := newHub(t)
	add(ctx, tracker, "a=T b=T c=T")
	wantFlags(t, captured(t, hub, held), "c=T")
}

func TestSetDefault(t *testing.T) {
	t.Cleanup(func() { SetDefault(nil) })
	hook := NewHook() // made before, follows all the same
	SetDefault(mustNew(t, WithAllValues(), WithCapacity(2)))
	ctx, hub, held := newHub(t)
	AddFeatureFlag(ctx, "x", "blue")
	evaluateAll(ctx, newAPI(t, hook).NewClient())
	wantFlags(t, captured(t, hub, held), "ratio:0.5=T layout:grid=T")
	SetDefault(NewHook()) // which follows the default, and so cannot be it
	AddFeatureFlag(ctx, "x", "red")
	wantFlags(t, captured(t, hub, held), "ratio:0.5=T layout:grid=T")
}

// TestLimitsOfTheNewest: an event goes by the limits of the tracker that recorded last, and shows a flag once.
func TestLimitsOfTheNewest(t *testing.T) {
	small, large := mustNew(t, WithCapacity(2)), mustNew(t, WithCapacity(20))
	ctx, hub, held := newHub(t)
	add(ctx, large, "a=T b=T c=T")
	add(ctx, small, "a=F")
	wantFlags(t, captured(t, hub, held), "c=T a=F")
	add(ctx, large, "d=T")
	wantFlags(t, captured(t, hub, held), "b=T c=T a=F d=T")
	// Beyond the capacity of its own tracker, a flag may be forgotten.
	add(ctx, large, "e=T")
	wantFlags(t, captured(t, hub, held), "b=T c=T a=F d=T e=T")
	sweep(hub.Scope())
	wantFlags(t, captured(t, hub, held), "b=T c=T d=T e=T")
}

func TestTooManyLimits(t *testing.T) {
	all := registry.all.Load()
	t.Cleanup(func() { registry.all.Store(all) }) // or no other test could make a tracker afterwards
	for i := range maxLimits {
		tracker, err := New(WithCapacity(500 + i))
		if err != nil {
			if tracker != nil || !errors.Is(err, ErrInvalidOption) || !strings.Contains(err.Error(), "keep them") {
				t.Errorf("New returned %v and %v", tracker, err)
			}
			return
		}
	}
	t.Error("there is no limit")
}

// TestNamedBool: a type of an application's own may be a boolean all the same.
func TestNamedBool(t *testing.T) {
	type toggle bool
	for _, tracker := range []*Tracker{mustNew(t), mustNew(t, WithAllValues())} {
		ctx, hub, held := newHub(t)
		tracker.AddFeatureFlag(ctx, "on", toggle(true))
		tracker.AddFeatureFlag(ctx, "off", toggle(false))
		wantFlags(t, captured(t, hub, held), "on=T off=F")
	}
}

func TestAllValues(t *testing.T) {
	type plan string
	for _, c := range []struct {
		value any
		want  string
	}{
		{true, "x=T"},
		{false, "x=F"},
		{"blue", "x:blue=T"},
		{"", "x:=T"},
		{"dark blue", "x:dark_blue-cecc5b05=T"},
		{strings.Repeat("é", 300), "x:" + strings.Repeat("_", 189) + "-12ed7847=T"},
		{strings.Repeat("a", maxValueText+1), ""},
		{plan(strings.Repeat("a", maxValueText+1)), ""},
		{plan("gold"), "x:gold=T"},
		{7, "x:7=T"},
		{int8(-7), "x:-7=T"},
		{uint64(math.MaxUint64), "x:18446744073709551615=T"},
		{1.5, "x:1.5=T"},
		{float32(0.1), "x:0.1=T"},
		{1e21, "x:1e21=T"},
		{-0.25, "x:-0.25=T"},
		{math.NaN(), "x:NaN=T"},
		{math.Inf(1), "x:Inf=T"},
		{math.Inf(-1), "x:-Inf=T"},
		{nil, ""},
		{map[string]any{"a": 1}, ""},
		{[]string{"a"}, ""},
		{func() {}, ""},
		{make(chan int), ""},
		{struct{ F func() }{}, ""},
		{new(int), ""},
		{complex(1, 2), ""},
	} {
		t.Run(fmt.Sprintf("%T", c.value), func(t *testing.T) {
			tracker := mustNew(t, WithAllValues())
			ctx, hub, held := newHub(t)
			hub.Scope().SetContext("own", sentry.Context{"kept": true})
			tracker.AddFeatureFlag(ctx, "x", c.value)
			wantFlags(t, captured(t, hub, held), c.want)
			if held.last(t).Contexts["own"]["kept"] != true {
				t.Error("the event lost a context")
			}
		})
	}
}

// TestVariantReplaces: the list never claims two values of one flag, nor a value that is not the latest.
func TestVariantReplaces(t *testing.T) {
	tracker := mustNew(t, WithAllValues())
	ctx, hub, held := newHub(t)
	for _, step := range []struct {
		value any
		want  string
	}{
		{"blue", "y=T x:blue=T"},
		{"red", "y=T x:red=T"},
		{true, "y=T x=T"},
		{3, "y=T x:3=T"},
		{[]int{1}, "y=T"},
		{"red", "y=T x:red=T"},
	} {
		if step.value == "blue" {
			tracker.AddFeatureFlag(ctx, "y", true)
		}
		tracker.AddFeatureFlag(ctx, "x", step.value)
		wantFlags(t, captured(t, hub, held), step.want)
	}
}

// TestLookAlikes: different flags that would be shown under one name are both shown.
func TestLookAlikes(t *testing.T) {
	tracker := mustNew(t, WithAllValues())
	ctx, hub, held := newHub(t)
	tracker.AddFeatureFlag(ctx, "x:blue", false)
	tracker.AddFeatureFlag(ctx, "x", "blue:sky")
	tracker.AddFeatureFlag(ctx, "x:blue", "sky")
	tracker.AddFeatureFlag(ctx, "x", "blue")
	tracker.AddFeatureFlag(ctx, "x:blue", false)
	got := captured(t, hub, held)
	names := strings.Fields(got)
	if len(names) != 2 || !strings.HasPrefix(names[0], "x:blue-") || !strings.HasSuffix(names[0], "=T") || names[1] != "x:blue=F" {
		t.Errorf("flags are [%s]", got)
	}
}

func TestNamesOnTheWire(t *testing.T) {
	b, err := os.ReadFile("../testdata/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name    string
		Bytes   []byte // base64 of a name that JSON cannot carry
		Cleaned string
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) == 0 {
		t.Fatalf("%d names, %v", len(vectors), err)
	}
	for _, v := range vectors {
		name := cmp.Or(string(v.Bytes), v.Name)
		if got := ShownName(name); got != v.Cleaned {
			t.Errorf("ShownName(%q) = %q, want %q", name, got, v.Cleaned)
		}
		ctx, hub, held := newHub(t)
		span := sentry.StartSpan(ctx, "job")
		AddFeatureFlag(span.Context(), name, true)
		want, attribute := v.Cleaned+"=T", map[string]any{v.Cleaned: true}
		if v.Cleaned == "" {
			want, attribute = "", map[string]any{}
		}
		wantFlags(t, captured(t, hub, held), want)
		span.Finish()
		wantAttributes(t, attributes(held.last(t)), attribute)
	}
}
