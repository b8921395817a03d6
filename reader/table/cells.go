package table

import (
	"strings"

	"poolfill/reader/verdict"
)

// Cells are the records of a block of a format whose input is no delimited text: they
// are added by their cells, and have a line of tab-separated text as their Raw. A Block
// of such a format embeds Cells and adds Find.
type Cells struct {
	// Options bound the cells and records.
	Options Options
	// From and To are what Marks returns.
	From, To Mark

	text    []byte // of each record its line, then the cells as they are that have quotes in it
	records []cellRecord
	bounds  []cellBounds
	cells   [][]byte // of the record that was cut last
}

type cellRecord struct {
	position   verdict.Position
	start, end int // of the line in text
	first      int // the first of its bounds
}

// cellBounds says where a cell stands in a line, and where as it is.
type cellBounds struct{ start, end, plain, plainEnd int }

// TabSeparated is the layout of the Raw of Cells.
func TabSeparated() Layout { return Layout{Delimiter: '\t', Quotes: QuotesAuto} }

// Add appends a record. It returns its line with the line end, which is valid until the
// next call.
func (c *Cells) Add(at verdict.Position, cells []string) (line []byte) {
	if len(cells) == 0 {
		cells = []string{""}
	}
	r := cellRecord{position: at, start: len(c.text), first: len(c.bounds)}
	for i, cell := range cells {
		if i > 0 {
			c.text = append(c.text, '\t')
		}
		start := len(c.text)
		// A first cell that is empty has quotes, as a row without any text is none.
		if quotes := i == 0 && cell == "" || strings.ContainsAny(cell, "\"\t\r\n"); quotes {
			c.text = append(c.text, '"')
			c.text = append(c.text, strings.ReplaceAll(cell, `"`, `""`)...)
			c.text = append(c.text, '"')
			c.bounds = append(c.bounds, cellBounds{start, len(c.text), -1, -1})
		} else {
			c.text = append(c.text, cell...)
			c.bounds = append(c.bounds, cellBounds{start, len(c.text), start, len(c.text)})
		}
	}
	r.end = len(c.text)
	c.text = append(c.text, '\n')
	line = c.text[r.start:]
	for i := range cells {
		if b := &c.bounds[r.first+i]; b.plain < 0 {
			b.plain = len(c.text)
			c.text = append(c.text, cells[i]...)
			b.plainEnd = len(c.text)
		}
	}
	c.records = append(c.records, r)
	return line
}

// Size is about how many bytes of text the records have.
func (c *Cells) Size() int { return len(c.text) }

// Len is the number of records.
func (c *Cells) Len() int { return len(c.records) }

// Marks returns From and To.
func (c *Cells) Marks() (from, to Mark) { return c.From, c.To }

// Warnings returns none.
func (c *Cells) Warnings() []Warning { return nil }

// Reset empties the block.
func (c *Cells) Reset() {
	clear(c.records)
	c.records, c.bounds, c.text = c.records[:0], c.bounds[:0], c.text[:0]
	if cap(c.text) > 4*c.Options.BlockBytes {
		c.text = nil // one long record has taken it
	}
}

// Cut does what Block.Cut says.
func (c *Cells) Cut(i int, rec *Record) {
	r, bounds := &c.records[i], c.bounds
	if i+1 < len(c.records) {
		bounds = bounds[:c.records[i+1].first]
	}
	*rec = Record{Position: r.position, Lines: 1, Raw: c.text[r.start:r.end:r.end]}
	c.cells = c.cells[:0]
	tooLong := false
	for column, b := range bounds[r.first:] {
		cell := c.text[b.plain:b.plainEnd:b.plainEnd]
		c.cells = append(c.cells, cell)
		if len(cell) > c.Options.MaxCellBytes {
			rec.Findings, _ = AddFinding(rec.Findings, c.Options.CellTooLong(r.position.Line, column+1, cell))
			tooLong = true
		}
	}
	if len(rec.Raw) > c.Options.MaxRecordBytes && !tooLong {
		rec.Findings, _ = AddFinding(rec.Findings, c.Options.RecordTooLong(r.position.Line))
		tooLong = true
	}
	if tooLong {
		rec.Raw = nil
		return
	}
	rec.Cells = c.cells
	if FirstBad(rec.Raw, false) < len(rec.Raw) {
		c.checkBytes(rec, r.start, bounds[r.first:])
	}
}

// checkBytes finds what no cell may hold, of a record whose line starts at a place of
// the text.
func (c *Cells) checkBytes(rec *Record, start int, bounds []cellBounds) {
	for column, b := range bounds {
		known := map[string]bool{}
		for bad := range FindBad(c.text[b.start:b.end], rec.Position.Offset+int64(b.start-start), false) {
			if known[bad.Code] {
				continue
			}
			known[bad.Code] = true
			rec.Findings, _ = AddFinding(rec.Findings, verdict.Finding{
				Line: rec.Position.Line, Column: column + 1, Code: bad.Code, Message: bad.Message,
				Value: StartOf(rec.Raw[b.start-start+bad.At:]),
			})
		}
	}
}
