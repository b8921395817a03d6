package pipeline_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
)

// shelf serves a text at every path.
type shelf struct {
	mu   sync.Mutex
	text string
	etag string // empty where a version can't be told
}

func (s *shelf) put(text, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.etag = text, etag
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.text))
}

func serveShelf(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// The rows of a URL are those of a file, whatever is behind its ?.
func TestRowsOfAURLAreUploadedOnce(t *testing.T) {
	for _, versions := range []bool{true, false} {
		t.Run(fmt.Sprintf("versions %t", versions), func(t *testing.T) {
			server, url := serve(t, emulator.Config{}, nil)
			s, b := &shelf{}, openBook(t)
			address := serveShelf(t, s) + "/a.tsv"
			upload := func(text string, version, try int) pipeline.Report {
				etag := ""
				if versions {
					etag = fmt.Sprintf(`"%d"`, version)
				}
				s.put(text, etag)
				r, heard := b.upload(t, t.Context(), config(url, fmt.Sprintf("%s?sig=%d", address, try)))
				for _, row := range heard.rows {
					if row.Position.File != address {
						t.Errorf("a row is of %s", row.Position.File)
					}
				}
				if len(r.Files) != 1 || r.Files[0].Path != address {
					t.Errorf("%+v", r.Files)
				}
				return r
			}
			if r := upload(images(20), 1, 1); r.Totals.Created != 20 {
				t.Errorf("first %+v", r.Totals)
			}
			r := upload(images(20), 1, 2)
			if known := r.Files[0].UnchangedSince == "run-1"; known != versions || r.Totals.Created != 0 {
				t.Errorf("unchanged %+v %+v", r.Totals, r.Files)
			}
			if r := upload(images(23), 2, 3); r.Totals.Created != 3 || r.Totals.Duplicate != 20 {
				t.Errorf("grown %+v", r.Totals)
			}
			if n := server.Stats().Pools["1"]; n != 23 {
				t.Errorf("the pool has %d", n)
			}
		})
	}
}

func TestARunOverAURLIsGoneOnWith(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	server, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	s, b := &shelf{text: images(100), etag: `"1"`}, openBook(t)
	cfg := config(url, serveShelf(t, s)+"/a.tsv")
	cfg.ChunkSize, cfg.Workers = 10, 2
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if r, _ := b.upload(t, ctx, cfg); r.State != pipeline.Interrupted || r.RunID != "run-1" {
		t.Errorf("%s: %+v", r.State, r.Totals)
	}
	close(release)
	if r, _ := b.upload(t, t.Context(), cfg); r.RunID != "run-1" || r.Totals.Created != 100 || server.Stats().Pools["1"] != 100 {
		t.Errorf("%s: %+v", r.RunID, r.Totals)
	}
}

// A run that is told to stop doesn't wait for a server that gives nothing.
func TestAStopBreaksOffTheReadingOfAURL(t *testing.T) {
	for name, stop := range map[string]func(p *pipeline.Pipeline, cancel func()){
		"soft": func(p *pipeline.Pipeline, _ func()) { p.Stop() },
		"hard": func(_ *pipeline.Pipeline, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, emulator.Config{}, nil)
			waits := make(chan struct{}, 1)
			var asked atomic.Int64
			text := images(5000)
			address := serveShelf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"1"`)
				_, _ = w.Write([]byte(text[:len(text)-5]))
				w.(http.Flusher).Flush()
				if asked.Add(1) == 3 { // the header, the identity, the rows
					waits <- struct{}{}
				}
				<-r.Context().Done()
			})) + "/a.tsv"
			l, err := ledger.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}()
			cfg := config(url, address)
			cfg.Ledger = l
			p, err := pipeline.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer cfg.API.HTTP.CloseIdleConnections()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				<-waits
				stop(p, cancel)
			}()
			r, err := p.Run(ctx)
			if err != nil || r.State != pipeline.Interrupted || r.Totals.Rows != r.Totals.Created+r.Totals.Unsent {
				t.Errorf("%v: %s, %+v", err, r.State, r.Totals)
			}
		})
	}
}

func TestAPartOfAURLIsRefusedWhereItChanged(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	s, b := &shelf{text: images(20), etag: `"1"`}, openBook(t)
	cfg := part(url, serveShelf(t, s)+"/a.tsv", "job/1")
	if _, err := reader.Cut(t.Context(), cfg.Files[0], reader.Config{}, 15, func(s reader.Segment) error {
		cfg.Reader = s.Config(reader.Config{})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	cfg.Ledger = b.Ledger
	if r, err := run(t, cfg); err != nil || r.Totals.Created != 5 {
		t.Errorf("%v, %+v", err, r.Totals)
	}
	s.put(images(20), `"2"`)
	if _, err := run(t, cfg); err == nil || !strings.Contains(err.Error(), "is not what it was when job/1 began") {
		t.Errorf("got %v", err)
	}
	if n := server.Stats().Pools["1"]; n != 5 {
		t.Errorf("the pool has %d", n)
	}
}

func TestURLsOfOneNameAreRefused(t *testing.T) {
	cfg := config("http://127.0.0.1:1", "https://h/a?x=1", "https://h/a?x=2")
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), `two inputs have the name "https://h/a"`) {
		t.Errorf("got %v", err)
	}
}
