package reader

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"poolfill/reader/rows"
	"poolfill/reader/table"
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
	// Rows returns the cells of each row in the order of Columns; an empty cell is
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
	if err := errors.Join(s.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	t := rows.New(s.Name, s.Columns, s.Rows, cfg.options())
	return newReader(program{t, s.Name}, "rows", t, cfg)
}

// program is the origin of a Source's rows.
type program struct {
	*rows.Table
	name string
}

func (p program) describe() Info { return Info{File: p.name, Encoding: charsetUTF8} }

func (program) whole() bool { return false }

func (p program) progress() (bytes int64, sum string) { return p.Progress() }

func (program) prefix() string { return "" }

func (p program) noRows() error {
	return table.Refuse(p.name, CodeNoRows, 0, "the source gave no row: there is nothing to upload")
}

func (p program) stop() (busy bool, err error) { return p.Stop(), nil }

func (program) release() {}
