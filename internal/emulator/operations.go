package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"net/http"
)

// The types of operations.
const (
	typeTaskBatchCreate = "TASK.BATCH_CREATE"
	typePoolOpen        = "POOL.OPEN"
	typePoolClose       = "POOL.CLOSE"
	typePoolArchive     = "POOL.ARCHIVE"
	typePoolClone       = "POOL.CLONE"
)

// The states of an operation.
const (
	operationPending = "PENDING"
	operationRunning = "RUNNING"
	operationSuccess = "SUCCESS"
	operationFail    = "FAIL"
)

// started is when an operation stops to wait: after a fifth of its time, and at
// once where it never ends.
func (op *operation) started() stamp {
	if op.Finished == never {
		return op.Submitted + 1
	}
	return op.Submitted + (op.Finished-op.Submitted+4)/5
}

// status follows from the time: an operation waits and then runs.
func (op *operation) status(now stamp) string {
	switch {
	case now < op.Finished:
		if now < op.started() {
			return operationPending
		}
		return operationRunning
	case op.Fail:
		return operationFail
	}
	return operationSuccess
}

// submitted returns the operation as its submission is answered: pending,
// however short it is.
func (op *operation) submitted() fields { return op.render(op.Submitted - 1) }

// render returns the operation as it is at a moment.
func (op *operation) render(now stamp) fields {
	out := fields{"progress": json.RawMessage("0")}
	out.set("id", op.ID)
	out.set("type", op.Type)
	out.set("status", op.status(now))
	out.set("submitted", op.Submitted.String())
	if now >= op.started() {
		out.set("started", op.started().String())
		out["progress"] = fmt.Appendf(nil, "%d", 100*(now-op.Submitted)/max(1, op.Finished-op.Submitted))
	}
	if now >= op.Finished {
		out.set("finished", op.Finished.String())
		out["progress"] = json.RawMessage("100")
	}
	b := op.batch
	if b == nil {
		out["parameters"] = fmt.Appendf(nil, `{"pool_id":"%d"}`, op.Pool)
		if op.Clone != 0 {
			out["details"] = fmt.Appendf(nil, `{"pool_id":"%d"}`, op.Clone)
		}
		return out
	}
	out["parameters"] = fmt.Appendf(nil, `{"skip_invalid_items":%t,"allow_defaults":%t,"open_pool":%t}`, op.Skip, op.Defaults, op.Open)
	out["details"] = fmt.Appendf(nil, `{"items_count":%d}`, b.Items)
	if now >= op.Finished {
		out["details"] = fmt.Appendf(nil, `{"total_count":%[1]d,"valid_count":%[2]d,"not_valid_count":%[3]d,"success_count":%[2]d,"failed_count":%[3]d}`,
			b.Items, b.Created, b.Items-b.Created)
	}
	return out
}

// operation finds an operation, or nil.
func (a *account) operation(id string) *operation {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state.operations[id]
}

func (a *account) moment() stamp {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, at := a.now()
	return at
}

func (a *account) getOperation(r call) (reply, error) {
	op := a.operation(r.PathValue("id"))
	if op == nil {
		return reply{}, notFound("operation", r.PathValue("id"))
	}
	return jsonReply(http.StatusOK, op.render(a.moment()))
}

var operationListing = listing{
	fields: map[string]valueKind{
		"id": textValue, "type": textValue, "status": textValue,
		"submitted": timeValue, "finished": timeValue,
	},
	sortable:     []string{"id", "submitted", "finished"},
	defaultLimit: 50,
	maxLimit:     500,
}

func (a *account) listOperations(r call) (reply, error) {
	a.mu.RLock()
	_, now := a.now()
	var all []fields
	for _, op := range a.state.operations {
		all = append(all, op.render(now))
	}
	a.mu.RUnlock()
	return operationListing.page(r, all)
}

// getOperationLog answers GET /operations/{id}/log. Only the creation of tasks
// has a log, and only once it has ended.
func (a *account) getOperationLog(r call) (reply, error) {
	op := a.operation(r.PathValue("id"))
	if op == nil {
		return reply{}, notFound("operation", r.PathValue("id"))
	}
	if op.batch == nil || a.moment() < op.Finished {
		return jsonReply(http.StatusOK, []any{})
	}
	a.mu.Lock()
	op.logArchived = op.logArchived || r.fault.Name == FaultLogArchived
	lacking := r.fault.Name == FaultLogLacks && !op.logRead
	op.logRead = true
	archived := op.logArchived
	a.mu.Unlock()
	if archived {
		return reply{}, conflict(codeLogsArchived, "the log of operation %s is archived", op.ID)
	}
	entries := a.logEntries(op)
	if lacking {
		entries = leaveOut(entries)
	}
	return streamReply(http.StatusOK, func(out *bufio.Writer) error {
		return writeArray(out, entries)
	}), nil
}

// leaveOut leaves out the first of every four entries of tasks.
func leaveOut(entries iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		n := 0
		for entry, err := range entries {
			if bytes.HasPrefix(entry, []byte(`{"type":"TASK_`)) {
				if n++; n%4 == 1 {
					continue
				}
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// logEntries returns the entries of a log, up to the first error, in an order
// that is not the request's: groups of tasks are taken in random order, and so
// are the tasks in each. The order is the same whenever the log is read. Each
// entry is valid until the next.
func (a *account) logEntries(op *operation) iter.Seq2[[]byte, error] {
	hash := fnv.New64a()
	hash.Write([]byte(op.ID))
	seed := hash.Sum64()
	return func(yield func([]byte, error) bool) {
		order := rand.New(rand.NewPCG(a.cfg.Seed, seed))
		for _, opened := range op.Opened {
			if entry, err := json.Marshal(opened); !yield(entry, err) {
				return
			}
		}
		var g group
		var entry []byte
		for _, n := range order.Perm(len(op.batch.Starts)) {
			if err := g.load(op.batch, n); err != nil {
				yield(nil, err)
				return
			}
			for _, i := range order.Perm(len(g.lines)) {
				if n == len(op.batch.Starts)-1 {
					entry = g.lines[i].appendRefused(entry[:0])
				} else {
					t := storedTask{g.lines[i], op.batch, op.batch.First + uint64(n*groupLines+i)}
					entry = t.appendCreated(entry[:0])
				}
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// appendRefused writes the entry of a log for a refused task.
func (l line) appendRefused(dst []byte) []byte {
	return fmt.Appendf(dst, `{"type":"TASK_VALIDATE","success":false,"input":%s,"output":%s}`, l.task, l.note)
}

// appendCreated writes the entry of a log for a created task.
func (t *storedTask) appendCreated(dst []byte) []byte {
	dst = append(dst, `{"type":"TASK_CREATE","success":true,"input":`...)
	dst = append(dst, t.task[:len(t.task)-1]...)
	if len(t.note) > 0 {
		dst = append(dst, `,"__item_idx":`...)
		dst = append(dst, t.note...)
	}
	dst = append(dst, `},"output":{"task_id":"`...)
	dst = t.appendID(dst)
	return append(dst, `"}}`...)
}

// poolOpened is the entry of a log for the opening of a pool after an upload.
type poolOpened struct {
	Type    string `json:"type"`
	Success bool   `json:"success"`
	Input   struct {
		PoolID uint32 `json:"pool_id"` // a number, as Toloka has it here and nowhere else
	} `json:"input"`
	Output struct {
		Code      string `json:"code,omitempty"`
		Message   string `json:"message,omitempty"`
		RequestID string `json:"request_id,omitempty"`
	} `json:"output"`
}

// newPoolOpened returns the entry of a pool that was opened, or, with an error,
// of one that can't be.
func newPoolOpened(pool uint32, op *operation, err error) poolOpened {
	o := poolOpened{Type: "POOL_OPEN", Success: true}
	o.Input.PoolID = pool
	var refused *apiError
	if errors.As(err, &refused) {
		o.Success = false
		o.Output.Code, o.Output.Message, o.Output.RequestID = refused.code, refused.message, "ao_"+op.ID
	}
	return o
}
