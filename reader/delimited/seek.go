package delimited

import "poolfill/reader/table"

// mark returns the place of what comes next.
func (r *RecordReader) mark() table.Mark {
	at := r.position()
	return table.Mark{Offset: at.Offset, Line: at.Line, Record: at.Record}
}

// goTo goes on at a mark behind what was read: in the file itself where it has
// the text as it is, or else by reading up to there.
func (r *RecordReader) goTo(m table.Mark) error {
	r.line, r.records = m.Line, m.Record
	// The byte before it tells whether the mark can be one.
	before := m.Offset - 1 - r.text.Base
	if before < r.place(0)-1 {
		return table.Misplaced(r.text.Name, m, "which is inside the header")
	}
	if before >= r.place(0) {
		if r.text.Seek != nil {
			if err := r.text.Seek(m.Offset - 1); err != nil {
				return err
			}
			r.pos, r.end, r.off, r.eof = 0, 0, before, false
			// They may tell of text that isn't in the buffer any more.
			r.lf, r.cr, r.quote, r.delim = lookahead{}, lookahead{}, lookahead{}, lookahead{}
		}
		if err := r.passTo(before); err != nil {
			return err
		}
		if r.pos == r.end {
			return table.Misplaced(r.text.Name, m, "which is behind its end")
		}
		if b := r.buf[r.pos]; b != '\n' && b != '\r' {
			return table.Misplaced(r.text.Name, m, "which is inside a line")
		}
		r.pos++
	}
	return nil
}

// passTo goes on at a place of the text, or at its end where that comes first.
func (r *RecordReader) passTo(place int64) error {
	for {
		r.pos = int(min(int64(r.end), place-r.off))
		switch {
		case r.pos < r.end:
			return nil
		case r.eof:
			return r.failure()
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}
