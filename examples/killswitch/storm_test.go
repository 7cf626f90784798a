package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// childEnv names the environment variable that makes the test binary a service
// to be killed. It holds a childConfig.
const childEnv = "KILLSWITCH_TEST_CHILD"

type childConfig struct {
	VWO, VWOToken, Flags, SQLite, Postgres string
	Names                                  []string
	AnswerWithin                           time.Duration
}

func (c childConfig) config() config {
	program := config{env: envOf("VWO_TOKEN=" + c.VWOToken)}
	program.Path, program.Rules, program.Togglers = "/sentry", rulesOf(c.Names), demoTogglers(c.VWO)
	program.Store, program.database = c.SQLite, hide(c.Postgres)
	program.Sentry.Installation = demoInstallation
	program.clientSecrets = []signing.Secret{signing.NewSecret(demoSecret)}
	program.flagsURL, program.flagsSecrets = c.Flags, []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)}
	return program
}

// crashChild runs the service until it is killed. It prints its address.
func crashChild() int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		return fail(err)
	}
	ctx := context.Background()
	s, err := newService(ctx, c.config(), options{unlimited: true, answerWithin: c.AnswerWithin})
	if err != nil {
		return fail(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	return fail(serveOn(ctx, s, listener, slog.New(slog.DiscardHandler)))
}

// child is a service in a process of its own.
type child struct {
	t       *testing.T
	config  childConfig
	mu      sync.Mutex
	command *exec.Cmd
	address string
}

func (c *child) start() {
	c.t.Helper()
	encoded, err := json.Marshal(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	command := exec.CommandContext(context.Background(), os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+string(encoded))
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.t.Fatalf("the child said %q, %v", line, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.command, c.address = command, strings.TrimSpace(line)
}

// kill is kill -9.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command != nil {
		_ = c.command.Process.Kill()
		_ = c.command.Wait()
		c.command, c.address = nil, ""
	}
}

// again kills it and starts another, while nobody does so to its neighbour.
func (c *child) again(turn *sync.Mutex) {
	turn.Lock()
	defer turn.Unlock()
	c.kill()
	c.start()
}

func (c *child) url() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.address
}

// forgery spoils a good request.
type forgery struct {
	name  string
	spoil func(body []byte, h http.Header) []byte
}

// forgeries are 45 ways to get a good alert wrong.
func forgeries() []forgery {
	var all []forgery
	header := func(name string, f func(h http.Header, right string)) {
		all = append(all, forgery{name, func(body []byte, h http.Header) []byte { f(h, h.Get(signing.HookHeader)); return body }})
	}
	signature := func(name string, f func(right string) string) {
		header(name, func(h http.Header, right string) { h.Set(signing.HookHeader, f(right)) })
	}
	body := func(name string, f func(body []byte) []byte) {
		all = append(all, forgery{name, func(b []byte, _ http.Header) []byte { return f(slices.Clone(b)) }})
	}
	of := func(name, secret string, part func(body []byte) []byte) {
		all = append(all, forgery{name, func(b []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, signatureOf(secret, part(b)))
			return b
		}})
	}
	same := func(b []byte) []byte { return b }
	header("no signature", func(h http.Header, _ string) { h.Del(signing.HookHeader) })
	header("two signatures", func(h http.Header, right string) { h.Add(signing.HookHeader, right) })
	header("right and wrong", func(h http.Header, right string) {
		h[http.CanonicalHeaderKey(signing.HookHeader)] = []string{right, strings.Repeat("0", 64)}
	})
	header("as an app's call", func(h http.Header, right string) { h.Del(signing.HookHeader); h.Set("Sentry-App-Signature", right) })
	header("as a change's", func(h http.Header, right string) { h.Del(signing.HookHeader); h.Set(signing.Header, right) })
	header("as authorization", func(h http.Header, right string) { h.Del(signing.HookHeader); h.Set("Authorization", right) })
	for _, other := range []string{"metric_alert", "issue", "error", "comment", "installation", "activity_alert"} {
		header("as "+other, func(h http.Header, _ string) { h.Set("Sentry-Hook-Resource", other) })
	}
	header("as two resources", func(h http.Header, _ string) { h["Sentry-Hook-Resource"] = []string{"event_alert", "metric_alert"} })
	for name, f := range map[string]func(string) string{
		"empty": func(string) string { return "" }, "upper case": strings.ToUpper, "sha256=": func(s string) string { return "sha256=" + s },
		"v1,": func(s string) string { return "v1," + s }, "quoted": func(s string) string { return `"` + s + `"` }, "cut": func(s string) string { return s[:63] },
		"half": func(s string) string { return s[:32] }, "lengthened": func(s string) string { return s + "0" }, "doubled": func(s string) string { return s + s },
		"comma": func(s string) string { return s + "," + s }, "zeros": func(string) string { return strings.Repeat("0", 64) },
		"one digit": func(s string) string { return s[:63] + string('0'+'1'-s[63]&1) + "" }, "null": func(string) string { return "null" },
		"base64": func(string) string { return strings.Repeat("QUJD", 11) },
	} {
		if name == "one digit" {
			f = func(s string) string {
				if s[63] == '0' {
					return s[:63] + "1"
				}
				return s[:63] + "0"
			}
		}
		signature("signature: "+name, f)
	}
	of("another secret", "a guess", same)
	of("an empty secret's look", " ", same)
	of("the secret in upper case", strings.ToUpper(demoSecret), same)
	of("the empty body's", demoSecret, func([]byte) []byte { return nil })
	of("another body's", demoSecret, func([]byte) []byte { return []byte("{}") })
	of("the data's alone", demoSecret, func(b []byte) []byte { return b[bytes.Index(b, []byte(`"data":`)):] })
	of("the cut body's", demoSecret, func(b []byte) []byte { return b[:len(b)-1] })
	body("a space more", func(b []byte) []byte { return append(b, ' ') })
	body("a line break more", func(b []byte) []byte { return append([]byte("\n"), b...) })
	body("another flag", func(b []byte) []byte { return bytes.Replace(b, []byte(`"flag_`), []byte(`"flag_1`), 1) })
	body("another project", func(b []byte) []byte { return bytes.Replace(b, []byte("/shop/"), []byte("/blog/"), 1) })
	body("cut", func(b []byte) []byte { return b[:len(b)-1] })
	body("decoded and encoded", func(b []byte) []byte {
		var v any
		_ = json.Unmarshal(b, &v)
		again, _ := json.Marshal(v)
		return again
	})
	body("doubled", func(b []byte) []byte { return append(b, b...) })
	body("none", func([]byte) []byte { return nil })
	all = append(all,
		forgery{"none, signed", func(_ []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, signatureOf(demoSecret, nil))
			return nil
		}},
		forgery{"white, signed", func(_ []byte, h http.Header) []byte {
			h.Set(signing.HookHeader, signatureOf(demoSecret, []byte(" \n")))
			return []byte(" \n")
		}},
		forgery{"another installation, signed", func(b []byte, h http.Header) []byte {
			b = bytes.Replace(b, []byte(demoInstallation), []byte("11111111-a9e2-4c85-8a3c-4f44175783c9"), 1)
			h.Set(signing.HookHeader, signatureOf(demoSecret, b))
			return b
		}},
	)
	return all
}

// hook is one request of a storm.
type hook struct {
	body   []byte
	header http.Header
	acts   string // the flag that it must switch off
	forged string
}

// stormOf makes n requests: 200 act, four in ten are forged, the others are to be
// ignored.
func stormOf(n int, names []string) []hook {
	var hooks []hook
	signed := func(body []byte) http.Header {
		return http.Header{http.CanonicalHeaderKey(signing.HookHeader): {signatureOf(demoSecret, body)}, "Sentry-Hook-Resource": {"event_alert"}}
	}
	add := func(body []byte, resource string) {
		h := signed(body)
		h.Set("Sentry-Hook-Resource", resource)
		hooks = append(hooks, hook{body: body, header: h})
	}
	now := time.Now()
	id := 0
	for _, name := range names {
		id++
		body := demoEvent(name, "shop", "", "", id, now)
		hooks = append(hooks, hook{body: body, header: signed(body), acts: name})
	}
	ways := forgeries()
	for i := range n * 4 / 10 {
		id++
		way := ways[i%len(ways)]
		body := demoEvent(names[i%len(names)], "shop", "", "", id, now)
		h := signed(body)
		hooks = append(hooks, hook{body: way.spoil(body, h), header: h, forged: way.name})
	}
	for i := 0; len(hooks) < n; i++ {
		id++
		name := names[i%len(names)]
		switch i % 6 {
		case 0:
			add(demoMetric(name, "resolved", id, now), "metric_alert")
		case 1:
			add(demoEvent("another", "shop", "", "", id, now), "event_alert")
		case 2:
			add(demoEvent(name, "blog", "", "", id, now), "event_alert")
		case 3:
			add(demoEvent(name, "shop", "", `,["sample_event","yes"]`, id, now), "event_alert")
		case 4:
			add(demoEvent(name, "shop", "", "", id, now.Add(-time.Hour)), "event_alert")
		case 5:
			add([]byte(`{"action":"created","installation":{"uuid":"`+demoInstallation+`"},"data":{"issue":{"id":"1"}},"actor":{}}`), "issue")
		}
	}
	rand.Shuffle(len(hooks), func(i, j int) { hooks[i], hooks[j] = hooks[j], hooks[i] })
	return hooks
}

// slowStrangers hold connections whose bodies do not arrive, until ctx ends.
func slowStrangers(ctx context.Context, c *child, n int) *sync.WaitGroup {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				address, err := url.Parse(c.url())
				if err != nil || address.Host == "" {
					pause(ctx, 20*time.Millisecond)
					continue
				}
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address.Host)
				if err != nil {
					pause(ctx, 20*time.Millisecond)
					continue
				}
				_, _ = io.WriteString(conn, "POST /sentry HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\nSentry-Hook-Signature: "+strings.Repeat("a", 64)+"\r\n\r\n{")
				pause(ctx, 500*time.Millisecond)
				_ = conn.Close()
			}
		})
	}
	return &all
}

// TestStorm sends 10,000 requests to two services on one database, each in a
// process of its own: right ones, ones to ignore, and ones forged in 45 ways.
// Slow strangers are beside them, VWO goes down and comes back, and the services
// are killed with kill -9, one after the other.
func TestStorm(t *testing.T) {
	const requests, flags = 10_000, 200
	names := flagNames(flags)
	switchboard := vwotest.NewServer(vwotest.Config{Environments: []string{demoEnvironment}, Features: names})
	defer switchboard.Close()
	switchboard.SetFault(vwotest.Fault{Delay: 10 * time.Millisecond})
	flagLog := webhooktest.NewServer(webhooktest.Config{})
	defer flagLog.Close()
	shared := childConfig{VWO: switchboard.URL, VWOToken: switchboard.Token(), Flags: flagLog.URL(), Names: names, Postgres: postgresDatabase(t), AnswerWithin: answerWithin}
	both := []*child{{t: t, config: shared}, {t: t, config: shared}}
	for _, c := range both {
		c.start()
		t.Cleanup(c.kill)
	}
	ctx, stop := context.WithCancel(t.Context())
	strangers := slowStrangers(ctx, both[0], 8)
	defer strangers.Wait()
	defer stop()

	hooks := stormOf(requests, names)
	late := max(time.Second, answerWithin+time.Second/2)
	var next, over, excused, forgedTaken, forged atomic.Int64
	machine := pulseOf(ctx)
	var mu sync.Mutex
	accepted := map[string]bool{}
	client := newHTTPClient(t)
	var senders sync.WaitGroup
	var slowest time.Duration
	var restarts sync.Mutex
	for range 8 {
		senders.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(hooks); i = int(next.Add(1)) - 1 {
				switch i { // the storm's own events
				case requests / 5:
					switchboard.SetFault(vwotest.Fault{Status: http.StatusBadGateway})
				case requests * 2 / 5:
					switchboard.SetFault(vwotest.Fault{Delay: 10 * time.Millisecond})
				case requests / 2, requests * 3 / 4:
					both[i/(requests*3/4)].again(&restarts)
				}
				h := hooks[i]
				address := both[i%2].url()
				if address == "" {
					address = both[(i+1)%2].url()
				}
				start := time.Now()
				status, err := post(t.Context(), client, address+"/sentry", h.body, func(header http.Header) {
					clear(header)
					for k, v := range h.header {
						header[k] = v
					}
				})
				took := time.Since(start)
				if err != nil {
					continue // the process was killed: the one attempt that Sentry makes
				}
				mu.Lock()
				slowest = max(slowest, took)
				mu.Unlock()
				switch {
				case took <= late:
				case machine.stalled(start):
					excused.Add(1)
				default:
					over.Add(1)
				}
				switch {
				case h.forged != "":
					forged.Add(1)
					if status < 400 {
						forgedTaken.Add(1)
						t.Errorf("forged (%s) was answered %d", h.forged, status)
					}
				case h.acts != "" && status/100 == 2:
					mu.Lock()
					accepted[h.acts] = true
					mu.Unlock()
				case status/100 != 2:
					t.Errorf("answered %d", status)
				}
			}
		})
	}
	senders.Wait()
	stop()
	notDone := func() (n int) {
		for flag := range accepted {
			if switchboard.Enabled(demoEnvironment, flag) {
				n++
			}
		}
		return n
	}
	recorded := func() (lost, twice int) {
		ids := map[string]map[int64]bool{}
		for _, change := range flagLog.Changes() {
			if ids[change.Flag] == nil {
				ids[change.Flag] = map[int64]bool{}
			}
			ids[change.Flag][change.ChangeID] = true
		}
		for flag := range accepted {
			if len(ids[flag]) == 0 {
				lost++
			}
		}
		for _, of := range ids {
			if len(of) > 1 {
				twice++
			}
		}
		return lost, twice
	}
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if lost, _ := recorded(); lost+notDone() == 0 {
			break
		}
	}
	on := 0
	for _, toggle := range switchboard.Toggles() {
		if toggle.Enabled {
			on++
		}
	}
	lost, twice := recorded()
	t.Logf("storm: %d requests, %d forged in %d ways, forged that acted %d; %d right ones accepted, not done %d; records lost %d, twice %d; switched on %d; answers over %v %d, and %d while the machine stood still, slowest %v",
		requests, forged.Load(), len(forgeries()), forgedTaken.Load(), len(accepted), notDone(), lost, twice, on, late, over.Load(), excused.Load(), slowest.Round(time.Millisecond))
	if notDone()+lost+twice+on > 0 || len(accepted) < flags*9/10 || len(forgeries()) < 45 {
		t.Error("not as it should be")
	}
	if over.Load() > 0 {
		t.Errorf("%d answers took over %v", over.Load(), late)
	}
}

// TestCrash kills the program five times while alerts arrive. What it has answered
// 2xx for is switched and recorded in the end.
func TestCrash(t *testing.T) {
	t.Parallel()
	const alerts, kills = 200, 5
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			names := flagNames(alerts)
			switchboard := vwotest.NewServer(vwotest.Config{Environments: []string{demoEnvironment}, Features: names})
			defer switchboard.Close()
			switchboard.SetFault(vwotest.Fault{Delay: 30 * time.Millisecond})
			flagLog := webhooktest.NewServer(webhooktest.Config{})
			defer flagLog.Close()
			c := &child{t: t, config: childConfig{VWO: switchboard.URL, VWOToken: switchboard.Token(), Flags: flagLog.URL(), Names: names, AnswerWithin: answerWithin}}
			if engine == "sqlite" {
				c.config.SQLite = t.TempDir() + "/killswitch.db"
			} else {
				c.config.Postgres = postgresDatabase(t)
			}
			c.start()
			t.Cleanup(c.kill)
			client := newHTTPClient(t)
			var mu sync.Mutex
			accepted := map[string]bool{}
			for k := range kills {
				var all sync.WaitGroup
				for i := range alerts / kills {
					name := names[k*alerts/kills+i]
					all.Go(func() {
						status, err := post(t.Context(), client, c.url()+"/sentry", demoEvent(name, "shop", "", "", k*alerts+i, time.Now()), nil)
						if err == nil && status/100 == 2 {
							mu.Lock()
							defer mu.Unlock()
							accepted[name] = true
						}
					})
				}
				if k%2 == 0 {
					all.Wait()
				} else {
					time.Sleep(40 * time.Millisecond)
				}
				c.kill()
				all.Wait()
				c.start()
			}
			missing := func() (n int) {
				flags := map[string]bool{}
				for _, change := range flagLog.Changes() {
					flags[change.Flag] = true
				}
				for flag := range accepted {
					if switchboard.Enabled(demoEnvironment, flag) || !flags[flag] {
						n++
					}
				}
				return n
			}
			eventually(t, 45*time.Second, "all that was accepted is switched and recorded", func() bool { return missing() == 0 })
			t.Logf("crash: engine=%s kills=%d alerts=%d accepted=%d lost=%d",
				engine, kills, alerts, len(accepted), missing())
			if len(accepted) < alerts/2 {
				t.Errorf("only %d alerts were accepted", len(accepted))
			}
		})
	}
}
