// Command plot draws the plots of docs/performance.md, and fills in its tables,
// from the output of go test -bench beside it:
//
//	GOWORK=off go -C docs/performance/plot run .
//
// It measures nothing itself: .ci/bench does, and runs it. It is a module of its
// own so that nobody else depends on what draws: gonum.org/v1/plot, which has
// logarithmic axes for numbers on both sides, writes text as text, and has been
// looked after by several people for more than ten years.
package main
