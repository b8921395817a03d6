package reader

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"
	"sync"
)

// Source is rows that a program makes, in place of a file.
//
// They are read by the rules of a file: the cells are those that a task file
// would have, with the text "a,b" for an array, and pass the same checks.
// Config.Delimiter, Quotes, KeepLineEnds, Multiline and Encoding have no effect:
// any text can be a cell. Their positions count rows, from 1: Position.Line is
// the same as Position.Record.
type Source struct {
	// Name stands for the rows where the path of a file would, as in "orders:17".
	// It is neither empty nor "-", is no absolute path and has no control
	// characters.
	Name string
	// Columns are the names of the columns, as in the header of a task file, such
	// as "INPUT:image", "GOLDEN:result", "HINT:text" and "TASK:overlap".
	Columns []string
	// Rows gives the cells of each row in the order of Columns; an empty cell is
	// absent. It is asked for the first row when the first row is read, once for
	// each Reader, and by one goroutine at a time, which is another than that
	// which reads. A row may be used again for the next one. An error ends the
	// reading with a *ReadError that names the row.
	//
	// Nothing can break off a wait for a row: one that may take long ends by the
	// program's own context.
	Rows iter.Seq2[[]string, error]

	problem error // of Structs
}

// Validate reports everything that is wrong with the source, but for its columns'
// names, which are looked at when it is opened.
func (s Source) Validate() error {
	var errs []error
	control := func(r rune) bool { return r < ' ' || r == 0x7F }
	if s.Name == "" || s.Name == stdinName || filepath.IsAbs(s.Name) || strings.ContainsFunc(s.Name, control) {
		errs = append(errs, fmt.Errorf("a source of rows can't be named %q: take a word that says what they are", s.Name))
	}
	if s.problem != nil {
		return errors.Join(append(errs, s.problem)...)
	}
	if s.Rows == nil {
		errs = append(errs, fmt.Errorf("the source %q has no rows: set Rows", s.Name))
	}
	if len(s.Columns) == 0 {
		errs = append(errs, fmt.Errorf("the source %q has no columns: set Columns", s.Name))
	}
	return errors.Join(errs...)
}

// Open reads the rows of the source as Open reads a file. It asks for no row yet.
// The caller closes the Reader, which ends the iteration.
func (s Source) Open(cfg Config) (*Reader, error) {
	cfg.Delimiter, cfg.Quotes, cfg.KeepLineEnds, cfg.Multiline, cfg.Encoding = '\t', QuotesAuto, true, true, ""
	if err := errors.Join(s.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	text := &rowText{rows: s.Rows}
	text.append(s.Columns)
	in := &input{
		name:    s.Name,
		stored:  &storedReader{src: text, hash: sha256.New()},
		file:    text,
		charset: charset{name: charsetUTF8},
	}
	in.text = in.stored
	r, err := start(in, s.Name, cfg)
	if err != nil {
		return nil, err
	}
	r.finder.source, r.source = true, true
	return r, nil
}

// rowText gives rows as tab-separated text that is read back to the same cells,
// whatever is in them.
type rowText struct {
	rows iter.Seq2[[]string, error]
	next func() ([]string, error, bool) // nil until the first row is asked for
	stop func()
	text bytes.Buffer
	err  error

	mu     sync.Mutex
	busy   bool
	closed bool
}

// Read gives the header alone first, then as many rows as there is room for.
func (t *rowText) Read(p []byte) (int, error) {
	if !t.begin() {
		return 0, fs.ErrClosed
	}
	defer t.finish()
	if t.text.Len() == 0 {
		t.fill(len(p))
	}
	if t.text.Len() == 0 {
		return 0, t.err
	}
	return t.text.Read(p)
}

// fill makes text of rows, up to so many bytes and one row.
func (t *rowText) fill(size int) {
	if t.next == nil {
		t.next, t.stop = iter.Pull2(t.rows)
	}
	t.text.Reset()
	for t.err == nil && t.text.Len() < size {
		cells, err, ok := t.next()
		switch {
		case !ok:
			t.err = io.EOF
		case err != nil:
			t.err = &rowsError{err}
		default:
			t.append(cells)
		}
	}
}

// append adds a row to the text. A first cell that is empty has quotes, as a row
// without any text is none.
func (t *rowText) append(cells []string) {
	for i, cell := range cells {
		if i > 0 {
			t.text.WriteByte('\t')
		}
		if i == 0 && cell == "" || strings.ContainsAny(cell, "\"\t\r\n") {
			t.text.WriteByte('"')
			t.text.WriteString(strings.ReplaceAll(cell, `"`, `""`))
			t.text.WriteByte('"')
		} else {
			t.text.WriteString(cell)
		}
	}
	if len(cells) == 0 {
		t.text.WriteString(`""`)
	}
	t.text.WriteByte('\n')
}

func (t *rowText) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = !t.closed
	return t.busy
}

func (t *rowText) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	if t.closed {
		t.end()
	}
}

// Close ends the iteration: at once, or after the row that is being made.
func (t *rowText) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if !t.busy {
		t.end()
	}
	return nil
}

func (t *rowText) end() {
	if t.stop != nil {
		t.stop()
	}
}

// rowsError is an error that the rows of a source ended with. It is never the
// io.EOF that ends an input well.
type rowsError struct{ err error }

func (e *rowsError) Error() string { return e.err.Error() }

func (e *rowsError) Unwrap() error {
	if errors.Is(e.err, io.EOF) {
		return nil
	}
	return e.err
}
