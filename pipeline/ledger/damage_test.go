package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poolfill/internal/pgtest"
	"poolfill/reader/verdict"
)

// known is all that decides about sending, as the ledger gives it to those who
// continue a run, or begin another one.
type known struct {
	Runs    []Run
	Called  map[string]Run
	Chunks  map[string][]Chunk
	Tasks   map[string][]Task
	Strays  map[string][]Stray
	Doubts  map[string][]Doubt
	Named   map[string]bool
	Rows    map[string][]verdict.Verdict
	Resumed int // attempts of the run that was continued
}

// learn reads it, in the way in which package pipeline does.
func learn(l *Ledger, names []string) (k known, err error) {
	ctx := context.Background()
	k = known{
		Called: map[string]Run{}, Chunks: map[string][]Chunk{}, Tasks: map[string][]Task{}, Strays: map[string][]Stray{},
		Doubts: map[string][]Doubt{}, Rows: map[string][]verdict.Verdict{},
	}
	if k.Runs, err = l.Runs(ctx, "https://toloka.dev", "7"); err != nil {
		return k, err
	}
	for _, name := range names {
		run, found, err := l.Called(ctx, name)
		if err != nil {
			return k, err
		}
		if !found {
			continue
		}
		k.Called[name] = run
		for number := range 10 {
			c, _, err := l.Entry(run).Chunk(ctx, number)
			if err != nil {
				return k, err
			}
			k.Chunks[name] = append(k.Chunks[name], c)
		}
		doubts, err := l.Doubts(ctx, run.ID)
		k.Doubts[name] = doubts
		err = errors.Join(err,
			l.Tasks(ctx, run, func(t Task) error { k.Tasks[name] = append(k.Tasks[name], t); return nil }),
			l.Strays(ctx, run.ID, func(s Stray) error { k.Strays[name] = append(k.Strays[name], s); return nil }),
			l.Rows(ctx, run, func(rows []verdict.Verdict) error { k.Rows[name] = append(k.Rows[name], rows...); return nil }),
		)
		if err != nil {
			return k, err
		}
	}
	if k.Named, err = l.Named(ctx, "https://toloka.dev", "7", time.Time{}, []string{"task-0-0", "task-2-1", "s1", "task-9-9"}); err != nil {
		return k, err
	}
	run, err := l.Continue(ctx, k.Called["two"])
	k.Resumed = run.Attempts
	return k, err
}

var damagedRuns = []string{"one", "two", "three", "bare", "none"}

// flipped are the columns whose values decide about sending.
func flipped() map[string][]string {
	return map[string][]string{
		"census":     {"runs", "sum", "checksum"},
		"run":        {"id", "name", "server", "pool", "mode", "run_key", "guard", "settings", "command", "state", "attempts", "started", "ended", "created", "rejected", "chunks", "tallies", "checksum"},
		"file":       {"run_id", "number", "path", "size", "modified", "ends", "sha256", "info", "checksum"},
		"chunk":      {"run_id", "number", "sum", "state", "tasks", "created", "rejected", "unsent", "sent", "ended", "first_file", "first_record", "results", "checksum"},
		"chunk_keys": {"run_id", "chunk", "keys", "checksum"},
		"attempt":    {"run_id", "chunk", "operation", "generation", "tasks", "sent", "checksum"},
		"segment":    {"run_id", "first_file", "first_record", "body", "checksum"},
		"stray":      {"run_id", "task_id", "content", "checksum"},
		"report":     {"run_id", "body", "checksum"},
	}
}

// flip flips a bit of a value.
func flip(value any, random *rand.Rand) (any, string) {
	switch v := value.(type) {
	case int64:
		bit := random.IntN(64)
		return v ^ 1<<bit, fmt.Sprintf("bit %d of %d", bit, v)
	case string:
		if v == "" {
			return "\x01", "an empty text"
		}
		bit := random.IntN(8 * len(v))
		b := []byte(v)
		b[bit/8] ^= 1 << (bit % 8)
		return string(b), fmt.Sprintf("bit %d of %q", bit, v)
	case []byte:
		if len(v) == 0 {
			return []byte{1}, "an empty value"
		}
		bit := random.IntN(8 * len(v))
		b := append([]byte(nil), v...)
		b[bit/8] ^= 1 << (bit % 8)
		return b, fmt.Sprintf("bit %d of %x", bit, v)
	}
	return value, "nothing"
}

// original makes a ledger with runs that finished, that didn't, and with chunks in
// doubt, and returns what it says.
func original(t *testing.T) (content []byte, says known) {
	t.Helper()
	dir := t.TempDir()
	l := openIn(t, dir)
	filled(t, l)
	says, err := learn(l, damagedRuns)
	check(t, err)
	if len(says.Doubts["two"]) == 0 || len(says.Strays["two"]) == 0 || !says.Named["s1"] || len(says.Runs) != 3 || says.Resumed != 2 {
		t.Fatalf("the ledger has too little: %+v", says)
	}
	check(t, l.Close())
	// As it was before the run was continued.
	dir = t.TempDir()
	l = openIn(t, dir)
	filled(t, l)
	check(t, l.Close())
	content, err = os.ReadFile(filepath.Join(dir, FileName))
	check(t, err)
	return content, says
}

// times are other ones in each ledger.
func withoutTimes() cmp.Option {
	return cmp.Transformer("time", func(t time.Time) bool { return t.IsZero() })
}

// A flipped bit in anything that decides about sending is found, or changes nothing.
func TestAFlippedBitIsFound(t *testing.T) {
	content, says := original(t)
	random := rand.New(rand.NewPCG(15, 9))
	found := 0
	for table, columns := range flipped() {
		for _, column := range columns {
			for range 8 {
				dir := t.TempDir()
				path := filepath.Join(dir, FileName)
				check(t, os.WriteFile(path, content, 0o600))
				what := flipOne(t, path, table, column, random)
				l, err := Open(t.Context(), dir)
				if err == nil {
					var got known
					got, err = learn(l, damagedRuns)
					if diff := cmp.Diff(says, got, withoutTimes()); err == nil && diff != "" {
						t.Errorf("%s.%s, %s: it says something else: %s", table, column, what, diff)
					}
					check(t, l.Close())
				}
				switch {
				case isA[*DamagedError](err):
					found++
				case err != nil:
					t.Errorf("%s.%s, %s: %v", table, column, what, err)
				default:
					t.Errorf("%s.%s, %s: not found", table, column, what)
				}
			}
		}
	}
	if found < 500 {
		t.Errorf("only %d flips were found", found)
	}
}

// flipOne flips a bit of one value of a column.
func flipOne(t *testing.T, path, table, column string, random *rand.Rand) (what string) {
	t.Helper()
	db, err := sql.Open("sqlite", path) // without foreign keys
	check(t, err)
	defer func() { check(t, db.Close()) }()
	var rows int
	check(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows))
	var row int64
	var value any
	check(t, db.QueryRowContext(t.Context(), `SELECT rowid, `+column+` FROM `+table+` LIMIT 1 OFFSET $1`, random.IntN(rows)).Scan(&row, &value))
	for {
		other, what := flip(value, random)
		// Some would stand in the place of another row.
		if _, err = db.ExecContext(t.Context(), `UPDATE `+table+` SET `+column+` = $1 WHERE rowid = $2`, other, row); err == nil {
			return fmt.Sprintf("row %d, %s", row, what)
		}
	}
}

// The same in PostgreSQL, whose own checks are told to look away.
func TestAFlippedBitInADatabaseIsFound(t *testing.T) {
	ctx := t.Context()
	l := openURL(t, pgtest.URL(t))
	filled(t, l)
	conn, err := l.store.db.Conn(ctx)
	check(t, err)
	defer func() { check(t, conn.Close()) }()
	_, err = conn.ExecContext(ctx, `SET session_replication_role = replica`)
	check(t, err)
	random := rand.New(rand.NewPCG(15, 9))
	for table, columns := range flipped() {
		for _, column := range columns {
			for range 2 {
				var rows int
				check(t, conn.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&rows))
				var row string
				var value, other any
				check(t, conn.QueryRowContext(ctx, `SELECT ctid::text, `+column+` FROM `+table+` OFFSET $1 LIMIT 1`, random.IntN(rows)).Scan(&row, &value))
				what := ""
				for err = errors.New("not yet"); err != nil; { // Some are no text, or stand in the place of another row.
					other, what = flip(value, random)
					err = conn.QueryRowContext(ctx, `UPDATE `+table+` SET `+column+` = $1 WHERE ctid = $2::tid RETURNING ctid::text`, other, row).Scan(&row)
				}
				if _, err := learn(l, damagedRuns); !isA[*DamagedError](err) {
					t.Errorf("%s.%s, %s: %v", table, column, what, err)
				}
				_, err = conn.ExecContext(ctx, `UPDATE `+table+` SET `+column+` = $1 WHERE ctid = $2::tid`, value, row)
				check(t, err)
			}
		}
	}
	_, err = learn(l, damagedRuns)
	check(t, err)
}

// asked says what a ledger with this content says after a change to its file.
func asked(t *testing.T, content []byte, change func(path string)) (known, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	check(t, os.WriteFile(path, content, 0o600))
	change(path)
	l, err := Open(t.Context(), dir)
	if err != nil {
		return known{}, err
	}
	defer func() { check(t, l.Close()) }()
	return learn(l, damagedRuns)
}

// A block that is gone, or that stands where another one was, is found.
func TestALostBlockIsFound(t *testing.T) {
	content, _ := original(t)
	changes := map[string]string{
		"keys of another chunk": `UPDATE chunk_keys SET (keys, checksum) = (SELECT keys, checksum FROM chunk_keys WHERE run_id = 2 AND chunk = 1) WHERE run_id = 2 AND chunk = 0`,
		"keys of another run":   `UPDATE chunk_keys SET (keys, checksum) = (SELECT keys, checksum FROM chunk_keys WHERE run_id = 3 AND chunk = 0) WHERE run_id = 2 AND chunk = 0`,
		"two chunks swapped":    `UPDATE chunk SET number = CASE number WHEN 0 THEN 100 ELSE 0 END WHERE run_id = 2 AND number IN (0, 1); UPDATE chunk SET number = 1 WHERE number = 100`,
		"a run's own":           `DELETE FROM run WHERE name = 'bare'`,
		"a run of another pool": `UPDATE run SET pool = '8' WHERE name = 'two'`,
	}
	for table := range flipped() {
		for _, row := range []string{"min", "max"} {
			changes["the "+row+" row of "+table] = fmt.Sprintf(`DELETE FROM %s WHERE rowid = (SELECT %s(rowid) FROM %s)`, table, row, table)
		}
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			if _, err := asked(t, content, func(path string) { execIn(t, path, change) }); !isA[*DamagedError](err) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// A bit that flips anywhere in the file changes nothing, or ends the reading.
func TestAFlippedBitOfTheFileIsFound(t *testing.T) {
	content, says := original(t)
	random := rand.New(rand.NewPCG(9, 15))
	for range 300 {
		bit := random.IntN(8 * len(content))
		got, err := asked(t, content, func(path string) {
			damaged := append([]byte(nil), content...)
			damaged[bit/8] ^= 1 << (bit % 8)
			check(t, os.WriteFile(path, damaged, 0o600))
		})
		switch {
		case isA[*DamagedError](err), isA[*NewerError](err), isA[*OlderError](err):
		case err != nil:
			t.Errorf("bit %d of byte %d: %v", bit%8, bit/8, err)
		default:
			if diff := cmp.Diff(says, got, withoutTimes()); diff != "" {
				t.Errorf("bit %d of byte %d: it says something else: %s", bit%8, bit/8, diff)
			}
		}
	}
}
