// Package batcher groups tasks into chunks, each of which is one request.
//
// What goes in: reader.Tasks, in file order. What comes out: Chunks, whose
// bodies are ready to be sent. A chunk is cut by the number of its tasks and by
// both of Toloka's byte limits, never by a timer, so that the same input always
// makes the same chunks: their operation ids depend on it.
//
// Memory: one chunk is being filled, and each chunk that is given out holds
// its body and the rows as they stood in the input. That is at most about
//
//	MaxInputBytes + MaxOutputBytes + MaxRawBytes + 200 bytes × MaxTasks
//
// in one chunk. Recycled chunks lend their buffers to later ones.
package batcher

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/go-faster/jx"
	"github.com/zeebo/xxh3"

	"poolfill/internal/contract"
	"poolfill/internal/identity"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// DefaultMaxRawBytes bounds the rows as they stood in the input that one chunk
// keeps for the file of rejected rows.
const DefaultMaxRawBytes = 8 << 20

// Config bounds the chunks. The zero value of each limit means Toloka's
// documented one.
type Config struct {
	// PoolID is the pool that the tasks are for. It must not be empty.
	PoolID string
	// MaxTasks is the most tasks in a chunk; 0 means 5,000, the most that a
	// synchronous request may hold.
	MaxTasks int
	// MaxInputBytes bounds the JSON of all input_values of a chunk; 0 means
	// 1,048,576.
	MaxInputBytes int
	// MaxOutputBytes bounds the JSON of all output_values of a chunk; 0 means
	// 4,194,304.
	MaxOutputBytes int
	// MaxRawBytes bounds the rows that a chunk keeps as they stood in the
	// input, except that a chunk always takes one; 0 means 8 MiB. It is a bound
	// on memory and only cuts where columns that are not sent are wide.
	MaxRawBytes int
	// Buffers are what chunks are made in; nil means the Batcher's own. Batchers
	// that follow each other, or work at the same time, can have them in common.
	Buffers *Buffers
	// ItemIndex returns each task the key "__item_idx" with its index in the
	// chunk. Asynchronous operations echo it in their log.
	ItemIndex bool
	// DefaultOverlap is what the pool gives a task without an overlap of its own; 0
	// where that isn't known. It makes a task equal to one that names that overlap.
	DefaultOverlap int
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.PoolID == "" {
		errs = append(errs, errors.New("the pool's id is empty"))
	}
	for _, limit := range []struct {
		name  string
		value int
	}{
		{"tasks in a chunk", c.MaxTasks},
		{"input bytes in a chunk", c.MaxInputBytes},
		{"output bytes in a chunk", c.MaxOutputBytes},
		{"kept bytes in a chunk", c.MaxRawBytes},
	} {
		if limit.value < 0 {
			errs = append(errs, fmt.Errorf("the limit of %s is negative: %d", limit.name, limit.value))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.MaxTasks == 0 {
		c.MaxTasks = contract.MaxTasksSync
	}
	if c.MaxInputBytes == 0 {
		c.MaxInputBytes = contract.MaxInputBytes
	}
	if c.MaxOutputBytes == 0 {
		c.MaxOutputBytes = contract.MaxOutputBytes
	}
	if c.MaxRawBytes == 0 {
		c.MaxRawBytes = DefaultMaxRawBytes
	}
	if c.Buffers == nil {
		c.Buffers = new(Buffers)
	}
	return c
}

// Batcher fills one chunk after the other. It is not safe for concurrent use,
// except for Recycle.
type Batcher struct {
	cfg    Config
	prefix []byte // a task's opening brace and pool_id
	next   int    // the number of the chunk that is being filled
	open   *Chunk // nil between chunks
	// place stands for the rows of the current input that were added so far.
	place Key

	// The overlap that was summed up last, as most tasks have the same.
	overlap    int
	overlapSum identity.Sum
}

// Buffers lend later chunks what earlier ones don't need any more. They hold as
// many as were in use at once. The zero value is ready; they are safe for
// concurrent use.
//
// The collector would empty a sync.Pool several times a second, and the buffers
// of every chunk would have to grow again.
type Buffers struct {
	mu   sync.Mutex
	free []*Chunk

	largest sizes // so far: a new chunk gets buffers of its size at once
}

// put takes a chunk that nobody uses any more.
func (b *Buffers) put(c *Chunk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, c)
}

// get returns a chunk whose buffers can be used again, or one with new ones. Those have
// the expected size where there was no chunk before.
func (b *Buffers) get(expected sizes) *Chunk {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		c := b.free[n-1]
		b.free = b.free[:n-1]
		return c
	}
	size := b.largest
	if size.rows == 0 {
		size = expected
	}
	const slack = 16 // a sixteenth more, as chunks differ a little
	return &Chunk{
		rows: make([]row, 0, size.rows),
		body: make([]byte, 0, size.body+size.body/slack),
		raw:  make([]byte, 0, size.raw+size.raw/slack),
		keys: make([]Key, 0, size.rows+size.rows/slack),
	}
}

// learn takes notice of how large a full chunk is.
func (b *Buffers) learn(c *Chunk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := &b.largest
	size.rows, size.body, size.raw = max(size.rows, len(c.rows)), max(size.body, len(c.body)), max(size.raw, len(c.raw))
}

// sizes are those of a chunk: its rows, and the bytes of its buffers.
type sizes struct{ rows, body, raw int }

// New returns a Batcher, or an error that says what is wrong with cfg.
func New(cfg Config) (*Batcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var e jx.Encoder
	e.Str(cfg.PoolID)
	b := &Batcher{
		cfg:    cfg.withDefaults(),
		prefix: append([]byte(`{"pool_id":`), e.Bytes()...),
	}
	b.overlapSum.AddOverlap(0, b.defaults())
	return b, nil
}

// Begin says that the tasks that come next are of another input, which is known by what
// stands before its first row. Without it all tasks are of one input.
func (b *Batcher) Begin(header []byte) {
	if b.open != nil {
		b.open.place = joined(b.open.place, b.place)
	}
	b.place = xxh3.Hash128(header).Bytes()
}

// joined stands for what two keys stand for, in their order.
func joined(a, b Key) Key {
	var both [2 * len(Key{})]byte
	copy(both[:], a[:])
	copy(both[len(a):], b[:])
	return xxh3.Hash128(both[:]).Bytes()
}

// pass adds a row to what stands before the next one.
func (b *Batcher) pass(t *reader.Task) {
	var both [2*len(Key{}) + 8]byte
	row := xxh3.Hash128(t.Raw).Bytes()
	copy(both[:], b.place[:])
	copy(both[len(Key{}):], row[:])
	binary.BigEndian.PutUint64(both[2*len(Key{}):], uint64(t.Position.Offset))
	b.place = xxh3.Hash128(both[:]).Bytes()
}

// Add puts a task into the open chunk, copying what it keeps of it.
//
// Where the task no longer fits, the open chunk is returned and the task begins
// the next one. A task that would not even fit into a chunk of its own is
// returned as a rejected row instead.
func (b *Batcher) Add(t reader.Task) (full *Chunk, rejected *reader.RowError) {
	if tooLarge := b.Judge(&t); tooLarge != nil {
		return nil, tooLarge
	}
	if b.open != nil && !b.fits(&t) {
		full = b.Flush()
	}
	if b.open == nil {
		b.open = b.begin(&t)
	}
	b.pass(&t)
	b.open.keys = append(b.open.keys, b.Key(&t))
	b.open.add(&t, b.prefix, b.cfg.ItemIndex)
	return full, nil
}

// Key returns the key of a task, see package identity. A task without Content has its
// JSON read for it.
func (b *Batcher) Key(t *reader.Task) Key {
	if t.Content == [2]uint64{} {
		task := append(append(append(make([]byte, 0, len(t.JSON)+2), '{'), t.JSON...), '}')
		if key, err := identity.Of(task, b.defaults()); err == nil {
			return key
		}
		return xxh3.Hash128(t.JSON).Bytes() // no JSON: the server will refuse it
	}
	if t.Overlap != b.overlap {
		b.overlap, b.overlapSum = t.Overlap, identity.Sum{}
		b.overlapSum.AddOverlap(t.Overlap, b.defaults())
	}
	sum := identity.Sum(t.Content)
	sum.Merge(b.overlapSum)
	return sum.Key()
}

func (b *Batcher) defaults() identity.Defaults {
	return identity.Defaults{Overlap: b.cfg.DefaultOverlap}
}

// Judge returns the rejected row that Add would make of a task, or nil for a task
// that Add would take. The task goes into no chunk.
func (b *Batcher) Judge(t *reader.Task) (rejected *reader.RowError) {
	switch {
	case t.InputBytes > b.cfg.MaxInputBytes:
		return oversized(t, "input_values", t.InputBytes, b.cfg.MaxInputBytes)
	case t.OutputBytes > b.cfg.MaxOutputBytes:
		return oversized(t, "output_values", t.OutputBytes, b.cfg.MaxOutputBytes)
	}
	return nil
}

// Flush returns the open chunk, or nil where it is empty.
func (b *Batcher) Flush() *Chunk {
	c := b.open
	if c == nil {
		return nil
	}
	c.body = append(c.body, ']')
	c.place = joined(c.place, b.place)
	b.cfg.Buffers.learn(c)
	b.open = nil
	b.next++
	return c
}

// Recycle takes back a chunk that nobody uses any more. It is safe for concurrent use.
func (b *Batcher) Recycle(c *Chunk) { b.cfg.Buffers.put(c) }

func (b *Batcher) fits(t *reader.Task) bool {
	c := b.open
	return len(c.rows) < b.cfg.MaxTasks &&
		c.inputBytes+t.InputBytes <= b.cfg.MaxInputBytes &&
		c.outputBytes+t.OutputBytes <= b.cfg.MaxOutputBytes &&
		len(c.raw)+len(t.Raw) <= b.cfg.MaxRawBytes
}

// begin begins a chunk, of which t is the first task.
func (b *Batcher) begin(t *reader.Task) *Chunk {
	c := b.cfg.Buffers.get(b.expect(t))
	*c = Chunk{Number: b.next, rows: c.rows[:0], files: c.files[:0], body: append(c.body[:0], '['), raw: c.raw[:0], keys: c.keys[:0]}
	return c
}

// expect returns the sizes of a full chunk of tasks like this one. Memory that grows is
// touched several times over, before the first request.
func (b *Batcher) expect(t *reader.Task) sizes {
	const around = len(`,"__item_idx":"0000",},`)
	rows := min(b.cfg.MaxTasks, b.cfg.MaxInputBytes/max(t.InputBytes, 1))
	return sizes{
		rows: rows,
		body: rows*(len(b.prefix)+around) + min(rows*len(t.JSON), b.cfg.MaxInputBytes+b.cfg.MaxOutputBytes),
		raw:  min(rows*len(t.Raw), b.cfg.MaxRawBytes),
	}
}

func oversized(t *reader.Task, what string, size, limit int) *reader.RowError {
	return &reader.RowError{
		Position: t.Position,
		Findings: []verdict.Finding{{
			Stage: verdict.StageCheck,
			Line:  t.Position.Line,
			Code:  contract.CodeObjectSizeGreaterThanMax,
			Message: fmt.Sprintf("the row's %s take %d bytes as JSON; one request holds at most %d, so this task can't be sent: shorten it",
				what, size, limit),
		}},
		Raw: bytes.Clone(t.Raw),
	}
}

// row is what a chunk knows of a task. It has no pointers, so that the collector
// passes it over.
type row struct {
	line, record, offset int64
	file                 uint32 // the index in Chunk.files
	overlap              int16  // as in reader.Task
	kind                 reader.Kind

	// 32 bits are enough for all of them: a body is bounded by Toloka's limits,
	// and raw by MaxRawBytes and one record.
	bodyStart, bodyEnd uint32
	content            uint32 // where the task's own JSON begins, after pool_id and __item_idx
	inputsEnd          uint32 // where its first member ends, which is input_values
	rawStart, rawEnd   uint32
}

// Key tells tasks apart by all that they are sent with: it is an identity.Key.
type Key = [16]byte

// Chunk is the tasks of one request. What it holds does not change once it is
// given out. One goroutine at a time may use it.
type Chunk struct {
	// Number counts the chunks of a run from 0.
	Number int

	rows        []row
	files       []string // those that the rows are from, in order
	body        []byte
	raw         []byte
	keys        []Key
	place       Key
	sum         Key
	summed      bool
	inputBytes  int
	outputBytes int
}

// Len is the number of tasks.
func (c *Chunk) Len() int { return len(c.rows) }

// Position says where task i came from.
func (c *Chunk) Position(i int) verdict.Position {
	r := &c.rows[i]
	return verdict.Position{File: c.files[r.file], Line: r.line, Record: r.record, Offset: r.offset}
}

// Files are the inputs that the tasks came from, in their order.
func (c *Chunk) Files() []string { return c.files }

// Kind says what task i is for.
func (c *Chunk) Kind(i int) reader.Kind { return c.rows[i].kind }

// Overlap is the overlap that task i names, as in reader.Task.
func (c *Chunk) Overlap(i int) int { return int(c.rows[i].overlap) }

// Raw returns the row of task i as it stood in the input.
func (c *Chunk) Raw(i int) []byte { return c.raw[c.rows[i].rawStart:c.rows[i].rawEnd] }

// Task returns task i as it stands in the body: one JSON object.
func (c *Chunk) Task(i int) []byte { return c.body[c.rows[i].bodyStart:c.rows[i].bodyEnd] }

// Content returns task i as reader gave it: the members of its JSON object,
// without the pool's id and the index that only this chunk gave it.
func (c *Chunk) Content(i int) []byte { return c.body[c.rows[i].content : c.rows[i].bodyEnd-1] }

// Inputs returns the first member of Content: the name input_values, and its value.
// It is empty where that isn't as reader.Task has it.
func (c *Chunk) Inputs(i int) []byte { return c.body[c.rows[i].content:c.rows[i].inputsEnd] }

// Body is the request's body: a JSON array of all tasks.
func (c *Chunk) Body() []byte { return c.body }

// Keys has the key of each task. They are valid as long as the chunk is.
func (c *Chunk) Keys() []Key { return c.keys }

// Sum stands for the tasks and their order: the hash of their keys. It does not
// depend on the pool, nor on the chunk that the tasks are in.
func (c *Chunk) Sum() Key {
	if !c.summed {
		c.sum, c.summed = SumOf(c.Keys()), true
	}
	return c.sum
}

// Place stands for where in the inputs the chunk ends: for the tasks of each of its inputs
// from the beginning up to there, as they stood, and what stands before them. It depends
// neither on what the inputs are called nor on how chunks are cut.
func (c *Chunk) Place() Key { return c.place }

// Apart makes the chunk's place another one, for a chunk that is to be created though
// one with its place and tasks was.
func (c *Chunk) Apart(why string) { c.place = joined(c.place, xxh3.HashString128(why).Bytes()) }

// SumOf is the sum of a chunk of the tasks with these keys.
func SumOf(keys []Key) Key {
	h := xxh3.New()
	var some [64 * len(Key{})]byte
	for part := range slices.Chunk(keys, len(some)/len(Key{})) {
		n := 0
		for i := range part {
			n += copy(some[n:], part[i][:])
		}
		_, _ = h.Write(some[:n]) // it never fails
	}
	return h.Sum128().Bytes()
}

// Memory is about how many bytes the chunk holds, and will hold while it is
// uploaded: with the keys, and what becomes of each row.
func (c *Chunk) Memory() int {
	const row = 56 + 16 + 80
	return cap(c.body) + cap(c.raw) + cap(c.rows)*row
}

// InputBytes is the size of all input_values, in bytes of JSON.
func (c *Chunk) InputBytes() int { return c.inputBytes }

// OutputBytes is the size of all output_values, in bytes of JSON.
func (c *Chunk) OutputBytes() int { return c.outputBytes }

func (c *Chunk) add(t *reader.Task, prefix []byte, itemIndex bool) {
	if len(c.rows) > 0 {
		c.body = append(c.body, ',')
	}
	if last := len(c.files) - 1; last < 0 || c.files[last] != t.Position.File {
		c.files = append(c.files, t.Position.File)
	}
	r := row{
		line: t.Position.Line, record: t.Position.Record, offset: t.Position.Offset, file: uint32(len(c.files) - 1),
		kind: t.Kind, overlap: int16(t.Overlap),
		bodyStart: uint32(len(c.body)), rawStart: uint32(len(c.raw)),
	}
	c.body = append(c.body, prefix...)
	if itemIndex {
		c.body = append(c.body, `,"__item_idx":"`...)
		c.body = strconv.AppendInt(c.body, int64(len(c.rows)), 10)
		c.body = append(c.body, '"')
	}
	c.body = append(c.body, ',')
	r.content = uint32(len(c.body))
	r.inputsEnd = r.content + inputsSize(t)
	c.body = append(c.body, t.JSON...)
	c.body = append(c.body, '}')
	c.raw = append(c.raw, t.Raw...)
	r.bodyEnd, r.rawEnd = uint32(len(c.body)), uint32(len(c.raw))
	c.rows = append(c.rows, r)
	c.inputBytes += t.InputBytes
	c.outputBytes += t.OutputBytes
}

// inputsSize returns the size of a task's first member.
func inputsSize(t *reader.Task) uint32 {
	const name = `"input_values":{`
	size := len(name) - 1 + t.InputBytes
	if t.InputBytes < len("{}") || size > len(t.JSON) || !bytes.HasPrefix(t.JSON, []byte(name)) || t.JSON[size-1] != '}' {
		return 0
	}
	return uint32(size)
}
