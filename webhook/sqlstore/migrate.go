package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// migrate brings the tables to the version that this code knows. It runs in
// one transaction behind a lock, so that of several processes that start at
// once one does it and the others find it done.
func migrate(ctx context.Context, db *sql.DB, engine engine) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return explain(ctx, "migrate", err)
	}
	defer tx.Rollback()
	if err := engine.migrationLock(ctx, tx); err != nil {
		return explain(ctx, "migrate", err)
	}
	if _, err := tx.ExecContext(ctx, engine.sql(`CREATE TABLE IF NOT EXISTS {p}schema (version INTEGER NOT NULL)`)); err != nil {
		return explain(ctx, "migrate", err)
	}
	var version int
	if err := tx.QueryRowContext(ctx, engine.sql(`SELECT coalesce(max(version), 0) FROM {p}schema`)).Scan(&version); err != nil {
		return explain(ctx, "migrate", err)
	}
	steps := engine.migrations()
	if version > len(steps) {
		return fmt.Errorf("%w: its tables are of version %d, made by a newer sqlstore; this one knows %d", ErrUnsuitable, version, len(steps))
	}
	if version == len(steps) {
		return nil
	}
	for i, step := range steps[version:] {
		for _, statement := range step {
			if _, err := tx.ExecContext(ctx, engine.sql(statement)); err != nil {
				return explain(ctx, fmt.Sprintf("migrate to version %d", version+i+1), err)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, engine.sql(`INSERT INTO {p}schema (version) VALUES ($1)`), len(steps)); err != nil {
		return explain(ctx, "migrate", err)
	}
	return explain(ctx, "migrate", tx.Commit())
}
