// Package receive takes the webhooks of feature-flag products, and reports the
// changes that they tell of to Sentry, with who made them.
//
// A [Receiver] is an http.Handler for the webhooks of one [Product]: [GrowthBook],
// [Flipt] (version 1), the notifier of [GoFeatureFlag], or with [Any] whatever can
// send a secret in a header. It acts on what is signed with one of its secrets
// over the bytes received, new, not old, and with an effect on evaluations.
//
// # Received, or watched and received
//
// By itself a receiver reports what the webhook says. A webhook that does not
// arrive is a change that nobody knows of. Where the definitions can be watched as
// well (package changes), give the receiver the watcher: the watcher finds what
// has changed, also what no webhook tells, and the webhook makes it look at once
// and lends its author. Then each change is reported once, in whichever order the
// two come. [Any] works in this way only.
//
// # Answers
//
// A webhook is answered 200 when what it says is in the store, or when there is
// nothing to say. While the store does not answer it is 503 after
// [Config.Patience], which is below what the products wait for, so that those who
// try again do so. The webhook itself is kept in memory meanwhile, in its turn,
// for some never try again. It does not matter how often a webhook comes, within
// the time for which the store knows what is settled.
//
// # What no signature says
//
// None of the products signs the time at which it sends. GrowthBook and Flipt
// sign when the change was made, so that what is older than [Config.MaxAge] is
// left out. GO Feature Flag signs no time: a copy of an earlier body that fits the
// flag's state cannot be told from the same edit made again, and counts as that.
//
// # Silence
//
// A wrong secret looks like no changes at all. [Stats] tells when the last
// authentic webhook came, how many bad signatures have come since, and which
// events were of no use; the log says so, too.
package receive
