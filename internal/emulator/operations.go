package emulator

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
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

// status follows from the time: an operation waits and then runs. Its submission
// is always answered with PENDING.
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

// wireOperation is an operation as the API gives it.
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

// render gives the operation as it is at a moment; at its submission it is
// pending, however short it is.
func (op *operation) render(now stamp) wireOperation {
	out := wireOperation{
		ID: op.ID, Type: op.Type, Status: op.status(now), Submitted: op.Submitted.String(),
		Parameters: op.parameters(),
	}
	if now == op.Submitted && out.Status != operationRunning {
		out.Status = operationPending
	}
	total := op.Finished - op.Submitted
	switch out.Status {
	case operationPending:
		out.Details = op.details(false)
		return out
	case operationRunning:
		out.Started = op.started().String()
		out.Progress = int64(100 * (now - op.Submitted) / total)
		out.Details = op.details(false)
		return out
	}
	out.Started = op.started().String()
	out.Finished = op.Finished.String()
	out.Progress = 100
	out.Details = op.details(true)
	return out
}

func (op *operation) parameters() any {
	if op.Type == typeTaskBatchCreate {
		return map[string]bool{"skip_invalid_items": op.Skip, "allow_defaults": op.Defaults, "open_pool": op.Open}
	}
	return map[string]string{"pool_id": formatNumber(op.Pool)}
}

// details have another form at the end than before.
func (op *operation) details(finished bool) any {
	switch {
	case op.Type == typePoolClone:
		return map[string]string{"pool_id": formatNumber(op.Clone)}
	case op.Type != typeTaskBatchCreate:
		return nil
	case !finished:
		return map[string]uint32{"items_count": op.batch.Items}
	}
	return map[string]uint32{
		"total_count":     op.batch.Items,
		"valid_count":     op.batch.Created,
		"not_valid_count": op.batch.Items - op.batch.Created,
		"success_count":   op.batch.Created,
		"failed_count":    op.batch.Items - op.batch.Created,
	}
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

func (s *Server) getOperation(w http.ResponseWriter, r *http.Request) error {
	op := s.operation(r.PathValue("id"))
	if op == nil {
		return notFound("operation", r.PathValue("id"))
	}
	writeJSON(w, http.StatusOK, op.renderFound(s.moment()))
	return nil
}

// renderFound gives an operation that is asked for, which may have ended in the
// very moment of its submission.
func (op *operation) renderFound(now stamp) wireOperation {
	if op.Finished == op.Submitted {
		now = max(now, op.Submitted+1)
	}
	return op.render(now)
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

func (s *Server) listOperations(w http.ResponseWriter, r *http.Request) error {
	q, err := operationListing.parse(r.URL.Query())
	if err != nil {
		return err
	}
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
	writeJSON(w, http.StatusOK, selectPage(q, all, key, func(op *operation) any { return op.renderFound(now) }))
	return nil
}

// getOperationLog answers GET /operations/{id}/log. Only the creation of tasks
// has a log, and only once it has ended.
func (s *Server) getOperationLog(w http.ResponseWriter, r *http.Request) error {
	return s.getOperationLogWith(w, r, Fault{})
}

// getOperationLogWith answers GET /operations/{id}/log, with the fault of the
// log.
func (s *Server) getOperationLogWith(w http.ResponseWriter, r *http.Request, fault Fault) error {
	op := s.operation(r.PathValue("id"))
	if op == nil {
		return notFound("operation", r.PathValue("id"))
	}
	if op.batch == nil || s.moment() < op.Finished {
		writeRaw(w, http.StatusOK, []byte("[]"))
		return nil
	}
	lacks, archived := s.logs.read(op.ID, fault)
	if archived {
		return refuse(http.StatusConflict, codeLogsArchived, "the log of operation %s is archived", op.ID)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	return s.writeLog(bufio.NewWriterSize(w, 64<<10), op, lacks)
}

// logFates is what the script did to the logs of operations, by their ids. It
// is safe for concurrent use.
type logFates struct {
	mu             sync.Mutex
	seen, archived map[string]bool
}

func newLogFates() logFates {
	return logFates{seen: make(map[string]bool), archived: make(map[string]bool)}
}

// read notes that a log is read, and reports whether entries of it lack, and
// whether it is archived.
func (l *logFates) read(id string, fault Fault) (lacks, archived bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fault.Name == FaultLogArchived {
		l.archived[id] = true
	}
	lacks = fault.Name == FaultLogLacks && !l.seen[id]
	l.seen[id] = true
	return lacks, l.archived[id]
}

// lackOne says that of a log that lacks entries, besides the first, one in so
// many lacks.
const lackOne = 4

// writeLog writes the log in an order that is not the request's: parts of the
// file are taken in random order, and so are the tasks in each. The order is
// the same whenever the log is read. Where lacks is set, entries of tasks are
// left out, at least one.
func (s *Server) writeLog(w *bufio.Writer, op *operation, lacks bool) error {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(op.ID)) // it never fails
	order := rand.New(rand.NewPCG(s.cfg.Seed, hash.Sum64()))

	separator := byte('[')
	var entries []byte
	for _, opened := range op.Opened {
		var err error
		entries = append(entries, separator)
		separator = ','
		if entries, err = opened.appendLog(entries, op.ID); err != nil {
			return err
		}
	}
	if _, err := w.Write(entries); err != nil {
		return err
	}
	c := new(chunk)
	left := 0 // how many entries come until one is left out
	parts := int(op.batch.Items+chunkItems-1) / chunkItems
	for _, part := range order.Perm(parts) {
		lo := part * chunkItems
		if err := c.load(op.batch, lo, min(lo+chunkItems, int(op.batch.Items))); err != nil {
			return err
		}
		for _, i := range order.Perm(len(c.items)) {
			it := c.items[i]
			if it.ordinal < 0 && it.errStart == it.errEnd {
				continue // a good task of a request that failed as a whole
			}
			if left--; lacks && left < 0 {
				left = lackOne - 1
				continue
			}
			entries = append(entries[:0], separator)
			separator = ','
			var err error
			if entries, err = c.appendLog(entries, i); err != nil {
				return err
			}
			if _, err := w.Write(entries); err != nil {
				return err
			}
		}
	}
	if separator == '[' {
		if err := w.WriteByte('['); err != nil {
			return err
		}
	}
	if err := w.WriteByte(']'); err != nil {
		return err
	}
	return w.Flush()
}

// appendLog writes what became of one task of a request.
func (c *chunk) appendLog(dst []byte, i int) ([]byte, error) {
	it := c.items[i]
	if it.ordinal < 0 {
		dst = append(dst, `{"type":"TASK_VALIDATE","success":false,"input":`...)
		dst = append(dst, c.task(i)...)
		dst = append(dst, `,"output":`...)
		dst = append(dst, c.taskErrors(i)...)
		return append(dst, '}'), nil
	}
	dst = append(dst, `{"type":"TASK_CREATE","success":true,"input":{`...)
	dst, err := appendSent(dst, c.task(i), true)
	if err != nil {
		return dst, err
	}
	dst = it.appendOverlap(dst)
	dst = append(dst, `},"output":{"task_id":"`...)
	dst = appendTaskID(dst, c.batch.First+uint64(it.ordinal), c.batch.At)
	return append(dst, `"}}`...), nil
}

// appendLog writes what became of opening a pool: with a number as the pool's
// id, as Toloka gives it here and nowhere else.
func (o poolOpened) appendLog(dst []byte, operationID string) ([]byte, error) {
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
	if o.Code != "" {
		message := fmt.Sprintf("Pool %d can't be opened", o.Pool)
		if o.Code == codeEmptyPool {
			message = "Pool contains no tasks. Operation is not allowed"
		}
		logged.Output = output{o.Code, message, "ao_" + operationID}
	}
	raw, err := json.Marshal(logged)
	return append(dst, raw...), err
}
