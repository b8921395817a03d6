package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// line is what the file has of one task: JSON, a tab and a note. A created task
// has what was sent and is kept of it, ends with its overlap, and its note is
// the SDK's mark; of a refused one there are all that was sent and its errors.
type line struct {
	task, note []byte
}

// nextLine cuts the first line from what a batch has.
func nextLine(raw []byte) (_ line, rest []byte) {
	text, rest, _ := bytes.Cut(raw, []byte{'\n'})
	task, note, _ := bytes.Cut(text, []byte{'\t'})
	return line{task, note}, rest
}

// overlap returns the overlap of a created task: a number, or true where it is
// infinite.
func (l line) overlap() []byte {
	return l.task[bytes.LastIndexByte(l.task, ':')+1 : len(l.task)-1]
}

// storedTask is a created task.
type storedTask struct {
	line
	batch  *batch
	number uint64
}

// append writes the task as the API answers with it: what was sent, and what the
// server knows of it.
func (t *storedTask) append(dst []byte) []byte {
	dst = append(dst, t.task[:len(t.task)-1]...)
	if overlap := t.overlap(); string(overlap) != "true" {
		dst = append(dst, `,"remaining_overlap":`...)
		dst = append(dst, overlap...)
	}
	dst = append(dst, `,"id":"`...)
	dst = t.appendID(dst)
	dst = append(dst, `","created":"`...)
	dst = t.batch.At.time().AppendFormat(dst, timeLayout)
	return append(dst, `"}`...)
}

// A task's id is its number in ten hexadecimal digits, two dashes, and 24 more
// that follow from the number and the time. Ids sort in the order of creation.
func (t *storedTask) appendID(dst []byte) []byte {
	dst = appendHex(dst, t.number, 10)
	dst = append(dst, "--"...)
	dst = appendHex(dst, uint64(t.batch.At/1000), 8)
	return appendHex(dst, scramble(t.number), 16)
}

func appendHex(dst []byte, x uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[x>>shift&15])
	}
	return dst
}

func (t *storedTask) id() string { return string(t.appendID(nil)) }

// taskNumber reads the number at the start of a task's id, or of what is
// compared with ids.
func taskNumber(id string) (uint64, bool) {
	if len(id) < 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(id[:10], 16, 64)
	return n, err == nil
}

// isIn reports whether the task is in a pool, one of its batch.
func (t *storedTask) isIn(pool uint32) bool {
	return len(t.batch.Pools) == 1 || bytes.HasPrefix(t.task, fmt.Appendf(nil, `{"pool_id":"%d",`, pool))
}

// key returns the value of a field as a query compares it.
func (t *storedTask) key(field string) string {
	switch field {
	case "id":
		return t.id()
	case "pool_id":
		i := slices.IndexFunc(t.batch.Pools, func(c poolCount) bool { return t.isIn(c.Pool) })
		return numberKey(uint64(t.batch.Pools[i].Pool))
	case "created":
		return t.batch.At.time().Format(keyLayout)
	}
	n, err := strconv.ParseUint(string(t.overlap()), 10, 32)
	if err != nil {
		n = math.MaxInt64 // an infinite one is more than any number
	}
	return numberKey(n)
}

// group is some neighbouring tasks of a batch, read from the file. It is reused.
type group struct {
	raw   []byte
	lines []line
}

// load reads a group of created tasks, or, behind the last one, the refused.
func (g *group) load(b *batch, n int) (err error) {
	end := b.data.length
	if n+1 < len(b.Starts) {
		end = int64(b.Starts[n+1])
	}
	if g.raw, err = b.data.read(g.raw, int64(b.Starts[n]), end); err != nil {
		return err
	}
	g.lines = g.lines[:0]
	for rest := g.raw; len(rest) > 0; {
		var l line
		l, rest = nextLine(rest)
		g.lines = append(g.lines, l)
	}
	return nil
}

// taskRange is some tasks in the order of their numbers, or in the opposite one.
type taskRange struct {
	pool       uint32 // 0 is every pool
	lo, hi     uint64 // numbers, both included
	descending bool
}

// everyTask returns the range of all tasks of a pool.
func everyTask(pool uint32) taskRange { return taskRange{pool: pool, hi: math.MaxUint64} }

// stored returns the tasks that can be seen now, up to the first error. Each is
// valid until the next.
func (a *account) stored(tr taskRange) iter.Seq2[*storedTask, error] {
	a.mu.RLock()
	_, now := a.now()
	batches := a.state.batches
	if tr.pool != 0 {
		batches = nil
		if p := a.state.pools[tr.pool]; p != nil {
			batches = p.tasks.batches
		}
	}
	a.mu.RUnlock()

	from := firstBatch(batches, tr.lo)
	to := max(from, min(firstBatch(batches, tr.hi)+1, len(batches)))
	return func(yield func(*storedTask, error) bool) {
		var g group
		for i := range indices(from, to, tr.descending) {
			b := batches[i]
			if b.Visible > now {
				continue
			}
			first := int(max(tr.lo, b.First)-b.First) / groupLines
			last := int(min(tr.hi-b.First, uint64(b.Created-1))) / groupLines
			for n := range indices(first, last+1, tr.descending) {
				if err := g.load(b, n); err != nil {
					yield(nil, err)
					return
				}
				for k := range indices(0, len(g.lines), tr.descending) {
					t := &storedTask{g.lines[k], b, b.First + uint64(n*groupLines+k)}
					if t.number < tr.lo || t.number > tr.hi || tr.pool != 0 && !t.isIn(tr.pool) {
						continue
					}
					if !yield(t, nil) {
						return
					}
				}
			}
		}
	}
}

// indices counts from lo up to hi, which is not included, or down to lo.
func indices(lo, hi int, descending bool) iter.Seq[int] {
	return func(yield func(int) bool) {
		for n := range hi - lo {
			i := lo + n
			if descending {
				i = hi - 1 - n
			}
			if !yield(i) {
				return
			}
		}
	}
}

func (a *account) getTask(r call) (reply, error) {
	id := r.PathValue("id")
	n, _ := taskNumber(id)
	for t, err := range a.stored(taskRange{lo: n, hi: n}) {
		if err != nil {
			return reply{}, err
		}
		if t.id() == id {
			return reply{status: http.StatusOK, contentType: jsonType, body: t.append(nil)}, nil
		}
	}
	return reply{}, notFound("task", id)
}

var taskListing = listing{
	fields:       map[string]valueKind{"id": textValue, "pool_id": numberValue, "created": timeValue, "overlap": numberValue},
	sortable:     []string{"id", "created"},
	defaultLimit: 50,
	maxLimit:     100_000,
}

// listTasks answers GET /tasks. Nothing is held in memory but a group of tasks.
func (a *account) listTasks(r call) (reply, error) {
	q, err := taskListing.parse(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	tr, err := taskRangeOf(q)
	if err != nil {
		return reply{}, err
	}
	hasMore := false
	page := func(yield func([]byte, error) bool) {
		var item []byte
		count := 0
		for t, err := range a.stored(tr) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !q.matches(t.key) {
				continue
			}
			if hasMore = count == q.limit; hasMore {
				return
			}
			count++
			if item = t.append(item[:0]); !yield(item, nil) {
				return
			}
		}
	}
	return streamReply(http.StatusOK, func(out *bufio.Writer) error {
		out.WriteString(`{"items":`)
		if err := writeArray(out, page); err != nil {
			return err
		}
		fmt.Fprintf(out, `,"has_more":%t}`, hasMore)
		return nil
	}), nil
}

// taskRangeOf finds where to begin and end, so that paging by id reads only
// the page. The filters decide exactly.
func taskRangeOf(q query) (taskRange, error) {
	tr := everyTask(0)
	tr.descending = q.sort[0].descending
	for _, by := range q.sort {
		// The order of creation is the order of ids.
		if by.descending != tr.descending {
			return tr, invalid(valueNotAllowed.saying("the emulator sorts tasks in one direction at a time").of("sort"))
		}
	}
	for _, f := range q.filters {
		switch f.field {
		case "pool_id":
			n, err := strconv.ParseUint(f.value, 10, 32)
			if f.op != "" || err != nil {
				return tr, invalid(valueNotAllowed.saying("the pool's id is one number").of("pool_id"))
			}
			tr.pool = uint32(n)
		case "id":
			n, ok := taskNumber(f.value)
			if !ok {
				continue
			}
			if f.op == "" || f.op == "gt" || f.op == "gte" {
				tr.lo = max(tr.lo, n)
			}
			if f.op == "" || f.op == "lt" || f.op == "lte" {
				tr.hi = min(tr.hi, n)
			}
		}
	}
	return tr, nil
}

// Task is one task of a pool, for those who count what is there.
type Task struct {
	ID      string
	PoolID  string
	Created time.Time
	// JSON is the task as GET /tasks/{id} answers with it.
	JSON json.RawMessage
}

// Tasks returns all tasks of a pool that can be seen now, in the order of their
// creation. It reads from the file and ends with the first error.
func (s *Server) Tasks(poolID string) iter.Seq2[Task, error] {
	return func(yield func(Task, error) bool) {
		pool := number(poolID)
		if pool == 0 {
			return // no pool has such an id
		}
		for t, err := range s.stored(everyTask(pool)) {
			if err != nil {
				yield(Task{}, err)
				return
			}
			if !yield(Task{t.id(), poolID, t.batch.At.time(), t.append(nil)}, nil) {
				return
			}
		}
	}
}
