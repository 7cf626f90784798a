//go:build !race

package alert_test

const raceEnabled = false
