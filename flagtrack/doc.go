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
// Both need what the program has anyway: a Sentry client bound with sentry.Init, and a context that leads to the
// request's hub. Options go to New; the Tracker it returns is a hook itself, and SetDefault makes it the one behind the
// functions of this package:
//
//	tracker, err := flagtrack.New(flagtrack.WithFilter(redact))
//	…
//	openfeature.AddHooks(tracker)
//	flagtrack.SetDefault(tracker)
//
// # Which context to pass
//
// The hub is the context's own, or else the one that sentry-go's adapters keep under the key "sentry" of the
// framework's context.
//
//	framework                     pass                           beware
//	net/http, chi (sentryhttp)    r.Context()                    of middleware outside of sentryhttp: there is no hub yet;
//	                                                             of a hub in Server.BaseContext: all requests share it
//	negroni                       r.Context()                    its PanicHandlerFunc captures with a hub of its own:
//	                                                             errors there show no flags; let sentrynegroni recover
//	gin                           c or c.Request.Context()       c, and what is derived from it, is used again after the
//	                                                             request: Fork(c) in goroutines, not SetHubOnContext, which
//	                                                             ContextWithFallback hides behind the request's hub
//	echo, sentry-go from 0.49     c.Request().Context()          echo.Context itself is no context
//	echo, sentry-go before 0.49   sentryecho.GetSpanFromContext  c.Request().Context() has no hub: flags are left out
//	                              (c).Context()
//	fiber v2                      c.UserContext(), c.Context()   with sentry-go 0.35 the former has no hub; both are used
//	                                                             again after the request
//	fiber v3                      c or c.Context()               c is used again after the request
//	fasthttp                      ctx (the RequestCtx), or       sentry.SetHubOnContext(ctx, hub) has no span: StartSpan
//	                              sentryfasthttp.                makes a second transaction of the request; ctx is used
//	                              GetSpanFromContext(ctx).       again after the request
//	                              Context()
//	iris                          ctx, or sentryiris.            as fasthttp
//	                              GetSpanFromContext(ctx).
//	                              Context()
//	gRPC                          ctx of the handler             of streams: stream.Context(); of an interceptor of your
//	                                                             own that puts CurrentHub() there without Clone()
//	goroutine, job, worker pool   Fork(ctx)                      context.Background() has no hub: flags are left out
//	command line, single worker   any, with WithCurrentHub       of doing two things at a time
//	slog, zerolog, logrus         -                              errors that a logger captures show flags if it uses the
//	                                                             hub of the context; one with a client of its own does not
//
// Capture with the hub of that context, too: sentry.GetHubFromContext(ctx).CaptureException(err), or the adapter's own
// GetHubFromContext, and defer sentry.RecoverWithContext(ctx) in goroutines. sentry.CaptureException and sentry.Recover
// go to the process-wide hub, which knows of no request, so their errors show none of a request's flags.
//
// An evaluation whose context leads to no hub, or to the process-wide one, is left out: on its scope it would show on
// the errors of all later requests, whoever's. It is counted, and the first one in a process is said on slog.Default
// with what to do. A framework's context that is kept beyond its request, in a goroutine say, leads to the next user's
// hub, which nobody can tell from outside: use Fork.
//
// # What appears where in Sentry
//
// Errors and messages carry contexts.flags: the flags evaluated last in the scope of the error (100 in 8,000 bytes, see
// WithCapacity and WithMaxBytes), oldest first, each once with its latest value. Sentry shows them in the issue's
// "Feature Flags" table, searches them (flags["x"]:true), and looks for suspect flags among them.
//
// Spans carry the attribute flag.evaluation.<name> for each of the first 10 flags evaluated while the span was active;
// a later evaluation of one of them updates it. The active span is the context's, or else the scope's. Nothing is
// inherited from a parent span or from before the span, and a finished span takes nothing more.
//
// # What does not appear, and why
//
// Stats counts what was left out, by cause; Flags reads what is recorded; package flagtracktest tests that an error of
// yours carries its flags.
//
//   - Transactions, check-ins, logs and metrics have no contexts.flags: Sentry looks for flags on errors only. The
//     flags of a transaction are in the attributes of its root span.
//   - Unsampled spans record nothing, since nobody will see them; spans that are unfinished when their transaction
//     finishes are never sent.
//   - With sentry-go's OTLP integration there are no Sentry spans, so flags appear on errors only.
//   - Values that are not booleans are left out unless a tracker is made WithAllValues: the issue page shows booleans
//     only, so a value has to become part of the name, "plan:gold" true.
//   - An event that already has contexts.flags keeps its own. So does every event of an application that calls a context
//     of its own "flags": give it another name.
//   - An evaluation with a key that is not UTF-8 cannot be seen: OpenFeature calls no hook.
//
// # Forks
//
// A scope forked by Fork, Hub.Clone, PushScope or WithScope starts with the flags of its parent as of the fork, in
// their order; then nothing passes in either direction. Scope.Clear leaves none. So each request shows its own flags.
//
// # Names
//
// Sentry keeps a flag's name if it has 1 to 200 characters out of a-z, A-Z, 0-9 and "_.:-", and deletes any other. Such
// a name is recorded with "_" for each illegal character, cut to fit, and with a hash of the original behind it: "my
// flag" becomes "my_flag-a84e63b3". The hash is the same in every process and keeps "my flag" and "my/flag" apart.
// ShownName returns that name, to search for and to report changes of the flag under.
//
// # Processors
//
// Until an event is put together, a scope keeps flags as tags with keys that start with U+0000. They are taken out
// before BeforeSend and before anything is sent, on events of every kind, by an event processor that comes before the
// application's. Only processors that were added to the process-wide scope before this package was initialised see
// them. A scope made by sentry.NewScope gets ours with its first flag; if it has processors of its own by then, it
// takes no flags: give it to PrepareScope right after sentry.NewScope.
//
// A flag must not be evaluated inside an event processor of a scope: sentry-go holds the scope's lock there, and
// anything that changes the scope, like recording a flag, waits forever. BeforeSend is fine.
//
// When an application captures an event that it made itself, sentry-go writes the scope's tags into the map in the
// event's Tags field, and flags with them. Such a map must not be shared by events that are captured at the same time,
// also when the application sets no tag itself: Go ends the process, which no recover prevents.
//
// # Cost
//
// A record takes about as long as two calls of Scope.SetTag and allocates nothing. A fork copies the flags along with
// the scope's own tags. Nothing is kept per scope, and an entry per span only until the span is collected. Names that
// never repeat (one per user, say) do not use more and more memory.
//
// # What it is not for
//
// It does not evaluate flags, and it does not tell Sentry when a flag's definition changed: that is package webhook.
package flagtrack
