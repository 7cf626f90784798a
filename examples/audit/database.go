package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// database is where the flags and the records of their changes are kept: one
// database for both, so that one transaction covers them.
type database struct {
	dsn, file string
	prefix    string // of the tables
}

func (d database) dialect() sqlstore.Dialect {
	if d.dsn != "" {
		return sqlstore.PostgreSQL
	}
	return sqlstore.SQLite
}

func (d database) open() (*sql.DB, error) {
	if d.dsn != "" {
		return sql.Open("pgx", d.dsn)
	}
	return sqlstore.OpenSQLite("sqlite", d.file)
}

func (d database) store(db *sql.DB) (*sqlstore.Store, error) {
	return sqlstore.New(db, d.dialect(), sqlstore.WithTablePrefix(d.prefix+"audit_"))
}

// sql completes a statement: the name of the table of flags, and SQLite's way
// to number parameters.
func (d database) sql(statement string, args ...any) string {
	statement = strings.ReplaceAll(statement, "{flags}", d.prefix+"flags")
	if d.dialect() == sqlstore.SQLite {
		statement = strings.ReplaceAll(statement, "$", "?")
	}
	return fmt.Sprintf(statement, args...)
}

// createTables makes the table of flags; sqlstore makes its own.
func (d database) createTables(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, d.sql(`CREATE TABLE IF NOT EXISTS {flags} (name VARCHAR(200) PRIMARY KEY, enabled BOOLEAN NOT NULL)`))
	return err
}

func (d database) dropTables(ctx context.Context, db *sql.DB) error {
	for _, table := range []string{"flags", "audit_entries", "audit_leases", "audit_notes", "audit_schema"} {
		if _, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS "+d.prefix+table+" CASCADE"); err != nil {
			return err
		}
	}
	return nil
}
