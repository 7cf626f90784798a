package flagtrack

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

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
// at the same address. An entry goes with its span.
var spans spanTable

type spanTable struct {
	entries sync.Map // sentry.SpanID to *spanFlags
}

// spanFlags are the flags of one span, in the order of their first evaluation.
type spanFlags struct {
	trace    sentry.TraceID
	mu       sync.Mutex
	flags    []spanFlag
	dropped  uint64 // evaluations that found the span full
	rendered bool   // nothing is added any more
}

type spanFlag struct {
	flag  *flagName
	value value
}

// is reports whether f is of the flag. One flag has several flagNames once the table of names has started over.
func (f spanFlag) is(flag *flagName) bool { return f.flag == flag || f.flag.shown == flag.shown }

// record adds a flag to span, unless it is finished or nobody will ever see it.
func (t *spanTable) record(span *sentry.Span, flag *flagName, v value) {
	if e := t.entry(span); e != nil && !isFinished(span) {
		e.set(flag, v)
	}
}

// entry returns the entry of span, or nil if it is not sampled or was not started by sentry-go and so has no id.
func (t *spanTable) entry(span *sentry.Span) *spanFlags {
	if v, ok := t.entries.Load(span.SpanID); ok {
		return v.(*spanFlags).in(span.TraceID)
	}
	if !isSampled(span) || isFinished(span) || span.SpanID == (sentry.SpanID{}) {
		return nil
	}
	fresh := &spanFlags{trace: span.TraceID}
	if v, loaded := t.entries.LoadOrStore(span.SpanID, fresh); loaded {
		return v.(*spanFlags).in(span.TraceID)
	}
	runtime.AddCleanup(span, func(id sentry.SpanID) { t.entries.Delete(id) }, span.SpanID)
	return fresh
}

// sentry-go writes two fields of a span when it finishes, and there is no lock that we could take: EndTime, and
// Sampled if the transaction has an ignored status (404, by default). Whichever value a racing read finds is right at
// that moment: it only decides whether the span still takes a flag. So these reads are kept from the race detector,
// which would otherwise blame an application's own test for them. A pointer is read whole, and every mixture of an
// old and a new time.Time is either zero or not.

//go:norace
func isSampled(span *sentry.Span) bool { return span.Sampled == sentry.SampledTrue }

//go:norace
func endTime(span *sentry.Span) time.Time { return span.EndTime }

func isFinished(span *sentry.Span) bool { return !endTime(span).IsZero() }

// take returns the flags of a span whose transaction is finished, once. Its entry stays until the span is gone, so that
// a goroutine that still records cannot make another.
func (t *spanTable) take(trace sentry.TraceID, id sentry.SpanID) []spanFlag {
	v, ok := t.entries.Load(id)
	if !ok || v.(*spanFlags).in(trace) == nil {
		return nil
	}
	e := v.(*spanFlags)
	e.mu.Lock()
	defer e.mu.Unlock()
	flags, dropped := e.flags, e.dropped
	e.flags, e.dropped, e.rendered = nil, 0, true
	left.overSpan.Add(dropped)
	return flags
}

// in returns e if it belongs to a span of the given trace.
func (e *spanFlags) in(trace sentry.TraceID) *spanFlags {
	if e.trace != trace {
		return nil
	}
	return e
}

func (e *spanFlags) set(flag *flagName, v value) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.flags {
		if e.flags[i].flag == flag { // nearly always: much quicker than to compare names
			e.flags[i].value = v
			return
		}
	}
	i := slices.IndexFunc(e.flags, func(f spanFlag) bool { return f.is(flag) })
	switch {
	case i >= 0:
		e.flags[i].value = v
	case e.rendered:
	case len(e.flags) == spanCapacity:
		e.dropped++
	default:
		e.flags = append(e.flags, spanFlag{flag, v})
	}
}

// forget removes a flag from span.
func (t *spanTable) forget(span *sentry.Span, flag *flagName) {
	v, ok := t.entries.Load(span.SpanID)
	if !ok || isFinished(span) {
		return
	}
	if e := v.(*spanFlags).in(span.TraceID); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.flags = slices.DeleteFunc(e.flags, func(f spanFlag) bool { return f.is(flag) })
	}
}

// name returns what f is called in Sentry.
func (f spanFlag) name() string {
	if f.value.variant != "" {
		return f.value.variant
	}
	return f.flag.shown
}

// eachAttribute calls set for the attribute of each flag. Different flags that would look alike (the flag "x:blue" and
// the value blue of x) are told apart as in an event: the later one has the name, and a hash goes behind the other.
func eachAttribute(flags []spanFlag, set func(attribute string, result bool)) {
	for i, f := range flags {
		name := f.name()
		if slices.ContainsFunc(flags[i+1:], func(later spanFlag) bool { return later.name() == name }) {
			name = flagname.TellApart(name, f.flag.shown)
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
