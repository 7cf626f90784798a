// Package flagtrack records feature-flag evaluations into Sentry, so that an
// error shows the flags it happened under.
package flagtrack
