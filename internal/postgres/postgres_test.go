package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"poolfill/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, address string) *Database {
	t.Helper()
	db, err := Open(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// proxy stands between the database and its client, and cuts connections at a
// word that the client sends, before or after the server has it.
type proxy struct {
	word []byte
	cuts atomic.Int32  // so many more of them
	pass bool          // the server gets the word, and only its answer is lost
	over chan struct{} // closed after the test
	hang bool          // the server doesn't hear that the connection is gone
}

// through returns an address at which the proxy is.
func (p *proxy) through(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	p.over = make(chan struct{})
	t.Cleanup(func() { close(p.over); l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			var dialer net.Dialer
			behind, err := dialer.DialContext(context.WithoutCancel(t.Context()), "tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() { back(client, behind) })
			wg.Go(func() { p.forward(behind, client) })
		}
	})
	u.Host = l.Addr().String()
	return u.String()
}

// back passes on what the server sends, and goes on reading it where the client
// is gone.
func back(client, server net.Conn) {
	_, _ = io.Copy(client, server)
	client.Close()
	_, _ = io.Copy(io.Discard, server)
	server.Close()
}

func (p *proxy) forward(server, client net.Conn) {
	defer server.(*net.TCPConn).CloseWrite()
	buffer := make([]byte, 4096)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], p.word) && p.cuts.Add(-1) >= 0 {
			client.Close()
			if p.pass {
				server.Write(buffer[:n])
			}
			if p.hang {
				<-p.over
			}
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Whether the commit or only the answer to it is lost: what was done is there
// once.
func TestATransactionIsCommittedOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		word  string
		pass  bool
		tries int
	}{
		"nothing is lost":       {"", false, 1},
		"the change is lost":    {"INSERT INTO a", false, 2},
		"the commit is lost":    {"commit\x00", false, 2},
		"its answer is lost":    {"commit\x00", true, 1},
		"the beginning is lost": {"begin\x00", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			address := pgtest.URL(t)
			p := &proxy{word: []byte(tt.word), pass: tt.pass}
			db := open(t, p.through(t, address))
			if err := db.Transact(ctx, func(context.Context, *sql.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if tt.word != "" {
				p.cuts.Store(1)
			}
			direct := open(t, address)
			if _, err := direct.ExecContext(ctx, `CREATE TABLE a (b BIGINT)`); err != nil {
				t.Fatal(err)
			}
			tries := 0
			if err := db.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
				tries++
				_, err := tx.ExecContext(ctx, `INSERT INTO a VALUES ($1)`, 1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			var rows int
			if err := direct.QueryRowContext(ctx, `SELECT count(*) FROM a`).Scan(&rows); err != nil || rows != 1 {
				t.Errorf("%d rows, %v", rows, err)
			}
			if tries != tt.tries {
				t.Errorf("it was done %d times, want %d", tries, tt.tries)
			}
			if p.cuts.Load() > 0 {
				t.Error("nothing was cut")
			}
		})
	}
}

// hold takes the name, which is to be held or not.
func hold(t *testing.T, db *Database, want bool) *Hold {
	t.Helper()
	h, held, err := db.Hold(t.Context(), "name")
	if err != nil || held != want {
		t.Fatalf("held: %v, %v; want %v", held, err, want)
	}
	return h
}

func keeps(t *testing.T, h *Hold, want bool) {
	t.Helper()
	if held, err := h.Keep(t.Context()); err != nil || held != want {
		t.Fatalf("it is still held: %v, %v; want %v", held, err, want)
	}
}

func TestANameIsHeldByOne(t *testing.T) {
	address := pgtest.URL(t)
	one, two := open(t, address), open(t, address)
	h := hold(t, one, true)
	keeps(t, h, true)
	hold(t, two, false)
	hold(t, one, false)
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	h = hold(t, two, true)
	end := func() {
		t.Helper()
		for alive := true; alive; {
			if err := one.QueryRowContext(t.Context(), `SELECT coalesce(bool_or(pg_terminate_backend(pid)), false)
				FROM pg_stat_activity WHERE pid = $1`, h.session.pid).Scan(&alive); err != nil {
				t.Fatal(err)
			}
		}
	}
	end()
	keeps(t, h, true)
	hold(t, one, false)
	end()
	other := hold(t, one, true)
	keeps(t, h, false)
	keeps(t, h, false)
	if err := other.Release(); err != nil {
		t.Fatal(err)
	}
	keeps(t, h, true)
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	hold(t, one, true)
}

// A connection that only its client has lost has the name for the server until
// it notices. It must not be taken for another's.
func TestAClientIsNotInItsOwnWay(t *testing.T) {
	address := pgtest.URL(t)
	p := &proxy{word: []byte("-- ping"), hang: true}
	one, two := open(t, p.through(t, address)), open(t, address)
	h := hold(t, one, true)
	p.cuts.Store(1)
	keeps(t, h, true)
	hold(t, two, false)
	if p.cuts.Load() > 0 {
		t.Error("nothing was cut")
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	hold(t, two, true)
}

// What may take long is not given up, and what should not is.
func TestOnlyEverydayTransactionsHaveALimit(t *testing.T) {
	db := open(t, pgtest.URL(t))
	if err := db.Transact(t.Context(), func(context.Context, *sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	db.limit = 0
	for name, tt := range map[string]struct {
		transact func(context.Context, func(context.Context, *sql.Tx) error) error
		limited  bool
	}{
		"everyday": {db.try, true}, // which Transact repeats
		"long":     {db.TransactLong, false},
		"one try":  {db.Try, false},
	} {
		err := tt.transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `SELECT pg_sleep(0.01)`)
			return err
		})
		if errors.Is(err, context.DeadlineExceeded) != tt.limited || !tt.limited && err != nil {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestAPasswordThatCutsTheURLIsNotShown(t *testing.T) {
	for _, address := range []string{
		"postgres://u:1234/5secret@db/x", "postgres://u:12#secret@db/x", "postgres://u:12?secret@db/x", "postgres://u:secret@db:port/x", "u:secret@db",
	} {
		if _, err := Open(address); err == nil {
			t.Errorf("%s can be opened", address)
		}
		if shown := Public(address); strings.Contains(shown, "secret") {
			t.Errorf("%s is shown as %s", address, shown)
		}
	}
	const fine = "postgres://u:p%40%2F%23@db:5432/x?sslmode=disable"
	open(t, fine)
	if shown := Public(fine); shown != "postgres://u@db:5432/x?sslmode=disable" {
		t.Errorf("it is shown as %s", shown)
	}
}
