// Package vwo switches VWO feature flags, and does so when Sentry raises an
// alert.
//
// It has four pieces, from the plain to the safe:
//
//   - [TriggerURL] is the published recipe: a URL to paste into Sentry. Read
//     its hazards before you do.
//   - [Client] switches a flag through VWO's API and checks a configuration
//     before an alert needs it. It is a killswitch.Toggler.
//   - [Relay] is an HTTP handler that stands between Sentry and VWO. An alert
//     switches a flag off only if it is signed, expected, new, recent and
//     allowed by a [Rule]; everything else is refused or ignored, with the
//     reason in the log.
//   - [SettingsHook] receives VWO's own webhook and reports what people changed
//     in VWO to Sentry's flag log.
//
// Package vwotest has a stand-in for VWO's API. Package vwotrack records what
// VWO's SDK evaluates.
//
// What it is not for: it does not evaluate flags, and it does not decide that
// something is wrong. Sentry's alerts do that; whoever can make them fire can
// switch the flags that the rules name.
package vwo
