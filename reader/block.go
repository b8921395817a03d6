package reader

import (
	"bytes"
	"errors"
	"slices"

	"poolfill/reader/verdict"
)

const (
	// blockRows bounds the rows of a block. With firstBuffer, the bound of its
	// bytes, it makes a block large enough that handing it over costs next to
	// nothing, and small enough that a few of them are little memory.
	blockRows = 4096
	// spareBytes is how much memory for text, and as much for JSON, a block
	// keeps for its next use.
	spareBytes = 4 * firstBuffer
)

// blockSize says how much is read and parsed in one go.
type blockSize struct {
	bytes int // of the buffer, which grows where a record has more
	rows  int
}

// block is records that stand one after the other: found by a RecordReader,
// made rows by a parser. Its memory is used again for later blocks.
type block struct {
	text  []byte // holds the pieces
	start int64  // the offset of text[0]
	first int64  // the number of the first record

	pieces   []piece
	quoted   []quoted
	spans    []span  // of quoted
	literals []int64 // of quoted

	// err is what comes after these records.
	err error
	// bytes counts the stored bytes that were read so far; sum is their hash
	// where they are all.
	bytes int64
	sum   string

	rows     []Row
	json     []byte // of rows
	odd      recordWarnings
	warnings warningLog

	parsed chan struct{} // has an entry when the rows are there
}

// piece is a record that was found. Only its quotes are looked at so far.
type piece struct {
	offset int64 // as in Position
	line   int64 // physical; of a Source the number of the row
	size   int
	quoted int // its number in block.quoted, from 1; 0 for most records
}

// quoted is what is known of a record with quotes, or of one over the limit,
// whose text is not kept.
type quoted struct {
	spans    []span
	literals []int64
	findings []verdict.Finding
	tooLong  bool
}

func newBlock() *block { return &block{parsed: make(chan struct{}, 1)} }

// reset makes the block ready for its next use.
func (b *block) reset() {
	clear(b.rows) // also for the garbage collector: rejected rows are the caller's
	clear(b.quoted)
	b.rows, b.json = b.rows[:0], spare(b.json)[:0]
	b.pieces, b.quoted, b.spans, b.literals = b.pieces[:0], b.quoted[:0], b.spans[:0], b.literals[:0]
	b.text, b.err, b.sum = spare(b.text), nil, ""
	b.odd = recordWarnings{}
	b.warnings.reset()
}

// spare gives memory back that one long record has taken.
func spare(memory []byte) []byte {
	if cap(memory) > spareBytes {
		return nil
	}
	return memory
}

// fill finds the records of the next block, at most so many. The block ends
// where more of the text would have to be read: so no row waits for bytes that
// may be long in coming, and the records stay where they are. It has no record
// only where there is an error, and one over the limit, whose text is not kept,
// is alone in its block. The error is that of Read.
func (r *RecordReader) fill(b *block, most int) error {
	b.first = r.records
	for tooLong := false; r.err == nil && !tooLong && len(b.pieces) < most; {
		if size, plain := r.plainLine(); plain {
			b.pieces = append(b.pieces, piece{offset: r.base + r.place(0), line: r.line, size: size})
			r.pos += size + 1
			r.line++
			r.records++
			continue
		}
		r.hold = len(b.pieces) > 0
		at := r.position()
		c, err := r.split()
		if errors.Is(err, errHeld) {
			break
		}
		if err != nil {
			r.err = err
			break
		}
		if !c.skip {
			b.add(at, &c, r.spans, r.literals)
		}
		r.advance(&c)
		tooLong = c.tooLong
	}
	r.hold = false
	b.odd, r.warnings = r.warnings, recordWarnings{}
	if len(b.pieces) > 0 {
		r.handOver(b)
	}
	return r.err
}

// plainLine gives the length of the next line where that is all of a record behind
// the header, as it nearly always is: it is in the buffer and ends with LF, it has
// neither quotes nor CR, and a first cell. For everything else there is split.
func (r *RecordReader) plainLine() (size int, plain bool) {
	text := r.buf[r.pos:r.end]
	size = bytes.IndexByte(text, '\n')
	return size, size > 0 && size <= r.dialect.MaxRecordBytes && text[0] != r.dialect.Delimiter && r.records > 0 &&
		r.find(&r.cr, '\r', 0) > size && (r.dialect.Quotes == QuotesNone || r.find(&r.quote, '"', 0) > size)
}

// add takes a record that was found at a position.
func (b *block) add(at verdict.Position, c *cut, spans []span, literals []int64) {
	p := piece{offset: at.Offset, line: at.Line, size: c.end}
	if len(spans) > 0 || c.tooLong {
		from, fromLiterals := len(b.spans), len(b.literals)
		b.spans, b.literals = append(b.spans, spans...), append(b.literals, literals...)
		b.quoted = append(b.quoted, quoted{b.spans[from:], b.literals[fromLiterals:], c.findings, c.tooLong})
		p.quoted = len(b.quoted)
	}
	b.pieces = append(b.pieces, p)
}

// numberRows gives the records of a Source the numbers of their rows for lines.
// given counts the records so far, the header included.
func (b *block) numberRows(name string, given int64) {
	for i := range b.pieces {
		b.pieces[i].line = b.first + int64(i)
	}
	var failed *ReadError
	if errors.As(b.err, &failed) {
		b.err = &ReadError{File: name, Line: given, Err: failed.Err}
	}
}

// handOver gives the buffer to a block and goes on in that of the block.
func (r *RecordReader) handOver(b *block) {
	b.start = r.base + r.off
	next, text := b.text, r.buf
	if unread := r.end - r.pos; len(next) < r.size || len(next) <= unread {
		next = make([]byte, max(r.size, 2*unread))
	}
	b.text = text
	r.moveTo(next)
}

// parser makes rows of the records of blocks.
type parser struct {
	file    string
	cutter  cutter
	mapping *mapping
	builder *rowBuilder
	source  bool // the input is a Source: its rows have no lines within
}

// parse fills the rows of a block, and what is odd about them.
func (p *parser) parse(b *block) {
	text := b.extent()
	clean := firstBad(text, p.cutter.replaced) == len(text)
	p.builder.json = slices.Grow(b.json, len(text)+len(text)/2) // mostly enough
	p.builder.warnings = &b.warnings
	b.rows = slices.Grow(b.rows, len(b.pieces))[:len(b.pieces)] // all zero
	rec := Record{Position: verdict.Position{File: p.file}}
	for i := range b.pieces {
		piece := &b.pieces[i]
		rec.Position.Line, rec.Position.Record, rec.Position.Offset = piece.line, b.first+int64(i), piece.offset
		rec.Cells, rec.Raw, rec.Findings = nil, nil, nil
		var q *quoted
		if piece.quoted > 0 {
			q = &b.quoted[piece.quoted-1]
			rec.Findings = q.findings
		}
		if q == nil || !q.tooLong {
			at := int(piece.offset - b.start)
			rec.Raw = b.text[at : at+piece.size : at+piece.size]
			if q == nil {
				p.cutter.cut(&rec, nil, clean)
			} else {
				p.cutter.cut(&rec, q.spans, clean)
				b.odd.noteLiterals(&rec, q.literals)
			}
		}
		p.row(&b.rows[i], &rec)
	}
	b.json = p.builder.json
}

// extent gives the text from the first record to the end of the last. It is
// empty where there is none that was kept.
func (b *block) extent() []byte {
	if len(b.pieces) == 0 {
		return nil
	}
	first, last := &b.pieces[0], &b.pieces[len(b.pieces)-1]
	if last.quoted > 0 && b.quoted[last.quoted-1].tooLong {
		return nil // it is alone
	}
	return b.text[first.offset-b.start : last.offset-b.start+int64(last.size)]
}

// row makes a row of a record.
func (p *parser) row(row *Row, rec *Record) {
	var findings []verdict.Finding
	switch {
	case len(rec.Findings) > 0:
		findings = nameFields(slices.Clone(rec.Findings), p.mapping.names)
	case len(rec.Cells) != len(p.mapping.names):
		findings = []verdict.Finding{p.mapping.countFinding(rec.Position.Line, rec.Cells)}
	default:
		findings = p.builder.build(&row.Task, rec.Position.Line, rec.Cells)
	}
	if len(findings) > 0 {
		for i := range findings {
			if p.source {
				findings[i].Line = rec.Position.Line
			}
		}
		row.Err = &RowError{Position: rec.Position, Findings: findings, Raw: bytes.Clone(rec.Raw)}
		return
	}
	row.Task.Position, row.Task.Raw = rec.Position, rec.Raw
}
