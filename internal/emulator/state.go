package emulator

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"time"
)

// timeLayout is how Toloka writes times: UTC without a zone.
const timeLayout = "2006-01-02T15:04:05.000"

// stamp is a moment in milliseconds since 1970, as exact as answers are.
type stamp int64

// never is a moment that doesn't come.
const never stamp = math.MaxInt64

func stampOf(t time.Time) stamp { return stamp(t.UnixMilli()) }

func (s stamp) time() time.Time { return time.UnixMilli(int64(s)).UTC() }

func (s stamp) String() string { return s.time().Format(timeLayout) }

// entry is what one request changed. It goes to the state file whole, so a
// request is carried out wholly or not at all.
type entry struct {
	Project   *project   `json:"project,omitempty"`
	Pools     []pool     `json:"pools,omitempty"`
	Operation *operation `json:"operation,omitempty"`
	Batch     *batch     `json:"batch,omitempty"`
}

// fields are the properties of a project or a pool that the client sets.
type fields map[string]json.RawMessage

// text returns a property that is a string, or "".
func (f fields) text(name string) string {
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return ""
	}
	return s
}

// set sets a property to a plain text.
func (f fields) set(name, text string) {
	f[name] = json.RawMessage(`"` + text + `"`)
}

// present reports whether a property is there and not null.
func (f fields) present(name string) bool {
	raw := f[name]
	return len(raw) > 0 && string(raw) != "null"
}

// project is immutable: a change makes a new one.
type project struct {
	ID      uint32 `json:"id"`
	Created stamp  `json:"created"`
	Fields  fields `json:"fields"`

	spec *taskSpec
}

// pool is immutable: a change makes a new one.
type pool struct {
	ID      uint32 `json:"id"`
	Project uint32 `json:"project"`
	Created stamp  `json:"created"`
	Fields  fields `json:"fields"`
	Status  string `json:"status"`
	// Next is the status that an operation under way gives the pool at NextAt.
	Next        string `json:"next,omitempty"`
	NextAt      stamp  `json:"next_at,omitempty"`
	LastStarted stamp  `json:"last_started,omitempty"`
	LastStopped stamp  `json:"last_stopped,omitempty"`

	// spec is the project's as it was when the pool was made: a pool keeps it.
	spec *taskSpec
	// tasks are the pool's own over all its versions.
	tasks *poolTasks
}

// poolTasks is what grows in a pool.
type poolTasks struct {
	count   int
	batches []*batch
}

// The states of a pool.
const (
	poolOpen     = "OPEN"
	poolClosed   = "CLOSED"
	poolArchived = "ARCHIVED"
)

// at returns the pool as it is at a moment: with what operations did by then.
func (p pool) at(now stamp) pool {
	if p.Next == "" || now < p.NextAt {
		return p
	}
	switch p.Next {
	case poolOpen:
		p.LastStarted = p.NextAt
	case poolClosed:
		p.LastStopped = p.NextAt
	}
	p.Status, p.Next, p.NextAt = p.Next, "", 0
	return p
}

// defaultOverlap is the overlap of a task that has none. The Python SDK sets
// only the default of task suites, which serves as well.
func (p pool) defaultOverlap() int32 {
	var defaults struct {
		Tasks  int32 `json:"default_overlap_for_new_tasks"`
		Suites int32 `json:"default_overlap_for_new_task_suites"`
	}
	// Defaults of another form are none.
	_ = json.Unmarshal(p.Fields["defaults"], &defaults)
	if defaults.Tasks > 0 {
		return defaults.Tasks
	}
	return max(defaults.Suites, minOverlap)
}

// batch is the tasks that one request created, or, where none were created, the
// reasons why. Its data in the file are lines, first those of the created tasks
// in their order and then those of the refused ones; storedTask has their form.
type batch struct {
	Items   uint32 `json:"items"`
	Created uint32 `json:"created"`
	First   uint64 `json:"first"` // the number of the first created task; the others follow
	At      stamp  `json:"at"`
	// Visible is when the tasks can be seen; later than At while an operation runs.
	Visible stamp `json:"visible"`
	// Starts is where in the data each group of groupLines created tasks begins,
	// and behind them the refused ones.
	Starts []uint32 `json:"starts"`
	// Pools has how many tasks were created in each pool.
	Pools []poolCount `json:"pools,omitempty"`

	data section
}

// groupLines is how many tasks are read from the file at once.
const groupLines = 256

type poolCount struct {
	Pool    uint32 `json:"pool"`
	Created uint32 `json:"created"`
}

// operation is a job of the server. Its state follows from the time alone.
type operation struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Submitted stamp  `json:"submitted"`
	Finished  stamp  `json:"finished"`
	Fail      bool   `json:"fail,omitempty"`

	// Pool is the pool of a pool's operation, Clone the copy that it made.
	Pool  uint32 `json:"pool,omitempty"`
	Clone uint32 `json:"clone,omitempty"`

	// The parameters of a POST /tasks.
	Skip     bool `json:"skip,omitempty"`
	Defaults bool `json:"defaults,omitempty"`
	Open     bool `json:"open,omitempty"`
	// Opened are the entries of the log for the pools that were to be opened.
	Opened []poolOpened `json:"opened,omitempty"`

	batch *batch
	// What the script did to the log, under the server's lock.
	logRead, logArchived bool
}

// state is everything that the server knows. It changes only by apply, both for
// new requests and when a state file is read.
type state struct {
	projects   map[uint32]*project
	pools      map[uint32]*pool
	operations map[string]*operation
	batches    []*batch // with at least one task, by First
	nextTask   uint64
	nextID     uint32 // of projects and pools
	last       stamp  // the latest moment of any change
}

func newState() *state {
	return &state{
		projects:   make(map[uint32]*project),
		pools:      make(map[uint32]*pool),
		operations: make(map[string]*operation),
		nextTask:   1,
		nextID:     1,
	}
}

func (st *state) apply(e *entry, data section) error {
	if e.Project != nil {
		spec, err := compileTaskSpec(e.Project.Fields["task_spec"])
		if err != nil {
			return err
		}
		e.Project.spec = spec
		st.projects[e.Project.ID] = e.Project
		st.saw(e.Project.ID, e.Project.Created)
	}
	for i := range e.Pools {
		if err := st.applyPool(&e.Pools[i]); err != nil {
			return err
		}
	}
	if e.Batch != nil {
		e.Batch.data = data
		st.applyBatch(e.Batch)
	}
	if e.Operation != nil {
		e.Operation.batch = e.Batch
		st.operations[e.Operation.ID] = e.Operation
		st.saw(0, e.Operation.Submitted)
	}
	return nil
}

func (st *state) applyPool(p *pool) error {
	if old := st.pools[p.ID]; old != nil {
		p.spec, p.tasks = old.spec, old.tasks
	} else {
		owner := st.projects[p.Project]
		if owner == nil {
			return fmt.Errorf("pool %d belongs to project %d, which does not exist", p.ID, p.Project)
		}
		p.spec, p.tasks = owner.spec, new(poolTasks)
	}
	st.pools[p.ID] = p
	st.saw(p.ID, p.Created)
	return nil
}

func (st *state) applyBatch(b *batch) {
	st.saw(0, b.At)
	if b.Created == 0 {
		return
	}
	st.batches = append(st.batches, b)
	st.nextTask = b.First + uint64(b.Created)
	for _, part := range b.Pools {
		if p := st.pools[part.Pool]; p != nil {
			p.tasks.count += int(part.Created)
			p.tasks.batches = append(p.tasks.batches, b)
		}
	}
}

func (st *state) saw(id uint32, at stamp) {
	st.nextID = max(st.nextID, id+1)
	st.last = max(st.last, at)
}

// firstBatch returns the index of the first batch with a task that has the number
// or a later one.
func firstBatch(batches []*batch, number uint64) int {
	return sort.Search(len(batches), func(i int) bool {
		return batches[i].First+uint64(batches[i].Created) > number
	})
}

// project and pool look up by the id on the wire.
func (st *state) project(id string) *project { return st.projects[number(id)] }

func (st *state) pool(id string) *pool { return st.pools[number(id)] }

// number reads the id of a project or a pool; 0, which none has, where it is
// not in the form that the server writes.
func number(id string) uint32 {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != id {
		return 0
	}
	return uint32(n)
}

func formatNumber(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
