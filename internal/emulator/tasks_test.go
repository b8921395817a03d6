package emulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const badTask = `{"pool_id":"1","input_values":{"imagis":"https://x/bad"}}`

// mixed is a request with good tasks at 0 and 2 and a bad one at 1.
const mixed = `[{"pool_id":"1","input_values":{"image":"https://x/0"}},` + badTask + `,{"pool_id":"1","input_values":{"image":"https://x/2"}}]`

func TestSyncModeAnswersByPosition(t *testing.T) {
	s := start(t, Config{})
	a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&skip_invalid_items=true", mixed).want(t, http.StatusCreated)
	if got := slices.Sorted(maps.Keys(a.get(t, "items").(map[string]any))); !slices.Equal(got, []string{"0", "2"}) {
		t.Errorf("created %v", got)
	}
	want := map[string]any{"1": map[string]any{
		"input_values.image":  map[string]any{"code": "VALUE_REQUIRED", "message": "Value must be present and not equal to null"},
		"input_values.imagis": map[string]any{"code": "VALUE_NOT_ALLOWED", "message": "Unknown field name"},
	}}
	if diff := cmp.Diff(any(want), a.get(t, "validation_errors")); diff != "" {
		t.Errorf("validation_errors differ:\n%s", diff)
	}
	task := a.get(t, "items", "2").(map[string]any)
	for key, want := range map[string]any{
		"pool_id": "1", "overlap": 3.0, "infinite_overlap": false, "remaining_overlap": 3.0,
		"input_values": map[string]any{"image": "https://x/2"},
	} {
		if diff := cmp.Diff(want, task[key]); diff != "" {
			t.Errorf("%s differs:\n%s", key, diff)
		}
	}
	again := send(s, http.MethodGet, "/api/v1/tasks/"+task["id"].(string), "").want(t, http.StatusOK)
	if diff := cmp.Diff(any(task), again.get(t)); diff != "" {
		t.Errorf("the task reads back differently:\n%s", diff)
	}
}

func TestOneBadTaskStopsTheRestUnlessSkipped(t *testing.T) {
	s := start(t, Config{})
	a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", mixed).wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	if got := a.get(t, "payload", "1", "input_values.image", "code"); got != "VALUE_REQUIRED" {
		t.Errorf("code %v", got)
	}
	a = send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&skip_invalid_items=true", "["+badTask+"]").wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	if got := a.get(t, "payload", "0", "input_values.imagis", "code"); got != "VALUE_NOT_ALLOWED" {
		t.Errorf("code %v", got)
	}
	a = send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", badTask).wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	if got := a.get(t, "payload", "input_values.imagis", "code"); got != "VALUE_NOT_ALLOWED" {
		t.Errorf("flat code %v", got)
	}
	if n := len(count(t, s)); n != 0 {
		t.Errorf("%d tasks were created", n)
	}
}

func TestSyncModeIgnoresOperationIDs(t *testing.T) {
	s := start(t, Config{})
	for range 2 {
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&operation_id=281073ea-ab34-416e-a028-47421ff1b166", goodTasks("1", 0, 1)).want(t, http.StatusCreated)
	}
	if got := count(t, s); got["https://x/0"] != 2 {
		t.Errorf("created %v", got)
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	s := start(t, Config{})
	for query, field := range map[string]string{
		"async_mode=yes":                               "async_mode",
		"skip_invalid_items=1":                         "skip_invalid_items",
		"async_mode=true&operation_id=x":               "operation_id",
		"async_mode=true&operation_id={281073ea-ab34}": "operation_id",
	} {
		a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&"+query, goodTasks("1", 0, 1)).wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
		if a.get(t, "payload", field) == nil {
			t.Errorf("%s: the payload does not name %s: %s", query, field, a.raw)
		}
	}
}

func TestBlanksAreOnlyBetweenTokens(t *testing.T) {
	s := start(t, Config{})
	const pretty = "[\n\t{\"pool_id\":\"1\",\n\t\"input_values\": {\r\n\"image\":\t\"https://x/0\"\n}}\n]\n"
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", pretty).want(t, http.StatusCreated)
	if got := count(t, s); len(got) != 1 || got["https://x/0"] != 1 {
		t.Errorf("created %v", got)
	}
	for _, blank := range []string{"\n", "\t"} {
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"pool_id":"1","input_values":{"image":"https://x/`+blank+`"}}`).
			wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	}
}

func TestSizesOfARequestAreBounded(t *testing.T) {
	golden := func(answer string) string {
		return `{"pool_id":"1","input_values":{"image":"https://x"},"known_solutions":[{"output_values":{"result":"` + answer + `"}}]}`
	}
	s := start(t, Config{Limits: Limits{TasksSync: 3, TasksAsync: 5, InputBytes: 150, OutputBytes: 40, PoolTasks: 7}})
	post := func(query, body string) answer {
		return send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true"+query, body)
	}
	post("", goodTasks("1", 0, 4)).want(t, http.StatusRequestEntityTooLarge)
	post("", goodTasks("1", 0, 3)).want(t, http.StatusCreated)
	post("&async_mode=true", goodTasks("1", 3, 9)).want(t, http.StatusRequestEntityTooLarge)
	post("", `{"pool_id":"1","input_values":{"image":"https://x/`+strings.Repeat("a", 150)+`"}}`).want(t, http.StatusRequestEntityTooLarge)
	post("", "["+golden("cat")+","+golden("dog")+"]").want(t, http.StatusCreated)
	post("", "["+golden("cat")+","+golden("dog")+","+golden("cat")+"]").want(t, http.StatusRequestEntityTooLarge)
	// Five tasks are there; three more would be eight.
	post("", goodTasks("1", 5, 8)).wantError(t, http.StatusConflict, "POOL_TASKS_COUNT_EXCEEDED")
	post("&async_mode=true", goodTasks("1", 5, 8)).wantError(t, http.StatusConflict, "POOL_TASKS_COUNT_EXCEEDED")
	post("", goodTasks("1", 5, 7)).want(t, http.StatusCreated)
	if got := s.Stats().Pools["1"]; got != 7 {
		t.Errorf("%d tasks in the pool", got)
	}
}

func TestDocumentedLimitsAreTheDefaults(t *testing.T) {
	s := start(t, Config{})
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 5001)).want(t, http.StatusRequestEntityTooLarge)
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 5000)).want(t, http.StatusCreated)
	big := `{"pool_id":"1","input_values":{"image":"https://x/` + strings.Repeat("a", 1<<20) + `"}}`
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", big).want(t, http.StatusRequestEntityTooLarge)
	free := unlimited(t)
	send(free, http.MethodPost, "/api/v1/tasks?allow_defaults=true", big).want(t, http.StatusCreated)
}

func TestTasksArePagedByID(t *testing.T) {
	s := start(t, Config{})
	const pools, perPool = 2, 700
	for from := 0; from < perPool; from += 350 {
		for _, pool := range []string{"1", "4"} {
			good := strings.TrimSuffix(goodTasks(pool, from, from+350), "]")
			send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&skip_invalid_items=true", good+","+badTask+"]").want(t, http.StatusCreated)
		}
	}
	for _, direction := range []string{"id", "-id", "-created,-id"} {
		for _, limit := range []int{1, 50, 256, 699, 700, 701} {
			if limit == 1 && direction != "id" {
				continue
			}
			var ids []string
			bound := ""
			for more := true; more; {
				a := send(unlimitedRequests(s), http.MethodGet, fmt.Sprintf("/api/v1/tasks?pool_id=4&sort=%s&limit=%d%s", direction, limit, bound), "").want(t, http.StatusOK)
				items := a.get(t, "items").([]any)
				for _, item := range items {
					ids = append(ids, item.(map[string]any)["id"].(string))
				}
				more = a.get(t, "has_more").(bool)
				if more != (len(ids) < perPool) {
					t.Fatalf("%s, limit %d: after %d tasks has_more is %v", direction, limit, len(ids), more)
				}
				op := "gt"
				if direction != "id" {
					op = "lt"
				}
				bound = "&id_" + op + "=" + ids[len(ids)-1]
			}
			if direction != "id" {
				slices.Reverse(ids)
			}
			if len(ids) != perPool || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != perPool {
				t.Fatalf("%s, limit %d: %d ids", direction, limit, len(ids))
			}
		}
	}
	if got := len(send(s, http.MethodGet, "/api/v1/tasks", "").get(t, "items").([]any)); got != 50 {
		t.Errorf("a page without a limit has %d tasks", got)
	}
	if got := len(send(s, http.MethodGet, "/api/v1/tasks?limit=100000", "").get(t, "items").([]any)); got != pools*perPool {
		t.Errorf("all pools together have %d tasks", got)
	}
}

// unlimitedRequests lifts the quota of requests from a running server.
func unlimitedRequests(s *Server) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quota.limits.RequestsPerSecond = NoLimit
	return s
}

func TestTasksAreFiltered(t *testing.T) {
	s := start(t, Config{})
	body := `[{"pool_id":"1","input_values":{"image":"https://x/0"},"overlap":1},
		{"pool_id":"4","input_values":{"image":"https://x/1"},"overlap":5},
		{"pool_id":"1","input_values":{"image":"https://x/2"},"infinite_overlap":true}]`
	a := send(s, http.MethodPost, "/api/v1/tasks", body).want(t, http.StatusCreated)
	id := func(position string) string { return a.get(t, "items", position, "id").(string) }
	created := a.get(t, "items", "0", "created").(string)
	for query, want := range map[string]string{
		"":                           "0 1 2",
		"pool_id=1":                  "0 2",
		"pool_id=4":                  "1",
		"pool_id=5":                  "",
		"id=" + id("1"):              "1",
		"id_gt=" + id("0"):           "1 2",
		"id_gte=" + id("1"):          "1 2",
		"id_lt=" + id("1"):           "0",
		"id_lte=" + id("1"):          "0 1",
		"id_gt=0":                    "0 1 2",
		"id_lt=zzz":                  "0 1 2",
		"overlap=5":                  "1",
		"overlap_gt=1":               "1 2",
		"overlap_lte=1":              "0",
		"created_gte=" + created:     "0 1 2",
		"created_gt=" + created:      "",
		"created_lte=" + created:     "0 1 2",
		"created_lt=" + created:      "",
		"pool_id=1&sort=-id&limit=1": "2",
	} {
		var got []string
		for _, item := range send(s, http.MethodGet, "/api/v1/tasks?"+query, "").want(t, http.StatusOK).get(t, "items").([]any) {
			image := item.(map[string]any)["input_values"].(map[string]any)["image"].(string)
			got = append(got, strings.TrimPrefix(image, "https://x/"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: tasks %v, want %s", query, got, want)
		}
	}
	send(s, http.MethodGet, "/api/v1/tasks?sort=created,-id", "").wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
	send(s, http.MethodGet, "/api/v1/tasks?limit=100001", "").wantError(t, http.StatusBadRequest, "VALIDATION_ERROR")
}

func TestFieldsKeepTheirOrderAndDigits(t *testing.T) {
	s := start(t, Config{})
	const input = `{"weight":12.50,"title":"a<b>&\u00e9","image":"https://x"}`
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", `{"input_values":`+input+`,"pool_id":"1"}`).want(t, http.StatusCreated)
	for task, err := range s.Tasks("1") {
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Input json.RawMessage `json:"input_values"`
		}
		if err := json.Unmarshal(task.JSON, &got); err != nil {
			t.Fatal(err)
		}
		if string(got.Input) != input {
			t.Errorf("input_values %s, want %s", got.Input, input)
		}
	}
}

func TestDefaultOverlapComesFromThePool(t *testing.T) {
	s := start(t, Config{})
	for defaults, want := range map[string]float64{
		`{"default_overlap_for_new_tasks":4,"default_overlap_for_new_task_suites":9}`: 4,
		`{"default_overlap_for_new_task_suites":9}`:                                   9,
		`{}`:   1,
		`null`: 1,
	} {
		pool := send(s, http.MethodPost, "/api/v1/pools", `{"project_id":"1","private_name":"P","mixer_config":{},"defaults":`+defaults+`}`).want(t, http.StatusCreated)
		a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks(pool.get(t, "id").(string), 0, 1)).want(t, http.StatusCreated)
		if got := a.get(t, "items", "0", "overlap"); got != want {
			t.Errorf("%s: overlap %v, want %v", defaults, got, want)
		}
	}
}

func TestTimesNeverGoBack(t *testing.T) {
	s := start(t, Config{})
	// As if the clock had been set back since the last change.
	future := stampOf(time.Now().Add(time.Hour))
	s.mu.Lock()
	s.state.last = future
	s.mu.Unlock()
	a := send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("1", 0, 1)).want(t, http.StatusCreated)
	if got := a.get(t, "items", "0", "created"); got != future.String() {
		t.Errorf("created %v, want %v", got, future)
	}
	if n := len(count(t, s)); n != 1 {
		t.Errorf("%d tasks can be seen", n)
	}
}

func TestMemoryForATaskIsBounded(t *testing.T) {
	s := unlimited(t)
	const n, batches = 1000, 200
	body := string(tasksBody(n))
	send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", body).want(t, http.StatusCreated)
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range batches {
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true&async_mode=true", body).want(t, http.StatusAccepted)
	}
	if perTask := float64(heap()-before) / (n * batches); perTask > 24 {
		t.Errorf("a task takes %.1f bytes of memory, more than 24", perTask)
	}
	runtime.KeepAlive(s)
}
