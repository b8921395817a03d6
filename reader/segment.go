package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Mark is a place between two rows of an input. It is good for the same bytes
// read with the same Config, on any machine.
type Mark struct {
	// Offset is the place in the text, as in Position.Offset.
	Offset int64 `json:"offset"`
	// Line and Record are the numbers of the physical line and of the data row
	// that come next, both from 1.
	Line   int64 `json:"line"`
	Record int64 `json:"record"`
}

// Segment is rows of an input that stand one after the other.
type Segment struct {
	// From is behind the row before the first one. Empty lines between the two
	// belong to this segment; those after an input's last row belong to none.
	From Mark `json:"from"`
	// Rows is how many rows it has, at least 1; those are counted that can't
	// become tasks, and those are not that the reader skips.
	Rows int64 `json:"rows"`
	// Bytes is the length of its text, up to the end of its last row.
	Bytes int64 `json:"bytes"`
}

// Config is cfg for the rows of the segment alone. The header is read and
// checked all the same.
func (s Segment) Config(cfg Config) Config {
	from := s.From
	cfg.From, cfg.SkipRows, cfg.LimitRows = &from, 0, s.Rows
	return cfg
}

// validate gives what is wrong with a mark by itself.
func (m *Mark) validate() error {
	if m.Offset < 1 || m.Line < 1 || m.Record < 1 {
		return fmt.Errorf("no row can begin at offset %d, line %d, as row %d", m.Offset, m.Line, m.Record)
	}
	return nil
}

// Cut finds segments of at most so many rows of a file or URL, and gives them in their
// order. The rows of all segments, each read with Segment.Config, are those of
// the file read whole with cfg: with the same positions and findings. The cuts
// depend on nothing but the file, cfg and rows.
//
// It reads the whole file, as far as cfg.LimitRows lets it, and finds where its
// records end; what is in their cells it doesn't look at, except for quotes.
// Its errors are those of Open and of Next, and that of yield, which ends it.
// The Info is that of the end; its SHA256 is empty where the end was not read.
//
// The memory is that of a RecordReader.
func Cut(ctx context.Context, path string, cfg Config, rows int64, yield func(Segment) error) (info Info, err error) {
	if rows < 1 {
		return Info{}, fmt.Errorf("a segment can't have %d rows", rows)
	}
	if path == stdinName || cfg.From != nil {
		return Info{}, errors.New("only a whole file can be cut into segments")
	}
	r, err := Open(ctx, path, nil, cfg)
	if err != nil {
		return Info{}, err
	}
	defer func() {
		if closing := r.Close(); closing != nil {
			err = errors.Join(err, closing)
		}
	}()
	if !r.in.lasting {
		return Info{}, fmt.Errorf("%s is no regular file: only a file can be cut into segments, as each of them is read by itself", path)
	}
	if err := r.cut(rows, yield); err != nil {
		return Info{}, err
	}
	info = r.Info()
	info.Bytes, info.SHA256 = r.in.stored.bytes, r.in.stored.sum
	return info, nil
}

// cut gives the segments of what is still to be read.
func (r *Reader) cut(rows int64, yield func(Segment) error) error {
	records, left := r.finder.records, r.cfg.LimitRows
	for range r.cfg.SkipRows {
		if _, err := records.Read(); err != nil {
			break // comes again
		}
	}
	for {
		most := rows
		if r.cfg.LimitRows > 0 {
			most = min(most, left)
		}
		s, err := records.segment(most)
		if s.Rows > 0 {
			if err := yield(s); err != nil {
				return err
			}
		}
		left -= s.Rows
		switch err = r.finder.atEnd(err); {
		case errors.Is(err, io.EOF), err == nil && r.cfg.LimitRows > 0 && left == 0:
			return nil
		case err != nil:
			return err
		}
	}
}

// segment passes over the next so many records. It has fewer only where there
// is an error, which is that of Read.
func (r *RecordReader) segment(rows int64) (Segment, error) {
	s := Segment{From: r.mark()}
	for r.err == nil && s.Rows < rows {
		c, err := r.split()
		if err != nil {
			r.err = err
			break
		}
		r.advance(&c)
		if !c.skip {
			s.Rows++
			s.Bytes = r.base + r.place(0) - s.From.Offset
		}
	}
	if s.Rows == rows {
		return s, nil
	}
	return s, r.err
}

func (r *RecordReader) mark() Mark {
	at := r.position()
	return Mark{Offset: at.Offset, Line: at.Line, Record: at.Record}
}

// goTo goes on at a mark behind what was read: in the file itself where it has
// the text as it is, or else by reading up to there.
func (r *RecordReader) goTo(m Mark, in *input) error {
	r.line, r.records = m.Line, m.Record
	// The byte before it tells whether the mark can be one.
	before := m.Offset - 1 - r.base
	if before < r.place(0)-1 {
		return r.misplaced(m, "which is inside the header")
	}
	if before >= r.place(0) {
		if in.seekable() {
			if err := in.seek(m.Offset - 1); err != nil {
				return err
			}
			r.pos, r.end, r.off, r.eof = 0, 0, before, false
			// They may tell of text that isn't in the buffer any more.
			r.lf, r.cr, r.quote, r.delim = sight{}, sight{}, sight{}, sight{}
		}
		if err := r.passTo(before); err != nil {
			return err
		}
		if r.pos == r.end {
			return r.misplaced(m, "which is behind its end")
		}
		if b := r.buf[r.pos]; b != '\n' && b != '\r' {
			return r.misplaced(m, "which is inside a line")
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

func (r *RecordReader) misplaced(m Mark, where string) error {
	return fmt.Errorf("%s: row %d can't be read at offset %d, %s: the file has changed since it was cut into segments", r.name, m.Record, m.Offset, where)
}

// seekable says whether the text stands in a file as it is, so that reading can
// go on anywhere in it.
func (in *input) seekable() bool {
	return in.seeker != nil && in.kind == "" && in.charset.decoding == nil
}

// seek goes on at a place of the file. What was read is no longer hashed.
func (in *input) seek(offset int64) error {
	s := in.stored
	if _, err := in.seeker.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("%s: the file can't be read from offset %d: %w", in.name, offset, err)
	}
	s.hash, s.sum = nil, ""
	in.start, in.given, in.err = nil, 0, nil
	in.text = &plainReader{src: s, stored: bytes.NewReader(nil)}
	return nil
}
