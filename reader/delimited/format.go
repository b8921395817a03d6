// Package delimited reads delimited text: CSV, TSV and their kin.
//
// What goes in: UTF-8 text. What comes out: its records and their cells, each with its
// place in the text, and what is wrong or odd about them. A broken record is data; only
// a failure of reading ends it.
//
// A Format reads tables in blocks, whose cells can be cut on several goroutines; a
// RecordReader reads one record after the other.
//
// Memory: one buffer for a table and one for each of its blocks, which grow to the
// longest record and never beyond Dialect.MaxRecordBytes and a constant, and as much
// again for cells whose quotes had to be undone.
package delimited

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"poolfill/reader/table"
)

// Format is delimited text in a dialect. It takes every input.
type Format struct{ Dialect Dialect }

// Name returns "delimited".
func (Format) Name() string { return "delimited" }

// Sniff reports true: there is no text that can't be read as lines.
func (Format) Sniff([]byte, string) bool { return true }

// Open reads the header, after the delimiter was found where the dialect has none.
func (f Format) Open(in table.Storage, o table.Options) (table.Table, error) {
	text, err := in.Text()
	if err != nil {
		return nil, err
	}
	d := f.Dialect
	d.Options = o
	if d, err = d.detect(text); err != nil {
		return nil, err
	}
	t := &delimitedTable{records: newRecordReader(text, d)}
	t.records.started = true // without a byte order mark: a second one is an error
	header, err := t.records.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, table.Refuse(text.Name, table.CodeEmptyFile, 0, "the file is empty: it needs a header and rows after it")
	case err != nil:
		return nil, err
	}
	t.header = header
	t.header.Raw = bytes.Clone(header.Raw)
	t.header.Cells = make([][]byte, len(header.Cells))
	for i, cell := range header.Cells {
		t.header.Cells[i] = bytes.Clone(cell)
	}
	return t, nil
}

// delimitedTable is the table of a text.
type delimitedTable struct {
	records *RecordReader
	header  table.Record
}

func (t *delimitedTable) Header() table.Record { return t.header }

func (t *delimitedTable) Layout() table.Layout {
	return table.Layout{Delimiter: t.records.dialect.Delimiter, Quotes: t.records.dialect.Quotes}
}

func (t *delimitedTable) NewBlock() table.Block {
	return &block{reader: t.records, cutter: cutter{dialect: t.records.dialect, lossy: t.records.text.Lossy}}
}

func (t *delimitedTable) Seek(m table.Mark) error {
	if m.Offset < 1 || m.Line < 1 || m.Record < 1 {
		return fmt.Errorf("no row can begin at offset %d, line %d, as row %d", m.Offset, m.Line, m.Record)
	}
	return t.records.goTo(m)
}

// Close has nothing to do: the text ends with its Storage.
func (t *delimitedTable) Close() error { return nil }

// Cells cuts a line of delimited text, such as Record.Raw, into its cells. It reports
// false for what is not one whole record.
func Cells(line []byte, layout table.Layout) (cells [][]byte, ok bool) {
	size := len(line) + 1
	r := NewRecordReader("", bytes.NewReader(line), Dialect{
		Delimiter: layout.Delimiter, Quotes: layout.Quotes, Multiline: true,
		Options: table.Options{MaxCellBytes: size, MaxRecordBytes: size, BlockBytes: size},
	})
	rec, err := r.Read()
	return rec.Cells, err == nil && len(rec.Raw) == len(line)
}
