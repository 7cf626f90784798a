package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Bounds of one INSERT: databases limit its parameters and its size.
const (
	insertRows  = 500
	insertBytes = 8 << 20
)

// abortedTries is how often a transaction is run that PostgreSQL gives up to
// resolve a deadlock.
const abortedTries = 10

// Enqueue implements [webhook.Store]. It returns after the commit has reached
// the disk.
func (s *Store) Enqueue(ctx context.Context, queue string, items ...webhook.Item) (int, error) {
	chunks, err := s.prepare(ctx, queue, items)
	if err != nil || len(chunks) == 0 {
		return 0, err
	}
	added := 0
	for range abortedTries {
		if added, err = s.enqueueOnce(ctx, queue, chunks); !aborted(err) {
			break
		}
	}
	return added, explain(ctx, "enqueue", err)
}

func (s *Store) enqueueOnce(ctx context.Context, queue string, chunks [][]webhook.Item) (int, error) {
	if len(chunks) == 1 { // a statement is a transaction
		return s.insert(ctx, s.db, queue, chunks[0])
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	added, err := s.insertAll(ctx, tx, queue, chunks)
	if err != nil {
		return 0, err
	}
	return added, tx.Commit()
}

// EnqueueTx adds items to a queue within the caller's own transaction on the
// store's database, so that a row and the record of its change commit together
// or not at all. It returns how many were new; whether they stay is decided by
// the commit. The queue's taker finds them at its next look, within the
// emitter's PollInterval (1 s by default).
//
// So that items with the same key are delivered in the order of their commits,
// have the transaction lock what the key stands for before the call: an UPDATE
// of the flag's row does. With PostgreSQL two transactions that lock nothing in
// common have no order: what is committed first may be delivered first, whoever
// called EnqueueTx first.
//
// With PostgreSQL an error has aborted the transaction, as every error of a
// statement does. Two transactions that enqueue an item with the same ID wait
// for each other, and delivery of an item waits for the end of a transaction
// that has enqueued it again: keep transactions short.
func (s *Store) EnqueueTx(ctx context.Context, tx *sql.Tx, queue string, items ...webhook.Item) (int, error) {
	if tx == nil {
		return 0, errors.New("webhook/sqlstore: EnqueueTx needs a transaction; use Enqueue without one")
	}
	chunks, err := s.prepare(ctx, queue, items)
	if err != nil {
		return 0, err
	}
	added, err := s.insertAll(ctx, tx, queue, chunks)
	if err != nil {
		return 0, explain(ctx, "enqueue in a transaction", err)
	}
	return added, nil
}

func (s *Store) insertAll(ctx context.Context, tx *sql.Tx, queue string, chunks [][]webhook.Item) (int, error) {
	added := 0
	for _, chunk := range chunks {
		n, err := s.insert(ctx, tx, queue, chunk)
		if err != nil {
			return 0, err
		}
		added += n
	}
	return added, nil
}

// prepare checks the call and cuts the items, each ID once, into chunks for one
// INSERT each.
func (s *Store) prepare(ctx context.Context, queue string, items []webhook.Item) ([][]webhook.Item, error) {
	if err := s.enter(ctx, queue); err != nil {
		return nil, err
	}
	var chunks [][]webhook.Item
	var rows, size int
	seen := make(map[string]struct{}, len(items))
	for i, item := range items {
		if err := item.Validate(); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		if _, repeated := seen[item.ID]; repeated {
			continue
		}
		seen[item.ID] = struct{}{}
		if len(chunks) == 0 || rows == insertRows || size+len(item.Body) > insertBytes {
			chunks = append(chunks, nil)
			rows, size = 0, 0
		}
		last := len(chunks) - 1
		chunks[last] = append(chunks[last], item)
		rows++
		size += len(item.Body)
	}
	return chunks, nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// insert adds a chunk. A known item is passed over, one that was settled
// longer ago than the dedupe window is new again.
func (s *Store) insert(ctx context.Context, db execer, queue string, items []webhook.Item) (int, error) {
	var statement strings.Builder
	statement.WriteString("INSERT INTO {p}items (queue, id, ord_key, body, changed_at) VALUES ")
	args := []any{queue, s.window.Microseconds()}
	for i, item := range items {
		if i > 0 {
			statement.WriteString(", ")
		}
		n := len(args)
		fmt.Fprintf(&statement, "($1, $%d, $%d, $%d, {now})", n+1, n+2, n+3)
		args = append(args, item.ID, item.Key, append([]byte{}, item.Body...))
	}
	statement.WriteString(` ON CONFLICT (queue, id) DO UPDATE
		SET seq = excluded.seq, ord_key = excluded.ord_key, body = excluded.body, state = 0, changed_at = excluded.changed_at
		WHERE {p}items.state = 2 AND {p}items.changed_at <= excluded.changed_at - $2`)
	result, err := db.ExecContext(ctx, s.engine.sql(statement.String()), args...)
	if err != nil {
		return 0, err
	}
	added, err := result.RowsAffected()
	return int(added), err
}
