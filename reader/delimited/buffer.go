package delimited

import (
	"errors"
	"io"

	"poolfill/reader/table"
)

// place returns the place in the whole text of what is at counted from the
// record's start.
func (r *RecordReader) place(at int) int64 { return r.off + int64(r.pos+at) }

// find returns the place at or after from where the byte comes next, or the end
// of what was read. It never searches a stretch twice as long as from doesn't
// go back.
func (r *RecordReader) find(m *lookahead, b byte, from int) int {
	place := r.place(from)
	if place < m.from || place > m.at {
		*m = lookahead{from: place, at: place}
	}
	if !m.found {
		i := indexFrom(r.buf[:r.end], b, int(m.at-r.off))
		m.at, m.found = r.off+int64(i), i < r.end
	}
	return int(m.at - r.place(0))
}

// errHeld says that a record is not in the buffer as a whole, and that the
// buffer must stay as it is for the records before.
var errHeld = errors.New("the buffer is held")

// more reads more of the text. At its end, or where reading fails, it sets
// r.eof.
func (r *RecordReader) more() error {
	if r.hold {
		return errHeld
	}
	if r.end == len(r.buf) {
		r.makeRoom()
	}
	for range maxEmptyReads {
		n, err := r.text.Read(r.buf[r.end:min(r.end+r.dialect.BlockBytes, len(r.buf))])
		r.end += n
		if err != nil {
			r.eof = true
			if !errors.Is(err, io.EOF) {
				r.fail = err
			}
			return nil
		}
		if n > 0 {
			return nil
		}
	}
	r.eof, r.fail = true, io.ErrNoProgress
	return nil
}

// makeRoom moves the unread text to the front of the buffer where that frees
// half of it, or where it may not grow; else it grows.
func (r *RecordReader) makeRoom() {
	buf, most := r.buf, max(r.dialect.BlockBytes, r.dialect.MaxRecordBytes+bufferSlack)
	switch unread := r.end - r.pos; {
	case len(buf) == 0:
		buf = make([]byte, r.dialect.BlockBytes)
	case unread > len(buf)/2 && len(buf) < most:
		buf = make([]byte, min(2*len(buf), most))
	}
	r.moveTo(buf)
}

// moveTo goes on with the unread text in another buffer, or at the front of
// the same one.
func (r *RecordReader) moveTo(buf []byte) {
	r.end = copy(buf, r.buf[r.pos:r.end])
	r.off += int64(r.pos)
	r.buf, r.pos = buf, 0
}

// failure returns the error where the text ended because reading failed.
func (r *RecordReader) failure() error {
	if r.fail == nil {
		return nil
	}
	return &table.ReadError{File: r.text.Name, Line: r.line + int64(table.CountLineEnds(r.buf[r.pos:r.end])), Err: r.fail}
}
