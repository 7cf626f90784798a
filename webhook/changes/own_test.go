package changes_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/changes"
)

// switched is a document of a keyed format with one flag.
func switched(enabled, rest string) string {
	return `{"flags":{"f":{"enabled":` + enabled + `,"rest":` + rest + `},"g":{"enabled":true}}}`
}

func TestOwnSwitchIsNotReported(t *testing.T) {
	const on, off, none = "on", "off", `{"flags":{"g":{"enabled":true}}}`
	type step struct {
		own      string // on, off, or none of it
		disown   bool
		document string
		wait     time.Duration
		want     string // what is reported of it
	}
	isOn, isOff, other := switched("true", "1"), switched("false", "1"), switched("false", "2")
	for name, steps := range map[string][]step{
		"switched off, on by a person, off by a person": {{own: off, document: isOff}, {document: isOn, want: "updated f"}, {document: isOff, want: "updated f"}},
		"off, and restored":                             {{own: off, document: isOff}, {own: on, document: isOn}},
		"off, with another edit":                        {{own: off, document: other, want: "updated f"}},
		"off by a person who is quicker":                {{document: isOff, want: "updated f"}, {own: off, document: isOff}, {document: isOn, want: "updated f"}, {document: isOff, want: "updated f"}},
		"seen later":                                    {{own: off, document: isOn, wait: time.Minute}, {document: isOff}},
		"seen much later":                               {{own: off, document: isOn, wait: 7 * time.Minute}, {document: isOff, want: "updated f"}},
		"taken back":                                    {{own: off, disown: true, document: isOff, want: "updated f"}},
		"gone when off":                                 {{own: off, document: none}, {document: isOn, want: "updated f"}, {document: isOff, want: "updated f"}},
		"gone when off, there as off":                   {{own: off, document: none}, {document: isOff}},
		"gone when off, and restored":                   {{own: off, document: none}, {own: on, document: isOn}},
		"gone by a person":                              {{document: none, want: "deleted f"}, {document: isOn, want: "created f"}},
		"an edit before the switch is seen":             {{own: off, document: switched("true", "2"), want: "updated f"}, {document: other}},
		"another flag":                                  {{own: off, document: `{"flags":{"f":{"enabled":true,"rest":1},"g":{"enabled":false}}}`, want: "updated g"}},
	} {
		for _, restarted := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				doc, s := newDocument("flags.json", isOn), newStore(t)
				config := changes.Config{Source: doc, Format: changes.Keyed("/flags", "").Switch("enabled"), Store: s}
				w := watch(t, config)
				pause(5 * time.Second)
				want := []string{}
				for i, step := range steps {
					if step.own != "" {
						if err := w.Own(t.Context(), "f", step.own == on); err != nil {
							t.Fatal(err)
						}
					}
					if step.disown {
						if err := w.Disown(t.Context(), "f"); err != nil {
							t.Fatal(err)
						}
					}
					if restarted {
						w = restart(t, w, config)
					}
					doc.set(step.document)
					pause(max(step.wait, 10*time.Second))
					if restarted {
						pause(2 * time.Minute) // the lease of the one before
					}
					if step.want != "" {
						want = append(want, step.want)
					}
					if !restarted || step.wait == 0 {
						expect(t, s, want...)
					}
					if t.Failed() {
						t.Fatalf("%s, restarted %t, step %d", name, restarted, i)
					}
				}
			})
		}
	}
}

func TestOwnIsForFlagd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enabled := `{"flags":{"f":{"state":"ENABLED","variants":{"x":1}}}}`
		doc, s := newDocument("flags.json", enabled), newStore(t)
		w := watch(t, changes.Config{Source: doc, Format: changes.Flagd{}, Store: s})
		if err := w.Own(t.Context(), "f", false); err != nil { // before there is a baseline
			t.Fatal(err)
		}
		pause(5 * time.Second)
		if err := w.Own(t.Context(), "f", false); err != nil {
			t.Fatal(err)
		}
		doc.set(`{"flags":{"f":{"state":"DISABLED","variants":{"x":1}}}}`)
		pause(5 * time.Second)
		expect(t, s)
		if stats := w.Stats(); stats.Owned != 1 {
			t.Errorf("%+v", stats)
		}
		s.breakWith(func(string) error { return errDown }, nil)
		if err := w.Own(t.Context(), "f", true); err == nil {
			t.Error("owned without a store")
		}
	})
}
