package uploader

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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
}

type modelTask struct {
	id    string
	value string
}

type modelOperation struct {
	fails bool
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
	}
	var resp *http.Response
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	switch {
	case r.Method == http.MethodPost && r.URL.Query().Get("async_mode") == "true":
		resp = m.submit(r, f)
	case r.Method == http.MethodPost:
		resp = m.create(r)
	case strings.HasSuffix(path, "/log"):
		resp = m.log(lastID(r))
	case path == "/tasks":
		resp = m.list(r)
	default:
		resp = m.poll(lastID(r))
	}
	switch f {
	case resetAfter:
		return nil, io.EOF
	case failAfter:
		return answer(503, ""), nil
	case htmlAfter:
		return answer(502, html502), nil
	case silentAfter:
		return nil, nil
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
	m.tasks = append(m.tasks, modelTask{id, value})
	return id
}

// create answers a synchronous upload.
func (m *model) create(r request) *http.Response {
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
	for i, v := range values {
		if !invalidValue(v) {
			created = append(created, fmt.Sprintf(`"%d":{"id":%q}`, i, m.add(v)))
		}
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
	op := &modelOperation{fails: f == operationFails || f == operationFailsHalf}
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
			entry(entryValidate, false, i, `{"input_values.a":{"code":"C","message":"m"}}`)
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
		entry(entryCreate, true, i, fmt.Sprintf(`{"task_id":%q}`, m.add(v)))
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
	case op.polls <= m.late:
		status = "RUNNING"
	case op.fails:
		status = "FAIL"
	}
	return answer(200, fmt.Sprintf(`{"id":%q,"type":"TASK.BATCH_CREATE","status":%q}`, id, status))
}

func (m *model) log(id string) *http.Response {
	op := m.operations[id]
	op.logs++
	if op.logs <= m.late && !op.fails {
		return answer(200, "["+strings.Join(op.log[:len(op.log)/2], ",")+"]")
	}
	return answer(200, "["+strings.Join(op.log, ",")+"]")
}

func (m *model) list(r request) *http.Response {
	const page = 3
	var pairs []string
	more := false
	for _, task := range m.tasks {
		if task.id <= r.URL.Query().Get("id_gt") {
			continue
		}
		if more = len(pairs) == 2*page; more {
			break
		}
		pairs = append(pairs, task.id, task.value)
	}
	return answer(200, tasksOf(more, pairs...))
}

// TestNoRowIsCreatedTwiceWhateverBreaks holds for both modes: every valid row
// becomes exactly one task, and every row gets its one status.
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
				for range rapid.IntRange(0, 12).Draw(rt, "faults") {
					f := fault(rapid.IntRange(0, int(faults)-1).Draw(rt, "fault"))
					m.plan = append(m.plan, f)
				}
				values := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "bad", "bad x"}), 1, 9).Draw(rt, "values")
				var o Outcome
				var err error
				synctest.Test(t, func(t *testing.T) {
					f := &fakeServer{handle: m.handle}
					u := newUploader(t, f, setup{
						cfg:    Config{Mode: mode, SkipInvalid: m.skip},
						client: ClientConfig{RetryFor: time.Hour},
					})
					o, err = u.Upload(t.Context(), chunkOf(t, true, values...), Prior{})
					m.plan = nil
				})
				if err != nil {
					rt.Fatalf("the upload fails: %v", err)
				}
				checkOutcome(rt, m, o, values)
			})
		})
	}
}

func checkOutcome(rt *rapid.T, m *model, o Outcome, values []string) {
	byID := map[string]string{}
	for _, task := range m.tasks {
		byID[task.id] = task.value
	}
	invalid := 0
	for _, v := range values {
		if invalidValue(v) {
			invalid++
		}
	}
	for i, r := range o.Rows {
		want := Created
		switch {
		case invalidValue(values[i]):
			want = Rejected
		case invalid > 0 && !m.skip:
			want = Unsent
		}
		// A half failed operation can have created rows beside an invalid one.
		if r.Status != want && (want != Unsent || r.Status != Created) {
			rt.Fatalf("row %d (%q) is %v, want %v: %s", i, values[i], r.Status, want, show(o))
		}
		switch r.Status {
		case Created:
			if value, ok := byID[r.TaskID]; !ok || value != values[i] || r.Reason != "" || r.Errors != nil {
				rt.Fatalf("row %d (%q) has the task %q with %q", i, values[i], r.TaskID, value)
			}
			delete(byID, r.TaskID)
		case Rejected:
			if len(r.Errors) == 0 || r.TaskID != "" {
				rt.Fatalf("row %d is rejected without a reason", i)
			}
		case Unsent:
			if r.Reason == "" || r.InDoubt {
				rt.Fatalf("row %d is unsent, with the reason %q, in doubt %v", i, r.Reason, r.InDoubt)
			}
		}
	}
	if len(byID) > 0 {
		rt.Fatalf("the pool has %d tasks that are no row's: %v", len(byID), byID)
	}
}
