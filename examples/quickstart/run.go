package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// runTimeout bounds the whole run, also with a Sentry that does not answer.
const runTimeout = 9 * time.Second

// run is the program. It returns its exit status: 0 if what arrived is what was
// expected, 1 if not, 2 if it was called wrongly.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	asked, err := readSettings(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "quickstart:", err)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := showLoop(ctx, asked, stdout); err != nil {
		fmt.Fprintln(stderr, "quickstart:", err)
		return 1
	}
	return 0
}

// showLoop shows the loop with the Sentry that was asked for.
func showLoop(ctx context.Context, asked settings, out io.Writer) error {
	flags, err := loadDefinitions(asked.flagsFile)
	if err != nil {
		return fmt.Errorf("flag definitions: %w", err)
	}
	fault, ok := findFault(flags)
	if !ok {
		return errors.New("flag definitions: no boolean flag, and Sentry shows no others on an error")
	}
	to, err := connect(asked) //nolint:contextcheck // a stand-in lives until it is closed
	if err != nil {
		return err
	}
	defer to.close()
	return (&loop{to: to, report: reporter{out}, flags: flags, fault: fault}).run(ctx)
}
