// Package webhook reports changes of feature-flag definitions to Sentry's
// generic change-tracking endpoint, so that an issue shows which flags were
// changed shortly before it began.
//
// A [Change] says what was done to a flag, when and by whom. There are two ways
// to send it:
//
//   - [Client.Send] posts changes at once, in one signed request, and returns
//     what Sentry's answer means. [Client.Check] proves the configuration
//     without writing anything.
//   - [Emitter.Emit] keeps changes in a queue first (package queue) and delivers
//     them in the background, through outages, restarts and rotated secrets. With
//     a durable store (package sqlstore) a change that was accepted is delivered,
//     or lies in the dead letters with Sentry's reason. This is the one for an
//     audit trail.
//
// # What Sentry's answers mean
//
// Sentry answers 200 with an empty body when it has stored the changes. A 200
// with a body is a rejection: one change that breaks a rule makes it store none
// of the request ([RejectionError]). Everything else is an [AnswerError], which
// wraps a sentinel that says what to do. Changes are checked against Sentry's
// rules before anything is sent ([ChangeError]), so that a rejection is rare:
// a server older than the rules, say ([Config.MaxFlag]).
//
// Sentry does not recognise a repeat. After an answer that was lost on the way
// a change is sent again and may appear twice in its log: delivery is at least
// once.
//
// # One queue, many processes
//
// Any number of processes may emit into one queue of one store; one at a time
// delivers, and another goes on within [EmitterConfig.Lease] if it dies or
// freezes. After a failure all of them wait. A queue belongs to one Sentry and
// one organisation, which its default name says ([EmitterConfig.Queue]).
//
// Every pause is logged, is an [Event], and is a number in [EmitterStats], within
// seconds, whether Sentry fails or the store. [Emitter.Items] with sqlstore's
// EnqueueTx commits a change together with the flag's own row.
//
// # Names
//
// A change is of use only if its flag is named as it is evaluated, and Sentry
// deletes evaluated names with other characters than a-z, A-Z, 0-9, '_', '.',
// ':' and '-'. A change of such a flag is stored and never matched:
// [Config.OnWarning] tells of it. Package flagtrack shows such a flag under
// another name, "my flag" as "my_flag-a84e63b3", and with [Config.ShownNames] its
// changes are sent under that one.
//
// # What is never shown
//
// Errors, logs and dead letters name the flag and Sentry's reason. They hold no
// secret, no signature and no author, and repeat nothing of an answer but the
// sentences that Sentry is known to give, for an answer may echo the request.
//
// # What it is not for
//
// It does not watch flags: whoever changes them, or sees the change, calls it.
// It does not record evaluations: that is package flagtrack. It is not for
// LaunchDarkly, Statsig and Unleash, which send their changes to Sentry
// themselves.
//
// Package webhooktest has a stand-in for Sentry to test against, package
// queuetest a suite for a store of your own.
package webhook
