// Package killswitch switches feature flags when Sentry raises an alert.
//
// A [Toggler] is the flag system: anything that can set the state of a flag.
// Package vwo has one for VWO, package killswitch/httptoggle one for every flag
// system with an HTTP API, by configuration, and package killswitch/flagdfile
// one for a flag definition file in flagd's JSON format. Write another with one
// method.
package killswitch
