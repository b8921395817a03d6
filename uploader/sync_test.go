package uploader

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/uploader/toloka"
)

const (
	list = "GET /tasks"

	createdLayout = "2006-01-02T15:04:05" // how the server writes a time
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

func TestSync(t *testing.T) {
	two := "created t0; created t1"
	for _, tc := range []struct {
		name  string
		skip  bool
		rows  []string
		steps []step
		want  string
	}{
		{
			name: "the answer gives the ids",
			steps: []step{{post, func(r request) (*http.Response, error) {
				if r.URL.RawQuery != "allow_defaults=true&async_mode=false&skip_invalid_items=false" {
					return answer(599, ""), nil
				}
				return answer(201, itemsOf("t0", "t1")), nil
			}}},
			want: two,
		},
		{
			name:  "when skipping, the answer gives the errors too",
			skip:  true,
			steps: []step{on(post, 200, `{"validation_errors":{"0":{"input_values.a":{"code":"C","message":"m"},"overlap":{"code":"D"}}},"extra":1,"items":{"1":{"id":"t1"}}}`)},
			want:  "rejected input_values.a:C overlap:D; created t1",
		},
		{
			name:  "without skipping, errors mean that nothing was created",
			steps: []step{on(post, 200, `{"items":{},"validation_errors":{"0":{"input_values.a":{"code":"C","message":"m"}}}}`)},
			want:  "rejected input_values.a:C; unsent not created because the chunk has an invalid row",
		},
		{
			name:  "a row that the answer doesn't name is looked for",
			steps: []step{on(post, 200, itemsOf("t0")), on(list, 200, tasksOf(false, "t0", "a", "t1", "b"))},
			want:  two,
		},
		{
			name: "a row that the answer doesn't name is sent again where the pool doesn't have it",
			steps: []step{
				on(post, 200, itemsOf("t0")), on(list, 200, tasksOf(false, "t0", "a")), on(list, 200, tasksOf(false, "t0", "a")),
				sends(1, 201, itemsOf("t1")),
			},
			want: two,
		},
		{
			name:  "an answer without a body is none",
			steps: []step{on(post, 204, ""), on(list, 200, tasksOf(false, "t0", "a", "t1", "b"))},
			want:  two,
		},
		{
			name: "no two rows have one id",
			rows: []string{"a", "b", "c"},
			steps: []step{
				on(post, 201, itemsOf("t0", "t1", "t0")), on(list, 200, tasksOf(false, "t0", "c", "t1", "b")), on(list, 200, tasksOf(false, "t0", "c", "t1", "b")),
				sends(1, 201, itemsOf("t2")),
			},
			want: "created t2; created t1; created t0",
		},
		{
			name:  "a lost answer is looked for in the pool",
			steps: []step{broken(syscall.ECONNRESET), on(list, 200, tasksOf(false, "t1", "b", "t0", "a", "t9", "other"))},
			want:  two,
		},
		{
			name:  "what the pool has only later is found too",
			steps: []step{on(post, 502, html502), on(list, 200, tasksOf(false)), on(list, 200, tasksOf(false, "t0", "a")), on(list, 200, tasksOf(false, "t0", "a", "t1", "b"))},
			want:  two,
		},
		{
			name: "what the pool doesn't have is sent again",
			steps: []step{
				{post, func(request) (*http.Response, error) {
					return breaking(200, `{"items":{"0":{"id":`, syscall.ECONNRESET), nil
				}},
				on(list, 200, tasksOf(false, "t9", "other")), on(list, 200, tasksOf(false)), on(post, 201, itemsOf("t0", "t1")),
			},
			want: two,
		},
		{
			name: "of a part only the rest is sent again",
			rows: []string{"a", "b", "c"},
			steps: []step{
				on(post, 500, ""), on(list, 200, tasksOf(false, "t1", "b")), on(list, 200, tasksOf(false, "t1", "b")),
				{post, func(r request) (*http.Response, error) {
					if len(items(r.body)) != 2 {
						return answer(599, ""), nil
					}
					return answer(201, itemsOf("t0", "t2")), nil
				}},
			},
			want: "created t0; created t1; created t2",
		},
		{
			name: "equal rows are found as often as the pool has them",
			rows: []string{"a", "a", "a"},
			steps: []step{
				on(post, 500, ""), on(list, 200, tasksOf(false, "t1", "a", "t2", "a")), on(list, 200, tasksOf(false, "t1", "a", "t2", "a")),
				on(post, 500, ""), on(list, 200, tasksOf(false, "t1", "a", "t2", "a", "t3", "a")),
			},
			want: "created t1; created t2; created t3",
		},
		{
			name: "the pool is listed page by page",
			steps: []step{
				broken(io.EOF), on(list, 200, tasksOf(true, "t0", "a")),
				{list, func(r request) (*http.Response, error) {
					q := r.URL.Query()
					if q.Get("id_gt") != "t0" || q.Get("sort") != "id" || q.Get("pool_id") != "12" || q.Get("limit") == "" {
						return answer(599, ""), nil
					}
					return answer(200, tasksOf(false, "t1", "b")), nil
				}},
			},
			want: two,
		},
		{
			name:  "no connection means that nothing is in doubt",
			steps: []step{broken(refusedConnection), on(post, 429, "", "Retry-After", "5"), on(post, 201, itemsOf("t0", "t1"))},
			want:  two,
		},
		{
			name:  "a request that is too large is halved",
			steps: []step{on(post, 413, `{"code":"TOO_LARGE","message":"m"}`), on(post, 201, itemsOf("t0")), on(post, 201, itemsOf("t1"))},
			want:  two,
		},
		{
			name: "when skipping, a request without any valid row rejects them by place",
			skip: true,
			steps: []step{on(post, 400, `{"code":"VALIDATION_ERROR","payload":{
				"0":{"input_values.a":{"code":"C","message":"m"}},"1.input_values.a":{"code":"D","message":"m"},"9":{"a":{"code":"E"}}}}`)},
			want: "rejected input_values.a:C; rejected input_values.a:D",
		},
		{
			name:  "reasons that name no row are given to all",
			skip:  true,
			steps: []step{on(post, 400, `{"code":"VALIDATION_ERROR","payload":{"input_values.a":{"code":"C","message":"m"}}}`)},
			want:  "rejected input_values.a:C; rejected input_values.a:C",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.rows == nil {
					tc.rows = []string{"a", "b"}
				}
				u := newUploader(t, script(t, tc.steps...), setup{cfg: Config{Mode: Sync, SkipInvalid: tc.skip}})
				expect(t, upload(t, u, chunkOf(t, false, tc.rows...)), tc.want)
			})
		})
	}
}

func TestSyncErrorsEndTheRun(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []step
		kind  toloka.Kind
		want  string
	}{
		{"a refused token", []step{on(post, 401, `{"code":"AUTHENTICATION_ERROR","message":"m"}`)}, toloka.KindAuth, "unsent " + reasonNotSent},
		{"a search that is refused", []step{on(post, 500, ""), on(list, 403, `{"code":"ACCESS_DENIED","message":"m"}`)}, toloka.KindAuth, "unsent? " + reasonInDoubt},
		{
			"a list that never goes on",
			[]step{on(post, 500, ""), on(list, 200, tasksOf(true, "t5", "x")), on(list, 200, tasksOf(true, "t5", "x"))},
			toloka.KindUnexpected, "unsent? " + reasonInDoubt,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUploader(t, script(t, tc.steps...), setup{cfg: Config{Mode: Sync}})
				o, err := uploadFails(t.Context(), t, u, chunkOf(t, false, "a"))
				var apiErr *toloka.Error
				if !errors.As(err, &apiErr) || apiErr.Kind != tc.kind {
					t.Errorf("the error is: %v", err)
				}
				expect(t, o, tc.want)
			})
		})
	}
}

func TestSyncGivesUpAfterItsTimeKnowingWhatThePoolHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(r request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				return answer(500, ""), nil
			}
			return answer(200, tasksOf(false, "t1", "b")), nil
		}}
		u := newUploader(t, f, setup{cfg: Config{Mode: Sync}, client: toloka.Config{RetryFor: time.Minute}})
		o, _ := uploadFails(t.Context(), t, u, chunkOf(t, false, "a", "b"))
		expect(t, o, "unsent "+reasonNotSent+"; created t1")
	})
}

func TestASlowServerGetsTimeToSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gaveUp time.Time
		u := newUploader(t, script(t, silent(post), step{list, func(r request) (*http.Response, error) {
			gaveUp = r.at
			return answer(200, tasksOf(false, "t0", "a")), nil
		}}), setup{cfg: Config{Mode: Sync, Settle: 2 * time.Second}, client: toloka.Config{RequestTimeout: time.Second}})
		start := time.Now()
		upload(t, u, chunkOf(t, false, "a"))
		if got := gaveUp.Sub(start); got != 11*time.Second {
			t.Errorf("the pool is searched after %v, want the timeout and ten seconds", got)
		}
	})
}

func TestEqualChunksInFlightAreNotMistakenForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Of three equal chunks the first one's answer is lost with nothing done,
		// while the second is created slowly and the third is told at once.
		pool := &model{t: t}
		posts := 0
		f := &fakeServer{}
		f.handle = func(r request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return pool.list(r), nil
			}
			posts++
			if posts == 1 {
				return nil, syscall.ECONNRESET
			}
			return pool.create(r, none), nil
		}
		slow := &slowTransport{next: f, delays: []time.Duration{0, 5 * time.Second, 0}}
		u := newUploader(t, f, setup{cfg: Config{Mode: Sync, Settle: time.Second}, client: toloka.Config{HTTP: &http.Client{Transport: slow}}})
		var wg sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]bool{}
		for range 3 {
			wg.Go(func() {
				o := upload(t, u, chunkOf(t, false, "same", "same"))
				mu.Lock()
				defer mu.Unlock()
				for _, r := range o.Rows {
					if ids[r.TaskID] {
						t.Errorf("task %s is given to two rows", r.TaskID)
					}
					ids[r.TaskID] = true
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if len(ids) != 6 || len(pool.tasks) != 6 {
			t.Errorf("6 rows have %d ids, the pool has %d tasks", len(ids), len(pool.tasks))
		}
	})
}

// slowTransport lets the answers to POST come late.
type slowTransport struct {
	next http.RoundTripper

	mu     sync.Mutex
	delays []time.Duration
}

func (s *slowTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(r)
	s.mu.Lock()
	var delay time.Duration
	if r.Method == http.MethodPost && len(s.delays) > 0 {
		delay, s.delays = s.delays[0], s.delays[1:]
	}
	s.mu.Unlock()
	time.Sleep(delay)
	return resp, err
}

// What the program keeps elsewhere is asked for there, and nowhere else.
func TestWhatIsKeptIsNotRememberedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploader(t, script(t,
			on(post, 201, itemsOf("t0")),
			// The second chunk has an equal row, and its answer is lost.
			on(post, 500, ""), on(list, 200, tasksOf(false, "t0", "a")), on(list, 200, tasksOf(false, "t0", "a")),
			on(post, 201, itemsOf("t1")),
			// Nobody knows of t0 and t1 any more.
			on(post, 500, ""), on(list, 200, tasksOf(false, "t0", "a", "t1", "a")),
		), setup{cfg: Config{Mode: Sync, SkipInvalid: true}})
		kept := map[string]bool{}
		named := func(ids []string) (map[string]bool, error) { return kept, nil }
		for n, want := range []string{"created t0", "created t1", "created t0"} {
			if n == 2 {
				named = nil
			}
			c := chunkOf(t, false, "a")
			c.Number = n
			o, err := u.Upload(t.Context(), c, Prior{Named: named})
			if got := show(o); err != nil || got != want {
				t.Fatalf("chunk %d: %s (%v), want %s", n, got, err, want)
			}
			kept[o.Rows[0].TaskID] = true
			u.Kept(o)
		}
	})
}
