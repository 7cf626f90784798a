// Package vwotrack records the flags that VWO's SDK evaluates into Sentry, so
// that an error shows the flags it happened under.
//
//	flags := vwotrack.Wrap(vwoInstance, flagtrack.NewHook())
//	…
//	flag, err := flags.GetFlag(ctx, "new_checkout", userContext)
//
// It asks for VWO's client by interface, so that it depends on no version of
// its SDK, and returns what the SDK returned. What is recorded is the flag's key
// and whether it is on: nothing of the user's context, no user id, no variable.
//
// What it is not for: it does not make the SDK learn of a kill sooner. Servers
// read their settings every ten minutes unless VWO's webhook makes them call
// UpdateSettings; do that in what vwo.NewSettings reads with.
package vwotrack
