package emulator

import (
	"bufio"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// chunkItems is how many tasks are read from the file at once.
const chunkItems = 256

// chunk is some neighbouring tasks of a batch, read from the file.
type chunk struct {
	batch  *batch
	items  []item
	table  []byte
	body   []byte
	errors []byte
}

// load reads the tasks of a request from lo up to, not including, hi.
func (c *chunk) load(b *batch, lo, hi int) (err error) {
	c.batch = b
	c.items = c.items[:0]
	if lo >= hi {
		return nil
	}
	if c.table, err = b.data.sub(int64(lo)*itemSize, int64(hi)*itemSize).read(c.table); err != nil {
		return err
	}
	for raw := range slices.Chunk(c.table, itemSize) {
		c.items = append(c.items, readItem(raw))
	}
	first, last := c.items[0], c.items[len(c.items)-1]
	errorsAt := int64(b.Items) * itemSize
	if c.errors, err = b.data.sub(errorsAt+int64(first.errStart), errorsAt+int64(last.errEnd)).read(c.errors); err != nil {
		return err
	}
	bodyAt := errorsAt + int64(b.ErrorBytes)
	c.body, err = b.data.sub(bodyAt+int64(first.start), bodyAt+int64(last.end)).read(c.body)
	return err
}

func (c *chunk) task(i int) []byte {
	base := c.items[0].start
	return c.body[c.items[i].start-base : c.items[i].end-base]
}

func (c *chunk) taskErrors(i int) []byte {
	base := c.items[0].errStart
	return c.errors[c.items[i].errStart-base : c.items[i].errEnd-base]
}

func (c *chunk) render(dst []byte, i int) ([]byte, error) {
	return c.batch.appendTask(dst, c.items[i], c.task(i))
}

// taskRange is some tasks in the order of their numbers, or in the opposite one.
type taskRange struct {
	pool       uint32 // 0 is every pool
	lo, hi     uint64 // numbers, both included
	descending bool
}

// each calls visit for the tasks that can be seen now, until it gives false.
func (s *Server) each(tr taskRange, visit func(c *chunk, i int) (more bool, err error)) error {
	s.mu.RLock()
	_, now := s.now()
	batches := s.state.batches
	if tr.pool != 0 {
		batches = nil
		if p := s.state.pools[tr.pool]; p != nil {
			batches = p.tasks.batches
		}
	}
	s.mu.RUnlock()

	from := firstBatch(batches, tr.lo)
	to := firstBatch(batches, tr.hi)
	if to < len(batches) {
		to++
	}
	c := new(chunk)
	for n := range max(to-from, 0) {
		b := batches[from+n]
		if tr.descending {
			b = batches[to-1-n]
		}
		if b.Visible > now {
			continue
		}
		more, err := b.each(c, tr, visit)
		if !more || err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) each(c *chunk, tr taskRange, visit func(c *chunk, i int) (bool, error)) (more bool, err error) {
	// The task with a number stands at its ordinal or behind it, where others
	// were refused before it.
	begin := 0
	if tr.lo > b.First {
		begin = int(tr.lo - b.First)
	}
	parts := (int(b.Items) - begin + chunkItems - 1) / chunkItems
	for n := range parts {
		part := n
		if tr.descending {
			part = parts - 1 - n
		}
		lo := begin + part*chunkItems
		if err := c.load(b, lo, min(lo+chunkItems, int(b.Items))); err != nil {
			return false, err
		}
		for k := range c.items {
			i := k
			if tr.descending {
				i = len(c.items) - 1 - k
			}
			it := c.items[i]
			number := b.First + uint64(max(it.ordinal, 0))
			if it.ordinal < 0 || tr.pool != 0 && it.pool != tr.pool || number < tr.lo || number > tr.hi {
				continue
			}
			if more, err := visit(c, i); !more || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// everyTask is the range of all tasks.
func everyTask() taskRange { return taskRange{hi: math.MaxUint64} }

func (s *Server) getTask(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	n, _ := taskNumber(id)
	var found []byte
	err := s.each(taskRange{lo: n, hi: n}, func(c *chunk, i int) (bool, error) {
		if c.id(i) != id {
			return false, nil
		}
		var err error
		found, err = c.render(nil, i)
		return false, err
	})
	switch {
	case err != nil:
		return err
	case found == nil:
		return notFound("task", id)
	}
	writeRaw(w, http.StatusOK, found)
	return nil
}

func (c *chunk) id(i int) string {
	return string(appendTaskID(nil, c.batch.First+uint64(c.items[i].ordinal), c.batch.At))
}

var taskListing = listing{
	fields:       map[string]valueKind{"id": textValue, "pool_id": numberValue, "created": timeValue, "overlap": numberValue},
	sortable:     []string{"id", "created"},
	defaultLimit: 50,
	maxLimit:     100_000,
}

// listTasks answers GET /tasks. Nothing is held in memory but a part of a batch.
func (s *Server) listTasks(w http.ResponseWriter, r *http.Request) error {
	q, err := taskListing.parse(r.URL.Query())
	if err != nil {
		return err
	}
	tr, err := taskRangeOf(q)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	out := bufio.NewWriterSize(w, 64<<10)
	task := append([]byte(nil), `{"items":[`...)
	count, hasMore := 0, false
	err = s.each(tr, func(c *chunk, i int) (bool, error) {
		if !q.matches(func(field string) string { return c.key(i, field) }) {
			return true, nil
		}
		if hasMore = count == q.limit; hasMore {
			return false, nil
		}
		count++
		if task, err = c.render(task, i); err != nil {
			return false, err
		}
		_, err := out.Write(task)
		task = append(task[:0], ',')
		return true, err
	})
	if err != nil {
		return err
	}
	if count == 0 {
		if _, err := out.Write(task); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(out, `],"has_more":%t}`, hasMore); err != nil {
		return err
	}
	return out.Flush()
}

func (c *chunk) key(i int, field string) string {
	switch field {
	case "id":
		return c.id(i)
	case "pool_id":
		return numberKey(uint64(c.items[i].pool))
	case "created":
		return timeKey(c.batch.At)
	}
	if c.items[i].overlap == overlapInfinite {
		return numberKey(math.MaxInt64) // more than any number
	}
	return numberKey(uint64(c.items[i].overlap))
}

// taskRangeOf finds where to begin and end, so that paging by id reads only
// the page. The filters decide exactly.
func taskRangeOf(q query) (taskRange, error) {
	tr := everyTask()
	tr.descending = q.sort[0].descending
	for _, by := range q.sort {
		// The order of creation is the order of ids.
		if by.descending != tr.descending {
			return tr, invalid(fieldError{"sort", codeValueNotAllowed, "the emulator sorts tasks in one direction at a time", nil})
		}
	}
	for _, f := range q.filters {
		switch f.field {
		case "pool_id":
			n, err := strconv.ParseUint(f.value, 10, 32)
			if f.op != "" || err != nil {
				return tr, invalid(fieldError{"pool_id", codeValueNotAllowed, "the pool's id is one number", nil})
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
	// JSON is the task as GET /tasks/{id} gives it.
	JSON json.RawMessage
}

// Tasks gives all tasks of a pool that can be seen now, in the order of their
// creation. It reads from the file and ends with the first error.
func (s *Server) Tasks(poolID string) iter.Seq2[Task, error] {
	return func(yield func(Task, error) bool) {
		tr := everyTask()
		if tr.pool = number(poolID); tr.pool == 0 {
			return // no pool has such an id
		}
		err := s.each(tr, func(c *chunk, i int) (bool, error) {
			raw, err := c.render(nil, i)
			if err != nil {
				return false, err
			}
			return yield(Task{c.id(i), poolID, c.batch.At.time(), raw}, nil), nil
		})
		if err != nil {
			yield(Task{}, err)
		}
	}
}
