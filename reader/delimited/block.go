package delimited

import (
	"bytes"
	"errors"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// block is records that a RecordReader has found, and their text.
type block struct {
	reader *RecordReader
	text   []byte // holds the pieces
	start  int64  // the offset of text[0]
	first  int64  // the number of the first record

	pieces   []piece
	quoted   []quoted
	spans    []span  // of quoted
	literals []int64 // of quoted

	from, to table.Mark
	warnings warnings
	cutter   cutter
	searched bool // cutter.clean is known
}

// piece is a record that was found. Only its quotes are looked at so far.
type piece struct {
	offset int64 // as in Position
	line   int64 // physical
	size   int
	quoted int // its number in block.quoted, from 1; 0 for most records
}

// quoted is what is known of a record with quotes, or of one over the limit,
// whose text is not kept.
type quoted struct {
	spans    []span
	literals []int64
	findings []verdict.Finding
	lines    int
	tooLong  bool
}

func (b *block) Len() int { return len(b.pieces) }

func (b *block) Marks() (from, to table.Mark) { return b.from, b.to }

func (b *block) Warnings() []table.Warning { return b.warnings.list() }

func (b *block) Reset() {
	clear(b.quoted) // for the garbage collector
	b.pieces, b.quoted, b.spans, b.literals = b.pieces[:0], b.quoted[:0], b.spans[:0], b.literals[:0]
	b.searched = false
	b.warnings.reset()
	for _, memory := range []*[]byte{&b.text, &b.cutter.scratch} {
		if cap(*memory) > 4*b.cutter.dialect.BlockBytes {
			*memory = nil // one long record has taken it
		}
	}
}

func (b *block) Find(most int) error { return b.reader.fill(b, most) }

func (b *block) Cut(i int, rec *table.Record) {
	if !b.searched {
		text := b.extent()
		b.cutter.clean, b.searched = table.FirstBad(text, b.cutter.lossy) == len(text), true
	}
	p := &b.pieces[i]
	rec.Position.File, rec.Position.Line = b.reader.text.Name, p.line
	rec.Position.Record, rec.Position.Offset = b.first+int64(i), p.offset
	if p.quoted == 0 {
		rec.Lines, rec.Raw, rec.Findings = 1, b.raw(p), nil
		b.cutter.cut(rec, nil)
		return
	}
	q := &b.quoted[p.quoted-1]
	rec.Lines, rec.Cells, rec.Raw, rec.Findings = q.lines, nil, nil, q.findings
	if !q.tooLong {
		rec.Raw = b.raw(p)
		b.cutter.cut(rec, q.spans)
		b.warnings.noteLiterals(rec, q.literals)
	}
}

// raw returns the text of a record.
func (b *block) raw(p *piece) []byte {
	at := int(p.offset - b.start)
	return b.text[at : at+p.size : at+p.size]
}

// extent returns the text from the first record to the end of the last. It is
// empty where there is none that was kept.
func (b *block) extent() []byte {
	first, last := &b.pieces[0], &b.pieces[len(b.pieces)-1]
	if last.quoted > 0 && b.quoted[last.quoted-1].tooLong {
		return nil // it is alone
	}
	return b.text[first.offset-b.start : last.offset-b.start+int64(last.size)]
}

// add takes a record that was found at a position.
func (b *block) add(at verdict.Position, c *cut, spans []span, literals []int64) {
	p := piece{offset: at.Offset, line: at.Line, size: c.end}
	if len(spans) > 0 || c.tooLong {
		from, fromLiterals := len(b.spans), len(b.literals)
		b.spans, b.literals = append(b.spans, spans...), append(b.literals, literals...)
		b.quoted = append(b.quoted, quoted{b.spans[from:], b.literals[fromLiterals:], c.findings, c.lines, c.tooLong})
		p.quoted = len(b.quoted)
	}
	b.pieces = append(b.pieces, p)
}

// fill finds the records of the next block, at most so many. The block ends
// where more of the text would have to be read: so no row waits for bytes that
// may be long in coming, and the records stay where they are. A record over the
// limit, whose text is not kept, is alone in its block. The error is that of Read.
func (r *RecordReader) fill(b *block, most int) error {
	b.first, b.from = r.records, r.mark()
	skipping := false // b.to is where the last record ended
	for tooLong := false; r.err == nil && !tooLong && len(b.pieces) < most; {
		if size, plain := r.plainLine(); plain {
			b.pieces = append(b.pieces, piece{offset: r.text.Base + r.place(0), line: r.line, size: size})
			r.pos += size + 1
			r.line++
			r.records++
			skipping = false
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
		if c.skip && !skipping {
			b.to = r.mark()
		}
		if skipping = c.skip; !skipping {
			b.add(at, &c, r.spans, r.literals)
		}
		r.advance(&c)
		tooLong = c.tooLong
	}
	if !skipping {
		b.to = r.mark()
	}
	r.hold = false
	b.warnings, r.warnings = r.warnings, b.warnings // which are none
	if len(b.pieces) > 0 {
		r.handOver(b)
	}
	return r.err
}

// plainLine returns the length of the next line where that is all of a record behind
// the header, as it nearly always is: it is in the buffer and ends with LF, it has
// neither quotes nor CR, and a first cell. For everything else there is split.
func (r *RecordReader) plainLine() (size int, plain bool) {
	text := r.buf[r.pos:r.end]
	size = bytes.IndexByte(text, '\n')
	return size, size > 0 && size <= r.dialect.MaxRecordBytes && text[0] != r.dialect.Delimiter && r.records > 0 &&
		r.find(&r.cr, '\r', 0) > size && (r.dialect.Quotes == table.QuotesNone || r.find(&r.quote, '"', 0) > size)
}

// handOver returns the buffer to a block and goes on in that of the block.
func (r *RecordReader) handOver(b *block) {
	b.start = r.text.Base + r.off
	next, text := b.text, r.buf
	if unread := r.end - r.pos; len(next) < r.dialect.BlockBytes || len(next) <= unread {
		next = make([]byte, max(r.dialect.BlockBytes, 2*unread))
	}
	b.text = text
	r.moveTo(next)
}
