package flagtrack

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/getsentry/sentry-go"

	"github.com/sentryflags/sentryflags-go/internal/flagname"
)

const (
	// spanCapacity is how many flags a span shows: the first ones, as Sentry's SDK specification has it.
	spanCapacity = 10
	// spanAttribute starts the name of a span attribute that shows a flag.
	spanAttribute = "flag.evaluation."
)

// spans holds the flags of spans until they are rendered. Calling Span.SetData at evaluation time is no option: while
// another goroutine finishes the transaction it kills the process. So flags wait here, and the goroutine that finishes
// the transaction renders them.
//
// The key is the span's id, which is random and never reused, so an entry cannot be mistaken for that of a dead span
// at the same address. An entry goes when its transaction is rendered, or else with its span.
var spans spanTable

type spanTable struct {
	entries sync.Map // sentry.SpanID to *spanFlags
}

// spanFlags are the flags of one span, in the order of their first evaluation.
type spanFlags struct {
	trace sentry.TraceID
	mu    sync.Mutex
	flags []spanFlag
}

type spanFlag struct {
	shown string // the flag's name, which identifies it
	value value
}

// activeSpan returns the span that an evaluation belongs to: the context's, which tells parallel children apart, and
// else the scope's.
func activeSpan(ctx context.Context, scope *sentry.Scope) *sentry.Span {
	if ctx != nil {
		if span := sentry.SpanFromContext(ctx); span != nil {
			return span
		}
	}
	if scope != nil {
		return scope.GetSpan()
	}
	return nil
}

// record adds a flag to span, unless nobody will ever see the span.
func (t *spanTable) record(span *sentry.Span, shown string, v value) {
	if e := t.entry(span); e != nil {
		e.set(shown, v)
	}
}

// entry returns the entry of span, or nil if it is not sampled or was not started by sentry-go and so has no id.
//
// A span's sampling decision is read only if the span has no entry yet: finishing a transaction that answered with an
// ignored status (404, by default) writes it, without a lock.
func (t *spanTable) entry(span *sentry.Span) *spanFlags {
	if v, ok := t.entries.Load(span.SpanID); ok {
		return v.(*spanFlags).in(span.TraceID)
	}
	if span.Sampled != sentry.SampledTrue || span.SpanID == (sentry.SpanID{}) {
		return nil
	}
	fresh := &spanFlags{trace: span.TraceID}
	if v, loaded := t.entries.LoadOrStore(span.SpanID, fresh); loaded {
		return v.(*spanFlags).in(span.TraceID)
	}
	runtime.AddCleanup(span, t.drop, spanKey{span.SpanID, fresh})
	return fresh
}

// spanKey tells an entry from a later one with the same span id: a span may be recorded into after it was rendered.
type spanKey struct {
	id    sentry.SpanID
	entry *spanFlags
}

func (t *spanTable) drop(k spanKey) {
	t.entries.CompareAndDelete(k.id, k.entry)
}

// take removes and returns the flags of a finished span.
func (t *spanTable) take(trace sentry.TraceID, id sentry.SpanID) []spanFlag {
	v, ok := t.entries.Load(id)
	if !ok || v.(*spanFlags).in(trace) == nil {
		return nil
	}
	e := v.(*spanFlags)
	t.entries.CompareAndDelete(id, e)
	e.mu.Lock()
	defer e.mu.Unlock()
	flags := e.flags
	e.flags = nil
	return flags
}

// in returns e if it belongs to a span of the given trace.
func (e *spanFlags) in(trace sentry.TraceID) *spanFlags {
	if e.trace != trace {
		return nil
	}
	return e
}

func (e *spanFlags) set(shown string, v value) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.flags {
		if e.flags[i].shown == shown {
			e.flags[i].value = v
			return
		}
	}
	if len(e.flags) < spanCapacity {
		e.flags = append(e.flags, spanFlag{shown, v})
	}
}

// forget removes a flag from span.
func (t *spanTable) forget(span *sentry.Span, shown string) {
	v, ok := t.entries.Load(span.SpanID)
	if !ok {
		return
	}
	if e := v.(*spanFlags).in(span.TraceID); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.flags = slices.DeleteFunc(e.flags, func(f spanFlag) bool { return f.shown == shown })
	}
}

// name returns what f is called in Sentry.
func (f spanFlag) name() string {
	if f.value.variant != "" {
		return f.value.variant
	}
	return f.shown
}

// eachAttribute calls set for the attribute of each flag. Different flags that would look alike (the flag "x:blue" and
// the value blue of x) are told apart as in an event: the later one has the name, and a hash goes behind the other.
func eachAttribute(flags []spanFlag, set func(attribute string, result bool)) {
	for i, f := range flags {
		name := f.name()
		if slices.ContainsFunc(flags[i+1:], func(later spanFlag) bool { return later.name() == name }) {
			name = flagname.TellApart(name, f.shown)
		}
		set(spanAttribute+name, f.value.result)
	}
}

// renderSpans puts the flags of a finished transaction and its spans into their attributes. It runs on the goroutine
// that finishes the transaction. The transaction's own data is shared with the live span, so a copy is extended; the
// children are finished, and their SetData locks.
func renderSpans(event *sentry.Event) {
	for _, span := range event.Spans {
		if span == nil {
			continue
		}
		eachAttribute(spans.take(span.TraceID, span.SpanID), func(attribute string, result bool) {
			span.SetData(attribute, result)
		})
	}
	renderRoot(event.Contexts["trace"])
}

func renderRoot(trace sentry.Context) {
	traceID, _ := trace["trace_id"].(sentry.TraceID)
	id, ok := trace["span_id"].(sentry.SpanID)
	if !ok {
		return
	}
	flags := spans.take(traceID, id)
	if len(flags) == 0 {
		return
	}
	old, _ := trace["data"].(map[string]any)
	data := maps.Clone(old)
	if data == nil {
		data = make(map[string]any, len(flags))
	}
	eachAttribute(flags, func(attribute string, result bool) { data[attribute] = result })
	trace["data"] = data
}
