package reader

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"poolfill/internal/spelling"
)

// sampleBytes bounds what findings and messages show of a cell.
const sampleBytes = 80

// cutText returns the start of a text, at most sampleBytes long and cut at a
// character's border.
func cutText[T string | []byte](text T) string {
	if len(text) <= sampleBytes {
		return string(text)
	}
	n := sampleBytes
	for n > sampleBytes-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return string(text[:n])
}

// Sample returns the beginning of a value, as Finding.Value has it.
func Sample(value string) string { return cutText(value) }

// quoteText returns the start of a text in quotes, for messages. Characters that
// can't be seen are written with a backslash.
func quoteText[T string | []byte](text T) string {
	start := cutText(text)
	quoted := strconv.Quote(start)
	if strings.ContainsAny(start, `"\`) && strconv.CanBackquote(start) {
		quoted = "`" + start + "`" // as it stands, not escaped
	}
	if len(start) < len(text) {
		quoted += "…"
	}
	return quoted
}

// appendString appends a text as a JSON string: every character as it is, and
// escaped only where JSON asks for it. An encoder's Writer would escape to the
// heap for each string.
func appendString(dst, text []byte) []byte {
	const hexadecimal = "0123456789abcdef"
	n := plainPrefix(text)
	if n == len(text) {
		// Nearly always. One look at the room is cheaper than three.
		start, end := len(dst), len(dst)+n+1
		dst = slices.Grow(dst, n+2)[:end+1]
		dst[start], dst[end] = '"', '"'
		copy(dst[start+1:end], text)
		return dst
	}
	dst = append(dst, '"')
	for ; ; n = plainPrefix(text) {
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return append(dst, '"')
		}
		switch c := text[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&0xF])
		}
		text = text[n+1:]
	}
}

// plainPrefix counts the bytes at the start of a text that stand in a JSON
// string as they are. It looks at eight of them at once.
func plainPrefix(text []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(text); i += 8 {
		word := binary.LittleEndian.Uint64(text[i:])
		// A byte below a bound sets its high bit when the bound is taken off. A
		// loan may set those of the bytes after it, never one before.
		control, quote, backslash := word-' '*ones, (word^'"'*ones)-ones, (word^'\\'*ones)-ones
		if found := (control | quote | backslash) &^ word & highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// isBlank says which bytes count as blanks around numbers, booleans and the
// elements of an array.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func trimBlanks(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isBlank(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

// didYouMean returns ", did you mean x?" or, where nothing is near, "".
func didYouMean(prefix, name string, candidates []string) string {
	if near := spelling.Nearest(name, candidates); near != "" {
		return ": did you mean " + prefix + near + "?"
	}
	return ""
}
