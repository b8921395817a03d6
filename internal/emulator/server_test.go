package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// start runs a server until the end of the test.
func start(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	raw    string
}

// send makes a request as a client with a token does.
func send(s *Server, method, path, body string) answer {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "OAuth secret")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return do(s, r)
}

func do(s *Server, r *http.Request) answer {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// get reads a value of a JSON answer by the keys and positions on its way.
func (a answer) get(tb testing.TB, path ...any) any {
	tb.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.raw), &v); err != nil {
		tb.Fatalf("answer %d is no JSON: %v\n%s", a.status, err, a.raw)
	}
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, ok := v.(map[string]any)
			if !ok {
				tb.Fatalf("%v: no object at %q in %s", path, step, a.raw)
			}
			v = object[step]
		case int:
			array, ok := v.([]any)
			if !ok || step >= len(array) {
				tb.Fatalf("%v: no element %d in %s", path, step, a.raw)
			}
			v = array[step]
		}
	}
	return v
}

func (a answer) want(tb testing.TB, status int) answer {
	tb.Helper()
	if a.status != status {
		tb.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

func (a answer) wantError(tb testing.TB, status int, code string) answer {
	tb.Helper()
	a.want(tb, status)
	if got := a.get(tb, "code"); got != code {
		tb.Fatalf("code %v, want %s: %s", got, code, a.raw)
	}
	for _, key := range []string{"request_id", "message"} {
		if text, ok := a.get(tb, key).(string); !ok || text == "" {
			tb.Fatalf("the error has no %s: %s", key, a.raw)
		}
	}
	return a
}

// count gives how many tasks of the demo pool can be seen, each by its image, and
// fails where ids come twice or out of order.
func count(tb testing.TB, s *Server) map[string]int {
	tb.Helper()
	images := make(map[string]int)
	ids := make(map[string]bool)
	last := ""
	for task, err := range s.Tasks(DemoPool) {
		if err != nil {
			tb.Fatal(err)
		}
		if ids[task.ID] || task.ID <= last {
			tb.Fatalf("id %s comes twice or out of order", task.ID)
		}
		ids[task.ID], last = true, task.ID
		var body struct {
			Input struct{ Image string } `json:"input_values"`
		}
		if err := json.Unmarshal(task.JSON, &body); err != nil {
			tb.Fatalf("task %s: %v\n%s", task.ID, err, task.JSON)
		}
		images[body.Input.Image]++
	}
	return images
}

// goodTasks is a request of tasks for a pool whose images are numbered.
func goodTasks(pool string, from, to int) string {
	var tasks []string
	for i := from; i < to; i++ {
		tasks = append(tasks, fmt.Sprintf(`{"pool_id":%q,"input_values":{"image":"https://x/%d"}}`, pool, i))
	}
	return "[" + strings.Join(tasks, ",") + "]"
}

func TestRequestsNeedAToken(t *testing.T) {
	open := start(t, Config{})
	closed := start(t, Config{Token: "good"})
	for _, tc := range []struct {
		server *Server
		header string
		want   int
	}{
		{open, "", http.StatusUnauthorized},
		{open, "OAuth", http.StatusUnauthorized},
		{open, "Bearer any", http.StatusUnauthorized},
		{open, "OAuth any", http.StatusOK},
		{open, "ApiKey any", http.StatusOK},
		{closed, "ApiKey other", http.StatusUnauthorized},
		{closed, "ApiKey good", http.StatusOK},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/requester", http.NoBody)
		r.Header.Set("Authorization", tc.header)
		a := do(tc.server, r)
		if a.status != tc.want {
			t.Errorf("%q: status %d, want %d", tc.header, a.status, tc.want)
		}
		if tc.want == http.StatusUnauthorized {
			a.wantError(t, tc.want, "AUTHENTICATION_ERROR")
		}
		if strings.Contains(a.raw, "good") {
			t.Errorf("%q: the answer names the token: %s", tc.header, a.raw)
		}
	}
}

func TestUnknownPathsAnswerInTolokasForm(t *testing.T) {
	s := start(t, Config{})
	for _, tc := range [][2]string{
		{"GET", "/"},
		{"GET", "/api/v1/assignments"},
		{"DELETE", "/api/v1/pools/1"},
		{"POST", "/api/v1/pools/1/explode"},
		{"GET", "/api/v1/pools/77"},
		{"GET", "/api/v1/pools/01"},
		{"POST", "/api/v1/pools/77/open"},
		{"GET", "/api/v1/projects/2"},
		{"GET", "/api/v1/tasks/0000000001--000000000000000000000000"},
		{"GET", "/api/v1/tasks/nonsense"},
		{"GET", "/api/v1/operations/77"},
		{"GET", "/api/v1/operations/77/log"},
	} {
		send(s, tc[0], tc[1], "").wantError(t, http.StatusNotFound, "DOES_NOT_EXIST")
	}
}

func TestPostsNeedJSON(t *testing.T) {
	s := start(t, Config{})
	for _, path := range []string{"/api/v1/tasks", "/api/v1/pools", "/api/v1/projects"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("[]"))
		r.Header.Set("Authorization", "OAuth t")
		r.Header.Set("Content-Type", "text/plain")
		do(s, r).wantError(t, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")

		r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("[]"))
		r.Header.Set("Authorization", "OAuth t")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", "gzip")
		do(s, r).want(t, http.StatusUnsupportedMediaType)

		for _, body := range []string{" ", "{", "[", "[1]", "{}x", "nul", `"x"`, "[{}", "[{}]]"} {
			send(s, http.MethodPost, path, body).wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
		}
	}
}

func TestTheDemoPoolsAreThere(t *testing.T) {
	s := start(t, Config{})
	for id, want := range map[string][2]any{
		DemoPool:         {"OPEN", "REGULAR"},
		DemoPoolNoMixer:  {"OPEN", "REGULAR"},
		DemoPoolArchived: {"ARCHIVED", "REGULAR"},
		DemoPoolTraining: {"CLOSED", "TRAINING"},
		DemoPoolClosed:   {"CLOSED", "REGULAR"},
	} {
		a := send(s, http.MethodGet, "/api/v1/pools/"+id, "").want(t, http.StatusOK)
		if got := [2]any{a.get(t, "status"), a.get(t, "type")}; got != want {
			t.Errorf("pool %s: %v, want %v", id, got, want)
		}
		if hasMixer := a.get(t, "mixer_config") != nil; hasMixer != (id != DemoPoolNoMixer) {
			t.Errorf("pool %s: mixer_config is there: %v", id, hasMixer)
		}
	}
	a := send(s, http.MethodGet, "/api/v1/projects/"+DemoProject, "").want(t, http.StatusOK)
	if got := a.get(t, "task_spec", "input_spec", "image", "required"); got != true {
		t.Errorf("image is required: %v", got)
	}
	post := func(pool string) answer {
		return send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks(pool, 0, 1))
	}
	post(DemoPool).want(t, http.StatusCreated)
	post(DemoPoolTraining).want(t, http.StatusCreated)
	post(DemoPoolClosed).want(t, http.StatusCreated)
	post(DemoPoolNoMixer).wantError(t, http.StatusConflict, "MIXER_CONFIG_REQUIRED")
	post(DemoPoolArchived).wantError(t, http.StatusConflict, "INAPPROPRIATE_STATUS")
}

func TestFurtherPoolsTakeTasks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	for range 2 { // the second time they are in the file
		s := start(t, Config{State: file, Pools: []string{"1238218", DemoPool}})
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1238218", 0, 1)).want(t, http.StatusCreated)
		if a := send(s, http.MethodGet, "/api/v1/pools/"+DemoPool, "").want(t, http.StatusOK); a.get(t, "private_name") != "Demo: open" {
			t.Errorf("the demo pool is now %v", a.get(t, "private_name"))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"", "0", "-1", "01", "x", "4294967295"} {
		if _, err := New(Config{Pools: []string{id}}); err == nil || !strings.Contains(err.Error(), "no pool's id") {
			t.Errorf("pool %q: %v", id, err)
		}
	}
}

func TestOwnSpecReplacesTheDemoSpec(t *testing.T) {
	s := start(t, Config{Spec: json.RawMessage(`{"input_spec":{"text":{"type":"string","required":true}}}`)})
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 1)).wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"pool_id":"1","input_values":{"text":"x"}}`).want(t, http.StatusCreated)
}

func TestConfigErrorsNameWhatIsWrong(t *testing.T) {
	_, err := New(Config{
		Spec:       json.RawMessage(`{"input_spec":{"a":{"type":"strong"},"b":{"type":"string","pattern":"("}}}`),
		MinLatency: -1,
		Faults:     Faults{{Name: "lost", Probability: 2}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`"strong"`, "input_spec.b.pattern", "latency", "lost"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %s: %v", part, err)
		}
	}
}

func TestProjectsAndPoolsCanBeMadeAndChanged(t *testing.T) {
	s := start(t, Config{})
	const spec = `{"input_spec":{"text":{"type":"string","required":true}},"output_spec":{},"view_spec":{"markup":"<b>"}}`
	project := send(s, http.MethodPost, "/api/v1/projects", `{"public_name":"N","public_description":"D","task_spec":`+spec+`}`).want(t, http.StatusCreated)
	id := project.get(t, "id").(string)
	pool := send(s, http.MethodPost, "/api/v1/pools", `{"project_id":"`+id+`","private_name":"P","mixer_config":{},"status":"OPEN"}`).want(t, http.StatusCreated)
	poolID := pool.get(t, "id").(string)
	if pool.get(t, "status") != "CLOSED" {
		t.Errorf("a new pool is %v", pool.get(t, "status"))
	}

	send(s, http.MethodPut, "/api/v1/pools/"+poolID, `{"project_id":"`+id+`","private_name":"Q","mixer_config":{}}`).want(t, http.StatusOK)
	if got := send(s, http.MethodGet, "/api/v1/pools/"+poolID, "").get(t, "private_name"); got != "Q" {
		t.Errorf("the pool's name is %v", got)
	}
	// A pool keeps the spec that its project had.
	other := strings.ReplaceAll(spec, "text", "phrase")
	send(s, http.MethodPut, "/api/v1/projects/"+id, `{"public_name":"N","public_description":"D","task_spec":`+other+`}`).want(t, http.StatusOK)
	send(s, http.MethodPut, "/api/v1/pools/"+poolID, `{"project_id":"`+id+`","private_name":"R","mixer_config":{}}`).want(t, http.StatusOK)
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"pool_id":"`+poolID+`","input_values":{"text":"x"}}`).want(t, http.StatusCreated)

	a := send(s, http.MethodPost, "/api/v1/pools", `{"project_id":"99"}`).wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	if got := a.get(t, "payload", "project_id", "code"); got != "ENTITY_DOES_NOT_EXIST" {
		t.Errorf("code %v", got)
	}
	if got := a.get(t, "payload", "private_name", "code"); got != "VALUE_REQUIRED" {
		t.Errorf("code %v", got)
	}
	a = send(s, http.MethodPost, "/api/v1/projects", `{"public_name":"N","public_description":"D","task_spec":{"input_spec":{"a":{"type":"x"}}}}`)
	a.wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	if got := a.get(t, "payload", "task_spec.input_spec.a.type", "code"); got != "UNKNOWN_ENUM_VALUE" {
		t.Errorf("code %v", got)
	}
}

func TestListsFilterSortAndPage(t *testing.T) {
	s := start(t, Config{})
	for range 20 {
		send(s, http.MethodPost, "/api/v1/pools", `{"project_id":"1","private_name":"P"}`).want(t, http.StatusCreated)
	}
	ids := func(query string) (ids []string, more bool) {
		a := send(s, http.MethodGet, "/api/v1/pools?"+query, "").want(t, http.StatusOK)
		for _, item := range a.get(t, "items").([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		return ids, a.get(t, "has_more").(bool)
	}
	for _, tc := range []struct {
		query string
		want  string
		more  bool
	}{
		{"limit=3", "1 2 3", true},
		{"limit=3&sort=id&id_gt=8", "9 10 11", true}, // as numbers, not as texts
		{"sort=-id&limit=2", "25 24", true},
		{"id_gte=24", "24 25", false},
		{"status=OPEN", "1 2", false},
		{"status=OPEN&id_lt=2", "1", false},
		{"project_id=2", "", false},
		{"created_lt=2001-01-01T00:00:00", "", false},
	} {
		got, more := ids(tc.query)
		if strings.Join(got, " ") != tc.want || more != tc.more {
			t.Errorf("%s: %v %v, want %s %v", tc.query, got, more, tc.want, tc.more)
		}
	}
	if got, more := ids(""); len(got) != 20 || !more {
		t.Errorf("without a limit there are %d and more: %v", len(got), more)
	}
	for _, query := range []string{"limit=0", "limit=301", "sort=colour", "colour=red", "id_gt=x", "created_gt=yesterday"} {
		send(s, http.MethodGet, "/api/v1/pools?"+query, "").wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	}
	a := send(s, http.MethodGet, "/api/v1/projects?sort=-public_name", "").want(t, http.StatusOK)
	if got := a.get(t, "items", 0, "id"); got != "1" {
		t.Errorf("project %v", got)
	}
}

func TestStatsAreServedWithoutAToken(t *testing.T) {
	s := start(t, Config{})
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 3)).want(t, http.StatusCreated)
	a := do(s, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/emulator/stats", http.NoBody)).want(t, http.StatusOK)
	var got Stats
	if err := json.Unmarshal([]byte(a.raw), &got); err != nil {
		t.Fatal(err)
	}
	want := s.Stats()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("served and returned statistics differ:\n%s", diff)
	}
	if got.Tasks != 3 || got.Pools["1"] != 3 || got.ByStatus["201"] != 1 || got.Requests != 1 || got.PeakTasksPerMinute != 3 {
		t.Errorf("unexpected statistics: %+v", got)
	}
}

func TestAClosedServerSaysSo(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	send(s, http.MethodGet, "/api/v1/pools/1", "").wantError(t, http.StatusServiceUnavailable, "REMOTE_SERVICE_UNAVAILABLE")
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
