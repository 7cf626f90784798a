// Package console is a page for people in front of an emitter's queue and a kill
// switch: what waits and since when, what Sentry has refused and why, with a
// button to correct it and one for all of a reason, what was delivered, what is
// switched off, with a button to restore it, and what is not though an alert asked
// for it. [Console] is an http.Handler for a program's own admin server.
//
// The page is one HTML document without anything from elsewhere. It works without
// JavaScript; with it, it refreshes itself, and says when it cannot. A GET changes
// nothing. What cannot be taken back is asked for twice, and whatever is done is
// logged with the name of who did it.
//
// # Who gets in
//
// Everybody needs a password, from this machine too: other users and programs of
// it are not the operator. The name that goes with it is free, and says who acts.
// Or a proxy in front that knows who it lets in shows so with a header whose value
// both know. Besides, a request has to name a host of [Config.Hosts], for any
// website can have its own name lead here; and one that acts has to come from the
// page itself.
//
// Wrong passwords are limited: ten at once from an address and then one each ten
// seconds; the same one over and over counts once. A browser that was in before
// has a cookie, which lets nobody in, so that it is not kept out by who guesses
// behind the same proxy.
//
// Put TLS in front of it where it is not reached over loopback: the browser sends
// the password with every request.
//
// # What it is not for
//
// It shows what people need to act, not all there is: counts end at 1,000, or at
// 10,000 where many are dealt with at once, and the plot of an hour is counted
// from entries that the store still has. Numbers for alarms are in
// [webhook.EmitterStats].
package console
