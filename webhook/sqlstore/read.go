package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// columns are what scanEntry reads.
const columns = `id, ord_key, body, seq, state, added_at, since, due, delay, owner, tries, reason, {now} AS now`

// The limit is written so that PostgreSQL does not know it, and never finds it
// cheaper to read and sort all that waits than to walk along the index.
const dueStatement = `SELECT ` + columns + ` FROM {p}entries {by:order}
	WHERE state = 0 AND queue = $1 AND seq > $2 AND (due <= {now} OR due > {now} + delay + {slack}) AND {replan}
	ORDER BY seq LIMIT (SELECT CAST($3 AS BIGINT))`

// Due implements [queue.Store]. It walks the queue along an index, however the
// table has grown.
//
// With PostgreSQL it also returns what was committed late, below after: an entry
// is never passed over in favour of one that was added when it was there. For
// that it walks again over what was settled since the oldest transaction that is
// writing to the database began: one that stays open for long makes it slower.
func (s *Store) Due(ctx context.Context, queueName string, after int64, limit int) ([]queue.Entry, error) {
	if err := s.enter(ctx, queueName); err != nil || limit < 1 {
		return nil, err
	}
	begin, err := s.begin(ctx, queueName, after)
	if err != nil {
		return nil, err
	}
	ended := s.horizons.ended(queueName)
	entries, err := s.entries(ctx, "read what is due", dueStatement, queueName, begin, limit)
	if err == nil {
		s.horizons.found(queueName, ended, entries)
	}
	return entries, err
}

// List implements [queue.Store].
func (s *Store) List(ctx context.Context, queueName string, filter queue.Filter) ([]queue.Entry, error) {
	if err := s.enter(ctx, queueName); err != nil {
		return nil, err
	}
	filter, err := filter.WithDefaults()
	if err != nil {
		return nil, err
	}
	statement, args := listing(queueName, filter)
	return s.entries(ctx, "list entries", statement, args...)
}

// listing is the statement of a list. By key and by ID it looks among few, of
// which it takes those in the states wanted; otherwise it walks the queue of each
// state.
func listing(queueName string, f queue.Filter) (string, []any) {
	states := f.States
	if len(states) == 0 {
		states = []queue.State{queue.Waiting, queue.Done, queue.Dead, queue.Discarded}
	}
	order := "ORDER BY seq"
	if f.Newest {
		order = "ORDER BY seq DESC"
	}
	order += " LIMIT (SELECT CAST($2 AS BIGINT))"
	where, args := `queue = $1`, []any{queueName, f.Limit}
	and := func(condition string, arg any) {
		args = append(args, arg)
		where += fmt.Sprintf(" AND %s $%d", condition, len(args))
	}
	if f.After != 0 {
		and("seq >", f.After)
	}
	if f.Before != 0 {
		and("seq <", f.Before)
	}
	index := ""
	if f.ID != "" {
		and("id =", f.ID)
		index = "{by:id}"
	}
	if f.Key != "" {
		and("ord_key =", f.Key)
		if index == "" {
			index = "{by:key}"
		}
	}
	where += " AND {replan}"
	if index != "" {
		return fmt.Sprintf(`SELECT %s FROM {p}entries %s WHERE %s AND state + 0 IN (%s) %s`, columns, index, where, numbers(states), order), args
	}
	var b strings.Builder
	for i, state := range states {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&b, `SELECT * FROM (SELECT %s FROM {p}entries {by:order} WHERE state = %d AND %s %s) AS s%d`, columns, state, where, order, i)
	}
	if len(states) == 1 {
		return b.String(), args
	}
	return `SELECT * FROM (` + b.String() + `) AS several ` + order, args
}

func numbers(states []queue.State) string {
	var texts []string
	for _, state := range states {
		texts = append(texts, fmt.Sprintf("%d", state))
	}
	return strings.Join(texts, ", ")
}

// entries runs a statement that selects columns.
func (s *Store) entries(ctx context.Context, doing, statement string, args ...any) ([]queue.Entry, error) {
	var entries []queue.Entry
	var c clock
	err := s.query(ctx, doing, func(rows *sql.Rows) error {
		e, err := c.scanEntry(rows)
		entries = append(entries, e)
		return err
	}, statement, args...)
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// scanEntry reads a row of columns.
func (c *clock) scanEntry(rows *sql.Rows) (queue.Entry, error) {
	var e queue.Entry
	var added, since, due, delay, now int64
	err := rows.Scan(&e.ID, &e.Key, &e.Body, &e.Seq, &e.State, &added, &since, &due, &delay, &e.Owner, &e.Tries, &e.Reason, &now)
	if err != nil {
		return e, err
	}
	if c.local.IsZero() { // one reading for all rows
		c.local, c.now = time.Now(), now
	}
	if due > now+delay+slackMicros {
		due = now // the clock was set back
	}
	e.Added, e.Since, e.Due = c.time(added), c.time(since), c.time(due)
	return e, nil
}

// clock converts the database's time to that of this process, so that a
// difference between the two does not show.
type clock struct {
	local time.Time
	now   int64 // by the database, in microseconds
}

func (c clock) time(at int64) time.Time {
	return c.local.Add(time.Duration(at-c.now) * time.Microsecond)
}

// Note implements [queue.Store].
func (s *Store) Note(ctx context.Context, queueName, name string) (queue.Note, error) {
	notes, err := s.Notes(ctx, queueName, name)
	if err != nil || len(notes) == 0 {
		return queue.Note{Name: name}, err
	}
	return notes[0], nil
}

// Notes implements [queue.Store].
func (s *Store) Notes(ctx context.Context, queueName string, names ...string) ([]queue.Note, error) {
	if err := s.enter(ctx, queueName); err != nil {
		return nil, err
	}
	if err := queue.ValidateNotes(names); err != nil {
		return nil, err
	}
	var notes []queue.Note
	read := func(where string, args ...any) error {
		return s.query(ctx, "read notes", func(rows *sql.Rows) error {
			var note queue.Note
			err := rows.Scan(&note.Name, &note.Version, &note.Body)
			notes = append(notes, note)
			return err
		}, `SELECT name, version, body FROM {p}notes WHERE queue = $1`+where, append([]any{queueName}, args...)...)
	}
	if len(names) == 0 {
		err := read("")
		return notes, err
	}
	for some := range slices.Chunk(names, MaxStatement) {
		var args []any
		var wanted []string
		for i, name := range some {
			args = append(args, name)
			wanted = append(wanted, fmt.Sprintf("$%d", i+2))
		}
		if err := read(" AND name IN ("+strings.Join(wanted, ", ")+")", args...); err != nil {
			return nil, err
		}
	}
	return notes, nil
}

// Noted lists the queues that have a note of this name, sorted. A name that is none
// is [queue.ErrInvalid].
func (s *Store) Noted(ctx context.Context, name string) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if err := queue.ValidateName("note", name); err != nil {
		return nil, err
	}
	return s.names(ctx, "list notes", `SELECT queue FROM {p}notes WHERE name = $1 ORDER BY queue`, name)
}

// Stats implements [queue.Store]. It counts rows: 10 to 40 milliseconds for a
// hundred thousand.
func (s *Store) Stats(ctx context.Context, queueName string, most int) (queue.Stats, error) {
	if err := s.enter(ctx, queueName); err != nil {
		return queue.Stats{}, err
	}
	if err := queue.ValidateMost(most); err != nil {
		return queue.Stats{}, err
	}
	if most == 0 {
		most = math.MaxInt
	}
	var stats queue.Stats
	var oldest sql.NullInt64
	var l lease
	c := clock{}
	err := s.query(ctx, "count entries", func(rows *sql.Rows) error {
		return rows.Scan(&c.now, &stats.Waiting, &stats.Dead, &oldest, &l.owner, &l.left, &l.length, &l.restLeft, &l.rest)
	}, `SELECT {now},
		(SELECT count(*) FROM (SELECT 1 FROM {p}entries {by:order} WHERE state = 0 AND queue = $1 LIMIT (SELECT CAST($2 AS BIGINT))) AS w),
		(SELECT count(*) FROM (SELECT 1 FROM {p}entries {by:order} WHERE state = 2 AND queue = $1 LIMIT (SELECT CAST($2 AS BIGINT))) AS d),
		(SELECT added_at FROM {p}entries {by:order} WHERE state = 0 AND queue = $1 ORDER BY seq LIMIT (SELECT 1)),
		coalesce(l.owner, ''), coalesce(l.ends_at - {now}, 0), coalesce(l.length, 0), coalesce(l.rests_until - {now}, 0), coalesce(l.rest, 0)
		FROM (SELECT 1 AS one) AS o LEFT JOIN {p}leases AS l ON l.name = $1 WHERE {replan}`, queueName, int64(most))
	if err != nil {
		return queue.Stats{}, err
	}
	if oldest.Valid {
		c.local = time.Now()
		stats.Oldest = c.time(min(oldest.Int64, c.now))
	}
	stats.Held, stats.Rest = l.held() > 0, l.resting()
	return stats, nil
}

// Queues implements [queue.Store]. It steps from one queue to the next, however
// much waits in each.
func (s *Store) Queues(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	return s.names(ctx, "list queues", `WITH RECURSIVE waiting (queue) AS (
			SELECT (SELECT min(queue) FROM {p}entries {by:order} WHERE state = 0)
			UNION ALL
			SELECT (SELECT min(e.queue) FROM {p}entries AS e {by:order} WHERE e.state = 0 AND e.queue > w.queue) FROM waiting AS w WHERE w.queue IS NOT NULL
		), dead (queue) AS (
			SELECT (SELECT min(queue) FROM {p}entries {by:order} WHERE state = 2)
			UNION ALL
			SELECT (SELECT min(e.queue) FROM {p}entries AS e {by:order} WHERE e.state = 2 AND e.queue > d.queue) FROM dead AS d WHERE d.queue IS NOT NULL
		)
		SELECT queue FROM (SELECT queue FROM waiting UNION SELECT queue FROM dead) AS both_of_them WHERE queue IS NOT NULL ORDER BY queue`)
}

// names lists the names that a query finds.
func (s *Store) names(ctx context.Context, doing, query string, args ...any) ([]string, error) {
	var names []string
	err := s.query(ctx, doing, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return names, nil
}
