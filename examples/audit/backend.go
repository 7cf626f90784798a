package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sentryflags/sentryflags-go/webhook"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

// backend is an HTTP API over a table of flags.
//
//	GET    /flags         all flags
//	PUT    /flags/{name}  {"enabled":true}, by the user in X-User
//	DELETE /flags/{name}  by the user in X-User
//
// A real one would know its user from a login.
type backend struct {
	database database
	db       *sql.DB
	store    *sqlstore.Store
	emitter  *webhook.Emitter
}

func newBackend(ctx context.Context, d database, client *webhook.Client) (*backend, error) {
	db, err := d.open()
	if err != nil {
		return nil, err
	}
	b := &backend{database: d, db: db}
	if err := d.createTables(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if b.store, err = d.store(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b.emitter, err = webhook.NewEmitter(client, b.store, webhook.EmitterConfig{})
	if err != nil {
		return nil, errors.Join(err, b.store.Close(), db.Close())
	}
	return b, nil
}

// close delivers what waits, within ctx, and ends in the order of dependence.
func (b *backend) close(ctx context.Context) error {
	return errors.Join(b.emitter.Close(ctx), b.store.Close(), b.db.Close())
}

func (b *backend) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /flags", b.list)
	mux.HandleFunc("PUT /flags/{name}", b.put)
	mux.HandleFunc("DELETE /flags/{name}", b.delete)
	return mux
}

var errUnknownFlag = errors.New("there is no such flag")

func (b *backend) put(w http.ResponseWriter, r *http.Request) {
	var wanted struct{ Enabled bool }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&wanted); err != nil {
		http.Error(w, "the body has to be {\"enabled\":true} or false", http.StatusBadRequest)
		return
	}
	b.change(w, r, func(ctx context.Context, tx *sql.Tx, name string) (webhook.Action, error) {
		// The UPDATE locks the row, so that the records of a flag's changes have
		// the order of their commits.
		result, err := tx.ExecContext(ctx, b.database.sql(`UPDATE {flags} SET enabled = $1 WHERE name = $2`), wanted.Enabled, name)
		if err != nil {
			return "", err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return webhook.ActionUpdated, err
		}
		_, err = tx.ExecContext(ctx, b.database.sql(`INSERT INTO {flags} (name, enabled) VALUES ($1, $2)`), name, wanted.Enabled)
		return webhook.ActionCreated, err
	})
}

func (b *backend) delete(w http.ResponseWriter, r *http.Request) {
	b.change(w, r, func(ctx context.Context, tx *sql.Tx, name string) (webhook.Action, error) {
		result, err := tx.ExecContext(ctx, b.database.sql(`DELETE FROM {flags} WHERE name = $1`), name)
		if err != nil {
			return "", err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return "", errors.Join(errUnknownFlag, err)
		}
		return webhook.ActionDeleted, nil
	})
}

// change runs edit and records what it did in the same transaction.
func (b *backend) change(w http.ResponseWriter, r *http.Request, edit func(ctx context.Context, tx *sql.Tx, name string) (webhook.Action, error)) {
	tx, err := b.db.BeginTx(r.Context(), nil)
	if err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	defer tx.Rollback()
	name := r.PathValue("name")
	action, err := edit(r.Context(), tx, name)
	if err == nil {
		err = b.record(r.Context(), tx, webhook.Change{
			Action:    action,
			CreatedBy: webhook.Author{ID: r.Header.Get("X-User"), Type: webhook.AuthorName},
			Flag:      name,
		})
	}
	if err == nil {
		err = tx.Commit()
	}
	switch {
	case err == nil:
		b.emitter.Wake() // what was committed need not wait for its next look
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errUnknownFlag):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, webhook.ErrInvalidChange):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		http.Error(w, "the change was not made; try again", http.StatusServiceUnavailable)
	}
}

// record refuses a change that Sentry would refuse, and the transaction with
// it: an X-User that is missing, say.
func (b *backend) record(ctx context.Context, tx *sql.Tx, change webhook.Change) error {
	items, err := b.emitter.Items(change)
	if err != nil {
		return err
	}
	_, err = b.store.EnqueueTx(ctx, tx, b.emitter.Queue(), items...)
	return err
}

func (b *backend) list(w http.ResponseWriter, r *http.Request) {
	flags, err := b.flags(r.Context())
	if err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(flags)
}

func (b *backend) flags(ctx context.Context) (map[string]bool, error) {
	rows, err := b.db.QueryContext(ctx, b.database.sql(`SELECT name, enabled FROM {flags}`))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	flags := make(map[string]bool)
	for rows.Next() {
		var name string
		var enabled bool
		if err := rows.Scan(&name, &enabled); err != nil {
			return nil, err
		}
		flags[name] = enabled
	}
	return flags, rows.Err()
}
