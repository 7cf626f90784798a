package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sentryflags/sentryflags-go/webhook/queue"
	"github.com/sentryflags/sentryflags-go/webhook/sqlstore"
)

func sqlite(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func postgres(t *testing.T, settings string) *sql.DB {
	t.Helper()
	dsn := postgresDSN(t)
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	db, err := sql.Open("pgx", dsn+separator+settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNewRefusesAnUnsafeDSN(t *testing.T) {
	const safe = "_pragma=busy_timeout(3000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)"
	for name, tc := range map[string]struct{ query, want string }{
		"nothing":          {"", "journal_mode"},
		"rollback journal": {strings.Replace(safe, "wal", "delete", 1), "journal_mode"},
		"normal":           {strings.Replace(safe, "full", "normal", 1), "synchronous"},
		"off":              {strings.Replace(safe, "full", "off", 1), "synchronous"},
		"no time-out":      {strings.Replace(safe, "3000", "0", 1), "busy_timeout"},
		"a short time-out": {strings.Replace(safe, "3000", "500", 1), "busy_timeout"},
		"a long time-out":  {strings.Replace(safe, "3000", "60000", 1), "busy_timeout"},
		"safe":             {safe, ""},
		"extra":            {strings.Replace(safe, "full", "extra", 1), ""},
		"immediate":        {safe + "&_txlock=immediate", ""},
	} {
		for _, most := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, at most %d connections", name, most), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "store.db")
				db := sqlite(t, "file:"+path+"?"+tc.query)
				db.SetMaxOpenConns(most)
				store, err := sqlstore.New(db, sqlstore.SQLite)
				if tc.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					everyCall(t, store)
					return
				}
				if !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want a refusal that names %q and the path", err, tc.want)
				}
			})
		}
	}
}

// TestNewRefusesASettingOfOneConnection: a PRAGMA reaches one pooled connection
// only, so that it proves nothing.
func TestNewRefusesASettingOfOneConnection(t *testing.T) {
	db := sqlite(t, "file:"+filepath.Join(t.TempDir(), "store.db")+"?_pragma=busy_timeout(3000)&_pragma=synchronous(normal)")
	for _, pragma := range []string{"journal_mode=wal", "synchronous=full"} {
		if _, err := db.Exec("PRAGMA " + pragma); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sqlstore.New(db, sqlstore.SQLite); !errors.Is(err, sqlstore.ErrUnsuitable) {
		t.Errorf("got %v", err)
	}
}

// TestNewBesideATransaction opens the store while the caller uses all
// connections but one, and while another writes.
func TestNewBesideATransaction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := sqlite(t, sqlstore.SQLiteDSN(path))
	first, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	db.SetMaxOpenConns(2)
	tx, err := db.Begin() // has the write lock
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := sqlstore.New(db, sqlstore.SQLite); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := sqlite(t, sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "store.db")))
	for name, tc := range map[string]struct {
		db      *sql.DB
		dialect sqlstore.Dialect
		option  sqlstore.Option
		want    string
	}{
		"no database":     {nil, sqlstore.SQLite, nil, "nil"},
		"no dialect":      {good, 0, nil, "Dialect(0)"},
		"prefix":          {good, sqlstore.SQLite, sqlstore.WithTablePrefix(`x"; DROP TABLE y`), "WithTablePrefix"},
		"no prefix":       {good, sqlstore.SQLite, sqlstore.WithTablePrefix(""), "WithTablePrefix"},
		"window":          {good, sqlstore.SQLite, sqlstore.WithWindow(0), "WithWindow"},
		"in memory":       {sqlite(t, ":memory:"), sqlstore.SQLite, nil, "memory"},
		"another dialect": {good, sqlstore.PostgreSQL, nil, "PostgreSQL"},
	} {
		_, err := sqlstore.New(tc.db, tc.dialect, tc.option)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want a refusal that names %q", name, err, tc.want)
		}
	}
	// A nil option is ignored.
	if _, err := sqlstore.New(good, sqlstore.SQLite, nil); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesTablesOfOtherVersions(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		store := open(t, dialect, dir)
		defer store.Close()
		for version, want := range map[int]string{1: store.prefix + "items", 99: "99"} {
			if _, err := store.db.Exec(fmt.Sprintf("UPDATE %sschema SET version = %d", store.prefix, version)); err != nil {
				t.Fatal(err)
			}
			_, err := sqlstore.New(store.db, dialect, sqlstore.WithTablePrefix(store.prefix))
			if !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), want) {
				t.Errorf("version %d: %v", version, err)
			}
		}
	})
}

// TestWithExistingTables looks into a database that is not the program's.
func TestWithExistingTables(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		store := open(t, dialect, dir)
		defer store.Close()
		for prefix, want := range map[string]error{store.prefix: nil, "nobodys_": sqlstore.ErrUnsuitable} {
			_, err := sqlstore.New(store.db, dialect, sqlstore.WithTablePrefix(prefix), sqlstore.WithExistingTables())
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s: %v, want %v", prefix, err, want)
			}
		}
		if _, err := store.db.Exec("SELECT * FROM nobodys_entries"); err == nil {
			t.Error("tables were made")
		}
	})
}

// TestSchema makes the tables by the file's statements, as a migration tool does.
func TestSchema(t *testing.T) {
	onEach(t, func(t *testing.T, dialect sqlstore.Dialect) {
		dir := t.TempDir()
		prefix := prefixOf(dir)
		if dialect == sqlstore.PostgreSQL {
			dropAfter(t, prefix)
		}
		db := database(t, dialect, dir)
		defer db.Close()
		text, err := sqlstore.Schema(dialect, sqlstore.WithTablePrefix(prefix))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "sentryflags_") {
			t.Error("a name has the default prefix")
		}
		for statement := range strings.SplitSeq(text, ";\n") {
			if _, err := db.Exec(statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		store, err := sqlstore.New(db, dialect, sqlstore.WithTablePrefix(prefix))
		if err != nil {
			t.Fatal(err)
		}
		everyCall(t, store)
	})
	if _, err := sqlstore.Schema(0); !errors.Is(err, sqlstore.ErrUnsuitable) {
		t.Errorf("no dialect: %v", err)
	}
	if _, err := sqlstore.Schema(sqlstore.SQLite, sqlstore.WithTablePrefix("1")); !errors.Is(err, sqlstore.ErrUnsuitable) {
		t.Errorf("a bad prefix: %v", err)
	}
}

func TestSQLiteDSNEscapes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20?c#d&e=ü.db")
	if _, err := sqlstore.New(sqlite(t, sqlstore.SQLiteDSN(path)), sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestOpenSQLiteNamesTheFile: the path, and what is wrong with it.
func TestOpenSQLiteNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("no database, but longer than SQLite's header of a hundred bytes, so that it is looked at and found to be none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"no folder":       {filepath.Join(dir, "none", "store.db"), "the folder " + filepath.Join(dir, "none") + " does not exist"},
		"no such folder":  {filepath.Join(dir, "file", "store.db"), filepath.Join(dir, "file")},
		"a folder itself": {dir, "it is a folder"},
		"a device":        {os.DevNull, "is a pipe, a device or a socket"},
		"no database":     {filepath.Join(dir, "file"), "not a database"},
	} {
		db, err := sqlstore.OpenSQLite("sqlite", tc.path)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.path) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want one that names %q and %q", name, err, tc.path, tc.want)
		}
	}
	if _, err := sqlstore.OpenSQLite("no such driver", filepath.Join(dir, "store.db")); err == nil {
		t.Error("without a driver")
	}
}

// TestReadOnlyConnection: a file that is there, opened to be read.
func TestReadOnlyConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	store, err := sqlstore.New(sqlite(t, sqlstore.SQLiteDSN(path)), sqlstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = sqlstore.New(sqlite(t, "file:"+path+"?mode=ro&_pragma=busy_timeout(3000)&_pragma=synchronous(full)"), sqlstore.SQLite)
	if !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "mode=ro") {
		t.Errorf("got %v", err)
	}
}

const readOnlyEnv = "SENTRYFLAGS_READ_ONLY_FILE"

// TestReadOnlyFile opens a file that this process may not write to. Root may
// write to any, so that it is another one in that case.
func TestReadOnlyFile(t *testing.T) {
	if path := os.Getenv(readOnlyEnv); path != "" {
		db, err := sqlstore.OpenSQLite("sqlite", path)
		if err == nil {
			_, err = sqlstore.New(db, sqlstore.SQLite)
			db.Close()
		}
		fmt.Println(err)
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	outer, err := os.MkdirTemp("", "sqlstore-") // which everybody may enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(outer)
	dir := filepath.Join(outer, "dir")
	if err := errors.Join(os.Chmod(outer, 0o755), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "store.db")
	db, err := sqlstore.OpenSQLite("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.New(db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for _, tc := range []struct {
		file, folder os.FileMode
		want         string
	}{
		{0o444, 0o777, "may not write to it"},
		{0o666, 0o555, "the folder " + dir},
	} {
		if err := errors.Join(os.Chmod(path, tc.file), os.Chmod(dir, tc.folder)); err != nil {
			t.Fatal(err)
		}
		text := asNobody(t, path)
		if !strings.Contains(text, path) || !strings.Contains(text, tc.want) || strings.Contains(text, "DSN") {
			t.Errorf("mode %o in %o: %s, want one that names %q and %q", tc.file, tc.folder, text, path, tc.want)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func asNobody(t *testing.T, path string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(filepath.Dir(filepath.Dir(path)), "program")
	if _, err := os.Stat(copied); err != nil {
		bytes, err := os.ReadFile(program) // the folder of the tests may be closed to others
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, bytes, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), copied, "-test.run=^TestReadOnlyFile$")
	cmd.Env = append(os.Environ(), readOnlyEnv+"="+path)
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		becomeNobody(cmd)
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this process cannot become another user")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestNewRefusesAnUnsafePostgreSQL(t *testing.T) {
	for settings, want := range map[string]string{
		"synchronous_commit=off":      "synchronous_commit",
		"search_path=no_such_schema0": "search_path",
	} {
		if _, err := sqlstore.New(postgres(t, settings), sqlstore.PostgreSQL); !errors.Is(err, sqlstore.ErrUnsuitable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
	if _, err := sqlstore.New(postgres(t, ""), sqlstore.SQLite); !errors.Is(err, sqlstore.ErrUnsuitable) {
		t.Errorf("PostgreSQL taken for SQLite: %v", err)
	}
}

// TestStricterIsolation: a default of the database must not hide from one process
// what the other has just made, nor fail what collides.
func TestStricterIsolation(t *testing.T) {
	for _, level := range []string{"repeatable%20read", "serializable"} {
		prefix := prefixOf(t.TempDir())
		db := postgres(t, "default_transaction_isolation="+level)
		dropAfter(t, prefix)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTablePrefix(prefix))
				if err != nil {
					t.Errorf("%s: %v", level, err)
					return
				}
				defer store.Close()
				for j := range 20 {
					if _, err := store.Lease(t.Context(), "q", fmt.Sprint(i), 1); err != nil {
						t.Errorf("%s: Lease: %v", level, err)
					}
					if _, err := store.Add(t.Context(), "q", queue.Addition{Items: []queue.Item{{ID: fmt.Sprint(j)}}}); err != nil {
						t.Errorf("%s: Add: %v", level, err)
					}
				}
			})
		}
		all.Wait()
	}
}
