package emulator

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// store is the append-only file behind the server: a signature and then
// records, each of
//
//	header: length of data, length of entry, checksum of both, checksum of these
//	data:   bytes that stay in the file and are read where they are needed
//	entry:  what the memory knows of the record, as JSON
//
// A record counts when it is there whole, so everything that one request
// changes is one record.
type store struct {
	file *os.File
	// temporary says that the file goes when the store is closed.
	temporary bool
	size      int64
	// torn is the length of the unfinished record that was found at the end of
	// the file, and cut off.
	torn int64
}

const (
	signature  = "poolfill emulator state 1\n"
	headerSize = 16
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
	info, err := st.file.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	if end < int64(len(signature)) {
		return st.begin(end)
	}
	start := make([]byte, len(signature))
	if _, err := st.file.ReadAt(start, 0); err != nil {
		return err
	}
	if string(start) != signature {
		return errors.New("this is no state file of this version: name another file")
	}
	st.size = int64(len(signature))
	for st.size < end {
		next, err := st.replayOne(end, replay)
		if errors.Is(err, errTorn) {
			st.torn = end - st.size
			return st.file.Truncate(st.size)
		}
		if err != nil {
			return fmt.Errorf("the record at byte %d: %w", st.size, err)
		}
		st.size = next
	}
	return nil
}

// begin writes the signature into an empty file, or into one that broke off
// while it was written.
func (st *store) begin(have int64) error {
	start := make([]byte, have)
	if _, err := st.file.ReadAt(start, 0); err != nil {
		return err
	}
	if !bytes.HasPrefix([]byte(signature), start) {
		return errors.New("this is no state file: name another file")
	}
	st.size = int64(len(signature))
	_, err := st.file.WriteAt([]byte(signature), 0)
	return err
}

// errTorn says that the last record is not there whole. Nobody was told of what
// it would have done, so it never happened.
var errTorn = errors.New("the record is unfinished")

func (st *store) replayOne(end int64, replay func(e *entry, data section) error) (next int64, err error) {
	if end-st.size < headerSize {
		return 0, errTorn
	}
	var header [headerSize]byte
	if _, err := st.file.ReadAt(header[:], st.size); err != nil {
		return 0, err
	}
	if crc32.Checksum(header[:12], castagnoli) != binary.LittleEndian.Uint32(header[12:]) {
		return 0, errors.New("the file is damaged here")
	}
	dataLen := int64(binary.LittleEndian.Uint32(header[0:]))
	entryLen := int64(binary.LittleEndian.Uint32(header[4:]))
	data := section{st.file, st.size + headerSize, dataLen}
	next = data.offset + dataLen + entryLen
	if next > end {
		return 0, errTorn
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(st.file, data.offset, dataLen)); err != nil {
		return 0, err
	}
	raw := make([]byte, entryLen)
	if _, err := st.file.ReadAt(raw, data.offset+dataLen); err != nil {
		return 0, err
	}
	if _, err := sum.Write(raw); err != nil {
		return 0, err
	}
	if sum.Sum32() != binary.LittleEndian.Uint32(header[8:]) {
		if next == end {
			return 0, errTorn
		}
		return 0, errors.New("the file is damaged here")
	}
	e := new(entry)
	if err := json.Unmarshal(raw, e); err != nil {
		return 0, err
	}
	return next, replay(e, data)
}

// append writes one record, whole or not at all, and gives where its data are.
func (st *store) append(e *entry, data ...[]byte) (section, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return section{}, err
	}
	var dataLen int64
	sum := uint32(0)
	for _, part := range data {
		dataLen += int64(len(part))
		sum = crc32.Update(sum, castagnoli, part)
	}
	var header [headerSize]byte
	binary.LittleEndian.PutUint32(header[0:], uint32(dataLen))
	binary.LittleEndian.PutUint32(header[4:], uint32(len(raw)))
	binary.LittleEndian.PutUint32(header[8:], crc32.Update(sum, castagnoli, raw))
	binary.LittleEndian.PutUint32(header[12:], crc32.Checksum(header[:12], castagnoli))

	at := st.size
	write := func(part []byte) {
		if err == nil {
			_, err = st.file.WriteAt(part, at)
			at += int64(len(part))
		}
	}
	write(header[:])
	for _, part := range data {
		write(part)
	}
	write(raw)
	if err != nil {
		// What was written in part must not stand before a later record.
		return section{}, errors.Join(fmt.Errorf("the emulator's state can't be written: %w", err), st.file.Truncate(st.size))
	}
	written := section{st.file, st.size + headerSize, dataLen}
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

// section is a part of the file.
type section struct {
	file   *os.File
	offset int64
	length int64
}

// sub gives the part of s from lo up to hi.
func (s section) sub(lo, hi int64) section {
	return section{s.file, s.offset + lo, hi - lo}
}

// read gives the bytes of s, in buf where they fit into it.
func (s section) read(buf []byte) ([]byte, error) {
	if int64(cap(buf)) < s.length {
		buf = make([]byte, s.length)
	}
	buf = buf[:s.length]
	if _, err := s.file.ReadAt(buf, s.offset); err != nil {
		return nil, fmt.Errorf("the emulator's state can't be read: %w", err)
	}
	return buf, nil
}
