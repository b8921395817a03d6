package table

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"poolfill/reader/verdict"
)

// ByteOrderMark is the byte order mark in UTF-8.
const ByteOrderMark = "\xEF\xBB\xBF"

const (
	replacement = "\uFFFD"
	substitute  = 0x1A // U+001A, which ended text files under DOS
)

// StartOf returns the start of a cell as Finding.Value has it.
func StartOf(cell []byte) string {
	const most = 60
	if len(cell) > most {
		cell = cell[:most]
		cell = cell[:most-IncompleteTail(cell)]
	}
	return strings.ToValidUTF8(string(cell), replacement)
}

// CellTooLong returns the finding about a cell over Options.MaxCellBytes.
func (o Options) CellTooLong(line int64, column int, cell []byte) verdict.Finding {
	return verdict.Finding{
		Line: line, Column: column, Code: CodeCellTooLong,
		Message: fmt.Sprintf("the cell is longer than %d bytes: if a quote, a delimiter or a line end is missing, add it", o.MaxCellBytes),
		Value:   StartOf(cell),
	}
}

// RecordTooLong returns the finding about a record over Options.MaxRecordBytes.
func (o Options) RecordTooLong(line int64) verdict.Finding {
	return verdict.Finding{Line: line, Code: CodeRecordTooLong, Message: fmt.Sprintf(
		"the record is longer than %d bytes: if a line end is missing, add it", o.MaxRecordBytes)}
}

// FirstBad returns the place of the first byte that no cell may hold, or the
// length of the text. With lossy, U+FFFD is no character of the text.
func FirstBad(text []byte, lossy bool) int {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	if i := bytes.IndexByte(text, substitute); i >= 0 {
		text = text[:i]
	}
	for i := 0; ; i++ {
		j := bytes.IndexByte(text[i:], ByteOrderMark[0])
		if j < 0 {
			break
		}
		i += j
		if bytes.HasPrefix(text[i:], []byte(ByteOrderMark)) || lossy && bytes.HasPrefix(text[i:], []byte(replacement)) {
			text = text[:i]
			break
		}
	}
	if i := FirstInvalid(text); i >= 0 {
		return i
	}
	return len(text)
}

// Bad is a byte or character that no cell may hold.
type Bad struct {
	// At is its place in the text.
	At            int
	Code, Message string
}

// badWindow is how far ahead the text is searched at once. It bounds what a search
// costs that ends soon.
const badWindow = 4 << 10

// FindBad returns all that no cell may hold. The offset is the text's, for messages.
func FindBad(text []byte, offset int64, lossy bool) iter.Seq[Bad] {
	return func(yield func(Bad) bool) {
		for at := 0; at < len(text); {
			window := text[at:min(at+badWindow, len(text))]
			if at+len(window) < len(text) {
				// The window may end inside a character; the text doesn't.
				window = window[:len(window)-IncompleteTail(window)]
			}
			i := FirstBad(window, lossy)
			if at += i; i == len(window) {
				continue
			}
			code, size, message := describeBad(text[at:], offset+int64(at))
			if !yield(Bad{at, code, message}) {
				return
			}
			at += size
		}
	}
}

// describeBad says what is wrong at the start of text, and how many bytes it has.
func describeBad(text []byte, offset int64) (code string, size int, message string) {
	switch {
	case text[0] == 0:
		return CodeNulByte, 1, "the cell holds a NUL byte: remove it"
	case text[0] == substitute:
		return CodeControlCharacter, 1, "the cell holds the character U+001A, with which DOS programs mark the end of a file: remove it"
	case bytes.HasPrefix(text, []byte(ByteOrderMark)):
		return CodeByteOrderMark, len(ByteOrderMark), "the cell holds a byte order mark (U+FEFF), as it stands between files that were put together: remove it"
	case bytes.HasPrefix(text, []byte(replacement)):
		return CodeEncoding, len(replacement), "the cell holds a character that could not be decoded (now U+FFFD): check --encoding, or fix the row"
	}
	return CodeEncoding, 1, fmt.Sprintf("the byte 0x%02X at offset %d is not UTF-8: give the file's charset with --encoding, or fix the row", text[0], offset)
}

// FirstInvalid returns the place of the first byte that is not UTF-8, or -1.
func FirstInvalid(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// IncompleteTail returns the length of a character that is cut at the end of the
// text.
func IncompleteTail(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// CountLineEnds counts the line ends of a text.
func CountLineEnds(text []byte) int {
	n := 0
	for i := 0; ; n++ {
		j := bytes.IndexAny(text[i:], "\r\n")
		if j < 0 {
			return n
		}
		i += j + LineEndLen(text[i+j:])
	}
}

// LineEndLen returns the length of the line end at the start of text: LF, CR,
// CR LF, or CR CR LF.
func LineEndLen(text []byte) int {
	switch {
	case text[0] == '\n':
		return 1
	case len(text) > 1 && text[1] == '\n':
		return 2
	case len(text) > 2 && text[1] == '\r' && text[2] == '\n':
		return 3
	}
	return 1
}
