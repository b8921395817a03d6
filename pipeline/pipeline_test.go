package pipeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"poolfill/batcher"
	"poolfill/internal/contract"
	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Recorder that keeps everything.
type memory struct {
	mu     sync.Mutex
	inputs []reader.Info
	rows   map[string]verdict.Verdict // by "file:record"
	fail   error
	onRow  func(verdict.Verdict)
}

func (m *memory) Input(i reader.Info) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inputs = append(m.inputs, i)
	return nil
}

func (m *memory) Finish(r pipeline.Report) (pipeline.Report, error) { return r, nil }

func (m *memory) Record(results []verdict.Verdict) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.rows == nil {
		m.rows = make(map[string]verdict.Verdict)
	}
	for _, r := range results {
		key := fmt.Sprintf("%s:%d", r.Position.File, r.Position.Record)
		if _, twice := m.rows[key]; twice {
			return fmt.Errorf("row %s has two outcomes", key)
		}
		r.Raw = bytes.Clone(r.Raw)
		m.rows[key] = r
		if m.onRow != nil {
			m.onRow(r)
		}
	}
	return nil
}

func (m *memory) count(s verdict.Status) (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.Status == s {
			n++
		}
	}
	return n
}

// serve starts an emulator; wrap may change what it answers.
func serve(t testing.TB, cfg emulator.Config, wrap func(http.Handler) http.Handler) (*emulator.Server, string) {
	t.Helper()
	server, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = server
	if wrap != nil {
		handler = wrap(server)
	}
	listener := httptest.NewServer(handler)
	t.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, listener.URL
}

// write makes an input file and gives its path.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// images gives n rows, of which each whose number is in bad has a broken URL.
func images(n int, bad ...int) string {
	var b strings.Builder
	b.WriteString("INPUT:image\tINPUT:title\n")
	for i := 1; i <= n; i++ {
		scheme := "https://"
		for _, k := range bad {
			if k == i {
				scheme = "htp:/"
			}
		}
		fmt.Fprintf(&b, "%sexample.com/%d.jpg\tnumber %d\n", scheme, i, i)
	}
	return b.String()
}

func config(url string, files ...string) pipeline.Config {
	return pipeline.Config{
		Input: pipeline.Input{Files: files},
		Target: pipeline.Target{
			PoolID: "1",
			API:    toloka.Config{BaseURL: url, Token: "token", HTTP: &http.Client{Transport: &http.Transport{}}},
		},
		Keeping: pipeline.Keeping{RunID: "test"},
	}
}

func run(t *testing.T, cfg pipeline.Config) (pipeline.Report, error) {
	t.Helper()
	return runIn(t, context.Background(), cfg)
}

func runIn(t *testing.T, ctx context.Context, cfg pipeline.Config) (pipeline.Report, error) { //nolint:revive // t comes first in tests
	t.Helper()
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.API.HTTP != nil {
		defer cfg.API.HTTP.CloseIdleConnections()
	}
	return p.Run(ctx)
}

func TestEveryRowIsCreatedOnceInBothModes(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		t.Run(string(mode), func(t *testing.T) {
			server, url := serve(t, emulator.Config{}, nil)
			rows := &memory{}
			cfg := config(url, write(t, "a.tsv", images(250)), write(t, "b.tsv", images(30)+"\thttps://x\n"))
			cfg.Mode, cfg.ChunkSize, cfg.Recorder = mode, 20, rows
			r, err := run(t, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.State != pipeline.Finished || r.Totals != (pipeline.Totals{Rows: 281, Created: 280, Rejected: 1}) {
				t.Errorf("%s with %+v", r.State, r.Totals)
			}
			if n := server.Stats().Pools["1"]; n != 280 {
				t.Errorf("the pool has %d tasks", n)
			}
			ids := make(map[string]bool)
			for _, row := range rows.rows {
				if row.Status == verdict.Created {
					ids[row.TaskID] = true
				}
			}
			if len(ids) != 280 {
				t.Errorf("%d different task ids", len(ids))
			}
			if len(r.Files) != 2 || r.Files[0].Rows != 250 || r.Files[1].Rejected != 1 || len(r.Files[0].SHA256) != 64 {
				t.Errorf("files %+v", r.Files)
			}
			if r.Requests.Sent == 0 || r.Requests.ByStatus["200"] == 0 || r.Requests.Chunks != 14 {
				t.Errorf("requests %+v", r.Requests)
			}
		})
	}
}

func TestTheServersErrorsAreNamedByColumn(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	rows := &memory{}
	cfg := config(url, write(t, "a.tsv", "GOLDEN:result\tINPUT:image\nbird\thttps://example.com/1\n\tnope\ncat\thttps://example.com/2\n"))
	cfg.Reader.TrustServer, cfg.Recorder = true, rows
	r, err := run(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Totals != (pipeline.Totals{Rows: 3, Created: 1, Rejected: 2}) {
		t.Errorf("totals %+v", r.Totals)
	}
	got := make(map[string]string)
	for _, g := range r.Rejections {
		got[g.Field] = g.Stage + " " + g.Code + " " + g.Samples[0]
	}
	file := cfg.Files[0]
	if got["GOLDEN:result"] != "server "+contract.CodeUnknownEnumValue+" "+file+":2" || got["INPUT:image"] != "server "+contract.CodeInvalidURLSyntax+" "+file+":3" {
		t.Errorf("rejections %+v", r.Rejections)
	}
	for _, row := range rows.rows {
		if row.Status == verdict.Rejected && (row.Findings[0].Column == 0 || len(row.Raw) == 0) {
			t.Errorf("rejected row %+v", row)
		}
		if row.Status == verdict.Created && (len(row.Findings) > 0 || row.Raw != nil) {
			t.Errorf("a created row has what belongs to the one before it: %+v", row)
		}
	}
}

func TestStopAtInvalidCreatesNothingAfterIt(t *testing.T) {
	for name, trust := range map[string]bool{"found by the check": false, "found by the server": true} {
		t.Run(name, func(t *testing.T) {
			server, url := serve(t, emulator.Config{}, nil)
			cfg := config(url, write(t, "a.tsv", images(100, 57)))
			cfg.OnInvalid, cfg.ChunkSize, cfg.Reader.TrustServer = pipeline.StopAtInvalid, 10, trust
			r, err := run(t, cfg)
			if err == nil || !strings.Contains(err.Error(), "a.tsv:58") {
				t.Errorf("the error is %v", err)
			}
			var setup *pipeline.SetupError
			if errors.As(err, &setup) {
				t.Error("the error says that nothing was sent")
			}
			if r.State != pipeline.Stopped || r.Totals.Created != 50 || r.Totals.Rejected != 1 || server.Stats().Pools["1"] != 50 {
				t.Errorf("%s with %+v, %d in the pool", r.State, r.Totals, server.Stats().Pools["1"])
			}
		})
	}
}

// While a chunk is under way, the reader does not go on to rows whose error
// would come before what the chunk creates.
func TestStopAtInvalidReadsNothingWhileAChunkIsUnderWay(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	_, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	const chunk = 10
	cfg := config(url, write(t, "a.tsv", images(100)))
	cfg.OnInvalid, cfg.ChunkSize = pipeline.StopAtInvalid, chunk
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.API.HTTP.CloseIdleConnections()
	go func() {
		<-arrived
		waitUntilSettled(p)
		if read := p.Progress().Totals.Rows; read > chunk+1 {
			t.Errorf("%d rows were read while the first %d were under way", read, chunk)
		}
		close(release)
	}()
	if r, err := p.Run(context.Background()); err != nil || r.Totals.Created != 100 {
		t.Fatalf("%v: %+v", err, r.Totals)
	}
}

// waitUntilSettled gives the reader every chance to run ahead.
func waitUntilSettled(p *pipeline.Pipeline) {
	for last := int64(-1); last != p.Progress().Totals.Rows; {
		last = p.Progress().Totals.Rows
		for range 1000 {
			_ = p.Progress()
			runtime.Gosched()
		}
	}
}

func TestTooManyRejectedRowsStopTheRun(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	cfg := config(url, write(t, "a.tsv", images(100, 5, 6, 7)))
	cfg.MaxRejected = pipeline.MaxRejected{Rows: 2}
	r, err := run(t, cfg)
	if err == nil || r.State != pipeline.Stopped || r.Totals.Rejected != 3 || r.Totals.Created != 0 || r.Totals.Unsent != 4 {
		t.Errorf("%v: %s with %+v", err, r.State, r.Totals)
	}
	cfg.MaxRejected = pipeline.MaxRejected{Percent: 2}
	if r, err = run(t, cfg); err == nil || r.Totals.Created != 0 || r.Totals.Unsent != 97 {
		t.Errorf("a share over the bound: %v, %+v", err, r.Totals)
	}
	cfg.MaxRejected = pipeline.MaxRejected{Percent: 3}
	if r, err = run(t, cfg); err != nil || r.Totals.Created != 97 {
		t.Errorf("a share at the bound: %v, %+v", err, r.Totals)
	}
}

// What can't begin says so before anything is sent.
func TestARunThatCannotBeginSendsNothing(t *testing.T) {
	good := images(3)
	tests := map[string]struct {
		file   string
		change func(*pipeline.Config)
		want   string
	}{
		"no such pool":            {good, func(c *pipeline.Config) { c.PoolID = "77" }, "77"},
		"no smart mixing":         {good, func(c *pipeline.Config) { c.PoolID = "2" }, "mixer_config"},
		"an archived pool":        {good, func(c *pipeline.Config) { c.PoolID = "3" }, "archived"},
		"a refused token":         {good, func(c *pipeline.Config) { c.API.Token = "wrong" }, "token"},
		"an unknown column":       {"INPUT:imagis\nx\n", nil, "imagis"},
		"no rows":                 {"INPUT:image\n", nil, "no rows"},
		"an empty file":           {"", nil, "empty"},
		"a file that is not text": {"PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaaaa", nil, "ZIP"},
		"a mistake in the last of several files": {good, func(c *pipeline.Config) {
			c.Files = append(c.Files, write(t, "second.tsv", "INPUT:nope\nx\n"))
		}, "nope"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server, url := serve(t, emulator.Config{Token: "token"}, nil)
			cfg := config(url, write(t, "a.tsv", tt.file))
			if tt.change != nil {
				tt.change(&cfg)
			}
			r, err := run(t, cfg)
			var setup *pipeline.SetupError
			if !errors.As(err, &setup) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v", err)
			}
			if r.Totals.Created != 0 || server.Stats().Pools["1"] != 0 {
				t.Errorf("created %d, in the pool %d", r.Totals.Created, server.Stats().Pools["1"])
			}
			if strings.Contains(fmt.Sprint(err), "wrong") {
				t.Errorf("the error gives the token away: %v", err)
			}
		})
	}
}

func TestAnInputWithoutRowsAmongOthersIsAWarning(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	r, err := run(t, config(url, write(t, "none.tsv", "INPUT:image\n"), write(t, "some.tsv", images(2))))
	if err != nil || r.Totals.Created != 2 {
		t.Fatalf("%v: %+v", err, r.Totals)
	}
	if len(r.Warnings) != 1 || r.Warnings[0].Code != reader.CodeNoRows {
		t.Errorf("warnings %+v", r.Warnings)
	}
}

// holdPosts answers POST /tasks only when release is closed.
func holdPosts(release <-chan struct{}, arrived chan<- struct{}) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				arrived <- struct{}{}
				select {
				case <-release:
				case <-r.Context().Done():
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestASoftStopFinishesWhatIsInFlight(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	server, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	cfg := config(url, write(t, "a.tsv", images(1000)))
	cfg.ChunkSize, cfg.Workers, cfg.Recorder = 10, 3, &memory{}
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.API.HTTP.CloseIdleConnections()
	go func() {
		for range cfg.Workers {
			<-arrived
		}
		p.Stop()
		p.Stop() // once more does no harm
		close(release)
	}()
	r, err := p.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if r.State != pipeline.Interrupted || r.Totals.Created < 30 || r.Totals.Rejected != 0 || r.Totals.Created+r.Totals.Unsent != r.Totals.Rows {
		t.Errorf("%s with %+v", r.State, r.Totals)
	}
	if int64(server.Stats().Pools["1"]) != r.Totals.Created {
		t.Errorf("%d in the pool, %d reported", server.Stats().Pools["1"], r.Totals.Created)
	}
	if !p.Progress().Stopping {
		t.Error("the progress does not say that the run is stopping")
	}
}

func TestASoftStopDoesNotWaitForTheQuota(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	cfg := config(url, write(t, "a.tsv", images(100)))
	cfg.ChunkSize, cfg.Limits.TasksPerDay = 10, 30
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.API.HTTP.CloseIdleConnections()
	go func() {
		for p.Progress().Totals.Created < 30 || p.Progress().Gate.PausedUntil.IsZero() {
			runtime.Gosched()
		}
		p.Stop()
	}()
	r, err := p.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if r.State != pipeline.Interrupted || r.Totals.Created != 30 || r.Totals.Unsent != r.Totals.Rows-30 || server.Stats().Pools["1"] != 30 {
		t.Errorf("%s with %+v, %d in the pool", r.State, r.Totals, server.Stats().Pools["1"])
	}
}

func TestCancellingLeavesAtOnceAndAccountsForEveryRow(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	defer close(release)
	_, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	rows := &memory{}
	cfg := config(url, write(t, "a.tsv", images(1000)))
	cfg.ChunkSize, cfg.Workers, cfg.Recorder = 10, 2, rows
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		<-arrived
		cancel()
	}()
	r, err := runIn(t, ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.State != pipeline.Interrupted || r.Totals.Created != 0 || r.Totals.Unsent != r.Totals.Rows || rows.count(verdict.Unsent) != r.Totals.Rows {
		t.Errorf("%s with %+v, recorded %d", r.State, r.Totals, rows.count(verdict.Unsent))
	}
	inDoubt := 0
	for _, row := range rows.rows {
		if row.Reason == "" {
			t.Fatalf("row %+v has no reason", row.Position)
		}
		if strings.Contains(row.Reason, "may") {
			inDoubt++
		}
	}
	if inDoubt != 20 {
		t.Errorf("%d rows are said to be in doubt, want the 20 in flight", inDoubt)
	}
}

func TestStoppingWhileTheServerIsUnreachableEndsTheWait(t *testing.T) {
	asked := make(chan struct{}, 100)
	_, url := serve(t, emulator.Config{}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked <- struct{}{}
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	})
	p, err := pipeline.New(config(url, write(t, "a.tsv", images(1))))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		p.Stop()
	}()
	if _, err := p.Run(context.Background()); !errors.Is(err, pipeline.ErrInterrupted) {
		t.Errorf("the error is %v", err)
	}
}

// counting counts what is read of it.
type counting struct {
	r io.Reader
	n atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// The bound in the package comment: while no answer comes, the reader gets no
// further than the chunks that may be alive, whatever the input's length.
func TestBackpressureBoundsTheChunksAlive(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 1000)
	_, url := serve(t, emulator.Config{}, holdPosts(release, arrived))
	const rows, chunk, workers = 20_000, 50, 2
	rowsSeen := &memory{}
	cfg := config(url, "-")
	cfg.Stdin = &counting{r: strings.NewReader(images(rows))}
	cfg.ChunkSize, cfg.Workers, cfg.Recorder = chunk, workers, rowsSeen
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.API.HTTP.CloseIdleConnections()
	go func() {
		for range workers {
			<-arrived
		}
		waitUntilSettled(p)
		if read := p.Progress().Totals.Rows; read > (workers+2)*chunk {
			t.Errorf("%d rows were read ahead of %d workers with chunks of %d", read, workers, chunk)
		}
		close(release)
	}()
	r, err := p.Run(context.Background())
	if err != nil || r.Totals.Created != rows {
		t.Fatalf("%v: %+v", err, r.Totals)
	}
}

func TestARecorderThatFailsEndsTheRun(t *testing.T) {
	_, url := serve(t, emulator.Config{}, nil)
	full := errors.New("no space left on device")
	cfg := config(url, write(t, "a.tsv", images(1000)))
	cfg.ChunkSize, cfg.Recorder = 10, &memory{fail: full}
	r, err := run(t, cfg)
	if !errors.Is(err, full) || r.State != pipeline.Failed {
		t.Errorf("%v: %s", err, r.State)
	}
	if r.Totals.Rows == 1000 && r.Totals.Unsent == 0 {
		t.Error("the run went on as if nothing had happened")
	}
}

func TestAnInputThatBreaksOffFailsAndAccountsForWhatWasRead(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, images(50_000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := config(url, write(t, "a.tsv.gz", packed.String()[:packed.Len()*2/3]))
	cfg.ChunkSize = 1000
	r, err := run(t, cfg)
	if err == nil || !strings.Contains(err.Error(), "a.tsv.gz") {
		t.Errorf("the error is %v", err)
	}
	if r.State != pipeline.Failed || r.Totals.Rows == 0 || r.Totals.Rows != r.Totals.Created+r.Totals.Unsent {
		t.Errorf("%s with %+v", r.State, r.Totals)
	}
	if int64(server.Stats().Pools["1"]) != r.Totals.Created {
		t.Errorf("%d in the pool, %d reported", server.Stats().Pools["1"], r.Totals.Created)
	}
}

func TestTheSameRunAgainDoublesNothing(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	cfg := config(url, write(t, "a.tsv", images(100)))
	cfg.ChunkSize = 7
	for _, earlier := range []int64{0, 100} {
		cfg.API.HTTP = &http.Client{Transport: &http.Transport{}}
		if r, err := run(t, cfg); err != nil || r.Totals.Created != 100 || r.Earlier != earlier {
			t.Fatalf("%v: %+v, %d of them from an earlier run, want %d", err, r.Totals, r.Earlier, earlier)
		}
	}
	if n := server.Stats().Pools["1"]; n != 100 {
		t.Errorf("the pool has %d tasks", n)
	}
	cfg.Job = pipeline.Upload{RunKey: "another"}
	cfg.API.HTTP = &http.Client{Transport: &http.Transport{}}
	if _, err := run(t, cfg); err != nil {
		t.Fatal(err)
	}
	if n := server.Stats().Pools["1"]; n != 200 {
		t.Errorf("with another key the pool has %d tasks", n)
	}
}

func TestThePoolIsOpenedAtTheEnd(t *testing.T) {
	var opened atomic.Bool
	_, url := serve(t, emulator.Config{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/pools/5/open") {
				opened.Store(true)
			}
			next.ServeHTTP(w, r)
		})
	})
	cfg := config(url, write(t, "a.tsv", images(3)))
	cfg.PoolID, cfg.Job = "5", pipeline.Upload{OpenPool: true}
	if r, err := run(t, cfg); err != nil || r.Totals.Created != 3 {
		t.Fatalf("%v: %+v", err, r.Totals)
	}
	if !opened.Load() {
		t.Error("the pool was not opened")
	}
}

func TestACheckPrintsTheTasksAndSendsNothing(t *testing.T) {
	server, url := serve(t, emulator.Config{}, nil)
	var out bytes.Buffer
	rows := &memory{}
	cfg := config(url, write(t, "a.tsv", images(3, 2)))
	cfg.Job, cfg.Recorder = pipeline.Check{PrintTasks: &out}, rows
	r, err := run(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Mode != "check" || r.Totals != (pipeline.Totals{Rows: 3, Valid: 2, Rejected: 1}) || rows.count(verdict.Valid) != 2 {
		t.Errorf("%s: %+v", r.Mode, r.Totals)
	}
	want := `{"pool_id":"1","input_values":{"image":"https://example.com/1.jpg","title":"number 1"}}
{"pool_id":"1","input_values":{"image":"https://example.com/3.jpg","title":"number 3"}}
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	if server.Stats().Pools["1"] != 0 {
		t.Error("a check created tasks")
	}
}

func TestACheckWithASpecNeedsNoServer(t *testing.T) {
	spec := &reader.Spec{Input: map[string]reader.FieldSpec{"image": {Type: reader.TypeURL, Required: true}, "title": {Type: reader.TypeString}}}
	r, err := run(t, pipeline.Config{
		Input: pipeline.Input{Files: []string{"-"}, Stdin: strings.NewReader(images(5, 1)), Reader: reader.Config{Spec: spec}},
		Job:   pipeline.Check{},
	})
	if err != nil || r.Totals != (pipeline.Totals{Rows: 5, Valid: 4, Rejected: 1}) {
		t.Errorf("%v: %+v", err, r.Totals)
	}
}

func TestACheckRejectsWhatNoRequestCanHold(t *testing.T) {
	half := strings.Repeat("x", contract.MaxInputBytes/2)
	var printed bytes.Buffer
	r, err := run(t, pipeline.Config{
		Input: pipeline.Input{
			Files: []string{"-"}, Stdin: strings.NewReader("INPUT:a\tINPUT:b\n" + half + "\t" + half + "\n" + half + "\tx\n"), NoSpec: true,
		},
		Job: pipeline.Check{PrintTasks: &printed},
	})
	if err != nil || r.Totals != (pipeline.Totals{Rows: 2, Valid: 1, Rejected: 1}) {
		t.Fatalf("%v: %+v", err, r.Totals)
	}
	if got := r.Rejections[0]; got.Code != contract.CodeObjectSizeGreaterThanMax || got.Samples[0] != "-:2" {
		t.Errorf("rejected as %+v", got)
	}
	if lines := bytes.Count(printed.Bytes(), []byte{'\n'}); lines != 1 {
		t.Errorf("%d tasks were printed, want the valid one", lines)
	}
}

func TestACheckGivesItsChunksAndCountsTheirRows(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 5} {
		var lens []int
		r, err := run(t, pipeline.Config{
			Input: pipeline.Input{
				Files: []string{"-"}, Stdin: strings.NewReader(images(5, 1)),
				Reader: reader.Config{Spec: &reader.Spec{Input: map[string]reader.FieldSpec{
					"image": {Type: reader.TypeURL, Required: true}, "title": {Type: reader.TypeString},
				}}},
			},
			Sending: pipeline.Sending{ChunkSize: size},
			Job:     pipeline.Check{Chunks: func(c *batcher.Chunk) { lens = append(lens, c.Len()) }},
		})
		if err != nil || r.Totals != (pipeline.Totals{Rows: 5, Valid: 4, Rejected: 1}) {
			t.Errorf("chunks of %d: %v: %+v", size, err, r.Totals)
		}
		if want := map[int][]int{1: {1, 1, 1, 1}, 2: {2, 2}, 3: {3, 1}, 4: {4}, 5: {4}}[size]; !slices.Equal(lens, want) {
			t.Errorf("chunks of at most %d: %v, want %v", size, lens, want)
		}
	}
}

func TestConfigErrorsAreAllNamed(t *testing.T) {
	_, err := pipeline.New(pipeline.Config{
		Input: pipeline.Input{Reader: reader.Config{SkipRows: -1}}, Sending: pipeline.Sending{ChunkSize: -1, Workers: -1}, Rules: pipeline.Rules{OnInvalid: "maybe"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no input file", "no pool", "chunk size", "workers", "maybe"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	stdin, pool := pipeline.Input{Files: []string{"-"}}, pipeline.Target{PoolID: "1"}
	twice := stdin
	twice.NoSpec, twice.Reader.Spec = true, &reader.Spec{}
	for name, cfg := range map[string]pipeline.Config{
		"a check against nothing":        {Input: stdin, Job: pipeline.Check{}},
		"two specs":                      {Input: twice, Job: pipeline.Check{}},
		"a synchronous chunk over 5,000": {Input: stdin, Target: pool, Sending: pipeline.Sending{Mode: uploader.Sync, ChunkSize: 5001}},
		"a gate of its own":              {Input: stdin, Target: pipeline.Target{PoolID: "1", API: toloka.Config{Gate: &ratelimit.Gate{}}}},
		"a guard without a ledger":       {Input: stdin, Target: pool, Job: pipeline.Upload{Guard: pipeline.GuardLedger}},
		"a run key beside a ledger":      {Input: stdin, Target: pool, Job: pipeline.Upload{RunKey: "x"}, Keeping: pipeline.Keeping{Ledger: openBook(t).Ledger}},
	} {
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
