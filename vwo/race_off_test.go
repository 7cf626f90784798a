//go:build !race

package vwo_test

const raceEnabled = false
