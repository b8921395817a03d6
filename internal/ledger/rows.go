package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"poolfill/batcher"
	"poolfill/reader"
)

// Status is what became of a row, as the ledger keeps it.
type Status byte

// The statuses of a row.
const (
	Created   Status = 'c'
	Rejected  Status = 'r'
	Duplicate Status = 'd'
	Unsent    Status = 'u'
	// InDoubt is a row that is not known to be created, and may be.
	InDoubt Status = '?'
)

// Key tells tasks apart by all that they hold.
type Key = batcher.Key

// Row is what became of one row.
type Row struct {
	// File is the number of the run's file, from 0; Line and Record are as in
	// reader.Position.
	File         int
	Line, Record int64
	Status       Status
	// TaskID is the created task's, where it is known.
	TaskID string
	// Reason says why a row is unsent, or lacks its task's id.
	Reason string
	// Findings says why a row was rejected, and Raw is the row as it stood.
	Findings []reader.Finding
	Raw      []byte
}

// codec packs the rows of a chunk. It is safe for concurrent use.
type codec struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	scratch sync.Pool // of *columns
}

// columns are what rows are taken apart into.
type columns struct{ positions, statuses, ids, details, all []byte }

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

// detail is what only few rows have.
type detail struct {
	Reason   string           `json:"r,omitempty"`
	Findings []reader.Finding `json:"f,omitempty"`
	Raw      []byte           `json:"x,omitempty"`
}

// pack writes rows as columns, since like things beside each other compress
// well: positions as differences, statuses, task ids, and details.
func (c *codec) pack(rows []Row) ([]byte, error) {
	k, ok := c.scratch.Get().(*columns)
	if !ok {
		k = &columns{}
	}
	defer c.scratch.Put(k)
	k.positions, k.statuses, k.ids, k.details = k.positions[:0], k.statuses[:0], k.ids[:0], k.details[:0]
	var file int
	var line, record int64
	for i := range rows {
		r := &rows[i]
		k.positions = binary.AppendVarint(k.positions, int64(r.File-file))
		k.positions = binary.AppendVarint(k.positions, r.Line-line)
		k.positions = binary.AppendVarint(k.positions, r.Record-record)
		file, line, record = r.File, r.Line, r.Record
		k.statuses = append(k.statuses, byte(r.Status))
		k.ids = append(binary.AppendUvarint(k.ids, uint64(len(r.TaskID))), r.TaskID...)
		if r.Reason == "" && len(r.Findings) == 0 && r.Raw == nil {
			continue
		}
		text, err := json.Marshal(detail{r.Reason, r.Findings, r.Raw})
		if err != nil {
			return nil, err
		}
		k.details = binary.AppendUvarint(k.details, uint64(i))
		k.details = appendBytes(k.details, text)
	}
	k.all = binary.AppendUvarint(k.all[:0], uint64(len(rows)))
	for _, column := range [...][]byte{k.positions, k.statuses, k.ids, k.details} {
		k.all = appendBytes(k.all, column)
	}
	return c.enc.EncodeAll(k.all, nil), nil
}

var errBlob = errors.New("a record of rows can't be read")

// unpack reads what pack wrote.
func (c *codec) unpack(blob []byte) ([]Row, error) {
	in, err := c.dec.DecodeAll(blob, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlob, err)
	}
	d := &scanner{in: in}
	n := d.uvarint()
	positions, statuses, ids, details := &scanner{in: d.bytes()}, d.bytes(), &scanner{in: d.bytes()}, &scanner{in: d.bytes()}
	if d.bad || uint64(len(statuses)) != n {
		return nil, errBlob
	}
	rows := make([]Row, n)
	var file int
	var line, record int64
	for i := range rows {
		file += int(positions.varint())
		line += positions.varint()
		record += positions.varint()
		rows[i] = Row{File: file, Line: line, Record: record, Status: Status(statuses[i]), TaskID: string(ids.bytes())}
	}
	for len(details.in) > 0 && !details.bad {
		i := details.uvarint()
		var more detail
		if i >= n || json.Unmarshal(details.bytes(), &more) != nil {
			return nil, errBlob
		}
		rows[i].Reason, rows[i].Findings, rows[i].Raw = more.Reason, more.Findings, more.Raw
	}
	if positions.bad || ids.bad || details.bad {
		return nil, errBlob
	}
	return rows, nil
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// scanner reads numbers and byte strings; bad says that they ended too early.
type scanner struct {
	in  []byte
	bad bool
}

func (s *scanner) uvarint() uint64 {
	n, size := binary.Uvarint(s.in)
	if size <= 0 {
		s.bad, s.in = true, nil
		return 0
	}
	s.in = s.in[size:]
	return n
}

func (s *scanner) varint() int64 {
	n, size := binary.Varint(s.in)
	if size <= 0 {
		s.bad, s.in = true, nil
		return 0
	}
	s.in = s.in[size:]
	return n
}

func (s *scanner) bytes() []byte {
	n := s.uvarint()
	if n > uint64(len(s.in)) {
		s.bad, s.in = true, nil
		return nil
	}
	b := s.in[:n]
	s.in = s.in[n:]
	return b
}
