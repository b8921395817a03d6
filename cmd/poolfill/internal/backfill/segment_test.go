package backfill

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
	"poolfill/uploader/tolokatest"
)

// working returns a worker without an engine.
func working(m *Manager, api toloka.Config) *worker {
	return &worker{store: m.store, api: api, log: zap.NewNop(), alarm: newAlarm(m.store.ledger), ended: func() {}}
}

func TestAUsedUpQuotaKeepsTheOtherSegmentsWaiting(t *testing.T) {
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	s := Settings{ChunkSize: 2, SegmentRows: 4, PoolTasks: 4, Limits: ratelimit.Config{TasksPerDay: 3, TasksPerMinute: 1000}}
	b := enter(t, m, server.API(), Source{Path: rowsFile(t, 8), Template: "1"}, s)
	w := working(m, server.API())
	waits := func(number int) {
		t.Helper()
		var again *snooze
		if err := w.work(t.Context(), jobKey{b.ID, number, 1}, 1); !errors.As(err, &again) || again.wait <= 0 {
			t.Fatalf("segment %d ended with %v", number, err)
		}
	}
	cloned := func(number int) bool {
		t.Helper()
		p, err := m.store.slot(t.Context(), b.ID, number)
		if err != nil {
			t.Fatal(err)
		}
		return !p.asked.IsZero()
	}
	waits(0)
	waits(1)
	if !cloned(0) || cloned(1) {
		t.Errorf("pools are cloned: %t, %t", cloned(0), cloned(1))
	}
	// On the next day it is begun, and meets the quota itself.
	if _, err := m.store.db.ExecContext(t.Context(), `UPDATE backfill_segment SET until = $1 WHERE until > 0`, time.Now().Add(-time.Second).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	waits(1)
	if !cloned(1) {
		t.Error("the segment was not begun when the quota was a new one")
	}
}

// behind returns the API of a server behind a handler that sees each request first.
func behind(t *testing.T, server *tolokatest.Server, see func(*http.Request)) toloka.Config {
	t.Helper()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	proxy.Transport, proxy.ErrorLog = transport, log.New(io.Discard, "", 0)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		see(r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		front.Close()
		transport.CloseIdleConnections()
	})
	api := server.API()
	api.BaseURL = front.URL
	return api
}

// A file that changes after it was looked at is not uploaded as if it were the old
// one. With the old one back the segment goes on, unless it has rows of the other.
func TestAFileThatChangesUnderItsSegment(t *testing.T) {
	for name, tt := range map[string]struct {
		at    string // the request that finds it changed
		again error
	}{
		"before the run":     {"/clone", errMixed},
		"after all was read": {"/tasks", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := rowsFile(t, 4)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			was := time.Now().Add(-time.Hour)
			put := func(text []byte, modified time.Time) {
				if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chtimes(path, modified, modified)); err != nil {
					t.Error(err)
				}
			}
			put(old, was)
			var once sync.Once
			api := behind(t, tolokatest.New(t, tolokatest.Config{}), func(r *http.Request) {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, tt.at) {
					once.Do(func() { put(bytes.ReplaceAll(old, []byte(".png"), []byte(".jpg")), time.Now()) })
				}
			})
			m := manage(t, place(t))
			b := enter(t, m, api, Source{Path: path, Template: "1"}, Settings{ChunkSize: 2, SegmentRows: 4, PoolTasks: 4})
			w := working(m, api)
			if err := w.work(t.Context(), jobKey{b.ID, 0, 1}, 1); !errors.Is(err, errChanged) {
				t.Fatalf("it ended with %v", err)
			}
			put(old, was)
			if _, n, err := m.Retry(t.Context(), b.Name); n != 1 || err != nil {
				t.Fatalf("%d segments have failed: %v", n, err)
			}
			if err := w.work(t.Context(), jobKey{b.ID, 0, 2}, 1); !errors.Is(err, tt.again) {
				t.Errorf("with the old file it ended with %v", err)
			}
			want := Finished
			if tt.again != nil {
				want = Failed
			}
			if g, err := m.store.segment(t.Context(), b.ID, 0); err != nil || g.state != want {
				t.Errorf("it is %s: %v", g.state, err)
			}
		})
	}
}

func TestTheReportHasTheWarningsOfAllSegments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.tsv")
	if err := os.WriteFile(path, []byte("INPUT:image\tINPUT:title\na\tb\n\t\na\tb\na\tb\n\t\na\tb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := tolokatest.New(t, tolokatest.Config{})
	m := manage(t, place(t))
	b := enter(t, m, server.API(), Source{Path: path, Template: "1"}, Settings{ChunkSize: 2, SegmentRows: 2, PoolTasks: 4, NoSpec: true})
	for number := range 2 {
		if err := working(m, server.API()).work(t.Context(), jobKey{b.ID, number, 1}, 1); err != nil {
			t.Fatal(err)
		}
	}
	r, err := m.Report(t.Context(), b, nil)
	if err != nil || len(r.Warnings) != 1 || r.Warnings[0].File != r.Files[0].Path || r.Warnings[0].Count != 2 || !slices.Equal(r.Warnings[0].Lines, []int64{3, 6}) {
		t.Errorf("the warnings are %+v: %v", r.Warnings, err)
	}
}

// A worker watches its segment from the moment that it has it: who sees a soft stop
// there shows that he is alive, too.
func TestAWorkerIsWatchfulBeforeItsSegmentIsRead(t *testing.T) {
	for name, at := range map[string]string{"a file server that hangs": "/rows.tsv", "a clone that takes long": "/clone"} {
		t.Run(name, func(t *testing.T) {
			var hangs atomic.Bool
			asked := make(chan struct{}, 100)
			hang := func(r *http.Request) {
				if hangs.Load() && strings.HasSuffix(r.URL.Path, at) {
					_, _ = io.Copy(io.Discard, r.Body) // after which its end is seen
					asked <- struct{}{}
					<-r.Context().Done()
				}
			}
			text, err := os.ReadFile(rowsFile(t, 3))
			if err != nil {
				t.Fatal(err)
			}
			files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hang(r)
				w.Header().Set("ETag", `"1"`)
				http.ServeContent(w, r, "rows.tsv", time.Time{}, bytes.NewReader(text))
			}))
			defer files.Close()
			api := behind(t, tolokatest.New(t, tolokatest.Config{}), hang)
			m := manage(t, place(t))
			b := enter(t, m, api, Source{Path: files.URL + "/rows.tsv", Template: "1"}, Settings{ChunkSize: 2, SegmentRows: 3, PoolTasks: 3})
			hangs.Store(true)
			stop := make(chan struct{})
			w := working(m, api)
			w.stop = stop
			go func() {
				<-asked
				close(stop)
			}()
			var again *snooze
			if err := w.work(t.Context(), jobKey{b.ID, 0, 1}, 0); !errors.As(err, &again) {
				t.Fatalf("it ended with %v", err)
			}
			s, err := m.Status(t.Context(), b.Name)
			if err != nil || s.Segments[Waiting] != 1 || len(s.Trouble) > 0 {
				t.Errorf("the segments are %+v with %+v: %v", s.Segments, s.Trouble, err)
			}
			// It goes on where it was.
			hangs.Store(false)
			w.stop = nil
			if err := w.work(t.Context(), jobKey{b.ID, 0, 1}, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// silent is a database whose connection stands, but gives no answer.
type silent struct{}

func (silent) Connect(context.Context) (driver.Conn, error) { return silent{}, nil }
func (silent) Driver() driver.Driver                        { return nil }
func (silent) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrBadConn }
func (silent) Begin() (driver.Tx, error)                    { return nil, driver.ErrBadConn }
func (silent) Close() error                                 { return nil }

func (silent) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAWorkerLetsGoOfASegmentWhereTheDatabaseIsSilent(t *testing.T) {
	l := place(t).Ledger
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		w := &worker{store: store{database{db: sql.OpenDB(silent{})}}, log: zap.NewNop(), alarm: newAlarm(l), stop: stop}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun := time.Now()
		var stopped, left time.Duration
		ended := w.watch(ctx, segment{}, "me", func() { stopped = time.Since(begun) }, func() {
			left = time.Since(begun)
			cancel()
		})
		time.Sleep(beatEvery + time.Millisecond) // a beat is under way
		close(stop)
		ended()
		if stopped != beatEvery+time.Millisecond || left == 0 || left >= abandoned {
			t.Errorf("it saw that it is to stop after %s, and let go after %s", stopped, left)
		}
		if err := w.store.db.Close(); err != nil {
			t.Error(err)
		}
	})
}
