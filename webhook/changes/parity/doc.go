// Package parity holds webhook/changes against the evaluators themselves:
// flagd's core and GO Feature Flag. It is a module of its own, because they
// bring hundreds of others with them.
package parity
