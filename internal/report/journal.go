package report

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// entry is the rendered result of one row.
type entry struct {
	file     int   // the input's index
	record   int64 // the row's number in it
	line     []byte
	shape    int // the rejected row's shape plus one; 0 where the row is not rejected
	rejected []byte
}

// before reports whether e stands before other in the inputs.
func (e *entry) before(other *entry) bool {
	if e.file != other.file {
		return e.file < other.file
	}
	return e.record < other.record
}

// run is a part of the journal whose entries stand in the order of the inputs.
type run struct {
	offset, length int64
	file           int
	record         int64
}

// journal keeps entries on disk. Each group between begin and end is a run in
// order; merge brings the runs together. It is not safe for concurrent use.
type journal struct {
	f      *os.File
	w      *bufio.Writer
	offset int64
	runs   []run
	open   run
	head   []byte
	err    error
	// nameless says that the file has no name any more, so that it goes with the
	// process, however that ends. Where the system doesn't allow that, remove
	// deletes it.
	nameless bool
}

func newJournal(dir string) (*journal, error) {
	f, err := os.CreateTemp(dir, ".journal-*")
	if err != nil {
		return nil, err
	}
	return &journal{f: f, w: bufio.NewWriterSize(f, 256<<10), nameless: os.Remove(f.Name()) == nil}, nil
}

func (j *journal) begin() { j.open = run{offset: j.offset, file: -1} }

func (j *journal) add(e entry) {
	if j.open.file < 0 {
		j.open.file, j.open.record = e.file, e.record
	}
	j.head = j.head[:0]
	for _, n := range []int64{int64(e.file), e.record, int64(e.shape), int64(len(e.line)), int64(len(e.rejected))} {
		j.head = binary.AppendUvarint(j.head, uint64(n))
	}
	for _, part := range [][]byte{j.head, e.line, e.rejected} {
		n, err := j.w.Write(part)
		j.offset += int64(n)
		if err != nil && j.err == nil {
			j.err = err
		}
	}
}

func (j *journal) end() error {
	j.open.length = j.offset - j.open.offset
	j.runs = append(j.runs, j.open)
	return j.err
}

// remove closes the journal and deletes it.
func (j *journal) remove() error {
	err := j.f.Close()
	if !j.nameless {
		err = errors.Join(err, os.Remove(j.f.Name()))
	}
	return err
}

// merge calls yield for each entry in the order of the inputs. An entry is
// only valid during the call.
//
// Runs are opened when the first of their entries is due. Those that are open
// at once are the ones that overlap: about as many as chunks were in flight.
func (j *journal) merge(yield func(entry) error) error {
	if j.err != nil {
		return j.err
	}
	if err := j.w.Flush(); err != nil {
		return err
	}
	slices.SortFunc(j.runs, func(a, b run) int {
		if a.file != b.file {
			return a.file - b.file
		}
		return int(a.record - b.record)
	})
	var open cursors
	next := 0
	for next < len(j.runs) || len(open) > 0 {
		if next < len(j.runs) && (len(open) == 0 || !open[0].e.before(&entry{file: j.runs[next].file, record: j.runs[next].record})) {
			r := j.runs[next]
			next++
			c := &cursor{r: bufio.NewReaderSize(io.NewSectionReader(j.f, r.offset, r.length), 32<<10)}
			if err := c.advance(); err != nil {
				return err
			}
			heap.Push(&open, c)
			continue
		}
		c := open[0]
		if err := yield(c.e); err != nil {
			return err
		}
		switch err := c.advance(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&open)
		case err != nil:
			return err
		default:
			heap.Fix(&open, 0)
		}
	}
	return nil
}

// cursor reads one run.
type cursor struct {
	r   *bufio.Reader
	e   entry
	buf []byte
}

// advance reads the next entry; io.EOF after the last.
func (c *cursor) advance() error {
	var head [5]uint64
	for i := range head {
		n, err := binary.ReadUvarint(c.r)
		if err != nil {
			if i > 0 {
				err = fmt.Errorf("the journal of results is damaged: %w", err)
			}
			return err
		}
		head[i] = n
	}
	length := int(head[3] + head[4])
	c.buf = slices.Grow(c.buf[:0], length)[:length]
	if _, err := io.ReadFull(c.r, c.buf); err != nil {
		return fmt.Errorf("the journal of results is damaged: %w", err)
	}
	c.e = entry{
		file: int(head[0]), record: int64(head[1]), shape: int(head[2]),
		line: c.buf[:head[3]], rejected: c.buf[head[3]:],
	}
	return nil
}

// cursors is a heap of open runs, the one with the earliest entry first.
type cursors []*cursor

func (c cursors) Len() int           { return len(c) }
func (c cursors) Less(i, j int) bool { return c[i].e.before(&c[j].e) }
func (c cursors) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)        { *c = append(*c, x.(*cursor)) }
func (c *cursors) Pop() any {
	old := *c
	last := old[len(old)-1]
	*c = old[:len(old)-1]
	return last
}
