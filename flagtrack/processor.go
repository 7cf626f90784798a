package flagtrack

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
)

// init puts the processor where every event passes it. On the process-wide scope it is the first, and all hubs that
// are cloned from the current one inherit it. The global one comes after a client's processors and before BeforeSend,
// and serves hubs whose scope was made by hand. Both have to be there before anything can be recorded.
func init() {
	sentry.AddGlobalEventProcessor(process)
	if scope := sentry.CurrentHub().Scope(); scope != nil {
		scope.AddEventProcessor(process)
	}
}

// process takes the tags that hold flags out of an event and puts the flags where they belong. Running it again on
// the same event changes nothing.
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

// takenFlag is a flag that was taken out of an event's tags.
type takenFlag struct {
	key   string
	text  string
	stamp string
}

// takeFlags removes all tags of ours and returns the flags in any order, and the stamp before which they do not count.
func takeFlags(tags map[string]string) (flags []takenFlag, cleared string) {
	for key, text := range tags {
		if !strings.HasPrefix(key, keyPrefix) {
			continue
		}
		delete(tags, key)
		switch {
		case len(text) < stampLen: // not ours
		case key == clearedKey:
			cleared = text[:stampLen]
		default:
			if flags == nil {
				flags = make([]takenFlag, 0, len(tags)+1)
			}
			flags = append(flags, takenFlag{key: key, text: text, stamp: text[:stampLen]})
		}
	}
	return flags, cleared
}

// Value is one element of contexts.flags.values in an event, which holds a []Value, oldest first.
type Value struct {
	Flag   string `json:"flag"`
	Result bool   `json:"result"`
}

// setFlagsContext sets contexts.flags, unless there is nothing to show or the event has its own.
func setFlagsContext(event *sentry.Event, flags []takenFlag, cleared string) {
	if len(flags) == 0 {
		return
	}
	if _, own := event.Contexts["flags"]; own {
		return
	}
	values := render(flags, cleared)
	if len(values) == 0 {
		return
	}
	// The map may be the application's, and used for its next event too, which must not find these flags in it.
	contexts := make(map[string]sentry.Context, len(event.Contexts)+1)
	maps.Copy(contexts, event.Contexts)
	contexts["flags"] = sentry.Context{"values": values}
	event.Contexts = contexts
}

// render sorts the flags, keeps the newest that fit into the limits and returns them oldest first.
func render(flags []takenFlag, cleared string) []Value {
	slices.SortFunc(flags, func(a, b takenFlag) int { return cmp.Compare(b.stamp, a.stamp) })
	limits := limitsOf(flags[0].key[len(keyPrefix)])
	if limits == nil {
		return nil
	}
	values := make([]Value, 0, min(len(flags), limits.capacity))
	seen := newShownNames(flags)
	size := len(`{"values":[]}`) - len(",") // each value counts its comma, and the last has none
	for _, f := range flags {
		if f.stamp < cleared || len(values) == limits.capacity {
			break
		}
		name, ok := seen.show(f)
		if !ok {
			continue
		}
		v := Value{Flag: name, Result: len(f.text) > stampLen}
		size += v.size()
		if limits.maxBytes > 0 && size > limits.maxBytes {
			break
		}
		values = append(values, v)
	}
	slices.Reverse(values)
	return values
}

// size is the length of v in JSON with the comma behind it. Names are legal, so nothing in them is escaped.
func (v Value) size() int {
	n := len(`{"flag":"","result":true},`) + len(v.Flag)
	if !v.Result {
		n++
	}
	return n
}

// shownNames keeps two flags from being shown under one name. It has something to do only where flags were recorded
// under several limits or as variants; otherwise the keys are the names and it is nil.
type shownNames map[string]string

func newShownNames(flags []takenFlag) shownNames {
	first := flags[0].key[len(keyPrefix)]
	for _, f := range flags {
		if f.key[len(keyPrefix)] != first || len(f.text) > markLen {
			return make(shownNames, len(flags))
		}
	}
	return nil
}

// show returns the name to show for f, called with the newest first. It reports false for an older record of the same
// flag. Different flags that would look alike (the flag "x:blue" and the value blue of x) are told apart by a hash.
func (s shownNames) show(f takenFlag) (string, bool) {
	flag := f.key[len(keyPrefix)+1:]
	name := flag
	if len(f.text) > markLen {
		name = f.text[markLen:]
	}
	if s == nil {
		return name, true
	}
	recorded := "\x00" + flag // no shown name starts so: the same map holds flags and names
	if _, again := s[recorded]; again {
		return "", false
	}
	s[recorded] = ""
	if _, taken := s[name]; taken {
		name = flagname.TellApart(name, flag)
	}
	s[name] = flag
	return name, true
}

// PrepareScope is for a scope that was made by hand, with sentry.NewScope, rather than cloned from the current hub's.
// It keeps what this package stores in the scope from the processors that are added to the scope later and from those
// of the client. Call it once, right after sentry.NewScope. Flags are recorded and sent without it just as well.
func PrepareScope(scope *sentry.Scope) {
	if scope != nil {
		scope.AddEventProcessor(process)
	}
}
