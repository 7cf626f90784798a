package killswitch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// stateNote is the name of the note that a queue's state is kept in.
const stateNote = "state"

// state is what relays, and people who restore, have to agree on about the flags
// of one toggler: it is swapped as a whole, so that every decision has a place in
// one order, over all processes.
type state struct {
	Version int `json:"v"`
	// N counts the decisions.
	N     int64                 `json:"n"`
	Flags map[string]*flagState `json:"flags"` // by Target.String

	// own are the flags of this state alone; the others are shared with those
	// that it was cloned from, and copied before they are written to.
	own map[string]bool
}

// flagState is what is known of one flag.
type flagState struct {
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

	// text is how a flag is encoded that is not written to any more.
	text json.RawMessage
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

// kill is a state that a flag is to be set to. Its JSON is what the store keeps:
// the decision, and nothing of the alert but its name and what tells alerts
// apart.
type kill struct {
	Version int       `json:"v"`
	Target  Target    `json:"target"`
	Flag    string    `json:"flag"`
	On      bool      `json:"on,omitempty"`
	Alert   string    `json:"alert,omitempty"`
	Trigger Trigger   `json:"trigger"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at"` // when it was accepted

	// Order is its place among the decisions about the queue's flags.
	Order int64 `json:"order"`
	// Again says that it has a record already: it repeats what a late switch has
	// undone.
	Again bool `json:"again,omitempty"`

	// Signed, Identity, Incident and Ends are the alert's: its signed time, what
	// tells alert rules apart, the incident, and that it tells of the end of one.
	Signed   time.Time `json:"signed"`
	Identity string    `json:"identity,omitempty"`
	Incident string    `json:"incident,omitempty"`
	Ends     bool      `json:"ends,omitempty"`
}

func (k *kill) key() string { return k.Target.String() }

// cools is what a cool-down goes by.
func (k *kill) cools() string { return k.Identity + "\x00" + string(k.Trigger) }

// after reports whether k is about a later moment than other, by what Sentry has
// signed. Of two alerts about one incident at the same time, the one that tells
// of its end is the later: Sentry cuts that time to the minute.
func (k *kill) after(other *kill) bool {
	if k.Signed.Equal(other.Signed) {
		return k.Incident != "" && k.Incident == other.Incident && k.Ends && !other.Ends
	}
	return k.Signed.After(other.Signed)
}

func (k *kill) switchOf(id string) Switch {
	return Switch{ID: id, Target: k.Target, On: k.On, Alert: k.Alert, Trigger: string(k.Trigger), By: k.By, At: k.At}
}

const stateVersion = 1

// decodeState reads a state. Flags that are as in the state that is known are
// taken from there: of many flags few differ.
func decodeState(body []byte, known *state) (*state, error) {
	s := &state{Version: stateVersion, Flags: map[string]*flagState{}}
	if len(body) == 0 {
		return s, nil
	}
	var stored struct {
		Version int                        `json:"v"`
		N       int64                      `json:"n"`
		Flags   map[string]json.RawMessage `json:"flags"`
	}
	if err := json.Unmarshal(body, &stored); err != nil {
		return nil, notOurs(err)
	}
	if stored.Version != stateVersion {
		return nil, fmt.Errorf("killswitch: the note %q of the queue has version %d; a newer relay wrote it", stateNote, stored.Version)
	}
	s.N = stored.N
	for key, text := range stored.Flags {
		if known != nil {
			if f := known.Flags[key]; f != nil && bytes.Equal(f.text, text) {
				s.Flags[key] = f
				continue
			}
		}
		f := &flagState{text: text}
		if err := json.Unmarshal(text, f); err != nil {
			return nil, notOurs(err)
		}
		s.Flags[key] = f
	}
	return s, nil
}

func notOurs(err error) error {
	return fmt.Errorf("killswitch: the note %q of the queue is not a relay's: %w", stateNote, err)
}

// encode writes the state, which is not changed any more. Of its flags only those
// are encoded that were written to.
func (s *state) encode() []byte {
	for key := range s.own {
		s.Flags[key].text = encoded(s.Flags[key])
	}
	s.own = nil
	body := fmt.Appendf(nil, `{"v":%d,"n":%d,"flags":{`, s.Version, s.N)
	for i, key := range slices.Sorted(maps.Keys(s.Flags)) {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(body, encoded(key)...), ':')
		body = append(body, s.Flags[key].text...)
	}
	return append(body, "}}"...)
}

func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("killswitch: a state cannot be encoded: " + err.Error()) // strings, numbers and times
	}
	return text
}

// clone returns a copy that can be written to; s itself is not, from then on.
func (s *state) clone() *state {
	c := *s
	c.Flags, c.own = maps.Clone(s.Flags), nil
	return &c
}

// flag returns what is known of a flag, to be written to. What its pointers lead
// to is never changed.
func (s *state) flag(key string) *flagState {
	f, found := s.Flags[key]
	if found && s.own[key] {
		return f
	}
	copied := flagState{}
	if found {
		copied = *f
		copied.text = nil
		copied.Cooling, copied.Hits, copied.Applied = slices.Clone(f.Cooling), slices.Clone(f.Hits), slices.Clone(f.Applied)
	}
	if s.own == nil {
		s.own = map[string]bool{}
	}
	s.Flags[key], s.own[key] = &copied, true
	return &copied
}

// limits are the settings that decisions depend on.
type limits struct {
	maxAge, coolDown time.Duration // coolDown 0 is none
	cap              int           // 0 is none
}

// refuses says why a kill is not to be made, as far as that depends on what was
// decided before.
func (s *state) refuses(k *kill, l limits, now time.Time) Reason {
	if s.Flags[k.key()] == nil {
		return ""
	}
	f := s.flag(k.key())
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
func (s *state) admit(k *kill, id string, l limits, now time.Time) {
	f := s.flag(k.key())
	f.forget(l, now)
	s.N++
	k.Order = s.N
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

// newer returns the newest decision about the flag of a kill if it is newer
// than that.
func (s *state) newer(k *kill) *decided {
	f := s.Flags[k.key()]
	if f == nil {
		return nil
	}
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
func (s *state) apply(k *kill, id string, was State, now time.Time, settled func(id string) bool) {
	f := s.flag(k.key())
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

func (s *state) applied(k *kill, id string) bool {
	f := s.Flags[k.key()]
	return f != nil && slices.Contains(f.Applied, id)
}

// giveUp lets the next alert about the flag try again at once.
func (s *state) giveUp(k *kill) {
	if s.Flags[k.key()] != nil {
		s.flag(k.key()).Cooling = nil
	}
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
