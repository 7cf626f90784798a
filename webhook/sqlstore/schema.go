package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// schemaVersion is the version of the tables that this code knows.
const schemaVersion = 2

// Schema returns the statements that make the store's tables, for migration
// tools; each ends with a semicolon at the end of a line. [New] makes the tables
// itself where it does not find them, so this is for a role that may not. Of the
// options only [WithTablePrefix] matters. Its error is [ErrUnsuitable].
func Schema(dialect Dialect, options ...Option) (string, error) {
	c, err := newConfig(options)
	if err != nil {
		return "", err
	}
	engine, err := dialect.engine(c.prefix)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(engine.schema, defaultPrefix, c.prefix), nil
}

// provideTables looks for the tables and makes them if there are none. With the
// tables there it changes nothing.
func (s *Store) provideTables(ctx context.Context) error {
	there, err := s.lookForTables(ctx, s.db)
	switch {
	case err != nil:
		return err
	case !there && s.existing:
		return fmt.Errorf("%w: there are no tables %s* in this database; is it the program's own?", ErrUnsuitable, s.prefix)
	case !there:
		return s.transaction(ctx, "create the tables", s.createTables)
	case s.engine.write == "":
		return nil
	}
	// That another writes at the moment says that one may.
	if _, err := s.exec(ctx, "see whether it can be written", s.engine.write); !errors.Is(err, ErrBusy) {
		return err
	}
	return nil
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) lookForTables(ctx context.Context, db queryer) (bool, error) {
	var n int
	if err := db.QueryRowContext(ctx, s.engine.sql(s.engine.exists)).Scan(&n); err != nil {
		return false, explain(ctx, "look for the tables", err)
	}
	if n == 0 {
		return false, nil
	}
	var version int
	if err := db.QueryRowContext(ctx, s.engine.sql(`SELECT coalesce(max(version), 0) FROM {p}schema`)).Scan(&version); err != nil {
		return false, explain(ctx, "read the version of the tables", err)
	}
	switch {
	case version > schemaVersion:
		return false, fmt.Errorf("%w: its tables are of version %d, made by a newer sqlstore; this one knows %d", ErrUnsuitable, version, schemaVersion)
	case version < schemaVersion:
		return false, fmt.Errorf("%w: its tables are of version %d, which was never released and cannot be read any more; drop them (%s), or choose other names with WithTablePrefix",
			ErrUnsuitable, version, s.engine.sql("{p}items, {p}turns, {p}schema and, on PostgreSQL, the sequence {p}seq"))
	}
	return true, nil
}

// createTables makes the tables unless another process has meanwhile.
func (s *Store) createTables(ctx context.Context, conn *sql.Conn) error {
	for _, statement := range s.engine.creating {
		if _, err := conn.ExecContext(ctx, s.engine.sql(statement)); err != nil {
			return err
		}
	}
	there, err := s.lookForTables(ctx, conn)
	if there || err != nil {
		return err
	}
	for statement := range strings.SplitSeq(strings.ReplaceAll(s.engine.schema, defaultPrefix, s.prefix), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return explainCreate(err)
		}
	}
	return nil
}

func explainCreate(err error) error {
	switch sqlState(err) {
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w: the tables are not there, and this role may not create them; create them as one that may (see Schema), and grant this one what is written there: %w", ErrUnsuitable, err)
	case "3F000": // invalid_schema_name
		return fmt.Errorf("%w: no schema of the search path exists; create it or set search_path: %w", ErrUnsuitable, err)
	}
	return err
}
