// Package sqlstore keeps a [webhook.Store] in an SQLite file or in PostgreSQL,
// through database/sql and whatever driver the caller has.
package sqlstore
