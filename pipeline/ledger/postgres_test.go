package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"poolfill/internal/pgtest"
	"poolfill/internal/postgres"
	"poolfill/reader/verdict"
)

// Processes that come to an empty database together make its tables once.
func TestManyMakeTheTablesAtOnce(t *testing.T) {
	address := pgtest.URL(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			l, err := OpenURL(context.Background(), address)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = l.Begin(Run{Name: fmt.Sprint(i)})
			if err := errors.Join(err, l.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs, err := openURL(t, address).Runs(context.Background(), "", ""); err != nil || len(runs) != 8 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
}

// Two processes keep what came of one run's chunks, and both see all of it.
func TestProcessesShareARun(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		one, two := open(), open()
		run := begin(t, one, "r")
		var wg sync.WaitGroup
		for i, l := range []*Ledger{one, two} {
			for j := range 20 {
				wg.Go(func() {
					r, _ := result(2*j+i, 5, verdict.Created)
					if err := errors.Join(sending(l, run, r, "op"), l.Entry(run).Finish(r)); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for _, l := range []*Ledger{one, two} {
			n := 0
			check(t, l.Tasks(context.Background(), run, func(Task) error { n++; return nil }))
			if n != 200 {
				t.Errorf("%d tasks", n)
			}
		}
	})
}

// Of two processes that go on with a run, the later one does.
func TestARunIsContinuedByOneProcess(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		one, two := open(), open()
		run := begin(t, one, "r")
		first, err := one.Continue(context.Background(), run)
		check(t, err)
		second, err := two.Continue(context.Background(), run)
		check(t, err)
		r, _ := result(0, 5, verdict.Created)
		var taken *TakenOverError
		if err := one.Entry(first).Finish(r); !errors.As(err, &taken) {
			t.Errorf("the first one writes on: %v", err)
		}
		check(t, two.Entry(second).Finish(r))
		if _, err := one.Begin(Run{Name: "r"}); err == nil {
			t.Error("two runs have one name")
		}
	})
}

// Changes and questions wait for a database that is restarted under them, and
// each change is kept once.
func TestTheDatabaseIsRestartedDuringUse(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Start(t)
	l := openURL(t, server.URL("postgres"))
	run := begin(t, l, "r")
	const writers, chunks = 4, 60
	var wg sync.WaitGroup
	begun := make(chan struct{}, writers*chunks)
	for i := range writers {
		wg.Go(func() {
			for j := range chunks {
				number := i*chunks + j
				r, rows := result(number, 5, verdict.Created)
				rows[4].Status, rows[4].TaskID = verdict.Unsent, ""
				if err := errors.Join(sending(l, run, r, "op"), l.Entry(run).Finish(r), l.Entry(run).Aside(rows[4:])); err != nil {
					t.Error(err)
				}
				if _, known, err := l.Entry(run).Chunk(ctx, number); err != nil || !known {
					t.Errorf("chunk %d, known %v: %v", number, known, err)
				}
				begun <- struct{}{}
			}
		})
	}
	for range 2 {
		for range writers * chunks / 4 {
			<-begun
		}
		server.Kill()
		server.Restart()
	}
	wg.Wait()
	got := map[verdict.Status]int{}
	check(t, l.Rows(ctx, run, func(rows []verdict.Verdict) error {
		for _, r := range rows {
			got[r.Status]++
		}
		return nil
	}))
	// Each unsent row is in its chunk and in a segment.
	if got[verdict.Created] != writers*chunks*4 || got[verdict.Unsent] != writers*chunks*2 {
		t.Errorf("the rows are %v", got)
	}
}

func TestErrorsOfADatabaseAreForPeople(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Start(t)
	good, err := url.Parse(server.URL("postgres"))
	check(t, err)
	password, _ := good.User.Password()
	wrong, gone := *good, *good
	wrong.User = url.UserPassword("poolfill", password+"x")
	gone.Host = "127.0.0.1:1"
	l := openURL(t, good.String())
	execute := func(statement string) {
		_, err := l.DB().ExecContext(ctx, statement)
		check(t, err)
	}
	execute("CREATE DATABASE theirs")
	other := strings.Replace(good.String(), "/postgres?", "/theirs?", 1)
	theirs, err := postgres.Open(other)
	check(t, err)
	_, err = theirs.ExecContext(ctx, "CREATE TABLE run (id int)")
	check(t, errors.Join(err, theirs.Close()))

	for _, tt := range []struct{ name, address, want string }{
		{"no URL", "host=localhost password=" + password, "can't be read"},
		{"a broken URL", strings.Replace(good.String(), "@127.0.0.1", "@127.0.0.1:bad", 1), "can't be read"},
		{"wrong password", wrong.String(), "doesn't let this user in"},
		{"no server", gone.String(), "can't be reached"},
		{"no such database", strings.Replace(good.String(), "/postgres?", "/missing?", 1), "there is no such database"},
		{"somebody else's", other, "tables of another program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := OpenURL(ctx, tt.address)
			if err == nil {
				t.Fatal(errors.Join(errors.New("it was opened"), l.Close()))
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), url.QueryEscape(password)) {
				t.Errorf("the error is %v", err)
			}
		})
	}

	execute("INSERT INTO ledger_version VALUES (99)")
	var newer *NewerError
	if _, err := OpenURL(ctx, good.String()); !errors.As(err, &newer) || !strings.Contains(err.Error(), "another database") || strings.Contains(err.Error(), password) {
		t.Errorf("the error is %v", err)
	}
	execute("ALTER DATABASE theirs SET default_transaction_read_only = on")
	if _, err := OpenURL(ctx, other); err == nil || !strings.Contains(err.Error(), "can only be read") {
		t.Errorf("the error is %v", err)
	}
}

// A pool is held over a restart of the database; nothing is sent to it any more
// where another machine has got it meanwhile.
func TestAPoolIsHeldOverARestart(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Start(t)
	one, two := openURL(t, server.URL("postgres")), openURL(t, server.URL("postgres"))
	run := begin(t, one, "r")
	hold := func(l *Ledger, want bool) func() error {
		t.Helper()
		release, held, err := l.HoldPool(ctx, run.Server, run.Pool)
		check(t, err)
		if held != want {
			t.Fatalf("held: %v, want %v", held, want)
		}
		return release
	}
	send := func(chunk int) error {
		r, _ := result(chunk, 5, verdict.Created)
		return sending(one, run, r, "op")
	}
	release := hold(one, true)
	check(t, send(0))
	server.Kill()
	server.Restart()
	check(t, send(1))
	hold(two, false)

	server.Kill()
	server.Restart()
	other := hold(two, true)
	var taken *PoolTakenError
	if err := send(2); !errors.As(err, &taken) || taken.Pool != run.Pool {
		t.Errorf("a chunk of a run that has lost its pool: %v", err)
	}
	if _, known, err := one.Entry(run).Chunk(ctx, 2); err != nil || known {
		t.Errorf("the chunk is known: %v, %v", known, err)
	}
	check(t, one.Entry(run).End("failed", nil)) // what was sent is still kept
	check(t, release())
	check(t, other())
	check(t, hold(two, true)())
}

// patient is a dialect that counts what takes as long as it takes.
type patient struct {
	dialect
	waited int
}

func (p *patient) long(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	p.waited++
	return p.dialect.long(ctx, do)
}

func TestToPruneTakesAsLongAsItTakes(t *testing.T) {
	l := openURL(t, pgtest.URL(t))
	p := &patient{dialect: l.store.dialect}
	l.store.dialect = p
	check(t, l.Entry(begin(t, l, "r")).End("finished", nil))
	if n, err := l.Prune(context.Background(), time.Now().Add(time.Hour), false); n != 1 || err != nil || p.waited != 1 {
		t.Errorf("%d runs were forgotten, %v, in %d long transactions", n, err, p.waited)
	}
}
