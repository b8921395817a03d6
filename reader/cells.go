package reader

import (
	"bytes"
	"fmt"
	"slices"

	"poolfill/reader/verdict"
)

// cutter cuts records that a RecordReader has found into cells, and finds what
// is wrong with them. Its buffers are used again for each record.
type cutter struct {
	dialect  Dialect
	replaced bool // U+FFFD stands for bytes that could not be decoded

	cells   [][]byte
	scratch []byte // cells whose quotes or line ends had to be undone
}

// cut fills rec.Cells from rec.Raw, and adds to rec.Findings. The spans are
// those of a record with quotes, none of one without. clean says that the
// record is known to hold no byte that it may not. A record with a cell over
// the limit loses its Raw.
//
// The cells are valid until the next call.
func (x *cutter) cut(rec *Record, spans []span, clean bool) {
	x.cells = x.cells[:0]
	if len(spans) == 0 {
		x.cells = cutPlain(x.cells, rec.Raw, x.dialect.Delimiter)
	} else {
		x.cutSpans(rec.Raw, spans)
	}
	tooLong := len(rec.Raw) > x.dialect.MaxCellBytes && x.checkCells(rec, spans)
	if !clean {
		x.checkBytes(rec, spans)
	}
	if tooLong {
		x.cells, rec.Raw = x.cells[:0], nil
	}
	rec.Cells = x.cells
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
			if x.dialect.Quotes == QuotesToloka {
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
			i += lineEndLen(text[i:]) - 1
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
func (x *cutter) checkCells(rec *Record, spans []span) (tooLong bool) {
	for i, cell := range x.cells {
		if len(cell) <= x.dialect.MaxCellBytes {
			continue
		}
		line := rec.Position.Line
		if len(spans) > 0 {
			line += int64(countLineEnds(rec.Raw[:spans[i].raw]))
		}
		rec.Findings = addFinding(rec.Findings, x.dialect.cellTooLong(line, i+1, cell))
		if tooLong = true; len(rec.Findings) == maxFindings {
			break
		}
	}
	return tooLong
}

func (d *Dialect) cellTooLong(line int64, column int, cell []byte) verdict.Finding {
	return verdict.Finding{
		Line: line, Column: column, Code: CodeCellTooLong,
		Message: fmt.Sprintf("the cell is longer than %d bytes: if a quote, a delimiter or a line end is missing, add it", d.MaxCellBytes),
		Value:   startOf(cell),
	}
}

// checkBytes finds the bytes that no record may hold.
func (x *cutter) checkBytes(rec *Record, spans []span) {
	text := rec.Raw
	where := locator{text: text, line: rec.Position.Line, column: 1, spans: spans, delimiter: x.dialect.Delimiter}
	known := map[string]int(nil) // the last column with a finding of a code
	for at := 0; ; {
		window := text[at:min(at+cleanWindow, len(text))]
		if at+len(window) < len(text) {
			// The window may end inside a character; the record doesn't.
			window = window[:len(window)-incompleteTail(window)]
		}
		i := firstBad(window, x.replaced)
		if at += i; at == len(text) {
			return
		}
		if i == len(window) {
			continue
		}
		code, size, message := x.describeBad(text[at:], rec.Position.Offset+int64(at))
		where.move(at)
		if known[code] != where.column {
			if known == nil {
				known = make(map[string]int)
			}
			known[code] = where.column
			rec.Findings = addFinding(rec.Findings, verdict.Finding{Line: where.line, Column: where.column, Code: code, Message: message, Value: startOf(text[at:])})
		}
		at += size
	}
}

// firstBad gives the place of the first byte that no record may hold, or the
// length of the text. replaced says that U+FFFD is no character of the text.
func firstBad(text []byte, replaced bool) int {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	if i := bytes.IndexByte(text, substitute); i >= 0 {
		text = text[:i]
	}
	for i := 0; ; i++ {
		j := bytes.IndexByte(text[i:], utf8BOM[0])
		if j < 0 {
			break
		}
		i += j
		if isBadRune(text[i:], replaced) {
			text = text[:i]
			break
		}
	}
	if i := firstInvalid(text); i >= 0 {
		return i
	}
	return len(text)
}

func isBadRune(text []byte, replaced bool) bool {
	return bytes.HasPrefix(text, []byte(utf8BOM)) || replaced && bytes.HasPrefix(text, []byte(replacement))
}

// describeBad says what is wrong with the byte at the start of text.
func (x *cutter) describeBad(text []byte, offset int64) (code string, size int, message string) {
	switch {
	case text[0] == 0:
		return CodeNulByte, 1, "the cell holds a NUL byte: remove it"
	case text[0] == substitute:
		return CodeControlCharacter, 1, "the cell holds the character U+001A, with which DOS programs mark the end of a file: remove it"
	case bytes.HasPrefix(text, []byte(utf8BOM)):
		return CodeByteOrderMark, len(utf8BOM), "the cell holds a byte order mark (U+FEFF), as it stands between files that were put together: remove it"
	case x.replaced && bytes.HasPrefix(text, []byte(replacement)):
		return CodeEncoding, len(replacement), "the cell holds a character that could not be decoded (now U+FFFD): check --encoding, or mend the row"
	}
	return CodeEncoding, 1, fmt.Sprintf("the byte 0x%02X at offset %d is not UTF-8: give the file's charset with --encoding, or mend the row", text[0], offset)
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
	l.line += int64(countLineEnds(between))
	for l.column < len(l.spans) && l.spans[l.column].raw <= to {
		l.column++
	}
}
