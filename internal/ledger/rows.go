package ledger

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"poolfill/reader/verdict"
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

// Key tells tasks apart by all that they hold; it is the key that batcher gives
// them.
type Key = [16]byte

// Row is what became of one row.
type Row struct {
	// File is the number of the run's file, from 0; Line and Record are as in
	// verdict.Position.
	File         int
	Line, Record int64
	Status       Status
	// TaskID is the created task's, where it is known.
	TaskID string
	// Reason says why a row is unsent, or lacks its task's id.
	Reason string
	// Findings says why a row was rejected, and Raw is the row as it stood.
	Findings []verdict.Finding
	Raw      []byte
}

// position is where a row stands in the inputs of its run.
type position struct {
	file   int
	record int64
}

// last is behind all rows.
var last = position{math.MaxInt, math.MaxInt64}

func (r *Row) position() position { return position{r.File, r.Record} }

func (p position) compare(q position) int {
	if p.file != q.file {
		return cmp.Compare(p.file, q.file)
	}
	return cmp.Compare(p.record, q.record)
}

// A blob holds the rows of a chunk or a segment as columns:
//
//	version, 1 byte
//	number of rows, number of ids, and the ids, see appendIDs
//	runs of rows that are alike: status (with withID where they have ids), the
//	    differences of file, line and record to the row before, number of rows
//	details in zstd, up to the end; nothing where no row has any
//	CRC-32 of all that, 4 bytes
//
// Numbers are varints. The rows of a chunk mostly are alike but for their ids,
// so that these are nearly all of it, and nothing else is worth compressing.
const (
	blobVersion = 1
	withID      = 0x80 // no status is that large
	// maxRows bounds the rows of a blob against what a damaged one asks for.
	maxRows = 1 << 24
)

// codec packs rows into blobs. It is safe for concurrent use.
type codec struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	packers sync.Pool // of *packer
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

// packer packs one blob at a time. What it gives is valid until it is released.
type packer struct {
	codec   *codec
	blob    []byte
	runs    []byte
	ids     []string
	details []byte
	keys    []byte // never nil, which would be NULL

	rows   int
	counts [256]int // by status
	first  position // of the row that comes first in the inputs
}

func (c *codec) packer() *packer {
	if p, ok := c.packers.Get().(*packer); ok {
		return p
	}
	return &packer{codec: c, keys: []byte{}}
}

func (p *packer) release() {
	clear(p.ids)
	p.codec.packers.Put(p)
}

// run is what rows that follow each other have in common.
type run struct {
	status             byte
	file, line, record int64 // what they differ by from the row before
}

// detail is what only few rows have.
type detail struct {
	Reason   string            `json:"r,omitempty"`
	Findings []verdict.Finding `json:"f,omitempty"`
	Raw      []byte            `json:"x,omitempty"`
}

// pack gives rows as a blob.
func (p *packer) pack(rows iter.Seq[*Row]) ([]byte, error) {
	p.runs, p.ids, p.details = p.runs[:0], p.ids[:0], p.details[:0]
	p.rows, p.counts, p.first = 0, [256]int{}, last
	var current run
	var line int64
	at := position{}
	alike := 0 // rows since the run began
	// The last row with details: its reason, whether that is all, and the row
	// after it.
	reason, plain, after := "", false, 0
	for r := range rows {
		next := run{byte(r.Status), int64(r.File - at.file), r.Line - line, r.Record - at.record}
		if r.TaskID != "" {
			next.status |= withID
			p.ids = append(p.ids, r.TaskID)
		}
		if next != current {
			p.endRun(current, alike)
			current, alike = next, 0
		}
		alike++
		if at, line = (position{r.File, r.Record}), r.Line; at.compare(p.first) < 0 {
			p.first = at
		}
		if r.Reason != "" || len(r.Findings) > 0 || r.Raw != nil {
			wasPlain := plain
			plain = len(r.Findings) == 0 && r.Raw == nil
			var text []byte // empty says: as in the row before
			if !plain || !wasPlain || p.rows != after || r.Reason != reason {
				var err error
				if text, err = json.Marshal(detail{r.Reason, r.Findings, r.Raw}); err != nil {
					return nil, err
				}
			}
			p.details = binary.AppendUvarint(p.details, uint64(p.rows-after))
			p.details = appendBytes(p.details, text)
			reason, after = r.Reason, p.rows+1
		}
		p.counts[r.Status]++
		p.rows++
	}
	p.endRun(current, alike)

	p.blob = append(p.blob[:0], blobVersion)
	p.blob = binary.AppendUvarint(p.blob, uint64(p.rows))
	p.blob = p.codec.appendIDs(p.blob, p.ids)
	p.blob = append(p.blob, p.runs...)
	if len(p.details) > 0 {
		p.blob = p.codec.enc.EncodeAll(p.details, p.blob)
	}
	p.blob = binary.LittleEndian.AppendUint32(p.blob, crc32.ChecksumIEEE(p.blob))
	return p.blob, nil
}

func (p *packer) endRun(r run, rows int) {
	if rows == 0 {
		return
	}
	p.runs = append(p.runs, r.status)
	p.runs = binary.AppendVarint(p.runs, r.file)
	p.runs = binary.AppendVarint(p.runs, r.line)
	p.runs = binary.AppendVarint(p.runs, r.record)
	p.runs = binary.AppendUvarint(p.runs, uint64(rows))
}

var errBlob = errors.New("a record of rows can't be read")

// unpack reads a blob. It overwrites rows, if they are enough.
func (c *codec) unpack(blob []byte, rows []Row) ([]Row, error) {
	body := blob[:max(0, len(blob)-crc32.Size)]
	if len(body) == 0 || crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(blob[len(body):]) {
		return nil, errBlob
	}
	if body[0] != blobVersion {
		return nil, fmt.Errorf("%w: its version is %d", errBlob, body[0])
	}
	s := &scanner{in: body[1:]}
	n := s.uvarint()
	if n > maxRows {
		return nil, errBlob
	}
	rows = slices.Grow(rows[:0], int(n))[:n]
	clear(rows)
	ids, err := c.readIDs(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlob, err)
	}
	var at position
	var atLine int64
	for left := rows; len(left) > 0 && !s.bad; {
		status := s.byte()
		file, line, record, alike := int(s.varint()), s.varint(), s.varint(), s.uvarint()
		if alike == 0 || alike > uint64(len(left)) {
			return nil, errBlob
		}
		for i := range left[:alike] {
			at.file, atLine, at.record = at.file+file, atLine+line, at.record+record
			// Field by field, which costs half of a copy of all of them.
			r := &left[i]
			r.File, r.Line, r.Record, r.Status = at.file, atLine, at.record, Status(status&^withID)
			if status&withID != 0 {
				r.TaskID = ids.next()
			}
		}
		left = left[alike:]
	}
	if s.bad || ids.bad {
		return nil, errBlob
	}
	if err := c.unpackDetails(rows, s.in); err != nil {
		return nil, fmt.Errorf("%w: %w", errBlob, err)
	}
	return rows, nil
}

func (c *codec) unpackDetails(rows []Row, packed []byte) error {
	if len(packed) == 0 {
		return nil
	}
	text, err := c.dec.DecodeAll(packed, nil)
	if err != nil {
		return err
	}
	s := &scanner{in: text}
	for i := uint64(0); len(s.in) > 0; i++ {
		i += s.uvarint()
		text := s.bytes()
		if s.bad || i >= uint64(len(rows)) || i == 0 && len(text) == 0 {
			return errors.New("its details end too early")
		}
		if len(text) == 0 {
			rows[i].Reason = rows[i-1].Reason
			continue
		}
		var more detail
		if err := json.Unmarshal(text, &more); err != nil {
			return err
		}
		rows[i].Reason, rows[i].Findings, rows[i].Raw = more.Reason, more.Findings, more.Raw
	}
	return nil
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// scanner reads numbers and byte strings; bad says that they ended too early.
type scanner struct {
	in  []byte
	bad bool
}

func (s *scanner) fail() { s.bad, s.in = true, nil }

func (s *scanner) byte() byte {
	if b := s.take(1); len(b) > 0 {
		return b[0]
	}
	return 0
}

func (s *scanner) uvarint() uint64 {
	n, size := binary.Uvarint(s.in)
	if size <= 0 {
		s.fail()
		return 0
	}
	s.in = s.in[size:]
	return n
}

func (s *scanner) varint() int64 {
	n, size := binary.Varint(s.in)
	if size <= 0 {
		s.fail()
		return 0
	}
	s.in = s.in[size:]
	return n
}

func (s *scanner) bytes() []byte { return s.take(s.uvarint()) }

func (s *scanner) take(n uint64) []byte {
	if n > uint64(len(s.in)) {
		s.fail()
		return nil
	}
	b := s.in[:n]
	s.in = s.in[n:]
	return b
}
