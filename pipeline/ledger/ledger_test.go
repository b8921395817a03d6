package ledger

import (
	stdcmp "cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"poolfill/internal/pgtest"
	"poolfill/reader/verdict"
)

// fileName is what the file of begin is called.
const fileName = "/data/a.tsv"

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
		Files: []File{{Path: fileName, Size: 10, Modified: time.Unix(5, 7), Ends: []byte{3}}},
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
func result(number, n int, status verdict.Status) (Result, []verdict.Verdict) {
	rows := make([]verdict.Verdict, n)
	r := Result{Chunk: number, Sum: Key{byte(number), 9}, Keys: make([]Key, n), Rows: rows}
	for i := range n {
		r.Keys[i] = Key{byte(number), byte(i)}
		rows[i] = verdict.Verdict{Position: verdict.Position{File: fileName, Line: int64(number*n + i + 2), Record: int64(number*n + i + 1)}, Status: status, TaskID: fmt.Sprintf("task-%d-%d", number, i)}
	}
	return r, rows
}

// finish keeps that all n rows of a run's first chunk are created.
func finish(t *testing.T, l *Ledger, run Run, n int) {
	t.Helper()
	r, _ := result(0, n, verdict.Created)
	check(t, l.Entry(run).Finish(r))
}

func sending(l *Ledger, run Run, r Result, operation string) error {
	return l.Entry(run).Sending(Attempt{
		Chunk: r.Chunk, Sum: r.Sum, Keys: r.Keys, Positions: positions(r.Rows), Operation: operation, Tasks: len(r.Keys), Sent: time.UnixMilli(1000),
	})
}

// positions are those of rows.
func positions(rows []verdict.Verdict) iter.Seq[verdict.Position] {
	return func(yield func(verdict.Position) bool) {
		for i := range rows {
			if !yield(rows[i].Position) {
				return
			}
		}
	}
}

func TestARunIsThereAfterItsProcess(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		ctx := context.Background()
		l := open()
		run := begin(t, l, "aaaa1111")
		finished, finishedRows := result(0, 3, verdict.Created)
		doubtful, _ := result(1, 2, verdict.Created)
		check(t, sending(l, run, finished, "op-0"))
		check(t, sending(l, run, doubtful, "op-1"))
		check(t, l.Entry(run).Finish(finished))
		check(t, l.Entry(run).Aside([]verdict.Verdict{{Position: verdict.Position{File: fileName, Line: 50, Record: 49}, Status: verdict.Rejected, Raw: []byte("x\ty"), Findings: []verdict.Finding{{Code: "VALUE_REQUIRED", Line: 50}}}}))

		// A second process sees it while the first is still there, and after it.
		other := open()
		found, err := other.Find(ctx, "aaaa")
		check(t, err)
		if found.State != Running || found.Attempts != 1 || len(found.Files) != 1 || !found.Files[0].Modified.Equal(time.Unix(5, 7)) {
			t.Fatalf("found %+v", found)
		}
		c, known, err := other.Entry(run).Chunk(ctx, 0)
		check(t, err)
		if !known || !c.Finished || !c.Ended || c.Sum != finished.Sum || !c.Sent.IsZero() {
			t.Fatalf("the finished chunk is %+v, known: %v", c, known)
		}
		if diff := cmp.Diff(finishedRows, c.Rows); diff != "" {
			t.Error(diff)
		}
		c, known, err = other.Entry(run).Chunk(ctx, 1)
		check(t, err)
		if !known || c.Finished || c.Ended || c.Sent != time.UnixMilli(1000) || !cmp.Equal(c.Operations, []string{"op-1"}) {
			t.Fatalf("the chunk in doubt is %+v, known: %v", c, known)
		}
		if _, known, err = other.Entry(run).Chunk(ctx, 2); known || err != nil {
			t.Fatalf("a chunk that never was: known %v, %v", known, err)
		}

		counts, inDoubt := map[verdict.Status]int{}, 0
		check(t, other.Rows(ctx, run, func(rows []verdict.Verdict) error {
			for _, r := range rows {
				if counts[r.Status]++; r.InDoubt {
					inDoubt++
				}
			}
			return nil
		}))
		if diff := cmp.Diff(map[verdict.Status]int{verdict.Created: 3, verdict.Unsent: 2, verdict.Rejected: 1}, counts); diff != "" || inDoubt != 2 {
			t.Error(diff)
		}

		// Another attempt reads the rejected rows again.
		again, err := other.Continue(ctx, found)
		check(t, err)
		if again.Attempts != 2 {
			t.Errorf("%d attempts", again.Attempts)
		}
		clear(counts)
		check(t, other.Rows(ctx, run, func(rows []verdict.Verdict) error {
			for _, r := range rows {
				counts[r.Status]++
			}
			return nil
		}))
		if counts[verdict.Rejected] != 0 || counts[verdict.Created] != 3 {
			t.Errorf("after the continuation: %v", counts)
		}
	})
}

func TestAttemptsEndWithTheirChunk(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		became verdict.Verdict
		doubts int
		ended  string
	}{
		{"created", verdict.Verdict{Status: verdict.Created}, 0, "finished"},
		{"rejected", verdict.Verdict{Status: verdict.Rejected}, 0, "finished"},
		{"unsent", verdict.Verdict{}, 0, "open"},
		{"in doubt", verdict.Verdict{InDoubt: true}, 1, "open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, open func() *Ledger) {
				l := open()
				run := begin(t, l, "r")
				r, rows := result(4, 2, verdict.Created)
				rows[1].Status, rows[1].InDoubt = tt.became.Status, tt.became.InDoubt
				check(t, sending(l, run, r, "op"))
				check(t, sending(l, run, r, "op")) // the same attempt again
				check(t, l.Entry(run).Finish(r))
				doubts, err := l.Doubts(ctx, run.ID)
				check(t, err)
				if len(doubts) != tt.doubts {
					t.Errorf("%d attempts in doubt, want %d", len(doubts), tt.doubts)
				}
				c, _, err := l.Entry(run).Chunk(ctx, 4)
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
		r, rows := result(0, 3, verdict.Created)
		rows[1].Status = verdict.Rejected
		check(t, l.Entry(run).Finish(r))
		var tasks []Task
		check(t, l.Tasks(ctx, run, func(k Task) error { tasks = append(tasks, k); return nil }))
		want := []Task{{Key: r.Keys[0], File: fileName, ID: "task-0-0", Line: 2, Record: 1}, {Key: r.Keys[2], File: fileName, ID: "task-0-2", Line: 4, Record: 3}}
		if diff := cmp.Diff(want, tasks); diff != "" {
			t.Error(diff)
		}

		other, _ := result(1, 1, verdict.Created)
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
		check(t, l.Entry(over).End("finished", []byte("{}")))
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
		check(t, l.store.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM file) + (SELECT count(*) FROM run)").Scan(&left))
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
				r, _ := result(i, 5, verdict.Created)
				errs[i] = errors.Join(sending(l, run, r, "op"), l.Entry(run).Finish(r))
			})
		}
		// One that can't be carried out doesn't take the others with it.
		wg.Go(func() {
			r, _ := result(0, 1, verdict.Created)
			if err := l.Entry(Run{ID: 999}).Finish(r); err == nil {
				t.Error("a chunk of no run was kept")
			}
		})
		wg.Wait()
		check(t, errors.Join(errs...))
		n := 0
		check(t, l.Tasks(ctx, run, func(Task) error { n++; return nil }))
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
		rows := make([]verdict.Verdict, tasks)
		r := Result{Chunk: number, Keys: make([]Key, tasks), Rows: rows}
		for i := range tasks {
			for j := range r.Keys[i] {
				r.Keys[i][j] = byte(random.Uint32())
			}
			n := number*tasks + i
			// As Toloka writes them: a number of the pool, then a counter in hex.
			rows[i] = verdict.Verdict{Position: verdict.Position{File: fileName, Line: int64(n + n/50), Record: int64(n)}, Status: verdict.Created, TaskID: fmt.Sprintf("00012f4c3e--65d3c1%018x", n*3)}
		}
		check(t, sending(l, run, r, fmt.Sprintf("5b3a0a52-8f0e-5d5c-9c39-%012x", number)))
		check(t, l.Entry(run).Finish(r))
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

// fileNames are those of the files that anyVerdict names.
var fileNames = []string{"-", "/data/a.tsv", "b.csv.gz", "https://files.example.com/c.tsv", "f\xffle"}

// anyVerdict is a verdict that may come of a row, or may not.
func anyVerdict() *rapid.Generator[verdict.Verdict] {
	text := rapid.Custom(func(t *rapid.T) string {
		return rapid.StringN(0, 20, -1).Draw(t, "text") + rapid.SampledFrom([]string{"", "\xff", "\x00", "é"}).Draw(t, "end")
	})
	optional := rapid.OneOf(rapid.Just(""), text)
	finding := rapid.Custom(func(t *rapid.T) verdict.Finding {
		return verdict.Finding{
			Stage: rapid.SampledFrom([]verdict.Stage{verdict.StageParse, verdict.StageMap, verdict.StageCheck, verdict.StageServer}).Draw(t, "stage"),
			Line:  rapid.Int64().Draw(t, "line"), Column: rapid.Int().Draw(t, "column"),
			Field: optional.Draw(t, "field"), Path: optional.Draw(t, "path"), Code: text.Draw(t, "code"),
			Message: optional.Draw(t, "message"), Value: optional.Draw(t, "value"),
		}
	})
	number := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64())
	return rapid.Custom(func(t *rapid.T) verdict.Verdict {
		v := verdict.Verdict{
			Position: verdict.Position{
				File: rapid.SampledFrom(fileNames).Draw(t, "file"), Line: number.Draw(t, "line"),
				Record: number.Draw(t, "record"), Offset: number.Draw(t, "offset"),
			},
			Status: rapid.SampledFrom([]verdict.Status{verdict.Created, verdict.Valid, verdict.Rejected, verdict.Duplicate, verdict.Unsent}).Draw(t, "status"),
			TaskID: optional.Draw(t, "id"), Reason: rapid.SampledFrom([]string{"", "", "why"}).Draw(t, "reason") + optional.Draw(t, "and"),
		}
		v.InDoubt = v.Status == verdict.Unsent && rapid.Bool().Draw(t, "in doubt")
		if rapid.Bool().Draw(t, "detailed") {
			v.Findings = rapid.SliceOfN(finding, 1, 3).Draw(t, "findings")
		}
		if rapid.Bool().Draw(t, "kept") {
			v.Raw = []byte(optional.Draw(t, "raw"))
		}
		return v
	})
}

func TestAnyVerdictComesBackAsItWas(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Ledger) {
		l := open()
		runs := 0
		rapid.Check(t, func(t *rapid.T) {
			ctx := context.Background()
			files := make([]File, len(fileNames))
			for i := range files {
				files[i].Path = fmt.Sprint("/path/", i)
			}
			runs++
			run, err := l.Begin(Run{Name: fmt.Sprint("run-", runs), Files: files, Names: fileNames})
			if err != nil {
				t.Fatal(err)
			}
			want := rapid.SliceOfN(anyVerdict(), 1, 20).Draw(t, "rows")
			if err := l.Entry(run).Finish(Result{Chunk: 3, Keys: make([]Key, len(want)), Rows: want}); err != nil {
				t.Fatal(err)
			}
			chunk, known, err := l.Entry(run).Chunk(ctx, 3)
			if err != nil || !known {
				t.Fatalf("known: %v, %v", known, err)
			}
			if diff := cmp.Diff(want, chunk.Rows); diff != "" {
				t.Fatal(diff)
			}
			// The same rows once more, as those of no chunk; a report has them in order.
			if err := l.Entry(run).Aside(want); err != nil {
				t.Fatal(err)
			}
			var got []verdict.Verdict
			if err := l.Rows(ctx, run, func(rows []verdict.Verdict) error { got = append(got, rows...); return nil }); err != nil {
				t.Fatal(err)
			}
			slices.SortStableFunc(want, func(a, b verdict.Verdict) int {
				return stdcmp.Or(
					stdcmp.Compare(slices.Index(fileNames, a.Position.File), slices.Index(fileNames, b.Position.File)),
					stdcmp.Compare(a.Position.Record, b.Position.Record),
				)
			})
			twice := make([]verdict.Verdict, 0, 2*len(want))
			for i := 0; i < len(want); {
				same := i
				for same < len(want) && want[same].Position.File == want[i].Position.File && want[same].Position.Record == want[i].Position.Record {
					same++
				}
				twice = append(append(twice, want[i:same]...), want[i:same]...)
				i = same
			}
			if diff := cmp.Diff(twice, got); diff != "" {
				t.Fatal(diff)
			}
		})
	})
}

// A blob that lost its end is no blob.
func TestHalfABlobIsNone(t *testing.T) {
	c, err := newCodec()
	check(t, err)
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(anyVerdict(), 1, -1).Draw(t, "rows")
		p := c.packer()
		defer p.release()
		blob, err := p.pack(fileNames, all(rows))
		if err != nil {
			t.Fatal(err)
		}
		if cut, err := c.unpack(fileNames, blob[:len(blob)/2], nil); err == nil && len(cut) == len(rows) {
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
		r, _ := result(0, 3, verdict.Created)
		keys := r.Keys
		check(t, sending(l, run, r, "op"))
		r.Keys, r.Sum = nil, Key{}
		check(t, l.Entry(run).Finish(r))
		c, _, err := l.Entry(run).Chunk(ctx, 0)
		check(t, err)
		if !cmp.Equal(c.Keys, keys) || c.Sum != (Key{0, 9}) || !c.Finished {
			t.Errorf("the chunk is %+v", c)
		}
		other, _ := result(1, 3, verdict.Created)
		other.Keys = nil
		if err := l.Entry(run).Finish(other); err == nil {
			t.Error("a chunk without keys was kept")
		}
		longer, _ := result(0, 4, verdict.Created)
		if err := l.Entry(run).Finish(longer); err == nil {
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
				rows := rapid.SliceOf(rapid.Custom(func(t *rapid.T) verdict.Verdict {
					r := verdict.Verdict{Status: verdict.Created}
					r.Position.File, r.Position.Record = fileNames[0], int64(rapid.IntRange(0, 3).Draw(t, "record"))
					if rapid.IntRange(0, 9).Draw(t, "has an id") > 0 {
						r.TaskID = kind.Draw(t, "id")
					}
					return r
				})).Draw(t, "rows")
				p := c.packer()
				defer p.release()
				blob, err := p.pack(fileNames, all(rows))
				if err != nil {
					t.Fatal(err)
				}
				back, err := c.unpack(fileNames, blob, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(rows) > 0 && !cmp.Equal(rows, back) {
					t.Fatal(cmp.Diff(rows, back))
				}
				// One bit that changed is noticed.
				blob[rapid.IntRange(0, len(blob)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				if _, err := c.unpack(fileNames, blob, nil); err == nil {
					t.Fatal("a damaged blob was read")
				}
			})
		})
	}
}

func TestOnlyTheLatestAttemptWrites(t *testing.T) {
	dir := t.TempDir()
	l, other := openIn(t, dir), openIn(t, dir)
	first := begin(t, l, "job/1")
	chunk, _ := result(0, 3, verdict.Created)
	check(t, sending(l, first, chunk, "op"))
	aside := []verdict.Verdict{{Position: verdict.Position{File: fileName, Line: 9, Record: 8}, Status: verdict.Rejected}}
	check(t, l.Entry(first).Aside(aside))
	second, err := other.Continue(context.Background(), first)
	check(t, err)
	for what, err := range map[string]error{
		"sending": sending(l, first, chunk, "op2"), "finish": l.Entry(first).Finish(chunk), "aside": l.Entry(first).Aside(aside),
		"end": l.Entry(first).End("finished", nil), "abandon": l.Entry(first).Abandon(),
	} {
		var taken *TakenOverError
		if !errors.As(err, &taken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	run, found, err := other.Called(context.Background(), "job/1")
	check(t, err)
	if c, _, err := other.Entry(run).Chunk(context.Background(), 0); err != nil || !found || run.State != Running || c.Ended || len(c.Operations) != 1 {
		t.Errorf("the run is %+v, its chunk %+v (%v)", run, c, err)
	}
	check(t, other.Entry(second).Finish(chunk))
	check(t, other.Entry(second).End("finished", nil))
	// Both have read the run as it was: each still is an attempt of its own.
	a, err := l.Continue(context.Background(), first)
	check(t, err)
	b, err := other.Continue(context.Background(), first)
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
	check(t, os.WriteFile(filepath.Join(dir, FileName), nil, 0o600))
	execIn(t, filepath.Join(dir, FileName), migrations[0]+"; PRAGMA application_id=1885759852; PRAGMA user_version=1")
	l := openIn(t, dir)
	finish(t, l, begin(t, l, "r"), 1)
	check(t, l.Close())
	check(t, openIn(t, dir).Close()) // which has runs now
}
