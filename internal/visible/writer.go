package visible

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// A Writer is the last gate before a terminal: what is hidden, in the sense of Text, is
// written as an escape, whoever forgot to make it visible. Line ends and tabs pass, as they
// are ours by then, and so do the colours red, green and yellow, and their end, where they
// come whole in one Write. The escapes are those of JSON, so that JSON means the same
// afterwards as before. It is safe for concurrent use, and keeps no more than the
// beginning of one character.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	rest []byte // the beginning of a character, whose end comes with the next Write
	out  []byte
}

// NewWriter returns a Writer that writes to w. Close it at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Unwrap returns what the Writer writes to, for those that move the cursor of a terminal
// themselves.
func (w *Writer) Unwrap() io.Writer { return w.w }

// Write is part of io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) == 0 && plain(p) {
		return w.w.Write(p)
	}
	all := append(w.rest, p...) //nolint:gocritic // rest is set again below
	whole := len(all) - begun(all)
	w.out = appendVisible(w.out[:0], all[:whole])
	w.rest = append([]byte(nil), all[whole:]...)
	if _, err := w.w.Write(w.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what is left of a character that never ended. It leaves the writer below
// open.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.rest
	w.rest = nil
	if len(rest) == 0 {
		return nil
	}
	_, err := w.w.Write(appendInvalid(nil, rest))
	return err
}

// JSON returns JSON that means the same as text, and can be shown: what a Writer would
// write of it.
func JSON(text []byte) []byte { return appendVisible(nil, text) }

// appendVisible appends a text with escapes for what doesn't pass.
func appendVisible(dst, text []byte) []byte {
	for len(text) > 0 {
		if n := passes(text); n > 0 {
			dst, text = append(dst, text[:n]...), text[n:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		dst, text = appendEscape(dst, text[0], r, size), text[size:]
	}
	return dst
}

// plain reports whether a text is ASCII that is seen as it is, which nearly all is.
func plain(p []byte) bool {
	for _, c := range p {
		if (c < ' ' && c != '\n' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// colours are the sequences that pass.
var colours = [][]byte{[]byte("\x1b[0m"), []byte("\x1b[31m"), []byte("\x1b[32m"), []byte("\x1b[33m")}

// passes returns the length of what a text begins with that is written as it is; 0 where
// it begins with something hidden. A carriage return is harmless before a line's end.
func passes(text []byte) int {
	switch c := text[0]; {
	case c == '\n', c == '\t', c >= ' ' && c < 0x7f:
		return 1
	case c == '\r' && len(text) > 1 && text[1] == '\n':
		return 2
	case c == '\x1b':
		for _, colour := range colours {
			if bytes.HasPrefix(text, colour) {
				return len(colour)
			}
		}
		return 0
	}
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError && size > 1 || !hidden(r) {
		return size
	}
	return 0
}

// begun returns how many bytes at a text's end begin a character whose end is missing.
func begun(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// appendEscape appends a hidden character; a byte that is none where size is 1 and r an
// error.
func appendEscape(dst []byte, first byte, r rune, size int) []byte {
	switch {
	case r == utf8.RuneError && size == 1:
		return appendInvalid(dst, []byte{first})
	case r < 0x10000:
		return fmt.Appendf(dst, `\u%04x`, r)
	}
	high, low := utf16.EncodeRune(r)
	return fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
}

// appendInvalid appends bytes that are no text. JSON never has them.
func appendInvalid(dst, text []byte) []byte {
	for _, c := range text {
		dst = fmt.Appendf(dst, `\x%02x`, c)
	}
	return dst
}
