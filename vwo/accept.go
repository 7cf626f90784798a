package vwo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// accept keeps the kills in the store, or in memory if it fails, and waits for
// them until the answer is due.
func (r *Relay) accept(ctx context.Context, body digest, kills []kill, d Decision, deadline time.Time) Decision {
	items := make([]webhook.Item, len(kills))
	watched := make([]*claim, len(kills))
	for i := range kills {
		items[i] = itemOf(body, &kills[i])
		// Watched before they are kept, lest they be done sooner.
		watched[i] = r.claims.watch(items[i], &kills[i])
		defer r.claims.unwatch(items[i].ID)
	}
	added, err := r.keep(ctx, items, kills, deadline)
	switch {
	case err != nil:
		r.memory.unsee(body)
		for i := range kills {
			r.memory.undo(kills[i].target())
			r.report(reportOf(&kills[i], fmt.Errorf("%w: nothing could keep it: %w", ErrNotSwitched, err), 0))
		}
		d.Verdict, d.Status = Failed, http.StatusServiceUnavailable
		return d
	case added == 0:
		// Another relay on the same store, or an earlier process, had it first.
		return Decision{
			Verdict: Ignored, Reason: ReasonRepeat, Status: http.StatusOK,
			Trigger: d.Trigger, Alert: d.Alert, Project: d.Project, SignedAt: d.SignedAt,
		}
	}
	d.Status = http.StatusAccepted
	if switched(watched, deadline) {
		d.Status = http.StatusOK
	}
	return d
}

// switched reports whether all have been, before the deadline.
func switched(all []*claim, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for _, c := range all {
		select {
		case <-c.done:
			if !c.switched {
				return false
			}
		case <-timer.C:
			return false
		}
	}
	return true
}

// keep puts items where they wait to be done.
func (r *Relay) keep(ctx context.Context, items []webhook.Item, kills []kill, deadline time.Time) (added int, err error) {
	if r.config.Store != nil {
		added, err = r.keepInStore(ctx, items, deadline)
		if err == nil {
			return added, nil
		}
		// After the switch has begun: a callback that blocks must not stop it.
		defer func(err error) {
			for i := range kills {
				r.report(reportOf(&kills[i], fmt.Errorf("%w to keep the switch, which is done from memory: %w", ErrStore, err), 0))
			}
		}(err)
	}
	if added, err = r.fallback.store.Enqueue(ctx, r.fallback.queue, items...); err != nil {
		return 0, err
	}
	r.fallback.poke()
	return added, nil
}

var errStoreSlow = errors.New("no answer in time")

// keepInStore bounds the call even if the store does not honour its context.
func (r *Relay) keepInStore(ctx context.Context, items []webhook.Item, deadline time.Time) (int, error) {
	select {
	case r.stores <- struct{}{}:
	default:
		return 0, errStoreSlow // as many calls as allowed hang in it already
	}
	left := min(storeTimeout, max(time.Until(deadline), storeTimeout/5))
	ctx, cancel := context.WithTimeout(ctx, left)
	type answer struct {
		added int
		err   error
	}
	answers := make(chan answer, 1)
	r.running.Go(func() {
		defer cancel()
		defer func() { <-r.stores }()
		added, err := r.config.Store.Enqueue(ctx, r.config.Queue, items...)
		answers <- answer{added, err}
		// Even when nobody waits for it any longer: what was kept late is in
		// memory as well, and whoever comes first claims it.
		r.lanes[len(r.lanes)-1].poke()
	})
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.added, a.err
	case <-timer.C:
		return 0, errStoreSlow
	}
}

// itemOf makes an item whose ID tells the body and the flag, so that the store
// knows a repeat, and whose key keeps the switches of one flag in order.
func itemOf(body digest, k *kill) webhook.Item {
	encoded, err := json.Marshal(k)
	if err != nil {
		panic("vwo: a kill cannot be encoded: " + err.Error()) // strings, a bool and a time
	}
	target := sha256.Sum256([]byte(k.target().String()))
	id := hex.EncodeToString(body[:]) + "-" + hex.EncodeToString(target[:8])
	return webhook.Item{ID: id, Key: k.target().String(), Body: encoded}
}

func killOf(item webhook.Item) (kill, error) {
	var k kill
	if err := json.Unmarshal(item.Body, &k); err != nil {
		return kill{}, fmt.Errorf("vwo: the item was not made by a relay: %w", err)
	}
	if k.Version != 1 {
		return kill{}, fmt.Errorf("vwo: the item has version %d; a newer relay made it", k.Version)
	}
	return k, k.target().validate()
}
