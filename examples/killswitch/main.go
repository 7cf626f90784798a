// Killswitch is a service that takes Sentry's alerts and switches feature flags
// off. See README.md.
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
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	var status exitStatus
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.As(err, &status):
		os.Exit(int(status))
	default:
		fmt.Fprintln(os.Stderr, "killswitch:", strings.TrimPrefix(err.Error(), "killswitch: "))
		os.Exit(1)
	}
}

// run is the program, until ctx ends.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("killswitch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "killswitch.json", "the configuration `file`")
	check := flags.Bool("check", false, "check the configuration against the flag systems and Sentry, and exit")
	demo := flags.Bool("demo", false, "play a storm of alerts against stand-ins of Sentry and VWO on loopback, and exit")
	flags.Usage = func() { printUsage(flags) }
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.Arg(0) == "help" {
		printUsage(flags)
		return flag.ErrHelp
	}
	if *demo {
		return playDemo(ctx, stdout)
	}
	if flags.Arg(0) == "queue" {
		return runQueue(ctx, *file, env, flags.Args()[1:], stdout, stderr)
	}
	if flags.NArg() > 0 {
		if err := helpOf(flags.Args(), stderr); err != nil {
			return err
		}
	}
	config, err := readConfig(*file, env)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(stderr, nil))
	if flags.NArg() > 0 {
		return runTool(ctx, config, flags.Args(), stdout, stderr)
	}
	if *check {
		return runCheck(ctx, config, stdout)
	}
	return serve(ctx, config, logger)
}
