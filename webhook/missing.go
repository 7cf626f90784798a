package webhook

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"
)

const (
	// askedFlags is how many flags one query names, and askedBytes how long their
	// names may be together: a URL of 8 KiB is more than some proxies take.
	askedFlags = 100
	askedBytes = 4 << 10
)

// Missing returns those of the changes that Sentry's flag log does not have yet,
// in their order, to send them and no other: Sentry recognises no repeat itself.
// A change is recognised by its flag, action, time, to the microsecond, and
// author; of those that are the same in all of these, as many are missing as the
// log has too few. One that Sentry would refuse is missing. Each needs its
// CreatedAt, for one that is dated when it is sent is in no log: a [*ChangeError]
// names the first without.
//
// The token and the errors are those of [Client.Logs]. What is sent between this
// call and your own, by another process say, it cannot know.
func (c *Client) Missing(ctx context.Context, token string, changes ...Change) ([]Change, error) {
	if err := c.usable(); err != nil {
		return nil, err
	}
	rows := make([]logRow, len(changes))
	for i, change := range changes {
		if change.CreatedAt.IsZero() {
			return nil, &ChangeError{Index: i, Field: "CreatedAt", Reason: "must be set, to find the change in the log by it"}
		}
		if change = c.complete(change, time.Time{}); c.validate(change) == nil {
			rows[i] = logRow{change.Flag, change.Action, change.CreatedAt.UnixMicro(), change.CreatedBy}
		}
	}
	back := readBack{client: c, token: token, read: map[int64]bool{}, there: map[logRow]int{}}
	for _, query := range queriesFor(rows) {
		if err := back.ask(ctx, query); err != nil {
			return nil, err
		}
	}
	var missing []Change
	for i, row := range rows {
		if back.there[row] > 0 {
			back.there[row]--
			continue
		}
		missing = append(missing, changes[i])
	}
	return missing, nil
}

// logRow is what a change is recognised by in the log. The zero row is of a
// change that Sentry would refuse.
type logRow struct {
	flag   string
	action Action
	micros int64
	author Author
}

// queriesFor returns what to ask the log for, so that all the rows are among the
// answers.
func queriesFor(rows []logRow) []LogsQuery {
	spans := map[string][2]int64{}
	for _, row := range rows {
		if row == (logRow{}) {
			continue
		}
		span, known := spans[row.flag]
		if !known {
			span = [2]int64{row.micros, row.micros}
		}
		spans[row.flag] = [2]int64{min(span[0], row.micros), max(span[1], row.micros)}
	}
	// Flags that changed at about the same time are asked for together.
	flags := make([]string, 0, len(spans))
	for flag := range spans {
		flags = append(flags, flag)
	}
	slices.SortFunc(flags, func(a, b string) int {
		return slices.Compare([]int64{spans[a][0], spans[a][1]}, []int64{spans[b][0], spans[b][1]})
	})
	var queries []LogsQuery
	length := 0
	for _, flag := range flags {
		start, end := time.UnixMicro(spans[flag][0]), time.UnixMicro(spans[flag][1]+1)
		more := len(url.QueryEscape(flag)) + len("flag=&")
		last := len(queries) - 1
		if last < 0 || len(queries[last].Flags) == askedFlags || length+more > askedBytes {
			queries, length = append(queries, LogsQuery{Start: start, End: end}), 0
			last++
		}
		query := &queries[last]
		query.Flags, length = append(query.Flags, flag), length+more
		if start.Before(query.Start) {
			query.Start = start
		}
		if end.After(query.End) {
			query.End = end
		}
	}
	return queries
}

// readBack counts what the log has.
type readBack struct {
	client *Client
	token  string
	read   map[int64]bool // rows, by their number
	there  map[logRow]int
}

// ask reads the answers to a query. Sentry sorts rows by their time alone, and
// rows of the same time as its database finds them: from one page to the next
// some of them may come twice, and then as many not at all. Such a query is
// divided until its answers fit a page.
func (b *readBack) ask(ctx context.Context, query LogsQuery) error {
	all, once := 0, map[int64]bool{}
	for entry, err := range b.client.Logs(ctx, b.token, query) {
		if err != nil {
			return err
		}
		all++
		once[entry.ID] = true
		if !b.read[entry.ID] {
			b.read[entry.ID] = true
			b.there[logRow{entry.Flag, entry.Action, entry.CreatedAt.UnixMicro(), entry.CreatedBy}]++
		}
	}
	if len(once) == all {
		return nil
	}
	one, other := query, query
	switch length := query.End.Sub(query.Start); {
	case len(query.Flags) > 1:
		half := len(query.Flags) / 2
		one.Flags, other.Flags = query.Flags[:half], query.Flags[half:]
	case length > time.Microsecond:
		half := query.Start.Add((length / 2).Truncate(time.Microsecond))
		one.End, other.Start = half, half
	default:
		return fmt.Errorf("webhook: read the flag log: it has too many rows of one flag and one time to tell them apart (%d)", all)
	}
	if err := b.ask(ctx, one); err != nil {
		return err
	}
	return b.ask(ctx, other)
}
