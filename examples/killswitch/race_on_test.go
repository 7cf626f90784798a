//go:build race

package main

// raceEnabled says that the test runs with the race detector, which makes SQLite and
// the stand-ins several times as slow.
const raceEnabled = true
