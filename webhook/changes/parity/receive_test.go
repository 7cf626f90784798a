package parity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ffclient "github.com/thomaspoignant/go-feature-flag"
	"github.com/thomaspoignant/go-feature-flag/notifier"
	"github.com/thomaspoignant/go-feature-flag/notifier/webhooknotifier"
	"github.com/thomaspoignant/go-feature-flag/retriever/fileretriever"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes/receive"
	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// keeper makes items of changes, and delivers nothing.
type keeper struct{}

func (keeper) Queue() string { return "flag-changes" }
func (keeper) Wake()         {}

func (keeper) Items(list ...webhook.Change) ([]queue.Item, error) {
	items := make([]queue.Item, len(list))
	for i, change := range list {
		body, err := json.Marshal(change)
		if err != nil {
			return nil, err
		}
		items[i] = queue.Item{ID: change.ItemID, Key: change.Flag, Body: body}
	}
	return items, nil
}

// TestReceiveNotifier has GO Feature Flag's own clients, two of them, notify a
// receiver of what changes in a file, from their start on.
func TestReceiveNotifier(t *testing.T) {
	store, err := queue.NewMemory(queue.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "the-secret-of-the-notifier"
	receiver, err := receive.New(receive.Config{
		Product: receive.GoFeatureFlag{}, Secrets: []signing.Secret{signing.NewSecret(secret)},
		Emitter: keeper{}, Store: store, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(receiver)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "flags.yaml")
	write := func(flags ...string) {
		document := ""
		for _, flag := range flags {
			name, variation, _ := strings.Cut(flag, "=")
			document += fmt.Sprintf("%s:\n  variations: {a: false, b: true}\n  defaultRule: {variation: %s}\n  metadata: {owner: %d}\n", name, variation, len(flags))
		}
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told := func() []string {
		entries, err := store.List(context.Background(), "flag-changes", queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		said := []string{}
		for _, entry := range entries {
			var change webhook.Change
			if err := json.Unmarshal(entry.Body, &change); err != nil {
				t.Fatal(err)
			}
			said = append(said, string(change.Action)+" "+change.Flag)
		}
		return said
	}
	write("one=a", "two=a")
	var clients []*ffclient.GoFeatureFlag
	for i := range 2 {
		client, err := ffclient.New(ffclient.Config{
			PollingInterval: time.Second, LeveledLogger: slog.New(slog.DiscardHandler), Retriever: &fileretriever.Retriever{Path: path},
			Notifiers: []notifier.Notifier{&webhooknotifier.Notifier{EndpointURL: server.URL, Secret: secret, Meta: map[string]string{"hostname": fmt.Sprint(i)}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	arrived := func() int64 {
		stats := receiver.Stats()
		return stats.Results[receive.Accepted] + stats.Results[receive.Repeated]
	}
	until := func(webhooks int64) {
		for range 400 {
			if arrived() >= webhooks {
				return
			}
			time.Sleep(25 * time.Millisecond) // GO Feature Flag's clock is the real one
		}
		t.Fatalf("%+v", receiver.Stats())
	}
	until(2) // both starts
	if got := told(); len(got) != 0 {
		t.Error(got)
	}
	for _, flags := range [][]string{{"one=b", "two=a"}, {"one=a", "two=a"}, {"one=b", "two=a", "three=a"}, {"one=b", "three=a"}} {
		before := arrived()
		write(flags...)
		until(before + 2)
	}
	for _, client := range clients {
		client.Close()
	}
	// The metadata of all changes with their number, which counts for nothing.
	want := []string{"updated one", "updated one", "created three", "updated one", "deleted two"}
	got := told()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if stats := receiver.Stats(); stats.Results[receive.Forged]+stats.Results[receive.Unsigned]+stats.Results[receive.Unreadable] > 0 {
		t.Errorf("%+v", stats)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := receiver.Close(ctx); err != nil {
		t.Error(err)
	}
}
