// Package webhookbench compares delivering changes by package webhook with what
// one would write by hand on a retrying HTTP client. It has benchmarks only, and
// is a module of its own so that nobody else depends on that client.
package webhookbench
