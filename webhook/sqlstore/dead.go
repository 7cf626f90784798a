package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook"
)

// Dead implements [webhook.Store].
func (s *Store) Dead(ctx context.Context, queue, after string, limit int) ([]webhook.DeadItem, error) {
	if err := s.enter(ctx, queue); err != nil || limit < 1 {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, s.engine.sql(`SELECT id, ord_key, body, reason, changed_at
		FROM {p}items WHERE queue = $1 AND state = 1
		AND seq > coalesce((SELECT seq FROM {p}items WHERE queue = $1 AND id = $2 AND state = 1), 0)
		ORDER BY seq LIMIT $3`), queue, after, limit)
	if err != nil {
		return nil, explain(ctx, "list dead items", err)
	}
	defer rows.Close()
	var dead []webhook.DeadItem
	for rows.Next() {
		var item webhook.DeadItem
		var diedAt int64
		if err := rows.Scan(&item.ID, &item.Key, &item.Body, &item.Reason, &diedAt); err != nil {
			return nil, explain(ctx, "list dead items", err)
		}
		item.DiedAt = time.UnixMicro(diedAt)
		dead = append(dead, item)
	}
	return dead, explain(ctx, "list dead items", rows.Err())
}

// Replay implements [webhook.Store].
func (s *Store) Replay(ctx context.Context, queue string, ids ...string) (int, error) {
	if err := s.enter(ctx, queue); err != nil {
		return 0, err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, explain(ctx, "replay dead items", err)
	}
	defer tx.Rollback()
	found, err := s.replay(ctx, tx, queue, ids)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return 0, explain(ctx, "replay dead items", err)
	}
	return found, nil
}

func (s *Store) replay(ctx context.Context, tx *sql.Tx, queue string, ids []string) (int, error) {
	dead, err := s.deadIDs(ctx, tx, queue)
	if err != nil {
		return 0, err
	}
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	// One by one, so that each gets a place behind the one before it.
	revive, err := tx.PrepareContext(ctx, s.engine.sql(`UPDATE {p}items
		SET state = 0, seq = {next}, changed_at = {now}, reason = '' WHERE queue = $1 AND id = $2 AND state + 0 = 1`))
	if err != nil {
		return 0, err
	}
	defer revive.Close()
	found := 0
	for _, id := range dead {
		if len(ids) > 0 && !wanted[id] {
			continue
		}
		result, err := revive.ExecContext(ctx, queue, id)
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		found += int(n)
	}
	return found, nil
}

// deadIDs lists the dead in the order in which they died.
func (s *Store) deadIDs(ctx context.Context, tx *sql.Tx, queue string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, s.engine.sql(`SELECT id FROM {p}items WHERE queue = $1 AND state = 1 ORDER BY seq`), queue)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// list returns n placeholders from the given number on.
func list(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}
