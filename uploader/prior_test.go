package uploader

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/batcher"
	"poolfill/internal/identity"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// opID gives the operation id of the chunk's rows, as newUploader names them.
func opID(c *batcher.Chunk, generation int, rows ...int) string {
	j := &job{Uploader: &Uploader{cfg: Config{PoolID: "12", RunKey: "run"}}, out: Outcome{Chunk: c}}
	p := only(c, rows)
	p.generation = generation
	return j.operationID(p)
}

func getOp(id string) string  { return "GET /operations/" + id }
func getLog(id string) string { return getOp(id) + "/log" }

// sends is a POST of so many tasks.
func sends(n int, status int, body string) step {
	return step{post, func(r request) (*http.Response, error) {
		if got := len(items(r.body)); got != n {
			return answer(599, ""), nil
		}
		return answer(status, body), nil
	}}
}

func TestAnUploadThatWasBrokenOffGoesOn(t *testing.T) {
	c := chunkOf(t, true, "a", "b", "c", "d")
	first, next := opID(c, 0, 0, 1, 2, 3), opID(c, 1, 0, 1, 2, 3)
	left, right, odd := opID(c, 0, 0, 1), opID(c, 0, 2, 3), opID(c, 0, 1, 3)
	four := "created t0; created t1; created t2; created t3"
	refusals := "[" + refusedEntry(0) + "," + refusedEntry(1) + "," + refusedEntry(2) + "," + refusedEntry(3) + "]"
	since := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	createdRow := func(id string) verdict.Verdict { return verdict.Verdict{Status: verdict.Created, TaskID: id} }
	for _, tc := range []struct {
		name  string
		cfg   Config
		prior Prior
		steps []step
		want  string
		known bool
	}{
		{
			name:  "an operation that the server has is not sent",
			prior: Prior{Operations: []string{first}},
			steps: []step{on(getOp(first), 200, running), on(getOp(first), 200, success), on(getLog(first), 200, logOf(0, 1, 2, 3))},
			want:  four, known: true,
		},
		{
			name:  "an operation that the server doesn't have is sent",
			prior: Prior{Operations: []string{first}},
			steps: []step{on(getOp(first), 404, missing), sends(4, 202, success), on(getLog(first), 200, logOf(0, 1, 2, 3))},
			want:  four,
		},
		{
			name:  "a generation that the server has is not sent",
			prior: Prior{Operations: []string{first, next}},
			steps: []step{
				on(getOp(first), 200, failed), on(getLog(first), 200, "[]"), on(getLog(first), 200, "[]"),
				on(getOp(next), 200, success), on(getLog(next), 200, logOf(0, 1, 2, 3)),
			},
			want: four, known: true,
		},
		{
			name:  "halves are known though the whole was sent first",
			prior: Prior{Operations: []string{first, left, right}},
			steps: []step{
				on(getOp(first), 404, missing), on(getOp(left), 200, success), on(getLog(left), 200, logOf(0, 1)),
				on(getLog(left), 200, logOf(0, 1)), on(getLog(left), 200, logOf(0, 1)), on(getLog(left), 200, logOf(0, 1)),
				on(getOp(right), 404, missing), on(getOp(right), 404, missing),
				sends(2, 202, success), on(getLog(right), 200, logOf(2, 3)),
			},
			want: four, known: true,
		},
		{
			name:  "what followed a failure half way is known",
			prior: Prior{Operations: []string{first, odd}},
			steps: []step{
				on(getOp(first), 200, failed), on(getLog(first), 200, logOf(0, 2)), on(getLog(first), 200, logOf(0, 2)),
				on(getOp(odd), 200, success), on(getLog(odd), 200, logOf(1, 3)),
			},
			want: four, known: true,
		},
		{
			name:  "an operation that is still running is left in doubt",
			prior: Prior{Operations: []string{first}},
			cfg:   Config{OperationTimeout: time.Nanosecond},
			steps: []step{on(getOp(first), 200, running), on(getOp(first), 200, running), on(getOp(first), 200, running)},
			want:  strings.TrimSuffix(strings.Repeat("unsent? operation "+first+" is still RUNNING after 1ns: the same command asks for it again; ", 4), "; "),
			known: true,
		},
		{
			name: "rows that were created are not sent, and refused ones are, as the reason may be gone",
			prior: Prior{Rows: []verdict.Verdict{
				createdRow("t0"), createdRow("t1"), {Status: verdict.Rejected, Findings: []verdict.Finding{{Code: "C"}}}, {Reason: "x"},
			}},
			steps: []step{sends(2, 202, success), on(getLog(right), 200, logOf(2, 3))},
			want:  four,
		},
		{
			name: "rows that an operation refused are sent under the next generation, as it has created nothing",
			prior: Prior{
				Rows:       slices.Repeat([]verdict.Verdict{{Status: verdict.Rejected, Findings: []verdict.Finding{{Code: "C"}}}}, 4),
				Operations: []string{first},
			},
			steps: []step{
				on(getOp(first), 200, failed), on(getLog(first), 200, refusals), on(getLog(first), 200, refusals),
				sends(4, 202, success), on(getLog(next), 200, logOf(0, 1, 2, 3)),
			},
			want: four, known: true,
		},
		{
			name:  "the next generation is found without any memory",
			cfg:   Config{SkipInvalid: true},
			steps: []step{on(post, 409, existing), on(getOp(first), 200, failed), on(getLog(first), 200, refusals), sends(4, 202, success), on(getLog(next), 200, logOf(0, 1, 2, 3))},
			want:  four,
		},
		{
			name: "an operation that has all rows is known though a later one was noted before it",
			cfg:  Config{SkipInvalid: true}, prior: Prior{Operations: []string{odd, first}},
			steps: []step{
				on(getOp(odd), 200, failed), on(getLog(odd), 200, "["+refusedEntry(1)+","+refusedEntry(3)+"]"), on(getLog(odd), 200, "["+refusedEntry(1)+","+refusedEntry(3)+"]"),
				on(getOp(first), 200, success), on(getLog(first), 200, "["+created(0)+","+refusedEntry(1)+","+created(2)+","+refusedEntry(3)+"]"),
				on(getLog(odd), 200, "["+refusedEntry(1)+","+refusedEntry(3)+"]"),
				sends(2, 202, success), on(getLog(opID(c, 1, 1, 3)), 200, logOf(1, 3)),
			},
			want: four, known: true,
		},
		{
			// What another process sends, to which the refusals are final, has the same name.
			name: "rows that the server failed with and refused ones go apart",
			cfg:  Config{SkipInvalid: true},
			steps: []step{
				on(post, 409, existing), on(getOp(first), 200, failed),
				on(getLog(first), 200, "["+refusedEntry(0)+","+refusedEntry(2)+"]"), on(getLog(first), 200, "["+refusedEntry(0)+","+refusedEntry(2)+"]"),
				on(post, 409, existing), on(getOp(odd), 200, success), on(getLog(odd), 200, logOf(1, 3)),
				sends(2, 202, success), on(getLog(opID(c, 0, 0, 2)), 200, logOf(0, 2)),
			},
			want: four, known: true,
		},
		{
			name:  "rows that are refused again are rejected",
			cfg:   Config{SkipInvalid: true},
			prior: Prior{Operations: []string{first}},
			steps: []step{
				on(getOp(first), 200, success), on(getLog(first), 200, "["+created(0)+","+refusedEntry(1)+","+created(2)+","+refusedEntry(3)+"]"),
				sends(2, 202, failed), on(getLog(odd), 200, "["+refusedEntry(1)+","+refusedEntry(3)+"]"),
			},
			want:  "created t0; rejected input_values.a:VALUE_REQUIRED; created t2; rejected input_values.a:VALUE_REQUIRED",
			known: true,
		},
		{
			name: "what was created beside refused rows is taken",
			prior: Prior{
				Rows:       []verdict.Verdict{{Status: verdict.Rejected, Findings: []verdict.Finding{{Code: "C"}}}, {Status: verdict.Rejected, Findings: []verdict.Finding{{Code: "C"}}}, {}, {}},
				Operations: []string{right},
			},
			steps: []step{
				on(getOp(right), 404, missing), on(getOp(right), 200, success), on(getLog(right), 200, logOf(2, 3)), on(getLog(right), 200, logOf(2, 3)),
				on(getLog(right), 200, logOf(2, 3)), on(getLog(right), 200, logOf(2, 3)),
				sends(2, 202, success), on(getLog(left), 200, logOf(0, 1)),
			},
			want: four, known: true,
		},
		{
			name: "rows in doubt are looked for, among what isn't somebody else's",
			prior: Prior{
				Rows:  []verdict.Verdict{createdRow("t0"), createdRow("t1"), {Reason: "x", InDoubt: true}, {Reason: "x"}},
				Since: since, Named: func([]string) (map[string]bool, error) { return map[string]bool{"other": true}, nil },
			},
			steps: []step{
				{list, func(r request) (*http.Response, error) {
					if r.URL.Query().Get("created_gte") != since.Add(-clockMargin).Format(createdLayout) {
						return answer(599, ""), nil
					}
					return answer(200, tasksOf(false, "t1", "c", "other", "c", "t2", "c")), nil
				}},
				sends(1, 202, success), on(getLog(opID(c, 0, 3)), 200, logOf(3)),
			},
			want: four,
		},
		{
			name:  "in sync, all rows are looked for before anything is sent",
			cfg:   Config{Mode: Sync},
			prior: Prior{Since: since},
			steps: []step{
				on(list, 200, tasksOf(false, "t0", "a", "t3", "d")), on(list, 200, tasksOf(false, "t0", "a", "t3", "d")),
				on(list, 200, tasksOf(false, "t0", "a", "t3", "d")), // the clock may have been wrong
				{post, func(r request) (*http.Response, error) {
					if len(items(r.body)) != 2 {
						return answer(599, ""), nil
					}
					return answer(201, itemsOf("t1", "t2")), nil
				}},
			},
			want: four,
		},
		{
			name:  "in sync, all rows can be there",
			cfg:   Config{Mode: Sync},
			prior: Prior{Since: since},
			steps: []step{on(list, 200, tasksOf(false, "t0", "a", "t3", "d", "t1", "b", "t2", "c"))},
			want:  four,
		},
		{
			name:  "in sync, rows of which nothing was sent are just sent",
			cfg:   Config{Mode: Sync},
			prior: Prior{Rows: []verdict.Verdict{createdRow("t0"), createdRow("t1"), createdRow("t2"), {}}},
			steps: []step{sends(1, 201, itemsOf("t3"))},
			want:  four,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUploader(t, script(t, tc.steps...), setup{cfg: tc.cfg})
				o, err := u.Upload(t.Context(), c, tc.prior)
				if err != nil {
					t.Fatal(err)
				}
				expect(t, o, tc.want)
				if o.Known != tc.known {
					t.Errorf("the server knew it: %v, want %v", o.Known, tc.known)
				}
			})
		})
	}
}

func TestAnUploadThatCanNotAskLeavesItsRowsInDoubt(t *testing.T) {
	c := chunkOf(t, true, "a")
	id := opID(c, 0, 0)
	for _, tc := range []struct {
		name  string
		mode  Mode
		prior Prior
		steps []step
	}{
		{"a token that is refused", Async, Prior{Operations: []string{id}}, []step{on(getOp(id), 401, "")}},
		{"a search that is refused", Sync, Prior{Since: time.Unix(1, 0)}, []step{on(list, 401, "")}},
		{"rows of another chunk", Async, Prior{Rows: make([]verdict.Verdict, 2)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, err := newUploader(t, script(t, tc.steps...), setup{cfg: Config{Mode: tc.mode}}).Upload(t.Context(), c, tc.prior)
				if err == nil {
					t.Error("the upload succeeds")
				}
				expect(t, o, "unsent? "+reasonInDoubt)
			})
		})
	}
}

// diary is a Journal that notes what it is told among the requests.
type diary struct {
	mu  sync.Mutex
	got []Attempt
	err error
}

func (d *diary) Sending(_ context.Context, a Attempt) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, a)
	return d.err
}

func TestTheJournalIsToldBeforeAnythingIsSent(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mode  Mode
		steps []step
		want  [][]int // the rows of each attempt
		at    []int   // the requests that had been sent by then
	}{
		{
			"each operation once", Async,
			[]step{broken(syscall.ECONNRESET), on(post, 500, ""), on(post, 202, failed), on(logs, 200, "[]"), on(logs, 200, "[]"), on(post, 202, success), on(logs, 200, logOf(0, 1))},
			[][]int{{0, 1}, {0, 1}},
			[]int{0, 5},
		},
		{
			"each half", Async,
			[]step{on(post, 413, ""), on(post, 202, success), on(logs, 200, logOf(0)), on(post, 202, success), on(logs, 200, logOf(1))},
			[][]int{{0, 1}, {0}, {1}},
			[]int{0, 1, 3},
		},
		{
			"a part, and again what a search didn't find", Sync,
			[]step{on(post, 429, "", "Retry-After", "1"), on(post, 500, ""), on(list, 200, tasksOf(false, "t0", "a")), on(list, 200, tasksOf(false, "t0", "a")), on(post, 201, itemsOf("t1"))},
			[][]int{{0, 1}, {1}},
			[]int{0, 4},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := script(t, tc.steps...)
				var rows [][]int
				var at []int
				d := journalFunc(func(_ context.Context, a Attempt) error {
					rows, at = append(rows, a.Rows), append(at, len(f.requests))
					if (a.Operation == "") != (tc.mode == Sync) || a.At.IsZero() || a.Chunk == nil {
						t.Errorf("the attempt is %+v", a)
					}
					return nil
				})
				expect(t, upload(t, newUploader(t, f, setup{cfg: Config{Mode: tc.mode, Journal: d}}), chunkOf(t, true, "a", "b")), "created t0; created t1")
				if !slices.EqualFunc(rows, tc.want, slices.Equal) || !slices.Equal(at, tc.at) {
					t.Errorf("it was told of the rows %v after %v requests, want %v after %v", rows, at, tc.want, tc.at)
				}
			})
		})
	}
}

type journalFunc func(context.Context, Attempt) error

func (f journalFunc) Sending(ctx context.Context, a Attempt) error { return f(ctx, a) }

func TestNothingIsSentThatTheJournalDoesNotKeep(t *testing.T) {
	for _, mode := range []Mode{Async, Sync} {
		d := &diary{err: errors.New("the disk is full")}
		u := newUploader(t, script(t), setup{cfg: Config{Mode: mode, Journal: d}})
		o, err := uploadFails(t.Context(), t, u, chunkOf(t, true, "a"))
		var api *toloka.Error
		if !errors.Is(err, d.err) || !errors.As(err, &api) || api.Kind != toloka.KindJournal || !strings.Contains(err.Error(), "could not be recorded") {
			t.Errorf("the error is: %v", err)
		}
		expect(t, o, "unsent "+reasonNotSent)
		if len(d.got) != 1 {
			t.Errorf("it was told %d times", len(d.got))
		}
	}
}

func TestSettle(t *testing.T) {
	key := func(v string) identity.Key {
		k, err := identity.Of([]byte(`{"input_values":{"a":"`+v+`"}}`), identity.Defaults{Overlap: 1})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, tc := range []struct {
		name  string
		steps []step
		want  Settled
	}{
		{"never taken", []step{on(getOp("x"), 404, missing), on(getOp("x"), 404, missing)}, Settled{}},
		{
			"taken late",
			[]step{on(getOp("x"), 404, missing), on(getOp("x"), 200, running), on(getOp("x"), 200, success), on(getLog("x"), 404, missing), on(getLog("x"), 200, logOf(3)), on(getLog("x"), 200, logOf(3))},
			Settled{Found: true, Created: []toloka.Task{{Key: key("x"), ID: "t3"}}},
		},
		{
			"failed half way, without indexes",
			[]step{on(getOp("x"), 200, failed), on(getLog("x"), 200, `[{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":"b"}},"output":{"task_id":"t9"}},`+refusedEntry(1)+`]`), on(getLog("x"), 200, `[{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":"b"}},"output":{"task_id":"t9"}}]`)},
			Settled{Found: true, Created: []toloka.Task{{Key: key("b"), ID: "t9"}}},
		},
		{"without log", []step{on(getOp("x"), 200, success), on(getLog("x"), 400, archived), on(getLog("x"), 400, archived)}, Settled{Found: true, LogGone: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := newUploader(t, script(t, tc.steps...), setup{}).Settle(t.Context(), "x")
				if err != nil || got.Found != tc.want.Found || got.LogGone != tc.want.LogGone || !slices.Equal(got.Created, tc.want.Created) {
					t.Errorf("it gives %+v, want %+v (%v)", got, tc.want, err)
				}
			})
		})
	}
}

func TestSettleFailsForAnOperationThatRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{handle: func(request) (*http.Response, error) { return answer(200, running), nil }}
		_, err := newUploader(t, f, setup{}).Settle(t.Context(), "x")
		var api *toloka.Error
		if !errors.As(err, &api) || api.Kind != toloka.KindTimeout || !strings.Contains(err.Error(), "still RUNNING") {
			t.Errorf("the error is: %v", err)
		}
	})
}

func TestStraysAreWhatNobodyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploader(t, script(t,
			on(list, 200, tasksOf(false, "t1", "a", "t2", "b")),
			on(list, 200, tasksOf(false, "t1", "a", "t2", "b", "t3", "c")),
			on(list, 200, tasksOf(false, "t1", "a", "t2", "b", "t3", "c")),
		), setup{})
		got, err := u.Strays(t.Context(), Mark{}, time.Now(), func([]string) (map[string]bool, error) { return map[string]bool{"t2": true}, nil })
		if err != nil || len(got) != 2 || got[0].ID != "t1" || got[1].ID != "t3" {
			t.Errorf("the strays are %v (%v)", got, err)
		}
	})
}

func TestTasksGivesThePoolPageByPage(t *testing.T) {
	u := newUploader(t, script(t,
		on(list, 200, tasksOf(true, "t1", "a")), on(list, 200, tasksOf(false, "t2", "b")),
		on(list, 200, tasksOf(true, "t1", "a")),
	), setup{})
	var ids []string
	if err := u.Tasks(t.Context(), func(task toloka.Task) error {
		ids = append(ids, task.ID)
		return nil
	}); err != nil || strings.Join(ids, " ") != "t1 t2" {
		t.Errorf("the tasks are %v (%v)", ids, err)
	}
	enough := errors.New("enough")
	if err := u.Tasks(t.Context(), func(toloka.Task) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the error is: %v", err)
	}
}

// TestASearchWaitsForOperationsUnderWay: of two equal chunks, one fails and has
// no log while the other is still created; the second's tasks are its own.
func TestASearchWaitsForOperationsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{t: t, indexed: true, late: 3, operations: map[string]*modelOperation{}}
		m.plan = []fault{operationFails}
		archive := &fakeServer{}
		archive.handle = func(r request) (*http.Response, error) {
			if op := m.operations[lastID(r)]; op != nil && op.fails {
				op.polls += m.late // it is over at once
				op.gone = logArchived
			}
			return m.handle(r)
		}
		// The second one's tasks are there long before its answer.
		slow := &slowTransport{next: archive, delays: []time.Duration{0, 30 * time.Second}}
		u := newUploader(t, archive, setup{client: toloka.Config{HTTP: &http.Client{Transport: slow}}})
		ids := map[string]bool{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for n := range 2 {
			wg.Go(func() {
				c := chunkOf(t, true, "same", "same")
				c.Number = n
				c.Apart(strconv.Itoa(n))
				o := upload(t, u, c)
				mu.Lock()
				defer mu.Unlock()
				for _, r := range o.Rows {
					ids[r.TaskID] = true
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if len(ids) != 4 || len(m.tasks) != 4 {
			t.Errorf("4 rows have %d ids, the pool has %d tasks", len(ids), len(m.tasks))
		}
	})
}

func TestATaskOfASettledRowIsNotTakenForAnEqualOne(t *testing.T) {
	settledFirst := []verdict.Verdict{{Status: verdict.Created, TaskID: "t0"}, {Reason: "x", InDoubt: true}}
	entry := `{"type":"TASK_CREATE","success":true,"input":{"input_values":{"a":"same"}},"output":{"task_id":"t0"}}`
	c := chunkOf(t, false, "same", "same")
	for _, tc := range []struct {
		name  string
		prior Prior
		steps []step
	}{
		{"found in the pool", Prior{Rows: settledFirst, Since: time.Unix(1, 0)}, []step{on(list, 200, tasksOf(false, "t0", "same", "t1", "same"))}},
		{
			"named by a log without indexes",
			Prior{Rows: settledFirst, Since: time.Unix(1, 0), Operations: []string{"x"}},
			[]step{
				on(getOp("x"), 200, failed), on(getLog("x"), 200, "["+entry+"]"), on(getLog("x"), 200, "["+entry+"]"),
				on(list, 200, tasksOf(false, "t0", "same", "t1", "same")),
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, err := newUploader(t, script(t, tc.steps...), setup{}).Upload(t.Context(), c, tc.prior)
				if err != nil {
					t.Fatal(err)
				}
				expect(t, o, "created t0; created t1")
			})
		})
	}
}
