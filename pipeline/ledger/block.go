package ledger

import (
	"database/sql"
	"fmt"
)

// block is a row of a table, which has a column for its checksum too.
type block interface {
	// table is where it is kept, and columns are those of its fields, in their order.
	table() string
	columns() string
	// fields returns pointers.
	fields() []any
	// String says for people what it is.
	String() string
}

// ofRun is a block that belongs to a run.
type ofRun interface {
	block
	kind() kind
	// owner is the field with the run's number.
	owner() *int64
}

// runBlock is what a run is, apart from its files.
type runBlock struct {
	id                                   int64
	name, server, pool, mode, key, guard string
	settings                             sql.RawBytes
	command, state                       string
	attempts                             int
	started, ended                       int64
	created, rejected                    int64
	chunks                               int // is above the number of every chunk
	tallies                              tallies
}

func (*runBlock) table() string { return "run" }

func (*runBlock) columns() string {
	return "id, name, server, pool, mode, run_key, guard, settings, command, state, attempts, started, ended, created, rejected, chunks, tallies"
}

func (r *runBlock) fields() []any {
	return []any{
		&r.id, &r.name, &r.server, &r.pool, &r.mode, &r.key, &r.guard, &r.settings, &r.command, &r.state, &r.attempts,
		&r.started, &r.ended, &r.created, &r.rejected, &r.chunks, &r.tallies,
	}
}

func (r *runBlock) String() string { return "run " + r.name }

// identity is what runs are found by. It is no block of its own, but the census has
// its checksum.
type identity struct {
	id                 int64
	name, server, pool string
}

func (i *identity) checksum() int64 {
	return checksum("identity", []any{&i.id, &i.name, &i.server, &i.pool})
}

// censusBlock is the tally of the runs, of which each counts by its identity.
type censusBlock struct {
	id   int64 // there is one
	runs tally
}

func (*censusBlock) table() string   { return "census" }
func (*censusBlock) columns() string { return "id, runs, sum" }
func (c *censusBlock) fields() []any { return []any{&c.id, &c.runs.blocks, &c.runs.sum} }
func (*censusBlock) String() string  { return "the census of runs" }

type fileBlock struct {
	run            int64
	number         int
	path           string
	size, modified int64
	ends           sql.RawBytes
	sha256, info   string
}

func (*fileBlock) table() string    { return "file" }
func (*fileBlock) kind() kind       { return fileKind }
func (f *fileBlock) owner() *int64  { return &f.run }
func (f *fileBlock) String() string { return fmt.Sprintf("file %d", f.number+1) }
func (*fileBlock) columns() string {
	return "run_id, number, path, size, modified, ends, sha256, info"
}

func (f *fileBlock) fields() []any {
	return []any{&f.run, &f.number, &f.path, &f.size, &f.modified, &f.ends, &f.sha256, &f.info}
}

// chunkBlock is what is known of a chunk: before it ended where its rows stand.
type chunkBlock struct {
	run                       int64
	number                    int
	sum                       sql.RawBytes
	state                     string
	tasks                     int
	created, rejected, unsent int
	sent, ended               int64
	first                     position
	results                   sql.RawBytes
}

func (*chunkBlock) table() string    { return "chunk" }
func (*chunkBlock) kind() kind       { return chunkKind }
func (c *chunkBlock) owner() *int64  { return &c.run }
func (c *chunkBlock) String() string { return fmt.Sprintf("chunk %d", c.number) }
func (*chunkBlock) columns() string {
	return "run_id, number, sum, state, tasks, created, rejected, unsent, sent, ended, first_file, first_record, results"
}

func (c *chunkBlock) fields() []any {
	return []any{
		&c.run, &c.number, &c.sum, &c.state, &c.tasks, &c.created, &c.rejected, &c.unsent, &c.sent, &c.ended,
		&c.first.file, &c.first.record, &c.results,
	}
}

// keysBlock has the keys of a chunk's tasks, which are most of what is kept of it and
// never change. They are apart from what does, which is written twice.
type keysBlock struct {
	run   int64
	chunk int
	keys  sql.RawBytes
}

func (*keysBlock) table() string    { return "chunk_keys" }
func (*keysBlock) kind() kind       { return keyKind }
func (*keysBlock) columns() string  { return "run_id, chunk, keys" }
func (k *keysBlock) fields() []any  { return []any{&k.run, &k.chunk, &k.keys} }
func (k *keysBlock) owner() *int64  { return &k.run }
func (k *keysBlock) String() string { return fmt.Sprintf("the list of keys of chunk %d", k.chunk) }

type attemptBlock struct {
	run               int64
	chunk             int
	operation         string
	generation, tasks int
	sent              int64
}

func (*attemptBlock) table() string   { return "attempt" }
func (*attemptBlock) kind() kind      { return attemptKind }
func (*attemptBlock) columns() string { return "run_id, chunk, operation, generation, tasks, sent" }
func (a *attemptBlock) owner() *int64 { return &a.run }

func (a *attemptBlock) String() string {
	return fmt.Sprintf("an attempt in doubt at chunk %d", a.chunk)
}

func (a *attemptBlock) fields() []any {
	return []any{&a.run, &a.chunk, &a.operation, &a.generation, &a.tasks, &a.sent}
}

// segmentBlock has rows that are in no chunk.
type segmentBlock struct {
	run   int64
	first position
	body  sql.RawBytes
}

func (*segmentBlock) table() string   { return "segment" }
func (*segmentBlock) kind() kind      { return segmentKind }
func (*segmentBlock) columns() string { return "run_id, first_file, first_record, body" }
func (s *segmentBlock) owner() *int64 { return &s.run }

func (s *segmentBlock) String() string {
	return fmt.Sprintf("the list of rows in no chunk from record %d of file %d on", s.first.record, s.first.file+1)
}

func (s *segmentBlock) fields() []any {
	return []any{&s.run, &s.first.file, &s.first.record, &s.body}
}

type strayBlock struct {
	run     int64
	task    string
	content sql.RawBytes
}

func (*strayBlock) table() string    { return "stray" }
func (*strayBlock) kind() kind       { return strayKind }
func (*strayBlock) columns() string  { return "run_id, task_id, content" }
func (s *strayBlock) fields() []any  { return []any{&s.run, &s.task, &s.content} }
func (s *strayBlock) owner() *int64  { return &s.run }
func (s *strayBlock) String() string { return "the task without a row " + s.task }

// reportBlock has the report of the last attempt that ended.
type reportBlock struct {
	run  int64
	body sql.RawBytes
}

func (*reportBlock) table() string   { return "report" }
func (*reportBlock) kind() kind      { return reportKind }
func (*reportBlock) columns() string { return "run_id, body" }
func (r *reportBlock) fields() []any { return []any{&r.run, &r.body} }
func (r *reportBlock) owner() *int64 { return &r.run }
func (*reportBlock) String() string  { return "the report" }
