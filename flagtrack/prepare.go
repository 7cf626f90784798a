package flagtrack

import (
	"reflect"
	"unsafe"

	"github.com/getsentry/sentry-go"
)

// A scope takes flags only if our processor is the first to see its events. Any other that drops an event would leave
// our tags behind, in a map that sentry-go has written them into: the application's, if it made the event itself, from
// where they would get into its next event, whoever's. Scopes cloned from the current hub's have the processor, for
// init put it there. Those made by sentry.NewScope have none, and get it when the first flag is recorded. If they have
// other processors by then, it is too late.

// PrepareScope is for a scope that was made by hand, with sentry.NewScope, and that is given event processors of its
// own before the first flag is recorded. Call it right after sentry.NewScope: flags are recorded only in scopes where
// this package's processor comes first (see LeftOut.Unprepared). Calling it again changes nothing.
func PrepareScope(scope *sentry.Scope) {
	if scope != nil && !isPrepared(scope) {
		scope.AddEventProcessor(ours)
	}
}

var (
	ours sentry.EventProcessor = process
	// accepted are the processors that a scope may have first: ours, and whichever the process-wide scope had before this
	// package was initialised, which all scopes cloned from it have.
	accepted [2]unsafe.Pointer
	// processors is the field of a scope that holds them.
	processors, processorsKnown = reflect.TypeFor[sentry.Scope]().FieldByName("eventProcessors")
)

func init() {
	processorsKnown = processorsKnown && len(processors.Index) == 1 && // not in an embedded struct, at another offset
		processors.Type == reflect.TypeFor[[]sentry.EventProcessor]()
	root := sentry.CurrentHub().Scope()
	PrepareScope(root)
	accepted = [2]unsafe.Pointer{*(*unsafe.Pointer)(unsafe.Pointer(&ours)), firstProcessor(root)}
}

// takesFlags reports whether scope may be recorded into, having made it so if it can.
func takesFlags(scope *sentry.Scope) bool {
	first := firstProcessor(scope)
	if first == accepted[0] || first == accepted[1] {
		return true
	}
	if first == nil {
		PrepareScope(scope)
		return true
	}
	return false
}

// firstProcessor returns what identifies the first processor of scope, or nil if there is none. It looks at a private
// field without the scope's lock, because every record asks, a scope has no getter, and a copy would take ten times as
// long as the record. It reads two pointers, each whole, and compares the second without following it; a scope never
// loses its first processor. So a racing read can only take a processor that is being added for missing or foreign, and
// is kept from the race detector. Should the field have another name or type in a later sentry-go, all scopes count as
// prepared.
//
//go:norace
func firstProcessor(scope *sentry.Scope) unsafe.Pointer {
	if !processorsKnown {
		return accepted[0]
	}
	list := *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(scope), processors.Offset))
	if list == nil {
		return nil
	}
	return *(*unsafe.Pointer)(list)
}

// isPrepared looks for our processor among those of the scope.
func isPrepared(scope *sentry.Scope) bool {
	list, ok := scopeField(scope, processors.Name, processors.Type)
	if !ok || !processorsKnown {
		return false
	}
	for i := range list.Len() {
		if list.Index(i).Pointer() == reflect.ValueOf(ours).Pointer() {
			return true
		}
	}
	return false
}
