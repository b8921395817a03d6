package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"poolfill/internal/pgtest"
	"poolfill/reader/verdict"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openIn(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), dir)
	return closed(t, l, err)
}

func openURL(t *testing.T, url string) *Ledger {
	t.Helper()
	l, err := OpenURL(context.Background(), url)
	return closed(t, l, err)
}

// closed has a ledger closed after the test.
func closed(t *testing.T, l *Ledger, err error) *Ledger {
	t.Helper()
	check(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// onEach runs a test on each kind of database. open opens the test's ledger as
// another process would each time.
func onEach(t *testing.T, test func(t *testing.T, open func() *Ledger)) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		test(t, func() *Ledger { return openIn(t, dir) })
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.URL(t)
		test(t, func() *Ledger { return openURL(t, url) })
	})
}

func begin(t *testing.T, l *Ledger, name string) Run {
	t.Helper()
	r, err := l.Begin(Run{
		Name: name, Server: "https://toloka.dev", Pool: "7", Mode: "async", Key: "7", Guard: "file",
		Settings: []byte{1, 2}, Command: "poolfill upload a.tsv --pool 7",
		Files: []File{{Path: "/data/a.tsv", Size: 10, Modified: time.Unix(5, 7), Ends: []byte{3}}},
	})
	check(t, err)
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// result is what came of a chunk, and its rows, which can still be changed.
func result(number, n int, status Status) (Result, []Row) {
	rows := make([]Row, n)
	r := Result{Chunk: number, Sum: Key{byte(number), 9}, Keys: make([]Key, n), Rows: each(rows)}
	for i := range n {
		r.Keys[i] = Key{byte(number), byte(i)}
		rows[i] = Row{Line: int64(number*n + i + 2), Record: int64(number*n + i + 1), Status: status, TaskID: fmt.Sprintf("task-%d-%d", number, i)}
	}
	return r, rows
}

// finish keeps that all n rows of a run's first chunk are created.
func finish(t *testing.T, l *Ledger, run Run, n int) {
	t.Helper()
	r, _ := result(0, n, Created)
	check(t, l.Finish(run, r))
}

func sending(l *Ledger, run Run, r Result, operation string) error {
	rows := func(yield func(*Row) bool) {
		for row := range r.Rows {
			if !yield(&Row{File: row.File, Line: row.Line, Record: row.Record, Status: InDoubt}) {
				return
			}
		}
	}
	return l.Sending(run, Attempt{
		Chunk: r.Chunk, Sum: r.Sum, Keys: r.Keys, Rows: rows, Operation: operation, Tasks: len(r.Keys), Sent: time.UnixMilli(1000),
	})
}

func TestARunIsThereAfterItsProcess(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		run := begin(t, l, "aaaa1111")
		finished, finishedRows := result(0, 3, Created)
		doubtful, _ := result(1, 2, Created)
		check(t, sending(l, run, finished, "op-0"))
		check(t, sending(l, run, doubtful, "op-1"))
		check(t, l.Finish(run, finished))
		check(t, l.Aside(run, each([]Row{{Line: 50, Record: 49, Status: Rejected, Raw: []byte("x\ty"), Findings: []verdict.Finding{{Code: "VALUE_REQUIRED", Line: 50}}}})))

		// A second process sees it while the first is still there, and after it.
		other := open()
		found, err := other.Find(ctx, "aaaa")
		check(t, err)
		if found.State != Running || found.Attempts != 1 || len(found.Files) != 1 || !found.Files[0].Modified.Equal(time.Unix(5, 7)) {
			t.Fatalf("found %+v", found)
		}
		c, known, err := other.Chunk(ctx, run.ID, 0)
		check(t, err)
		if !known || !c.Finished || !c.Ended || c.Sum != finished.Sum || !c.Sent.IsZero() {
			t.Fatalf("the finished chunk is %+v, known: %v", c, known)
		}
		if diff := cmp.Diff(finishedRows, c.Rows); diff != "" {
			t.Error(diff)
		}
		c, known, err = other.Chunk(ctx, run.ID, 1)
		check(t, err)
		if !known || c.Finished || c.Ended || c.Sent != time.UnixMilli(1000) || !cmp.Equal(c.Operations, []string{"op-1"}) {
			t.Fatalf("the chunk in doubt is %+v, known: %v", c, known)
		}
		if _, known, err = other.Chunk(ctx, run.ID, 2); known || err != nil {
			t.Fatalf("a chunk that never was: known %v, %v", known, err)
		}

		counts := map[Status]int{}
		check(t, other.Rows(ctx, run.ID, func(rows []Row) error {
			for _, r := range rows {
				counts[r.Status]++
			}
			return nil
		}))
		if diff := cmp.Diff(map[Status]int{Created: 3, InDoubt: 2, Rejected: 1}, counts); diff != "" {
			t.Error(diff)
		}

		// Another attempt reads the rejected rows again.
		again, err := other.Continue(found)
		check(t, err)
		if again.Attempts != 2 {
			t.Errorf("%d attempts", again.Attempts)
		}
		clear(counts)
		check(t, other.Rows(ctx, run.ID, func(rows []Row) error {
			for _, r := range rows {
				counts[r.Status]++
			}
			return nil
		}))
		if counts[Rejected] != 0 || counts[Created] != 3 {
			t.Errorf("after the continuation: %v", counts)
		}
	})
}

func TestAttemptsEndWithTheirChunk(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		status Status
		doubts int
		ended  string
	}{
		{"created", Created, 0, "finished"},
		{"rejected", Rejected, 0, "finished"},
		{"unsent", Unsent, 0, "open"},
		{"in doubt", InDoubt, 1, "open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, open func() *Ledger) {
				l := open()
				run := begin(t, l, "r")
				r, rows := result(4, 2, Created)
				rows[1].Status = tt.status
				check(t, sending(l, run, r, "op"))
				check(t, sending(l, run, r, "op")) // the same attempt again
				check(t, l.Finish(run, r))
				doubts, err := l.Doubts(ctx, run.ID)
				check(t, err)
				if len(doubts) != tt.doubts {
					t.Errorf("%d attempts in doubt, want %d", len(doubts), tt.doubts)
				}
				c, _, err := l.Chunk(ctx, run.ID, 4)
				check(t, err)
				if c.Finished != (tt.ended == "finished") {
					t.Errorf("finished: %v", c.Finished)
				}
			})
		})
	}
}

func TestTasksNamesAndStrays(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		run := begin(t, l, "r")
		r, rows := result(0, 3, Created)
		rows[1].Status = Rejected
		check(t, l.Finish(run, r))
		var tasks []Task
		check(t, l.Tasks(ctx, run.ID, func(k Task) error { tasks = append(tasks, k); return nil }))
		want := []Task{{Key: r.Keys[0], ID: "task-0-0"}, {Key: r.Keys[2], ID: "task-0-2"}}
		if diff := cmp.Diff(want, tasks); diff != "" {
			t.Error(diff)
		}

		other, _ := result(1, 1, Created)
		check(t, sending(l, run, other, "op"))
		doubts, err := l.Doubts(ctx, run.ID)
		check(t, err)
		check(t, l.Settle(doubts[0], []Stray{{TaskID: "stray", Content: [16]byte{8}}}))
		if doubts, err = l.Doubts(ctx, run.ID); err != nil || len(doubts) != 0 {
			t.Errorf("doubts %v, %v", doubts, err)
		}
		ids := []string{"task-0-0", "stray", "task-1-0", "task-9-9"}
		named, err := l.Named(ctx, run.Server, run.Pool, time.Now().Add(-time.Minute), ids)
		check(t, err)
		if !named["task-0-0"] || !named["stray"] || named["task-1-0"] || named["task-9-9"] {
			t.Errorf("named %v", named)
		}
		if named, err = l.Named(ctx, run.Server, "8", time.Time{}, ids); err != nil || named["task-0-0"] {
			t.Errorf("another pool: %v, %v", named, err)
		}
	})
}

func isA[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

func TestWhatIsNoLedgerIsLeftAlone(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		is    func(error) bool
	}{
		{"newer", func(t *testing.T, path string) { execIn(t, path, "PRAGMA user_version=99") }, isA[*NewerError]},
		{"older, with other keys", func(t *testing.T, path string) { execIn(t, path, "PRAGMA user_version=1") }, isA[*OlderError]},
		{"of another program", func(t *testing.T, path string) { execIn(t, path, "PRAGMA application_id=5") }, isA[*DamagedError]},
		{"no database", func(t *testing.T, path string) {
			check(t, os.WriteFile(path, []byte("this is a letter to my aunt, and it is long enough to be read as the head of a file"), 0o600))
		}, isA[*DamagedError]},
		{"overwritten in the middle", func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			check(t, err)
			_, err = f.WriteAt(make([]byte, 6000), 4096)
			check(t, errors.Join(err, f.Close()))
		}, isA[*DamagedError]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l := openIn(t, dir)
			run := begin(t, l, "r")
			finish(t, l, run, 50)
			check(t, l.Close())
			path := filepath.Join(dir, FileName)
			tt.spoil(t, path)
			before, err := os.ReadFile(path)
			check(t, err)
			_, err = Open(ctx, dir)
			if !tt.is(err) {
				t.Errorf("the error is %v", err)
			}
			after, err := os.ReadFile(path)
			check(t, err)
			if string(before) != string(after) {
				t.Error("the file was changed")
			}
		})
	}
}

func execIn(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	check(t, err)
	_, err = db.ExecContext(context.Background(), statement)
	check(t, errors.Join(err, db.Close()))
}

func TestFind(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		if _, err := l.Find(ctx, ""); err == nil {
			t.Error("an empty ledger has a run")
		}
		begin(t, l, "ab12")
		begin(t, l, "ab34")
		for name, want := range map[string]string{"": "ab34", "ab1": "ab12", "ab34": "ab34"} {
			if r, err := l.Find(ctx, name); err != nil || r.Name != want {
				t.Errorf("%q finds %q, %v", name, r.Name, err)
			}
		}
		for name, found := range map[string]int{"ab": 2, "x": 0, "%": 0} {
			var unknown *UnknownRunError
			if _, err := l.Find(ctx, name); !errors.As(err, &unknown) || unknown.Found != found {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestPrune(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		over, unended := begin(t, l, "over"), begin(t, l, "open")
		finish(t, l, over, 100)
		check(t, l.End(over, "finished", []byte("{}")))
		finish(t, l, unended, 100)
		for _, step := range []struct {
			before     time.Time
			unfinished bool
			pruned     int64
		}{
			{time.Now().Add(-time.Hour), true, 0},
			{time.Now().Add(time.Hour), false, 1},
			{time.Now().Add(time.Hour), true, 1},
		} {
			n, err := l.Prune(ctx, step.before, step.unfinished)
			check(t, err)
			if n != step.pruned {
				t.Errorf("%+v: pruned %d", step, n)
			}
		}
		var left int
		check(t, l.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM file) + (SELECT count(*) FROM run)").Scan(&left))
		if left != 0 {
			t.Errorf("%d rows are left", left)
		}
	})
}

func TestWritersTogether(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		run := begin(t, l, "r")
		var wg sync.WaitGroup
		errs := make([]error, 40)
		for i := range errs {
			wg.Go(func() {
				r, _ := result(i, 5, Created)
				errs[i] = errors.Join(sending(l, run, r, "op"), l.Finish(run, r))
			})
		}
		// One that can't be carried out doesn't take the others with it.
		wg.Go(func() {
			r, _ := result(0, 1, Created)
			if err := l.Finish(Run{ID: 999}, r); err == nil {
				t.Error("a chunk of no run was kept")
			}
		})
		wg.Wait()
		check(t, errors.Join(errs...))
		n := 0
		check(t, l.Tasks(ctx, run.ID, func(Task) error { n++; return nil }))
		if n != 200 {
			t.Errorf("%d tasks", n)
		}
	})
}

func TestSizeOfARow(t *testing.T) {
	const chunks, tasks = 50, 2000
	dir := t.TempDir()
	l := openIn(t, dir)
	run := begin(t, l, "r")
	random := rand.New(rand.NewPCG(1, 2))
	for number := range chunks {
		rows := make([]Row, tasks)
		r := Result{Chunk: number, Keys: make([]Key, tasks), Rows: each(rows)}
		for i := range tasks {
			for j := range r.Keys[i] {
				r.Keys[i][j] = byte(random.Uint32())
			}
			n := number*tasks + i
			// As Toloka writes them: a number of the pool, then a counter in hex.
			rows[i] = Row{Line: int64(n + n/50), Record: int64(n), Status: Created, TaskID: fmt.Sprintf("00012f4c3e--65d3c1%018x", n*3)}
		}
		check(t, sending(l, run, r, fmt.Sprintf("5b3a0a52-8f0e-5d5c-9c39-%012x", number)))
		check(t, l.Finish(run, r))
	}
	check(t, l.Close())
	info, err := os.Stat(filepath.Join(dir, FileName))
	check(t, err)
	perRow := float64(info.Size()) / (chunks * tasks)
	t.Logf("%.1f bytes a row", perRow)
	if perRow >= 60 {
		t.Errorf("%.1f bytes a row", perRow)
	}
}

func TestRowsComeBack(t *testing.T) {
	c, err := newCodec()
	check(t, err)
	text := rapid.StringN(0, 20, -1)
	row := rapid.Custom(func(t *rapid.T) Row {
		r := Row{
			File: rapid.IntRange(0, 300).Draw(t, "file"), Line: rapid.Int64().Draw(t, "line"), Record: rapid.Int64().Draw(t, "record"),
			Status: rapid.SampledFrom([]Status{Created, Rejected, Duplicate, Unsent, InDoubt}).Draw(t, "status"),
			TaskID: text.Draw(t, "id"),
		}
		if rapid.Bool().Draw(t, "detailed") {
			r.Reason, r.Raw = text.Draw(t, "reason"), []byte(text.Draw(t, "raw")+"\xff")
			r.Findings = []verdict.Finding{{Stage: verdict.StageServer, Line: r.Line, Code: text.Draw(t, "code"), Message: text.Draw(t, "message")}}
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(row).Draw(t, "rows")
		p := c.packer()
		defer p.release()
		blob, err := p.pack(each(rows))
		if err != nil {
			t.Fatal(err)
		}
		back, err := c.unpack(blob, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > 0 && !cmp.Equal(rows, back) {
			t.Fatal(cmp.Diff(rows, back))
		}
		// A blob that lost its end is no blob.
		if cut, err := c.unpack(blob[:len(blob)/2], nil); err == nil && len(cut) == len(rows) && len(rows) > 0 {
			t.Fatal("half a blob was read")
		}
	})
}

// The keys of a chunk are kept once: by Sending, or by Finish where that was not
// called.
func TestKeysAreKeptOnce(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		run := begin(t, l, "r")
		r, _ := result(0, 3, Created)
		keys := r.Keys
		check(t, sending(l, run, r, "op"))
		r.Keys, r.Sum = nil, Key{}
		check(t, l.Finish(run, r))
		c, _, err := l.Chunk(ctx, run.ID, 0)
		check(t, err)
		if !cmp.Equal(c.Keys, keys) || c.Sum != (Key{0, 9}) || !c.Finished {
			t.Errorf("the chunk is %+v", c)
		}
		other, _ := result(1, 3, Created)
		other.Keys = nil
		if err := l.Finish(run, other); err == nil {
			t.Error("a chunk without keys was kept")
		}
		longer, _ := result(0, 4, Created)
		if err := l.Finish(run, longer); err == nil {
			t.Error("a chunk was finished with more rows than were sent")
		}
		if err := sending(l, run, longer, "op"); err == nil {
			t.Error("another chunk was sent under the number of one that was sent")
		}
		other.Keys = make([]Key, 2)
		if err := sending(l, run, other, "op"); err == nil {
			t.Error("a chunk with too few keys was kept")
		}
	})
}

func TestIDsComeBack(t *testing.T) {
	c, err := newCodec()
	check(t, err)
	hexID := rapid.StringMatching(`0001[0-9a-f]{4,40}`)
	kinds := map[string]*rapid.Generator[string]{
		"server": rapid.StringMatching(`00012f--[0-9a-f]{9}`), "uuid": rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}`),
		"upper case": rapid.StringMatching(`00012f--[0-9a-fA-F]{9}`), "of any length": hexID, "any": rapid.StringN(1, 100, -1),
		"short": rapid.StringMatching(`[0-9]{1,7}`), "one": rapid.Just("00012f--17"), "long": rapid.StringMatching(`[0-9a-f]{64,66}`),
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				rows := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Row {
					r := Row{Record: int64(rapid.IntRange(0, 3).Draw(t, "record")), Status: Created}
					if rapid.IntRange(0, 9).Draw(t, "has an id") > 0 {
						r.TaskID = kind.Draw(t, "id")
					}
					return r
				})).Draw(t, "rows")
				p := c.packer()
				defer p.release()
				blob, err := p.pack(each(rows))
				if err != nil {
					t.Fatal(err)
				}
				back, err := c.unpack(blob, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(rows) > 0 && !cmp.Equal(rows, back) {
					t.Fatal(cmp.Diff(rows, back))
				}
				// One bit that changed is noticed.
				blob[rapid.IntRange(0, len(blob)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				if _, err := c.unpack(blob, nil); err == nil {
					t.Fatal("a damaged blob was read")
				}
			})
		})
	}
}

// each gives the elements of a slice.
func each(rows []Row) iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		for i := range rows {
			if !yield(&rows[i]) {
				return
			}
		}
	}
}

func TestOnlyTheLatestAttemptWrites(t *testing.T) {
	dir := t.TempDir()
	l, other := openIn(t, dir), openIn(t, dir)
	first := begin(t, l, "job/1")
	chunk, _ := result(0, 3, Created)
	check(t, sending(l, first, chunk, "op"))
	aside := []Row{{Line: 9, Record: 8, Status: Rejected}}
	check(t, l.Aside(first, each(aside)))
	second, err := other.Continue(first)
	check(t, err)
	for what, err := range map[string]error{
		"sending": sending(l, first, chunk, "op2"), "finish": l.Finish(first, chunk), "aside": l.Aside(first, each(aside)),
		"end": l.End(first, "finished", nil), "abandon": l.Abandon(first),
	} {
		var taken *TakenOverError
		if !errors.As(err, &taken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	run, found, err := other.Called(context.Background(), "job/1")
	check(t, err)
	if c, _, err := other.Chunk(context.Background(), run.ID, 0); err != nil || !found || run.State != Running || c.Ended || len(c.Operations) != 1 {
		t.Errorf("the run is %+v, its chunk %+v (%v)", run, c, err)
	}
	check(t, other.Finish(second, chunk))
	check(t, other.End(second, "finished", nil))
	// Both have read the run as it was: each still is an attempt of its own.
	a, err := l.Continue(first)
	check(t, err)
	b, err := other.Continue(first)
	check(t, err)
	if a.Attempts != 3 || b.Attempts != 4 {
		t.Errorf("attempts %d and %d", a.Attempts, b.Attempts)
	}
}

func TestANameGoesBeforeLongerOnes(t *testing.T) {
	l := openIn(t, t.TempDir())
	for _, name := range []string{"job/1", "job/10", "job/11"} {
		begin(t, l, name)
	}
	if run, err := l.Find(context.Background(), "job/1"); err != nil || run.Name != "job/1" {
		t.Errorf("found %q, %v", run.Name, err)
	}
	if _, found, err := l.Called(context.Background(), "job/"); err != nil || found {
		t.Errorf("part of a name is a name (%v)", err)
	}
}

func TestAnOlderLedgerWithoutRunsIsBroughtUpToDate(t *testing.T) {
	dir := t.TempDir()
	check(t, openIn(t, dir).Close())
	execIn(t, filepath.Join(dir, FileName), "PRAGMA user_version=1")
	l := openIn(t, dir)
	finish(t, l, begin(t, l, "r"), 1)
	check(t, l.Close())
	check(t, openIn(t, dir).Close()) // which has runs now
}
