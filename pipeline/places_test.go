package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// rewrite gives a file another text.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func warned(r pipeline.Report, code string) (w pipeline.Warning) {
	for _, w := range r.Warnings {
		if w.Code == code {
			return w
		}
	}
	return w
}

// However a file is read the second time, a row that was created from its bytes is not
// created again.
func TestFlagsMakeNoRowNew(t *testing.T) {
	plain := func(n int) string { return strings.ReplaceAll(images(n), "number", "n\u00fcmber") }
	stray := strings.Replace(images(500), "number 300", "\"number 300", 1)
	lines := "INPUT:title\tINPUT:image\n" + strings.Repeat("a\thttps://example.com/1.jpg\n", 3) +
		"\"x\ny\"\thttps://example.com/2.jpg\n" + strings.Repeat("b\thttps://example.com/1.jpg\n", 3)
	for name, tt := range map[string]struct {
		text   string
		change func(*pipeline.Config)
		// What the second upload creates, finds, and finds as other tasks.
		created, duplicate, rejected, otherwise int64
	}{
		"one bad byte, then another charset": {
			strings.Replace(plain(3001), "n\u00fcmber 2500\n", "n\xFCmber 2500\n", 1),
			func(c *pipeline.Config) { c.Reader.Encoding = "windows-1252" },
			1, 3000, 0, 3000,
		},
		"a stray quote, then without quotes": {
			stray, func(c *pipeline.Config) { c.Reader.Quotes = reader.QuotesNone }, 1, 499, 0, 0,
		},
		"a cell over lines, then without quotes": {
			lines, func(c *pipeline.Config) { c.Reader.Quotes = reader.QuotesNone }, 0, 8, 0, 1,
		},
		"another column": {
			images(10), func(c *pipeline.Config) { c.Reader.Ignore = []string{"INPUT:title"} }, 0, 10, 0, 10,
		},
		"another check, which refuses them": {
			images(10), func(c *pipeline.Config) {
				c.NoSpec, c.Reader.Spec = false, &reader.Spec{}
				if err := json.Unmarshal([]byte(`{"input_spec":{"image":{"type":"url"},"title":{"type":"integer"}}}`), c.Reader.Spec); err != nil {
					panic(err)
				}
			}, 0, 10, 0, 0,
		},
		"other chunks, another mode": {
			images(50, 7), func(c *pipeline.Config) { c.ChunkSize, c.Mode = 7, uploader.Sync }, 0, 49, 1, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, url := serve(t, emulator.Config{}, nil)
			b := openBook(t)
			cfg := config(url, write(t, "a.tsv", tt.text))
			cfg.ChunkSize, cfg.NoSpec = 1000, true
			first, _ := b.upload(t, t.Context(), cfg)
			tt.change(&cfg)
			r, heard := b.upload(t, t.Context(), cfg)
			if r.Totals.Created != tt.created || r.Totals.Rejected != tt.rejected {
				t.Errorf("first %+v, then %+v", first.Totals, r.Totals)
			}
			if got := int64(server.Stats().Pools["1"]); got != first.Totals.Created+tt.created {
				t.Errorf("%d tasks in the pool, after %d", got, first.Totals.Created)
			}
			if w := warned(r, pipeline.CodeCreatedOtherwise); w.Count != tt.otherwise {
				t.Errorf("%d rows would be other tasks, want %d: %+v", w.Count, tt.otherwise, w)
			}
			if r.Totals.Duplicate != tt.duplicate {
				t.Errorf("%d duplicates, want %d", r.Totals.Duplicate, tt.duplicate)
			}
			for key, row := range heard.rows {
				if row.Status == verdict.Duplicate && row.TaskID == "" && !strings.Contains(name, "without quotes") {
					t.Errorf("row %s has no task", key)
					break
				}
			}
		})
	}
}

// What was appended is new, even if it is equal to what stood before.
func TestAFileThatGrewHasNewRowsOnly(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprint("moved: ", moved), func(t *testing.T) {
			t.Parallel()
			server, url := serve(t, emulator.Config{}, nil)
			b := openBook(t)
			path := write(t, "a.tsv", images(30))
			cfg := config(url, path)
			b.upload(t, t.Context(), cfg)
			text := images(30) + strings.Join(strings.SplitAfter(images(10), "\n")[1:], "")
			for i := range 3 {
				if moved {
					path = write(t, fmt.Sprint(i, ".tsv"), "")
					cfg.Files = []string{path}
				}
				rewrite(t, path, text)
				r, _ := b.upload(t, t.Context(), cfg)
				wantTotals(t, "the grown file", r, 10, int64(30+10*i), 0)
				text += strings.Join(strings.SplitAfter(images(10), "\n")[1:], "")
			}
			if got := server.Stats().Pools["1"]; got != 60 {
				t.Errorf("%d tasks in the pool", got)
			}
		})
	}
}

func TestARowThatAnAppendedPieceChangesIsNew(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	path := write(t, "a.tsv", strings.TrimSuffix(images(5), "\n"))
	cfg := config(url, path)
	b.upload(t, t.Context(), cfg)
	rewrite(t, path, strings.TrimSuffix(images(5), "\n")+"5\nhttps://example.com/6.jpg\tnumber 6\n")
	r, _ := b.upload(t, t.Context(), cfg)
	wantTotals(t, "the last line went on", r, 2, 4, 0)
	rewrite(t, path, strings.TrimSuffix(images(5), "\n")+"5\nhttps://example.com/6.jpg\tnumber 6\n\n")
	r, _ = b.upload(t, t.Context(), cfg)
	wantTotals(t, "an empty line more", r, 0, 6, 0)
	if got := server.Stats().Pools["1"]; got != 7 {
		t.Errorf("%d tasks in the pool", got)
	}
}

// A run that was cut off is known by the bytes that it had read, whatever is changed
// before the next attempt.
func TestARunThatWasCutOffIsKnownByItsBytes(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		for name, change := range map[string]func(*pipeline.Config, string){
			"flags":              func(c *pipeline.Config, _ string) { c.Reader.Ignore = []string{"INPUT:title"} },
			"chunks and workers": func(c *pipeline.Config, _ string) { c.ChunkSize, c.Workers = 7, 1 },
			"the mode": func(c *pipeline.Config, _ string) {
				c.Mode = map[uploader.Mode]uploader.Mode{uploader.Async: uploader.Sync, uploader.Sync: uploader.Async}[c.Mode]
			},
			"it grew": func(_ *pipeline.Config, path string) {
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err == nil {
					_, err = f.WriteString("https://example.com/1.jpg\tnumber 1\n")
					err = errors.Join(err, f.Close())
				}
				if err != nil {
					panic(err)
				}
			},
		} {
			t.Run(fmt.Sprint(mode, ", ", name), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				server, url := serve(t, emulator.Config{}, carriedOut(2, cancel))
				b := openBook(t)
				path := write(t, "a.tsv", images(50))
				cfg := config(url, path)
				cfg.Mode, cfg.ChunkSize, cfg.Workers = mode, 10, 2
				if r, _ := b.upload(t, ctx, cfg); r.State != pipeline.Interrupted {
					t.Fatalf("%s with %+v", r.State, r.Totals)
				}
				change(&cfg, path)
				want := 50
				if name == "it grew" {
					want = 51
				}
				r, _ := b.upload(t, t.Context(), cfg)
				wantTotals(t, "the second attempt", r, int64(want-20), 20, 0)
				if got := server.Stats().Pools["1"]; got != want {
					t.Errorf("%d tasks in the pool, want %d", got, want)
				}
			})
		}
	}
}

// garbling has something on the way that spoils all tasks, until it is told otherwise.
func garbling(bad *atomic.Bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && bad.Load() {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					panic(err)
				}
				body = bytes.ReplaceAll(body, []byte("https:"), []byte("htp:/:"))
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// A file with rows that were refused is never unchanged: they are tried again.
func TestRefusedRowsAreTriedAgain(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		for _, rule := range []pipeline.OnInvalid{pipeline.SkipInvalid, pipeline.StopAtInvalid} {
			t.Run(fmt.Sprint(mode, ", ", rule), func(t *testing.T) {
				t.Parallel()
				var bad atomic.Bool
				bad.Store(true)
				server, url := serve(t, emulator.Config{}, garbling(&bad))
				b := openBook(t)
				cfg := config(url, write(t, "a.tsv", images(30)))
				cfg.Mode, cfg.ChunkSize, cfg.OnInvalid = mode, 10, rule
				cfg.RunID, cfg.Ledger = "refused", b.Ledger
				for range 2 {
					r, _ := run(t, cfg)
					if r.Totals.Created != 0 || r.Totals.Rejected == 0 {
						t.Fatalf("refused: %s with %+v", r.State, r.Totals)
					}
					cfg.RunID += "-again"
				}
				bad.Store(false)
				r, _ := b.upload(t, t.Context(), cfg)
				wantTotals(t, "when the reason is gone", r, 30, 0, 0)
				r, _ = b.upload(t, t.Context(), cfg)
				if wantTotals(t, "and again", r, 0, 0, 0); r.Files[0].UnchangedSince == "" {
					t.Errorf("%+v", r.Files)
				}
				if got := server.Stats().Pools["1"]; got != 30 {
					t.Errorf("%d tasks in the pool", got)
				}
			})
		}
	}
}

func TestRowsThatTheCheckRefusesAreCheckedAgain(t *testing.T) {
	t.Parallel()
	_, url := serve(t, emulator.Config{}, nil)
	b := openBook(t)
	cfg := config(url, write(t, "a.tsv", images(30, 7, 8)))
	r, _ := b.upload(t, t.Context(), cfg)
	wantTotals(t, "the first", r, 28, 0, 2)
	for range 2 {
		r, _ = b.upload(t, t.Context(), cfg)
		wantTotals(t, "again", r, 0, 28, 2)
	}
}

// A row that is half of one text and half of another is never sent.
func TestAFileThatIsRewrittenWhileItIsReadEndsTheRun(t *testing.T) {
	for name, change := range map[string]func(path, text string) error{
		"rewritten in place": func(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) },
		"replaced": func(path, text string) error {
			return errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := images(40_000)
			path := write(t, "a.tsv", text)
			var once sync.Once
			server, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						once.Do(func() {
							if err := change(path, strings.ReplaceAll(text, "number", "title no. ")); err != nil {
								t.Error(err)
							}
						})
					}
					next.ServeHTTP(w, r)
				})
			})
			cfg := config(url, path)
			cfg.ChunkSize, cfg.Workers, cfg.Ledger = 1000, 1, openBook(t).Ledger
			r, err := run(t, cfg)
			var changed *pipeline.ChangedError
			if !errors.As(err, &changed) || r.State != pipeline.Failed || r.Totals.Unsent == 0 {
				t.Fatalf("%v: %s with %+v", err, r.State, r.Totals)
			}
			// What was sent before is created: the chunks that were read whole.
			if got := server.Stats().Pools["1"]; int64(got) != r.Totals.Created || got > 3000 {
				t.Errorf("%d tasks in the pool, %+v", got, r.Totals)
			}
		})
	}
}

// What is wrong with all rows of a chunk is not tried with all other rows, too.
func TestARunStopsWhereAllRowsOfAChunkAreRefusedAlike(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			var bad atomic.Bool
			bad.Store(true)
			server, url := serve(t, emulator.Config{}, garbling(&bad))
			b := openBook(t)
			cfg := config(url, write(t, "a.tsv", images(2000)))
			cfg.Mode, cfg.ChunkSize, cfg.Workers = mode, 20, 1
			cfg.RunID, cfg.Ledger = "refused", b.Ledger
			r, err := run(t, cfg)
			var all *pipeline.AllRefusedError
			if !errors.As(err, &all) || r.State != pipeline.Stopped || r.Totals.Rejected > 60 || r.Totals.Unsent == 0 {
				t.Fatalf("%v: %s with %+v", err, r.State, r.Totals)
			}
			cfg.KeepGoing = true
			if r, err = run(t, cfg); err != nil || r.Totals.Rejected != 2000 {
				t.Errorf("%v: %s with %+v", err, r.State, r.Totals)
			}
			bad.Store(false)
			r, _ = b.upload(t, t.Context(), cfg)
			wantTotals(t, "when it is fixed", r, 2000, 0, 0)
			if got := server.Stats().Pools["1"]; got != 2000 {
				t.Errorf("%d tasks in the pool", got)
			}
		})
	}
}
