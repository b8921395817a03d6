package delimited

import (
	"bytes"
	"io"
	"slices"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

const (
	// bufferSlack is what the buffer may have over the limit of one record, so
	// that reads at the limit don't become tiny.
	bufferSlack = 64 << 10
	// maxEmptyReads is how often a reader may return nothing before it counts as
	// stuck.
	maxEmptyReads = 100
)

// RecordReader cuts UTF-8 text into records and cells.
//
// Memory: one buffer, which grows to the longest record and never beyond
// Dialect.MaxRecordBytes and a constant, and as much again for cells whose
// quotes had to be undone.
//
// Time is linear in the text, whatever its quotes. Only a quoted cell looks
// beyond the line on which it stands, and the look ends at the first run of an
// odd number of quotes. Where it was in vain, reading goes on at the next line,
// and the next vain look can only start at an odd run, hence not before the end
// of the last one: no stretch is looked at by two of them.
//
// It is not safe for concurrent use.
type RecordReader struct {
	text    *table.Text
	dialect Dialect
	started bool // the byte order mark is gone

	buf  []byte
	pos  int   // where the current record starts in buf
	end  int   // the end of the text in buf
	off  int64 // the place of buf[0] in the text
	hold bool  // records before pos are still needed: buf must stay as it is
	eof  bool
	err  error // ends all reading, once the buffer is used up
	fail error // what reading failed with

	// Where these bytes come next; see find.
	lf, cr, quote, delim lookahead
	// searched counts the bytes that closing went over; a test bounds it.
	searched int64

	line    int64 // physical line of pos
	records int64 // records given so far, the header included
	want    int   // delimiters in the header; -1 before it is known

	// spans has the cells of a record with quotes.
	spans []span
	// literals has the lines of cells with quotes that are ordinary characters.
	literals []int64

	cutter   cutter
	warnings warnings
}

// lookahead remembers where a byte comes next: between from and at it doesn't.
type lookahead struct {
	from, at int64
	found    bool // the byte is at at; false: it was not searched beyond
}

// NewRecordReader reads the records of r, which returns UTF-8 text; a byte order
// mark at its start is dropped. The name stands in positions and errors.
// A dialect that can't be is reported by the first Read.
func NewRecordReader(name string, r io.Reader, d Dialect) *RecordReader {
	return newRecordReader(&table.Text{Reader: r, Name: name}, d)
}

func newRecordReader(text *table.Text, d Dialect) *RecordReader {
	d = d.withDefaults()
	return &RecordReader{
		text: text, dialect: d, line: 1, want: -1, err: d.validate(),
		cutter: cutter{dialect: d, lossy: text.Lossy},
	}
}

// start drops a byte order mark at the start of the text.
func (r *RecordReader) start() {
	r.started = true
	for r.end < len(table.ByteOrderMark) && !r.eof {
		_ = r.more() // nothing is held yet
	}
	if bytes.HasPrefix(r.buf[:r.end], []byte(table.ByteOrderMark)) {
		r.pos = len(table.ByteOrderMark)
	}
}

// Warnings lists what was odd but stopped no record so far: EMPTY_ROW and
// LITERAL_QUOTE, each counted once for each row or cell, with the first few
// lines. It is empty where there was nothing.
func (r *RecordReader) Warnings() []table.Warning {
	list := slices.Clone(r.warnings.list())
	for i := range list {
		list[i].Lines = slices.Clone(list[i].Lines)
	}
	return list
}

// Read returns the next record. The error is io.EOF at the end and a *table.ReadError
// where the input can't be read on; a broken record is no error.
func (r *RecordReader) Read() (table.Record, error) {
	if !r.started && r.err == nil {
		r.start()
	}
	for r.err == nil {
		rec := table.Record{Position: r.position()}
		c, err := r.split()
		if err != nil {
			r.err = err
			break
		}
		if !c.skip {
			rec.Lines, rec.Findings = c.lines, c.findings
			if !c.tooLong {
				rec.Raw = r.buf[r.pos : r.pos+c.end : r.pos+c.end]
				r.cutter.cut(&rec, r.spans)
				r.warnings.noteLiterals(&rec, r.literals)
			}
		}
		r.advance(&c)
		if !c.skip {
			return rec, nil
		}
	}
	return table.Record{}, r.err
}

// position is that of the record that comes next.
func (r *RecordReader) position() verdict.Position {
	return verdict.Position{File: r.text.Name, Line: r.line, Record: r.records, Offset: r.text.Base + r.place(0)}
}

// advance moves behind a record, or behind what was no record.
func (r *RecordReader) advance(c *cut) {
	if !c.skip {
		if r.want < 0 {
			r.want = c.delimiters
		}
		r.records++
	}
	r.pos += c.next
	r.line += int64(c.lines)
}

// cut is what is known of one record. Places are counted from the record's
// start, since the buffer may move while more is read.
type cut struct {
	end   int // the end of the record: a line end, or the end of the text
	next  int // where reading goes on
	lines int // physical lines from the record's start to next
	cell  int // where the current cell starts
	// skip says that this is no record: an empty line, or delimiters only.
	skip bool
	// tooLong says that the record is not kept.
	tooLong bool
	// delimiters counts those of the header outside quotes; it is not counted
	// for other records without quotes.
	delimiters int
	findings   []verdict.Finding
}

// add keeps a finding about the record, up to a bound.
func (c *cut) add(f verdict.Finding) { c.findings, _ = table.AddFinding(c.findings, f) }

// split finds the next record. One with quotes it cuts into r.spans, since
// where its cells end tells where it ends.
func (r *RecordReader) split() (cut, error) {
	r.spans, r.literals = r.spans[:0], r.literals[:0]
	end, next, over, err := r.lineEnd(0)
	if err != nil {
		return cut{}, err
	}
	c := cut{end: end, next: next, lines: 1}
	switch {
	case over:
		return r.tooLong(c)
	case next == 0:
		return cut{}, io.EOF
	case end == 0:
		c.skip = true
		return c, nil
	}
	if r.dialect.Quotes != table.QuotesNone && r.find(&r.quote, '"', 0) < end {
		over, err := r.cutQuoted(&c)
		if err != nil {
			return cut{}, err
		}
		if over {
			return r.tooLong(c)
		}
		return c, nil
	}
	text := r.buf[r.pos : r.pos+end]
	switch {
	case r.records == 0:
		c.delimiters = bytes.Count(text, []byte{r.dialect.Delimiter})
	case text[0] == r.dialect.Delimiter && bytes.Count(text, text[:1]) == len(text):
		r.warnings.emptyRows.Note(r.line)
		c.skip = true
	}
	return c, nil
}

// line is the physical line that the cut has come to.
func (c *cut) line(r *RecordReader) int64 { return r.line + int64(c.lines) - 1 }

// tooLong makes a record that is over the limit. It goes to the end of the
// physical line on which the limit was passed, and none of it is kept.
func (r *RecordReader) tooLong(c cut) (cut, error) {
	if r.hold {
		// What is skipped below could not be read again.
		return cut{}, errHeld
	}
	text := r.buf[r.pos:min(r.pos+r.dialect.MaxRecordBytes, r.end)]
	c.delimiters = bytes.Count(text, []byte{r.dialect.Delimiter})
	last := text[bytes.LastIndexByte(text, r.dialect.Delimiter)+1:]
	if c.lines == 1 && len(last) > r.dialect.MaxCellBytes {
		c.add(r.dialect.CellTooLong(r.line, c.delimiters+1, last))
	} else {
		c.add(r.dialect.RecordTooLong(r.line))
	}
	c.tooLong, c.end = true, 0
	for from := c.next; ; from = 0 {
		end, next, over, err := r.lineEnd(from)
		if err != nil {
			return cut{}, err
		}
		if !over {
			c.next = next
			return c, nil
		}
		r.pos += end
	}
}

// lineEnd finds the end of the physical line on which from stands, and the
// start of the next one. Beyond the limit of a record the search stops with
// over; end is then how far it came.
func (r *RecordReader) lineEnd(from int) (end, next int, over bool, err error) {
	for {
		text := r.buf[r.pos:r.end]
		end = min(r.find(&r.lf, '\n', from), r.find(&r.cr, '\r', from))
		switch {
		case end > r.dialect.MaxRecordBytes:
			return end, end, true, nil
		case end < len(text) && (r.eof || completeLineEnd(text[end:])):
			return end, end + table.LineEndLen(text[end:]), false, nil
		case r.eof:
			return end, end, false, r.failure()
		}
		if err := r.more(); err != nil {
			return 0, 0, false, err
		}
	}
}

// completeLineEnd reports whether the whole line end at the start of text is
// there.
func completeLineEnd(text []byte) bool {
	return text[0] == '\n' || len(text) > 2 || len(text) == 2 && text[1] != '\r'
}
