package emulator

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// These are the requests of Toloka's Python SDK (toloka-kit 1.2.3), taken from a
// session of it against the emulator, and what it reads of the answers.

const sdkProject = `{"public_name": "P", "public_description": "D", "task_spec": {"input_spec": {"image": {"required": true, "hidden": false, "type": "url"}, ` +
	`"n": {"required": false, "hidden": false, "min_value": 0, "max_value": 5, "type": "integer"}}, "output_spec": {"result": {"required": true, "hidden": false, "allowed_values": ["a", "b"], "type": "string"}}, ` +
	`"view_spec": {"script": "", "markup": "<b>", "styles": "", "assets": {"script_urls": []}, "settings": {"showSubmit": true}, "type": "classic"}}, "assignments_issuing_type": "AUTOMATED"}`

const sdkPool = `{"project_id": "PROJECT", "private_name": "pool", "may_contain_adult_content": false, "reward_per_assignment": 0.01, "assignment_max_duration_seconds": 600, ` +
	`"defaults": {"default_overlap_for_new_task_suites": 1}, "will_expire": "2030-01-02T03:04:05.678901", ` +
	`"filter": {"and": [{"or": [{"operator": "IN", "value": "EN", "key": "languages", "category": "profile"}]}]}, "quality_control": {"configs": []}, "mixer_config": {"real_tasks_count": 10}}`

// sdk makes requests as the SDK does.
func sdk(t *testing.T, s *Server, method, path, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body = io.NopCloser(strings.NewReader(""))
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "OAuth token")
	r.Header.Set("User-Agent", "python-toloka-client-1.2.3")
	r.Header.Set("X-Caller-Context", "client")
	r.Header.Set("X-Top-Level-Method", "create_tasks")
	return do(s, r)
}

// sdkPoolID makes a project and a pool.
func sdkPoolID(t *testing.T, s *Server) string {
	t.Helper()
	project := sdk(t, s, http.MethodPost, "/api/v1/projects", sdkProject).want(t, http.StatusCreated)
	sdkTime(t, project.get(t, "created"))
	if project.get(t, "status") != "ACTIVE" {
		t.Errorf("project %s", project.raw)
	}
	pool := sdk(t, s, http.MethodPost, "/api/v1/pools", strings.Replace(sdkPool, "PROJECT", project.get(t, "id").(string), 1)).want(t, http.StatusCreated)
	sdkTime(t, pool.get(t, "created"))
	if pool.get(t, "status") != "CLOSED" || pool.get(t, "type") != "REGULAR" || pool.get(t, "owner", "id") == nil {
		t.Errorf("pool %s", pool.raw)
	}
	return pool.get(t, "id").(string)
}

// sdkTime takes the times that the SDK can read: UTC without a zone, with a
// fraction of three or six digits or none.
func sdkTime(t *testing.T, value any) {
	t.Helper()
	text, _ := value.(string)
	if _, err := time.Parse("2006-01-02T15:04:05.000", text); err != nil {
		t.Errorf("time %v: %v", value, err)
	}
}

func TestTheSDKReadsTheRequester(t *testing.T) {
	a := sdk(t, start(t, Config{}), http.MethodGet, "/api/v1/requester", "").want(t, http.StatusOK)
	// The balance must be written with a point, or the SDK refuses it as no Decimal.
	if !strings.Contains(a.raw, `"balance":1000.00`) {
		t.Errorf("requester %s", a.raw)
	}
}

func TestTheSDKCreatesTasksInSyncMode(t *testing.T) {
	s := start(t, Config{})
	pool := sdkPoolID(t, s)
	const query = "/api/v1/tasks?operation_id=281073ea-ab34-416e-a028-47421ff1b166&async_mode=false&allow_defaults=true&skip_invalid_items=true"
	a := sdk(t, s, http.MethodPost, query, `[{"input_values": {"image": "https://x/0.png"}, "pool_id": "`+pool+`"}, `+
		`{"input_values": {"image": "https://x/1.png", "n": 9}, "pool_id": "`+pool+`"}]`).want(t, http.StatusCreated)
	sdkTime(t, a.get(t, "items", "0", "created"))
	if a.get(t, "items", "0", "overlap") != 1.0 || a.get(t, "validation_errors", "1", "input_values.n", "params", 0) != 5.0 {
		t.Errorf("answer %s", a.raw)
	}
	// create_task sends one object and wants one back.
	a = sdk(t, s, http.MethodPost, query, `{"input_values": {"image": "https://x/3.png"}, "pool_id": "`+pool+`"}`).want(t, http.StatusCreated)
	again := sdk(t, s, http.MethodGet, "/api/v1/tasks/"+a.get(t, "id").(string), "").want(t, http.StatusOK)
	if again.raw != a.raw {
		t.Errorf("the task is %s and then %s", a.raw, again.raw)
	}
	a = sdk(t, s, http.MethodPost, "/api/v1/tasks?operation_id=281073ea-ab34-416e-a028-47421ff1b166&async_mode=false",
		`[{"input_values": {"image": "https://x"}, "infinite_overlap": false, "overlap": 4, "pool_id": "`+pool+`"}, `+
			`{"input_values": {"image": "https://x"}, "known_solutions": [{"output_values": {"result": "a"}, "correctness_weight": 1.0}], `+
			`"message_on_unknown_solution": "hint", "infinite_overlap": true, "overlap": null, "pool_id": "`+pool+`"}]`).want(t, http.StatusCreated)
	// The SDK can't read a task with both overlaps.
	if a.get(t, "items", "1", "infinite_overlap") != true || a.get(t, "items", "1", "overlap") != nil || a.get(t, "items", "0", "infinite_overlap") != false {
		t.Errorf("answer %s", a.raw)
	}
}

func TestTheSDKCreatesTasksInAsyncMode(t *testing.T) {
	s := start(t, Config{})
	pool := sdkPoolID(t, s)
	const id = "281073ea-ab34-416e-a028-47421ff1b166"
	const query = "/api/v1/tasks?operation_id=" + id + "&async_mode=true&allow_defaults=true&open_pool=true&skip_invalid_items=true"
	body := `[{"input_values": {"image": "https://x/0.png"}, "pool_id": "` + pool + `", "__item_idx": "0"}, ` +
		`{"input_values": {"imagis": "x"}, "pool_id": "` + pool + `", "__item_idx": "1"}]`
	a := sdk(t, s, http.MethodPost, query, body).want(t, http.StatusAccepted)
	if a.get(t, "type") != "TASK.BATCH_CREATE" || a.get(t, "id") != id || a.get(t, "parameters", "open_pool") != true {
		t.Errorf("operation %s", a.raw)
	}
	sdkTime(t, a.get(t, "submitted"))
	sdk(t, s, http.MethodPost, query, body).wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
	a = sdk(t, s, http.MethodGet, "/api/v1/operations/"+id, "").want(t, http.StatusOK)
	if a.get(t, "status") != "SUCCESS" {
		t.Errorf("operation %s", a.raw)
	}
	sdkTime(t, a.get(t, "started"))
	sdkTime(t, a.get(t, "finished"))

	task := ""
	for _, e := range sdk(t, s, http.MethodGet, "/api/v1/operations/"+id+"/log", "").want(t, http.StatusOK).get(t).([]any) {
		entry := e.(map[string]any)
		switch index := entry["input"].(map[string]any)["__item_idx"]; index {
		case "0":
			task = entry["output"].(map[string]any)["task_id"].(string)
		case "1":
			if entry["success"] != false {
				t.Errorf("entry %v", entry)
			}
		default:
			if entry["type"] != "POOL_OPEN" {
				t.Errorf("entry %v", entry)
			}
		}
	}
	page := sdk(t, s, http.MethodGet, "/api/v1/tasks?pool_id="+pool+"&id_gte="+task+"&id_lte="+task+"&sort=id", "").want(t, http.StatusOK)
	if page.get(t, "items", 0, "id") != task || page.get(t, "has_more") != false {
		t.Errorf("page %s", page.raw)
	}
	// The SDK raises its own error from an operation whose tasks are all bad.
	const other = "3c3c73ea-ab34-416e-a028-47421ff1b166"
	sdk(t, s, http.MethodPost, strings.Replace(query, id, other, 1), `[{"input_values": {}, "pool_id": "`+pool+`", "__item_idx": "0"}]`).want(t, http.StatusAccepted)
	if got := sdk(t, s, http.MethodGet, "/api/v1/operations/"+other, "").get(t, "status"); got != "FAIL" {
		t.Errorf("status %v", got)
	}
}

func TestTheSDKOpensClosesAndClonesPools(t *testing.T) {
	s := start(t, Config{})
	pool := sdkPoolID(t, s)
	sdk(t, s, http.MethodPost, "/api/v1/tasks?async_mode=false&allow_defaults=true", `{"input_values": {"image": "https://x"}, "pool_id": "`+pool+`"}`).want(t, http.StatusCreated)
	status := func() any {
		return sdk(t, s, http.MethodGet, "/api/v1/pools/"+pool, "").want(t, http.StatusOK).get(t, "status")
	}
	a := sdk(t, s, http.MethodPost, "/api/v1/pools/"+pool+"/open", "").want(t, http.StatusAccepted)
	if a.get(t, "type") != "POOL.OPEN" || status() != "OPEN" {
		t.Errorf("operation %s, pool %v", a.raw, status())
	}
	// 204 tells the SDK that there is nothing to wait for.
	sdk(t, s, http.MethodPost, "/api/v1/pools/"+pool+"/open", "").want(t, http.StatusNoContent)
	sdk(t, s, http.MethodPost, "/api/v1/pools/"+pool+"/close", "").want(t, http.StatusAccepted)
	closed := sdk(t, s, http.MethodGet, "/api/v1/pools/"+pool, "").want(t, http.StatusOK)
	if closed.get(t, "status") != "CLOSED" || closed.get(t, "last_close_reason") != "MANUAL" {
		t.Errorf("pool %s", closed.raw)
	}
	clone := sdk(t, s, http.MethodPost, "/api/v1/pools/"+pool+"/clone", "").want(t, http.StatusAccepted)
	copied := sdk(t, s, http.MethodGet, "/api/v1/pools/"+clone.get(t, "details", "pool_id").(string), "").want(t, http.StatusOK)
	if copied.get(t, "private_name") != "pool" || copied.get(t, "filter", "and") == nil {
		t.Errorf("clone %s", copied.raw)
	}
	// A pool that is read, changed and written comes with all that was read.
	sdk(t, s, http.MethodPut, "/api/v1/pools/"+pool, strings.Replace(closed.raw, `"private_name":"pool"`, `"private_name":"other"`, 1)).want(t, http.StatusOK)
	if got := sdk(t, s, http.MethodGet, "/api/v1/pools/"+pool, "").get(t, "private_name"); got != "other" {
		t.Errorf("name %v", got)
	}
}
