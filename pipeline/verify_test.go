package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// differences are those of a verification, sorted: the kind and the record.
func differences(v pipeline.Verification) []string {
	all := []string{}
	for _, d := range v.Differences {
		all = append(all, fmt.Sprint(d.Kind, " ", d.Record))
	}
	slices.Sort(all)
	return all
}

func wantVerified(t *testing.T, v pipeline.Verification, err error, want ...string) {
	t.Helper()
	if got := differences(v); err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q and %+v, %v; want %q", got, v.Accounts, err, want)
	}
	if v.Well() != (len(want) == 0) {
		t.Errorf("well: %v, with %+v", v.Well(), v.Accounts)
	}
}

// verify verifies a run of the ledger.
func (b *book) verify(t *testing.T, url, name string) (pipeline.Verification, error) {
	t.Helper()
	run, err := b.Find(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return pipeline.Verify(t.Context(), pipeline.Verifying{
		Rows: pipeline.RowsOfRun{Ledger: b.Ledger, Run: run}, API: toloka.Config{BaseURL: url, Token: "token"},
	})
}

// equalRows are rows that have all kinds of columns, and of which some are alike.
const equalRows = "INPUT:image\tINPUT:title\tGOLDEN:result\tHINT:text\tTASK:overlap\tTASK:unavailable_for\n" +
	"https://example.com/1.jpg\tone\t\t\t\tann\n" +
	"https://example.com/1.jpg\tone\t\t\t\tbob\n" +
	"https://example.com/1.jpg\tone\t\t\t\tann\n" +
	"https://example.com/2.jpg\ttwo\tcat\tlook\t\t\n" +
	"https://example.com/2.jpg\ttwo\tcat\t\t\t\n" +
	"https://example.com/3.jpg\té\t\t\t7\t\n"

func TestAPoolThatHoldsEachRowIsWell(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		t.Run(string(mode), func(t *testing.T) {
			_, url := serve(t, emulator.Config{}, nil)
			b := openBook(t)
			cfg := config(url, write(t, "a.tsv", equalRows), write(t, "b.tsv", images(20, 3)))
			cfg.Mode, cfg.ChunkSize, cfg.Verify = mode, 4, pipeline.VerifyAlways
			r, _ := b.upload(t, t.Context(), cfg)
			wantTotals(t, "the run", r, 25, 0, 1)
			if r.Verification == nil {
				t.Fatal("the run was not verified")
			}
			wantVerified(t, *r.Verification, nil)
			if r.Verification.Rows != 25 || r.Verification.Tasks != 25 || r.Verification.RunID != "run-1" {
				t.Errorf("verified %+v", r.Verification)
			}
			v, err := b.verify(t, url, "run-1")
			wantVerified(t, v, err)

			v, err = pipeline.Verify(t.Context(), pipeline.Verifying{
				Rows: pipeline.RowsOfFiles{Input: cfg.Input, PoolID: "1"}, API: cfg.API,
			})
			wantVerified(t, v, err)
			if v.Rows != 25 || v.Rejected != 1 {
				t.Errorf("verified %+v", v)
			}
		})
	}
}

// An upload that the ledger knows nothing of.
func TestWhatOthersUploadIsNamed(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	own := config(url, write(t, "a.tsv", images(5)))
	b.upload(t, t.Context(), own)
	foreign := config(url, write(t, "a.tsv", "INPUT:image\tINPUT:title\nhttps://example.com/2.jpg\tnumber 2\nhttps://example.com/9.jpg\tnumber 9\n"))
	if r, err := run(t, foreign); err != nil || r.Totals.Created != 2 {
		t.Fatal(r.Totals, err)
	}
	v, err := b.verify(t, url, "run-1")
	wantVerified(t, v, err, "doubled 2", "foreign 0")
	v, err = pipeline.Verify(t.Context(), pipeline.Verifying{Rows: pipeline.RowsOfFiles{Input: own.Input, PoolID: "1"}, API: own.API})
	wantVerified(t, v, err, "doubled 2", "foreign 0")

	// A run of the ledger has its tasks, of whichever run they are. Those that it has only
	// found there are nobody's mistake.
	more := config(url, write(t, "more.tsv", images(10)))
	more.Job = pipeline.Upload{Guard: pipeline.GuardPool}
	r, _ := b.upload(t, t.Context(), more)
	wantTotals(t, "another run", r, 4, 6, 0)
	v, err = b.verify(t, url, "run-2")
	wantVerified(t, v, err, "foreign 0") // one of the two tasks that are alike
}

// lists has the lists of tasks changed on their way.
func lists(change func(list string) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/tasks") {
				next.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			_, _ = io.WriteString(w, change(answer.Body.String())) // the client sees what lacks
		})
	}
}

func TestWhatBecomesOfTasksIsNamed(t *testing.T) {
	var change atomic.Pointer[func(string) string]
	change.Store(new(func(s string) string { return s }))
	_, url := serve(t, emulator.Config{}, lists(func(list string) string { return (*change.Load())(list) }))
	b := openBook(t)
	b.upload(t, t.Context(), config(url, write(t, "a.tsv", images(5))))
	for _, tc := range []struct {
		from, to string
		want     []string
	}{
		{"number 2", "Number 2", []string{"changed 2"}},
		{"number 2", "number 3", []string{"changed 2"}},
		{`"overlap":`, `"overlap":1`, []string{"changed 1", "changed 2", "changed 3", "changed 4", "changed 5"}},
		{`"id":"`, `"id":"x`, nil}, // equal tasks are as good as each other
	} {
		change.Store(new(func(s string) string { return strings.ReplaceAll(s, tc.from, tc.to) }))
		v, err := b.verify(t, url, "run-1")
		wantVerified(t, v, err, tc.want...)
	}
	change.Store(new(func(string) string { return `{"items":[],"has_more":false}` }))
	v, err := b.verify(t, url, "run-1")
	wantVerified(t, v, err, "missing 1", "missing 2", "missing 3", "missing 4", "missing 5")
}

// creations changes what becomes of the first request to create tasks.
func creations(first func(next http.Handler, w http.ResponseWriter, r *http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		var done atomic.Bool
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/tasks") && done.CompareAndSwap(false, true) {
				first(next, w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// twice carries a request out as if it had been sent before, too, and came late.
func twice(next http.Handler, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // the server refuses half of one
	for _, to := range []http.ResponseWriter{httptest.NewRecorder(), w} {
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(to, r)
	}
}

// unheard carries nothing out, and gives no answer.
func unheard(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestDoublesAreNamedAtTheEndOfARun(t *testing.T) {
	var opened atomic.Int32
	_, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
		doubling := creations(twice)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/open") {
				opened.Add(1)
			}
			doubling.ServeHTTP(w, r)
		})
	})
	cfg := config(url, write(t, "a.tsv", images(5)))
	cfg.Mode, cfg.ChunkSize, cfg.Workers, cfg.Verify = uploader.Sync, 2, 1, pipeline.VerifyAlways
	cfg.Job = pipeline.Upload{OpenPool: true}
	b := openBook(t)
	r, _ := b.upload(t, t.Context(), cfg)
	wantTotals(t, "the run", r, 5, 0, 0)
	if r.Verification == nil {
		t.Fatal("the run was not verified")
	}
	wantVerified(t, *r.Verification, nil, "doubled 1", "doubled 2")
	if r.Verification.Own() != 2 {
		t.Errorf("%+v", r.Verification)
	}
	if opened.Load() != 0 {
		t.Error("the pool was opened: performers are paid for doubles")
	}
	run, err := b.Find(t.Context(), "run-1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := pipeline.Rebuild(t.Context(), b.Ledger, run, nil)
	if err != nil || again.Verification == nil {
		t.Fatalf("the report that is made again has %+v, %v", again.Verification, err)
	}
	wantVerified(t, *again.Verification, nil, "doubled 1", "doubled 2")
}

// A server that carries a request out after the search for its tasks: what is there twice
// is named by the run itself.
func TestWhatComesLateIsNamed(t *testing.T) {
	t.Parallel()
	var background sync.WaitGroup
	late := func(next http.Handler, _ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the server refuses half of one
		again := r.Clone(context.WithoutCancel(r.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		background.Go(func() {
			time.Sleep(7 * time.Second)
			next.ServeHTTP(httptest.NewRecorder(), again)
		})
		panic(http.ErrAbortHandler)
	}
	server, url := serve(t, emulator.Config{}, creations(late))
	t.Cleanup(background.Wait) // before the server is closed
	cfg := config(url, write(t, "a.tsv", images(5)))
	cfg.Mode, cfg.ChunkSize, cfg.Workers, cfg.VerifyAfter, cfg.Ledger = uploader.Sync, 2, 1, 3*time.Second, openBook(t).Ledger
	r, err := run(t, cfg)
	if err != nil || r.Verification == nil {
		t.Fatalf("%v, verified %+v", err, r.Verification)
	}
	background.Wait()
	if doubles := int64(server.Stats().Pools["1"]) - r.Totals.Created; doubles != r.Verification.Doubled {
		t.Errorf("%d tasks are doubles, and %+v are named", doubles, r.Verification)
	}
}

func TestOnlyRunsThatMayHaveDoubledAreVerified(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mode   uploader.Mode
		verify pipeline.VerifyMode
		lost   bool // the first request
		ledger bool
		want   bool
	}{
		{"a synchronous run", uploader.Sync, "", false, true, false},
		{"one that sent something again", uploader.Sync, "", true, true, true},
		{"the same, where that is not wanted", uploader.Sync, pipeline.VerifyNever, true, true, false},
		{"the same without a ledger", uploader.Sync, "", true, false, false},
		{"an asynchronous one", uploader.Async, "", true, true, false},
		{"any that is to be", uploader.Async, pipeline.VerifyAlways, false, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var faults func(http.Handler) http.Handler
			if tc.lost {
				faults = creations(unheard)
			}
			_, url := serve(t, emulator.Config{}, faults)
			cfg := config(url, write(t, "a.tsv", images(20)))
			cfg.Mode, cfg.ChunkSize, cfg.Verify, cfg.VerifyAfter = tc.mode, 7, tc.verify, time.Nanosecond
			if tc.ledger {
				cfg.Ledger = openBook(t).Ledger
			}
			r, err := run(t, cfg)
			if err != nil || r.Totals.Created != 20 {
				t.Fatalf("%+v, %v", r.Totals, err)
			}
			if verified := r.Verification != nil; verified != tc.want {
				t.Fatalf("verified: %v", verified)
			}
			if tc.want {
				wantVerified(t, *r.Verification, nil)
			}
		})
	}
}

// A synchronous run that was broken off may have sent what it didn't hear of.
func TestARunThatIsGoneOnWithIsVerified(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, url := serve(t, emulator.Config{}, carriedOut(2, cancel))
	b := openBook(t)
	cfg := config(url, write(t, "a.tsv", images(20)))
	cfg.Mode, cfg.ChunkSize, cfg.Workers, cfg.VerifyAfter = uploader.Sync, 5, 2, time.Nanosecond
	if r, _ := b.upload(t, ctx, cfg); r.State != pipeline.Interrupted || r.Verification != nil {
		t.Fatalf("%s, verified %+v", r.State, r.Verification)
	}
	v, err := b.verify(t, url, "run-1")
	if err != nil || v.InDoubt != 10 || v.Found != 10 || v.Accounts.Differences() != 0 || v.Well() {
		t.Errorf("%+v, %v", v, err)
	}
	r, _ := b.upload(t, t.Context(), cfg)
	wantTotals(t, "the second attempt", r, 20, 0, 0)
	if r.Verification == nil || r.Verification.Rows != 20 {
		t.Fatalf("verified %+v", r.Verification)
	}
	wantVerified(t, *r.Verification, nil)
}

func TestARunThatCantBeVerifiedFails(t *testing.T) {
	_, url := serve(t, emulator.Config{}, lists(func(string) string { return "{" }))
	cfg := config(url, write(t, "a.tsv", images(5)))
	cfg.Verify, cfg.Ledger, cfg.API.RetryFor = pipeline.VerifyAlways, openBook(t).Ledger, time.Millisecond
	r, err := run(t, cfg)
	if err == nil || r.State != pipeline.Failed || r.Totals.Created != 5 || !strings.Contains(err.Error(), "was not verified") {
		t.Errorf("%s with %+v, %v", r.State, r.Totals, err)
	}
}

func TestWhatCantBeVerifiedIsRefused(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	api := config(url).API
	for name, rows := range map[string]pipeline.Rows{
		"standard input": pipeline.RowsOfFiles{Input: pipeline.Input{Files: []string{"-"}}, PoolID: "1"},
		"no such file":   pipeline.RowsOfFiles{Input: pipeline.Input{Files: []string{"none.tsv"}}, PoolID: "1"},
		"no such pool":   pipeline.RowsOfFiles{Input: pipeline.Input{Files: []string{"none.tsv"}}, PoolID: "99"},
		"another header": pipeline.RowsOfFiles{Input: pipeline.Input{Files: []string{write(t, "a.tsv", "INPUT:none\n1\n")}}, PoolID: "1"},
	} {
		if _, err := pipeline.Verify(t.Context(), pipeline.Verifying{Rows: rows, API: api}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, cfg := range map[string]pipeline.Config{
		"a mode that there isn't": {Rules: pipeline.Rules{Verify: "sometimes"}},
		"no ledger":               {Rules: pipeline.Rules{Verify: pipeline.VerifyAlways}},
		"a negative time":         {Rules: pipeline.Rules{VerifyAfter: -1}},
	} {
		cfg.Input, cfg.Target = pipeline.Input{Files: []string{"a.tsv"}}, pipeline.Target{PoolID: "1", API: api}
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// More differences than a Verification holds are told all the same.
func TestAllDifferencesAreTold(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	const n = pipeline.MaxDifferences + 5
	told := 0
	v, err := pipeline.Verify(context.Background(), pipeline.Verifying{
		Rows: pipeline.RowsOfFiles{Input: pipeline.Input{Files: []string{write(t, "a.tsv", images(n))}}, PoolID: "1"},
		API:  config(url).API,
		Tell: func(pipeline.Difference) error { told++; return nil },
	})
	if err != nil || told != n || v.Missing != n || len(v.Differences) != pipeline.MaxDifferences {
		t.Errorf("%d were told, %d are held of %d: %v", told, len(v.Differences), v.Missing, err)
	}
	stop := errors.New("the disk is full")
	_, err = pipeline.Verify(context.Background(), pipeline.Verifying{
		Rows: pipeline.RowsOfFiles{Input: pipeline.Input{Files: []string{write(t, "a.tsv", images(3))}}, PoolID: "1"},
		API:  config(url).API,
		Tell: func(pipeline.Difference) error { return stop },
	})
	if !errors.Is(err, stop) {
		t.Errorf("ended with %v", err)
	}
}
