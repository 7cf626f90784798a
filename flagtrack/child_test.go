package flagtrack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
)

// Setting span data while a transaction is finished and encoded is a fatal error of the runtime: it kills the process
// and cannot be recovered. So the test for it needs a process of its own.

const (
	childEnv  = "FLAGTRACK_TEST_CHILD"
	childTime = 3 * time.Second
)

func TestProcessSurvivesFinishing(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"default", "DisableTelemetryBuffer", "sync transport"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childEnv+"="+mode, "SENTRY_DSN=")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "survived") {
				t.Fatalf("%v\n%.4000s", err, out)
			}
		})
	}
}

// childMain evaluates flags on spans that other goroutines are finishing, against a server on loopback.
func childMain() int {
	var received atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received.Add(int64(strings.Count(string(body), "flag.evaluation.")))
	}))
	defer server.Close()
	options := sentry.ClientOptions{
		Dsn:              strings.Replace(server.URL, "http://", "http://key@", 1) + "/1",
		EnableTracing:    true,
		TracesSampleRate: 1,
	}
	switch os.Getenv(childEnv) {
	case "DisableTelemetryBuffer":
		options.DisableTelemetryBuffer = true
	case "sync transport":
		options.Transport = sentry.NewHTTPSyncTransport()
	}
	if err := sentry.Init(options); err != nil {
		fmt.Println(err)
		return 1
	}
	deadline := time.Now().Add(childTime)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(deadline) {
				finishUnderFire()
			}
		})
	}
	wg.Wait()
	sentry.Flush(5 * time.Second)
	if received.Load() == 0 {
		fmt.Println("no flag arrived")
		return 1
	}
	fmt.Println("survived")
	return 0
}

// finishUnderFire finishes a transaction and its child while two goroutines evaluate flags on both.
func finishUnderFire() {
	ctx := sentry.SetHubOnContext(context.Background(), sentry.CurrentHub().Clone())
	transaction := sentry.StartTransaction(ctx, "job")
	transaction.SetData("own", true)
	child := transaction.StartChild("step")
	child.SetData("own", true)
	AddFeatureFlag(transaction.Context(), "certain", true)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				AddFeatureFlag(transaction.Context(), fmt.Sprint("flag", i%20), i%2 == 0)
				AddFeatureFlag(child.Context(), fmt.Sprint("flag", i%20), i%2 == 0)
			}
		})
	}
	child.Finish()
	transaction.Finish()
	stop.Store(true)
	wg.Wait()
}
