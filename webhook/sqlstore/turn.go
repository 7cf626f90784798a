package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// turn is the right to take from a queue. Two things guard it: a lock that ends
// with the process, so that the next taker waits no longer than it must, and an
// epoch in the database that each new turn raises, so that a taker which only
// believes that it has the lock changes nothing.
type turn struct {
	store *Store
	queue string
	lock  queueLock
	epoch int64

	released atomic.Bool
	unlock   func() error
}

// Turn implements [webhook.Store]. With PostgreSQL it keeps one connection of
// the pool until it is released; SetMaxOpenConns has to leave room for more.
func (s *Store) Turn(ctx context.Context, queue string) (webhook.Turn, error) {
	if err := s.enter(ctx, queue); err != nil {
		return nil, err
	}
	t, err := s.take(ctx, queue)
	if err == nil {
		return t, nil
	}
	if s.isClosed() {
		return nil, webhook.ErrStoreClosed
	}
	return nil, explain(ctx, "wait for the turn", err)
}

func (s *Store) take(ctx context.Context, queue string) (*turn, error) {
	lock, err := s.engine.lock(ctx, s, queue)
	if err != nil {
		return nil, err
	}
	t := &turn{store: s, queue: queue, lock: lock, unlock: sync.OnceValue(lock.unlock)}
	err = lock.session().QueryRowContext(ctx, s.engine.sql(`INSERT INTO {p}turns (queue, epoch) VALUES ($1, 1)
		ON CONFLICT (queue) DO UPDATE SET epoch = {p}turns.epoch + 1 RETURNING epoch`), queue).Scan(&t.epoch)
	if err != nil {
		return nil, errors.Join(err, t.unlock())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns == nil { // closed meanwhile
		return nil, errors.Join(webhook.ErrStoreClosed, t.unlock())
	}
	s.turns[t] = struct{}{}
	return t, nil
}

// Take implements [webhook.Turn].
func (t *turn) Take(ctx context.Context, limit int) ([]webhook.Item, error) {
	if err := t.enter(ctx); err != nil || limit < 1 {
		return nil, err
	}
	items, err := t.take(ctx, limit)
	return items, t.explain(ctx, "take items", err)
}

func (t *turn) take(ctx context.Context, limit int) ([]webhook.Item, error) {
	rows, err := t.lock.session().QueryContext(ctx, t.store.engine.sql(`SELECT id, ord_key, body
		FROM {p}items WHERE queue = $1 AND state = 0
		AND (SELECT epoch FROM {p}turns WHERE queue = $1) = $2
		ORDER BY seq LIMIT $3`), t.queue, t.epoch, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []webhook.Item
	for rows.Next() {
		var item webhook.Item
		if err := rows.Scan(&item.ID, &item.Key, &item.Body); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	if err := rows.Err(); err != nil || len(items) > 0 {
		return items, err
	}
	// None: is the queue empty, or the turn gone?
	var epoch int64
	if err := t.lock.session().QueryRowContext(ctx, t.store.engine.sql(`SELECT epoch FROM {p}turns WHERE queue = $1`),
		t.queue).Scan(&epoch); err != nil {
		return nil, err
	}
	return nil, t.current(epoch)
}

// Settle implements [webhook.Turn].
func (t *turn) Settle(ctx context.Context, outcomes ...webhook.Outcome) error {
	if err := t.enter(ctx); err != nil {
		return err
	}
	return t.explain(ctx, "settle items", t.settle(ctx, outcomes))
}

func (t *turn) settle(ctx context.Context, outcomes []webhook.Outcome) error {
	tx, err := t.lock.session().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var epoch int64
	if err := tx.QueryRowContext(ctx, t.store.engine.sql(`SELECT epoch FROM {p}turns WHERE queue = $1{share}`),
		t.queue).Scan(&epoch); err != nil {
		return err
	}
	if err := t.current(epoch); err != nil {
		return err
	}
	for _, run := range runs(outcomes) {
		if err := t.settleRun(ctx, tx, run); err != nil {
			return err
		}
	}
	if err := t.forget(ctx, tx, len(outcomes)); err != nil {
		return err
	}
	return tx.Commit()
}

// runs cuts outcomes into runs that one statement can settle: items that are
// done together, each dead one alone. Waiting ones are left out.
func runs(outcomes []webhook.Outcome) [][]webhook.Outcome {
	var cut [][]webhook.Outcome
	for _, outcome := range outcomes {
		last := len(cut) - 1
		switch {
		case outcome.State == webhook.StateWaiting:
		case last >= 0 && outcome.State == webhook.StateDone && cut[last][0].State == webhook.StateDone && len(cut[last]) < insertRows:
			cut[last] = append(cut[last], outcome)
		default:
			cut = append(cut, []webhook.Outcome{outcome})
		}
	}
	return cut
}

func (t *turn) settleRun(ctx context.Context, tx *sql.Tx, run []webhook.Outcome) error {
	if run[0].State == webhook.StateDead {
		_, err := tx.ExecContext(ctx, t.store.engine.sql(`UPDATE {p}items
			SET state = 1, seq = {next}, changed_at = {now}, reason = $3 WHERE queue = $1 AND id = $2 AND state + 0 = 0`),
			t.queue, run[0].ID, webhook.CutReason(run[0].Reason))
		return err
	}
	if run[0].State != webhook.StateDone {
		return fmt.Errorf("webhook/sqlstore: unknown webhook.ItemState %d", run[0].State)
	}
	args := []any{t.queue, []byte{}}
	for _, outcome := range run {
		args = append(args, outcome.ID)
	}
	// Written as a sum, the state offers the planner no index: the one of the
	// waiting items would have it read the whole queue.
	_, err := tx.ExecContext(ctx, t.store.engine.sql(`UPDATE {p}items
		SET state = 2, changed_at = {now}, ord_key = '', body = $2 WHERE queue = $1 AND state + 0 = 0 AND id IN (`+list(3, len(run))+`)`), args...)
	return err
}

// forget removes some of what was settled longer ago than the dedupe window:
// more than was settled now, so that the table does not grow. Mostly there is
// nothing, which the query finds out by its index.
func (t *turn) forget(ctx context.Context, tx *sql.Tx, settled int) error {
	old, err := t.forgettable(ctx, tx, min(2*settled+1, insertRows))
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, t.store.engine.sql(`DELETE FROM {p}items WHERE seq IN (`+list(1, len(old))+`)`), old...)
	return err
}

func (t *turn) forgettable(ctx context.Context, tx *sql.Tx, limit int) ([]any, error) {
	rows, err := tx.QueryContext(ctx, t.store.engine.sql(`SELECT seq FROM {p}items
		WHERE state = 2 AND changed_at <= {now} - $1 ORDER BY changed_at LIMIT $2`), t.store.window.Microseconds(), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var old []any
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		old = append(old, seq)
	}
	return old, rows.Err()
}

// Release implements [webhook.Turn].
func (t *turn) Release() error {
	t.released.Store(true)
	t.store.mu.Lock()
	delete(t.store.turns, t)
	t.store.mu.Unlock()
	return t.unlock()
}

func (t *turn) enter(ctx context.Context) error {
	if err := t.store.enter(ctx, t.queue); err != nil {
		return err
	}
	if t.released.Load() {
		return webhook.ErrTurnLost
	}
	return nil
}

func (t *turn) current(epoch int64) error {
	if epoch != t.epoch {
		return webhook.ErrTurnLost
	}
	return nil
}

// explain adds to a failure whether the turn went with it.
func (t *turn) explain(ctx context.Context, doing string, err error) error {
	if err == nil || errors.Is(err, webhook.ErrTurnLost) {
		return err
	}
	if t.store.isClosed() {
		return webhook.ErrStoreClosed
	}
	err = explain(ctx, doing, err)
	if errors.Is(err, webhook.ErrStoreClosed) {
		return err
	}
	if t.released.Load() || t.lock.lost() {
		return fmt.Errorf("%w: %w", webhook.ErrTurnLost, err)
	}
	return err
}
