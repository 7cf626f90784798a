package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
)

// leaseTries is how often Lease looks when somebody else is always quicker.
const leaseTries = 3

// Lease implements [queue.Store]. A lease is a row. It is written by single
// statements only, so that no process can freeze with a lock on it.
func (s *Store) Lease(ctx context.Context, name, owner string, ttl time.Duration) (time.Duration, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	if err := queue.ValidateLease(name, owner, ttl); err != nil {
		return 0, err
	}
	for range leaseTries {
		wait, err := s.lookAtLease(ctx, name, owner)
		if wait > 0 || err != nil {
			return wait, err
		}
		taken, err := s.takeLease(ctx, name, owner, ttl)
		if taken || err != nil {
			return 0, err
		}
	}
	return time.Millisecond, nil
}

// lookAtLease returns how long another has the lease, or how long it rests.
func (s *Store) lookAtLease(ctx context.Context, name, owner string) (time.Duration, error) {
	var l lease
	err := s.query(ctx, "look at the lease", func(rows *sql.Rows) error {
		return rows.Scan(&l.owner, &l.left, &l.length, &l.restLeft, &l.rest)
	}, `SELECT owner, ends_at - {now}, length, rests_until - {now}, rest FROM {p}leases WHERE name = $1`, name)
	if err != nil {
		return 0, err
	}
	if wait := l.held(); wait > 0 && l.owner != owner {
		return wait, nil
	}
	return l.resting(), nil
}

// lease is a row of the table, with times relative to the database's now.
type lease struct {
	owner                        string
	left, length, restLeft, rest int64
}

func (l lease) held() time.Duration {
	if l.owner == "" {
		return 0
	}
	return left(l.left, l.length)
}

func (l lease) resting() time.Duration { return left(l.restLeft, l.rest) }

// left returns how much is left of a time that was to last so long. One that
// ends much later than it could was made before the clock was set back, and is
// over.
func left(micros, length int64) time.Duration {
	if micros <= 0 || micros > length+slackMicros {
		return 0
	}
	return time.Duration(min(micros, length)) * time.Microsecond
}

// takeLease reads the clock as it is, for it may have waited for another who was
// taking the lease meanwhile.
func (s *Store) takeLease(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	n, err := s.exec(ctx, "take the lease", `INSERT INTO {p}leases (name, owner, ends_at, length) VALUES ($1, $2, {clock} + $3, $3)
		ON CONFLICT (name) DO UPDATE
		SET owner = excluded.owner, ends_at = excluded.ends_at, length = excluded.length, rests_until = 0, rest = 0
		WHERE ({p}leases.owner IN ('', excluded.owner) OR {p}leases.ends_at <= {clock} OR {p}leases.ends_at > {clock} + {p}leases.length + {slack})
			AND ({p}leases.rests_until <= {clock} OR {p}leases.rests_until > {clock} + {p}leases.rest + {slack})`,
		name, owner, microseconds(ttl))
	return n == 1, err
}

// Release implements [queue.Store].
func (s *Store) Release(ctx context.Context, name, owner string, rest time.Duration) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := queue.ValidateLease(name, owner, 1); err != nil {
		return err
	}
	_, err := s.exec(ctx, "give the lease back", `UPDATE {p}leases
		SET owner = '', ends_at = 0, length = 0, rests_until = {now} + $3, rest = $3 WHERE name = $1 AND owner = $2`,
		name, owner, microseconds(max(0, rest)))
	return err
}

// Resume implements [queue.Store].
func (s *Store) Resume(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := queue.ValidateName("lease", name); err != nil {
		return err
	}
	_, err := s.exec(ctx, "end the rest", `UPDATE {p}leases SET rests_until = 0, rest = 0 WHERE name = $1 AND rest > 0`, name)
	return err
}
