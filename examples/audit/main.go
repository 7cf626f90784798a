// Command audit is a small flag back end whose every change of a flag reaches
// Sentry's flag log: the flag's row and the record of its change commit together
// or not at all, and an emitter delivers the records.
//
//	go run ./examples/audit
//
// As it stands it needs no account: it plays Sentry, makes its own requests,
// some of them during an outage, and compares Sentry's log with the table of
// flags. With -dsn it runs three back ends on one PostgreSQL, as three machines
// would:
//
//	go run ./examples/audit -dsn postgres://user@host/database
//
// With -listen it serves instead, and takes the webhook's URL and secret, as
// Sentry's settings page shows them, from SENTRY_FLAGS_WEBHOOK_URL and
// SENTRY_FLAGS_WEBHOOK_SECRET:
//
//	go run ./examples/audit -listen localhost:8080 -file flags.db
//	curl -X PUT -H 'X-User: ada' -d '{"enabled":true}' localhost:8080/flags/new-checkout
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("audit", flag.ContinueOnError)
	flags.SetOutput(out)
	dsn := flags.String("dsn", "", "PostgreSQL to keep flags and records in, instead of SQLite")
	file := flags.String("file", "", "SQLite file to keep them in; one that is removed at the end if empty")
	listen := flags.String("listen", "", "address to serve on, instead of the demonstration")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("%q is not understood; see -h", flags.Args())
	}
	d := database{dsn: *dsn, file: *file}
	if *listen != "" && d == (database{}) {
		return errors.New("-listen needs -file or -dsn: what is not delivered waits there for the next start")
	}
	if d.dsn == "" && d.file == "" {
		dir, err := os.MkdirTemp("", "audit-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		d.file = dir + "/flags.db"
	}
	if *listen != "" {
		return serve(ctx, d, *listen, out)
	}
	return demonstrate(ctx, d, out)
}
