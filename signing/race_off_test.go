//go:build !race

package signing_test

// Under the race detector sync.Pool drops items, so allocations prove nothing.
const raceEnabled = false
