package uploader

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"poolfill/batcher"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "secret-token-of-the-tests"

// request is a request as the server got it.
type request struct {
	*http.Request
	body []byte
	at   time.Time
}

// fakeServer answers in memory. Its handlers run for one request at a time. OPID in an
// answer is the operation that the request names.
type fakeServer struct {
	handle func(request) (*http.Response, error)
	newest func(request) (*http.Response, error) // asked for the newest task; nil has none

	mu       sync.Mutex
	requests []request // but for those for the newest task
}

func (f *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	req := request{Request: r, at: time.Now()}
	if r.Body != nil {
		req.body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	f.mu.Lock()
	handle := f.handle
	switch {
	case r.URL.Query().Get("sort") != "-id":
		f.requests = append(f.requests, req)
	case f.newest != nil:
		handle = f.newest
	default:
		handle = func(request) (*http.Response, error) { return answer(200, tasksOf(false)), nil }
	}
	resp, err := handle(req)
	f.mu.Unlock()
	if err == nil && resp == nil { // no answer at all
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if err == nil {
		nameOperation(resp, req)
	}
	return resp, err
}

// nameOperation puts the id that a request names in place of OPID.
func nameOperation(resp *http.Response, r request) {
	body, err := io.ReadAll(resp.Body)
	body = bytes.ReplaceAll(body, []byte("OPID"), []byte(cmp.Or(r.URL.Query().Get("operation_id"), lastID(r))))
	rest := io.Reader(bytes.NewReader(body))
	if err != nil {
		rest = io.MultiReader(rest, errReader{err})
	}
	resp.Body = io.NopCloser(rest)
}

func (f *fakeServer) posts() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var posts []request
	for _, r := range f.requests {
		if r.Method == http.MethodPost {
			posts = append(posts, r)
		}
	}
	return posts
}

// script answers the requests one after the other. Each step must be for the
// request that comes: "POST /tasks".
func script(t *testing.T, steps ...step) *fakeServer {
	t.Helper()
	n := 0
	t.Cleanup(func() {
		if n < len(steps) {
			t.Errorf("%d steps of the script were not asked for, the next is %s", len(steps)-n, steps[n].want)
		}
	})
	return &fakeServer{handle: func(r request) (*http.Response, error) {
		got := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
		if n >= len(steps) {
			t.Errorf("one request too many: %s", got)
			return answer(599, ""), nil
		}
		s := steps[n]
		n++
		if want := strings.ReplaceAll(s.want, "ID", lastID(r)); got != want {
			t.Errorf("request %d is %s, want %s", n, got, want)
		}
		return s.answer(r)
	}}
}

// lastID gives the operation id in a path.
func lastID(r request) string {
	parts := strings.Split(r.URL.Path, "/")
	for i, part := range parts {
		if part == "operations" && i+1 < len(parts) {
			return parts[i+1]
		}
	}
	return ""
}

type step struct {
	want   string
	answer func(request) (*http.Response, error)
}

func on(want string, status int, body string, headers ...string) step {
	return step{want, func(request) (*http.Response, error) { return answer(status, body, headers...), nil }}
}

// broken loses the connection of a POST /tasks.
func broken(err error) step {
	return step{post, func(request) (*http.Response, error) { return nil, err }}
}

// silent never answers.
func silent(want string) step {
	return step{want, func(request) (*http.Response, error) { return nil, nil }}
}

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// breaking is an answer whose connection breaks.
func breaking(status int, body string, err error) *http.Response {
	resp := answer(status, "")
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(body), errReader{err}))
	return resp
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

type setup struct {
	client toloka.Config
	cfg    Config
}

func newClient(t *testing.T, f *fakeServer, cfg toloka.Config) *toloka.Client {
	t.Helper()
	if cfg.BaseURL == "" {
		cfg.BaseURL = "https://toloka.example"
	}
	if cfg.Token == "" {
		cfg.Token = testToken
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: f}
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	c, err := toloka.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newUploader(t *testing.T, f *fakeServer, s setup) *Uploader {
	t.Helper()
	if s.cfg.PoolID == "" {
		s.cfg.PoolID = "12"
	}
	if s.cfg.RunKey == "" {
		s.cfg.RunKey = "run"
	}
	s.cfg.DefaultOverlap = 1
	u, err := New(newClient(t, f, s.client), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// chunkOf makes a chunk of tasks with these values of the field "a".
func chunkOf(t testing.TB, indexed bool, values ...string) *batcher.Chunk {
	t.Helper()
	b, err := batcher.New(batcher.Config{PoolID: "12", ItemIndex: indexed, MaxTasks: 100_000, MaxInputBytes: 1 << 30, DefaultOverlap: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		value, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		input := fmt.Sprintf(`{"a":%s}`, value)
		full, rejected := b.Add(reader.Task{
			Position: verdict.Position{File: "tasks.tsv", Line: int64(i) + 2, Record: int64(i) + 1},
			JSON:     []byte(`"input_values":` + input), InputBytes: len(input), Raw: []byte(v),
		})
		if full != nil || rejected != nil {
			t.Fatalf("task %d doesn't fit", i)
		}
	}
	c := b.Flush()
	if c == nil {
		c = &batcher.Chunk{}
	}
	return c
}

// show writes an outcome in short: "created 1, rejected E, unsent? reason".
func show(o Outcome) string {
	var parts []string
	for _, r := range o.Rows {
		text := r.Status.String()
		switch r.Status {
		case verdict.Created:
			text += " " + r.TaskID
			if r.Reason != "" {
				text += "(" + r.Reason + ")"
			}
		case verdict.Rejected:
			for _, e := range r.Findings {
				text += " " + e.Path + ":" + e.Code
			}
		case verdict.Unsent:
			if r.InDoubt {
				text += "?"
			}
			text += " " + r.Reason
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func expect(t *testing.T, o Outcome, want string) {
	t.Helper()
	if got := show(o); got != want {
		t.Errorf("the rows are\n  %s\nwant\n  %s", got, want)
	}
}

// logOf writes a log in which the tasks with these indexes were created.
func logOf(indexes ...int) string {
	var entries []string
	for _, i := range indexes {
		entries = append(entries, created(i))
	}
	return "[" + strings.Join(entries, ",") + "]"
}

func created(i int) string {
	return fmt.Sprintf(`{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"%d","input_values":{"a":"x"}},"output":{"task_id":"t%d"}}`, i, i)
}

func refusedEntry(i int) string {
	return fmt.Sprintf(`{"type":"TASK_VALIDATE","success":false,"input":{"__item_idx":%d},"output":{"input_values.a":{"code":"VALUE_REQUIRED","message":"no"}}}`, i)
}

func upload(t *testing.T, u *Uploader, c *batcher.Chunk) Outcome {
	t.Helper()
	o, err := u.Upload(t.Context(), c, Prior{})
	if err != nil {
		t.Fatalf("the upload fails: %v", err)
	}
	return o
}

func uploadFails(ctx context.Context, t *testing.T, u *Uploader, c *batcher.Chunk) (Outcome, error) {
	t.Helper()
	o, err := u.Upload(ctx, c, Prior{})
	if err == nil {
		t.Fatalf("the upload succeeds: %s", show(o))
	}
	if strings.Contains(err.Error(), testToken) {
		t.Errorf("the token is in the error: %v", err)
	}
	return o, err
}

func items(body []byte) []json.RawMessage {
	var list []json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&list); err != nil {
		return nil
	}
	return list
}

// refusedConnection is what a dialer gives where nothing listens.
var refusedConnection = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
