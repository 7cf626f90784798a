package flagtrack

import (
	"cmp"
	"maps"
	"slices"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
)

// init puts the processor where every event passes it, after a client's processors and before BeforeSend, in case that
// no scope had it. It has to be there before anything can be recorded.
func init() {
	sentry.AddGlobalEventProcessor(process)
}

// process takes the tags that hold flags out of an event and puts the flags where they belong. Whichever of the two
// processors comes first finds them; the other finds nothing left to do.
func process(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
	if event == nil {
		return nil
	}
	flags, cleared := takeFlags(event.Tags)
	switch event.Type {
	case "", "event":
		setFlagsContext(event, flags, cleared)
	case "transaction":
		renderSpans(event)
	}
	return event
}

// Value is one element of contexts.flags.values in an event, which holds a []Value, oldest first.
type Value struct {
	Flag   string `json:"flag"`
	Result bool   `json:"result"`
}

// setFlagsContext sets contexts.flags, unless there is nothing to show or the event has its own.
func setFlagsContext(event *sentry.Event, flags []takenFlag, cleared uint64) {
	if len(flags) == 0 {
		return
	}
	if _, own := event.Contexts["flags"]; own {
		left.ownFlags.Add(1)
		return
	}
	r := render(flags, cleared)
	left.overCapacity.Add(uint64(r.overCapacity))
	left.overBytes.Add(uint64(r.overBytes))
	if len(r.values) == 0 {
		return
	}
	// The map may be the application's, and used for its next event too, which must not find these flags in it.
	contexts := make(map[string]sentry.Context, len(event.Contexts)+1)
	maps.Copy(contexts, event.Contexts)
	contexts["flags"] = sentry.Context{"values": r.values}
	event.Contexts = contexts
}

// rendered is what an event shows, and how many flags it does not.
type rendered struct {
	values       []Value // oldest first
	overCapacity int
	overBytes    int
}

// render sorts the flags and keeps the newest that fit into the limits of the tracker that recorded last.
func render(flags []takenFlag, cleared uint64) (r rendered) {
	sortNewestFirst(flags)
	flags = flags[:countSince(flags, cleared)]
	if len(flags) == 0 {
		return r
	}
	l := flags[0].limits
	r.values = make([]Value, 0, min(len(flags), l.capacity))
	shown := newShownNames(flags)
	size := len(`{"values":[]}`) - len(",") // each value counts its comma, and the last has none
	for rank, f := range flags {
		if rank >= l.capacity {
			r.overCapacity++
			continue
		}
		v := Value{Flag: shown.name(f), Result: len(f.text) > falseLen}
		size += v.size()
		if l.maxBytes > 0 && size > l.maxBytes {
			r.overBytes++ // and so is all that is older
			continue
		}
		r.values = append(r.values, v)
	}
	slices.Reverse(r.values)
	return r
}

func sortNewestFirst(flags []takenFlag) {
	slices.SortFunc(flags, func(a, b takenFlag) int { return cmp.Compare(b.stamp, a.stamp) })
}

// countSince returns how many flags, which are sorted, were recorded after the latest clearing.
func countSince(flags []takenFlag, cleared uint64) int {
	if n := slices.IndexFunc(flags, func(f takenFlag) bool { return f.stamp < cleared }); n >= 0 {
		return n
	}
	return len(flags)
}

// size is the length of v in JSON with the comma behind it. Names are legal, so nothing in them is escaped.
func (v Value) size() int {
	n := len(`{"flag":"","result":true},`) + len(v.Flag)
	if !v.Result {
		n++
	}
	return n
}

// shownNames keeps two flags from being shown under one name: the flag "x:blue" and the value blue of x. It has
// something to do only where there are variants; otherwise the keys are the names and it is nil.
type shownNames map[string]bool

func newShownNames(flags []takenFlag) shownNames {
	if slices.ContainsFunc(flags, func(f takenFlag) bool { return len(f.text) > trueLen }) {
		return make(shownNames, len(flags))
	}
	return nil
}

// name returns the name to show for f, called with the newest first. An older look-alike is told apart by a hash.
func (s shownNames) name(f takenFlag) string {
	flag := f.key[len(keyPrefix):]
	if s == nil {
		return flag
	}
	name := flag
	if len(f.text) > trueLen {
		name = f.text[trueLen:]
	}
	if s[name] {
		name = flagname.TellApart(name, flag)
	}
	s[name] = true
	return name
}
