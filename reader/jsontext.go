package reader

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"poolfill/internal/contract"
)

// maxJSONDepth bounds how deep arrays and objects nest in a cell, so that no
// cell can exhaust the stack.
const maxJSONDepth = 512

// jsonScanner checks JSON text and copies it without the blanks between its
// tokens: keys keep their order, numbers and strings their digits and escapes.
type jsonScanner struct {
	src []byte
	pos int
	dst []byte

	depth     int
	keys      [][]byte // of all open objects, the innermost's last
	duplicate bool     // some object has a key twice

	topElements int // of the array that is the whole text
}

// jsonError says why a text is no JSON, and at which byte.
type jsonError struct {
	pos    int
	reason string
}

func (s *jsonScanner) fail(reason string) *jsonError { return &jsonError{s.pos, reason} }

func (s *jsonScanner) skipBlanks() {
	for s.pos < len(s.src) && isBlank(s.src[s.pos]) {
		s.pos++
	}
}

// peek skips blanks and returns the next byte, or 0 at the end.
func (s *jsonScanner) peek() byte {
	s.skipBlanks()
	if s.pos == len(s.src) {
		return 0
	}
	return s.src[s.pos]
}

// take copies the next byte.
func (s *jsonScanner) take() {
	s.dst = append(s.dst, s.src[s.pos])
	s.pos++
}

func (s *jsonScanner) value() *jsonError {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		return s.nested(c)
	case c == '"':
		return s.text()
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 0 && s.pos == len(s.src):
		return s.fail("the text ends where a value is expected")
	default:
		return s.literal()
	}
}

// nested reads an array or object. A function value for the two would move the
// scanner to the heap.
func (s *jsonScanner) nested(opening byte) (err *jsonError) {
	if s.depth++; s.depth > maxJSONDepth {
		return s.fail("arrays and objects nest deeper than " + strconv.Itoa(maxJSONDepth) + " levels")
	}
	if opening == '{' {
		err = s.object()
	} else {
		err = s.array()
	}
	s.depth--
	return err
}

func (s *jsonScanner) object() *jsonError {
	s.take()
	if s.peek() == '}' {
		s.take()
		return nil
	}
	base := len(s.keys)
	var seen map[string]bool
	for {
		if s.peek() != '"' {
			return s.fail("a key in double quotes is expected")
		}
		start := s.pos
		if err := s.text(); err != nil {
			return err
		}
		seen = s.noteKey(s.src[start:s.pos], base, seen)
		if s.peek() != ':' {
			return s.fail("a colon is expected after the key")
		}
		s.take()
		if err := s.value(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.take()
		case '}':
			s.take()
			s.keys = s.keys[:base]
			return nil
		default:
			return s.fail("a comma or } is expected")
		}
	}
}

// noteKey compares a key with those of its object before it. Few keys are
// compared one by one; seen takes over where there are many.
func (s *jsonScanner) noteKey(quoted []byte, base int, seen map[string]bool) map[string]bool {
	key := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(quoted, '\\') >= 0 {
		var unescaped string
		_ = json.Unmarshal(quoted, &unescaped) // it was checked, so this can't fail
		key = []byte(unescaped)
	}
	const few = 16
	if seen == nil {
		for _, earlier := range s.keys[base:] {
			s.duplicate = s.duplicate || bytes.Equal(earlier, key)
		}
		if s.keys = append(s.keys, key); len(s.keys)-base < few {
			return nil
		}
		seen = make(map[string]bool, 2*few)
		for _, earlier := range s.keys[base:] {
			seen[string(earlier)] = true
		}
		return seen
	}
	s.duplicate = s.duplicate || seen[string(key)]
	seen[string(key)] = true
	return seen
}

func (s *jsonScanner) array() *jsonError {
	s.take()
	if s.peek() == ']' {
		s.take()
		return nil
	}
	for {
		if err := s.value(); err != nil {
			return err
		}
		if s.depth == 1 {
			s.topElements++
		}
		switch s.peek() {
		case ',':
			s.take()
		case ']':
			s.take()
			return nil
		default:
			return s.fail("a comma or ] is expected")
		}
	}
}

func (s *jsonScanner) text() *jsonError {
	start := s.pos
	s.pos++
	for {
		if s.pos == len(s.src) {
			s.pos = start
			return s.fail("a string has no closing quote")
		}
		s.pos += plainPrefix(s.src[s.pos:])
		if s.pos == len(s.src) {
			continue
		}
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			s.dst = append(s.dst, s.src[start:s.pos]...)
			return nil
		case c < ' ':
			return s.fail(`a line break, tab or other control character stands in a string: write \n, \t or \u00XX`)
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
}

func (s *jsonScanner) escape() *jsonError {
	const unicodeEscape = 6 // \u and four hex digits
	if s.pos+1 == len(s.src) {
		return s.fail("a string has no closing quote")
	}
	switch s.src[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
	default:
		return s.fail(`there is no such escape: a backslash in a string is written \\`)
	}
	unit, ok := s.codeUnit(s.pos)
	if !ok {
		return s.fail(`\u needs four hexadecimal digits`)
	}
	const high, low, end = 0xD800, 0xDC00, 0xE000
	switch {
	case high <= unit && unit < low:
		if second, ok := s.codeUnit(s.pos + unicodeEscape); !ok || second < low || second >= end {
			return s.fail("half a surrogate pair stands alone, which is no character")
		}
		s.pos += unicodeEscape
	case low <= unit && unit < end:
		return s.fail("half a surrogate pair stands alone, which is no character")
	}
	s.pos += unicodeEscape
	return nil
}

// codeUnit reads the escape at pos: \u and four hex digits.
func (s *jsonScanner) codeUnit(pos int) (unit uint64, ok bool) {
	if pos+6 > len(s.src) || s.src[pos] != '\\' || s.src[pos+1] != 'u' {
		return 0, false
	}
	const hexadecimal, bits = 16, 16
	unit, err := strconv.ParseUint(string(s.src[pos+2:pos+6]), hexadecimal, bits)
	return unit, err == nil
}

func (s *jsonScanner) number() *jsonError {
	end := s.pos
	for end < len(s.src) && isNumeric(s.src[end]) {
		end++
	}
	text := s.src[s.pos:end]
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	n, ok := parseNumber(text)
	switch {
	case !ok || digits[0] == '.' || n.point && len(n.fraction) == 0:
		return s.fail(quoteText(text) + " is not a number")
	case digits[0] == '0' && len(digits) > 1 && '0' <= digits[1] && digits[1] <= '9':
		return s.fail("the number " + quoteText(text) + " has leading zeros")
	}
	s.dst = append(s.dst, text...)
	s.pos = end
	return nil
}

// isNumeric says which bytes a number is made of.
func isNumeric(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

func (s *jsonScanner) literal() *jsonError {
	rest := s.src[s.pos:]
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			s.dst = append(s.dst, word...)
			s.pos += len(word)
			return nil
		}
	}
	for _, word := range [...]string{"True", "False", "None", "'"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return s.fail("this is how Python prints a value: write it with json.dumps")
		}
	}
	return s.fail("a value is expected")
}

// document reads one value that is the whole text.
func (s *jsonScanner) document() *jsonError {
	if err := s.value(); err != nil {
		return err
	}
	if s.skipBlanks(); s.pos < len(s.src) {
		return s.fail("there is more text after the value")
	}
	return nil
}

// describe returns the reason with the place in characters and the text there.
func (e *jsonError) describe(src []byte) string {
	place := fmt.Sprintf("character %d", utf8.RuneCount(src[:e.pos])+1)
	if e.pos < len(src) {
		const near = 20
		rest := src[e.pos:]
		place += ", at " + quoteText(cutRunes(rest, near))
	}
	return fmt.Sprintf("%s (%s)", e.reason, place)
}

// cutRunes returns the first n characters of a text.
func cutRunes(text []byte, n int) []byte {
	end := 0
	for ; n > 0 && end < len(text); n-- {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return text[:end]
}

const duplicateKeyText = "a JSON object has the same key twice: only one of the two values will be seen"

// appendJSONValue appends a JSON text. One that doesn't parse is read once more
// with \, as a comma, as some of Toloka's own examples are written.
func (f *field) appendJSONValue(dst, text []byte, v *remarks) (out []byte, ok bool) {
	s := jsonScanner{src: text, dst: dst, keys: v.keys[:0]}
	err := s.document()
	v.keys = s.keys
	if err != nil && bytes.Contains(text, []byte(`\,`)) {
		s = jsonScanner{src: bytes.ReplaceAll(text, []byte(`\,`), []byte(",")), dst: dst}
		err = s.document()
	}
	if err != nil {
		v.refuse(contract.CodeJSONExpected, "%s is not JSON: %s", quoteText(text), err.describe(s.src))
		return dst, false
	}
	if s.duplicate {
		v.notice(CodeDuplicateKey, duplicateKeyText)
	}
	if f.required && string(s.dst[len(dst):]) == "null" {
		v.refuse(contract.CodeValueRequired, "the field is required and null is no value")
	}
	return s.dst, true
}

// sequence reads values separated by commas up to the end of the text.
func (s *jsonScanner) sequence() (count int, err *jsonError) {
	for {
		if err := s.value(); err != nil {
			return count, err
		}
		count++
		switch s.peek() {
		case ',':
			s.take()
		default:
			if s.pos < len(s.src) {
				return count - 1, s.fail("a comma is expected between two values")
			}
			return count, nil
		}
	}
}
