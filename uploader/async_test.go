package uploader

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/ratelimit"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

const (
	running  = `{"id":"OPID","type":"TASK.BATCH_CREATE","status":"RUNNING"}`
	success  = `{"id":"OPID","type":"TASK.BATCH_CREATE","status":"SUCCESS","details":{"items_count":2}}`
	failed   = `{"id":"OPID","type":"TASK.BATCH_CREATE","status":"FAIL","details":{"message":"broken disk"}}`
	existing = `{"request_id":"r","code":"OPERATION_ALREADY_EXISTS","message":"exists"}`
	archived = `{"code":"OPERATION_LOGS_ARCHIVED","message":"gone"}`
	missing  = `{"code":"DOES_NOT_EXIST","message":"no such"}`
	tooBig   = `{"code":"REQUEST_TOO_LARGE"}`
	html502  = `<html><body>502 Bad Gateway</body></html>`

	post = "POST /tasks"
	poll = "GET /operations/ID"
	logs = "GET /operations/ID/log"
)

// TestAsync runs scripts against chunks of two indexed tasks, unless said
// otherwise.
func TestAsync(t *testing.T) {
	two := "created t0; created t1"
	for _, tc := range []struct {
		name  string
		cfg   Config
		rows  []string
		steps []step
		want  string
		check func(*testing.T, Outcome, *fakeServer)
	}{
		{
			name:  "an operation is polled until it succeeds, and its log gives the ids",
			steps: []step{on(post, 202, running), on(poll, 200, running), on(poll, 200, success), on(logs, 200, logOf(1, 0))},
			want:  two,
			check: func(t *testing.T, o Outcome, _ *fakeServer) {
				if o.Attempts != 1 || o.Known || o.Operation == "" {
					t.Errorf("outcome is %+v", o)
				}
			},
		},
		{
			name:  "an operation that is over at once needs no poll",
			steps: []step{on(post, 201, success), on(logs, 200, logOf(0, 1))},
			want:  two,
		},
		{
			name: "the query asks for an operation under a name and for defaults",
			steps: []step{{post, func(r request) (*http.Response, error) {
				if got := r.URL.RawQuery; !strings.HasPrefix(got, "allow_defaults=true&async_mode=true&operation_id=") || !strings.HasSuffix(got, "&skip_invalid_items=false") {
					return answer(599, ""), nil
				}
				return answer(202, success), nil
			}}, on(logs, 200, logOf(0, 1))},
			want: two,
		},
		{
			name:  "an operation that the server knows already is asked for",
			steps: []step{on(post, 409, existing), on(poll, 200, success), on(logs, 200, logOf(0, 1))},
			want:  two,
			check: func(t *testing.T, o Outcome, _ *fakeServer) {
				if !o.Known {
					t.Error("the outcome doesn't say that the server knew the chunk")
				}
			},
		},
		{
			name: "a lost answer is asked for again under the same id",
			steps: []step{
				broken(syscall.ECONNRESET), on(post, 502, html502), on(post, 503, ""), on(post, 200, `{"id":"OPID","sta`),
				on(post, 200, `{"items":{}}`), silent(post), on(post, 409, existing), on(poll, 500, ""), on(poll, 200, success), on(logs, 200, logOf(0, 1)),
			},
			want: two,
			check: func(t *testing.T, o Outcome, f *fakeServer) {
				if o.Known || o.Attempts != 7 {
					t.Errorf("known %v, %d attempts; want 7 of our own", o.Known, o.Attempts)
				}
				for _, p := range f.posts() {
					if p.URL.RawQuery != f.posts()[0].URL.RawQuery || string(p.body) != string(f.posts()[0].body) {
						t.Error("the attempts differ")
					}
				}
			},
		},
		{
			name:  "a pool that is locked by another operation becomes free",
			steps: []step{on(post, 409, `{"code":"POOL_LOCKED_BY_ANOTHER_OPERATION"}`), on(post, 202, success), on(logs, 200, logOf(0, 1))},
			want:  two,
		},
		{
			name:  "a quota that is used up is waited for",
			steps: []step{on(post, 429, `{"code":"TOO_MANY_REQUESTS","payload":{"interval":"HOUR"}}`), on(post, 202, success), on(logs, 200, logOf(0, 1))},
			want:  two,
			check: func(t *testing.T, _ Outcome, f *fakeServer) {
				if posts := f.posts(); posts[1].at.Sub(posts[0].at) < time.Hour {
					t.Errorf("the second attempt comes after %v", posts[1].at.Sub(posts[0].at))
				}
			},
		},
		{
			name: "an operation that gets lost is sent again under the same id",
			steps: []step{
				on(post, 202, running), on(poll, 404, missing), on(poll, 200, running),
				on(poll, 404, missing), on(poll, 404, missing), on(poll, 404, missing), on(poll, 404, missing), on(poll, 404, missing), on(poll, 404, missing),
				on(post, 202, success), on(logs, 200, logOf(0, 1)),
			},
			want: two,
		},
		{
			name:  "a log that is behind is read again",
			steps: []step{on(post, 202, success), on(logs, 404, missing), on(logs, 200, logOf(1)), on(logs, 200, logOf(0, 1))},
			want:  two,
		},
		{
			name: "what a log never names is looked for in the pool",
			steps: []step{
				on(post, 202, success), on(logs, 200, logOf(1)), on(logs, 200, "[]"), on(logs, 200, logOf(1)), on(logs, 200, logOf(1)),
				on(list, 200, tasksOf(false, "t1", "b", "t0", "a")),
			},
			want: two,
		},
		{
			name: "what neither the log nor the pool has is in doubt",
			steps: []step{
				on(post, 202, success), on(logs, 200, logOf(1)), on(logs, 200, "[]"), on(logs, 200, logOf(1)), on(logs, 200, logOf(1)),
				on(list, 200, tasksOf(false, "t1", "a")), on(list, 200, tasksOf(false)),
			},
			want: "unsent? " + reasonNotNamed + "; created t1",
		},
		{
			name: "a log that breaks off is read from its start",
			steps: []step{on(post, 202, success), {logs, func(request) (*http.Response, error) {
				return breaking(200, logOf(0, 1)[:200], io.ErrUnexpectedEOF), nil
			}}, on(logs, 200, logOf(1, 0))},
			want: two,
		},
		{
			name: "where a log isn't kept any more, the pool gives the ids",
			steps: []step{on(post, 409, existing), on(poll, 200, success), on(logs, 400, archived), {list, func(r request) (*http.Response, error) {
				if r.URL.Query().Has("created_gte") { // nobody knows how old the operation is
					return answer(599, ""), nil
				}
				return answer(200, tasksOf(false, "t0", "a", "t1", "b")), nil
			}}},
			want: two,
		},
		{
			name:  "what the pool doesn't have of an operation without log is in doubt",
			steps: []step{on(post, 409, existing), on(poll, 200, success), on(logs, 400, archived), on(list, 200, tasksOf(false, "t0", "a")), on(list, 200, tasksOf(false, "t0", "a"))},
			want:  "created t0; unsent? " + reasonLogGone,
		},
		{
			name:  "when skipping, what the pool doesn't have may have been refused",
			cfg:   Config{SkipInvalid: true},
			steps: []step{on(post, 409, existing), on(poll, 200, success), on(logs, 409, archived), on(list, 200, tasksOf(false)), on(list, 200, tasksOf(false, "t1", "b")), on(list, 200, tasksOf(false, "t1", "b"))},
			want:  "unsent " + reasonLogGoneSkip + "; created t1",
		},
		{
			name: "of a failed operation without log, what the pool doesn't have is sent again",
			steps: []step{
				on(post, 202, failed), on(logs, 404, missing), on(logs, 404, missing), on(list, 200, tasksOf(false, "t1", "b")), on(list, 200, tasksOf(false, "t1", "b")),
				on(list, 200, tasksOf(false, "t1", "b")), // our clock may be wrong
				on(post, 202, success), on(logs, 200, logOf(0)),
			},
			want: two,
		},
		{
			name: "a failed operation without log that created nothing is sent as the next generation",
			steps: []step{
				on(post, 409, existing), on(poll, 200, failed), on(logs, 400, archived), on(list, 200, tasksOf(false)), on(list, 200, tasksOf(false)),
				on(post, 202, success), on(logs, 200, logOf(0, 1)),
			},
			want: two,
			check: func(t *testing.T, o Outcome, _ *fakeServer) {
				if o.Generation != 1 {
					t.Errorf("it is generation %d", o.Generation)
				}
			},
		},
		{
			name:  "when skipping, refused rows stand beside created ones",
			cfg:   Config{SkipInvalid: true},
			steps: []step{on(post, 202, success), on(logs, 200, "["+refusedEntry(0)+","+created(1)+"]")},
			want:  "rejected input_values.a:VALUE_REQUIRED; created t1",
		},
		{
			name: "entries about other things are passed over",
			cfg:  Config{SkipInvalid: true},
			steps: []step{on(post, 202, success), on(logs, 200, `[
				{"type":"POOL_OPEN","success":false,"input":{"pool_id":12},"output":{"code":"X","message":"y","request_id":"z"}},
				{"type":"TASK_VALIDATE","success":true,"input":{"__item_idx":"0"},"output":{}},
				{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"77"},"output":{"task_id":"other"}},
				{"type":"TASK_CREATE","success":true,"input":null,"output":{"task_id":"other"}},
				{"type":"TASK_CREATE","success":true,"input":{"pool_id":"12"},"output":{"task_id":"other"}},
				{"type":"SOMETHING_NEW","success":true,"input":{"__item_idx":"1"}},
				{"output":{"task_id":"t0"},"extra":[1,{}],"input":{"__item_idx":0},"success":true,"type":"TASK_CREATE"},
				{"type":"TASK_CREATE","success":false,"input":{"__item_idx":"1"},"output":{"code":"C","message":"m"}}]`)},
			want: "created t0; rejected :C",
		},
		{
			name:  "a created row without an id says so",
			steps: []step{on(post, 202, success), on(logs, 200, `[`+created(1)+`,{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"0"},"output":null}]`)},
			want:  "created (" + reasonIDMissing + "); created t1",
		},
		{
			name:  "one invalid row stops its chunk",
			steps: []step{on(post, 202, failed), on(logs, 200, "["+refusedEntry(1)+"]"), on(logs, 200, "["+refusedEntry(1)+"]")},
			want:  "unsent not created because the chunk has an invalid row; rejected input_values.a:VALUE_REQUIRED",
		},
		{
			name:  "when skipping, an operation that fails for all rows rejects them",
			cfg:   Config{SkipInvalid: true},
			steps: []step{on(post, 202, failed), on(logs, 200, "["+refusedEntry(1)+","+refusedEntry(0)+"]")},
			want:  "rejected input_values.a:VALUE_REQUIRED; rejected input_values.a:VALUE_REQUIRED",
		},
		{
			name: "an operation that failed with nothing done is sent as the next generation",
			steps: []step{
				on(post, 202, failed), on(logs, 200, "[]"), on(logs, 200, "[]"),
				on(post, 409, existing), on(poll, 200, failed), on(logs, 200, "[]"), on(logs, 200, "[]"),
				on(post, 202, success), on(logs, 200, logOf(0, 1)),
			},
			want: two,
			check: func(t *testing.T, o Outcome, f *fakeServer) {
				ids := map[string]bool{}
				for _, p := range f.posts() {
					ids[p.URL.Query().Get("operation_id")] = true
				}
				if len(ids) != 3 || o.Generation != 2 || !ids[o.Operation] {
					t.Errorf("%d ids, generation %d", len(ids), o.Generation)
				}
			},
		},
		{
			name: "of an operation that failed half way only the rest is sent again",
			rows: []string{"a", "b", "c", "d"},
			steps: []step{
				on(post, 202, failed), on(logs, 200, logOf(0, 2)), on(logs, 200, logOf(0, 2)),
				{post, func(r request) (*http.Response, error) {
					if string(r.body) != `[{"pool_id":"12","__item_idx":"1","input_values":{"a":"b"}},{"pool_id":"12","__item_idx":"3","input_values":{"a":"d"}}]` {
						return answer(599, ""), nil
					}
					return answer(202, success), nil
				}},
				on(logs, 200, logOf(1, 3)),
			},
			want: "created t0; created t1; created t2; created t3",
		},
		{
			name: "a request that is too large is halved, down to the row that is too large alone",
			cfg:  Config{SkipInvalid: true},
			rows: []string{"a", "b", "c"},
			steps: []step{
				on(post, 413, tooBig), on(post, 202, success), on(logs, 200, logOf(0)),
				on(post, 413, tooBig), on(post, 413, tooBig), on(post, 202, success), on(logs, 200, logOf(2)),
			},
			want: "created t0; rejected :REQUEST_TOO_LARGE; created t2",
		},
		{
			name:  "an invalid row in a half stops the other half",
			rows:  []string{"a", "b"},
			steps: []step{on(post, 413, ""), on(post, 202, failed), on(logs, 200, "["+refusedEntry(0)+"]")},
			want:  "rejected input_values.a:VALUE_REQUIRED; unsent not created because the chunk has an invalid row",
		},
		{
			name:  "a 413 for the repetition of a lost request takes the operation that exists",
			steps: []step{broken(io.EOF), on(post, 413, ""), on(poll, 200, success), on(logs, 200, logOf(0, 1))},
			want:  two,
		},
		{
			name: "a 413 for the repetition of a lost request halves when there is none",
			steps: []step{
				broken(io.EOF), on(post, 413, ""), on(poll, 404, missing),
				on(post, 202, success), on(logs, 200, logOf(0)), on(post, 202, success), on(logs, 200, logOf(1)),
			},
			want: two,
		},
		{
			name:  "a refusal that names rows rejects these",
			steps: []step{on(post, 400, `{"code":"VALIDATION_ERROR","payload":{"1":{"input_values.a":{"code":"C","message":"m"}}}}`)},
			want:  "unsent not created because the chunk has an invalid row; rejected input_values.a:C",
		},
		{
			name: "when skipping, a refusal that names some rows sends the others without them",
			cfg:  Config{SkipInvalid: true},
			rows: []string{"a", "b", "c"},
			steps: []step{
				on(post, 400, `{"code":"VALIDATION_ERROR","payload":{"1":{"input_values.a":{"code":"C","message":"m"}}}}`),
				on(post, 202, success), on(logs, 200, logOf(0, 2)),
			},
			want: "created t0; rejected input_values.a:C; created t2",
		},
		{
			name:  "a refusal that names no row rejects all",
			steps: []step{on(post, 400, `{"code":"VALIDATION_ERROR","payload":{"input_values.a":{"code":"C","message":"m"}}}`)},
			want:  "rejected input_values.a:C; rejected input_values.a:C",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := script(t, tc.steps...)
				if tc.rows == nil {
					tc.rows = []string{"a", "b"}
				}
				o := upload(t, newUploader(t, f, setup{cfg: tc.cfg}), chunkOf(t, true, tc.rows...))
				expect(t, o, tc.want)
				if tc.check != nil {
					tc.check(t, o, f)
				}
			})
		})
	}
}

func TestALogWithoutIndexesIsMatchedByContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := script(t, on(post, 202, success), on(logs, 200, `[
			{"type":"TASK_CREATE","success":true,"input":{"pool_id":"12","overlap":1,"input_values":{"a":"same"}},"output":{"task_id":"s1"}},
			{"type":"TASK_VALIDATE","success":false,"input":{"input_values":{"a":"b\u0061d"}},"output":{"input_values.a":{"code":"C","message":"m"}}},
			{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":"same"}},"output":{"task_id":"s2"}},
			{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":"strange"}},"output":{"task_id":"s3"}},
			{"type":"TASK_CREATE","success":true,"input":{"overlap":5,"input_values":{"a":"same"}},"output":{"task_id":"s5"}},
			{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":"\u00e9t\u00e9"}},"output":{"task_id":"s4"}}]`))
		u := newUploader(t, f, setup{cfg: Config{SkipInvalid: true}})
		expect(t, upload(t, u, chunkOf(t, false, "same", "bad", "été", "same")),
			"created s1; rejected input_values.a:C; created s4; created s2")
	})
}

func TestAnEmptyChunkNeedsNoRequest(t *testing.T) {
	u := newUploader(t, script(t), setup{})
	expect(t, upload(t, u, chunkOf(t, true)), "")
}

func TestAsyncErrorsEndTheRun(t *testing.T) {
	sent := "unsent " + reasonNotSent + "; unsent " + reasonNotSent
	doubt := "unsent? " + reasonInDoubt + "; unsent? " + reasonInDoubt
	for _, tc := range []struct {
		name  string
		steps []step
		kind  toloka.Kind
		text  string
		want  string
	}{
		{
			"a refused token",
			[]step{on(post, 401, `{"code":"AUTHENTICATION_ERROR","message":"bad key `+testToken+`","request_id":"q1"}`)},
			toloka.KindAuth, "the token was refused while sending 2 rows (401 AUTHENTICATION_ERROR: bad key [token], request q1): check the token, and", sent,
		},
		{"denied access", []step{on(post, 403, `{"code":"ACCESS_DENIED"}`)}, toloka.KindAuth, "access was denied", sent},
		{"an unknown pool", []step{on(post, 404, missing)}, toloka.KindNotFound, "not found while sending 2 rows", sent},
		{"an archived pool", []step{on(post, 409, `{"code":"INAPPROPRIATE_STATUS"}`)}, toloka.KindConflict, "not archived", sent},
		{"a full pool", []step{on(post, 409, `{"code":"POOL_TASKS_COUNT_EXCEEDED"}`)}, toloka.KindConflict, "the pool is full", sent},
		{"no smart mixing", []step{on(post, 400, `{"code":"MIXER_CONFIG_REQUIRED"}`)}, toloka.KindInvalid, "mixer_config", sent},
		{"no smart mixing, said as a conflict", []step{on(post, 409, `{"code":"MIXER_CONFIG_REQUIRED"}`)}, toloka.KindConflict, "mixer_config", sent},
		{"a wrong content type", []step{on(post, 415, ``)}, toloka.KindUnexpected, "unexpected answer", sent},
		{"a redirect", []step{on(post, 302, ``, "Location", "https://elsewhere.example")}, toloka.KindUnexpected, "check the address", sent},
		{"a token that is refused after a lost answer", []step{broken(io.EOF), on(post, 401, "")}, toloka.KindAuth, "token", doubt},
		{"a token that is refused while polling", []step{on(post, 202, running), on(poll, 401, `{"code":"AUTHENTICATION_ERROR"}`)}, toloka.KindAuth, "token", doubt},
		{"a log that is refused", []step{on(post, 202, success), on(logs, 403, `{"code":"ACCESS_DENIED"}`)}, toloka.KindAuth, "denied", doubt},
		{"a failed operation's log that is refused", []step{on(post, 202, failed), on(logs, 403, `{"code":"ACCESS_DENIED"}`)}, toloka.KindAuth, "denied", doubt},
		{"a lost answer whose repetition is too large, and no word of it", []step{broken(io.EOF), on(post, 413, ""), on(poll, 403, "")}, toloka.KindAuth, "denied", doubt},
		{
			"answers that make no sense", []step{
				on(post, 200, "<html>"), on(post, 200, "<html>"), on(post, 200, "<html>"), on(post, 200, "<html>"), on(post, 200, "<html>"),
			}, toloka.KindMalformed, "makes no sense", doubt,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, err := uploadFails(t.Context(), t, newUploader(t, script(t, tc.steps...), setup{}), chunkOf(t, true, "a", "b"))
				var apiErr *toloka.Error
				if !errors.As(err, &apiErr) || apiErr.Kind != tc.kind {
					t.Errorf("the error is of kind %q, want %q: %v", apiErr.Kind, tc.kind, err)
				}
				if !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%q isn't in the error: %v", tc.text, err)
				}
				expect(t, o, tc.want)
			})
		})
	}
}

func TestRetriesEndAfterTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(request) (*http.Response, error) { return answer(500, `{"code":"INTERNAL_ERROR"}`), nil }}
		u := newUploader(t, f, setup{client: toloka.Config{RetryFor: 5 * time.Minute}})
		start := time.Now()
		o, err := uploadFails(t.Context(), t, u, chunkOf(t, true, "a"))
		if took := time.Since(start); took > 5*time.Minute || took < 3*time.Minute {
			t.Errorf("it takes %v, want nearly 5 minutes", took)
		}
		var apiErr *toloka.Error
		if !errors.As(err, &apiErr) || apiErr.Kind != toloka.KindTransient || apiErr.Attempts != len(f.requests) || apiErr.Attempts < 10 {
			t.Errorf("the error is %+v", apiErr)
		}
		if !strings.Contains(err.Error(), "gave up after") {
			t.Errorf("the error doesn't say that it gave up: %v", err)
		}
		expect(t, o, "unsent? "+reasonInDoubt)
	})
}

func TestAnOperationThatAlwaysFailsEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(r request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				return answer(202, failed), nil
			}
			return answer(200, "[]"), nil
		}}
		u := newUploader(t, f, setup{client: toloka.Config{RetryFor: time.Minute}})
		o, err := uploadFails(t.Context(), t, u, chunkOf(t, true, "a"))
		if !strings.Contains(err.Error(), "broken disk") || !strings.Contains(err.Error(), "ended with FAIL") {
			t.Errorf("the error doesn't tell the operation's details: %v", err)
		}
		expect(t, o, "unsent "+reasonNotSent) // surely not created
		if o.Generation < 3 {
			t.Errorf("it gave up at generation %d", o.Generation)
		}
	})
}

func TestAnOperationThatNeverEndsTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(request) (*http.Response, error) { return answer(202, running), nil }}
		u := newUploader(t, f, setup{cfg: Config{OperationTimeout: 20 * time.Minute}})
		start := time.Now()
		o := upload(t, u, chunkOf(t, true, "a"))
		if took := time.Since(start); took != 20*time.Minute {
			t.Errorf("it takes %v, want 20 minutes", took)
		}
		expect(t, o, "unsent? operation "+o.Operation+" is still RUNNING after 20m0s: the same command asks for it again")
	})
}

func TestPollsAreFewOnceTheTypicalTimeIsKnown(t *testing.T) {
	for _, operation := range []time.Duration{200 * time.Millisecond, 3 * time.Second, 12 * time.Second} {
		t.Run(operation.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var begun time.Time
				polls := 0
				f := &fakeServer{handle: func(r request) (*http.Response, error) {
					switch {
					case r.Method == http.MethodPost:
						begun = time.Now()
						return answer(202, running), nil
					case strings.HasSuffix(r.URL.Path, "/log"):
						return answer(200, logOf(0)), nil
					}
					polls++
					if time.Since(begun) < operation {
						return answer(200, running), nil
					}
					return answer(200, success), nil
				}}
				u := newUploader(t, f, setup{})
				for range 10 {
					upload(t, u, chunkOf(t, true, "a"))
				}
				polls = 0
				start := time.Now()
				for range 20 {
					upload(t, u, chunkOf(t, true, "a"))
				}
				if polls > 4*20 {
					t.Errorf("%d polls for 20 operations", polls)
				}
				if took := time.Since(start); took > 20*operation*8/5+20*200*time.Millisecond {
					t.Errorf("20 operations of %v take %v", operation, took)
				}
			})
		})
	}
}

func TestACancelledUploadReturnsAtOnceAndKeepsTheLastCause(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []step
		mode  Mode
		want  string
		last  bool
	}{
		{"while the server is silent", []step{silent(post)}, Async, "unsent? " + reasonInDoubt, false},
		{"between attempts", []step{on(post, 503, "", "Retry-After", "60")}, Async, "unsent? " + reasonInDoubt, true},
		{"while paused", []step{on(post, 429, "", "Retry-After", "60")}, Async, "unsent " + reasonNotSent, true},
		{"while paused after a lost answer", []step{on(post, 500, ""), on(post, 429, "", "Retry-After", "60")}, Async, "unsent? " + reasonInDoubt, true},
		{"while polling", []step{on(post, 202, running), on(poll, 200, running), silent(poll)}, Async, "unsent? " + reasonInDoubt, false},
		{"while the log is behind", []step{on(post, 202, success), on(logs, 200, "[]"), silent(logs)}, Async, "unsent? " + reasonInDoubt, false},
		{"while the server is silent, sync", []step{silent(post)}, Sync, "unsent? " + reasonInDoubt, false},
		{"while the pool settles", []step{on(post, 500, "")}, Sync, "unsent? " + reasonInDoubt, true},
		{"while the pool is searched", []step{on(post, 500, ""), silent("GET /tasks")}, Sync, "unsent? " + reasonInDoubt, false},
		{"between attempts, sync", []step{broken(refusedConnection), silent(post)}, Sync, "unsent? " + reasonInDoubt, true},
		{"while paused, sync", []step{on(post, 429, "", "Retry-After", "60")}, Sync, "unsent " + reasonNotSent, true},
		{"before a failed operation is sent again", []step{on(post, 202, failed), on(logs, 200, "[]"), {logs, func(request) (*http.Response, error) {
			return answer(200, "[]"), nil
		}}}, Async, "unsent " + reasonNotSent, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				errStop := errors.New("the user stopped it")
				ctx, cancel := context.WithCancelCause(t.Context())
				f := script(t, tc.steps...)
				n, handle := 0, f.handle
				f.handle = func(r request) (*http.Response, error) {
					if n++; n == len(tc.steps) {
						time.AfterFunc(time.Nanosecond, func() { cancel(errStop) })
					}
					return handle(r)
				}
				var stopped time.Time
				context.AfterFunc(ctx, func() { stopped = time.Now() })
				u := newUploader(t, f, setup{cfg: Config{Mode: tc.mode, Settle: time.Second}})
				o, err := uploadFails(ctx, t, u, chunkOf(t, true, "a"))
				synctest.Wait()
				if late := time.Since(stopped); late != 0 {
					t.Errorf("it returns %v late", late)
				}
				var apiErr *toloka.Error
				if !errors.Is(err, errStop) || !errors.As(err, &apiErr) || apiErr.Kind != toloka.KindCanceled {
					t.Errorf("the error is no cancellation: %v", err)
				}
				if got := strings.Contains(err.Error(), "before that"); got != tc.last {
					t.Errorf("the last cause is named: %v, want %v: %v", got, tc.last, err)
				}
				expect(t, o, tc.want)
			})
		})
	}
}

func TestTasksOnlyCountWhereTheServerMayHaveThem(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []step
		want  int
	}{
		{"created", []step{on(post, 202, success), on(logs, 200, logOf(0, 1))}, 2},
		{"lost, then known", []step{broken(io.EOF), on(post, 409, existing), on(poll, 200, success), on(logs, 200, logOf(0, 1))}, 2},
		{"refused by quota, then created", []step{on(post, 429, "", "Retry-After", "1"), on(post, 202, success), on(logs, 200, logOf(0, 1))}, 2},
		{"no connection, then created", []step{broken(refusedConnection), on(post, 202, success), on(logs, 200, logOf(0, 1))}, 2},
		{"invalid", []step{on(post, 400, `{"code":"VALIDATION_ERROR","payload":{"0":{"overlap":{"code":"C"}}}}`)}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate, err := ratelimit.New(ratelimit.Config{TasksPerMinute: 100})
				if err != nil {
					t.Fatal(err)
				}
				upload(t, newUploader(t, script(t, tc.steps...), setup{client: toloka.Config{Gate: gate}}), chunkOf(t, true, "a", "b"))
				if got := gate.State().TasksInWindow; got != tc.want {
					t.Errorf("%d tasks count, want %d", got, tc.want)
				}
			})
		})
	}
}

// A chunk that is larger than the quota ever lets pass goes in pieces, where somebody
// remembers which.
func TestAChunkLargerThanTheQuotaGoesInPieces(t *testing.T) {
	for _, tc := range []struct {
		mode    Mode
		journal Journal
		pieces  bool
	}{{Sync, nil, true}, {Async, &diary{}, true}, {Async, nil, false}} {
		synctest.Test(t, func(t *testing.T) {
			gate, err := ratelimit.New(ratelimit.Config{TasksPerMinute: 1})
			if err != nil {
				t.Fatal(err)
			}
			m := &model{t: t, indexed: true, operations: map[string]*modelOperation{}}
			u := newUploader(t, &fakeServer{handle: m.handle, newest: m.handle}, setup{client: toloka.Config{Gate: gate}, cfg: Config{Mode: tc.mode, Journal: tc.journal}})
			if tc.pieces {
				if o := upload(t, u, chunkOf(t, true, "a", "b", "c")); o.Count(verdict.Created) != 3 || len(m.tasks) != 3 {
					t.Errorf("%s: the pool has %d tasks: %s", tc.mode, len(m.tasks), show(o))
				}
				return
			}
			o, err := uploadFails(t.Context(), t, u, chunkOf(t, true, "a", "b"))
			var tooMany *ratelimit.TooManyTasksError
			if !errors.As(err, &tooMany) || !strings.Contains(err.Error(), "make the chunks smaller") {
				t.Errorf("the error is: %v", err)
			}
			expect(t, o, "unsent "+reasonNotSent+"; unsent "+reasonNotSent)
		})
	}
}
