package referee

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits of one request and of one pool.
const (
	maxSync        = 5_000
	maxInputBytes  = 1_048_576
	maxOutputBytes = 4_194_304
	maxInPool      = 1_000_000
)

// created is the answer to a synchronous request.
type created struct {
	Items  map[string]any              `json:"items"`
	Errors map[string]map[string]fault `json:"validation_errors"`
}

// batch is a request that is understood.
type batch struct {
	pool      *Pool
	items     []map[string]any
	single    bool
	skip      bool
	defaults  bool
	open      bool
	async     bool
	operation string
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

var taskFields = []string{
	"pool_id", "input_values", "known_solutions", "baseline_solutions", "message_on_unknown_solution", "overlap", "infinite_overlap",
	"reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any", "__item_idx",
}

// create answers a request to create tasks.
func (s *Server) create(q request, now time.Time) answer {
	b, refusal, ok := s.understand(q)
	if !ok {
		return refusal
	}
	if b.async && s.operations[b.operation] != nil {
		return failure(http.StatusConflict, "OPERATION_ALREADY_EXISTS", "Operation with this id already exists", nil)
	}
	if a, full := s.quota.tasks(s.cfg.Ways.Quota, len(b.items), now, s.stamp(now)[:10]); full {
		return a
	}
	if b.async {
		return s.begin(b, q.fails, now)
	}
	faults := s.faults(b)
	switch {
	case len(faults) == len(b.items) || len(faults) > 0 && !b.skip:
		var payload any = faults
		if s.cfg.Ways.FlatPayload && len(b.items) == 1 {
			payload = faults["0"]
		}
		return failure(http.StatusBadRequest, "VALIDATION_ERROR", "Validation failed", payload)
	case q.fails == FailsEmpty:
		return failure(http.StatusInternalServerError, "INTERNAL_ERROR", "Something went wrong", nil)
	}
	done := created{Items: map[string]any{}, Errors: faults}
	for i, item := range b.items {
		if position := strconv.Itoa(i); faults[position] == nil && (q.fails != FailsHalf || i%2 == 0) {
			done.Items[position] = s.add(item, b.pool, "", now).view
		}
	}
	if q.fails == FailsHalf {
		return failure(http.StatusInternalServerError, "INTERNAL_ERROR", "Something went wrong", nil)
	}
	if b.single {
		return answer{status: http.StatusCreated, body: done.Items["0"]}
	}
	return answer{status: http.StatusCreated, body: done}
}

// understand reads a request; the answer is for one that isn't understood, or that its
// pool can't take.
func (s *Server) understand(q request) (b batch, refusal answer, ok bool) {
	if kind, _, _ := strings.Cut(q.header.Get("Content-Type"), ";"); kind != "application/json" {
		return b, failure(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json", nil), false
	}
	switches := map[string]*bool{"skip_invalid_items": &b.skip, "allow_defaults": &b.defaults, "open_pool": &b.open, "async_mode": &b.async}
	for _, name := range slices.Sorted(maps.Keys(q.query)) {
		value := q.query.Get(name)
		if name == "operation_id" {
			b.operation = value
			continue
		}
		on, known := switches[name]
		if !known || value != "true" && value != "false" {
			return b, badRequest("Unknown parameter " + name), false
		}
		*on = value == "true"
	}
	if b.operation != "" && !uuid.MatchString(b.operation) {
		return b, badRequest("The operation's id is no UUID"), false
	}
	if err := decode(q.body, &b.items); err != nil {
		var one map[string]any
		if err := decode(q.body, &one); err != nil {
			return b, badRequest("The body is neither a task nor a list of tasks"), false
		}
		b.items, b.single = []map[string]any{one}, true
	}
	if len(b.items) == 0 {
		return b, badRequest("There is no task"), false
	}
	input, output := 0, 0
	for _, item := range b.items {
		for field := range item {
			if !slices.Contains(taskFields, field) {
				return b, badRequest("Unknown field " + field), false
			}
		}
		input += size(item["input_values"])
		output += size(item["known_solutions"])
		if b.pool == nil {
			id, _ := item["pool_id"].(string)
			b.pool = s.pools[id]
		}
		if b.pool == nil || item["pool_id"] != b.pool.ID {
			return b, absent("pool"), false
		}
	}
	inPool := len(b.items)
	for _, t := range s.tasks {
		if t.Pool == b.pool.ID {
			inPool++
		}
	}
	switch {
	case !b.async && len(b.items) > maxSync, input > maxInputBytes, output > maxOutputBytes:
		return b, failure(http.StatusRequestEntityTooLarge, "REQUEST_ENTITY_TOO_LARGE", "There is too much in one request", nil), false
	case b.pool.Status == "ARCHIVED":
		return b, failure(http.StatusConflict, "INAPPROPRIATE_STATUS", "This or related resource is in inappropriate status, operation is not allowed", map[string]any{"appropriate_statuses": []string{"OPEN", "CLOSED"}}), false
	case b.pool.NoMixer && !b.pool.Training:
		return b, failure(http.StatusBadRequest, "MIXER_CONFIG_REQUIRED", "The pool has no mixer_config", nil), false
	case inPool > maxInPool:
		return b, failure(http.StatusConflict, "POOL_TASKS_COUNT_EXCEEDED", "The pool is full", nil), false
	}
	return b, answer{}, true
}

func size(value any) int {
	text, err := json.Marshal(value)
	if err != nil {
		return 0
	}
	return len(text)
}

// operation is a request that is carried out in the background.
type operation struct {
	view map[string]any
	log  []entry
}

// entry is a step of an operation's log.
type entry struct {
	Type    string         `json:"type"`
	Success bool           `json:"success"`
	Input   map[string]any `json:"input"`
	Output  map[string]any `json:"output"`
}

// begin answers with an operation, which is carried out later.
func (s *Server) begin(b batch, fails Done, now time.Time) answer {
	if b.operation == "" {
		s.serial++
		b.operation = fmt.Sprintf("00000000-0000-4000-9000-%012x", s.serial)
	}
	o := s.newOperation(b.operation, "TASK.BATCH_CREATE", map[string]any{"skip_invalid_items": b.skip, "allow_defaults": b.defaults, "open_pool": b.open}, now)
	s.schedule(now.Add(s.cfg.Ways.Operation), func(at time.Time) { s.carryOut(o, b, fails, at) })
	first := maps.Clone(o.view)
	s.settle(now)
	return answer{status: http.StatusAccepted, body: first}
}

func (s *Server) newOperation(id, kind string, parameters map[string]any, now time.Time) *operation {
	o := &operation{view: map[string]any{"id": id, "type": kind, "status": "RUNNING", "submitted": s.stamp(now), "started": s.stamp(now), "progress": 0, "parameters": parameters}}
	s.operations[id] = o
	return o
}

func (s *Server) finish(o *operation, status string, details any, at time.Time) {
	o.view = with(o.view, "status", status)
	o.view["finished"], o.view["progress"], o.view["details"] = s.stamp(at), 100, details
}

// carryOut ends an operation.
func (s *Server) carryOut(o *operation, b batch, fails Done, at time.Time) {
	faults := s.faults(b)
	status, made := "SUCCESS", 0
	switch {
	case fails == FailsEmpty:
		s.finish(o, "FAIL", map[string]any{"total_count": len(b.items)}, at)
		return
	case fails == FailsHalf, len(faults) == len(b.items), len(faults) > 0 && !b.skip:
		status = "FAIL"
	}
	for i, item := range b.items {
		input := filled(item, b.pool.Overlap)
		if s.cfg.Ways.Normalises {
			input = normalised(input).(map[string]any)
		}
		if index, ok := item["__item_idx"]; ok {
			input["__item_idx"] = index
		}
		if wrong := faults[strconv.Itoa(i)]; wrong != nil {
			o.log = append(o.log, entry{"TASK_VALIDATE", false, input, s.failureOutput(wrong)})
			continue
		}
		o.log = append(o.log, entry{"TASK_VALIDATE", true, input, map[string]any{}})
		switch {
		case status == "FAIL" && fails != FailsHalf:
		case fails == FailsHalf && i%2 == 1:
			o.log = append(o.log, entry{"TASK_CREATE", false, input, map[string]any{"code": "INTERNAL_ERROR", "message": "Something went wrong"}})
		default:
			made++
			o.log = append(o.log, entry{"TASK_CREATE", true, input, map[string]any{"task_id": s.add(item, b.pool, o.view["id"].(string), at).ID}})
		}
	}
	slices.Reverse(o.log) // its order is not that of the request
	if b.open && b.pool.Status != "OPEN" {
		b.pool.Status = "OPEN"
		o.log = append(o.log, entry{"POOL_OPEN", true, map[string]any{"pool_id": json.Number(b.pool.ID)}, map[string]any{"code": "OK", "message": "The pool is open", "request_id": "referee"}})
	}
	s.finish(o, status, map[string]any{"total_count": len(b.items), "valid_count": len(b.items) - len(faults), "not_valid_count": len(faults), "success_count": made, "failed_count": len(b.items) - made}, at)
}

func (s *Server) failureOutput(wrong map[string]fault) map[string]any {
	fields := map[string]any{}
	for field, f := range wrong {
		fields[field] = f
	}
	if s.cfg.Ways.Failures == InPayload {
		return map[string]any{"code": "VALIDATION_ERROR", "message": "Validation failed", "payload": fields}
	}
	return fields
}

func (s *Server) operation(id string) answer {
	if o := s.operations[id]; o != nil {
		return answer{status: http.StatusOK, body: o.view}
	}
	return absent("operation")
}

func (s *Server) log(id string) answer {
	o := s.operations[id]
	if o == nil {
		return absent("operation")
	}
	return answer{status: http.StatusOK, body: append([]entry{}, o.log...)}
}
