package delimited

import (
	"bytes"

	"poolfill/reader/table"
)

// lineWalker walks over the lines of a text; the last one has no line end and
// may be empty.
type lineWalker struct {
	text   []byte
	line   []byte
	at     int
	lf, cr int // where they come next; searched again when passed
	done   bool
}

func (w *lineWalker) next() bool {
	if w.done {
		return false
	}
	if w.at == 0 || w.lf < w.at {
		w.lf = indexFrom(w.text, '\n', w.at)
	}
	if w.at == 0 || w.cr < w.at {
		w.cr = indexFrom(w.text, '\r', w.at)
	}
	end := min(w.lf, w.cr)
	w.line = w.text[w.at:end]
	if end == len(w.text) {
		w.done = true
		return true
	}
	w.at = end + table.LineEndLen(w.text[end:])
	return true
}

// indexFrom returns the place of a byte at or after from, or the text's length.
func indexFrom(text []byte, b byte, from int) int {
	if i := bytes.IndexByte(text[from:], b); i >= 0 {
		return from + i
	}
	return len(text)
}
