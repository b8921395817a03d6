package ledger

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Ids in a blob are written as their number and, where there are any, in one of
// two forms. Those that servers make have digits at fixed places, most of which
// are the same in all ids of a chunk:
//
//	digits, 1 byte
//	the first id, with its length
//	the places at which not all ids are the same, an even number of them, with
//	    that number
//	of each id the hexadecimal digits at these places, two in a byte
//
// Any others:
//
//	listed, 1 byte
//	all that follows in zstd, with its length: the length of each id, with the
//	    length of them all, and the ids
const (
	digits = 'd'
	listed = 'l'
)

// maxDigits bounds the length of the ids that are written by their digits.
const maxDigits = 64

const hexDigits = "0123456789abcdef"

func (c *codec) appendIDs(dst []byte, ids []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	if len(ids) == 0 {
		return dst
	}
	if out, ok := appendDigits(dst, ids); ok {
		return out
	}
	var lengths, all []byte
	for _, id := range ids {
		lengths = binary.AppendUvarint(lengths, uint64(len(id)))
		all = append(all, id...)
	}
	dst = append(dst, listed)
	return appendBytes(dst, c.enc.EncodeAll(append(appendBytes(nil, lengths), all...), nil))
}

// appendDigits fails where the ids differ in their length, or by more than
// lowercase hexadecimal digits; what it returns then is of no use.
func appendDigits(dst []byte, ids []string) (out []byte, ok bool) {
	first := ids[0]
	if len(first) < wordSize || len(first) > maxDigits {
		return nil, false
	}
	// The last of the words overlaps the one before it.
	var words [maxDigits / wordSize]int
	n := 0
	for at := 0; at < len(first); at += wordSize {
		words[n] = min(at, len(first)-wordSize)
		n++
	}
	var differ [maxDigits / wordSize]uint64
	for _, id := range ids {
		if len(id) != len(first) {
			return nil, false
		}
		for i, at := range words[:n] {
			differ[i] |= word(first[at:]) ^ word(id[at:])
		}
	}
	places := make([]byte, 0, maxDigits)
	for i, at := range words[:n] {
		for j := range wordSize {
			if differ[i]>>(8*j)&0xff != 0 && at+j >= i*wordSize {
				places = append(places, byte(at+j))
			}
		}
	}
	if len(places)%2 == 1 {
		places = append(places, places[len(places)-1]) // for two in a byte
	}
	dst = append(dst, digits)
	dst = append(binary.AppendUvarint(dst, uint64(len(first))), first...)
	dst = appendBytes(dst, places)
	size := len(places) / 2
	dst = slices.Grow(dst, len(ids)*size)
	values := digitValues()
	var all byte
	for _, id := range ids {
		end := len(dst) + size
		packed := dst[len(dst):end]
		for i := range packed {
			high, low := values[id[places[2*i]]], values[id[places[2*i+1]]]
			all |= high | low
			packed[i] = high<<4 | low
		}
		dst = dst[:end]
	}
	return dst, all&noDigit == 0
}

// noDigit is a bit that no digit's value has.
const noDigit = 0x80

// digitValues returns the values of lowercase hexadecimal digits.
func digitValues() *[256]byte {
	var values [256]byte
	for i := range values {
		values[i] = noDigit
	}
	for value, digit := range []byte(hexDigits) {
		values[digit] = byte(value)
	}
	return &values
}

const wordSize = 8

func word(s string) uint64 {
	_ = s[wordSize-1]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// idReader returns ids one after the other. All of them are parts of one string.
type idReader struct {
	all     string
	size    int     // of every id, where they are alike
	lengths scanner // else
	bad     bool    // there were not as many
}

func (r *idReader) next() string {
	n := uint64(r.size)
	if r.size == 0 {
		n = r.lengths.uvarint()
	}
	if n > uint64(len(r.all)) || r.lengths.bad {
		r.bad = true
		return ""
	}
	id := r.all[:n]
	r.all = r.all[n:]
	return id
}

var errIDs = errors.New("its ids can't be read")

func (c *codec) readIDs(s *scanner) (*idReader, error) {
	n := s.uvarint()
	if n == 0 {
		return &idReader{}, nil
	}
	if n > maxRows {
		return nil, errIDs
	}
	switch s.byte() {
	case digits:
		id, places := append([]byte(nil), s.bytes()...), s.bytes()
		size := len(places) / 2
		packed := s.take(n * uint64(size))
		if s.bad || len(places)%2 != 0 || len(id) == 0 || len(id) > maxDigits {
			return nil, errIDs
		}
		for _, place := range places {
			if int(place) >= len(id) {
				return nil, errIDs
			}
		}
		var all strings.Builder
		all.Grow(int(n) * len(id))
		for ; n > 0; n-- {
			for i, place := range places {
				id[place] = hexDigits[packed[i/2]>>(4-4*(i&1))&15]
			}
			packed = packed[size:]
			all.Write(id)
		}
		return &idReader{all: all.String(), size: len(id)}, nil
	case listed:
		text, err := c.dec.DecodeAll(s.bytes(), nil)
		if err != nil {
			return nil, err
		}
		t := scanner{in: text}
		lengths := t.bytes()
		return &idReader{all: string(t.in), lengths: scanner{in: lengths}}, nil
	}
	return nil, errIDs
}
