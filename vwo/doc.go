// Package vwo connects VWO's feature flags to Sentry: it switches them when
// Sentry raises an alert, and tells Sentry when people do.
//
// It has these pieces:
//
//   - [TriggerURL] is the published recipe: a URL to paste into Sentry. Read
//     its hazards before you do.
//   - [Client] switches a flag through VWO's API and checks a configuration
//     before an alert needs it. It is a [killswitch.Toggler]: package killswitch
//     has the relay that stands between Sentry and VWO.
//   - [Settings] makes a source of the SDK's settings, in which a watcher of
//     package changes finds what people changed in VWO. VWO's own webhook makes
//     it look by way of package receive.
//
// Package vwotest has a stand-in for VWO's API. Package vwotrack records what
// VWO's SDK evaluates.
//
// What it is not for: it does not evaluate flags.
package vwo
