package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// post sends an asynchronous request and gives the operation's id.
func post(tb testing.TB, s *Server, query, body string) string {
	tb.Helper()
	a := send(s, http.MethodPost, "/api/v1/tasks?async_mode=true&allow_defaults=true&"+query, body).want(tb, http.StatusAccepted)
	if status := a.get(tb, "status"); status != "PENDING" {
		tb.Fatalf("a new operation is %v", status)
	}
	return a.get(tb, "id").(string)
}

func operationStatus(tb testing.TB, s *Server, id string) string {
	tb.Helper()
	return send(s, http.MethodGet, "/api/v1/operations/"+id, "").want(tb, http.StatusOK).get(tb, "status").(string)
}

func TestOperationsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{OperationTime: 10 * time.Second})
		id := post(t, s, "skip_invalid_items=true", mixed)
		for _, step := range []struct {
			wait     time.Duration
			status   string
			progress float64
			tasks    int
			log      int
		}{
			{0, "PENDING", 0, 0, 0},
			{1999 * time.Millisecond, "PENDING", 0, 0, 0},
			{time.Millisecond, "RUNNING", 20, 0, 0},
			{3 * time.Second, "RUNNING", 50, 0, 0},
			{5 * time.Second, "SUCCESS", 100, 2, 3},
		} {
			time.Sleep(step.wait)
			a := send(s, http.MethodGet, "/api/v1/operations/"+id, "").want(t, http.StatusOK)
			if a.get(t, "status") != step.status || a.get(t, "progress") != step.progress {
				t.Errorf("%s, want %s and %v", a.raw, step.status, step.progress)
			}
			if n := len(count(t, s)); n != step.tasks {
				t.Errorf("%s: %d tasks can be seen, want %d", step.status, n, step.tasks)
			}
			log := send(s, http.MethodGet, "/api/v1/operations/"+id+"/log", "").want(t, http.StatusOK)
			if n := len(log.get(t).([]any)); n != step.log {
				t.Errorf("%s: the log has %d entries, want %d", step.status, n, step.log)
			}
		}
	})
}

func TestAnOperationWithoutDurationIsDoneAtTheFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{})
		id := post(t, s, "", goodTasks("1", 0, 1))
		if got := operationStatus(t, s, id); got != "SUCCESS" {
			t.Errorf("status %s", got)
		}
		if n := len(count(t, s)); n != 1 {
			t.Errorf("%d tasks", n)
		}
	})
}

func TestTheLogTellsTasksApart(t *testing.T) {
	s := start(t, Config{})
	const n = 1000
	var tasks []string
	for i := range n {
		field := "image"
		if i%10 == 3 {
			field = "imagis"
		}
		tasks = append(tasks, fmt.Sprintf(`{"pool_id":"1","__item_idx":"%d","input_values":{%q:"https://x/%d"}}`, i, field, i))
	}
	id := post(t, s, "skip_invalid_items=true", "["+strings.Join(tasks, ",")+"]")
	log := send(s, http.MethodGet, "/api/v1/operations/"+id+"/log", "").want(t, http.StatusOK)
	var order []int
	for k, e := range log.get(t).([]any) {
		entry := e.(map[string]any)
		input := entry["input"].(map[string]any)
		var i int
		if _, err := fmt.Sscan(input["__item_idx"].(string), &i); err != nil {
			t.Fatal(err)
		}
		order = append(order, i)
		good := i%10 != 3
		if entry["success"] != good || (entry["type"] == "TASK_CREATE") != good || (entry["type"] == "TASK_VALIDATE") == good {
			t.Fatalf("entry %d does not fit its task: %v", k, entry)
		}
		output := entry["output"].(map[string]any)
		if !good {
			if output["input_values.imagis"].(map[string]any)["code"] != "VALUE_NOT_ALLOWED" {
				t.Fatalf("entry %d has the errors %v", k, output)
			}
			continue
		}
		if input["overlap"] != 3.0 || input["infinite_overlap"] != false {
			t.Fatalf("entry %d does not tell the overlap: %v", k, input)
		}
		task := send(unlimitedRequests(s), http.MethodGet, "/api/v1/tasks/"+output["task_id"].(string), "").want(t, http.StatusOK)
		if image := fmt.Sprintf("https://x/%d", i); task.get(t, "input_values", "image") != image {
			t.Fatalf("entry %d leads to the task %s", k, task.raw)
		}
	}
	if slices.IsSorted(order) {
		t.Error("the log has the order of the request")
	}
	slices.Sort(order)
	if len(order) != n || len(slices.Compact(order)) != n {
		t.Errorf("the log has %d entries", len(order))
	}
	if again := send(s, http.MethodGet, "/api/v1/operations/"+id+"/log", ""); again.raw != log.raw {
		t.Error("the log reads differently the second time")
	}
}

func TestAnOperationIDWorksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{OperationTime: time.Second})
		id := uuid.NewString()
		again := func() {
			t.Helper()
			send(s, http.MethodPost, "/api/v1/tasks?async_mode=true&allow_defaults=true&operation_id="+strings.ToUpper(id), goodTasks("1", 7, 9)).
				wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
		}
		post(t, s, "operation_id="+id, goodTasks("1", 0, 2))
		again()
		time.Sleep(time.Second)
		again()
		if got := count(t, s); len(got) != 2 || got["https://x/7"] != 0 {
			t.Errorf("tasks %v", got)
		}
	})
}

func TestAFailedOperationBurnsItsID(t *testing.T) {
	s := start(t, Config{})
	for query, want := range map[string]int{
		"":                         1, // one bad task stops all, and only it is in the log
		"skip_invalid_items=false": 1,
	} {
		id := uuid.NewString()
		post(t, s, query+"&operation_id="+id, mixed)
		if got := operationStatus(t, s, id); got != "FAIL" {
			t.Fatalf("%s: status %s", query, got)
		}
		log := send(s, http.MethodGet, "/api/v1/operations/"+id+"/log", "").want(t, http.StatusOK)
		if n := len(log.get(t).([]any)); n != want || log.get(t, 0, "type") != "TASK_VALIDATE" {
			t.Errorf("%s: the log is %s", query, log.raw)
		}
		send(s, http.MethodPost, "/api/v1/tasks?async_mode=true&allow_defaults=true&operation_id="+id, goodTasks("1", 0, 1)).
			wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
	}
	id := post(t, s, "skip_invalid_items=true", "["+badTask+","+badTask+"]")
	if got := operationStatus(t, s, id); got != "FAIL" {
		t.Errorf("all tasks are bad: status %s", got)
	}
	if n := len(count(t, s)); n != 0 {
		t.Errorf("%d tasks were created", n)
	}
}

func TestARefusedRequestDoesNotBurnItsID(t *testing.T) {
	s := start(t, Config{Limits: Limits{TasksPerMinute: 3}})
	query := "/api/v1/tasks?async_mode=true&allow_defaults=true&operation_id=" + uuid.NewString()
	send(s, http.MethodPost, query, goodTasks("1", 0, 4)).want(t, http.StatusTooManyRequests)
	send(s, http.MethodPost, query, goodTasks("2", 0, 1)).wantError(t, http.StatusConflict, "MIXER_CONFIG_REQUIRED")
	send(s, http.MethodPost, query, "[").want(t, http.StatusBadRequest)
	send(s, http.MethodPost, query, goodTasks("1", 0, 3)).want(t, http.StatusAccepted)
}

func TestOneOfManyEqualRequestsIsCarriedOut(t *testing.T) {
	s := unlimited(t)
	query := "/api/v1/tasks?async_mode=true&allow_defaults=true&operation_id=" + uuid.NewString()
	var wg sync.WaitGroup
	answers := make([]answer, 16)
	for i := range answers {
		wg.Go(func() { answers[i] = send(s, http.MethodPost, query, goodTasks("1", 0, 100)) })
	}
	wg.Wait()
	accepted := 0
	for _, a := range answers {
		if a.status == http.StatusAccepted {
			accepted++
		} else {
			a.wantError(t, http.StatusConflict, "OPERATION_ALREADY_EXISTS")
		}
	}
	if n := len(count(t, s)); accepted != 1 || n != 100 {
		t.Errorf("%d requests were accepted, %d tasks created", accepted, n)
	}
}

func TestPoolsOpenAfterAnUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{OperationTime: time.Second})
		opened := func(id string) map[string]any {
			t.Helper()
			for _, e := range send(s, http.MethodGet, "/api/v1/operations/"+id+"/log", "").want(t, http.StatusOK).get(t).([]any) {
				if entry := e.(map[string]any); entry["type"] == "POOL_OPEN" {
					return entry
				}
			}
			t.Fatal("the log has no entry POOL_OPEN")
			return nil
		}
		bad := strings.ReplaceAll(badTask, `"1"`, `"5"`)
		empty := post(t, s, "open_pool=true&skip_invalid_items=true", "["+bad+"]")
		time.Sleep(time.Second)
		entry := opened(empty)
		if entry["success"] != false || entry["output"].(map[string]any)["code"] != "EMPTY_POOL" {
			t.Errorf("an empty pool: %v", entry)
		}
		if got := entry["input"].(map[string]any)["pool_id"]; got != 5.0 {
			t.Errorf("the pool's id is %v and no number", got)
		}

		first := post(t, s, "open_pool=true", goodTasks("5", 0, 1))
		if got := send(s, http.MethodGet, "/api/v1/pools/5", "").get(t, "status"); got != "CLOSED" {
			t.Errorf("before the operation ends the pool is %v", got)
		}
		time.Sleep(time.Second)
		if got := send(s, http.MethodGet, "/api/v1/pools/5", "").get(t, "status"); got != "OPEN" {
			t.Errorf("after the operation the pool is %v", got)
		}
		if entry := opened(first); entry["success"] != true {
			t.Errorf("a closed pool: %v", entry)
		}
		second := post(t, s, "open_pool=true", goodTasks("5", 1, 2))
		time.Sleep(time.Second)
		if entry := opened(second); entry["output"].(map[string]any)["code"] != "INAPPROPRIATE_STATUS" || entry["output"].(map[string]any)["request_id"] == "" {
			t.Errorf("an open pool: %v", entry)
		}
	})
}

func TestPoolsOpenCloseArchiveAndClone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Config{OperationTime: time.Second})
		act := func(action string) answer { return send(s, http.MethodPost, "/api/v1/pools/5/"+action, "") }
		status := func() any { return send(s, http.MethodGet, "/api/v1/pools/5", "").get(t, "status") }

		act("open").wantError(t, http.StatusConflict, "EMPTY_POOL")
		send(s, http.MethodPost, "/api/v1/tasks?allow_defaults=true", goodTasks("5", 0, 1)).want(t, http.StatusCreated)
		a := act("open").want(t, http.StatusAccepted)
		if a.get(t, "type") != "POOL.OPEN" || a.get(t, "parameters", "pool_id") != "5" {
			t.Errorf("operation %s", a.raw)
		}
		act("close").wantError(t, http.StatusConflict, "POOL_LOCKED_BY_ANOTHER_OPERATION")
		time.Sleep(time.Second)
		if status() != "OPEN" {
			t.Errorf("opened: %v", status())
		}
		act("open").want(t, http.StatusNoContent)
		act("archive").wantError(t, http.StatusConflict, "INAPPROPRIATE_STATUS")
		act("close").want(t, http.StatusAccepted)
		time.Sleep(time.Second)
		act("close").want(t, http.StatusNoContent)
		clone := act("clone").want(t, http.StatusAccepted)
		copied := clone.get(t, "details", "pool_id").(string)
		act("archive").want(t, http.StatusAccepted)
		time.Sleep(time.Second)
		if status() != "ARCHIVED" {
			t.Errorf("archived: %v", status())
		}
		act("archive").want(t, http.StatusNoContent)
		act("open").wantError(t, http.StatusConflict, "INAPPROPRIATE_STATUS")
		send(s, http.MethodPut, "/api/v1/pools/5", `{"project_id":"1","private_name":"P"}`).wantError(t, http.StatusConflict, "INAPPROPRIATE_STATUS")

		b := send(s, http.MethodGet, "/api/v1/pools/"+copied, "").want(t, http.StatusOK)
		if b.get(t, "status") != "CLOSED" || b.get(t, "private_name") != "Demo: closed" || s.Stats().Pools[copied] != 0 {
			t.Errorf("the clone is %s", b.raw)
		}
		list := send(s, http.MethodGet, "/api/v1/operations?type=POOL.ARCHIVE&status=SUCCESS&sort=-submitted", "").want(t, http.StatusOK)
		if n := len(list.get(t, "items").([]any)); n != 1 {
			t.Errorf("%d operations: %s", n, list.raw)
		}
	})
}
