//go:build race

package flagtrack

const raceEnabled = true
