package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// SQLite believes a write-ahead log up to the first frame that doesn't verify, as a power
// cut leaves one that was being written. A frame that was changed later looks the same, and
// all transactions from it on would be lost without a word. But a transaction is written
// only after the one before it is on the disk: where one follows on a frame that doesn't
// verify, no power cut has done that.

// logDamage returns an error where transactions would be lost of the log of a database.
func logDamage(database string) error {
	before, err := damagedFrameOf(database + "-wal")
	for before != (damagedFrame{}) && err == nil {
		// Another process may have been writing it, or have begun it anew.
		var again damagedFrame
		if again, err = damagedFrameOf(database + "-wal"); again == before && err == nil {
			return &DamagedError{database, fmt.Errorf("of its write-ahead log, frame %d isn't what was written, though others follow it", before.number)}
		}
		before = again
	}
	return err
}

// damagedFrame is a frame that was changed after it was written, by its number from 1, or 0
// for the log's header. salt tells logs apart. The zero value is none.
type damagedFrame struct {
	found  bool
	number int
	salt   uint64
}

func damagedFrameOf(path string) (frame damagedFrame, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return frame, nil
	}
	if err != nil {
		return frame, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return findDamagedFrame(bufio.NewReaderSize(f, 256<<10))
}

// The log's header has at these places: its magic number, the size of pages, the salt, and
// the checksum of what stands before that. The header of a frame has its page, the number
// of pages where it ends a transaction, the salt, and the checksum of all frames up to it.
const (
	logMagic                                             = 0x377f0682 // and one more where numbers are read as big-endian
	logHeaderSize, logSizeAt, logSaltAt, logSumAt        = 32, 8, 16, 24
	frameHeaderSize, frameEndAt, frameSaltAt, frameSumAt = 24, 4, 8, 16
)

// findDamagedFrame reads a log.
func findDamagedFrame(log io.Reader) (damagedFrame, error) {
	var none damagedFrame
	header := make([]byte, logHeaderSize)
	if _, err := io.ReadFull(log, header); err != nil {
		return none, endless(err)
	}
	magic, size := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[logSizeAt:])
	var order binary.ByteOrder = binary.LittleEndian
	if magic == logMagic+1 {
		order = binary.BigEndian
	}
	written, computed := logSumIn(header[logSumAt:]), logSum{}.add(order, header[:logSumAt])
	bad := damagedFrame{found: magic&^1 != logMagic || written != computed, salt: binary.BigEndian.Uint64(header[logSaltAt:])}
	if bad.found || size < 512 || size > 65536 {
		size = pageSize
	}
	frame := make([]byte, frameHeaderSize+size)
	ended := false // the frame before ends a transaction
	for number := 1; ; number++ {
		if _, err := io.ReadFull(log, frame); err != nil {
			return none, endless(err)
		}
		salt, sum := binary.BigEndian.Uint64(frame[frameSaltAt:]), logSumIn(frame[frameSumAt:])
		if number == 1 && bad.found {
			bad.salt = salt // the header's may be what was changed
		}
		next := computed.add(order, frame[:frameSaltAt]).add(order, frame[frameHeaderSize:])
		follows := next == sum
		if !follows && written != computed {
			follows = written.add(order, frame[:frameSaltAt]).add(order, frame[frameHeaderSize:]) == sum
		}
		follows = follows && salt == bad.salt
		switch {
		case follows && ended && bad.found:
			return bad, nil
		case !follows && !bad.found:
			bad.found, bad.number = true, number
		}
		written, computed, ended = sum, next, binary.BigEndian.Uint32(frame[frameEndAt:]) != 0
	}
}

// endless returns no error where a log just ends.
func endless(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// logSum is a checksum as SQLite has them in its log.
type logSum struct{ a, b uint32 }

func logSumIn(b []byte) logSum {
	return logSum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

func (s logSum) add(order binary.ByteOrder, data []byte) logSum {
	for ; len(data) >= 8; data = data[8:] {
		s.a += order.Uint32(data) + s.b
		s.b += order.Uint32(data[4:]) + s.a
	}
	return s
}
