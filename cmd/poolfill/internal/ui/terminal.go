package ui

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal returns the terminal that w writes to, below what makes texts visible.
func Terminal(w io.Writer) (file *os.File, ok bool) {
	file, ok = below(w).(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

// Clear empties the screen, if w writes to one.
func Clear(w io.Writer) {
	if file, ok := Terminal(w); ok {
		fmt.Fprint(file, "\x1b[H\x1b[2J") // from its top
	}
}

// below returns what takes the movements of a cursor, which a visible.Writer doesn't.
func below(w io.Writer) io.Writer {
	for {
		gate, ok := w.(interface{ Unwrap() io.Writer })
		if !ok {
			return w
		}
		w = gate.Unwrap()
	}
}
