package delimited

import (
	"bytes"
	"slices"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// cutter cuts records that a RecordReader has found into cells, and finds what
// is wrong with them. Its buffers are used again for each record.
type cutter struct {
	dialect Dialect
	lossy   bool // as in table.Text
	clean   bool // the text is known to hold no byte that it may not

	cells   [][]byte
	scratch []byte // cells whose quotes or line ends had to be undone
}

// cut fills rec.Cells from rec.Raw, and adds to rec.Findings. The spans are
// those of a record with quotes, none of one without. A record with a cell over
// the limit loses its Raw.
//
// The cells are valid until the next call.
func (x *cutter) cut(rec *table.Record, spans []span) {
	x.cells = x.cells[:0]
	if len(spans) == 0 {
		x.cells = cutPlain(x.cells, rec.Raw, x.dialect.Delimiter)
	} else {
		x.cutSpans(rec.Raw, spans)
	}
	tooLong := len(rec.Raw) > x.dialect.MaxCellBytes && x.checkCells(rec, spans)
	if !x.clean {
		x.checkBytes(rec, spans)
	}
	if tooLong {
		x.cells, rec.Raw = x.cells[:0], nil
	}
	rec.Cells = x.cells
}

// span is a cell of a record before it becomes a slice: the buffer may still
// move.
type span struct {
	raw        int  // where the cell starts in the record, quote included
	start, end int  // where its text is
	undo       bool // doubled quotes, quotes inside or line ends must be undone
}

// cutPlain appends the cells of a line without quotes.
func cutPlain(cells [][]byte, text []byte, delimiter byte) [][]byte {
	for {
		i := bytes.IndexByte(text, delimiter)
		if i < 0 {
			return append(cells, text)
		}
		cells = append(cells, text[:i:i])
		text = text[i+1:]
	}
}

// cutSpans makes the cells of the spans.
func (x *cutter) cutSpans(text []byte, spans []span) {
	x.scratch = x.scratch[:0]
	for _, s := range spans {
		cell := text[s.start:s.end:s.end]
		if s.undo {
			from := len(x.scratch)
			if x.dialect.Quotes == table.QuotesToloka {
				x.undoToggles(cell)
			} else {
				x.undo(cell)
			}
			cell = x.scratch[from:len(x.scratch):len(x.scratch)]
		}
		x.cells = append(x.cells, cell)
	}
}

// undo appends the text between two quotes to the scratch space: doubled
// quotes become one and, unless they are kept, line ends become LF.
func (x *cutter) undo(text []byte) {
	n := len(x.scratch)
	dst := slices.Grow(x.scratch, len(text))[:n+len(text)]
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case b == '"':
			i++ // its double
		case b == '\r' && !x.dialect.KeepLineEnds:
			i += table.LineEndLen(text[i:]) - 1
			b = '\n'
		}
		dst[n] = b
		n++
	}
	x.scratch = dst[:n]
}

// undoToggles does as undo for a cell with quotes anywhere, each of which has
// its closing one.
func (x *cutter) undoToggles(cell []byte) {
	for {
		outside, rest, quoted := bytes.Cut(cell, []byte{'"'})
		x.scratch = append(x.scratch, outside...)
		if !quoted {
			return
		}
		closing := indexFrom(rest, '"', 0)
		for closing+1 < len(rest) && rest[closing+1] == '"' {
			closing = indexFrom(rest, '"', closing+2)
		}
		x.undo(rest[:closing])
		cell = rest[min(closing+1, len(rest)):]
	}
}

// checkCells finds the cells that are over the limit.
func (x *cutter) checkCells(rec *table.Record, spans []span) (tooLong bool) {
	for i, cell := range x.cells {
		if len(cell) <= x.dialect.MaxCellBytes {
			continue
		}
		line := rec.Position.Line
		if len(spans) > 0 {
			line += int64(table.CountLineEnds(rec.Raw[:spans[i].raw]))
		}
		var full bool
		rec.Findings, full = table.AddFinding(rec.Findings, x.dialect.CellTooLong(line, i+1, cell))
		if tooLong = true; full {
			break
		}
	}
	return tooLong
}

// checkBytes finds the bytes that no record may hold.
func (x *cutter) checkBytes(rec *table.Record, spans []span) {
	text := rec.Raw
	where := locator{text: text, line: rec.Position.Line, column: 1, spans: spans, delimiter: x.dialect.Delimiter}
	known := map[string]int{} // the last column with a finding of a code
	for bad := range table.FindBad(text, rec.Position.Offset, x.lossy) {
		where.move(bad.At)
		if known[bad.Code] != where.column {
			known[bad.Code] = where.column
			rec.Findings, _ = table.AddFinding(rec.Findings, verdict.Finding{
				Line: where.line, Column: where.column, Code: bad.Code, Message: bad.Message, Value: table.StartOf(text[bad.At:]),
			})
		}
	}
}

// locator tells line and column of places in a record, which must ascend.
type locator struct {
	text      []byte
	at        int
	line      int64
	column    int
	spans     []span // none: the record is one line without quotes
	delimiter byte
}

func (l *locator) move(to int) {
	between := l.text[l.at:to]
	l.at = to
	if len(l.spans) == 0 {
		l.column += bytes.Count(between, []byte{l.delimiter})
		return
	}
	l.line += int64(table.CountLineEnds(between))
	for l.column < len(l.spans) && l.spans[l.column].raw <= to {
		l.column++
	}
}
