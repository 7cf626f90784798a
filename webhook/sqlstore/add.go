package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// MaxStatement is the most items that [Store.Statement] takes, and the most that
// Add inserts with one statement: databases limit its parameters.
const MaxStatement = 500

// statementBytes bounds the bodies in one statement.
const statementBytes = 8 << 20

// Add implements [queue.Store]. It returns after the commit has reached the disk.
// Up to [MaxStatement] items of up to 8 MiB without notes are one statement, any
// more are a transaction.
func (s *Store) Add(ctx context.Context, queueName string, a queue.Addition) (int, error) {
	if err := s.enter(ctx, queueName); err != nil {
		return 0, err
	}
	if err := a.Validate(); err != nil {
		return 0, err
	}
	chunks := cut(a.Items)
	switch {
	case len(a.Notes) == 0 && len(chunks) == 0:
		return 0, nil
	case len(a.Notes) == 0 && len(chunks) == 1:
		statement, args := s.insertion(queueName, chunks[0], a)
		return s.exec(ctx, doingAdd, statement, args...)
	}
	added := 0
	err := s.transaction(ctx, doingAdd, func(ctx context.Context, conn *sql.Conn) error {
		var err error
		added, err = s.addAll(ctx, conn, queueName, chunks, a)
		return err
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// addAll swaps the notes and inserts all chunks. The notes come first, by name:
// their rows keep those apart who swap them at the same time, and nobody waits for
// who waits for him.
func (s *Store) addAll(ctx context.Context, db execer, queueName string, chunks [][]queue.Item, a queue.Addition) (int, error) {
	for notes := range slices.Chunk(slices.SortedFunc(slices.Values(a.Notes), byName), MaxStatement) {
		if err := s.swap(ctx, db, queueName, notes); err != nil {
			return 0, err
		}
	}
	added := 0
	for _, chunk := range chunks {
		statement, args := s.insertion(queueName, chunk, a)
		n, err := changed(db.ExecContext(ctx, s.engine.sql(statement), args...))
		if err != nil {
			return 0, err
		}
		added += n
	}
	return added, nil
}

func changed(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

func byName(a, b queue.Note) int { return strings.Compare(a.Name, b.Name) }

// swap swaps notes, or fails if one of them is at another version: of those in the
// statement it then swaps some, and the transaction is rolled back.
func (s *Store) swap(ctx context.Context, db execer, queueName string, notes []queue.Note) error {
	var b strings.Builder
	b.WriteString(`INSERT INTO {p}notes (queue, name, version, body)
		SELECT $1, new.column1, new.column2, new.column3 FROM (VALUES `)
	args := []any{queueName}
	for i, note := range notes {
		n, row := len(args), ", ($%d, $%d, $%d)"
		if i == 0 {
			row = "(CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS {bytes}))"
		}
		fmt.Fprintf(&b, row, n+1, n+2, n+3)
		args = append(args, note.Name, note.Version+1, present(note.Body))
	}
	b.WriteString(`) AS new
		WHERE new.column2 = 1 OR EXISTS (SELECT 1 FROM {p}notes AS known WHERE known.queue = $1 AND known.name = new.column1)
		ORDER BY new.column1
		ON CONFLICT (queue, name) DO UPDATE SET version = excluded.version, body = excluded.body
		WHERE {p}notes.version = excluded.version - 1`)
	n, err := changed(db.ExecContext(ctx, s.engine.sql(b.String()), args...))
	if err == nil && n < len(notes) {
		err = queue.ErrNoteChanged
	}
	return err
}

// present is the bytes of a column that has no NULL.
func present(body []byte) []byte {
	if body == nil {
		return []byte{}
	}
	return body
}

// EnqueueTx adds items to a queue within the caller's own transaction on the
// store's database, so that a row and the record of its change commit together
// or not at all. It returns how many were new; whether they stay is decided by
// the commit. Call the emitter's Wake after the commit, or it finds them at its
// next look, a second later. For a transaction that is no [sql.Tx] see
// [Store.Statement].
//
// So that items with the same key are delivered in the order of their commits,
// have the transaction lock what the key stands for before the call: an UPDATE
// of the flag's row does. With PostgreSQL two transactions that lock nothing in
// common have no order: what is committed first may be delivered first, whoever
// called EnqueueTx first.
//
// With PostgreSQL an error has aborted the transaction, as every error of a
// statement does. Two transactions that enqueue an item with the same ID wait
// for each other, and settling an item waits for the end of a transaction that
// has enqueued it again: keep transactions short.
//
// With SQLite a transaction has to take the write lock when it begins, as
// _txlock=immediate in [SQLiteDSN] has it: one that has read before another one
// wrote cannot write any more, and fails with [ErrBusy].
func (s *Store) EnqueueTx(ctx context.Context, tx *sql.Tx, queueName string, items ...queue.Item) (int, error) {
	if tx == nil {
		return 0, errors.New("webhook/sqlstore: EnqueueTx needs a transaction; use Add without one")
	}
	if err := s.enter(ctx, queueName); err != nil {
		return 0, err
	}
	a := queue.Addition{Items: items}
	if err := a.Validate(); err != nil {
		return 0, err
	}
	added, err := s.addAll(ctx, tx, queueName, cut(items), a)
	if err != nil {
		return 0, explainTx(ctx, err)
	}
	return added, nil
}

// explainTx says why a transaction of the caller cannot write.
func explainTx(ctx context.Context, err error) error {
	switch code := sqliteCode(err); {
	case code == sqliteSnapshot:
		return fmt.Errorf("%w: the transaction has read before another one wrote, so it can write no more, however long it waits; begin it with the write lock (_txlock=immediate in the DSN, see SQLiteDSN): %w", ErrBusy, err)
	case code&0xff == sqliteBusy:
		return fmt.Errorf("%w: another one is writing; a transaction that reads first does not wait for it: begin it with the write lock (_txlock=immediate in the DSN, see SQLiteDSN): %w", ErrBusy, err)
	}
	return explain(ctx, doingAddTx, err)
}

// Statement returns the one statement, in the database's own form, that adds
// items to a queue, for transactions that are no [sql.Tx]: run it once, in a
// transaction on the store's database. All that [Store.EnqueueTx] says holds; the
// rows that it affects are the new items. It takes 1 to [MaxStatement] items with
// bodies of up to 8 MiB in all; more is [queue.ErrInvalid].
//
//	tx.Exec(ctx, query, args...)                        // pgx.Tx
//	tx.Tx.ExecContext(ctx, query, args...)              // bun.Tx, whose own ExecContext formats; EnqueueTx takes its tx.Tx
//	tx.Statement.ConnPool.ExecContext(ctx, query, args...) // *gorm.DB within Transaction
func (s *Store) Statement(queueName string, items ...queue.Item) (query string, args []any, err error) {
	a := queue.Addition{Items: items}
	if err := errors.Join(queue.ValidateName("queue", queueName), a.Validate()); err != nil {
		return "", nil, err
	}
	chunks := cut(items)
	if len(chunks) != 1 {
		return "", nil, fmt.Errorf("%w: Statement takes 1 to %d items with up to %d bytes", queue.ErrInvalid, MaxStatement, statementBytes)
	}
	query, args = s.insertion(queueName, chunks[0], a)
	return s.engine.sql(query), args, nil
}

// cut cuts the items, each ID once, into chunks for one statement each.
func cut(items []queue.Item) [][]queue.Item {
	var chunks [][]queue.Item
	var rows, size int
	seen := make(map[string]struct{}, len(items))
	for _, item := range items {
		if _, repeated := seen[item.ID]; repeated {
			continue
		}
		seen[item.ID] = struct{}{}
		if len(chunks) == 0 || rows == MaxStatement || size+len(item.Body) > statementBytes {
			chunks = append(chunks, nil)
			rows, size = 0, 0
		}
		last := len(chunks) - 1
		chunks[last] = append(chunks[last], item)
		rows++
		size += len(item.Body)
	}
	return chunks
}

// insertion adds a chunk. A known item is passed over before it comes to a
// conflict: with PostgreSQL that would lock the one that is there until the
// caller's transaction ends, and who works on it would have to wait. One that was
// settled longer ago than the window is new again, with a new seq. Both engines
// call the columns of VALUES column1 and so on; PostgreSQL plans a chain of UNION
// ALL, and with {replan} it plans each time, five times as long.
func (s *Store) insertion(queueName string, items []queue.Item, a queue.Addition) (string, []any) {
	var b strings.Builder
	b.WriteString(`INSERT INTO {p}entries (queue, id, ord_key, body, added_at, since, due, delay, owner)
		SELECT $1, new.column2, new.column3, new.column4, {now}, {now}, {now} + $3, $3, $4 FROM (VALUES `)
	args := []any{queueName, microseconds(s.window), microseconds(a.Hold), a.Owner}
	for i, item := range items {
		n := len(args)
		row := ", (%d, $%d, $%d, $%d)"
		if i == 0 {
			row = "(%d, CAST($%d AS TEXT), CAST($%d AS TEXT), CAST($%d AS {bytes}))"
		}
		fmt.Fprintf(&b, row, i, n+1, n+2, n+3)
		args = append(args, item.ID, item.Key, append([]byte{}, item.Body...))
	}
	b.WriteString(`) AS new WHERE NOT EXISTS (SELECT 1 FROM {p}entries AS known WHERE known.queue = $1 AND known.id = new.column2
			AND (known.state IN (0, 2) OR known.since > {now} - $2)) AND {replan}
		ORDER BY new.column1
		ON CONFLICT (queue, id) DO UPDATE
		SET seq = excluded.seq, ord_key = excluded.ord_key, body = excluded.body, state = 0,
			added_at = excluded.added_at, since = excluded.since, due = excluded.due, delay = excluded.delay,
			owner = excluded.owner, tries = 0, reason = ''
		WHERE {p}entries.state IN (1, 3) AND {p}entries.since <= excluded.since - $2`)
	return b.String(), args
}
