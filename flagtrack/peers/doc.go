// Package peers compares flagtrack's hook with OpenTelemetry's, in a module of its own so that nobody else depends on
// OpenTelemetry. It holds nothing but a benchmark.
package peers
