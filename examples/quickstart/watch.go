package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// watched is the definition file with what watches it: nobody says what was
// edited, it is found.
type watched struct {
	folder  string
	watcher *changes.Watcher
	emitter *webhook.Emitter
	store   *queue.Memory
	events  chan webhook.Event
}

// author is who is named in Sentry's flag log: here it is known who edits.
var author = webhook.Author{ID: "quickstart", Type: webhook.AuthorName}

// watchDefinitions writes the definitions into a file and watches it.
func watchDefinitions(ctx context.Context, client *webhook.Client, flags definitions) (_ *watched, err error) {
	w := &watched{events: make(chan webhook.Event, 16)}
	defer func() {
		if err != nil {
			w.close(ctx)
		}
	}()
	if w.folder, err = os.MkdirTemp("", "quickstart"); err != nil {
		return nil, err
	}
	if err := w.write(flags); err != nil {
		return nil, err
	}
	if w.store, err = queue.NewMemory(queue.MemoryConfig{}); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	w.emitter, err = webhook.NewEmitter(client, w.store, webhook.EmitterConfig{
		Linger: -1, Logger: quiet, OnEvent: func(event webhook.Event) { w.events <- event },
	})
	if err != nil {
		return nil, err
	}
	w.watcher, err = changes.NewWatcher(changes.Config{
		Source: &changes.File{Path: w.file()}, Format: changes.Flagd{}, Store: w.store, Emitter: w.emitter, Logger: quiet,
		Interval: 50 * time.Millisecond, Gather: 10 * time.Millisecond, Lag: -1,
		Author: func(context.Context, changes.Edit) webhook.Author { return author },
	})
	if err != nil {
		return nil, err
	}
	for w.watcher.Stats().Version == 0 { // the first snapshot is what changes are counted from
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *watched) file() string { return filepath.Join(w.folder, "shop.flagd.json") }

// write replaces the file as an editor does.
func (w *watched) write(flags definitions) error {
	content, err := json.MarshalIndent(map[string]definitions{"flags": flags}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.file()+"~", content, 0o600); err != nil {
		return err
	}
	return os.Rename(w.file()+"~", w.file())
}

// outcome waits for what became of the change that was made: nil if Sentry has
// it, a *webhook.RejectionError if it refused.
func (w *watched) outcome(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for {
		select {
		case event := <-w.events:
			switch event.Kind {
			case webhook.EventDelivered:
				return nil
			case webhook.EventRejected, webhook.EventPaused:
				return event.Err
			}
		case <-ctx.Done():
			return errors.New("no change was found and delivered")
		}
	}
}

// close ends it all; there is nothing left to deliver that anybody waits for.
func (w *watched) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if w.watcher != nil {
		_ = w.watcher.Close(ctx)
	}
	if w.emitter != nil {
		_ = w.emitter.Close(ctx)
	}
	if w.store != nil {
		_ = w.store.Close()
	}
	if w.folder != "" {
		_ = os.RemoveAll(w.folder)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
