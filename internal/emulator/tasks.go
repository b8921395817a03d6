package emulator

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-faster/jx"
	"github.com/google/uuid"
)

// upload is one POST /tasks on its way. It is reused with its buffers.
type upload struct {
	account    *account
	parameters taskParameters

	body    bytes.Buffer
	created []byte   // the lines of the good tasks
	refused []byte   // the lines of the others
	starts  []uint32 // as in batch
	items   []item
	pools   []uploadPool
	good    int // how many tasks are to be created
	checker checker
	single  bool // the body is one task and no array
}

// item is where the line of a task begins, among the created or the refused.
type item struct {
	start int
	good  bool
}

// uploadPool is a pool that a request names.
type uploadPool struct {
	id      string
	pool    *pool     // nil where there is none
	spec    *taskSpec // nil where there is no pool
	overlap int32
	created uint32
}

func (u *upload) reset() {
	u.body.Reset()
	u.created, u.refused, u.starts = u.created[:0], u.refused[:0], u.starts[:0]
	u.items, u.pools, u.good = u.items[:0], u.pools[:0], 0
	u.checker.inputBytes, u.checker.outputBytes = 0, 0
}

// maxKeptBytes bounds the buffers that are kept for the next request.
const maxKeptBytes = 16 << 20

// release keeps the upload for another request.
func (a *account) release(u *upload) {
	if u.body.Cap()+cap(u.created)+cap(u.refused) <= maxKeptBytes {
		u.reset()
		a.uploads.Put(u)
	}
}

// taskParameters are the query of a POST /tasks.
type taskParameters struct {
	async, skipInvalid, allowDefaults, openPool bool
	operation                                   string
	fault                                       Fault // what becomes of the operation, if anything
}

func readTaskParameters(query url.Values) (taskParameters, error) {
	var p taskParameters
	for name, value := range map[string]*bool{
		"async_mode":         &p.async,
		"skip_invalid_items": &p.skipInvalid,
		"allow_defaults":     &p.allowDefaults,
		"open_pool":          &p.openPool,
	} {
		switch query.Get(name) {
		case "true":
			*value = true
		case "", "false":
		default:
			return p, invalid(booleanExpected.of(name))
		}
	}
	if id := query.Get("operation_id"); id != "" && p.async {
		parsed, err := uuid.Parse(id)
		if err != nil || len(id) != len(parsed.String()) {
			return p, invalid(uuidExpected.of("operation_id"))
		}
		p.operation = parsed.String()
	}
	return p, nil
}

// createTasks answers POST /tasks.
func (a *account) createTasks(r call) (reply, error) {
	parameters, err := readTaskParameters(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	if r.fault.ownScope() == scopePost {
		parameters.fault = r.fault
	}
	if a.operation(parameters.operation) != nil {
		return reply{}, operationExists(parameters.operation)
	}
	u := a.uploads.Get().(*upload)
	u.parameters = parameters
	committed, err := u.carryOut(r)
	if err != nil || parameters.async {
		a.release(u)
	}
	switch {
	case err != nil:
		return reply{}, err
	case parameters.async:
		return jsonReply(http.StatusAccepted, committed.Operation.submitted())
	}
	return streamReply(http.StatusCreated, func(out *bufio.Writer) error {
		defer a.release(u)
		return u.writeAnswer(out, committed.Batch)
	}), nil
}

// carryOut reads, checks and commits a POST /tasks.
func (u *upload) carryOut(r call) (*entry, error) {
	if err := readBody(&u.body, r); err != nil {
		return nil, err
	}
	u.created = slices.Grow(u.created, u.body.Len())
	if err := u.parse(); err != nil {
		return nil, err
	}
	if !u.parameters.async && u.good == 0 {
		return nil, u.refusal()
	}
	return u.commit()
}

func operationExists(id string) error {
	return conflict(codeOperationExists, "the operation %s exists already", id)
}

// parse checks every task of the body and fills the lines of the upload.
func (u *upload) parse() error {
	limits := u.account.cfg.Limits
	limit := limits.TasksSync
	if u.parameters.async {
		limit = limits.TasksAsync
	}
	err := u.eachTask(func(raw jx.Raw) error {
		if exceeds(len(u.items)+1, limit) {
			return tooLarge("the request has more than %d tasks", limit)
		}
		return u.parseTask(raw)
	})
	switch {
	case err != nil:
		return err
	case len(u.items) == 0:
		return malformed("the request has no tasks")
	case exceeds(u.checker.inputBytes, limits.InputBytes):
		return tooLarge("the request's input_values have %d bytes, more than %d", u.checker.inputBytes, limits.InputBytes)
	case exceeds(u.checker.outputBytes, limits.OutputBytes):
		return tooLarge("the request's output_values have %d bytes, more than %d", u.checker.outputBytes, limits.OutputBytes)
	}
	if err := u.checkPools(); err != nil {
		return err
	}
	if len(u.refused) > 0 && !u.parameters.skipInvalid || u.parameters.fault.Name != "" {
		u.createNone()
	}
	return nil
}

// eachTask calls visit for every task of the body.
func (u *upload) eachTask(visit func(raw jx.Raw) error) error {
	body := bytes.TrimSpace(u.body.Bytes())
	if bytes.IndexByte(body, '\n') >= 0 || bytes.IndexByte(body, '\t') >= 0 {
		if err := onOneLine(body); err != nil {
			return err
		}
	}
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(body)
	one := func(d *jx.Decoder) error {
		raw, err := d.Raw()
		if err != nil {
			return err
		}
		return visit(bytes.TrimSpace(raw))
	}
	var err error
	switch u.single = body[0] == '{'; {
	case u.single:
		err = one(d)
	case body[0] == '[':
		err = d.Arr(one)
	default:
		return malformed("the body is neither a task nor an array of tasks")
	}
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		return refused
	case err != nil:
		return malformed("the body is no JSON: %v", err)
	case d.Next() != jx.Invalid:
		return malformed("the body goes on after its end")
	}
	return nil
}

// onOneLine replaces line ends and tabs between the tokens of a JSON text by
// blanks; within its strings there can be none.
func onOneLine(text []byte) error {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return malformed("the body is no JSON: %v", err)
	}
	for i, c := range text {
		if c < ' ' {
			text[i] = ' '
		}
	}
	return nil
}

// parseTask checks one task and adds its line.
func (u *upload) parseTask(raw jx.Raw) error {
	task, err := splitTask(raw)
	if err != nil {
		return malformed("task %d is no object: %v", len(u.items), err)
	}
	in := u.poolOf(task.members[memberPool])
	c := &u.checker
	if err := c.check(&task, in.spec, u.parameters.allowDefaults); err != nil {
		return malformed("task %d is no JSON: %v", len(u.items), err)
	}
	if len(c.errs) > 0 {
		errs, err := json.Marshal(byField(c.errs))
		if err != nil {
			return err
		}
		u.items = append(u.items, item{len(u.refused), false})
		u.refused = appendLine(append(u.refused, raw...), errs)
		return nil
	}
	overlap := c.overlap
	if overlap == overlapAbsent {
		overlap = in.overlap
	}
	if u.good%groupLines == 0 {
		u.starts = append(u.starts, uint32(len(u.created)))
	}
	u.items = append(u.items, item{len(u.created), true})
	u.created = appendLine(task.appendKept(u.created, overlap), task.members[memberMark])
	in.created++
	u.good++
	return nil
}

// appendLine ends the line of a task, after the task itself: with the SDK's mark
// of a good one, or the errors of a refused one.
func appendLine(dst, note []byte) []byte {
	dst = append(dst, '\t')
	dst = append(dst, note...)
	return append(dst, '\n')
}

// poolOf finds the pool that a task names; one that is absent has no id.
func (u *upload) poolOf(raw jx.Raw) *uploadPool {
	var id []byte
	if raw.Type() == jx.String {
		id = raw[1 : len(raw)-1] // an id has nothing to unescape
	}
	for i := range u.pools {
		if u.pools[i].id == string(id) {
			return &u.pools[i]
		}
	}
	found := uploadPool{id: string(id)}
	if p := u.account.poolNow(found.id); p != nil {
		found.pool, found.spec, found.overlap = p, p.spec, p.defaultOverlap()
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
			return conflict(codeInappropriateStatus, "pool %s is archived", in.id)
		case !in.pool.Fields.present("mixer_config"):
			return conflict(codeMixerConfigRequired, "pool %s has no mixer_config, without which it takes no tasks", in.id)
		}
	}
	return nil
}

// createNone takes back that the good tasks would be created.
func (u *upload) createNone() {
	u.created, u.starts, u.good = u.created[:0], u.starts[:0], 0
	for i := range u.pools {
		u.pools[i].created = 0
	}
}

// refusal is the answer to a synchronous request that creates nothing: the
// errors by position, or flat where the request was one task.
func (u *upload) refusal() error {
	e := malformed("Validation failed")
	payload := make(map[int]json.RawMessage)
	for position, errs := range u.errors() {
		payload[position] = bytes.Clone(errs) // the buffers are reused
	}
	if e.payload = payload; u.single {
		e.payload = payload[0]
	}
	return e
}

// commit carries the checked request out.
func (u *upload) commit() (*entry, error) {
	a := u.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.operations[u.parameters.operation] != nil {
		return nil, operationExists(u.parameters.operation)
	}
	for _, in := range u.pools {
		if in.created > 0 && exceeds(in.pool.tasks.count+int(in.created), a.cfg.Limits.PoolTasks) {
			return nil, conflict(codePoolTasksExceeded, "pool %s would have more than %d tasks", in.id, a.cfg.Limits.PoolTasks)
		}
	}
	now, at := a.now()
	if err := a.quota.refusal(now, u.good); err != nil {
		return nil, err
	}
	e := u.entry(at)
	if u.parameters.fault.Name == FaultOpVanish {
		return e, nil
	}
	if err := a.commit(e, u.created, u.refused); err != nil {
		return nil, err
	}
	a.quota.tasks(now, u.good)
	return e, nil
}

// entry describes what the request changes. It needs the account's lock.
func (u *upload) entry(at stamp) *entry {
	a, parameters := u.account, u.parameters
	b := &batch{
		Items: uint32(len(u.items)), Created: uint32(u.good), First: a.state.nextTask, At: at, Visible: at,
		Starts: slices.Clone(append(u.starts, uint32(len(u.created)))),
	}
	for _, in := range u.pools {
		if in.created > 0 {
			b.Pools = append(b.Pools, poolCount{in.pool.ID, in.created})
		}
	}
	e := &entry{Batch: b}
	if parameters.async {
		b.Visible = at + stamp(a.cfg.OperationTime/time.Millisecond)
		e.Operation = &operation{
			ID: cmp.Or(parameters.operation, uuid.NewString()), Type: typeTaskBatchCreate,
			Submitted: at, Finished: b.Visible, Fail: u.good == 0,
			Skip: parameters.skipInvalid, Defaults: parameters.allowDefaults, Open: parameters.openPool,
			batch: b,
		}
		if parameters.fault.Name == FaultOpStuck {
			e.Operation.Finished = never
		}
	}
	if parameters.openPool && parameters.fault.Name == "" {
		u.openPools(e)
	}
	return e
}

// openPools opens the pools that a request names once its tasks are
// there, and notes where that fails.
func (u *upload) openPools(e *entry) {
	for _, in := range u.pools {
		p := u.account.state.pool(in.id)
		if p == nil {
			continue
		}
		current := p.at(e.Batch.At)
		current.tasks = &poolTasks{count: p.tasks.count + int(in.created)}
		var err error
		if current.tasks.count == 0 {
			err = emptyPool() // whatever its status
		} else if err = current.refuses(transitions["open"]); err == nil {
			current.Next, current.NextAt = poolOpen, e.Batch.Visible
			e.Pools = append(e.Pools, current)
		}
		if e.Operation != nil {
			e.Operation.Opened = append(e.Operation.Opened, newPoolOpened(p.ID, e.Operation, err))
		}
	}
}

// writeAnswer writes the answer to a synchronous request: the task, or all of
// them by position together with the errors.
func (u *upload) writeAnswer(out *bufio.Writer, b *batch) error {
	if u.single {
		for _, task := range u.tasks(b) {
			out.Write(task)
		}
		return nil
	}
	out.WriteString(`{"items":`)
	writeByPosition(out, u.tasks(b))
	out.WriteString(`,"validation_errors":`)
	writeByPosition(out, u.errors())
	return out.WriteByte('}')
}

// tasks returns the created tasks by position. Each is valid until the next.
func (u *upload) tasks(b *batch) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		t := storedTask{batch: b, number: b.First}
		var task []byte
		for position, it := range u.items {
			if !it.good {
				continue
			}
			t.line, _ = nextLine(u.created[it.start:])
			if task = t.append(task[:0]); !yield(position, task) {
				return
			}
			t.number++
		}
	}
}

// errors returns the errors of the refused tasks by position.
func (u *upload) errors() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for position, it := range u.items {
			if it.good {
				continue
			}
			if refused, _ := nextLine(u.refused[it.start:]); !yield(position, refused.note) {
				return
			}
		}
	}
}

// writeByPosition writes a JSON object whose keys are positions.
func writeByPosition(out *bufio.Writer, members iter.Seq2[int, []byte]) {
	separator := byte('{')
	for position, value := range members {
		out.WriteByte(separator)
		out.Write(append(strconv.AppendInt(append(out.AvailableBuffer(), '"'), int64(position), 10), `":`...))
		out.Write(value)
		separator = ','
	}
	if separator == '{' {
		out.WriteByte(separator)
	}
	out.WriteByte('}')
}
