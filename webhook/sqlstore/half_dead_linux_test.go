package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func storeOn(tb testing.TB, db *sql.DB) *sqlstore.Store {
	tb.Helper()
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// TestFrozenBackend stops the server's processes that delivery talks to, sockets
// open: that is reported within the deadline of the call, and delivered all the
// same, once.
func TestFrozenBackend(t *testing.T) {
	server := ownServer(t)
	schema := server.schema(t)
	const lease = 1500 * time.Millisecond
	sink := newSink(time.Millisecond)
	defer sink.Close()
	first := emitterOn(t, storeOn(t, server.open(t, schema+"&application_name=frozen")), sink, lease)
	if err := first.emit(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first change arrives", func() bool { return sink.unique() == 1 })
	second := emitterOn(t, storeOn(t, server.open(t, schema)), sink, lease)

	frozen := server.backends(t, "frozen")
	if len(frozen) == 0 {
		t.Fatal("the first emitter has no session")
	}
	thaw := func() {
		for _, pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	defer thaw()
	for _, pid := range frozen {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Skipf("processes of the server cannot be stopped: %v", err)
		}
	}
	start := time.Now()
	for i := range 10 {
		if err := second.emit(t.Context(), 1+i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all arrive", func() bool { return sink.unique() == 11 })
	took := time.Since(start)
	eventually(t, "the first emitter reports the store", func() bool {
		_, ok := first.since(webhook.EventPaused, start)
		return ok
	})
	reported, _ := first.since(webhook.EventPaused, start)
	fmt.Printf("frozen backend: reported after %v, all delivered after %v (lease %v)\n", reported.Round(time.Millisecond), took.Round(time.Millisecond), lease)
	slack := 10 * time.Second // for what else the machine does
	if os.Getenv(fullEnv) == "full" {
		slack = 700 * time.Millisecond
	}
	if most := lease/3 + slack; reported > most {
		t.Errorf("reported after %v, want at most %v", reported, most)
	}
	if most := 2*lease + slack; took > most {
		t.Errorf("delivered after %v, want at most %v", took, most)
	}
	thaw()
	first.end(t)
	second.end(t)
	sink.judged(t, 11, 0)
}

// TestReadOnlyForAWhile turns the server read-only under open connections and
// back: delivery goes on by itself.
func TestReadOnlyForAWhile(t *testing.T) {
	server := ownServer(t)
	schema := server.schema(t)
	store := storeOn(t, server.open(t, schema))
	sink := newSink(0)
	defer sink.Close()
	emitter := emitterOn(t, store, sink, time.Second)
	if err := emitter.emit(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first change arrives", func() bool { return sink.unique() == 1 })
	back := func() {
		server.exec(t, "ALTER SYSTEM SET default_transaction_read_only = off", "SELECT pg_reload_conf()")
	}
	t.Cleanup(back)
	server.exec(t, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	eventually(t, "the store refuses", func() bool {
		_, err := store.Add(t.Context(), "probe", queue.Addition{Items: []queue.Item{{ID: fmt.Sprint(rand.Int())}}})
		return err != nil
	})
	start := time.Now()
	insert := server.open(t, schema+"&default_transaction_read_only=off")
	if err := enqueueOn(t, insert, store, emitter, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is reported", func() bool {
		_, ok := emitter.since(webhook.EventPaused, start)
		return ok
	})
	back()
	eventually(t, "the second change is settled", func() bool {
		stats, err := emitter.Stats(t.Context())
		return err == nil && stats.Waiting == 0 && !stats.Paused && sink.unique() == 2
	})
	emitter.end(t)
	sink.judged(t, 2, 0)
}

// enqueueOn enqueues a change by the store's statement, over another connection.
func enqueueOn(t *testing.T, db *sql.DB, store *sqlstore.Store, emitter *testEmitter, i int) error {
	items, err := emitter.Items(crashChange(i))
	if err != nil {
		return err
	}
	query, args, err := store.Statement(emitter.Queue(), items...)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(t.Context(), query, args...)
	return err
}

// TestSessionsEnd ends all sessions of the store's user again and again, and the
// server itself, hard: below one process that works on a queue, and below two that
// share another.
func TestSessionsEnd(t *testing.T) {
	server := ownServer(t)
	cuts, restarts := 5, 2
	if os.Getenv(fullEnv) == "full" {
		cuts, restarts = 30, 5
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var judged []func()
	for _, processes := range []int{1, 2} {
		judged = append(judged, worked(ctx, t, server, processes))
	}
	for range cuts {
		time.Sleep(time.Second) // real sessions
		server.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ends'`)
	}
	for range restarts {
		time.Sleep(time.Second)
		server.stop(syscall.SIGQUIT)
		if err := server.start(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for _, judge := range judged {
		judge()
	}
}

// worked has processes emit and deliver until ctx ends, and returns what judges
// them then.
func worked(ctx context.Context, t *testing.T, server *server, processes int) (judge func()) {
	schema := server.schema(t)
	sink := newSink(time.Millisecond)
	t.Cleanup(sink.Close)
	const lease = 20 * time.Second // longer than the server is away: nobody else may take what was delivered
	var emitters []*testEmitter
	for range processes {
		emitters = append(emitters, emitterOn(t, storeOn(t, server.open(t, schema+"&application_name=ends")), sink, lease))
	}
	var producers sync.WaitGroup
	counts := make([]int, crashFlags)
	for flag := range crashFlags {
		producers.Go(func() {
			for i := flag; ctx.Err() == nil; i += crashFlags {
				if err := emitters[flag%processes].emit(t.Context(), i); err != nil {
					if t.Context().Err() == nil {
						t.Errorf("Emit: %v", err)
					}
					return
				}
				counts[flag]++
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	t.Cleanup(producers.Wait)
	return func() {
		producers.Wait()
		for _, emitter := range emitters {
			emitter.end(t)
		}
		acked := 0
		for _, n := range counts {
			acked += n
		}
		fmt.Printf("sessions end: processes=%d acked=%d lost=%d repeats=%d\n", processes, acked, acked-sink.unique(), sink.repeats())
		sink.judged(t, acked, 0)
	}
}

// TestTransactionPooling works through PgBouncer, which gives each transaction
// another session: nothing is repeated, and nothing of ours stays on a session.
func TestTransactionPooling(t *testing.T) {
	server := ownServer(t)
	port := startPgBouncer(t, server)
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			schema := server.schema(t)
			name := strings.TrimPrefix(schema, "search_path=")
			server.exec(t, "ALTER ROLE postgres SET search_path = "+name)
			defer server.exec(t, "ALTER ROLE postgres RESET search_path")
			pool := func() *sql.DB {
				db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&default_query_exec_mode=%s", port, mode))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				return db
			}
			bouncer(t, port, "RECONNECT") // for the new search path
			before := sessionSettings(t, pool())
			sink := newSink(time.Millisecond)
			defer sink.Close()
			emitters := []*testEmitter{
				emitterOn(t, storeOn(t, pool()), sink, 10*time.Second), emitterOn(t, storeOn(t, pool()), sink, 10*time.Second),
			}
			const n = 1500
			var producers sync.WaitGroup
			for flag := range crashFlags {
				producers.Go(func() {
					for i := flag; i < n; i += crashFlags {
						if err := emitters[flag%2].Emit(t.Context(), crashChange(i)); err != nil {
							t.Errorf("Emit: %v", err)
							return
						}
					}
				})
			}
			producers.Wait()
			for _, emitter := range emitters {
				emitter.end(t)
			}
			sink.judged(t, n, 0)
			if after := sessionSettings(t, pool()); !slices.Equal(before, after) {
				t.Errorf("settings of the sessions: %q before, %q after", before, after)
			}
			var locks int
			if err := server.open(t, "").QueryRow(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`).Scan(&locks); err != nil || locks != 0 {
				t.Errorf("%d advisory locks, %v", locks, err)
			}
			fmt.Printf("transaction pooling: mode=%s changes=%d repeats=%d longest_gap=%v\n", mode, n, sink.repeats(), sink.longestGap.Round(time.Millisecond))
		})
	}
}

// sessionSettings lists what was set on the sessions behind a pool.
func sessionSettings(t *testing.T, db *sql.DB) []string {
	t.Helper()
	var settings []string
	for range 10 {
		var session string
		err := db.QueryRow(`SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') FROM pg_settings WHERE source = 'session'`).Scan(&session)
		if err != nil {
			t.Fatal(err)
		}
		settings = append(settings, session)
	}
	slices.Sort(settings)
	return slices.Compact(settings)
}

func startPgBouncer(t *testing.T, server *server) int {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			t.Skip("PgBouncer is not here")
		}
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(server.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = 4
ignore_startup_parameters = extra_float_digits
`, server.port, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := server.command(program, config)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(output.String())
		}
	})
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually(t, "PgBouncer answers", func() bool { return db.Ping() == nil })
	return port
}

// bouncer gives PgBouncer a command.
func bouncer(t *testing.T, port int, command string) {
	t.Helper()
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@127.0.0.1:%d/pgbouncer?sslmode=disable&default_query_exec_mode=simple_protocol", port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(command); err != nil {
		t.Fatal(err)
	}
}

// TestLeastPrivilege works as a role that may not create anything, on tables that
// another has made by the schema's file.
func TestLeastPrivilege(t *testing.T) {
	server := ownServer(t)
	name := strings.TrimPrefix(server.schema(t), "search_path=")
	role := name + "_role"
	server.exec(t, "CREATE ROLE "+role+" LOGIN", "GRANT USAGE ON SCHEMA "+name+" TO "+role)
	t.Cleanup(func() { server.exec(t, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable&search_path=%s", role, server.port, name))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := sqlstore.New(db, sqlstore.PostgreSQL); !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), "Schema") {
		t.Errorf("without tables: %v", err)
	}

	text, err := sqlstore.Schema(sqlstore.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	var grants []string
	for line := range strings.Lines(text) {
		if grant, ok := strings.CutPrefix(strings.TrimSpace(line), "--   GRANT SELECT"); ok {
			grants = append(grants, "GRANT SELECT"+strings.Replace(grant, "...;", role, 1))
		}
	}
	if len(grants) != 2 {
		t.Fatalf("the file names the grants %q", grants)
	}
	server.exec(t, append([]string{"SET search_path = " + name + ";" + text + strings.Join(grants, ";")}, "RESET search_path")...)
	store := storeOn(t, db)
	sink := newSink(0)
	defer sink.Close()
	emitter := emitterOn(t, store, sink, time.Second)
	for i := range 20 {
		if err := emitter.emit(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	emitter.end(t)
	sink.judged(t, 20, 0)
	everyCall(t, store)
}

// TestIdlePostgreSQLWritesNothing counts the transactions that write while an
// emitter has nothing to do: none has a number.
func TestIdlePostgreSQLWritesNothing(t *testing.T) {
	server := ownServer(t)
	quiet := 2 * time.Second
	if os.Getenv(fullEnv) == "full" {
		quiet = time.Minute
	}
	store := storeOn(t, server.open(t, server.schema(t)))
	sink := newSink(0)
	defer sink.Close()
	emitter := emitterOn(t, store, sink, 300*time.Millisecond)
	if err := emitter.Emit(t.Context(), crashChange(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lease is given back", func() bool {
		stats, err := store.Stats(t.Context(), testQueue, 0)
		return err == nil && sink.unique() == 1 && stats.Waiting == 0 && !stats.Held
	})
	admin := server.open(t, "")
	next := func() (n int64) {
		if err := admin.QueryRow(`SELECT txid_snapshot_xmax(txid_current_snapshot())`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := next()
	time.Sleep(quiet) // a real server
	if after := next(); after != before {
		t.Errorf("%d transactions have written", after-before)
	}
	emitter.end(t)
}
