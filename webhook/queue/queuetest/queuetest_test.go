package queuetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/queue/queuetest"
)

// memory is a [queue.Memory] that a defect may be put around.
func memory(t *testing.T, around func(*queue.Memory) queue.Store) queuetest.Config {
	stores := make(map[queue.Store]*queue.Memory)
	return queuetest.Config{
		Open: func(t testing.TB, options queuetest.Options) queue.Store {
			m, err := queue.NewMemory(queue.MemoryConfig{Window: options.Window})
			if err != nil {
				t.Fatal(err)
			}
			store := around(m)
			stores[store] = m
			return store
		},
		Close:  func(store queue.Store) error { return stores[store].Close() },
		Bubble: true,
	}
}

func TestMemory(t *testing.T) {
	queuetest.Run(t, memory(t, func(m *queue.Memory) queue.Store { return m }))
}

// defectEnv names the defect that TestDefective has, in a process of its own.
const defectEnv = "QUEUETEST_DEFECT"

// TestSuiteFindsDefects runs the suite against each of the defects.
func TestSuiteFindsDefects(t *testing.T) {
	if os.Getenv(defectEnv) != "" {
		t.Skip("this is the process of TestDefective")
	}
	for name, defect := range defects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDefective$/^"+defect.found+"$")
			cmd.Env = append(os.Environ(), defectEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestDefective/"+defect.found+" ") {
				t.Errorf("%s has not found it: %v\n%s", defect.found, err, out)
			}
		})
	}
}

func TestDefective(t *testing.T) {
	defect, ok := defects[os.Getenv(defectEnv)]
	if !ok {
		t.Skip("run by TestSuiteFindsDefects")
	}
	queuetest.Run(t, memory(t, defect.store))
}
