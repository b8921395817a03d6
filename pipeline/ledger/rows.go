package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"poolfill/reader/verdict"
)

// Key tells tasks apart by all that they hold; it is the key that batcher makes
// of them.
type Key = [16]byte

// numbering finds the numbers of a run's files by their names. Rows of one file mostly
// come together, so it remembers the last one.
type numbering struct {
	names  []string
	number int
}

func (n *numbering) of(file string) (int, error) {
	for near := n.number; near < min(n.number+2, len(n.names)); near++ {
		if n.names[near] == file {
			n.number = near
			return near, nil
		}
	}
	if n.number = slices.Index(n.names, file); n.number < 0 {
		n.number = 0
		return 0, fmt.Errorf("the run has no file %q", file)
	}
	return n.number, nil
}

// position is where a row stands in the inputs of its run.
type position struct {
	file   int
	record int64
}

// last is behind all rows.
var last = position{math.MaxInt, math.MaxInt64}

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
//	of each row the difference of its offset to that of the row before
//	details in zstd, up to the end; nothing where no row has any
//	CRC-32 of all that, 4 bytes
//
// Numbers are varints. The rows of a chunk mostly are alike but for their ids and
// their lengths, so that these are nearly all of it, and nothing else is worth
// compressing.
const (
	blobVersion = 2
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

// packer packs one blob at a time. What it returns is valid until it is released.
type packer struct {
	codec   *codec
	blob    []byte
	runs    []byte
	ids     []string
	details []byte
	keys    []byte // never nil, which would be NULL

	offsets []byte

	rows   int
	counts [256]int // by the byte of the status
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

// The bytes of the statuses in a blob, by verdict.Status, and that of an Unsent row
// whose task may have been created.
const (
	statuses = "ucvrd"
	inDoubt  = '?'
)

func statusByte(v *verdict.Verdict) byte {
	if v.InDoubt {
		return inDoubt
	}
	return statuses[v.Status]
}

// statusOf is the way back of statusByte.
func statusOf(b byte) (status verdict.Status, doubtful, ok bool) {
	if b == inDoubt {
		return verdict.Unsent, true, true
	}
	i := strings.IndexByte(statuses, b)
	return verdict.Status(i), false, i >= 0
}

// pack returns rows as a blob.
func (p *packer) pack(files []string, rows iter.Seq[*verdict.Verdict]) ([]byte, error) {
	p.runs, p.ids, p.offsets, p.details = p.runs[:0], p.ids[:0], p.offsets[:0], p.details[:0]
	p.rows, p.counts, p.first = 0, [256]int{}, last
	numbers := numbering{names: files}
	var current run
	var line, offset int64
	at := position{}
	alike := 0 // rows since the run began
	// The last row with details: its reason, whether that is all, and the row
	// after it.
	reason, plain, after := "", false, 0
	for r := range rows {
		file, err := numbers.of(r.Position.File)
		if err != nil {
			return nil, err
		}
		status := statusByte(r)
		next := run{status, int64(file - at.file), r.Position.Line - line, r.Position.Record - at.record}
		if r.TaskID != "" {
			next.status |= withID
			p.ids = append(p.ids, r.TaskID)
		}
		if next != current {
			p.endRun(current, alike)
			current, alike = next, 0
		}
		alike++
		p.offsets = binary.AppendVarint(p.offsets, r.Position.Offset-offset)
		if at, line, offset = (position{file, r.Position.Record}), r.Position.Line, r.Position.Offset; at.compare(p.first) < 0 {
			p.first = at
		}
		if r.Reason != "" || len(r.Findings) > 0 || r.Raw != nil {
			wasPlain := plain
			plain = len(r.Findings) == 0 && r.Raw == nil
			p.details = binary.AppendUvarint(p.details, uint64(p.rows-after))
			if plain && wasPlain && p.rows == after && r.Reason == reason {
				p.details = append(p.details, asBefore)
			} else {
				p.details = appendDetail(append(p.details, ofItsOwn), r)
			}
			reason, after = r.Reason, p.rows+1
		}
		p.counts[status]++
		p.rows++
	}
	p.endRun(current, alike)

	p.blob = append(p.blob[:0], blobVersion)
	p.blob = binary.AppendUvarint(p.blob, uint64(p.rows))
	p.blob = p.codec.appendIDs(p.blob, p.ids)
	p.blob = append(append(p.blob, p.runs...), p.offsets...)
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

// unpack reads a blob of a run whose files have these names. It overwrites rows, if
// they are enough. Where files is nil, the rows' files stay unnamed.
func (c *codec) unpack(files []string, blob []byte, rows []verdict.Verdict) ([]verdict.Verdict, error) {
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
	var file, line, record int64
	for left := rows; len(left) > 0 && !s.bad; {
		status := s.byte()
		fileStep, lineStep, recordStep, alike := s.varint(), s.varint(), s.varint(), s.uvarint()
		known, doubtful, ok := statusOf(status &^ withID)
		if !ok || alike == 0 || alike > uint64(len(left)) {
			return nil, errBlob
		}
		for i := range left[:alike] {
			file, line, record = file+fileStep, line+lineStep, record+recordStep
			// Field by field, which costs half of a copy of all of them.
			r := &left[i]
			r.Position.Line, r.Position.Record, r.Status, r.InDoubt = line, record, known, doubtful
			if files != nil {
				if file < 0 || file >= int64(len(files)) {
					return nil, fmt.Errorf("%w: it is of a file that the run doesn't have", errBlob)
				}
				r.Position.File = files[file]
			}
			if status&withID != 0 {
				r.TaskID = ids.next()
			}
		}
		left = left[alike:]
	}
	var offset int64
	for i := range rows {
		offset += s.varint()
		rows[i].Position.Offset = offset
	}
	if s.bad || ids.bad {
		return nil, errBlob
	}
	if err := c.unpackDetails(rows, s.in); err != nil {
		return nil, fmt.Errorf("%w: %w", errBlob, err)
	}
	return rows, nil
}

// The details of the rows that have any are, row after row: how many rows without
// details stand before it, one of these marks, and with ofItsOwn the detail.
const (
	ofItsOwn = 0
	// asBefore marks a row whose reason is all that it has, and the same as that
	// of the row before.
	asBefore = 1
)

var errDetails = errors.New("its details end too early")

func (c *codec) unpackDetails(rows []verdict.Verdict, packed []byte) error {
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
		mark := s.byte()
		switch {
		case s.bad || i >= uint64(len(rows)):
			return errDetails
		case mark == ofItsOwn:
			s.detail(&rows[i])
		case i == 0:
			return errDetails
		default:
			rows[i].Reason = rows[i-1].Reason
		}
	}
	if s.bad {
		return errDetails
	}
	return nil
}

// appendDetail appends what only few rows have: the reason, the findings, and the
// row as it stood, whose length is one more than it is, as 0 is none.
func appendDetail(dst []byte, v *verdict.Verdict) []byte {
	dst = appendText(dst, v.Reason)
	dst = binary.AppendUvarint(dst, uint64(len(v.Findings)))
	for i := range v.Findings {
		f := &v.Findings[i]
		dst = binary.AppendVarint(dst, f.Line)
		dst = binary.AppendVarint(dst, int64(f.Column))
		for _, text := range [...]string{string(f.Stage), f.Field, f.Path, f.Code, f.Message, f.Value} {
			dst = appendText(dst, text)
		}
	}
	if v.Raw == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(v.Raw))+1), v.Raw...)
}

// detail reads what appendDetail has written.
func (s *scanner) detail(v *verdict.Verdict) {
	v.Reason = s.text()
	if n := s.uvarint(); n > 0 && n <= uint64(len(s.in)) {
		v.Findings = make([]verdict.Finding, n)
	} else if n > 0 {
		s.fail()
	}
	for i := range v.Findings {
		f := &v.Findings[i]
		f.Line, f.Column = s.varint(), int(s.varint())
		f.Stage = verdict.Stage(s.text())
		f.Field, f.Path, f.Code, f.Message, f.Value = s.text(), s.text(), s.text(), s.text(), s.text()
	}
	if n := s.uvarint(); n > 0 {
		v.Raw = append([]byte{}, s.take(n-1)...)
	}
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
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

func (s *scanner) text() string { return string(s.bytes()) }

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
