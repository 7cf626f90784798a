// Flagwatch is a service that watches flag definitions and writes what changes
// into Sentry's flag log. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit statuses. Those of diff are those of diff(1).
const (
	exitOK      = 0
	exitChanges = 1 // diff found some
	exitFailed  = 1
	exitTrouble = 2 // wrong usage, or diff could not compare
)

// run is the program, until ctx ends.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "diff" {
		return runDiff(ctx, args[1:], env, stdout, stderr)
	}
	flags := flag.NewFlagSet("flagwatch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: flagwatch [-config file] [-check]\n       flagwatch [-config file] queue status|list|show|correct|replay|discard|resume …\n       flagwatch diff [-format name] [-json] old new\n       flagwatch diff -git before..after [-send] … -- path…\n       flagwatch -demo")
		flags.PrintDefaults()
	}
	file := flags.String("config", "flagwatch.json", "the configuration `file`")
	check := flags.Bool("check", false, "read every source once, prove the webhook and the store, and exit")
	demo := flags.Bool("demo", false, "edit flag files as people, editors and Kubernetes do, and show the flag log of a stand-in for Sentry")
	if err := flags.Parse(args); err != nil {
		return exitTrouble
	}
	if flags.Arg(0) == "queue" {
		return runQueue(ctx, *file, flags.Args()[1:], env, stdout, stderr)
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "flagwatch: unexpected argument %q\n", flags.Arg(0))
		return exitTrouble
	}
	err := func() error {
		if *demo {
			return playDemo(ctx, stdout)
		}
		c, err := readConfig(*file, env)
		if err != nil {
			return err
		}
		if *check {
			return runCheck(ctx, c, stdout)
		}
		return serve(ctx, c, slog.New(slog.NewJSONHandler(stderr, nil)))
	}()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(stderr, "flagwatch:", err)
		return exitFailed
	}
	return exitOK
}
