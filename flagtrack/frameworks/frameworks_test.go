package frameworks

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/open-feature/go-sdk/openfeature"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sentryflags/sentryflags-go/flagtrack"
	"github.com/sentryflags/sentryflags-go/flagtrack/flagtracktest"
)

// framework is one of those that Sentry documents.
type framework struct {
	name string
	// adapter says whether sentry-go's own adapter is under test or a stand-in of ten lines that keeps its hub where
	// the adapter does.
	adapter string
	// contexts are those that the documentation names for this framework.
	contexts []string
	// serve serves requests on the listener until the test ends.
	serve func(t *testing.T, l net.Listener)
	// call makes a request; nil is an HTTP request with the id and the name of the context to use.
	call func(t *testing.T, address string, id, which string)
}

var all = []framework{
	{"net/http", "sentryhttp v0.50.0", []string{"r.Context()"}, serveHTTP, nil},
	{"chi", "sentryhttp v0.50.0", []string{"r.Context()"}, serveChi, nil},
	{"gin", "sentrygin v0.46.2", []string{"c", "c.Request.Context()", "c with ContextWithFallback"}, serveGin, nil},
	{"echo", "sentryecho v0.42.0", []string{"hub from sentryecho", "span from sentryecho"}, serveEcho, nil},
	{"echo since 0.49", "stand-in", []string{"c.Request().Context()"}, serveEchoToday, nil},
	{"fiber v2", "sentryfiber v0.35.1", []string{"c.Context()"}, serveFiber2, nil},
	{"fiber v3", "stand-in", []string{"c", "c.Context()"}, serveFiber3, nil},
	{"fasthttp", "stand-in", []string{"ctx", "span.Context()"}, serveFastHTTP, nil},
	{"iris", "stand-in", []string{"ctx", "span.Context()"}, serveIris, nil},
	{"negroni", "stand-in", []string{"r.Context()"}, serveNegroni, nil},
	{"gRPC", "stand-in", []string{"ctx"}, serveGRPC, callGRPC},
}

// wrong is the usual mistake, in every framework.
const wrong = "context.Background()"

var (
	events flagtracktest.Transport
	flags  *openfeature.Client
)

func TestMain(m *testing.M) {
	if err := sentry.Init(sentry.ClientOptions{
		Dsn:              "https://key@sentry.invalid/1",
		EnableTracing:    true,
		TracesSampleRate: 1,
		Transport:        &events,
	}); err != nil {
		panic(err)
	}
	openfeature.AddHooks(flagtrack.NewHook())
	flags = openfeature.NewDefaultClient()
	os.Exit(m.Run())
}

// evaluate has the default as its outcome, since there is no such flag.
func evaluate(ctx context.Context, flag string, value bool) {
	flags.Boolean(ctx, flag, value, openfeature.EvaluationContext{})
}

// even is the value of the flag that all requests evaluate.
func even(id string) bool { return (id[len(id)-1]-'0')%2 == 0 }

// work is what every handler does with the context under test and the hub that its adapter gave it: evaluations, a
// goroutine that goes on beside the request, a child span, an error, and in every fifth request a panic.
func work(ctx context.Context, hub *sentry.Hub, id string) {
	evaluate(ctx, "own-"+id, true)
	evaluate(ctx, "shared", even(id))
	flagtrack.AddFeatureFlag(ctx, "added-"+id, false)

	fork := flagtrack.Fork(ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		runtime.Gosched()
		evaluate(fork, "fork-"+id, true)
		sentry.GetHubFromContext(fork).CaptureMessage("fork " + id)
	})

	span := sentry.SpanFromContext(ctx)
	if span == nil {
		span = hub.Scope().GetSpan()
	}
	child := span.StartChild("step")
	evaluate(child.Context(), "child-"+id, true)
	child.Finish()
	evaluate(ctx, "own-"+id, true)
	hub.CaptureMessage("error " + id)
	beside.Wait()
	if strings.HasSuffix(id, "0") || strings.HasSuffix(id, "5") {
		panic("panic " + id)
	}
}

// lost is what a handler does that lost its context.
func lost(hub *sentry.Hub, id string) {
	ctx := context.Background()
	evaluate(ctx, "own-"+id, true)
	evaluate(ctx, "shared", even(id))
	hub.CaptureMessage("error " + id)
}

// handle chooses by name.
func handle(which string, contexts map[string]context.Context, hub *sentry.Hub, id string) {
	if which == wrong {
		lost(hub, id)
		return
	}
	ctx, ok := contexts[which]
	if !ok {
		panic("no context " + which)
	}
	work(ctx, hub, id)
}

func callHTTP(t *testing.T, address, id, which string) {
	request, err := http.NewRequest(http.MethodGet, "http://"+address+"/work", nil)
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("X-Id", id)
	request.Header.Set("X-Context", which)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return // a panic may have ended the connection
	}
	response.Body.Close()
}

func callGRPC(t *testing.T, address, id, which string) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return
	}
	defer connection.Close()
	_, _ = health.NewHealthClient(connection).Check(t.Context(), &health.HealthCheckRequest{Service: id + " " + which})
}

// parallel is how many requests are under way at once.
const parallel = 200

// TestRightFlags: with the documented context, each error, panic, goroutine, transaction and child span has the flags of
// its own request, all of them, and no other.
func TestRightFlags(t *testing.T) {
	for _, f := range all {
		for _, which := range f.contexts {
			t.Run(f.name+"/"+which+"/"+f.adapter, func(t *testing.T) {
				before := flagtrack.Stats()
				run(t, f, which)
				if after := flagtrack.Stats(); after != before {
					t.Errorf("left out: %+v, before %+v", after, before)
				}
				expect(t, func(id, message string) string {
					want := fmt.Sprintf("shared=%t added-%s=false", even(id), id)
					if strings.HasPrefix(message, "fork") {
						return "own-" + id + "=true " + want + " fork-" + id + "=true"
					}
					return want + " child-" + id + "=true own-" + id + "=true"
				}, map[string]int{"error": parallel, "fork": parallel, "panic": parallel / 5})
			})
		}
	}
}

// TestWrongContext: with context.Background nothing is recorded anywhere, and everything is counted.
func TestWrongContext(t *testing.T) {
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			before := flagtrack.Stats().NoHub
			run(t, f, wrong)
			if n := flagtrack.Stats().NoHub - before; n != 2*parallel {
				t.Errorf("%d evaluations of %d are counted", n, 2*parallel)
			}
			expect(t, func(string, string) string { return "" }, map[string]int{"error": parallel})
		})
	}
}

// run makes the requests, and requests of its own between them that evaluate nothing.
func run(t *testing.T, f framework, which string) {
	t.Helper()
	events.Reset()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.serve(t, listener)
	call := f.call
	if call == nil {
		call = callHTTP
	}
	var requests sync.WaitGroup
	for i := range parallel {
		requests.Go(func() { call(t, listener.Addr().String(), fmt.Sprintf("%03d", i), which) })
	}
	requests.Wait()
	// A transaction is captured when the handler has returned, which may be after its answer.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && transactions() < parallel; {
		time.Sleep(time.Millisecond)
	}
	if n := transactions(); n != parallel {
		t.Errorf("%d transactions for %d requests", n, parallel)
	}
}

func transactions() (n int) {
	for _, event := range events.Events() {
		if event.Type == "transaction" {
			n++
		}
	}
	return n
}

// expect compares every event with what its request evaluated.
func expect(t *testing.T, want func(id, message string) string, counts map[string]int) {
	t.Helper()
	got := map[string]int{}
	for _, event := range events.Events() {
		if event.Type == "transaction" {
			expectSpans(t, event, want)
			continue
		}
		message := event.Message
		if len(event.Exception) > 0 {
			message = event.Exception[0].Value
		}
		kind, id, _ := strings.Cut(message, " ")
		got[kind]++
		if g, w := list(flagtracktest.Flags(event)), want(id, message); g != w {
			t.Errorf("%s has\n[%s], want\n[%s]", message, g, w)
		}
	}
	for kind, n := range counts {
		if got[kind] != n {
			t.Errorf("%d events of kind %s, want %d", got[kind], kind, n)
		}
	}
}

// expectSpans looks at a root span and its children. A request is known by its first flag.
func expectSpans(t *testing.T, event *sentry.Event, want func(id, message string) string) {
	t.Helper()
	root := flagtracktest.Flags(event)
	if want("000", "") == "" {
		if len(root) > 0 {
			t.Errorf("a root span shows %v", root)
		}
		return
	}
	if len(root) == 0 {
		t.Error("a root span shows nothing")
		return
	}
	id := strings.TrimPrefix(root[0].Flag, "added-")
	if g, w := list(root), fmt.Sprintf("added-%[1]s=false fork-%[1]s=true own-%[1]s=true shared=%t", id, even(id)); g != w {
		t.Errorf("a root span shows [%s], want [%s]", g, w)
	}
	if len(event.Spans) != 1 {
		t.Errorf("%d child spans", len(event.Spans))
		return
	}
	if g, w := list(flagtracktest.SpanFlags(event.Spans[0])), "child-"+id+"=true"; g != w {
		t.Errorf("a child span shows [%s], want [%s]", g, w)
	}
}

func list(values []flagtrack.Value) string {
	var s []string
	for _, v := range values {
		s = append(s, fmt.Sprintf("%s=%t", v.Flag, v.Result))
	}
	return strings.Join(slices.Clip(s), " ")
}
