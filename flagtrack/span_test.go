package flagtrack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/getsentry/sentry-go"
)

// attributes returns the flag attributes of a transaction's root span.
func attributes(event *sentry.Event) map[string]any {
	data, _ := event.Contexts["trace"]["data"].(map[string]any)
	return flagAttributes(data)
}

func flagAttributes(data map[string]any) map[string]any {
	flags := map[string]any{}
	for k, v := range data {
		if name, ok := strings.CutPrefix(k, "flag.evaluation."); ok {
			flags[name] = v
		}
	}
	return flags
}

func TestSpanFirstTen(t *testing.T) {
	ctx, hub, held := newHub(t)
	transaction := sentry.StartTransaction(ctx, "job")
	child := transaction.StartChild("step")
	for i := range 11 {
		AddFeatureFlag(child.Context(), fmt.Sprint(i), true)
	}
	AddFeatureFlag(child.Context(), "3", false)
	child.Finish()
	transaction.Finish()
	event := held.last(t)
	if got := attributes(event); len(got) != 0 {
		t.Errorf("the parent shows its child's flags: %v", got)
	}
	if len(event.Spans) != 1 {
		t.Fatal("no child")
	}
	got := flagAttributes(event.Spans[0].Data)
	if len(got) != 10 || got["0"] != true || got["9"] != true || got["3"] != false {
		t.Errorf("the child shows %v", got)
	}
	if _, ok := event.Contexts["flags"]; ok {
		t.Error("the transaction has contexts.flags")
	}
	_ = hub
}
