package main

import (
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(tests{m}, goleak.IgnoreCurrent())
}

type tests struct{ *testing.M }

// Run also ends what OpenFeature keeps for the life of the process.
func (t tests) Run() int {
	status := t.M.Run()
	openfeature.Shutdown()
	return status
}
