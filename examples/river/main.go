// River sends changes to Sentry as jobs of River, for programs that have their
// background work there already: the change and its job are committed with the
// rest of a transaction, and River's workers send it.
//
//	go run ./examples/river -database postgres://postgres@127.0.0.1:5432/test
//
// It plays a Sentry that fails at first, in a schema of its own, which it removes
// in the end.
//
// What is lost against webhook.Emitter: each job is sent by itself, so that a flag's
// changes can overtake one another, an outage is found out by every job anew, a
// hundred changes are a hundred requests, and what Sentry refuses is a cancelled
// job, which nobody can correct.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

func main() {
	database := flag.String("database", os.Getenv("DATABASE_URL"), "the `URL` of a PostgreSQL; defaults to DATABASE_URL")
	flag.Parse()
	if *database == "" {
		log.Fatal("river: give -database or set DATABASE_URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := play(ctx, *database, os.Stdout); err != nil {
		log.Fatal("river: ", err)
	}
}

// changes are what the demonstration sends. Each has a ChangeID and a time of its
// own: a job may be sent twice, and has to be the same change then.
func changes(now time.Time) []webhook.Change {
	author := webhook.Author{ID: "deploy-bot", Type: webhook.AuthorName}
	return []webhook.Change{
		{ChangeID: 1, CreatedAt: now, Action: webhook.ActionUpdated, CreatedBy: author, Flag: "new-checkout"},
		{ChangeID: 2, CreatedAt: now, Action: webhook.ActionCreated, CreatedBy: author, Flag: "dark-mode"},
		{ChangeID: 3, CreatedAt: now, Action: webhook.ActionDeleted, CreatedBy: author, Flag: strings.Repeat("x", 150)},
	}
}

// play sends changes to a Sentry that is overloaded, then does not answer, and
// takes no name of 150 characters.
func play(ctx context.Context, database string, out io.Writer) (err error) {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return errors.New("the database's URL cannot be read") // the cause may show its password
	}
	defer pool.Close()
	schema := fmt.Sprintf("river_example_%d", os.Getpid())
	if err := migrate(ctx, pool, schema); err != nil {
		return err
	}
	defer func() {
		_, dropped := pool.Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		err = errors.Join(err, dropped)
	}()

	sentry := webhooktest.NewServer(webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026})
	defer sentry.Close()
	sentry.Fail(webhooktest.RateLimited(time.Now().Add(time.Second)), webhooktest.Status(503))
	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		return err
	}
	jobs, err := start(ctx, pool, schema, &sender{client: client, log: out})
	if err != nil {
		return err
	}
	events, stop := jobs.Subscribe(river.EventKindJobCompleted, river.EventKindJobCancelled)
	defer stop()
	all := changes(time.Now())
	if err := insert(ctx, pool, jobs, all); err != nil {
		return err
	}
	for range all {
		select {
		case <-events:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	delivered := sentry.Changes()
	fmt.Fprintf(out, "river: %d of %d changes delivered\n", len(delivered), len(all))
	return jobs.Stop(ctx)
}

func migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	if _, err := pool.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func start(ctx context.Context, pool *pgxpool.Pool, schema string, s *sender) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, s)
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		// One worker keeps to the order as long as nothing fails.
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		Workers: workers, Schema: schema, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	return jobs, jobs.Start(context.WithoutCancel(ctx)) // until Stop
}

// insert commits the jobs with whatever else is in the transaction.
func insert(ctx context.Context, pool *pgxpool.Pool, jobs *river.Client[pgx.Tx], all []webhook.Change) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	for _, change := range all {
		if _, err := jobs.InsertTx(ctx, tx, args{change}, nil); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// args are what River keeps of a job.
type args struct {
	Change webhook.Change `json:"change"`
}

// Kind implements river.JobArgs.
func (args) Kind() string { return "flag_change" }

// sender is the worker.
type sender struct {
	river.WorkerDefaults[args]
	client *webhook.Client
	log    io.Writer
}

// Work implements river.Worker.
func (s *sender) Work(ctx context.Context, job *river.Job[args]) error {
	err := s.client.Send(ctx, job.Args.Change)
	fmt.Fprintf(s.log, "change %d: %s\n", job.Args.Change.ChangeID, outcome(err))
	return mapped(err)
}

const (
	longWait  = time.Minute     // for a person
	shortWait = 5 * time.Second // for a limit whose end is not named, or is over by now
)

// mapped says what River is to do about an error of [webhook.Client.Send]:
//
//	the change itself is at fault                   cancel: no retry makes it right
//	Sentry names a time to wait                     snooze for so long
//	Sentry limits, and names none                   snooze briefly: that is no attempt of the job's
//	a person has to mend the configuration          snooze
//	no answer, or none that is clear                retry, which counts as an attempt
func mapped(err error) error {
	var answer *webhook.AnswerError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, webhook.ErrInvalidChange), errors.Is(err, webhook.ErrRejected), errors.Is(err, webhook.ErrRefused):
		return river.JobCancel(err)
	case errors.As(err, &answer) && answer.RetryAfter > 0:
		return river.JobSnooze(answer.RetryAfter)
	case errors.Is(err, webhook.ErrRateLimited):
		return river.JobSnooze(shortWait)
	case errors.Is(err, webhook.ErrUnauthorized), errors.Is(err, webhook.ErrNotFound),
		errors.Is(err, webhook.ErrMisdirected), errors.Is(err, webhook.ErrRedirected), errors.Is(err, webhook.ErrUnexpectedAnswer):
		return river.JobSnooze(longWait)
	}
	return err
}

// outcome is what mapped makes of an error, in a word.
func outcome(err error) string {
	var cancel *river.JobCancelError
	var snooze *river.JobSnoozeError
	switch mapped := mapped(err); {
	case mapped == nil:
		return "delivered"
	case errors.As(mapped, &cancel):
		return "cancelled"
	case errors.As(mapped, &snooze):
		return "snoozed for " + snooze.Duration.Round(time.Second).String()
	}
	return "to be tried again"
}
