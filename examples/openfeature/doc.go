// Package openfeature is a module of its own for the examples whose OpenFeature
// providers bring many other modules with them: flagd and GO Feature Flag. Their
// part of the work is the provider; Sentry's is one line, the same with each.
package openfeature
