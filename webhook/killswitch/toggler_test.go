package killswitch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSteering(t *testing.T) {
	cause := errors.New("the cause")
	for name, c := range map[string]struct {
		err  error
		want ToggleError
	}{
		"nothing said":        {cause, ToggleError{Err: cause}},
		"final":               {Final(cause), ToggleError{Final: true, Err: cause}},
		"later":               {RetryAfter(cause, time.Minute), ToggleError{RetryAfter: time.Minute, Err: cause}},
		"later, but negative": {RetryAfter(cause, -time.Minute), ToggleError{Err: cause}},
		"unconfirmed":         {Unconfirmed(cause), ToggleError{Unconfirmed: true, Err: cause}},
		"wrapped":             {fmt.Errorf("more: %w", Final(cause)), ToggleError{Final: true, Err: cause}},
		"joined":              {errors.Join(errors.New("other"), Final(cause)), ToggleError{Final: true, Err: cause}},
	} {
		got := steering(c.err)
		if got.Final != c.want.Final || got.Unconfirmed != c.want.Unconfirmed || got.RetryAfter != c.want.RetryAfter {
			t.Errorf("%s: %+v", name, got)
		}
		if !errors.Is(c.err, cause) || !errors.Is(got.Err, cause) {
			t.Errorf("%s: the cause is lost", name)
		}
	}
	// The outermost counts, and keeps what is below.
	inner := Final(cause)
	if got := steering(RetryAfter(inner, time.Second)); got.Final || got.RetryAfter != time.Second || !errors.Is(got.Err, inner) {
		t.Errorf("%+v", got)
	}
	if Final(nil) != nil || RetryAfter(nil, time.Second) != nil || Unconfirmed(nil) != nil {
		t.Error("an error out of nothing")
	}
}

// evil panics in every method that errors can have.
type evil struct{}

func (evil) Error() string   { panic("Error") }
func (evil) Is(error) bool   { panic("Is") }
func (evil) As(any) bool     { panic("As") }
func (evil) Unwrap() []error { panic("Unwrap") }

func TestErrorsOfAnybody(t *testing.T) {
	var none *ToggleError
	for name, err := range map[string]error{
		"evil": evil{}, "steered evil": RetryAfter(evil{}, time.Minute), "without an inner one": &ToggleError{}, "a nil pointer": none,
	} {
		if text := errorText(err); !strings.Contains(text, "cannot be read") {
			t.Errorf("%s: %q", name, text)
		}
		got := steering(err)
		if name == "steered evil" && got.RetryAfter != time.Minute {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if errorText(nil) != "" {
		t.Error("a text for nothing")
	}
	if text := errorText(errors.New("line\nbreak\x1b[31m \u202e \"quoted\" é")); text != `line\nbreak\x1b[31m \u202e "quoted" é` {
		t.Error(text)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := errorText(errors.New(rapid.String().Draw(t, "text")))
		if len(text) > maxErrorText+20 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q", text)
		}
	})
}

type togglerFunc func(context.Context, Switch) (State, error)

func (f togglerFunc) Toggle(ctx context.Context, s Switch) (State, error) { return f(ctx, s) }

func TestToggleContains(t *testing.T) {
	panics := togglerFunc(func(context.Context, Switch) (State, error) { panic("boom") })
	if was, err := toggle(t.Context(), panics, Switch{}); was != StateUnknown || !errors.Is(err, errPanicked) {
		t.Error(was, err)
	}
	odd := togglerFunc(func(context.Context, Switch) (State, error) { return 17, nil })
	if was, err := toggle(t.Context(), odd, Switch{}); was != StateUnknown || err != nil {
		t.Error(was, err)
	}
	fine := togglerFunc(func(context.Context, Switch) (State, error) { return StateOn, nil })
	if was, err := toggle(t.Context(), fine, Switch{}); was != StateOn || err != nil {
		t.Error(was, err)
	}
}

func TestTargetInJSON(t *testing.T) {
	word := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"checkout.v2", "team:checkout", "New checkout", `"`, "=", " "}))
	draw := func(t *rapid.T, label string) Target {
		target := Target{Flag: word.Draw(t, label)}
		for name, value := range rapid.MapOfN(rapid.OneOf(word, rapid.SampledFrom([]string{"environment", "project"})), word, 0, 3).Draw(t, label+" attributes") {
			if name != "" && name != "flag" {
				if target.Attributes == nil {
					target.Attributes = map[string]string{}
				}
				target.Attributes[name] = value
			}
		}
		return target
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Target
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, back); diff != "" {
			t.Fatal(diff)
		}
		if (a.String() == b.String()) != a.Equal(b) {
			t.Fatalf("%+v and %+v are %s and %s", a, b, a, b)
		}
	})
	for text, want := range map[string]error{
		`{"flag":"a"}`: nil, `{"flag":"a","environment":"b"}`: nil, `{}`: ErrInvalidTarget, `{"environment":"b"}`: ErrInvalidTarget,
		`{"flag":1}`: ErrInvalidTarget, `"a"`: ErrInvalidTarget, `{"flag":"a","":"b"}`: ErrInvalidTarget, `{"flag":""}`: ErrInvalidTarget,
	} {
		var target Target
		err := json.Unmarshal([]byte(text), &target)
		if err == nil {
			err = target.Validate()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestState(t *testing.T) {
	for state, name := range map[State]string{StateUnknown: "unknown", StateOff: "off", StateOn: "on", 17: "unknown", -1: "unknown"} {
		if state.String() != name {
			t.Errorf("%d: %s", state, state)
		}
		text, err := json.Marshal(state)
		var back State
		if err2 := json.Unmarshal(text, &back); err != nil || err2 != nil || back.String() != name {
			t.Errorf("%s gives %v, %v, %v", text, back, err, err2)
		}
	}
	var later State
	if err := json.Unmarshal([]byte(`"half"`), &later); err != nil || later != StateUnknown {
		t.Error(later, err)
	}
	if StateOf(true) != StateOn || StateOf(false) != StateOff {
		t.Error("StateOf")
	}
}

func TestReason(t *testing.T) {
	for want, s := range map[string]Switch{
		`Sentry alert "Checkout failing" (event_alert.triggered)`: {Alert: "Checkout failing", Trigger: "event_alert.triggered"},
		`Sentry alert "a\nb" (metric_alert.critical)`:             {Alert: "a\nb", Trigger: "metric_alert.critical"},
		`restore by ada@example.com`:                              {By: "ada@example.com", Trigger: "restore"},
	} {
		if got := s.Reason(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
