package ui

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/term"
)

// console is a terminal that a bar is drawn on; it is mpb's ConsoleWriter. mpb's own
// goes up to the old bar without going back to the beginning of the line, so that the ^C
// which a terminal shows where the cursor is would leave the first two characters of
// the old bar standing.
type console struct {
	bytes.Buffer
	file *os.File
}

// Flush draws what was written, and goes back over it, so that the next drawing
// replaces it.
func (c *console) Flush(lines int) error {
	if _, err := c.WriteTo(c.file); err != nil {
		return err
	}
	if lines > 0 && c.IsTerminal() {
		fmt.Fprint(c, "\r\x1b["+strconv.Itoa(lines)+"A\x1b[J")
	}
	return nil
}

// IsTerminal is part of mpb.ConsoleWriter.
func (c *console) IsTerminal() bool { return term.IsTerminal(int(c.file.Fd())) }

// GetTermSize is part of mpb.ConsoleWriter.
func (c *console) GetTermSize() (width, height int, err error) {
	return term.GetSize(int(c.file.Fd()))
}
