package emulator

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-faster/jx"
	"github.com/google/uuid"
)

// item is one task of a request, as the table of a batch keeps it.
type item struct {
	start, end uint32 // of the task in the body
	ordinal    int32  // among the created tasks of the request; -1 where it was not created
	pool       uint32
	overlap    int32
	// errStart and errEnd are of the errors' JSON; they are equal where there
	// are none.
	errStart, errEnd uint32
}

const itemSize = 28

func (it item) append(table []byte) []byte {
	for _, v := range [...]uint32{it.start, it.end, uint32(it.ordinal), it.pool, uint32(it.overlap), it.errStart, it.errEnd} {
		table = binary.LittleEndian.AppendUint32(table, v)
	}
	return table
}

func readItem(raw []byte) item {
	v := func(i int) uint32 { return binary.LittleEndian.Uint32(raw[4*i:]) }
	return item{v(0), v(1), int32(v(2)), v(3), int32(v(4)), v(5), v(6)}
}

// upload is one POST /tasks on its way. It is reused with its buffers.
type upload struct {
	body    []byte
	table   []byte
	errors  []byte
	answer  []byte
	items   []item
	pools   []uploadPool
	checker checker

	single  bool // the body is one task and no array
	created int
}

// uploadPool is a pool that a request names.
type uploadPool struct {
	id      string
	pool    *pool // nil where there is none
	overlap int32
	created uint32
}

// maxKeptBytes bounds the buffers that are kept for the next request.
const maxKeptBytes = 8 << 20

func (u *upload) keep() bool { return cap(u.body)+cap(u.answer)+cap(u.errors) <= 2*maxKeptBytes }

// taskParameters are the query of a POST /tasks.
type taskParameters struct {
	async, skipInvalid, allowDefaults, openPool bool
	operation                                   string
	fault                                       Fault // what becomes of the operation
}

func readTaskParameters(query url.Values) (taskParameters, error) {
	var p taskParameters
	for _, flag := range []struct {
		name  string
		value *bool
	}{
		{"async_mode", &p.async},
		{"skip_invalid_items", &p.skipInvalid},
		{"allow_defaults", &p.allowDefaults},
		{"open_pool", &p.openPool},
	} {
		switch query.Get(flag.name) {
		case "true":
			*flag.value = true
		case "", "false":
		default:
			return p, invalid(fieldError{flag.name, codeBooleanExpected, messages[codeBooleanExpected], nil})
		}
	}
	if id := query.Get("operation_id"); id != "" && p.async {
		parsed, err := uuid.Parse(id)
		if err != nil || len(id) != len(parsed.String()) {
			return p, invalid(fieldError{"operation_id", "UUID_EXPECTED", "Value must be a UUID", nil})
		}
		p.operation = parsed.String()
	}
	return p, nil
}

// createTasks answers POST /tasks.
func (s *Server) createTasks(w http.ResponseWriter, r *http.Request) error {
	return s.createTasksWith(w, r, Fault{})
}

// createTasksWith answers POST /tasks, with the fault of its operation.
func (s *Server) createTasksWith(w http.ResponseWriter, r *http.Request, fault Fault) error {
	parameters, err := readTaskParameters(r.URL.Query())
	if err != nil {
		return err
	}
	parameters.fault = fault
	if err := checkContentType(r); err != nil {
		return err
	}
	if parameters.operation != "" && s.operation(parameters.operation) != nil {
		return operationExists(parameters.operation)
	}
	u := s.uploads.Get().(*upload)
	defer func() {
		if u.keep() {
			s.uploads.Put(u)
		}
	}()
	if u.body, err = readBody(u.body, r); err != nil {
		return err
	}
	if err := s.parse(u, parameters); err != nil {
		return err
	}
	if !parameters.async && u.created == 0 {
		return u.refusal()
	}
	committed, err := s.commitTasks(u, parameters)
	if err != nil {
		return err
	}
	if parameters.async {
		writeJSON(w, http.StatusAccepted, committed.Operation.render(committed.Operation.Submitted))
		return nil
	}
	if err := u.renderAnswer(committed.Batch); err != nil {
		return err
	}
	writeRaw(w, http.StatusCreated, u.answer)
	return nil
}

func operationExists(id string) error {
	return refuse(http.StatusConflict, codeOperationExists, "the operation %s exists already", id)
}

// parse checks every task of the body and fills the tables of the upload.
func (s *Server) parse(u *upload, parameters taskParameters) error {
	u.table, u.errors, u.items, u.pools = u.table[:0], u.errors[:0], u.items[:0], u.pools[:0]
	u.created = 0
	u.single = bytes.TrimSpace(u.body)[0] == '{'
	limit := s.cfg.Limits.TasksSync
	if parameters.async {
		limit = s.cfg.Limits.TasksAsync
	}
	inputBytes, outputBytes, refused := 0, 0, 0
	err := u.eachTask(func(raw jx.Raw) error {
		if exceeds(len(u.items)+1, limit) {
			return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the request has more than %d tasks", limit)
		}
		it, err := s.parseTask(u, raw, parameters.allowDefaults)
		if err != nil {
			return err
		}
		inputBytes += u.checker.inputBytes
		outputBytes += u.checker.outputBytes
		if it.ordinal < 0 {
			refused++
		}
		u.items = append(u.items, it)
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(u.items) == 0:
		return malformed("the request has no tasks")
	case exceeds(inputBytes, s.cfg.Limits.InputBytes):
		return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the request's input_values have %d bytes, more than %d", inputBytes, s.cfg.Limits.InputBytes)
	case exceeds(outputBytes, s.cfg.Limits.OutputBytes):
		return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the request's output_values have %d bytes, more than %d", outputBytes, s.cfg.Limits.OutputBytes)
	}
	if err := u.checkPools(); err != nil {
		return err
	}
	if refused > 0 && !parameters.skipInvalid || parameters.fault.Name != "" {
		u.createNone()
	}
	for _, it := range u.items {
		u.table = it.append(u.table)
	}
	return nil
}

// eachTask calls visit for every task of the body.
func (u *upload) eachTask(visit func(raw jx.Raw) error) error {
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(u.body)
	one := func() error {
		raw, err := d.Raw()
		if err != nil {
			return malformed("the body is no JSON: %v", err)
		}
		return visit(bytes.TrimSpace(raw))
	}
	if u.single {
		if err := one(); err != nil {
			return err
		}
	} else {
		it, err := d.ArrIter()
		if err != nil {
			return malformed("the body is neither a task nor an array of tasks: %v", err)
		}
		for it.Next() {
			if err := one(); err != nil {
				return err
			}
		}
		if err := it.Err(); err != nil {
			return malformed("the body is no JSON: %v", err)
		}
	}
	if d.Next() != jx.Invalid {
		return malformed("the body goes on after its end")
	}
	return nil
}

// parseTask checks one task; raw is a part of u.body.
func (s *Server) parseTask(u *upload, raw jx.Raw, allowDefaults bool) (item, error) {
	parts, err := splitTask(raw)
	if err != nil {
		return item{}, malformed("task %d is no object: %v", len(u.items), err)
	}
	in := s.uploadPool(u, parts.poolID)
	var spec *taskSpec
	if in != nil && in.pool != nil {
		spec = in.pool.spec
	}
	c := &u.checker
	if err := c.check(&parts, spec, allowDefaults); err != nil {
		return item{}, malformed("task %d is no JSON: %v", len(u.items), err)
	}
	// Both slices end with the body's array, so their capacities tell where
	// the task begins in it.
	start := cap(u.body) - cap(raw)
	it := item{
		start: uint32(start), end: uint32(start + len(raw)),
		ordinal: -1, overlap: c.overlap,
		errStart: uint32(len(u.errors)), errEnd: uint32(len(u.errors)),
	}
	if len(c.errs) > 0 {
		if u.errors, err = appendErrors(u.errors, c.errs); err != nil {
			return item{}, err
		}
		it.errEnd = uint32(len(u.errors))
		return it, nil
	}
	it.pool = in.pool.ID
	if it.overlap == overlapAbsent {
		it.overlap = in.overlap
	}
	it.ordinal = int32(u.created)
	u.created++
	in.created++
	return it, nil
}

// uploadPool finds the pool that a task names; nil where it names none.
func (s *Server) uploadPool(u *upload, raw jx.Raw) *uploadPool {
	if raw.Type() != jx.String {
		return nil
	}
	id := raw[1 : len(raw)-1] // an id has nothing to unescape
	for i := range u.pools {
		if u.pools[i].id == string(id) {
			return &u.pools[i]
		}
	}
	found := uploadPool{id: string(id)}
	if p := s.poolNow(found.id); p != nil {
		found.pool, found.overlap = p, p.defaultOverlap()
	}
	u.pools = append(u.pools, found)
	return &u.pools[len(u.pools)-1]
}

// checkPools refuses the whole request where a pool takes no tasks.
func (u *upload) checkPools() error {
	for _, in := range u.pools {
		switch {
		case in.pool == nil: // its tasks are refused one by one
		case in.pool.Status == poolArchived:
			return refuse(http.StatusConflict, codeInappropriateStatus, "pool %s is archived", in.id)
		case !in.pool.Fields.present("mixer_config"):
			return refuse(http.StatusConflict, codeMixerConfigRequired, "pool %s has no mixer_config, without which it takes no tasks", in.id)
		}
	}
	return nil
}

// createNone takes back that the good tasks would be created.
func (u *upload) createNone() {
	u.created = 0
	for i := range u.items {
		u.items[i].ordinal = -1
	}
	for i := range u.pools {
		u.pools[i].created = 0
	}
}

// appendErrors writes the errors of one task as {field: {code, message}}.
func appendErrors(dst []byte, errs []fieldError) ([]byte, error) {
	byField := make(map[string]fieldError, len(errs))
	for _, e := range errs {
		byField[e.field] = e
	}
	raw, err := json.Marshal(byField)
	return append(dst, raw...), err
}

// refusal is the answer to a synchronous request that creates nothing: the
// errors by position, or flat where the request was one task.
func (u *upload) refusal() error {
	e := refuse(http.StatusBadRequest, codeValidation, "Validation failed")
	if u.single {
		e.payload = json.RawMessage(u.itemErrors(u.items[0]))
		return e
	}
	e.payload = json.RawMessage(u.appendAllErrors(nil))
	return e
}

func (u *upload) itemErrors(it item) []byte { return u.errors[it.errStart:it.errEnd] }

// appendAllErrors writes {position: errors} of the refused tasks.
func (u *upload) appendAllErrors(dst []byte) []byte {
	dst = append(dst, '{')
	first := true
	for i, it := range u.items {
		if it.errStart == it.errEnd {
			continue
		}
		dst = appendPosition(dst, i, &first)
		dst = append(dst, u.itemErrors(it)...)
	}
	return append(dst, '}')
}

// appendPosition begins the member of an object that has a position as key.
func appendPosition(dst []byte, position int, first *bool) []byte {
	if !*first {
		dst = append(dst, ',')
	}
	*first = false
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, int64(position), 10)
	return append(dst, `":`...)
}

// commitTasks carries the checked request out.
func (s *Server) commitTasks(u *upload, parameters taskParameters) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if parameters.operation != "" && s.state.operations[parameters.operation] != nil {
		return nil, operationExists(parameters.operation)
	}
	for _, in := range u.pools {
		if in.created > 0 && exceeds(in.pool.tasks.count+int(in.created), s.cfg.Limits.PoolTasks) {
			return nil, refuse(http.StatusConflict, codePoolTasksExceeded, "pool %s would have more than %d tasks", in.id, s.cfg.Limits.PoolTasks)
		}
	}
	now, at := s.now()
	if interval := s.quota.refuses(now, u.created); interval == intervalDay {
		return nil, tooManyTasksToday(s.quota.dayIn(now, u.created))
	} else if interval != "" {
		return nil, tooManyTasks(interval)
	}
	e := s.taskEntry(u, parameters, at)
	if parameters.fault.Name == FaultOpVanish {
		return e, nil
	}
	if err := s.commit(e, u.table, u.errors, u.body); err != nil {
		return nil, err
	}
	if u.created > 0 {
		s.quota.tasks(now, u.created)
	}
	return e, nil
}

// taskEntry describes what the request changes. It needs s.mu.
func (s *Server) taskEntry(u *upload, parameters taskParameters, at stamp) *entry {
	b := &batch{
		Items: uint32(len(u.items)), Created: uint32(u.created), First: s.state.nextTask,
		At: at, Visible: at, ErrorBytes: uint32(len(u.errors)),
	}
	for _, in := range u.pools {
		if in.created > 0 {
			b.Pools = append(b.Pools, poolCount{in.pool.ID, in.created})
		}
	}
	e := &entry{Batch: b}
	if parameters.async {
		b.Visible = at + stamp(s.cfg.OperationTime/time.Millisecond)
		e.Operation = &operation{
			ID: parameters.operation, Type: typeTaskBatchCreate,
			Submitted: at, Finished: b.Visible, Fail: u.created == 0,
			Skip: parameters.skipInvalid, Defaults: parameters.allowDefaults, Open: parameters.openPool,
			batch: b,
		}
		if e.Operation.ID == "" {
			e.Operation.ID = uuid.NewString()
		}
		if parameters.fault.Name == FaultOpStuck {
			e.Operation.Finished = never
		}
	}
	if parameters.openPool && parameters.fault.Name == "" {
		s.openAfterUpload(e, u, b.Visible)
	}
	return e
}

// openAfterUpload opens the pools that a request names once its tasks are
// there, and notes where that fails.
func (s *Server) openAfterUpload(e *entry, u *upload, at stamp) {
	for _, in := range u.pools {
		p := s.state.pools[number(in.id)]
		if p == nil {
			continue
		}
		current := p.at(e.Batch.At)
		outcome := poolOpened{Pool: p.ID}
		switch {
		case current.tasks.count+int(in.created) == 0:
			outcome.Code = codeEmptyPool
		case current.Next != "":
			outcome.Code = codePoolLocked
		case current.Status != poolClosed:
			outcome.Code = codeInappropriateStatus
		default:
			current.Next, current.NextAt = poolOpen, at
			e.Pools = append(e.Pools, current)
		}
		if e.Operation != nil {
			e.Operation.Opened = append(e.Operation.Opened, outcome)
		}
	}
}

// renderAnswer builds the answer to a synchronous request: the task, or all of
// them by position together with the errors.
func (u *upload) renderAnswer(b *batch) (err error) {
	if u.single {
		u.answer, err = b.appendTask(u.answer[:0], u.items[0], u.body[u.items[0].start:u.items[0].end])
		return err
	}
	u.answer = append(u.answer[:0], `{"items":{`...)
	first := true
	for i, it := range u.items {
		if it.ordinal < 0 {
			continue
		}
		u.answer = appendPosition(u.answer, i, &first)
		if u.answer, err = b.appendTask(u.answer, it, u.body[it.start:it.end]); err != nil {
			return err
		}
	}
	u.answer = append(u.answer, `},"validation_errors":`...)
	u.answer = u.appendAllErrors(u.answer)
	u.answer = append(u.answer, '}')
	return nil
}

// appendTask writes a created task as the API gives it: what was sent, and what
// the server knows of it.
func (b *batch) appendTask(dst []byte, it item, raw []byte) ([]byte, error) {
	dst = append(dst, '{')
	dst, err := appendSent(dst, raw, false)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `"id":"`...)
	dst = appendTaskID(dst, b.First+uint64(it.ordinal), b.At)
	dst = append(dst, `","created":"`...)
	dst = b.At.time().AppendFormat(dst, timeLayout)
	dst = append(dst, `",`...)
	dst = it.appendOverlap(dst)
	if it.overlap > 0 {
		dst = append(dst, `,"remaining_overlap":`...)
		dst = strconv.AppendInt(dst, int64(it.overlap), 10)
	}
	return append(dst, '}'), nil
}

func (it item) appendOverlap(dst []byte) []byte {
	if it.overlap == overlapInfinite {
		return append(dst, `"infinite_overlap":true`...)
	}
	dst = append(dst, `"infinite_overlap":false,"overlap":`...)
	return strconv.AppendInt(dst, int64(it.overlap), 10)
}

// appendSent writes the members of a task as they were sent, each with a comma
// after it, except for those that the server sets itself. The Python SDK's mark
// of a task's position is not part of a task; logs echo it.
func appendSent(dst, raw []byte, mark bool) ([]byte, error) {
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(raw)
	it, err := d.ObjIter()
	if err != nil {
		return dst, err
	}
	for it.Next() {
		value, err := d.Raw()
		if err != nil {
			return dst, err
		}
		switch string(it.Key()) {
		case "id", "created", "remaining_overlap", "origin_task_id", "overlap", "infinite_overlap":
			continue
		case "__item_idx":
			if !mark {
				continue
			}
		}
		if value.Type() == jx.Null {
			continue
		}
		// A created task has only known keys, with nothing to escape in them.
		dst = append(dst, '"')
		dst = append(dst, it.Key()...)
		dst = append(dst, `":`...)
		dst = append(dst, value...)
		dst = append(dst, ',')
	}
	return dst, it.Err()
}

// A task's id is its number in ten hexadecimal digits, two dashes, and 24 more
// that follow from the number and the time. Ids sort in the order of creation.
func appendTaskID(dst []byte, number uint64, at stamp) []byte {
	dst = appendHex(dst, number, 10)
	dst = append(dst, "--"...)
	dst = appendHex(dst, uint64(at/1000), 8)
	return appendHex(dst, scramble(number), 16)
}

func appendHex(dst []byte, x uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[x>>shift&15])
	}
	return dst
}

// taskNumber reads the number at the start of a task's id, or of what is
// compared with ids.
func taskNumber(id string) (uint64, bool) {
	if len(id) < 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(id[:10], 16, 64)
	return n, err == nil
}
