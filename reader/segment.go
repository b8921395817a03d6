package reader

import (
	"context"
	"errors"
	"fmt"
	"io"

	"poolfill/reader/table"
)

// Mark is a place between two rows of an input. It is good for the same bytes
// read with the same Config, on any machine.
type Mark = table.Mark

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

// Cut finds segments of at most so many rows of a file or URL, and returns them in their
// order. The rows of all segments, each read with Segment.Config, are those of
// the file read whole with cfg: with the same positions and findings. The cuts
// depend on nothing but the file, cfg and rows.
//
// It reads the whole file, as far as cfg.LimitRows lets it, and finds where its
// records end; what is in their cells it doesn't look at, except for quotes.
// Its errors are those of Open and of Next, and that of yield, which ends it.
// The Info is that of the end; its SHA256 is empty where the end was not read.
//
// The memory is that of one block.
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
		if failed := r.Close(); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	if in, ok := r.origin.(*input); !ok || !in.lasting {
		return Info{}, fmt.Errorf("%s is no regular file: only a file can be cut into segments, as each of them is read by itself", path)
	}
	if err := r.cut(rows, yield); err != nil {
		return Info{}, err
	}
	info = r.Info()
	info.Bytes, info.SHA256 = r.origin.progress()
	return info, nil
}

// cut finds the segments of what is still to be read.
func (r *Reader) cut(rows int64, yield func(Segment) error) error {
	b := r.pool.get()
	err := r.finder.pass(b)
	_, behind := b.records.Marks() // zero where no row was found yet
	for left := r.cfg.LimitRows; ; {
		s, most := Segment{From: behind}, rows
		if r.cfg.LimitRows > 0 {
			most = min(most, left)
		}
		for err == nil && s.Rows < most {
			b.records.Reset()
			err = b.records.Find(int(min(most-s.Rows, blockRows)))
			if b.records.Len() == 0 {
				break
			}
			from, to := b.records.Marks()
			if s.From.Record == 0 {
				s.From = from
			}
			s.Rows += int64(b.records.Len())
			s.Bytes, behind = to.Offset-s.From.Offset, to
		}
		if r.finder.found += s.Rows; s.Rows > 0 {
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
