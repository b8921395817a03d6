package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"poolfill/cmd/poolfill/internal/live"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// halfWay is a run that has come some way.
type halfWay struct{}

var began = time.Now().Add(-10 * time.Second)

func (halfWay) Progress() pipeline.Progress {
	return pipeline.Progress{
		Started: began, BytesRead: 500, BytesTotal: 1000, InFlight: 7, Stopping: true,
		Totals:   pipeline.Totals{Rows: 12_000, Created: 9_990, Rejected: 10},
		Requests: toloka.Stats{Sent: 12, Retried: 2, ByStatus: map[string]int64{"202": 10, "timeout": 2}, QuotaWait: 1500 * time.Millisecond},
		Gate:     ratelimit.State{PausedUntil: time.Now().Add(time.Hour), Reason: ratelimit.ReasonMinute, Waiting: 3, TasksInWindow: 4000, TasksToday: 9_990},
	}
}

func (halfWay) Snapshot() pipeline.Report {
	return pipeline.Report{
		State: pipeline.Running, RunID: "5c0f", PoolID: "7", Mode: "async", Totals: halfWay{}.Progress().Totals,
		Quota: pipeline.Quota{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 4_000_000},
	}
}

// unbegun is a run that has not read anything.
type unbegun struct{}

func (unbegun) Progress() pipeline.Progress { return pipeline.Progress{} }
func (unbegun) Snapshot() pipeline.Report   { return pipeline.Report{State: pipeline.Running} }

func handler(t *testing.T, run live.Run, o live.Options) http.Handler {
	t.Helper()
	v := live.New()
	v.Observe(toloka.Exchange{Took: 30 * time.Millisecond})
	h, err := v.Handler(run, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks for a path as host.
func get(t *testing.T, h http.Handler, method, host, path string) (status int, body string, header http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://"+host+path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Result().Header
}

func TestWhatIsServedWhere(t *testing.T) {
	for name, tt := range map[string]struct {
		o                  live.Options
		method, host, path string
		status             int
		want               string
	}{
		"the page":                    {live.Options{}, "GET", "x", "/", 200, "9,990 rows uploaded so far"},
		"its script":                  {live.Options{}, "GET", "x", "/live.js", 200, "setTimeout"},
		"the metrics":                 {live.Options{}, "GET", "x", "/metrics", 200, `poolfill_rows_total{outcome="created"} 9990`},
		"the health":                  {live.Options{}, "GET", "x", "/healthz", 200, "ok\n"},
		"no profiles unasked":         {live.Options{}, "GET", "x", "/debug/pprof/", 404, ""},
		"profiles where asked for":    {live.Options{Pprof: true}, "GET", "x", "/debug/pprof/heap?debug=1", 200, "heap profile"},
		"nothing else":                {live.Options{}, "GET", "x", "/other", 404, ""},
		"nothing to be sent":          {live.Options{}, "POST", "x", "/", 405, ""},
		"to this machine":             {live.Options{LocalOnly: true}, "GET", "localhost:9090", "/healthz", 200, "ok\n"},
		"to this machine by number":   {live.Options{LocalOnly: true}, "GET", "127.0.0.1:9090", "/healthz", 200, "ok\n"},
		"to this machine by number 6": {live.Options{LocalOnly: true}, "GET", "[::1]:9090", "/healthz", 200, "ok\n"},
		"not to a name that lies":     {live.Options{LocalOnly: true}, "GET", "evil.example:9090", "/", 403, "ssh -L"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, header := get(t, handler(t, halfWay{}, tt.o), tt.method, tt.host, tt.path)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d with\n%s", status, body)
			}
			if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || header.Get("Cache-Control") != "no-store" {
				t.Errorf("the headers are %v", header)
			}
		})
	}
}

func TestMetricsOfARun(t *testing.T) {
	_, body, _ := get(t, handler(t, halfWay{}, live.Options{}), "GET", "x", "/metrics")
	for _, want := range []string{
		`poolfill_run_info{mode="async",pool_id="7",run_id="5c0f"} 1`, "poolfill_run_stopping 1",
		"poolfill_input_read_bytes_total 500", "poolfill_input_bytes 1000", "poolfill_rows_read_total 12000",
		`poolfill_rows_total{outcome="rejected"} 10`, `poolfill_rows_total{outcome="unsent"} 0`, "poolfill_rows_in_flight 7",
		`poolfill_requests_total{answer="202"} 10`, `poolfill_requests_total{answer="timeout"} 2`, "poolfill_requests_repeated_total 2",
		`poolfill_request_duration_seconds_bucket{le="0.05"} 1`, `poolfill_request_duration_seconds_bucket{le="0.025"} 0`,
		"poolfill_quota_wait_seconds_total 1.5", "poolfill_quota_waiting_requests 3",
		`poolfill_quota_tasks{window="minute"} 4000`, `poolfill_quota_tasks{window="day"} 9990`,
		`poolfill_quota_tasks_limit{window="minute"} 200000`, `poolfill_quota_tasks_limit{window="day"} 4e+06`,
		"poolfill_quota_requests_per_second_limit 300", "go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("there is no %s in\n%s", want, body)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("Prometheus's own checks say %v, %v", problems, err)
	}
}

func TestARunThatHasNotBegunIsShown(t *testing.T) {
	h := handler(t, unbegun{}, live.Options{})
	if status, body, _ := get(t, h, "GET", "x", "/"); status != 200 || !strings.Contains(body, "Not a row is read yet.") {
		t.Errorf("%d with\n%s", status, body)
	}
	status, body, _ := get(t, h, "GET", "x", "/metrics")
	if status != 200 {
		t.Errorf("%d with\n%s", status, body)
	}
	for _, unknown := range []string{"poolfill_run_progress_ratio", "poolfill_run_start_time_seconds", "poolfill_quota_tasks_limit"} {
		if strings.Contains(body, unknown) {
			t.Errorf("%s is told though it is not known", unknown)
		}
	}
}

var ownName = regexp.MustCompile(`poolfill_[a-z_]+`)

// names gives the metrics that a text speaks of, without a histogram's parts.
func names(text string) []string {
	all := ownName.FindAllString(text, -1)
	for i := range all {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			all[i] = strings.TrimSuffix(all[i], part)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// The documentation has every metric, and it and the dashboard have no other.
func TestTheDocumentedMetricsAreThoseThatAreServed(t *testing.T) {
	_, served, _ := get(t, handler(t, halfWay{}, live.Options{}), "GET", "x", "/metrics")
	_, more, _ := get(t, backfills(t, oneBackfill, live.Options{}), "GET", "x", "/metrics")
	served += more
	known := names(served)
	docs, err := os.ReadFile("../../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	types := regexp.MustCompile("(?m)^\\| `(poolfill_[a-z_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(string(docs), -1)
	if len(types) != len(known) {
		t.Errorf("%d metrics are in the table, %d are served: %v", len(types), len(known), known)
	}
	for _, m := range types {
		if !strings.Contains(served, "# TYPE "+m[1]+" "+m[2]+"\n") {
			t.Errorf("there is no %s %s", m[2], m[1])
		}
	}
	dashboard, err := os.ReadFile("../../../../examples/grafana/poolfill.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(dashboard) {
		t.Error("the dashboard is no JSON")
	}
	for _, text := range [][]byte{docs, dashboard} {
		for _, name := range names(string(text)) {
			if !slices.Contains(known, name) {
				t.Errorf("there is no metric %s", name)
			}
		}
	}
}

func TestListening(t *testing.T) {
	for address, want := range map[string]struct {
		local  bool
		prefix string
		err    string
	}{
		":0":              {true, "127.0.0.1:", ""},
		"127.0.0.1:0":     {true, "127.0.0.1:", ""},
		"localhost:0":     {true, "", ""},
		"0.0.0.0:0":       {false, "", ""},
		"9090":            {false, "", "--listen is an address such as :9090"},
		"127.0.0.1:99999": {false, "", "can't listen on 127.0.0.1:99999"},
	} {
		t.Run(address, func(t *testing.T) {
			l, local, err := live.Listen(t.Context(), address)
			if want.err != "" {
				if err == nil || !strings.Contains(err.Error(), want.err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if local != want.local || !strings.HasPrefix(l.Addr().String(), want.prefix) {
				t.Errorf("%s, local %v", l.Addr(), local)
			}
		})
	}
}

// Nobody keeps the end of a run waiting: not a client that is in no hurry, nor
// one that is answered.
func TestTheServerEndsWhenItIsTold(t *testing.T) {
	l, _, err := live.Listen(t.Context(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	busy := make(chan struct{})
	stop := live.Serve(t.Context(), l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(busy)
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(ctx context.Context, path string) (string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		return b.String(), err
	}
	if body, err := ask(t.Context(), "/"); body != "ok" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := ask(context.WithoutCancel(t.Context()), "/slow")
		ended <- err
	}()
	<-busy
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the slow client got an answer")
	}
	if _, err := ask(t.Context(), "/"); err == nil {
		t.Error("the server is still there")
	}
}
