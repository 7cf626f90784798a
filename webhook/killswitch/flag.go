package killswitch

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// flagState is what relays, and people who restore, have to agree on about a
// flag. It has a note of its own, which is swapped as a whole, so that every
// decision about the flag has a place in one order, over all processes.
type flagState struct {
	Version int `json:"v"`
	// N counts the decisions.
	N int64 `json:"n"`
	// Off and On are the newest decisions in either direction, by the alerts'
	// signed times.
	Off *decided `json:"off,omitempty"`
	On  *decided `json:"on,omitempty"`
	// Cooling are the alerts that do not switch the flag again for a while.
	Cooling []cooling `json:"cooling,omitempty"`
	// Hits are when the flag was switched within the last hour, for the cap.
	Hits []time.Time `json:"hits,omitempty"`
	// Applied are switches that were made and may not be recorded yet.
	Applied []string `json:"applied,omitempty"`
	// Killed is set while the flag is switched off and not restored.
	Killed *killed `json:"killed,omitempty"`
}

// decided is a decision about a flag.
type decided struct {
	Order int64  `json:"order"` // N at the time
	Kill  kill   `json:"kill"`
	ID    string `json:"id"` // of the item
}

type cooling struct {
	Alert string    `json:"alert"` // identity and action
	On    bool      `json:"on,omitempty"`
	Since time.Time `json:"since"`
}

// killed is how a flag was switched off.
type killed struct {
	ID   string `json:"id"`
	Kill kill   `json:"kill"` // the first one, since it was last restored
	// Since is when it was switched.
	Since time.Time `json:"since"`
	// Was is how the flag was before.
	Was State `json:"was"`
}

const flagVersion = 1

func decodeFlag(name string, body []byte) (*flagState, error) {
	f := &flagState{}
	if err := json.Unmarshal(body, f); err != nil {
		return nil, fmt.Errorf("killswitch: the note %q of the queue is not a relay's: %w", name, err)
	}
	if f.Version != flagVersion {
		return nil, fmt.Errorf("killswitch: the note %q of the queue has version %d; a newer relay wrote it", name, f.Version)
	}
	return f, nil
}

func (f *flagState) encode() []byte { return encoded(f) }

// encoded encodes what is kept, which holds strings, numbers and times.
func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("killswitch: what is kept cannot be encoded: " + err.Error()) // alerts outside of the years 0 to 9999 never act
	}
	return text
}

// clone returns a copy that can be written to. What its pointers lead to is never
// changed.
func (f *flagState) clone() *flagState {
	c := *f
	c.Cooling, c.Hits, c.Applied = slices.Clone(f.Cooling), slices.Clone(f.Hits), slices.Clone(f.Applied)
	return &c
}

// limits are the settings that decisions depend on.
type limits struct {
	maxAge, coolDown time.Duration // coolDown 0 is none
	cap              int           // 0 is none
}

// refuses says why a kill is not to be made, as far as that depends on what was
// decided before.
func (f *flagState) refuses(k *kill, l limits, now time.Time) Reason {
	f = f.clone()
	f.forget(l, now)
	if f.overtakes(k) {
		return ReasonOvertaken
	}
	for _, c := range f.Cooling {
		if c.Alert == k.cools() {
			return ReasonCoolingDown
		}
	}
	if l.cap > 0 && len(f.Hits) >= l.capOf(k) {
		return ReasonCap
	}
	return ""
}

// capOf keeps the last place of the hour for a switch-off: an alert that flaps
// must not use up the cap with its recovery and leave the flag on.
func (l limits) capOf(k *kill) int {
	if k.On && l.cap > 1 {
		return l.cap - 1
	}
	return l.cap
}

// overtakes reports whether a later alert has decided otherwise. Alerts can
// arrive out of order. A recovery that is older than any alarm does not count;
// an alarm counts unless the same alert has recovered since.
func (f *flagState) overtakes(k *kill) bool {
	if k.On {
		return f.Off != nil && !k.after(&f.Off.Kill)
	}
	return f.On != nil && f.On.Kill.Identity == k.Identity && f.On.Kill.after(k)
}

// admit decides for a kill.
func (f *flagState) admit(k *kill, id string, l limits, now time.Time) {
	f.forget(l, now)
	f.N++
	k.Order = f.N
	newest := &f.Off
	if k.On {
		newest = &f.On
	}
	// The newest in the order of decisions is what gets its way; a signed time
	// that is older than another one's stays the newest signed time.
	d := &decided{Order: k.Order, Kill: *k, ID: id}
	if *newest != nil && (*newest).Kill.Signed.After(k.Signed) {
		d.Kill.Signed, d.Kill.Incident, d.Kill.Ends = (*newest).Kill.Signed, (*newest).Kill.Incident, (*newest).Kill.Ends
	}
	*newest = d
	if l.cap > 0 {
		f.Hits = append(f.Hits, now)
	}
	// After a switch the other way the same alert is news again.
	f.Cooling = slices.DeleteFunc(f.Cooling, func(c cooling) bool { return c.On != k.On || c.Alert == k.cools() })
	if l.coolDown > 0 && k.Identity != "" {
		f.Cooling = append(f.Cooling, cooling{Alert: k.cools(), On: k.On, Since: now})
	}
}

// decided returns the decision whose item has the ID, if it is a newest one.
func (f *flagState) decided(id string) *decided {
	for _, d := range []*decided{f.Off, f.On} {
		if d != nil && d.ID == id {
			return d
		}
	}
	return nil
}

// newer returns the newest decision about the flag of a kill if it is newer
// than that.
func (f *flagState) newer(k *kill) *decided {
	newest := f.Off
	if newest == nil || f.On != nil && f.On.Order > newest.Order {
		newest = f.On
	}
	if newest == nil || newest.Order <= k.Order {
		return nil
	}
	return newest
}

// apply notes that a switch was made. Settled are those that need not be kept in
// mind any longer.
func (f *flagState) apply(k *kill, id string, was State, now time.Time, settled func(id string) bool) {
	f.Applied = slices.DeleteFunc(f.Applied, func(other string) bool { return other == id || settled(other) })
	f.Applied = append(f.Applied[max(0, len(f.Applied)-maxApplied+1):], id)
	switch {
	case k.On && (f.Off == nil || f.Off.Order < k.Order):
		f.Killed = nil
	case k.On, f.On != nil && f.On.Order > k.Order: // another one is newer
	case f.Killed == nil:
		f.Killed = &killed{ID: id, Kill: *k, Since: now.UTC().Truncate(time.Microsecond), Was: was}
	case was == StateOn && f.Killed.Was != StateOn:
		// Of two that switched it off at the same time, this one was the first.
		first := *f.Killed
		first.Was = was
		f.Killed = &first
	}
}

// maxApplied bounds [flagState.Applied]: more switches of one flag are not on
// their way at the same time.
const maxApplied = 100

func (f *flagState) applied(id string) bool { return slices.Contains(f.Applied, id) }

// landed returns the newest switch-on of the flag if it was made.
func (f *flagState) landed() string {
	if f.On == nil || !f.applied(f.On.ID) {
		return ""
	}
	return f.On.ID
}

// forget drops what has had its time. What seems to be from the future was
// written before a clock was set back.
func (f *flagState) forget(l limits, now time.Time) {
	over := func(since time.Time, after time.Duration) bool {
		age := now.Sub(since)
		return age >= after || age < -maxAhead
	}
	f.Cooling = slices.DeleteFunc(f.Cooling, func(c cooling) bool { return over(c.Since, l.coolDown) })
	f.Hits = slices.DeleteFunc(f.Hits, func(hit time.Time) bool { return over(hit, time.Hour) })
	keep := 2*l.maxAge + 2*maxAhead
	if f.Off != nil && over(f.Off.Kill.At, keep) {
		f.Off = nil
	}
	if f.On != nil && over(f.On.Kill.At, keep) {
		f.On = nil
	}
}
