// Package alert reads the webhooks that Sentry's internal integrations send:
// what fired, when, in which project, and with which feature flags.
//
// [Parse] takes a body and returns an [Alert]. It knows every resource that
// Sentry sends, in the forms of the present server and of older ones: issue
// alerts (event_alert), metric alerts and monitors (metric_alert), alerts on a
// change of an issue's state (activity_alert), issues, errors, comments and
// installations. A resource that it does not know is no error: it gives an
// Alert whose Resource is [Unknown], since Sentry adds new ones and expects an
// answer of 2xx.
//
// Verify before you parse: package signing does, over the very bytes that
// arrived. The Sentry-Hook-Resource header is not signed, which is why Parse
// tells the resource from the body.
//
// # Names
//
// Sentry names different things by the same word. The name of an issue alert
// or an activity alert is the alert's, as it stands in Sentry's list of alerts.
// The name of a metric alert is the monitor's, and the alert that led from the
// monitor to the integration is nowhere in the payload. Both can be edited.
//
// # What can be trusted
//
// A verified body is Sentry's. What is inside an event is not: whoever holds a
// public DSN, which every browser and app that reports to Sentry shows, can
// send events of any level, environment, tag and flag. The doc comment of each
// field says where its value comes from.
//
// # What it is not for
//
// It keeps nothing that tells of a person: no user, request, message, title or
// stack trace of an event. Who wants those decodes the body once more. It does
// not decide what to do about an alert: package killswitch does. Its errors
// carry nothing of the body.
package alert
