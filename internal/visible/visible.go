// Package visible makes texts of other people's fit to be shown: a server's messages,
// names of files, headers. What goes in is any text; what comes out is one line of
// UTF-8 that moves no cursor, hides nothing and can't be taken for lines of our own.
// It holds no more than the text.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with everything that can't be seen, or that changes how the rest is
// seen, written as an escape of Go's: \n, \x1b, \u202e. That is controls, line ends of
// all kinds, marks of direction, and bytes that are no UTF-8. All other text stays as
// it is, so that a message's own backslashes and quotes do.
func Text(s string) string {
	if !strings.ContainsFunc(s, hidden) { // bytes that are no UTF-8 come as RuneError
		return s
	}
	var b strings.Builder
	for i, size := 0, 0; i < len(s); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hidden(r) && r != utf8.RuneError:
			b.WriteString(escape(r))
		default:
			b.WriteString(s[i : i+size])
		}
	}
	return b.String()
}

// Cut returns the beginning of Text(s), of about so many bytes: where something is left
// out, there is an ellipsis. Neither a character nor an escape is cut in two.
func Cut(s string, most int) string {
	if len(s) <= most {
		return Text(s)
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return Text(s[:most]) + "…"
}

// hidden reports whether a character is not shown as it is. Of the marks of direction,
// it takes those that change what follows them, and those that nobody sees. A
// RuneError may stand for a byte that is none.
func hidden(r rune) bool {
	switch {
	case r == utf8.RuneError, unicode.IsControl(r):
		return true
	case r == '\u2028', r == '\u2029': // ends of lines and paragraphs
		return true
	case r == '\u061c', r == '\u200e', r == '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	}
	return r == '\ufeff' || r >= 0xe0000 && r <= 0xe007f // a byte order mark, and tags
}

func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}
