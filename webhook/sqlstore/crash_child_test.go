package sqlstore_test

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// childEnv holds, for a test binary that plays a process to be killed, what it
// has to do.
const childEnv = "SENTRYFLAGS_CRASH_CHILD"

// childConfig is one process of a crash test.
type childConfig struct {
	Role      string
	Dialect   sqlstore.Dialect
	DSN       string // of PostgreSQL
	Dir       string
	URL       string
	Changes   int           // of all processes
	Processes int           // that share the flags
	Number    int           // of this process, from 0
	Pace      time.Duration // between two changes of a flag
	Lease     time.Duration // of the queue, by default two seconds
	Watched   bool          // standard input is a pipe from the parent
}

const crashFlags = 20

// testQueue is the queue of the tests, whatever address the sink has.
const testQueue = "changes"

// runCrashChild plays the process, if this is one.
func runCrashChild() (exitCode int, isChild bool) {
	text := os.Getenv(childEnv)
	if text == "" {
		return 0, false
	}
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	roles := map[string]func(context.Context) error{
		"emit": c.emit, "transactions": c.transactions, "enqueue": c.enqueue, "drain": c.drain,
	}
	if c.Watched {
		go func() { // end with the parent, however that ends
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(2)
		}()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := roles[c.Role](ctx); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1, true
	}
	return 0, true
}

func (c childConfig) prefix() string { return prefixOf(c.Dir) }

func (c childConfig) journal() string {
	return filepath.Join(c.Dir, fmt.Sprintf("journal-%d", c.Number))
}

func (c childConfig) db() (*sql.DB, error) {
	if c.Dialect == sqlstore.PostgreSQL {
		return sql.Open("pgx", c.DSN)
	}
	return sqlstore.OpenSQLite("sqlite", filepath.Join(c.Dir, "store.db"))
}

func (c childConfig) store(db *sql.DB) (*sqlstore.Store, error) {
	var options []sqlstore.Option
	if c.Dialect == sqlstore.PostgreSQL {
		options = append(options, sqlstore.WithTablePrefix(c.prefix()))
	}
	return sqlstore.New(db, c.Dialect, options...)
}

// open returns the database, its store and what closes both.
func (c childConfig) open() (*sql.DB, *sqlstore.Store, func(), error) {
	db, err := c.db()
	if err != nil {
		return nil, nil, nil, err
	}
	store, err := c.store(db)
	if err != nil {
		db.Close()
		return nil, nil, nil, err
	}
	return db, store, func() { store.Close(); db.Close() }, nil
}

func (c childConfig) emitter(store queue.Store) (*webhook.Emitter, error) {
	client, err := webhook.NewClient(webhook.Config{URL: c.URL, Secrets: []signing.Secret{signing.NewSecret(sinkSecret)}})
	if err != nil {
		return nil, err
	}
	return webhook.NewEmitter(client, store, webhook.EmitterConfig{
		Queue: testQueue, Linger: -1, PollInterval: 100 * time.Millisecond, Lease: cmp.Or(c.Lease, 2*time.Second), Logger: slog.New(slog.DiscardHandler),
	})
}

// crashChange is change i of a crash test, the same whoever makes it.
func crashChange(i int) webhook.Change {
	return webhook.Change{
		Action:    webhook.ActionUpdated,
		ChangeID:  int64(i + 1),
		CreatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second),
		CreatedBy: webhook.Author{ID: "crash-test", Type: webhook.AuthorName},
		Flag:      fmt.Sprintf("flag-%d", i%crashFlags),
	}
}

// emit emits the changes that the journal lacks, one producer per flag, and
// notes each in the journal once it is accepted; then it waits for SIGTERM.
func (c childConfig) emit(ctx context.Context) error {
	_, store, closeBoth, err := c.open()
	if err != nil {
		return err
	}
	defer closeBoth()
	emitter, err := c.emitter(store)
	if err != nil {
		return err
	}
	acked := make(map[int64]bool)
	for _, id := range readJournal(c.journal()) {
		acked[id] = true
	}
	journal, err := os.OpenFile(c.journal(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer journal.Close()
	err = c.produce(ctx, func(i int) error {
		change := crashChange(i)
		if acked[change.ChangeID] {
			return nil
		}
		begun := context.WithoutCancel(ctx) // broken off behind its commit, it would be emitted again
		err := emitter.Emit(begun, change)
		for errors.Is(err, sqlstore.ErrBusy) { // the same change, on a machine with much to do
			err = emitter.Emit(begun, change)
		}
		if err != nil {
			return err
		}
		time.Sleep(c.Pace)
		_, err = fmt.Fprintf(journal, "%d\n", change.ChangeID)
		return err
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return emitter.Close(drain)
}

// produce runs one producer for each of the process's flags.
func (c childConfig) produce(ctx context.Context, one func(i int) error) error {
	var wg sync.WaitGroup
	failures := make(chan error, crashFlags)
	for flag := c.Number; flag < crashFlags; flag += c.Processes {
		wg.Go(func() {
			for i := flag; i < c.Changes && ctx.Err() == nil; i += crashFlags {
				if err := one(i); err != nil && ctx.Err() == nil {
					failures <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	return <-failures
}

// transactions commits an own row and the record of the change together, rolls
// every third back, and waits for SIGTERM.
func (c childConfig) transactions(ctx context.Context) error {
	db, store, closeBoth, err := c.open()
	if err != nil {
		return err
	}
	defer closeBoth()
	emitter, err := c.emitter(store)
	if err != nil {
		return err
	}
	create := "CREATE TABLE IF NOT EXISTS " + c.prefix() + "own (id BIGINT PRIMARY KEY)"
	if _, err := db.ExecContext(ctx, create); err != nil {
		// PostgreSQL fails the second of two that create a table at once.
		if _, err := db.ExecContext(ctx, create); err != nil {
			return err
		}
	}
	committed, err := c.committed(ctx, db)
	if err != nil {
		return err
	}
	err = c.produce(ctx, func(i int) error {
		if committed[crashChange(i).ChangeID] {
			return nil
		}
		time.Sleep(c.Pace)
		// An application tries again when SQLite is busy: nothing was begun.
		var err error
		for range 20 {
			if err = c.transaction(ctx, db, store, emitter, i); err == nil || !strings.Contains(err.Error(), "SQLITE_BUSY") {
				break
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return emitter.Close(drain)
}

func (c childConfig) transaction(ctx context.Context, db *sql.DB, store *sqlstore.Store, emitter *webhook.Emitter, i int) error {
	change := crashChange(i)
	items, err := emitter.Items(change)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %sown (id) VALUES (%d)", c.prefix(), change.ChangeID)); err != nil {
		return err
	}
	if _, err := store.EnqueueTx(ctx, tx, emitter.Queue(), items...); err != nil {
		return err
	}
	if i%3 == 2 {
		return tx.Rollback()
	}
	return tx.Commit()
}

// committed reads which of the caller's own rows there are.
func (c childConfig) committed(ctx context.Context, db *sql.DB) (map[int64]bool, error) {
	rows, err := db.QueryContext(ctx, "SELECT id FROM "+c.prefix()+"own")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids := make(map[int64]bool)
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids[id] = true
	}
	return ids, rows.Err()
}

// enqueue accepts changes one by one, for others to count the fsyncs.
func (c childConfig) enqueue(ctx context.Context) error {
	_, store, closeBoth, err := c.open()
	if err != nil {
		return err
	}
	defer closeBoth()
	for i := range c.Changes {
		if _, err := store.Add(ctx, "q", queue.Addition{Items: []queue.Item{{ID: strconv.Itoa(i), Body: []byte("body")}}}); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers all that waits and prints the most memory that it took.
func (c childConfig) drain(ctx context.Context) error {
	_, store, closeBoth, err := c.open()
	if err != nil {
		return err
	}
	defer closeBoth()
	emitter, err := c.emitter(store)
	if err != nil {
		return err
	}
	if err := emitter.Close(ctx); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			fmt.Println(kilobytes)
			return nil
		}
	}
	return errors.New("VmHWM is not known")
}

// readJournal returns the ids that were acknowledged. The last line may be torn.
func readJournal(path string) []int64 {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	var ids []int64
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if id, err := strconv.ParseInt(scanner.Text(), 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
