package ledger

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"

	"github.com/zeebo/xxh3"
)

// What decides about sending is kept in blocks: rows of the ledger's tables, each with
// a checksum over all that it holds, its table and its place included. A block that was
// changed, or that stands where another one was, doesn't verify.
//
// A block that is gone is found too: the block of a run has a tally of the others of
// each kind that the run has, and the census has one of the runs.

// checksum returns that of a block, whose fields are pointers.
func checksum(table string, fields []any) int64 {
	var space [512]byte
	text := appendText(space[:0], table)
	for _, field := range fields {
		switch f := field.(type) {
		case *int:
			text = binary.LittleEndian.AppendUint64(text, uint64(*f))
		case *int64:
			text = binary.LittleEndian.AppendUint64(text, uint64(*f))
		case *string:
			text = appendText(text, *f)
		case *sql.RawBytes:
			// Which may be long: it isn't copied.
			sum := xxh3.Hash128(*f)
			text = binary.LittleEndian.AppendUint64(text, uint64(len(*f)))
			text = binary.LittleEndian.AppendUint64(text, sum.Hi)
			text = binary.LittleEndian.AppendUint64(text, sum.Lo)
		case *tallies:
			text = f.append(text)
		}
	}
	return int64(xxh3.Hash(text))
}

// tally is of a set of blocks: how many there are, and the sum of their checksums.
type tally struct {
	blocks int64
	sum    int64
}

func (t *tally) add(checksum int64) {
	t.blocks++
	t.sum += checksum
}

func (t *tally) remove(checksum int64) {
	t.blocks--
	t.sum -= checksum
}

// kind is a kind of the blocks that belong to a run.
type kind int

const (
	fileKind kind = iota
	chunkKind
	keyKind
	attemptKind
	segmentKind
	strayKind
	reportKind
	kinds // is their number
)

// String says for people what blocks of a kind are, of which there are many.
func (k kind) String() string {
	return [kinds]string{
		"files", "chunks", "lists of keys", "attempts in doubt", "lists of rows in no chunk", "tasks without a row", "reports",
	}[k]
}

// tallies has those of a run's blocks, by their kind. It is kept as one value.
type tallies [kinds]tally

const tallySize = 16

func (t *tallies) append(dst []byte) []byte {
	for _, one := range t {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(one.blocks))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(one.sum))
	}
	return dst
}

// Value is part of driver.Valuer.
func (t *tallies) Value() (driver.Value, error) { return t.append(nil), nil }

// Scan is part of sql.Scanner.
func (t *tallies) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok || len(b) != len(t)*tallySize {
		return errors.New("it is no tally")
	}
	for i := range t {
		t[i].blocks = int64(binary.LittleEndian.Uint64(b[i*tallySize:]))
		t[i].sum = int64(binary.LittleEndian.Uint64(b[i*tallySize+tallySize/2:]))
	}
	return nil
}
