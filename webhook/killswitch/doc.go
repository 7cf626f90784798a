// Package killswitch switches feature flags when Sentry raises an alert.
//
// A [Relay] is an HTTP handler that takes Sentry's alert webhooks. An alert
// switches a flag off only if it is signed, expected, new, recent and allowed by a
// [Rule]; everything else is refused or ignored, and the log says why. A rule may
// ask that the very error that the alert is about carries the flag
// ([Rule.Evaluated]).
//
// # The flag system
//
// A [Toggler] is the flag system: anything that can set the state of a flag.
// Package vwo has one for VWO, package killswitch/httptoggle one for every flag
// system with an HTTP API, by configuration, and package killswitch/flagdfile
// one for a flag definition file in flagd's JSON format. Write another with one
// method.
//
// # The way of an alert
//
// Its request is verified (verify.go) and read; the rules decide what it asks for
// (decide.go), and what was decided before says whether that is new (admit.go).
// The goroutine that took the alert then begins to switch the flag (work.go),
// while the journal is written (writer.go): a store that hangs holds up no kill.
// The journal's items are held by the process that works on them; when that has
// died, another takes them. What was switched is recorded in Sentry's flag log
// (record.go).
//
// The journal is a queue of a [queue.Store] for each toggler, and beside it a note for
// each flag (flag.go), which all processes swap in turn: cool-downs, caps, whether it is
// switched off, and the order of decisions. Every switch is followed by a look at that
// order, and the newest decision gets its way: a late switch-on never undoes a
// newer switch-off.
//
// # People
//
// Whatever a rule matched and that did not act is told to a person ([Report]), as
// are a switch that fails and a relay that has gone deaf; [Relay.ServeHealth] and
// [Relay.ServeMetrics] show it. [OpenJournal] is for tools: it lists what is
// switched off, and restores it.
//
// # What it is not for
//
// It does not decide that something is wrong. Sentry's alerts do that; whoever can
// make them fire can switch the flags that the rules name.
package killswitch
