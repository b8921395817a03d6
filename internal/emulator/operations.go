package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
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

// wireOperation is an operation as the API answers with it.
type wireOperation struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Status     string `json:"status"`
	Submitted  string `json:"submitted"`
	Started    string `json:"started,omitempty"`
	Finished   string `json:"finished,omitempty"`
	Progress   int64  `json:"progress"`
	Parameters any    `json:"parameters"`
	Details    any    `json:"details,omitempty"`
}

// submitted returns the operation as its submission is answered: pending,
// however short it is.
func (op *operation) submitted() wireOperation { return op.render(op.Submitted - 1) }

// render returns the operation as it is at a moment.
func (op *operation) render(now stamp) wireOperation {
	out := wireOperation{
		ID: op.ID, Type: op.Type, Status: op.status(now), Submitted: op.Submitted.String(),
		Parameters: op.parameters(), Details: op.details(),
	}
	if out.Status == operationPending {
		return out
	}
	out.Started = op.started().String()
	if out.Status == operationRunning {
		out.Progress = int64(100 * (now - op.Submitted) / (op.Finished - op.Submitted))
		return out
	}
	out.Finished, out.Progress = op.Finished.String(), 100
	if b := op.batch; b != nil {
		out.Details = map[string]uint32{
			"total_count":     b.Items,
			"valid_count":     b.Created,
			"not_valid_count": b.Items - b.Created,
			"success_count":   b.Created,
			"failed_count":    b.Items - b.Created,
		}
	}
	return out
}

func (op *operation) parameters() any {
	if op.Type == typeTaskBatchCreate {
		return map[string]bool{"skip_invalid_items": op.Skip, "allow_defaults": op.Defaults, "open_pool": op.Open}
	}
	return map[string]string{"pool_id": formatNumber(op.Pool)}
}

// details are those of an operation that has not ended, and of one of a pool.
func (op *operation) details() any {
	switch op.Type {
	case typePoolClone:
		return map[string]string{"pool_id": formatNumber(op.Clone)}
	case typeTaskBatchCreate:
		return map[string]uint32{"items_count": op.batch.Items}
	}
	return nil
}

// operation finds an operation, or nil.
func (s *Server) operation(id string) *operation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.operations[id]
}

func (s *Server) moment() stamp {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, at := s.now()
	return at
}

func (s *Server) getOperation(r call) (reply, error) {
	op := s.operation(r.PathValue("id"))
	if op == nil {
		return reply{}, notFound("operation", r.PathValue("id"))
	}
	return jsonReply(http.StatusOK, op.render(s.moment()))
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

func (s *Server) listOperations(r call) (reply, error) {
	s.mu.RLock()
	all := slices.Collect(maps.Values(s.state.operations))
	s.mu.RUnlock()
	now := s.moment()
	key := func(op *operation, field string) string {
		switch field {
		case "id":
			return op.ID
		case "type":
			return op.Type
		case "status":
			return op.status(now)
		case "submitted":
			return timeKey(op.Submitted)
		}
		if now < op.Finished {
			return ""
		}
		return timeKey(op.Finished)
	}
	return listAll(r, operationListing, all, key, func(op *operation) any { return op.render(now) })
}

// getOperationLog answers GET /operations/{id}/log. Only the creation of tasks
// has a log, and only once it has ended.
func (s *Server) getOperationLog(r call) (reply, error) {
	op := s.operation(r.PathValue("id"))
	if op == nil {
		return reply{}, notFound("operation", r.PathValue("id"))
	}
	if op.batch == nil || s.moment() < op.Finished {
		return jsonReply(http.StatusOK, []any{})
	}
	s.mu.Lock()
	op.logArchived = op.logArchived || r.fault.Name == FaultLogArchived
	lacking := r.fault.Name == FaultLogLacks && !op.logRead
	op.logRead = true
	archived := op.logArchived
	s.mu.Unlock()
	if archived {
		return reply{}, conflict(codeLogsArchived, "the log of operation %s is archived", op.ID)
	}
	entries := s.logEntries(op)
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
func (s *Server) logEntries(op *operation) iter.Seq2[[]byte, error] {
	hash := fnv.New64a()
	hash.Write([]byte(op.ID))
	seed := hash.Sum64()
	return func(yield func([]byte, error) bool) {
		order := rand.New(rand.NewPCG(s.cfg.Seed, seed))
		for _, opened := range op.Opened {
			if entry, err := opened.logEntry(op.ID); !yield(entry, err) {
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

// logEntry returns the entry of a log for the opening of a pool: with a number as
// the pool's id, as Toloka has it here and nowhere else.
func (o poolOpened) logEntry(operationID string) ([]byte, error) {
	type output struct {
		Code      string `json:"code,omitempty"`
		Message   string `json:"message,omitempty"`
		RequestID string `json:"request_id,omitempty"`
	}
	logged := struct {
		Type    string            `json:"type"`
		Success bool              `json:"success"`
		Input   map[string]uint32 `json:"input"`
		Output  output            `json:"output"`
	}{"POOL_OPEN", o.Code == "", map[string]uint32{"pool_id": o.Pool}, output{}}
	switch o.Code {
	case "":
	case codeEmptyPool:
		logged.Output = output{o.Code, "Pool contains no tasks. Operation is not allowed", "ao_" + operationID}
	default:
		logged.Output = output{o.Code, fmt.Sprintf("Pool %d can't be opened", o.Pool), "ao_" + operationID}
	}
	return json.Marshal(logged)
}
