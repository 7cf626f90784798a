// Package frameworks tests flagtrack with real web frameworks, in a module of its own so that nobody else depends on
// them. It holds nothing but tests.
package frameworks
