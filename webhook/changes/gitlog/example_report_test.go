package gitlog_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/sentryflags/sentryflags-go/signing"
	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/changes"
	"github.com/sentryflags/sentryflags-go/webhook/changes/gitlog"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// A job reports what was pushed, and when it is run again nothing.
func ExampleReport() {
	folder, cleanUp := checkout()
	defer cleanUp()
	sentry := webhooktest.NewServer(webhooktest.Config{}) // yours is what the settings page shows
	defer sentry.Close()
	ctx := context.Background()

	client, err := webhook.NewClient(webhook.Config{URL: sentry.URL(), Secrets: []signing.Secret{sentry.Secret()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := gitlog.Read(ctx, gitlog.Config{
		Dir: folder, Before: "HEAD~2", After: "HEAD",
		Paths: []string{"flags.json"}, Format: changes.Flagd{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, set := range log.Sets {
		for _, edit := range set.Edits {
			fmt.Println(set.Date.Format("15:04"), edit.Author.ID, edit.Action, edit.Flag)
		}
	}
	for range 2 {
		done, err := gitlog.Report(ctx, gitlog.ReportConfig{Client: client, Token: sentry.Token()}, log.Changes()...)
		fmt.Println(done.Sent, "sent,", done.There, "there already", err)
	}
	// Output:
	// 12:01 ada@example.com updated new-checkout
	// 12:02 bob@example.com deleted new-checkout
	// 2 sent, 0 there already <nil>
	// 0 sent, 2 there already <nil>
}

// checkout makes a repository with three commits.
func checkout() (folder string, cleanUp func()) {
	folder, err := os.MkdirTemp("", "gitlog")
	if err != nil {
		panic(err)
	}
	git := func(author, minute string, args ...string) {
		cmd := exec.Command("git", append([]string{"-C", folder, "-c", "user.name=" + author, "-c", "user.email=" + author + "@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-09-01T12:"+minute+":00Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			panic(string(out))
		}
	}
	git("ada", "00", "init", "-q")
	const on = `{"flags": {"new-checkout": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}}}`
	for i, content := range []string{on, strings.Replace(on, "ENABLED", "DISABLED", 1), `{"flags": {}}`} {
		if err := os.WriteFile(folder+"/flags.json", []byte(content), 0o600); err != nil {
			panic(err)
		}
		author := []string{"ada", "ada", "bob"}[i]
		git(author, fmt.Sprint("0", i), "add", "flags.json")
		git(author, fmt.Sprint("0", i), "commit", "-q", "-m", "edit")
	}
	return folder, func() { _ = os.RemoveAll(folder) }
}
