package uploader

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/uploader/toloka"
)

const (
	getPool = "GET /pools/12"
	page    = "<html>a proxy's</html>"
)

// What comes in the API's place on the way of a chunk, once the API has answered.
func TestAChunkGoesOnWhateverAnswersInTheAPIsPlace(t *testing.T) {
	two := "created t0; created t1"
	listed := on(list, 200, tasksOf(false, "t0", "a", "t1", "b"))
	for _, tc := range []struct {
		name  string
		mode  Mode
		steps []step
		want  string
	}{
		{"a conflict in place of the API's", Async, []step{broken(io.EOF), on(post, 409, page), on(poll, 200, success), on(logs, 200, logOf(0, 1))}, two},
		{"a conflict, and no operation", Async, []step{on(post, 409, page), on(poll, 404, missing), on(post, 202, success), on(logs, 200, logOf(0, 1))}, two},
		{"a page for the operation", Async, []step{on(post, 202, running), on(poll, 404, page), on(poll, 302, page), on(poll, 200, success), on(logs, 200, logOf(0, 1))}, two},
		{"a page for the log", Async, []step{on(post, 202, success), on(logs, 404, page), on(logs, 200, "null"), on(logs, 200, logOf(0, 1))}, two},
		{"a body that is too large on the way, though it arrived", Async, []step{on(post, 413, page), on(poll, 200, success), on(logs, 200, logOf(0, 1))}, two},
		{"a page, though the tasks were created", Sync, []step{on(post, 403, page), listed}, two},
		{"nothing, though the tasks were created", Sync, []step{on(post, 204, ""), listed}, two},
		{"an empty object, though the tasks were created", Sync, []step{on(post, 200, "{}"), listed}, two},
		{"a page for the pool's tasks", Sync, []step{on(post, 500, page), on(list, 401, page), listed}, two},
		{"one id for two tasks", Sync, []step{on(post, 201, itemsOf("t", "t")), listed}, two},
		{"one id for two tasks in a log", Async, []step{
			on(post, 202, success), on(logs, 200, logOf2("t", "t")), on(logs, 200, logOf2("t", "t")), on(logs, 200, logOf(0, 1)),
		}, two},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUploader(t, script(t, append([]step{on(getPool, 200, `{"id":"12"}`)}, tc.steps...)...), setup{cfg: Config{Mode: tc.mode}})
				if _, err := u.client.Pool(t.Context(), "12"); err != nil {
					t.Fatal(err)
				}
				expect(t, upload(t, u, chunkOf(t, true, "a", "b")), tc.want)
			})
		})
	}
}

// logOf2 writes a log in which the first two tasks have these ids.
func logOf2(first, second string) string {
	return `[{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"0","input_values":{"a":"a"}},"output":{"task_id":"` + first + `"}},
		{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"1","input_values":{"a":"b"}},"output":{"task_id":"` + second + `"}}]`
}

// A proxy's time-out says that the server may still be at work: it gets as long to settle
// as after a time-out of our own.
func TestAProxysTimeoutIsATimeout(t *testing.T) {
	for _, status := range []int{502, 504} {
		synctest.Test(t, func(t *testing.T) {
			f := script(t, on(post, status, page), on(list, 200, tasksOf(false, "t0", "a")))
			expect(t, upload(t, newUploader(t, f, setup{cfg: Config{Mode: Sync, Settle: 2 * time.Second}}), chunkOf(t, false, "a")), "created t0")
			if waited := f.requests[1].at.Sub(f.requests[0].at); waited != 10*time.Second {
				t.Errorf("after %d the pool is searched after %v, want 10 seconds", status, waited)
			}
		})
	}
}

// A server that names operations otherwise would create the rows each time.
func TestAnotherOperationEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(request) (*http.Response, error) {
			return answer(202, `{"id":"another","type":"TASK.BATCH_CREATE","status":"RUNNING"}`), nil
		}}
		o, err := uploadFails(t.Context(), t, newUploader(t, f, setup{}), chunkOf(t, true, "a"))
		var failed *toloka.Error
		if !errors.As(err, &failed) || failed.Kind != toloka.KindUnexpected || len(f.requests) != 1 {
			t.Errorf("%d requests, and the error is: %v", len(f.requests), err)
		}
		expect(t, o, "unsent? "+reasonInDoubt)
	})
}
