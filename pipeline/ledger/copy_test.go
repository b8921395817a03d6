package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poolfill/internal/pgtest"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// tablesOf are those with what belongs to a run.
func tablesOf() []string {
	return []string{"run", "file", "chunk", "chunk_keys", "attempt", "segment", "stray", "report"}
}

// contents gives all that a ledger holds, but the numbers that it has given, and what
// depends on them.
func contents(t *testing.T, l *Ledger) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, table := range tablesOf() {
		rows, err := l.store.db.QueryContext(t.Context(), `SELECT * FROM `+table)
		check(t, err)
		columns, err := rows.Columns()
		check(t, err)
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			check(t, rows.Scan(into...))
			row := ""
			for i, column := range columns {
				switch v := values[i].(type) {
				case nil:
					row += fmt.Sprintf(" %s=%x", column, []byte{})
				case []byte:
					if column != "tallies" {
						row += fmt.Sprintf(" %s=%x", column, v)
					}
				default:
					if column != "run_id" && column != "id" && column != "checksum" {
						row += fmt.Sprintf(" %s=%v", column, v)
					}
				}
			}
			all[table] = append(all[table], row)
		}
		check(t, errors.Join(rows.Err(), rows.Close()))
		slices.Sort(all[table])
	}
	return all
}

// filled gives a ledger something of everything.
func filled(t *testing.T, l *Ledger) {
	t.Helper()
	ctx := context.Background()
	gone := begin(t, l, "gone") // so that the numbers are other ones
	check(t, l.Entry(gone).Abandon())
	for i, name := range []string{"one", "two", "three"} {
		run := begin(t, l, name)
		for number := range 3 {
			r, rows := result(number, 4, verdict.Created)
			rows[number].Status = []verdict.Status{verdict.Rejected, verdict.Unsent, verdict.Unsent}[number]
			rows[number].InDoubt = number == 2
			check(t, sending(l, run, r, fmt.Sprint("op", number)))
			check(t, l.Entry(run).Finish(r))
		}
		last, _ := result(7, 2, verdict.Created)
		check(t, sending(l, run, last, "lost"))
		other, _ := result(8, 1, verdict.Created)
		check(t, sending(l, run, other, "stray"))
		doubts, err := l.Doubts(ctx, run.ID)
		check(t, err)
		check(t, l.Settle(doubts[len(doubts)-1], []Stray{{TaskID: "s1", Content: [16]byte{1}}, {TaskID: "s2"}}))
		check(t, l.Entry(run).Aside([]verdict.Verdict{{Position: verdict.Position{File: fileName, Line: 91, Record: 90}, Status: verdict.Rejected, Raw: []byte("a\x00\xff")}}))
		check(t, l.Entry(run).Opened(reader.Info{SHA256: "abc", File: "/data/a.tsv"}))
		if i == 0 {
			check(t, l.Entry(run).End("finished", []byte(`{"totals":{}}`)))
		}
	}
	bare, err := l.Begin(Run{Name: "bare", Files: []File{{Path: "-"}}})
	check(t, err)
	_, err = l.Continue(context.Background(), bare)
	check(t, err)
}

func nothingElse(context.Context, *sql.Tx, *sql.Tx) error { return nil }

func TestACopyHasAllOfALedger(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		from, to := open(), openURL(t, pgtest.URL(t))
		filled(t, from)
		begin(t, to, "theirs")
		copied, err := from.CopyTo(ctx, to, nothingElse)
		check(t, err)
		want := Copied{Runs: 4, Files: 4, Chunks: 15, Keys: 15, Attempts: 6, Segments: 3, Strays: 6}
		if diff := cmp.Diff(want, copied); diff != "" {
			t.Error(diff)
		}
		theirs, err := to.Find(ctx, "theirs")
		check(t, err)
		check(t, to.Entry(theirs).Abandon())
		if diff := cmp.Diff(contents(t, from), contents(t, to)); diff != "" {
			t.Error(diff)
		}
		// The copy goes on where the other was.
		latest, err := to.Find(ctx, "")
		check(t, err)
		if latest.Name != "bare" || latest.Attempts != 2 {
			t.Errorf("the latest run is %+v", latest)
		}
		begin(t, to, "after")
	})
}

func TestACopyIsWholeOrNothing(t *testing.T) {
	ctx := context.Background()
	from, to := openIn(t, t.TempDir()), openURL(t, pgtest.URL(t))
	filled(t, from)
	broken := errors.New("broken")
	if _, err := from.CopyTo(ctx, to, func(context.Context, *sql.Tx, *sql.Tx) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	begin(t, to, "two")
	before := contents(t, to)
	var exists *RunExistsError
	if _, err := from.CopyTo(ctx, to, nothingElse); !errors.As(err, &exists) || exists.Name != "two" {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff(before, contents(t, to)); diff != "" {
		t.Error(diff)
	}
	if runs, err := from.Runs(ctx, "", ""); err != nil || len(runs) != 4 {
		t.Errorf("%d runs are left, %v", len(runs), err)
	}
}

// A table that is new must be copied too.
func TestACopyKnowsAllTables(t *testing.T) {
	l := openIn(t, t.TempDir())
	known := append(tablesOf(), "census") // which the other ledger has of its own
	rows, err := l.store.db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table'`)
	check(t, err)
	for rows.Next() {
		var name string
		check(t, rows.Scan(&name))
		if !slices.Contains(known, name) {
			t.Errorf("the table %s is not copied", name)
		}
	}
	check(t, errors.Join(rows.Err(), rows.Close()))
}

// A path of a file is not always a text that PostgreSQL takes.
func TestPathsOfAnyBytes(t *testing.T) {
	l := openURL(t, pgtest.URL(t))
	run, err := l.Begin(Run{Name: "r", Command: "poolfill upload \xff", Files: []File{{Path: "/data/\xff.tsv", Modified: time.Now()}}})
	check(t, err)
	if _, err := l.Continue(context.Background(), run); err != nil {
		t.Error(err)
	}
}
