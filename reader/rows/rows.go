// Package rows reads the rows that a program makes, as the second format beside
// delimited text.
//
// What goes in: columns, and an iterator of cells. What comes out: a table.Table whose
// positions count rows: Position.Line is the same as Position.Record, and offsets are
// those of the rows as lines of tab-separated text, which is also their Raw.
//
// Memory: the rows of the blocks, each of at most Options.BlockBytes and one row.
package rows

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"iter"
	"sync"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// Table is the rows of a program.
type Table struct {
	name    string
	rows    iter.Seq2[[]string, error]
	options table.Options
	header  table.Record

	next   func() ([]string, error, bool) // nil until the first row is asked for
	stop   func()
	behind table.Mark // what comes next
	hash   hash.Hash  // of the rows as text
	err    error      // what the rows ended with

	mu     sync.Mutex
	busy   bool
	closed bool
}

// New returns the table of rows under a name. It asks for the first row when the first
// row is found.
func New(name string, columns []string, rows iter.Seq2[[]string, error], o table.Options) *Table {
	t := &Table{name: name, rows: rows, options: o.WithDefaults(), hash: sha256.New()}
	header := table.Cells{Options: t.options}
	line := header.Add(verdict.Position{File: name, Line: 1}, columns)
	t.hash.Write(line)
	t.behind = table.Mark{Offset: int64(len(line)), Line: 1, Record: 1}
	header.Cut(0, &t.header)
	return t
}

// Header returns the columns.
func (t *Table) Header() table.Record { return t.header }

// Layout is that of tab-separated text.
func (t *Table) Layout() table.Layout { return table.TabSeparated() }

// NewBlock returns an empty block.
func (t *Table) NewBlock() table.Block {
	return &block{Cells: table.Cells{Options: t.options}, table: t}
}

// Seek passes over the rows before a mark.
func (t *Table) Seek(m table.Mark) error {
	b := t.NewBlock()
	for t.behind.Record < m.Record {
		b.Reset()
		if err := b.Find(int(m.Record - t.behind.Record)); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if t.behind != m {
		return table.Misplaced(t.name, m, "where none begins")
	}
	return nil
}

// Progress returns how many bytes the rows so far have as text, the header included, and
// once all were found the hash of that text in hex.
func (t *Table) Progress() (bytes int64, sum string) {
	if t.err != nil && errors.Is(t.err, io.EOF) {
		sum = hex.EncodeToString(t.hash.Sum(nil))
	}
	return t.behind.Offset, sum
}

// Close ends the iteration: at once, or after the row that is being made.
func (t *Table) Close() error {
	t.Stop()
	return nil
}

// Stop is Close, and reports whether a row is being made.
func (t *Table) Stop() (busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if !t.busy {
		t.end()
	}
	return t.busy
}

func (t *Table) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = !t.closed
	return t.busy
}

func (t *Table) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	if t.closed {
		t.end()
	}
}

func (t *Table) end() {
	if t.stop != nil {
		t.stop()
	}
}

// block is rows that were taken from the iterator.
type block struct {
	table.Cells
	table *Table
}

// Find takes the next rows.
func (b *block) Find(most int) error {
	t := b.table
	b.From = t.behind
	for t.err == nil && b.Len() < most && b.Size() < t.options.BlockBytes {
		t.take(b)
	}
	b.To = t.behind
	return t.err
}

// take takes one row, or sets t.err.
func (t *Table) take(b *block) {
	if !t.begin() {
		t.err = t.readError(fs.ErrClosed)
		return
	}
	defer t.finish()
	if t.next == nil {
		t.next, t.stop = iter.Pull2(t.rows)
	}
	cells, err, ok := t.next()
	switch {
	case !ok:
		t.err = io.EOF
	case err != nil:
		t.err = t.readError(&rowsError{err})
	default:
		line := b.Add(verdict.Position{File: t.name, Line: t.behind.Line, Record: t.behind.Record, Offset: t.behind.Offset}, cells)
		t.hash.Write(line)
		t.behind.Offset += int64(len(line))
		t.behind.Line++
		t.behind.Record++
	}
}

func (t *Table) readError(err error) error {
	return &table.ReadError{File: t.name, Line: t.behind.Record, Rows: true, Err: err}
}

// rowsError is an error that the rows ended with. It is never the io.EOF that ends an
// input well.
type rowsError struct{ err error }

func (e *rowsError) Error() string { return e.err.Error() }

func (e *rowsError) Unwrap() error {
	if errors.Is(e.err, io.EOF) {
		return nil
	}
	return e.err
}
