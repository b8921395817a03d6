package ui

import (
	"io"
	"os"
	"runtime"
)

// Colour is a colour of text, as terminals take it.
type Colour string

// The colours that are used.
const (
	Red    Colour = "\x1b[31m"
	Green  Colour = "\x1b[32m"
	Yellow Colour = "\x1b[33m"
)

// Palette paints text, or leaves it as it is.
type Palette bool

// PaletteOf returns a palette that paints where w shows colours: it is a terminal, not
// a dumb one, and the user has not set NO_COLOR (https://no-color.org).
func PaletteOf(w io.Writer) Palette {
	_, terminal := Terminal(w)
	return Palette(terminal && runtime.GOOS != "windows" && // whose older consoles print the codes
		os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// Paint returns a text in a colour.
func (p Palette) Paint(c Colour, text string) string {
	if !p {
		return text
	}
	return string(c) + text + "\x1b[0m"
}
