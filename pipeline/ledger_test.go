package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/internal/pgtest"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// book is a ledger and the runs over it.
type book struct {
	*ledger.Ledger
	runs int
}

func openBook(t *testing.T) *book {
	t.Helper()
	l, err := ledger.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &book{Ledger: l}
}

// upload is a run with the ledger, and what its recorder heard.
func (b *book) upload(t *testing.T, ctx context.Context, cfg pipeline.Config) (pipeline.Report, *memory) { //nolint:revive // t comes first in tests
	t.Helper()
	b.runs++
	heard := &memory{}
	cfg.RunID, cfg.Ledger, cfg.Recorder = fmt.Sprintf("run-%d", b.runs), b.Ledger, heard
	r, err := runIn(t, ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, heard
}

func wantTotals(t *testing.T, what string, r pipeline.Report, created, duplicate, rejected int64) {
	t.Helper()
	if r.State != pipeline.Finished || r.Totals.Created != created || r.Totals.Duplicate != duplicate || r.Totals.Rejected != rejected || r.Totals.Unsent != 0 {
		t.Errorf("%s: %s with %+v; want %d created, %d duplicate, %d rejected", what, r.State, r.Totals, created, duplicate, rejected)
	}
}

func TestRowsOfAFileAreUploadedOnce(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	ctx := context.Background()
	b := openBook(t)
	path := write(t, "a.tsv", images(30, 7))
	cfg := config(url, path)
	cfg.ChunkSize = 10
	inPool := func(want int64) {
		t.Helper()
		if got := server.Stats().Pools["1"]; int64(got) != want {
			t.Errorf("%d tasks in the pool, want %d", got, want)
		}
	}
	change := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	r, first := b.upload(t, ctx, cfg)
	wantTotals(t, "the first run", r, 29, 0, 1)
	r, _ = b.upload(t, ctx, cfg)
	wantTotals(t, "the same file", r, 0, 29, 1)
	copied := cfg
	copied.Files = []string{write(t, "copy.tsv", images(30, 7))}
	r, _ = b.upload(t, ctx, copied)
	wantTotals(t, "a copy", r, 0, 29, 1)
	inPool(29)

	// Fixed in place, and grown by two rows, of which one is like an earlier one.
	change(images(31) + "https://example.com/1.jpg\tnumber 1\n")
	r, heard := b.upload(t, ctx, cfg)
	wantTotals(t, "the changed file", r, 3, 29, 0)
	for _, path := range []string{path, write(t, "copy.tsv", images(31)+"https://example.com/1.jpg\tnumber 1\n")} {
		same := cfg
		same.Files = []string{path}
		r, _ = b.upload(t, ctx, same)
		wantTotals(t, "all of it is there", r, 0, 0, 0)
		if len(r.Files) != 1 || r.Files[0].UnchangedSince != "run-4" {
			t.Errorf("the files are %+v", r.Files)
		}
	}
	for key, row := range first.rows {
		if row.Status == verdict.Created && heard.rows[key].TaskID != row.TaskID {
			t.Errorf("row %s is task %q in the second run, and was %q", key, heard.rows[key].TaskID, row.TaskID)
		}
	}
	inPool(32)

	other := cfg
	other.Files = []string{write(t, "other.tsv", images(33))}
	other.Job = pipeline.Upload{Guard: pipeline.GuardLedger}
	r, _ = b.upload(t, ctx, other)
	wantTotals(t, "another file, by the ledger", r, 2, 31, 0)
	other.Files = []string{write(t, "third.tsv", images(35))}
	other.Job = pipeline.Upload{Guard: pipeline.GuardPool}
	r, _ = openBook(t).upload(t, ctx, other)
	wantTotals(t, "another file, by the pool", r, 2, 33, 0)
	other.Job = pipeline.Upload{Guard: pipeline.GuardNone}
	r, _ = b.upload(t, ctx, other)
	wantTotals(t, "once more", r, 35, 0, 0)
	inPool(32 + 2 + 2 + 35)
}

// carriedOut lets so many POSTs be carried out, of which the client never
// hears, and then cancels.
func carriedOut(n int, cancel func()) func(http.Handler) http.Handler {
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				select {
				case <-left:
					next.ServeHTTP(httptest.NewRecorder(), r)
					if len(left) == 0 {
						cancel()
					}
					<-r.Context().Done()
					return
				default:
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestARunThatWasCutOffIsGoneOnWith(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		for _, changed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, other settings: %v", mode, changed), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				server, url := serve(t, emulator.Config{}, carriedOut(2, cancel))
				b := openBook(t)
				cfg := config(url, write(t, "a.tsv", images(50)))
				cfg.Mode, cfg.ChunkSize, cfg.Workers = mode, 10, 2
				r, _ := b.upload(t, ctx, cfg)
				if r.State != pipeline.Interrupted || r.Totals.Created != 0 {
					t.Fatalf("%s with %+v", r.State, r.Totals)
				}
				created, duplicate := int64(50), int64(0)
				if changed {
					cfg.ChunkSize = 7
					created, duplicate = 30, 20
				}
				r, heard := b.upload(t, context.Background(), cfg)
				wantTotals(t, "the second attempt", r, created, duplicate, 0)
				ids := map[string]bool{}
				for _, row := range heard.rows {
					ids[row.TaskID] = true
				}
				if len(ids) != 50 || ids[""] || server.Stats().Pools["1"] != 50 {
					t.Errorf("%d ids, %d tasks in the pool", len(ids), server.Stats().Pools["1"])
				}

				// The ledger tells the same as the run did.
				run, err := b.Find(context.Background(), r.RunID)
				if err != nil {
					t.Fatal(err)
				}
				again := &memory{}
				rebuilt, err := pipeline.Rebuild(context.Background(), b.Ledger, run, again)
				if err != nil || rebuilt.Totals != r.Totals || len(again.rows) != 50 {
					t.Errorf("rebuilt %+v, %d rows (%v)", rebuilt.Totals, len(again.rows), err)
				}
				for key, row := range heard.rows {
					if again.rows[key].TaskID != row.TaskID || again.rows[key].Status != row.Status {
						t.Errorf("row %s: %+v in the run, %+v in the ledger", key, row, again.rows[key])
					}
				}
			})
		}
	}
}

func TestFinishedChunksAreNotSentAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	cfg := config(url, write(t, "a.tsv", images(50, 3)))
	cfg.ChunkSize, cfg.Workers = 10, 1
	cfg.Limits = ratelimit.Config{TasksPerDay: 20, Park: true}
	b.runs++
	cfg.RunID, cfg.Ledger = "parked", b.Ledger
	r, err := runIn(t, ctx, cfg)
	var used *ratelimit.DayQuotaError
	if !errors.As(err, &used) || r.State != pipeline.Parked || r.Totals.Created != 20 || r.Quota.Until == nil {
		t.Fatalf("%v: %s with %+v", err, r.State, r.Totals)
	}
	if !r.Quota.Until.After(time.Now()) {
		t.Errorf("it can go on at %v", r.Quota.Until)
	}
	cfg.Limits.TasksPerDay = 1000
	r, _ = b.upload(t, ctx, cfg)
	wantTotals(t, "the second attempt", r, 49, 0, 1)
	if r.RunID != "parked" || r.Earlier != 20 || r.Requests.Chunks != 3 {
		t.Errorf("run %s, %d rows from earlier, %d chunks sent", r.RunID, r.Earlier, r.Requests.Chunks)
	}
}

func TestAnEditThatKeepsSizeAndTimeIsFound(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	path := write(t, "a.tsv", images(30))
	cfg := config(url, path)
	cfg.ChunkSize, cfg.Workers = 10, 1
	cfg.Limits = ratelimit.Config{TasksPerDay: 20, Park: true}
	cfg.RunID, cfg.Ledger = "parked", b.Ledger
	if r, err := runIn(t, context.Background(), cfg); err == nil || r.State != pipeline.Parked {
		t.Fatalf("%v: %s", err, r.State)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(images(30), "number 5\n", "Number 5\n", 1)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	cfg.Limits.TasksPerDay = 1000
	cfg.RunID = "second"
	r, err := runIn(t, context.Background(), cfg)
	// So small a file is looked at whole: its ends differ, so another run begins,
	// which sends what changed and what was not sent before.
	if err != nil || r.RunID != "second" || r.Totals.Duplicate != 19 || r.Totals.Created != 11 {
		t.Errorf("%v: run %s, %s with %+v", err, r.RunID, r.State, r.Totals)
	}
}

func TestAPoolIsOpenedThoughItsFilesAreUnchanged(t *testing.T) {
	var opened atomic.Int64
	_, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/pools/5/open") {
				opened.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	b := openBook(t)
	cfg := config(url, write(t, "a.tsv", images(3)))
	cfg.PoolID = "5"
	b.upload(t, context.Background(), cfg)
	cfg.Job = pipeline.Upload{OpenPool: true}
	r, heard := b.upload(t, context.Background(), cfg)
	wantTotals(t, "the same file", r, 0, 0, 0)
	if opened.Load() != 1 || len(heard.inputs) != 0 || r.Files[0].UnchangedSince == "" {
		t.Errorf("opened %d times, %d inputs read, %+v", opened.Load(), len(heard.inputs), r.Files)
	}
}

func TestAnEditThatCannotBeSeenEndsARunThatGoesOn(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	text := images(8000) // over 200 KB: its middle is not looked at
	path := write(t, "a.tsv", text)
	cfg := config(url, path)
	cfg.ChunkSize, cfg.Workers = 1000, 1
	cfg.Limits = ratelimit.Config{TasksPerDay: 5000, Park: true}
	cfg.RunID, cfg.Ledger = "parked", b.Ledger
	if r, err := runIn(t, context.Background(), cfg); err == nil || r.State != pipeline.Parked || r.Totals.Created != 5000 {
		t.Fatalf("%v: %s with %+v", err, r.State, r.Totals)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "number 3500\n", "Number 3500\n", 1)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	heard := &memory{}
	cfg.Recorder, cfg.Limits.TasksPerDay = heard, 100_000
	r, err := runIn(t, context.Background(), cfg)
	if err == nil || !strings.Contains(err.Error(), "touch it") || r.State != pipeline.Failed || r.RunID != "parked" {
		t.Errorf("%v: %s, run %s", err, r.State, r.RunID)
	}
	// The report is of the rows that were uploaded, as they were then.
	if row := heard.rows[path+":3500"]; row.Status != verdict.Created || r.Totals.Created != 5000 {
		t.Errorf("the edited row is %+v, in all %+v", row, r.Totals)
	}
	if got := server.Stats().Pools["1"]; got != 5000 {
		t.Errorf("%d tasks in the pool", got)
	}
}

// The ledger is opened while the server is asked: either may fail, or not
// answer at all.
func TestALedgerIsOpenedBesideTheFirstQuestion(t *testing.T) {
	t.Run("and used", func(t *testing.T) {
		asked := make(chan struct{})
		_, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
			var once sync.Once
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				once.Do(func() { close(asked) })
				next.ServeHTTP(w, r)
			})
		})
		b := openBook(t)
		cfg := config(url, write(t, "a.tsv", images(3)))
		cfg.OpenLedger = func(context.Context) (*ledger.Ledger, error) {
			<-asked
			return b.Ledger, nil
		}
		r, err := run(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		wantTotals(t, "the first", r, 3, 0, 0)
		if runs, err := b.Runs(context.Background(), url, "1"); err != nil || len(runs) != 1 {
			t.Errorf("the ledger has %d runs, %v", len(runs), err)
		}
	})
	t.Run("its failure ends the question", func(t *testing.T) {
		server, url := serve(t, emulator.Config{}, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		})
		broken := errors.New("the ledger is broken")
		cfg := config(url, write(t, "a.tsv", images(3)))
		cfg.OpenLedger = func(context.Context) (*ledger.Ledger, error) { return nil, broken }
		if r, err := run(t, cfg); !errors.Is(err, broken) || r.RunID != "" {
			t.Errorf("%v: %+v", err, r)
		}
		if got := server.Stats().Pools["1"]; got != 0 {
			t.Errorf("%d tasks were created", got)
		}
	})
	t.Run("a refusal ends the opening", func(t *testing.T) {
		_, url := serve(t, emulator.Config{}, nil)
		cfg := config(url, write(t, "a.tsv", images(3)))
		cfg.PoolID = "3" // archived
		cfg.OpenLedger = func(ctx context.Context) (*ledger.Ledger, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var setup *pipeline.SetupError
		if _, err := run(t, cfg); !errors.As(err, &setup) {
			t.Errorf("got %v", err)
		}
	})
}

// A program opens the ledger where the command line program has it: in a folder, or
// in PostgreSQL.
func TestALedgerIsOpenedInAFolderOrADatabase(t *testing.T) {
	path := write(t, "a.tsv", images(50, 3, 44))
	for place, shared := range map[string]bool{t.TempDir(): false, pgtest.URL(t): true} {
		server, url := serve(t, emulator.Config{}, nil)
		for i := range 2 {
			l, err := ledger.Open(t.Context(), place)
			if err != nil {
				t.Fatal(err)
			}
			if l.Shared() != shared {
				t.Errorf("it is shared: %v, want %v", l.Shared(), shared)
			}
			cfg := config(url, path)
			cfg.Ledger, cfg.RunID = l, fmt.Sprint("run-", i)
			if _, err := run(t, cfg); err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := server.Stats().Pools["1"]; got != 48 {
			t.Errorf("%d tasks were created", got)
		}
	}
	var address *ledger.AddressError
	if _, err := ledger.Open(t.Context(), "postgres://me:secret@host:bad/db"); !errors.As(err, &address) || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

// What a program sets is used: a book of its own is asked, and a run that has no
// name gets one that no other has.
func TestWhatIsSetIsUsed(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	names := map[string]bool{}
	for i := range 3 {
		cfg := config(url, write(t, "a.tsv", images(3+i)))
		asked := &counted{}
		cfg.RunID, cfg.Ledger, cfg.Limits = "", b.Ledger, ratelimit.Config{TasksPerMinute: 1000, Book: asked}
		r, err := run(t, cfg)
		if err != nil || r.RunID == "" || asked.tasks.Load() != r.Totals.Created {
			t.Errorf("%v: run %q created %d, and the book was asked for %d", err, r.RunID, r.Totals.Created, asked.tasks.Load())
		}
		names[r.RunID] = true
	}
	if len(names) != 3 {
		t.Errorf("the names are %v", names)
	}
}

// counted is a book that has room for everything.
type counted struct{ tasks atomic.Int64 }

func (c *counted) Take(_ context.Context, tasks int, _ ratelimit.Limits) (int64, time.Duration, ratelimit.Reason, error) {
	c.tasks.Add(int64(tasks))
	return 1, 0, "", nil
}

func (*counted) Settle(context.Context, int64, ratelimit.Use) error { return nil }
func (*counted) Sharers() int                                       { return 1 }
func (*counted) Today(context.Context) (int, error)                 { return 0, nil }
