package ui

import (
	"io"
	"os"
	"runtime"

	"golang.org/x/term"
)

// Colour is a colour of text, as terminals take it.
type Colour string

// The colours that are used.
const (
	Red    Colour = "\x1b[31m"
	Green  Colour = "\x1b[32m"
	Yellow Colour = "\x1b[33m"
)

// Colourful reports whether w shows colours: it is a terminal, not a dumb one,
// and the user has not set NO_COLOR (https://no-color.org).
func Colourful(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && runtime.GOOS != "windows" && // whose older consoles print the codes
		os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// Paint gives a text its colour, where on is true.
func (c Colour) Paint(text string, on bool) string {
	if !on {
		return text
	}
	return string(c) + text + "\x1b[0m"
}
