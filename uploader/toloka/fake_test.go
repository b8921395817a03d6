package toloka

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "secret-token-of-the-tests"

// received is a request as the server got it.
type received struct {
	*http.Request
	body []byte
	at   time.Time
}

// fakeServer answers in memory. Its handler runs for one request at a time.
type fakeServer struct {
	handle func(received) (*http.Response, error)

	mu       sync.Mutex
	requests []received
}

func (f *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	req := received{Request: r, at: time.Now()}
	if r.Body != nil {
		req.body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	f.mu.Lock()
	f.requests = append(f.requests, req)
	resp, err := f.handle(req)
	f.mu.Unlock()
	if err == nil && resp == nil { // no answer at all
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return resp, err
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
	return &fakeServer{handle: func(r received) (*http.Response, error) {
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
func lastID(r received) string {
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
	answer func(received) (*http.Response, error)
}

func on(want string, status int, body string, headers ...string) step {
	return step{want, func(r received) (*http.Response, error) {
		body := strings.ReplaceAll(body, "OPID", r.URL.Query().Get("operation_id"))
		return answer(status, body, headers...), nil
	}}
}

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func newClient(t *testing.T, f *fakeServer, cfg Config) *Client {
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
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	success  = `{"id":"OPID","type":"TASK.BATCH_CREATE","status":"SUCCESS","details":{"items_count":2}}`
	existing = `{"request_id":"r","code":"OPERATION_ALREADY_EXISTS","message":"exists"}`
	missing  = `{"code":"DOES_NOT_EXIST","message":"no such"}`
	html502  = `<html><body>502 Bad Gateway</body></html>`

	post = "POST /tasks"
	poll = "GET /operations/ID"
)

// tasksOf writes a page of the pool's tasks, given as id and value of "a".
func tasksOf(more bool, pairs ...string) string {
	var tasks []string
	for i := 0; i < len(pairs); i += 2 {
		tasks = append(tasks, fmt.Sprintf(`{"id":%q,"pool_id":"12","overlap":1,"input_values":{"a":%q}}`, pairs[i], pairs[i+1]))
	}
	return fmt.Sprintf(`{"items":[%s],"has_more":%v}`, strings.Join(tasks, ","), more)
}

func itemsOf(ids ...string) string {
	var list []string
	for i, id := range ids {
		list = append(list, fmt.Sprintf(`"%d":{"pool_id":"12","id":%q,"input_values":{}}`, i, id))
	}
	return `{"items":{` + strings.Join(list, ",") + `}}`
}

// logText writes a log in which the tasks with these indexes were created.
func logText(indexes ...int) string {
	var entries []string
	for _, i := range indexes {
		entries = append(entries, createdEntry(i))
	}
	return "[" + strings.Join(entries, ",") + "]"
}

func createdEntry(i int) string {
	return fmt.Sprintf(`{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"%d","input_values":{"a":"x"}},"output":{"task_id":"t%d"}}`, i, i)
}
