// Package pgtest provides tests with a PostgreSQL.
//
// What goes in: the URL of a server in POOLFILL_TEST_POSTGRES, whose user may
// create databases, or else the programs of PostgreSQL as installed. What comes
// out: an empty database for each test that asks, or a whole server that can be
// killed. Where neither is to be had the test is skipped, and fails in CI.
//
// A test process has one server of its own for all databases, with the disk's
// synchronisation off. It ends with the process, however that ends, and takes
// its files along.
//
// The bound: the server has 16 MiB of buffers, 40 MiB of files, and 8 more for each
// database.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// Variable names a server to use instead of one that is started.
	Variable = "POOLFILL_TEST_POSTGRES"
	// Password is the password of the servers that are started. It is odd, so
	// that a test finds it wherever it is printed.
	Password = "s3cr3t/of:pgtest"

	role = "poolfill"
	// patience bounds each step: making a server, starting it, ending it.
	patience = time.Minute
)

// shared is the process's one server, which is started at the first use.
var shared = sync.OnceValues(func() (*Server, error) { return start(removeFiles) })

// URL returns the URL of a new and empty database, which is gone after the tests.
func URL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Variable)
	if server == "" {
		s, err := shared()
		if err != nil {
			without(t, err)
		}
		server = s.URL("postgres")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is no URL", Variable) // the error has the password
	}
	name := fmt.Sprintf("poolfill_%d_%d", os.Getpid(), databases.Add(1))
	admin(t, server, "CREATE DATABASE "+name)
	if os.Getenv(Variable) != "" { // ours takes all of them along, and each drop takes it a while
		t.Cleanup(func() { admin(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	}
	u.Path = "/" + name
	return u.String()
}

// Restricted returns the URL of a database of URL's for a user of its own who may
// use all tables that there are by now, and make none. It is gone after the test.
func Restricted(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the address is no URL") // the error has the password
	}
	name := "restricted_" + strings.TrimPrefix(u.Path, "/")
	for _, statement := range []string{
		"CREATE ROLE " + name + " LOGIN PASSWORD '" + Password + "'",
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", // older servers let everybody
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + name,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO " + name,
	} {
		admin(t, address, statement)
	}
	t.Cleanup(func() {
		admin(t, address, "DROP OWNED BY "+name)
		admin(t, address, "DROP ROLE "+name)
	})
	u.User = url.UserPassword(name, Password)
	return u.String()
}

// databases numbers those that this process has made.
var databases atomic.Int64

func admin(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(ctx, statement)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// without ends a test that can't have a PostgreSQL.
func without(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("this test needs a PostgreSQL: %v", err)
	}
	t.Skipf("this test needs a PostgreSQL, installed or named by %s: %v", Variable, err)
}

// Server is a PostgreSQL of a test's own. It is safe for concurrent use, but
// for Kill and Restart.
type Server struct {
	t        testing.TB
	bin, dir string
	port     int
	files    afterEnd

	guard *exec.Cmd
	leash io.Closer // the server ends when it is closed, or with this process
}

// afterEnd is what becomes of a server's files when it ends.
type afterEnd string

const (
	keepFiles   afterEnd = "keep" // so that it can be started again
	removeFiles afterEnd = "remove"
)

// Start starts a server for one test. It ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start(keepFiles)
	if err != nil {
		without(t, err)
	}
	s.t = t
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// URL returns the URL of a database of the server, whether or not there is such a
// one. An empty one is there from the start: postgres.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, Password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Kill ends the server at once, as a crash of it would: connections break, what
// was not committed is lost. It is no error if it has been killed before.
func (s *Server) Kill() {
	s.t.Helper()
	if s.guard == nil {
		return
	}
	err := errors.Join(s.leash.Close(), s.guard.Wait())
	if s.guard = nil; err != nil {
		s.t.Errorf("ending PostgreSQL: %v", err)
	}
}

// Restart starts a killed server again, on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.launch(); err != nil {
		s.t.Errorf("starting PostgreSQL again: %v", err)
	}
}

func start(files afterEnd) (_ *Server, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	bin, err := find(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "poolfill-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, files: files}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(Password), 0o600); err != nil {
		return nil, err
	}
	initdb := s.command(ctx, filepath.Join(bin, "initdb"), "--no-sync", "--no-locale", "--encoding=UTF8",
		"--auth=scram-sha-256", "--username="+role, "--pwfile="+secret, s.data())
	if err := unprivileged(initdb, dir); err != nil {
		return nil, err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	if err := s.launch(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command is a program of PostgreSQL, which minds where it is started.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	return cmd
}

// guardScript runs the server that its arguments name until its input ends, which also
// the death of this process brings about, and then ends it as a crash would.
const guardScript = `files=$1; folder=$2; shift 2
"$@" </dev/null & server=$!
read -r line
kill -QUIT $server; wait $server
cd /; [ "$files" = keep ] || rm -rf "$folder"; exit 0`

// launch starts the server and waits until it answers.
func (s *Server) launch() (err error) {
	args := []string{"-c", guardScript, "guard", string(s.files), s.dir, filepath.Join(s.bin, "postgres"), "-D", s.data()}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=",
		"shared_buffers=16MB", "max_connections=200", "fsync=off", "full_page_writes=off", "timezone=UTC",
	} {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	guard := s.command(context.Background(), "sh", args...)
	guard.Stdout, guard.Stderr = log, log
	if err := unprivileged(guard, s.dir); err != nil {
		return err
	}
	leash, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		return err
	}
	if err := s.answers(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("%w\n%s", err, text), leash.Close(), guard.Wait())
	}
	s.guard, s.leash = guard, leash
	return nil
}

// answers waits for the server.
func (s *Server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// find returns the folder of PostgreSQL's programs, those of the latest version.
func find(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(folder string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder))) // 0 of what is no number
		return n
	}
	slices.SortFunc(folders, func(a, b string) int { return version(b) - version(a) })
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	for _, folder := range folders {
		if _, err := exec.LookPath(filepath.Join(folder, "postgres")); err == nil {
			return folder, nil
		}
	}
	return "", errors.New("its programs are neither in PATH nor in /usr/lib/postgresql nor where pg_config says")
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
