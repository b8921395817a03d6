package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// part is the Config of one part, of which the ledger is still to be set.
func part(url, path, name string) pipeline.Config {
	cfg := config(url, path)
	cfg.RunID, cfg.Job, cfg.ChunkSize, cfg.Workers = "", pipeline.Part{Name: name}, 10, 2
	return cfg
}

// openTwice opens a ledger as two processes would.
func openTwice(t *testing.T) (a, b *ledger.Ledger) {
	t.Helper()
	dir := t.TempDir()
	var opened [2]*ledger.Ledger
	for i := range opened {
		l, err := ledger.Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		opened[i] = l
	}
	return opened[0], opened[1]
}

// wantFinished checks what the ledger has of a part: one outcome for each row,
// and every created one with a task of its own.
func wantFinished(t *testing.T, l *ledger.Ledger, name string, want pipeline.Totals) {
	t.Helper()
	run, found, err := l.Called(context.Background(), name)
	if err != nil || !found || run.State != string(pipeline.Finished) {
		t.Fatalf("run %s: %t, %s, %v", name, found, run.State, err)
	}
	rows := &memory{}
	r, err := pipeline.Rebuild(context.Background(), l, run, rows)
	if err != nil || r.Totals != want {
		t.Errorf("the ledger has %+v of %s, want %+v (%v)", r.Totals, name, want, err)
	}
	ids := map[string]bool{}
	for _, row := range rows.rows {
		if row.Status == verdict.Created {
			ids[row.TaskID] = true
		}
	}
	if int64(len(ids)) != want.Created || ids[""] {
		t.Errorf("%d tasks in the ledger, want %d", len(ids), want.Created)
	}
	if doubts, err := l.Doubts(context.Background(), run.ID); err != nil || len(doubts) > 0 {
		t.Errorf("in doubt: %v, %v", doubts, err)
	}
}

func TestAllPartsAreTheFile(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	path := write(t, "a.tsv", images(100, 7, 50, 51))
	var parts []pipeline.Config
	if _, err := reader.Cut(t.Context(), path, reader.Config{}, 30, func(s reader.Segment) error {
		cfg := part(url, path, fmt.Sprintf("job/%d", len(parts)+1))
		cfg.Ledger, cfg.Reader = b.Ledger, s.Config(cfg.Reader)
		parts = append(parts, cfg)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var total pipeline.Totals
	seen := map[string]bool{}
	for i, cfg := range parts {
		rows := &memory{}
		cfg.Recorder = rows
		r, err := run(t, cfg)
		if err != nil || r.State != pipeline.Finished || r.RunID != fmt.Sprintf("job/%d", i+1) {
			t.Fatalf("part %d: %v, %s, run %s", i, err, r.State, r.RunID)
		}
		total.Rows, total.Created, total.Rejected = total.Rows+r.Totals.Rows, total.Created+r.Totals.Created, total.Rejected+r.Totals.Rejected
		for key := range rows.rows {
			seen[key] = true
		}
		wantFinished(t, b.Ledger, r.RunID, r.Totals)

		// Again there is nothing to do, and the same to tell.
		again := &memory{}
		cfg.Recorder = again
		same, err := run(t, cfg)
		if err != nil || same.Totals != r.Totals || same.State != pipeline.Finished || len(again.rows) != len(rows.rows) {
			t.Errorf("part %d again: %v, %s with %+v, not %+v", i, err, same.State, same.Totals, r.Totals)
		}
	}
	if len(parts) != 4 || len(seen) != 100 || total != (pipeline.Totals{Rows: 100, Created: 97, Rejected: 3}) || server.Stats().Pools["1"] != 97 {
		t.Errorf("%d parts, %d rows, %+v, %d tasks in the pool", len(parts), len(seen), total, server.Stats().Pools["1"])
	}

	// The rows of parts count for an upload of the file.
	r, _ := b.upload(t, context.Background(), config(url, path))
	wantTotals(t, "an upload of the file", r, 0, 97, 3)

	// Another job creates them once more, whatever was uploaded before.
	other := parts[0]
	other.Job = pipeline.Part{Name: "other job/1"}
	if r, err := run(t, other); err != nil || r.Totals.Created != 29 || r.Totals.Duplicate != 0 {
		t.Errorf("another job: %v, %+v", err, r.Totals)
	}
}

func TestAPartThatIsNotWhatItWasIsRefused(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	path := write(t, "a.tsv", images(20))
	cfg := part(url, path, "job/1")
	cfg.Ledger = b.Ledger
	if _, err := run(t, cfg); err != nil {
		t.Fatal(err)
	}
	before, err := reader.Identify(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*pipeline.Config){
		"the settings of job/1":     func(c *pipeline.Config) { c.ChunkSize = 11 },
		"the settings of job/1 are": func(c *pipeline.Config) { c.Reader.LimitRows = 3 },
		"another run is called":     func(c *pipeline.Config) { c.PoolID = "5" },
		"is not what it was when": func(c *pipeline.Config) {
			if err := os.WriteFile(path, []byte(images(21)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		changed := cfg
		change(&changed)
		_, err := run(t, changed)
		var setup *pipeline.SetupError
		if !errors.As(err, &setup) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	now, err := reader.Identify(t.Context(), path)
	if same, again := reader.Identify(t.Context(), path); err != nil || again != nil || now.Equal(before) || !now.Equal(same) {
		t.Errorf("%+v is now %+v (%v)", before, now, err)
	}
	if server.Stats().Pools["1"] != 20 || server.Stats().Pools["5"] != 0 {
		t.Errorf("the pools have %v", server.Stats().Pools)
	}
}

func TestWhatAPartCannotBe(t *testing.T) {
	b := openBook(t)
	good := part("http://127.0.0.1:1", "a.tsv", "job/1")
	good.Ledger = b.Ledger
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*pipeline.Config){
		"two files":      func(c *pipeline.Config) { c.Files = []string{"a", "b"} },
		"standard input": func(c *pipeline.Config) { c.Files = []string{"-"} },
		"no ledger":      func(c *pipeline.Config) { c.Ledger = nil },
		"synchronous":    func(c *pipeline.Config) { c.Mode = uploader.Sync },
		"another name":   func(c *pipeline.Config) { c.RunID = "x" },
		"no name":        func(c *pipeline.Config) { c.Job = pipeline.Part{} },
	} {
		cfg := good
		if change(&cfg); cfg.Validate() == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestAPartThatWasCutOffGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server, url := serve(t, emulator.Config{}, carriedOut(2, cancel))
	first, second := openTwice(t)
	cfg := part(url, write(t, "a.tsv", images(50, 3)), "job/1")
	cfg.Ledger = first
	if r, err := runIn(t, ctx, cfg); err != nil || r.State != pipeline.Interrupted || r.Totals.Created != 0 {
		t.Fatalf("%v, %s with %+v", err, r.State, r.Totals)
	}
	cfg.Ledger = second
	r, err := run(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantTotals(t, "the second attempt", r, 49, 0, 1)
	wantFinished(t, second, "job/1", r.Totals)
	if server.Stats().Pools["1"] != 49 {
		t.Errorf("%d tasks in the pool", server.Stats().Pools["1"])
	}
}

// The first process is held up in a request while a second one takes over and
// ends the part. It then has nothing to say any more.
func TestAPartThatWasTakenOverChangesNothing(t *testing.T) {
	var asked atomic.Bool
	held, release := make(chan struct{}), make(chan struct{})
	server, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && asked.CompareAndSwap(false, true) {
				close(held)
				<-release
			}
			next.ServeHTTP(w, r)
		})
	})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	first, second := openTwice(t)
	cfg := part(url, write(t, "a.tsv", images(50, 3, 44)), "job/1")
	cfg.Workers = 1
	ended := make(chan error, 1)
	go func() {
		mine := cfg
		mine.Ledger = first
		mine.API.HTTP = &http.Client{Transport: &http.Transport{}}
		_, err := run(t, mine)
		ended <- err
	}()
	<-held
	cfg.Ledger = second
	r, err := run(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantTotals(t, "the second process", r, 48, 0, 2)
	free()
	var taken *ledger.TakenOverError
	if err := <-ended; !errors.As(err, &taken) || strings.Count(err.Error(), "another process") != 1 {
		t.Errorf("the first process ended with %v", err)
	}
	wantFinished(t, first, "job/1", r.Totals)
	if server.Stats().Pools["1"] != 48 {
		t.Errorf("%d tasks in the pool", server.Stats().Pools["1"])
	}
}

func TestTwoProcessesAtOnePartCreateItOnce(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	first, second := openTwice(t)
	path := write(t, "a.tsv", images(60, 3, 44))
	for i := range 10 {
		name := fmt.Sprintf("job/%d", i)
		errs := make([]error, 2)
		var group sync.WaitGroup
		for k, l := range []*ledger.Ledger{first, second} {
			group.Go(func() {
				cfg := part(url, path, name)
				cfg.Ledger = l
				var r pipeline.Report
				if r, errs[k] = run(t, cfg); errs[k] == nil && (r.State != pipeline.Finished || r.Totals.Created != 58) {
					errs[k] = fmt.Errorf("%s with %+v", r.State, r.Totals)
				}
			})
		}
		group.Wait()
		ended := 0
		for _, err := range errs {
			var taken *ledger.TakenOverError
			if err == nil {
				ended++
			} else if !errors.As(err, &taken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if ended == 0 {
			t.Errorf("%s: nobody has ended it", name)
		}
		wantFinished(t, first, name, pipeline.Totals{Rows: 60, Created: 58, Rejected: 2})
		if got := server.Stats().Pools["1"]; got != 58*(i+1) {
			t.Fatalf("%d tasks in the pool after %d parts", got, i+1)
		}
	}
}

// What a part's operations are called needs no ledger: one that knows nothing of
// the part creates nothing twice either.
func TestAPartOfAnotherLedgerIsCreatedOnce(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	cfg := part(url, write(t, "a.tsv", images(50, 3)), "job/1")
	for range 2 {
		cfg.Ledger = openBook(t).Ledger
		r, err := run(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		wantTotals(t, "with its own ledger", r, 49, 0, 1)
	}
	if server.Stats().Pools["1"] != 49 {
		t.Errorf("%d tasks in the pool", server.Stats().Pools["1"])
	}
}

// Rows of another file are not told as those of the part. With the old file back it
// goes on, unless it has them.
func TestAPartWhoseFileChangesIsNotFinished(t *testing.T) {
	for name, rows := range map[string]int{"after it was read": 40, "while it is read": 40_000} {
		t.Run(name, func(t *testing.T) {
			old := images(rows)
			path := write(t, "a.tsv", old)
			put := func(text string, modified time.Time) {
				if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, modified, modified)); err != nil {
					t.Error(err)
				}
			}
			was := time.Now().Add(-time.Hour)
			put(old, was)
			var once sync.Once
			_, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						once.Do(func() { put(strings.ReplaceAll(old, ".jpg", ".png"), time.Now()) })
					}
					next.ServeHTTP(w, r)
				})
			})
			b := openBook(t)
			cfg := part(url, path, "job/1")
			cfg.Ledger, cfg.Workers, cfg.ChunkSize = b.Ledger, 1, max(10, rows/40)
			r, err := run(t, cfg)
			if !errors.Is(err, pipeline.ErrPartChanged) || r.State != pipeline.Failed {
				t.Fatalf("%v, %s with %+v", err, r.State, r.Totals)
			}
			put(old, was)
			r, err = run(t, cfg)
			if rows > 40 {
				if !errors.Is(err, pipeline.ErrPartChanged) || r.State != pipeline.Failed {
					t.Fatalf("with rows of another file: %v, %s with %+v", err, r.State, r.Totals)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFinished(t, b.Ledger, "job/1", pipeline.Totals{Rows: 40, Created: 40})
		})
	}
}
