package uploader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/go-faster/jx"
)

const (
	// scanWindow is the part of an answer that is in memory while it streams.
	scanWindow = 64 << 10
	// maxWindow bounds the window that is kept for the next answer, after one
	// with a task that didn't fit into the usual window.
	maxWindow = 1 << 20
	// maxDepth bounds the nesting of an answer, as encoding/json does.
	maxDepth = 10_000
)

// scanner walks through a JSON text as it streams in. Most of an answer is the
// tasks that were sent, come back: what is skipped is checked to be whole, with
// its brackets balanced and its strings closed, but is not validated further.
// Slices that it gives are good until the next call.
//
// A text that breaks off gives io.ErrUnexpectedEOF.
type scanner struct {
	r    io.Reader
	buf  []byte // buf[head:tail] is read and not yet walked through
	head int
	tail int
	base int // the place of buf[0] in the text
	keep int // the place in the text from which on all is kept; -1 for none
	// escape is a place in the text: from where plain searched last up to there is
	// no backslash.
	escape int

	unescaped []byte                       // the last string with escapes
	objects   [(maxDepth + 63) / 64]uint64 // a bit for each bracket that is open: a brace
}

func (s *scanner) reset(r io.Reader) {
	if len(s.buf) == 0 || len(s.buf) > maxWindow {
		s.buf = make([]byte, scanWindow)
	}
	s.r, s.head, s.tail, s.base, s.keep, s.escape = r, 0, 0, 0, -1, 0
}

// place is the place in the text of the next byte.
func (s *scanner) place() int { return s.base + s.head }

// fill reads on. It moves what it keeps, so that indexes into buf change.
func (s *scanner) fill() error {
	low := s.head
	if s.keep >= 0 {
		low = s.keep - s.base
	}
	copy(s.buf, s.buf[low:s.tail])
	s.base += low
	s.head -= low
	s.tail -= low
	if s.tail == len(s.buf) {
		s.buf = slices.Grow(s.buf, len(s.buf))
		s.buf = s.buf[:cap(s.buf)]
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.tail:])
		s.tail += n
		switch {
		case n > 0:
			return nil // an error comes again
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// peek gives the next byte that is no space, without taking it.
func (s *scanner) peek() (byte, error) {
	for {
		for ; s.head < s.tail; s.head++ {
			switch c := s.buf[s.head]; c {
			case ' ', '\t', '\r', '\n':
			default:
				return c, nil
			}
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// at reports whether the next value begins so. There must have been a peek.
func (s *scanner) at(c byte) bool { return s.buf[s.head] == c }

func (s *scanner) expect(want byte) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != want {
		return s.unexpected(c)
	}
	s.head++
	return nil
}

func (s *scanner) unexpected(c byte) error {
	return fmt.Errorf("%q at byte %d is not what JSON has there", c, s.place())
}

var errGoesOn = errors.New("the answer goes on after its end")

// end checks that nothing follows.
func (s *scanner) end() error {
	_, err := s.peek()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil // the text has ended, with all brackets closed
	case err == nil:
		return errGoesOn
	}
	return err
}

// object takes an object and calls member at the beginning of each of its
// values, which must take the value. The key is good until then.
func (s *scanner) object(member func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if c, err := s.peek(); err != nil || c == '}' {
		s.head++
		return err
	}
	for {
		key, err := s.key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if more, err := s.more('}'); !more {
			return err
		}
	}
}

// array takes an array and calls element at the beginning of each of its values,
// which must take the value.
func (s *scanner) array(element func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if c, err := s.peek(); err != nil || c == ']' {
		s.head++
		return err
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if more, err := s.more(']'); !more {
			return err
		}
		if _, err := s.peek(); err != nil {
			return err
		}
	}
}

// more takes what follows a value, and reports whether that is another one.
func (s *scanner) more(closing byte) (bool, error) {
	c, err := s.peek()
	if err != nil {
		return false, err
	}
	if c != ',' && c != closing {
		return false, s.unexpected(c)
	}
	s.head++
	return c == ',', nil
}

// key takes the key of a member and goes to its value.
func (s *scanner) key() ([]byte, error) {
	if c, err := s.peek(); err != nil {
		return nil, err
	} else if c != '"' {
		return nil, s.unexpected(c)
	}
	// Most keys are in the window as a whole, and their values follow at once.
	b, i := s.buf[:s.tail], s.head+1
	if end := closingQuote(b, i); end >= 0 && end+2 < len(b) && b[end+1] == ':' && b[end+2] > ' ' && s.plain(i, end) {
		s.head = end + 2
		return b[i:end], nil
	}
	start, before := s.hold()
	if err := s.skipString(); err != nil {
		return nil, err
	}
	key := s.since(start)
	if err := s.expect(':'); err != nil {
		return nil, err
	}
	if _, err := s.peek(); err != nil {
		return nil, err
	}
	s.keep = before
	return s.unquote(s.bytes(key))
}

// text takes a string and gives what it says.
func (s *scanner) text() ([]byte, error) {
	raw, err := s.raw()
	if err != nil {
		return nil, err
	}
	return s.unquote(raw)
}

// unquote gives what a string says.
func (s *scanner) unquote(quoted []byte) (text []byte, err error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	s.unescaped, err = jx.DecodeBytes(quoted).StrAppend(s.unescaped[:0])
	return s.unescaped, err
}

// raw takes a value and gives it as it stands.
func (s *scanner) raw() ([]byte, error) {
	start, before := s.hold()
	if err := s.skip(); err != nil {
		return nil, err
	}
	s.keep = before
	return s.bytes(s.since(start)), nil
}

// span is a part of the text, from one place to another.
type span struct{ start, end int }

// since gives the span from a place to the next byte.
func (s *scanner) since(start int) span { return span{start, s.place()} }

// bytes gives the text of a span that is kept; nothing for the zero span.
func (s *scanner) bytes(p span) []byte {
	if p == (span{}) {
		return nil
	}
	return s.buf[p.start-s.base : p.end-s.base]
}

// hold keeps all from the next byte on in the window, until keep is set back to
// what it was before.
func (s *scanner) hold() (start, before int) {
	start, before = s.place(), s.keep
	if before < 0 {
		s.keep = start
	}
	return start, before
}

// skip takes the value that a peek has found.
func (s *scanner) skip() error {
	switch s.buf[s.head] {
	case '"':
		return s.skipString()
	case '{', '[':
		return s.skipNested()
	}
	return s.skipWord()
}

// skipString takes a string.
func (s *scanner) skipString() error {
	s.head++
	for {
		rest := s.buf[s.head:s.tail]
		end := bytes.IndexByte(rest, '"')
		if end >= 0 {
			s.head += end + 1
			if !escapesNext(rest[:end]) {
				return nil
			}
			continue
		}
		if s.head = s.tail; escapesNext(rest) {
			s.head-- // an escape stays together
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// escapesNext reports whether the next character of a string is escaped by what
// stands before it.
func escapesNext(before []byte) bool {
	n := len(before)
	for n > 0 && before[n-1] == '\\' {
		n--
	}
	return (len(before)-n)%2 == 1
}

// skipNested takes an object or array.
func (s *scanner) skipNested() error {
	_, err := s.member("")
	return err
}

// member takes an object and gives the value of the member with a name, the
// last where there are several. It is zero where there is none, or where it is
// an object or array itself. The value is kept if the object is.
func (s *scanner) member(name string) (value span, err error) {
	depth := 0
	for {
		b, i := s.buf[:s.tail], s.head
		for i < len(b) {
			switch c := b[i]; c {
			default:
				i++
			case '"':
				// Most strings are in the window as a whole.
				i++
				end := closingQuote(b, i)
				if end >= 0 && (depth > 1 || string(b[i:end]) != name && s.plain(i, end)) {
					i = end + 1
					continue
				}
				// And so is what is looked for, which mostly is a string.
				if end >= 0 && end+2 < len(b) && b[end+1] == ':' && b[end+2] == '"' && string(b[i:end]) == name {
					if last := closingQuote(b, end+3); last >= 0 {
						value = span{s.base + end + 2, s.base + last + 1}
						i = last + 1
						continue
					}
				}
				s.head = i - 1
				if value, err = s.string(value, name, depth == 1 && name != ""); err != nil {
					return span{}, err
				}
				b, i = s.buf[:s.tail], s.head
			case '{', '[':
				if depth == maxDepth {
					s.head = i
					return span{}, fmt.Errorf("the answer is nested more than %d deep at byte %d", maxDepth, s.place())
				}
				word, bit := &s.objects[depth/64], uint64(1)<<(depth%64)
				if *word &^= bit; c == '{' {
					*word |= bit
				}
				depth++
				i++
			case '}', ']':
				depth--
				if object := s.objects[depth/64]>>(depth%64)&1 != 0; object != (c == '}') {
					s.head = i
					return span{}, s.unexpected(c)
				}
				i++
				if depth == 0 {
					s.head = i
					return value, nil
				}
			}
		}
		s.head = i
		if err := s.fill(); err != nil {
			return span{}, err
		}
	}
}

// plain reports whether buf[i:end] has no backslash. It never searches a stretch
// twice.
func (s *scanner) plain(i, end int) bool {
	if s.base+end <= s.escape {
		return true
	}
	from := max(i, s.escape-s.base)
	if n := bytes.IndexByte(s.buf[from:s.tail], '\\'); n >= 0 {
		s.escape = s.base + from + n
	} else {
		s.escape = s.base + s.tail
	}
	return s.base+end <= s.escape
}

// string takes a string and, where that is the key of the member that is looked
// for, its value too.
func (s *scanner) string(value span, name string, outer bool) (span, error) {
	if !outer {
		return value, s.skipString()
	}
	text, err := s.text()
	if err != nil || string(text) != name {
		return value, err
	}
	c, err := s.peek()
	if err != nil || c != ':' {
		return value, err // it is a value itself
	}
	s.head++
	if c, err = s.peek(); err != nil || c == '{' || c == '[' {
		return span{}, err
	}
	start := s.place()
	err = s.skip()
	return s.since(start), err
}

const (
	ones   = 0x0101010101010101
	quotes = '"' * ones
)

// closingQuote gives the index of the first quote from i on that no backslash
// escapes; -1 for none. Most strings are short: the first eight bytes are looked
// at as one number.
func closingQuote(b []byte, i int) int {
	end := i
	if i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:]) ^ quotes
		if zeros := (x - ones) & ^x & (ones << 7); zeros != 0 {
			end = i + bits.TrailingZeros64(zeros)/8
			if end == i || b[end-1] != '\\' {
				return end
			}
		} else {
			end += 8
		}
	}
	for {
		n := bytes.IndexByte(b[end:], '"')
		if n < 0 {
			return -1
		}
		if end += n; !escapesNext(b[i:end]) {
			return end
		}
		end++
	}
}

// skipWord takes a number, true, false or null.
func (s *scanner) skipWord() error {
	if c := s.buf[s.head]; !inWord(c) {
		return s.unexpected(c)
	}
	for {
		for ; s.head < s.tail; s.head++ {
			if !inWord(s.buf[s.head]) {
				return nil
			}
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E'
}
