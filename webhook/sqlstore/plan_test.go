package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// TestPlans looks at how PostgreSQL reads what is due, in states of the table in
// which its statistics say nothing or something else: always along the index,
// without a sort.
func TestPlans(t *testing.T) {
	store, conn, exec := prepared(t)
	entries := store.prefix + "entries"
	fill := func(queue string, from, to, state int) {
		t.Helper()
		exec(fmt.Sprintf(`INSERT INTO %s (queue, id, ord_key, body, state, added_at, since, due)
			SELECT '%s', 'i' || i, 'k' || i %% 100, repeat('x', 200)::bytea, %d, 1, 1, 1 FROM generate_series(%d, %d) AS i`, entries, queue, state, from, to))
	}
	look := func(state string) {
		t.Helper()
		for _, after := range []int{0, 50_000} {
			for _, queue := range []string{"q", "other", "empty"} {
				plan := explain(t, conn, fmt.Sprintf("EXECUTE due('%s', %d, 1000)", queue, after))
				if !strings.Contains(plan, "Index Scan using "+entries+"_order") || strings.Contains(plan, "Sort") {
					t.Errorf("%s, queue %s, after %d:\n%s", state, queue, after, plan)
				}
			}
		}
	}
	exec("PREPARE due (text, bigint, bigint) AS " + store.DueStatement())
	for range 10 { // so that a generic plan is thought of
		exec("EXECUTE due('q', 0, 100)")
	}
	fill("q", 1, 20_000, 0)
	look("freshly filled, never analysed")
	exec("ANALYZE " + entries)
	look("all waiting")
	fill("other", 1, 5, 0)
	exec("UPDATE " + entries + " SET state = 1 + seq % 2 WHERE queue = 'q'")
	look("all done, as if all were waiting")
	exec("UPDATE " + entries + " SET state = 0 WHERE queue = 'q' AND seq % 40 = 7")
	exec("ANALYZE " + entries)
	exec("UPDATE " + entries + " SET state = 0 WHERE queue = 'q'")
	look("all waiting, as if few were")
	exec("UPDATE " + entries + " SET state = 1 WHERE queue = 'q'")
	exec("ANALYZE " + entries)
	fill("q", 20_001, 40_000, 0)
	look("all waiting, as if all were done")
	exec("ANALYZE " + entries)
	exec("DELETE FROM " + entries)
	look("all gone")
	exec("VACUUM ANALYZE " + entries)
	fill("q", 1, 20_000, 0)
	look("filled, as if empty")
}

// TestPlansOfWrites looks at how PostgreSQL finds out which items it has already,
// and finds one entry, once the table has grown under statements that were prepared
// when it was small.
func TestPlansOfWrites(t *testing.T) {
	store, conn, exec := prepared(t)
	entries := store.prefix + "entries"
	const each = 100
	exec("VACUUM ANALYZE " + entries)
	exec("PREPARE add AS " + store.AddStatement("q", make([]queue.Item, each)))
	exec("PREPARE put_off AS " + store.PutOffStatement())
	execute := func(round int) string {
		var b strings.Builder
		b.WriteString("EXECUTE add('q', 0, 0, ''")
		for i := range each {
			fmt.Fprintf(&b, ", 'new %d %d', 'k', '\\x00'", round, i)
		}
		return b.String() + ")"
	}
	const one = "EXECUTE put_off('q', 'i7', 7, 'me', 1)"
	for range 10 { // so that a generic plan is thought of
		exec(one)
	}
	for round := range 10 {
		exec(execute(round))
	}
	exec(fmt.Sprintf(`INSERT INTO %s (queue, id, ord_key, body, state, added_at, since, due)
		SELECT 'q', 'i' || i, 'k', repeat('x', 200)::bytea, 0, 1, 1, 1 FROM generate_series(1, 50000) AS i`, entries))
	for _, state := range []string{"freshly filled, never analysed", "analysed"} {
		for _, statement := range []string{execute(10), one} {
			if plan := explain(t, conn, statement); strings.Contains(plan, "Seq Scan on "+entries) || !strings.Contains(plan, entries+"_pkey") {
				t.Errorf("%s:\n%s", state, plan)
			}
		}
		exec("ANALYZE " + entries)
	}
}

// prepared returns a PostgreSQL store whose table nothing analyses but the test, and
// a session of it, for prepared statements are the session's.
func prepared(t *testing.T) (store *testStore, conn *sql.Conn, exec func(statement string)) {
	t.Helper()
	postgresDSN(t)
	store = open(t, sqlstore.PostgreSQL, t.TempDir())
	t.Cleanup(func() { store.Close() })
	conn, err := store.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	exec = func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("ALTER TABLE " + store.prefix + "entries SET (autovacuum_enabled = false)")
	return store, conn, exec
}

func explain(t *testing.T, conn *sql.Conn, statement string) string {
	t.Helper()
	rows, err := conn.QueryContext(context.WithoutCancel(t.Context()), "EXPLAIN "+statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// TestListPlans looks at how SQLite lists: along an index, in its order.
func TestListPlans(t *testing.T) {
	store := open(t, sqlstore.SQLite, t.TempDir())
	defer store.Close()
	for name, filter := range map[string]queue.Filter{
		"entries_order": {States: []queue.State{queue.Waiting}, Limit: 1},
		"entries_key":   {Key: "k", States: []queue.State{queue.Waiting}, Newest: true, Limit: 1},
		"autoindex":     {ID: "a", Limit: 1},
	} {
		statement, args := store.ListStatement("q", filter)
		plan := queryPlan(t, store.db, statement, args)
		if !strings.Contains(plan, name) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v:\n%s", filter, plan)
		}
	}
}

func queryPlan(t *testing.T, db *sql.DB, statement string, args []any) string {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
