package toloka

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-faster/jx"
)

const (
	// scanWindow is the part of an answer that is in memory while it streams.
	scanWindow = 64 << 10
	// maxWindow bounds the window that is kept for the next answer, after one
	// with a task that didn't fit into the usual window.
	maxWindow = 1 << 20
)

// scanner walks through a JSON text as it streams in, from value to value. Of what it
// skips it only finds the end: whoever means to use a value takes it raw, and has it
// read by a decoder that knows all of JSON. Slices that it returns are good until the
// next call.
//
// A text that breaks off fails with io.ErrUnexpectedEOF.
type scanner struct {
	r    io.Reader
	buf  []byte // buf[head:tail] is read and not yet walked through
	head int
	tail int
	keep int    // buf[keep:] is kept when the window moves on; -1 for what is behind head
	base int    // the place of buf[0] in the text
	name []byte // the last key
}

func (s *scanner) reset(r io.Reader) {
	if len(s.buf) == 0 || len(s.buf) > maxWindow {
		s.buf = make([]byte, scanWindow)
	}
	s.r, s.head, s.tail, s.keep, s.base = r, 0, 0, -1, 0
}

// fill reads on. It moves what it keeps, so that indexes into buf change.
func (s *scanner) fill() error {
	low := s.head
	if s.keep >= 0 {
		low, s.keep = s.keep, 0
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

// peek returns the next byte that is no space, without taking it.
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
	return fmt.Errorf("%q at byte %d is not what JSON has there", c, s.base+s.head)
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
	return s.list('{', '}', func() error {
		key, err := s.key()
		if err != nil {
			return err
		}
		return member(key)
	})
}

// array takes an array and calls element at the beginning of each of its values,
// which must take the value.
func (s *scanner) array(element func() error) error { return s.list('[', ']', element) }

// list takes what is listed between brackets.
func (s *scanner) list(opening, closing byte, one func() error) error {
	if err := s.expect(opening); err != nil {
		return err
	}
	if c, err := s.peek(); err != nil || c == closing {
		s.head++
		return err
	}
	for {
		if err := one(); err != nil {
			return err
		}
		switch c, err := s.peek(); {
		case err != nil:
			return err
		case c == closing:
			s.head++
			return nil
		case c != ',':
			return s.unexpected(c)
		}
		s.head++
		if _, err := s.peek(); err != nil {
			return err
		}
	}
}

// key takes the key of a member and goes to its value.
func (s *scanner) key() ([]byte, error) {
	if !s.at('"') {
		return nil, s.unexpected(s.buf[s.head])
	}
	// Most keys are in the window as a whole, and their values follow at once.
	b := s.buf[s.head:s.tail]
	if end := closingQuote(b, 1); end >= 0 && end+2 < len(b) && b[end+1] == ':' && b[end+2] > ' ' {
		s.head += end + 2
		return text(b[:end+1])
	}
	raw, err := s.raw()
	if err != nil {
		return nil, err
	}
	s.name = append(s.name[:0], raw...) // reading on moves the window
	if err := s.expect(':'); err != nil {
		return nil, err
	}
	if _, err := s.peek(); err != nil {
		return nil, err
	}
	return text(s.name)
}

// text returns what a JSON string says; nil for another value.
func text(raw []byte) ([]byte, error) {
	if len(raw) == 0 || raw[0] != '"' {
		return nil, nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jx.DecodeBytes(raw).StrBytes()
}

// raw takes the value that a peek has found, and returns it as it stands.
func (s *scanner) raw() ([]byte, error) {
	s.keep = s.head
	err := s.skip()
	value := s.buf[s.keep:s.head]
	s.keep = -1
	return value, err
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
		if end := closingQuote(rest, 0); end >= 0 {
			s.head += end + 1
			return nil
		}
		if s.head = s.tail; escapesNext(rest) {
			s.head-- // an escape stays together
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// skipNested takes an object or array.
func (s *scanner) skipNested() error {
	for depth := 0; ; {
		for s.head < s.tail {
			switch s.buf[s.head] {
			case '"':
				if err := s.skipString(); err != nil {
					return err
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if s.head++; depth == 0 {
				return nil
			}
		}
		if err := s.fill(); err != nil {
			return err
		}
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

// null takes the value that a peek has found, which must be null.
func (s *scanner) null() error {
	for _, want := range []byte("null") {
		if err := s.expect(want); err != nil {
			return err
		}
	}
	return nil
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E'
}

// closingQuote returns the index of the first quote from i on that no backslash
// escapes; -1 for none.
func closingQuote(b []byte, i int) int {
	for end := i; ; end++ {
		n := bytes.IndexByte(b[end:], '"')
		if n < 0 {
			return -1
		}
		if end += n; !escapesNext(b[i:end]) {
			return end
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
