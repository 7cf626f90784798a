package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/vwo"
	"github.com/sentryflags/sentryflags-go/vwo/vwotest"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// childEnv names the environment variable that makes the test binary a service
// to be killed. It holds a childConfig.
const childEnv = "KILLSWITCH_TEST_CHILD"

type childConfig struct {
	VWO, VWOToken, Flags, SQLite, Postgres string
	Names                                  []string
	Reports                                string // the file for flags whose alert was not kept in the store
}

func (c childConfig) config() config {
	var program config
	program.Rules = stormRules(c.Names)
	program.Store, program.database = c.SQLite, hide(c.Postgres)
	program.CoolDown, program.CapPerHour = -1, -1
	program.VWO.BaseURL = c.VWO
	program.vwoToken = vwo.NewToken(c.VWOToken)
	program.clientSecrets = []signing.Secret{signing.NewSecret(demoSecret)}
	program.flagsURL, program.flagsSecrets = c.Flags, []signing.Secret{signing.NewSecret(webhooktest.DefaultSecret)}
	return program
}

// crashChild runs the service until it is killed. It prints its address.
func crashChild() int {
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	reports, err := os.OpenFile(c.Reports, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	s, err := newService(ctx, c.config(), options{unlimited: true, onReport: func(r vwo.Report) {
		if errors.Is(r.Err, vwo.ErrStore) {
			fmt.Fprintln(reports, r.Target.Feature)
		}
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("http://" + listener.Addr().String())
	if err := serveOn(ctx, s, listener, "/sentry", discard()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
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

// url waits for a child that lives.
func (c *child) url() string {
	for {
		c.mu.Lock()
		address := c.address
		c.mu.Unlock()
		if address != "" {
			return address
		}
		time.Sleep(time.Millisecond)
	}
}

// TestCrash kills the program five times in a storm. What it has answered 2xx
// for is switched in the end.
func TestCrash(t *testing.T) {
	const alerts, kills = 600, 5
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			names := flagNames(alerts)
			switchboard := vwotest.NewServer(vwotest.Config{Environments: []string{demoEnvironment}, Features: names})
			defer switchboard.Close()
			switchboard.SetFault(vwotest.Fault{Delay: 30 * time.Millisecond})
			flagLog := webhooktest.NewServer(webhooktest.Config{})
			defer flagLog.Close()
			dir := t.TempDir()
			c := &child{t: t, config: childConfig{
				VWO: switchboard.URL, VWOToken: switchboard.Token(), Flags: flagLog.URL(), Names: names, Reports: filepath.Join(dir, "reports"),
			}}
			if engine == "sqlite" {
				c.config.SQLite = filepath.Join(dir, "killswitch.db")
			} else {
				c.config.Postgres = postgresDatabase(t)
			}
			c.start()
			t.Cleanup(c.kill)

			var mu sync.Mutex
			accepted := map[string]bool{}
			done := make(chan struct{})
			go func() {
				defer close(done)
				postAll(t, 8, names, c.url, func(flag string, _ int) {
					mu.Lock()
					defer mu.Unlock()
					accepted[flag] = true
				})
			}()
			for k := range kills {
				eventually(t, 30*time.Second, "the next kill", func() bool { return off(switchboard) >= (k+1)*alerts/(kills+2) })
				c.kill()
				c.start()
			}
			<-done
			lost := func() int {
				mu.Lock()
				defer mu.Unlock()
				n := 0
				for flag := range accepted {
					if switchboard.Enabled(demoEnvironment, flag) {
						n++
					}
				}
				return n
			}
			// A switch that was done from memory is as good as the process, and so is
			// its record.
			inMemory := fromMemory(t, c.config.Reports)
			eventually(t, 30*time.Second, "all that was accepted is switched", func() bool {
				inMemory = fromMemory(t, c.config.Reports)
				return lost() <= len(inMemory)
			})
			for flag := range accepted {
				if switchboard.Enabled(demoEnvironment, flag) && !inMemory[flag] {
					t.Errorf("%s was accepted and not switched", flag)
				}
			}
			// Each has one record, however often it was sent.
			eventually(t, 30*time.Second, "all that was switched is recorded", func() bool {
				records := recorded(t, flagLog)
				for flag := range accepted {
					if _, found := records[flag]; !found && !inMemory[flag] {
						return false
					}
				}
				return true
			})
			t.Logf("crash: engine=%s kills=%d alerts=%d accepted=%d lost=%d repeated toggles=%d done from memory=%d records=%d",
				engine, kills, alerts, len(accepted), lost(), len(switchboard.Toggles())-off(switchboard), len(inMemory), len(recorded(t, flagLog)))
			if len(accepted) < alerts/2 {
				t.Errorf("only %d alerts were accepted", len(accepted))
			}
		})
	}
}

func off(s *vwotest.Server) int {
	n := 0
	for _, enabled := range s.States(demoEnvironment) {
		if !enabled {
			n++
		}
	}
	return n
}

// recorded returns the flags in the log, and fails if two records of a flag are
// not the same change.
func recorded(t *testing.T, flagLog *webhooktest.Server) map[string]int64 {
	t.Helper()
	ids := map[string]int64{}
	for _, change := range flagLog.Changes() {
		if id, known := ids[change.Flag]; known && id != change.ChangeID {
			t.Errorf("%s has two records", change.Flag)
		}
		ids[change.Flag] = change.ChangeID
	}
	return ids
}

// fromMemory reads which flags were switched from memory.
func fromMemory(t *testing.T, file string) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{}
	for _, flag := range strings.Fields(string(raw)) {
		flags[flag] = true
	}
	return flags
}

// TestTwoRelaysOnOneDatabase sends each alert to both of two services.
func TestTwoRelaysOnOneDatabase(t *testing.T) {
	const alerts = 200
	names := flagNames(alerts)
	switchboard := vwotest.NewServer(vwotest.Config{Environments: []string{demoEnvironment}, Features: names})
	defer switchboard.Close()
	flagLog := webhooktest.NewServer(webhooktest.Config{})
	defer flagLog.Close()
	c := childConfig{VWO: switchboard.URL, VWOToken: switchboard.Token(), Flags: flagLog.URL(), Names: names, Postgres: postgresDatabase(t)}

	var mu sync.Mutex
	slow := map[string]bool{}
	var both []*service
	var addresses []string
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 2 {
		s, err := newService(ctx, c.config(), options{unlimited: true, onReport: func(r vwo.Report) {
			mu.Lock()
			defer mu.Unlock()
			slow[r.Target.Feature] = true
		}})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, s)
		addresses = append(addresses, "http://"+listener.Addr().String())
		running.Go(func() {
			if err := serveOn(ctx, s, listener, "/sentry", discard()); err != nil && !strings.Contains(err.Error(), "Server closed") {
				t.Error(err)
			}
		})
	}
	defer running.Wait()
	defer stop()
	// The body decides what is the same alert: each is sent to both at once.
	bodies := map[string][]byte{}
	for i, name := range names {
		bodies[name] = demoEvent(name, "shop", "", i, time.Now())
	}
	client := newHTTPClient(t)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker / 2; i < len(names); i += 4 {
				status, err := post(ctx, client, addresses[worker%2]+"/sentry", bodies[names[i]])
				if err != nil || status/100 != 2 {
					t.Errorf("%s: %d, %v", names[i], status, err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, 30*time.Second, "everything is done and recorded", func() bool {
		stats, err := both[0].relay.Stats(ctx)
		return err == nil && stats.Waiting == 0 && len(recorded(t, flagLog)) == alerts
	})
	toggles := map[string]int{}
	for _, toggle := range switchboard.Toggles() {
		toggles[toggle.Feature]++
	}
	records := map[string]int{}
	for _, change := range flagLog.Changes() {
		records[change.Flag]++
	}
	t.Logf("two relays: %d alerts to both, %d flags switched by %d toggles, %d records, %d from memory",
		alerts, off(switchboard), len(switchboard.Toggles()), len(flagLog.Changes()), len(slow))
	for _, name := range names {
		if slow[name] {
			continue // the database was too slow to tell the two apart
		}
		if toggles[name] != 1 || records[name] != 1 {
			t.Errorf("%s: %d toggles, %d records", name, toggles[name], records[name])
		}
	}
	if len(slow) > alerts/10 {
		t.Errorf("the database was too slow for %d alerts", len(slow))
	}
}
