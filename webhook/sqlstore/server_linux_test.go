package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is a PostgreSQL of the tests' own, to be rough with.
type server struct {
	dir, programs string
	port          int
	credential    *syscall.Credential
	cmd           *exec.Cmd
}

var own struct {
	once   sync.Once
	server *server
	err    error
}

// ownServer starts a server once, and skips the test where there is no program
// for it.
func ownServer(tb testing.TB) *server {
	tb.Helper()
	postgresDSN(tb)
	own.once.Do(func() { own.server, own.err = newServer() })
	if errors.Is(own.err, exec.ErrNotFound) {
		tb.Skip("the programs of PostgreSQL are not here")
	}
	if own.err != nil {
		tb.Fatal(own.err)
	}
	return own.server
}

func stopOwnServer() {
	if s := own.server; s != nil {
		s.stop(syscall.SIGQUIT)
		os.RemoveAll(s.dir)
	}
}

func newServer() (*server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return nil, exec.ErrNotFound
	}
	s := &server{programs: filepath.Dir(slices.Max(found))}
	if s.dir, err = os.MkdirTemp("", "sqlstore-postgres-"); err != nil {
		return nil, err
	}
	if s.credential, err = serverUser(s.dir); err != nil {
		return nil, err
	}
	initdb := s.command("initdb", "-D", filepath.Join(s.dir, "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.start()
}

// serverUser is who runs the server, which does not want to be root.
func serverUser(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, exec.ErrNotFound
	}
	uid, uidErr := strconv.ParseUint(postgres.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(postgres.Gid, 10, 32)
	credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return credential, errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid)))
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// command is a program of the server, which ends with the tests.
func (s *server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	if !filepath.IsAbs(program) {
		cmd = exec.Command(filepath.Join(s.programs, program), args...)
	}
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func (s *server) start() error {
	s.cmd = s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "autovacuum=off", "-c", "max_connections=60")
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	db, err := sql.Open("pgx", s.dsn(""))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// stop ends the server: hard with SIGQUIT, as a crash of it.
func (s *server) stop(signal syscall.Signal) {
	_ = s.cmd.Process.Signal(signal)
	_ = s.cmd.Wait() // its log says why it ended
}

func (s *server) dsn(parameters string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&%s", s.port, parameters)
}

// open opens a pool of its own, to be closed after the test.
func (s *server) open(tb testing.TB, parameters string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", s.dsn(parameters))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// exec runs statements in a session of their own that writes whatever the
// default is.
func (s *server) exec(tb testing.TB, statements ...string) {
	tb.Helper()
	db := s.open(tb, "default_transaction_read_only=off")
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			tb.Fatalf("%s: %v", statement, err)
		}
	}
}

// schema makes a schema for a test, and returns the parameters for it.
func (s *server) schema(tb testing.TB) string {
	tb.Helper()
	name := prefixOf(tb.TempDir()) + "s"
	s.exec(tb, "CREATE SCHEMA "+name)
	tb.Cleanup(func() { s.exec(tb, "DROP SCHEMA "+name+" CASCADE") })
	return "search_path=" + name
}

// backends are the processes of an application's sessions.
func (s *server) backends(tb testing.TB, application string) []int {
	tb.Helper()
	db := s.open(tb, "")
	defer db.Close()
	rows, err := db.Query(`SELECT pid FROM pg_stat_activity WHERE application_name = $1`, application)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var pids []int
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			tb.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return pids
}
