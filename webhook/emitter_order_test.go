package webhook_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/webhooktest"
)

// TestEmitterOrderPerFlag is a property: through any history of faults, bad
// changes and shared ChangeIDs, every good change is stored, each flag's in the
// order in which they were emitted, and the bad ones are dead.
func TestEmitterOrderPerFlag(t *testing.T) {
	faults := []webhooktest.Fault{
		{},
		webhooktest.Status(400),
		webhooktest.Status(401),
		webhooktest.Status(413),
		webhooktest.Status(503),
		webhooktest.Disconnect(),
		webhooktest.ProxyPage(),
		webhooktest.Truncate().AfterStoring(),
		webhooktest.Status(500).AfterStoring(),
	}
	rapid.Check(t, func(rt *rapid.T) {
		changes := make([]webhook.Change, rapid.IntRange(1, 150).Draw(rt, "changes"))
		for i := range changes {
			flag := fmt.Sprintf("flag-%d", rapid.IntRange(0, 4).Draw(rt, "flag"))
			if rapid.IntRange(0, 30).Draw(rt, "bad") == 0 {
				flag += strings.Repeat("x", webhook.MaxFlagBefore2026)
			}
			changes[i] = someChange(flag)
			changes[i].ChangeID = int64(rapid.IntRange(1, 60).Draw(rt, "ChangeID"))
			changes[i].CreatedAt = changes[i].CreatedAt.Add(time.Duration(i) * time.Second) // says which it is
		}
		script := rapid.SliceOfN(rapid.SampledFrom(faults), 0, 12).Draw(rt, "faults")
		config := webhook.EmitterConfig{BatchSize: rapid.IntRange(1, 40).Draw(rt, "BatchSize")}
		shape := rapid.SampledFrom([]webhooktest.ErrorShape{webhooktest.ErrorsByIndex, webhooktest.ErrorsInList}).Draw(rt, "shape")
		cut := rapid.IntRange(0, len(changes)).Draw(rt, "cut")

		var problem string
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigConfig{
				server:  webhooktest.Config{MaxFlag: webhook.MaxFlagBefore2026, ErrorShape: shape},
				emitter: config,
			})
			r.server.Fail(script...)
			r.emit(changes[:cut]...)
			time.Sleep(time.Second)
			r.emit(changes[cut:]...)
			r.close()
			problem = orderProblem(r, changes, script)
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func orderProblem(r *rig, changes []webhook.Change, script []webhooktest.Fault) string {
	dead := r.dead()
	died := make(map[string]bool) // by body
	deadAt := make(map[time.Time]bool)
	for _, d := range dead {
		died[string(d.Body)] = true
	}
	// A fault that refuses a single change kills it, good or bad: at most one each.
	refusals := 0
	for _, fault := range script {
		if fault.String() == webhooktest.Status(http.StatusBadRequest).String() ||
			fault.String() == webhooktest.Status(http.StatusRequestEntityTooLarge).String() {
			refusals++
		}
	}
	var want, got map[string][]time.Time
	want, got = make(map[string][]time.Time), make(map[string][]time.Time)
	goodDead := 0
	for _, change := range changes {
		items, err := r.emitter.Items(change)
		if err != nil {
			return err.Error()
		}
		bad := len(change.Flag) > webhook.MaxFlagBefore2026
		switch isDead := died[string(items[0].Body)]; {
		case bad && !isDead:
			return "a bad change is not dead"
		case isDead && !bad:
			goodDead++
			deadAt[change.CreatedAt] = true // it may have been stored before, and its answer lost
		case !isDead:
			want[change.Flag] = append(want[change.Flag], change.CreatedAt)
		}
	}
	if goodDead > refusals {
		return fmt.Sprintf("%d good changes died of %d refusals", goodDead, refusals)
	}
	for _, change := range r.server.Changes() {
		if !deadAt[change.CreatedAt] && !slices.Contains(got[change.Flag], change.CreatedAt) { // the first arrival counts
			got[change.Flag] = append(got[change.Flag], change.CreatedAt)
		}
	}
	for flag := range want {
		if !slices.Equal(want[flag], got[flag]) {
			return fmt.Sprintf("%s: stored %v, want %v", flag, got[flag], want[flag])
		}
	}
	for _, request := range r.server.Requests() {
		ids := changeIDs(r.T, request.Body)
		slices.Sort(ids)
		if len(slices.Compact(ids)) != len(changeIDs(r.T, request.Body)) {
			return "a ChangeID twice in one request"
		}
	}
	return ""
}
