// Package flagtrack records feature-flag evaluations into Sentry, so that an error shows the flags it happened under
// and a span shows the flags that were evaluated in it.
//
// With OpenFeature, register the hook once:
//
//	openfeature.AddHooks(flagtrack.NewHook())
//
// With any other flag system, or none, call AddFeatureFlag where a flag is evaluated:
//
//	flagtrack.AddFeatureFlag(ctx, "new-checkout", enabled)
//
// Both need only what the program has anyway: a Sentry client bound with sentry.Init and, in a server, a hub in the
// request's context, as sentryhttp and the other integrations put there. With fasthttp and iris, whose integrations do
// not, call sentry.SetHubOnContext.
//
// # What appears where in Sentry
//
// Errors and messages carry contexts.flags: the flags evaluated last in the scope of the error (100, see WithCapacity),
// oldest first, each once with its latest value. Sentry shows them in the "Feature Flags" table, searches them (flags["x"]:true),
// and looks for suspect flags among them.
//
// Spans carry the attribute flag.evaluation.<name> for each of the first 10 flags evaluated while the span was active;
// a later evaluation of one of them updates it. The active span is the context's, or else the scope's. Nothing is
// inherited from a parent span or from before the span.
//
// # What does not appear, and why
//
//   - Transactions, check-ins, logs and metrics have no contexts.flags: Sentry looks for flags on errors only. The
//     flags of a transaction are in the attributes of its root span.
//   - Unsampled spans record nothing, since nobody will see them. What a span shows is settled when its transaction
//     finishes; spans that are unfinished then are never sent. Whether a span is sampled can only be read from a field
//     that sentry-go writes without a lock when it ignores a transaction (status 404, say): the race detector reports a
//     first evaluation at that very moment, which does no harm.
//   - With sentry-go's OTLP integration there are no Sentry spans, so flags appear on errors only.
//   - Values that are not booleans are left out unless a tracker is made WithAllValues: the issue page shows booleans
//     only, so a value has to become part of the name, "plan:gold" true.
//   - An event that already has contexts.flags keeps its own.
//   - An evaluation with a key that is not UTF-8 cannot be seen: OpenFeature calls no hook.
//
// # Forks
//
// A scope forked by Hub.Clone, PushScope or WithScope starts with the flags of its parent as of the fork, in their
// order; then nothing passes in either direction. Scope.Clear leaves none. So each request shows its own flags, as
// long as each request has its own hub in the context: see WithHubRequired for what happens otherwise.
//
// # Names
//
// Sentry keeps a flag's name if it has 1 to 200 characters out of a-z, A-Z, 0-9 and "_.:-", and deletes any other. Such
// a name is recorded with "_" for each illegal character, cut to fit, and with a hash of the original behind it: "my
// flag" becomes "my_flag-a84e63b3". The hash is the same in every process and keeps "my flag" and "my/flag" apart.
//
// # Processors
//
// Until an event is put together, a scope keeps flags as tags with keys that start with U+0000. They are taken out
// before BeforeSend and before anything is sent, on events of every kind. Only two kinds of event processors can see
// them: those that were added to the process-wide scope before this package was initialised; and, on a hub whose scope
// was made by sentry.NewScope and not given to PrepareScope, those of that scope, of its client, and global ones that
// were added before this package was initialised.
//
// A flag must not be evaluated inside an event processor of a scope: sentry-go holds the scope's lock there, and
// anything that changes the scope, like recording a flag, waits forever. BeforeSend is fine.
//
// When an application captures an event that it made itself, sentry-go writes the scope's tags into the map in the
// event's Tags field, and flags with them. Such a map must not be shared by events that are captured at the same time,
// also when the application sets no tag itself.
//
// # Cost
//
// A record takes about as long as two calls of Scope.SetTag and allocates nothing. A fork copies the flags along with
// the scope's own tags. Nothing is kept per scope, and an entry per span only until its transaction is sent or the span
// is collected. Names that never repeat (one per user, say) do not use more and more memory.
//
// # What it is not for
//
// It does not evaluate flags, and it does not tell Sentry when a flag's definition changed: that is package webhook.
package flagtrack
