package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// store is the append-only file behind the server: a signature and then
// records, each of
//
//	frame: a line with its own checksum and a recordFrame as JSON
//	data:  lines that stay in the file and are read where they are needed
//
// A record counts when it is there whole, so everything that one request
// changes is one record.
//
// An embedded database would take more time for the tasks than all the rest of
// a request takes: 2.5 s for a million as rows of SQLite and 0.6 to 1.0 s as a
// blob for each request, where a million are checked, kept and answered in 1 s.
type store struct {
	file *os.File
	size int64
	// temporary files go when the store is closed.
	temporary bool
	// torn is the length of the unfinished record that was found at the end of
	// the file, and cut off.
	torn int64
}

// recordFrame is what the memory knows of a record.
type recordFrame struct {
	Entry *entry `json:"entry"`
	Bytes int64  `json:"bytes"` // the length of the data
	Sum   uint32 `json:"sum"`   // the checksum of the data
}

const (
	signature = "poolfill emulator state 2\n"
	sumDigits = 8 // of a frame's checksum, before its JSON
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openStore opens the state file, or makes a temporary one where path is empty,
// and hands every record in it to replay.
func openStore(path string, replay func(e *entry, data section) error) (_ *store, err error) {
	st := &store{temporary: path == ""}
	if st.temporary {
		st.file, err = os.CreateTemp("", "poolfill-emulator-*")
	} else {
		st.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("the emulator's state can't be opened: %w", err)
	}
	if err := st.load(replay); err != nil {
		return nil, errors.Join(fmt.Errorf("the emulator's state in %s: %w", st.file.Name(), err), st.close())
	}
	return st, nil
}

func (st *store) load(replay func(e *entry, data section) error) error {
	in := bufio.NewReaderSize(st.file, 1<<20)
	start, err := in.Peek(len(signature))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case !bytes.HasPrefix([]byte(signature), start):
		return errors.New("this is no state file of this version: name another file")
	case len(start) < len(signature): // a new file, or one that broke off at once
		_, err := st.file.WriteAt([]byte(signature), 0)
		st.size = int64(len(signature))
		return err
	}
	st.size = int64(len(signature))
	if _, err := in.Discard(len(signature)); err != nil {
		return err
	}
	for {
		next, err := st.replayOne(in, replay)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTorn):
			return st.cut()
		case err != nil:
			return fmt.Errorf("the record at byte %d: %w", st.size, err)
		}
		st.size = next
	}
}

var (
	errDamaged = errors.New("the file is damaged here")
	// errTorn means that the last record is not there whole. Nobody was told of
	// what it would have done, so it never happened.
	errTorn = errors.New("the record is unfinished")
)

// replayOne reads the record that in stands at, and returns where the next one
// begins; io.EOF means that there is none.
func (st *store) replayOne(in *bufio.Reader, replay func(e *entry, data section) error) (next int64, err error) {
	line, err := in.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = errTorn
	}
	if err != nil {
		return 0, err
	}
	var frame recordFrame
	if len(line) < sumDigits || !bytes.HasPrefix(line, frameSum(line[sumDigits:])) || json.Unmarshal(line[sumDigits:], &frame) != nil {
		return 0, errDamaged
	}
	sum := crc32.New(castagnoli)
	if _, err := io.CopyN(sum, in, frame.Bytes); errors.Is(err, io.EOF) {
		return 0, errTorn
	} else if err != nil {
		return 0, err
	}
	if sum.Sum32() != frame.Sum {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			return 0, errTorn
		}
		return 0, errDamaged
	}
	data := section{st.file, st.size + int64(len(line)), frame.Bytes}
	return data.offset + data.length, replay(frame.Entry, data)
}

// frameSum returns the checksum of a frame's JSON and line end.
func frameSum(text []byte) []byte {
	return fmt.Appendf(nil, "%0*x", sumDigits, crc32.Checksum(text, castagnoli))
}

// cut removes what follows the last whole record.
func (st *store) cut() error {
	info, err := st.file.Stat()
	if err != nil {
		return err
	}
	st.torn = info.Size() - st.size
	return st.file.Truncate(st.size)
}

// append writes one record, whole or not at all, and returns where its data are.
func (st *store) append(e *entry, data ...[]byte) (section, error) {
	frame := recordFrame{Entry: e}
	for _, part := range data {
		frame.Bytes += int64(len(part))
		frame.Sum = crc32.Update(frame.Sum, castagnoli, part)
	}
	text, err := json.Marshal(frame)
	if err != nil {
		return section{}, err
	}
	text = append(text, '\n')
	line := append(frameSum(text), text...)
	at := st.size
	for _, part := range append([][]byte{line}, data...) {
		n, err := st.file.WriteAt(part, at)
		if err != nil {
			// What was written in part must not stand before a later record.
			return section{}, errors.Join(fmt.Errorf("the emulator's state can't be written: %w", err), st.file.Truncate(st.size))
		}
		at += int64(n)
	}
	written := section{st.file, st.size + int64(len(line)), frame.Bytes}
	st.size = at
	return written, nil
}

// close flushes the file, or removes it where it is temporary.
func (st *store) close() error {
	if st.temporary {
		return errors.Join(st.file.Close(), os.Remove(st.file.Name()))
	}
	return errors.Join(st.file.Sync(), st.file.Close())
}

// section is a stretch of the file.
type section struct {
	file   *os.File
	offset int64
	length int64
}

// read returns the bytes of s from lo up to hi, in buf where they fit into it.
func (s section) read(buf []byte, lo, hi int64) ([]byte, error) {
	buf = slices.Grow(buf[:0], int(hi-lo))[:hi-lo]
	if _, err := s.file.ReadAt(buf, s.offset+lo); err != nil {
		return nil, fmt.Errorf("the emulator's state can't be read: %w", err)
	}
	return buf, nil
}
