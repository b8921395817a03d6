package uploader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"

	"pgregory.net/rapid"
)

// model is a small server with a pool. It keeps the API's promises and breaks
// everything else, as its plan says.
type model struct {
	t       *testing.T
	skip    bool
	indexed bool // the log echoes the item's index
	plan    []fault
	late    int // how many polls and logs an operation is behind

	tasks      []modelTask
	operations map[string]*modelOperation
	kill       func() // ends the program
}

type modelTask struct {
	id    string
	value string
	at    time.Time
}

type modelOperation struct {
	fails bool
	hangs bool
	gone  fault // how its log is lost
	polls int
	logs  int
	log   []string
}

// fault is what happens to one request.
type fault int

const (
	none fault = iota
	resetBefore
	resetAfter
	failBefore
	failAfter
	htmlAfter
	truncatedAfter
	nonsenseAfter
	silentBefore
	silentAfter
	unreachable
	quota
	operationFails     // with nothing done
	operationFailsHalf // half of its tasks are created
	operationLost      // the server says that it has it, and hasn't
	operationHangs     // until the next life
	logArchived        // for good
	logVanished        // for good
	killBefore         // the program is killed, the request not carried out
	killAfter
	tooLarge   // for a proxy, this once
	emptyAfter // 204
	fewerAfter // the answer to a synchronous request names only some rows
	alikeAfter // and here all have one id
	faults
)

func (m *model) next() fault {
	if len(m.plan) == 0 {
		return none
	}
	f := m.plan[0]
	m.plan = m.plan[1:]
	return f
}

func (m *model) handle(r request) (*http.Response, error) {
	f := m.next()
	switch f {
	case resetBefore:
		return nil, syscall.ECONNRESET
	case failBefore:
		return answer(500, `{"code":"INTERNAL_ERROR"}`), nil
	case silentBefore:
		return nil, nil
	case unreachable:
		return nil, refusedConnection
	case quota:
		return answer(429, `{"code":"TOO_MANY_REQUESTS"}`), nil
	case killBefore:
		m.kill()
		return nil, nil
	case tooLarge:
		if r.Method == http.MethodPost && len(items(r.body)) > 1 {
			return answer(413, ""), nil
		}
	}
	var resp *http.Response
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	switch {
	case r.Method == http.MethodPost && r.URL.Query().Get("async_mode") == "true":
		resp = m.submit(r, f)
	case r.Method == http.MethodPost:
		resp = m.create(r, f)
	case strings.HasSuffix(path, "/log"):
		resp = m.log(lastID(r), f)
	case path == "/tasks":
		resp = m.list(r)
	default:
		resp = m.poll(lastID(r))
	}
	switch f {
	case killAfter:
		m.kill()
		return nil, nil
	case resetAfter:
		return nil, io.EOF
	case failAfter:
		return answer(503, ""), nil
	case htmlAfter:
		return answer(502, html502), nil
	case silentAfter:
		return nil, nil
	case emptyAfter:
		if r.Method == http.MethodPost && r.URL.Query().Get("async_mode") == "false" {
			return answer(204, ""), nil
		}
	case nonsenseAfter:
		if resp.StatusCode < 300 {
			return answer(200, `"fine"`), nil
		}
	case truncatedAfter:
		body, _ := io.ReadAll(resp.Body)
		return breaking(resp.StatusCode, string(body[:len(body)*2/3]), io.ErrUnexpectedEOF), nil
	}
	return resp, nil
}

// valuesOf reads the tasks of a request: the value of "a" and the item's index.
func valuesOf(body []byte) (values, indexes []string) {
	for _, item := range items(body) {
		var task struct {
			Index string            `json:"__item_idx"`
			Input map[string]string `json:"input_values"`
		}
		if json.Unmarshal(item, &task) != nil {
			return nil, nil
		}
		values, indexes = append(values, task.Input["a"]), append(indexes, task.Index)
	}
	return values, indexes
}

func invalidValue(v string) bool { return strings.HasPrefix(v, "bad") }

func (m *model) add(value string) string {
	id := fmt.Sprintf("t%06d", len(m.tasks))
	m.tasks = append(m.tasks, modelTask{id, value, time.Now()})
	return id
}

// create answers a synchronous upload.
func (m *model) create(r request, f fault) *http.Response {
	values, _ := valuesOf(r.body)
	var created, refused []string
	for i, v := range values {
		if invalidValue(v) {
			refused = append(refused, fmt.Sprintf(`"%d":{"input_values.a":{"code":"C","message":"m"}}`, i))
		}
	}
	if len(refused) == len(values) || len(refused) > 0 && !m.skip {
		return answer(400, `{"code":"VALIDATION_ERROR","payload":{`+strings.Join(refused, ",")+`}}`)
	}
	first := fmt.Sprintf("t%06d", len(m.tasks))
	for i, v := range values {
		if invalidValue(v) {
			continue
		}
		id := m.add(v)
		switch {
		case f == alikeAfter:
			id = first
		case f == fewerAfter && i%2 == 1:
			continue
		}
		created = append(created, fmt.Sprintf(`"%d":{"id":%q}`, i, id))
	}
	return answer(201, `{"items":{`+strings.Join(created, ",")+`},"validation_errors":{`+strings.Join(refused, ",")+`}}`)
}

// submit answers an asynchronous upload. What the operation does, it does at
// once; it only tells later.
func (m *model) submit(r request, f fault) *http.Response {
	id := r.URL.Query().Get("operation_id")
	if m.operations[id] != nil {
		return answer(409, existing)
	}
	if f == operationLost {
		return answer(202, running)
	}
	op := &modelOperation{fails: f == operationFails || f == operationFailsHalf, hangs: f == operationHangs}
	m.operations[id] = op
	values, indexes := valuesOf(r.body)
	entry := func(kind string, success bool, i int, output string) {
		index := ""
		if m.indexed {
			index = fmt.Sprintf(`"__item_idx":%q,`, indexes[i])
		}
		value, _ := json.Marshal(values[i])
		op.log = append([]string{fmt.Sprintf(`{"type":%q,"success":%v,"input":{%s"input_values":{"a":%s}},"output":%s}`, kind, success, index, value, output)}, op.log...)
	}
	refused := 0
	for i, v := range values {
		if invalidValue(v) && f != operationFails {
			refused++
			entry("TASK_VALIDATE", false, i, `{"input_values.a":{"code":"C","message":"m"}}`)
		}
	}
	op.fails = op.fails || refused == len(values) || refused > 0 && !m.skip
	if f == operationFails || refused > 0 && !m.skip {
		return m.poll(id)
	}
	half := 0
	for i, v := range values {
		if invalidValue(v) {
			continue
		}
		if half++; f == operationFailsHalf && half%2 == 0 {
			continue
		}
		entry("TASK_CREATE", true, i, fmt.Sprintf(`{"task_id":%q}`, m.add(v)))
	}
	return m.poll(id)
}

func (m *model) poll(id string) *http.Response {
	op := m.operations[id]
	if op == nil {
		return answer(404, missing)
	}
	op.polls++
	status := "SUCCESS"
	switch {
	case op.hangs || op.polls <= m.late:
		status = "RUNNING"
	case op.fails:
		status = "FAIL"
	}
	return answer(200, fmt.Sprintf(`{"id":%q,"type":"TASK.BATCH_CREATE","status":%q}`, id, status))
}

func (m *model) log(id string, f fault) *http.Response {
	op := m.operations[id]
	op.logs++
	if f == logArchived || f == logVanished {
		op.gone = f
	}
	switch op.gone {
	case logArchived:
		return answer(400, archived)
	case logVanished:
		return answer(404, missing)
	}
	if op.logs <= m.late && !op.fails {
		return answer(200, "["+strings.Join(op.log[:len(op.log)/2], ",")+"]")
	}
	return answer(200, "["+strings.Join(op.log, ",")+"]")
}

func (m *model) list(r request) *http.Response {
	const page = 3
	var pairs []string
	if r.URL.Query().Get("sort") == "-id" {
		if n := len(m.tasks); n > 0 {
			pairs = append(pairs, m.tasks[n-1].id, m.tasks[n-1].value)
		}
		return answer(200, tasksOf(false, pairs...))
	}
	more := false
	since, _ := time.Parse(createdLayout, r.URL.Query().Get("created_gte"))
	for _, task := range m.tasks {
		if task.id <= r.URL.Query().Get("id_gt") || task.at.Before(since) {
			continue
		}
		if more = len(pairs) == 2*page; more {
			break
		}
		pairs = append(pairs, task.id, task.value)
	}
	return answer(200, tasksOf(more, pairs...))
}

// memory is a Journal, and what else a program finds after it was killed.
type memory struct {
	since      map[int]time.Time
	operations map[int][]string
	rows       map[int][]verdict.Verdict
	done       map[string]bool // the tasks of rows that are done
}

func (m *memory) Sending(_ context.Context, a Attempt) error {
	n := a.Chunk.Number
	if m.since[n].IsZero() {
		m.since[n] = a.At
	}
	if a.Operation != "" && !slices.Contains(m.operations[n], a.Operation) {
		m.operations[n] = append(m.operations[n], a.Operation)
	}
	return nil
}

func (m *memory) prior(n int) Prior {
	return Prior{Rows: m.rows[n], Since: m.since[n], Operations: m.operations[n], Named: func([]string) (map[string]bool, error) { return m.done, nil }}
}

// TestNoRowIsCreatedTwiceWhateverBreaks holds for both modes: every valid row
// becomes exactly one task, and every row gets its one status, however often the
// program is killed and starts again with what its Journal has.
func TestNoRowIsCreatedTwiceWhateverBreaks(t *testing.T) {
	for _, mode := range []Mode{Async, Sync} {
		t.Run(string(mode), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				m := &model{
					t:          t,
					skip:       rapid.Bool().Draw(rt, "skip"),
					indexed:    rapid.Bool().Draw(rt, "indexed"),
					late:       rapid.IntRange(0, 2).Draw(rt, "late"),
					operations: map[string]*modelOperation{},
				}
				for range rapid.IntRange(0, 14).Draw(rt, "faults") {
					f := fault(rapid.IntRange(0, int(faults)-1).Draw(rt, "fault"))
					m.plan = append(m.plan, f)
				}
				values := rapid.SampledFrom([]string{"a", "b", "c", "d", "bad", "bad x"})
				chunks := rapid.SliceOfN(rapid.SliceOfN(values, 1, 9), 1, 2).Draw(rt, "chunks")
				keepsRows := rapid.Bool().Draw(rt, "rows of a chunk that ended in doubt are kept")
				kept := &memory{since: map[int]time.Time{}, operations: map[int][]string{}, rows: map[int][]verdict.Verdict{}, done: map[string]bool{}}
				outcomes := make([]Outcome, len(chunks))
				var failed error
				synctest.Test(t, func(t *testing.T) {
					for _, v := range []string{"a", "a", "b"} { // somebody else's
						kept.done[m.add(v)] = true
					}
					for n, values := range chunks {
						for {
							o, err := live(t, m, kept, mode, n, values)
							outcomes[n] = o
							doubt := slices.ContainsFunc(o.Rows, func(r verdict.Verdict) bool { return r.InDoubt })
							if err == nil && !doubt {
								break
							}
							if failed = err; failed != nil && !startedAgain(failed) {
								return
							}
							if failed = nil; err == nil && keepsRows {
								kept.rows[n] = o.Rows
							}
							for _, op := range m.operations {
								op.hangs = false
							}
						}
						for _, r := range outcomes[n].Rows {
							kept.done[r.TaskID] = true
						}
					}
				})
				if failed != nil {
					rt.Fatalf("the upload fails: %v", failed)
				}
				checkOutcomes(rt, m, outcomes, chunks)
			})
		})
	}
}

// startedAgain reports whether a program ended as one does that is started again: it was
// killed, or gave up early since it reached nothing at first.
func startedAgain(err error) bool {
	var failed *toloka.Error
	return errors.Is(err, context.Canceled) || errors.As(err, &failed) && failed.Kind == toloka.KindUnreachable
}

// live uploads a chunk in a program that has just started.
func live(t *testing.T, m *model, kept *memory, mode Mode, n int, values []string) (Outcome, error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.kill = cancel
	u := newUploader(t, &fakeServer{handle: m.handle, newest: m.handle}, setup{
		cfg:    Config{Mode: mode, SkipInvalid: m.skip, Journal: kept, OperationTimeout: 10 * time.Minute},
		client: toloka.Config{RetryFor: time.Hour},
	})
	c := chunkOf(t, true, values...)
	c.Number = n
	c.Apart(fmt.Sprint("chunk ", n)) // as what stands before it is another
	return u.Upload(ctx, c, kept.prior(n))
}

func checkOutcomes(rt *rapid.T, m *model, outcomes []Outcome, chunks [][]string) {
	byID := map[string]string{}
	for _, task := range m.tasks[3:] {
		byID[task.id] = task.value
	}
	for n, o := range outcomes {
		checkOutcome(rt, m, o, chunks[n], byID)
	}
	if len(byID) > 0 {
		rt.Fatalf("the pool has %d tasks that are no row's: %v", len(byID), byID)
	}
}

func checkOutcome(rt *rapid.T, m *model, o Outcome, values []string, byID map[string]string) {
	invalid := 0
	for _, v := range values {
		if invalidValue(v) {
			invalid++
		}
	}
	for i, r := range o.Rows {
		if r.Position != o.Chunk.Position(i) {
			rt.Fatalf("row %d stands at %v and is reported at %v", i, o.Chunk.Position(i), r.Position)
		}
		want := verdict.Created
		switch {
		case invalidValue(values[i]):
			want = verdict.Rejected
		case invalid > 0 && !m.skip:
			want = verdict.Unsent
		}
		// Without a log, nothing tells a refused row from one that isn't there.
		if want == verdict.Rejected && m.skip && r.Status == verdict.Unsent && r.Reason == reasonLogGoneSkip && !r.InDoubt {
			continue
		}
		// An invalid row can stop those behind it before the server has seen them.
		if want == verdict.Rejected && !m.skip && r.Status == verdict.Unsent && r.Reason == reasonInvalidBeside && o.Count(verdict.Rejected) > 0 {
			continue
		}
		// A half failed operation can have created rows beside an invalid one.
		if r.Status != want && (want != verdict.Unsent || r.Status != verdict.Created) {
			rt.Fatalf("row %d (%q) is %v, want %v: %s", i, values[i], r.Status, want, show(o))
		}
		switch r.Status {
		case verdict.Created:
			if value, ok := byID[r.TaskID]; !ok || value != values[i] || r.Reason != "" || r.Findings != nil {
				rt.Fatalf("row %d (%q) has the task %q with %q", i, values[i], r.TaskID, value)
			}
			delete(byID, r.TaskID)
		case verdict.Rejected:
			if len(r.Findings) == 0 || r.TaskID != "" || string(r.Raw) != string(o.Chunk.Raw(i)) {
				rt.Fatalf("row %d is rejected without a reason, or not as it stood: %+v", i, r)
			}
			if r.Findings[0].Stage != verdict.StageServer {
				rt.Fatalf("row %d is rejected in stage %q", i, r.Findings[0].Stage)
			}
		case verdict.Unsent:
			if r.Reason == "" || r.InDoubt {
				rt.Fatalf("row %d is unsent, with the reason %q, in doubt %v", i, r.Reason, r.InDoubt)
			}
		}
	}
}
