package vwo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// recordFor is how long the emitter is asked to take a record.
const recordFor = time.Minute

var errPanicked = errors.New("vwo: the toggler panicked")

// attempt tries to switch the flag of a job and sends what came of it.
func (l *lane) attempt(ctx context.Context, j *job, attempts int) {
	r := l.relay
	item := j.item
	k, err := r.claims.killOf(item)
	if err != nil {
		r.claims.finish(item.ID, false)
		r.report(Report{Err: fmt.Errorf("%w: %w", ErrNotSwitched, err)})
		l.results <- l.failed(j, err)
		return
	}
	if age := time.Since(k.AcceptedAt); age > r.config.MaxAge || age < -maxAhead {
		l.giveUp(j, &k, fmt.Errorf("%w: %w, %v after the alert was accepted", ErrNotSwitched, ErrExpired, age.Round(time.Second)), attempts-1)
		return
	}
	if r.claims.overtaken(&k) {
		r.config.Logger.Info("vwo relay: overtaken by a later switch", "flag", item.Key)
		r.claims.finish(item.ID, false)
		l.results <- result{job: j, final: &webhook.Outcome{ID: item.ID, State: webhook.StateDone}}
		return
	}
	err = r.toggle(ctx, &k)
	switch {
	case err == nil:
		if r.logs(ctx, slog.LevelInfo) {
			r.config.Logger.Info("vwo relay: switched", "flag", item.Key, "enabled", k.Enabled, "alert", quote(k.Alert), "attempts", attempts)
		}
		r.claims.apply(&k)
		r.claims.finish(item.ID, true)
		l.results <- result{job: j, stage: stageRecording}
		r.record(ctx, &k, item.ID)
		l.results <- result{job: j, final: &webhook.Outcome{ID: item.ID, State: webhook.StateDone}}
	case isFinal(err):
		l.giveUp(j, &k, fmt.Errorf("%w: %w", ErrNotSwitched, err), attempts)
	default:
		wait := pauseAfter(attempts - 1)
		if answer, ok := errors.AsType[*AnswerError](err); ok {
			wait = max(wait, answer.RetryAfter)
		}
		// The end of MaxAge is to be reported when it comes.
		wait = min(wait, max(time.Until(k.AcceptedAt.Add(r.config.MaxAge))+time.Millisecond, 0))
		if ctx.Err() == nil {
			r.config.Logger.Warn("vwo relay: not switched yet", "flag", item.Key, "attempts", attempts, "again_in", wait, "err", err.Error())
		}
		if attempts == 1 && (errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrRedirected)) {
			r.report(reportOf(&k, fmt.Errorf("%w: %w", ErrDelayed, err), attempts))
		}
		l.results <- result{job: j, wait: wait}
	}
}

// toggle calls the toggler within bounds.
func (r *Relay) toggle(ctx context.Context, k *kill) (err error) {
	until := time.Now().Add(attemptTimeout)
	if expiry := k.AcceptedAt.Add(r.config.MaxAge); expiry.Before(until) {
		until = expiry
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = errPanicked
		}
	}()
	// Before, because VWO's own webhook may come before its answer does.
	r.own.mark(k.Environment, k.Flag, k.Enabled, time.Now())
	return r.config.Toggler.Set(ctx, k.Environment, k.Feature, k.Enabled)
}

// isFinal reports whether trying again would change nothing.
func isFinal(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrRefused) || errors.Is(err, ErrInvalidName)
}

// giveUp reports a switch that will not be tried again.
func (l *lane) giveUp(j *job, k *kill, err error, attempts int) {
	l.relay.memory.undo(k.target())
	l.relay.own.unmark(k.Environment, k.Flag, k.Enabled)
	l.relay.claims.finish(j.item.ID, false)
	l.relay.report(reportOf(k, err, attempts))
	l.results <- l.failed(j, err)
}

// failed puts a job among the dead letters, if the store has a reader for them.
func (l *lane) failed(j *job, err error) result {
	outcome := webhook.Outcome{ID: j.item.ID, State: webhook.StateDone}
	if l.durable {
		outcome.State, outcome.Reason = webhook.StateDead, err.Error()
	}
	return result{job: j, final: &outcome}
}

// record gives the emitter the change. A record that is not taken is reported,
// and does not bring the switch back.
func (r *Relay) record(ctx context.Context, k *kill, id string) {
	if r.config.Emitter == nil {
		return
	}
	change := changeOf(k, id)
	start := time.Now()
	for failures := 0; ; failures++ {
		err := r.emit(ctx, change)
		if err == nil {
			return
		}
		_, invalid := errors.AsType[*webhook.ChangeError](err)
		pause := pauseAfter(failures)
		if invalid || time.Since(start)+pause > recordFor || sleep(ctx, pause) != nil {
			r.report(reportOf(k, fmt.Errorf("%w: %w", ErrNotRecorded, err), failures+1))
			return
		}
	}
}

func (r *Relay) emit(ctx context.Context, change webhook.Change) (err error) {
	// A relay that is told to hurry still tries, but not for long.
	outer := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	defer context.AfterFunc(outer, func() { time.AfterFunc(lastSettle, cancel) })()
	defer func() {
		if v := recover(); v != nil {
			err = errors.New("vwo: the emitter panicked")
		}
	}()
	return r.config.Emitter.Emit(ctx, change)
}

// changeOf makes the same change of the same item every time, so that a crash
// between switching and settling does not make two records of one switch.
func changeOf(k *kill, id string) webhook.Change {
	sum := sha256.Sum256([]byte(id))
	return webhook.Change{
		Action:    webhook.ActionUpdated,
		ChangeID:  max(int64(binary.BigEndian.Uint64(sum[:8])>>1), 1),
		CreatedAt: k.AcceptedAt,
		CreatedBy: webhook.Author{ID: k.Alert, Type: webhook.AuthorName},
		Flag:      k.Flag,
	}
}
