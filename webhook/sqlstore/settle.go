package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// Settle implements [queue.Store]. It is no transaction: each outcome counts for
// itself, [queue.Done] ones in statements of up to [MaxStatement], others one by
// one, so that no process can freeze with locks on what it settles. When it fails
// some may count and others not; settle all of them again.
func (s *Store) Settle(ctx context.Context, queueName, owner string, outcomes ...queue.Outcome) error {
	if err := s.enter(ctx, queueName); err != nil {
		return err
	}
	if err := queue.ValidateSettle(owner, outcomes); err != nil {
		return err
	}
	var done []place
	for _, outcome := range outcomes {
		if outcome.State == queue.Done {
			done = append(done, place{queueName, outcome.ID, outcome.Seq})
		}
	}
	// Done counts whatever else is said of an entry, so it may come first.
	if _, err := s.change(ctx, "settle as done", `UPDATE {p}entries SET state = 1, since = {now}, owner = '' WHERE {these} AND state <> 1 AND {replan}`, done); err != nil {
		return err
	}
	for _, outcome := range outcomes {
		var err error
		switch outcome.State {
		case queue.Dead:
			err = s.settleDead(ctx, queueName, owner, outcome)
		case queue.Waiting:
			err = s.putOff(ctx, queueName, owner, outcome)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oursWaiting is the condition that $4 may settle the waiting entry with $2 and $3 in
// the queue $1.
const oursWaiting = `queue = $1 AND id = $2 AND seq = $3 AND state + 0 = 0
	AND (owner = $4 OR EXISTS (SELECT 1 FROM {p}leases WHERE {p}leases.name = $1 AND {p}leases.owner = $4)) AND {replan}`

func (s *Store) settleDead(ctx context.Context, queueName, owner string, o queue.Outcome) error {
	_, err := s.exec(ctx, "settle as dead",
		`UPDATE {p}entries SET state = 2, since = {now}, owner = '', reason = $5 WHERE `+oursWaiting,
		queueName, o.ID, o.Seq, owner, queue.CutReason(o.Reason))
	return err
}

const putOff = `UPDATE {p}entries SET due = {now} + $5, delay = $5, `

// putOff settles a waiting entry as waiting.
func (s *Store) putOff(ctx context.Context, queueName, owner string, o queue.Outcome) error {
	set, args := `owner = '', reason = $6`, []any{queueName, o.ID, o.Seq, owner, microseconds(o.After), queue.CutReason(o.Reason)}
	switch {
	case o.Hold:
		set, args = `owner = $4`, args[:5]
	case o.After > 0:
		set += `, tries = tries + 1`
	}
	_, err := s.exec(ctx, "put off", putOff+set+` WHERE `+oursWaiting, args...)
	return err
}

// place names an entry.
type place struct {
	queue, id string
	seq       int64
}

// change runs a statement for entries, {these}, as often as it takes, and returns
// how many it has changed.
func (s *Store) change(ctx context.Context, doing, statement string, entries []place) (int, error) {
	total := 0
	for len(entries) > 0 {
		n := min(len(entries), MaxStatement)
		these, args := list(entries[:n])
		changed, err := s.exec(ctx, doing, strings.Replace(statement, "{these}", these, 1), args...)
		if err != nil {
			return total, err
		}
		total += changed
		entries = entries[n:]
	}
	return total, nil
}

// list is the condition that a row is one of the entries. $1 is the first one's
// queue.
func list(entries []place) (string, []any) {
	var b strings.Builder
	b.WriteString("(queue, id, seq) IN (VALUES ")
	var args []any
	for i, e := range entries {
		n := len(args)
		if i == 0 {
			b.WriteString("(CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT))")
		} else {
			fmt.Fprintf(&b, ", ($%d, $%d, $%d)", n+1, n+2, n+3)
		}
		args = append(args, e.queue, e.id, e.seq)
	}
	b.WriteString(")")
	return b.String(), args
}

// Revise implements [queue.Store]. It is one statement, which gives the entry a
// seq as an insertion does.
func (s *Store) Revise(ctx context.Context, queueName string, e queue.Entry, with *queue.Item) error {
	if err := s.enter(ctx, queueName); err != nil {
		return err
	}
	if err := queue.ValidateRevision(e, with); err != nil {
		return err
	}
	content, args := `ord_key, body`, []any{queueName, e.ID, e.Seq}
	if with != nil {
		content, args = `$4, $5`, append(args, with.Key, present(with.Body))
	}
	n, err := s.exec(ctx, "revise", `INSERT INTO {p}entries (queue, id, ord_key, body, added_at, since, due)
		SELECT queue, id, `+content+`, {now}, {now}, {now} FROM {p}entries WHERE queue = $1 AND id = $2 AND seq = $3 AND state + 0 = 2 AND {replan}
		ON CONFLICT (queue, id) DO UPDATE
		SET seq = excluded.seq, ord_key = excluded.ord_key, body = excluded.body, state = 0,
			added_at = excluded.added_at, since = excluded.since, due = excluded.due, delay = 0, owner = '', tries = 0, reason = ''
		WHERE {p}entries.seq = $3 AND {p}entries.state = 2`, args...)
	if err == nil && n == 0 {
		return queue.ErrNotDead
	}
	return err
}

// Discard implements [queue.Store].
func (s *Store) Discard(ctx context.Context, queueName string, entries ...queue.Entry) (int, error) {
	if err := s.enter(ctx, queueName); err != nil {
		return 0, err
	}
	var places []place
	for _, e := range entries {
		places = append(places, place{queueName, e.ID, e.Seq})
	}
	return s.change(ctx, "discard",
		`UPDATE {p}entries SET state = 3, since = {now}, owner = '' WHERE {these} AND state + 0 IN (0, 2) AND {replan}`, places)
}

// Sweep implements [queue.Store]. When there is nothing more to remove, and a
// burst has left a large WAL, it has SQLite give that back.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	if err := s.enter(ctx); err != nil || limit < 1 {
		return 0, err
	}
	old, err := s.old(ctx, limit)
	if err != nil {
		return 0, err
	}
	n, err := s.change(ctx, "sweep", `DELETE FROM {p}entries WHERE {these} AND state + 0 IN (1, 3) AND {replan}`, old)
	if err == nil && len(old) < limit {
		err = s.leave(ctx, "give back the WAL", s.engine.tidy(ctx, s.db))
	}
	return n, err
}

// old lists what was settled longer ago than the window, oldest first.
func (s *Store) old(ctx context.Context, limit int) ([]place, error) {
	var old []place
	err := s.query(ctx, "look for what to sweep", func(rows *sql.Rows) error {
		var p place
		err := rows.Scan(&p.queue, &p.id, &p.seq)
		old = append(old, p)
		return err
	}, `SELECT queue, id, seq FROM {p}entries {by:settled} WHERE state IN (1, 3) AND since <= {now} - $1
		ORDER BY since LIMIT (SELECT CAST($2 AS BIGINT))`, microseconds(s.window), limit)
	return old, err
}
