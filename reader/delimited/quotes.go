package delimited

import (
	"bytes"
	"fmt"

	"github.com/dustin/go-humanize/english"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// cutQuoted cuts a record with a quote on its first line into r.spans. It says
// whether the record is over the limit.
func (r *RecordReader) cutQuoted(c *cut) (over bool, err error) {
	// Of a broken header only the first line is known.
	c.delimiters = bytes.Count(r.buf[r.pos:r.pos+c.end], []byte{r.dialect.Delimiter})
	for {
		var after int
		if r.dialect.Quotes == table.QuotesToloka {
			after, over, err = r.cutTolokaCell(c)
		} else {
			after, over, err = r.cutAutoCell(c)
		}
		if over || err != nil || len(c.findings) > 0 {
			return over, err
		}
		if after == c.end {
			c.delimiters = len(r.spans) - 1
			return false, nil
		}
		c.cell = after + 1
	}
}

// cutAutoCell cuts the cell at c.cell by the rules of table.QuotesAuto and returns the
// place of the delimiter or line end after it.
func (r *RecordReader) cutAutoCell(c *cut) (after int, over bool, err error) {
	start := c.cell
	if start < c.end && r.buf[r.pos+start] == '"' {
		q, err := r.closing(start + 1)
		switch {
		case err != nil:
			return 0, false, err
		case q.found && r.endsCell(q.at+1):
			return r.cutEnclosed(c, q)
		case !q.found || q.at >= c.end:
			r.unclosed(c, start, q)
			return 0, false, nil
		}
		// Text after the closing quote, all on one line: no quoting is meant.
	}
	text := r.buf[r.pos+start : r.pos+c.end]
	if i := bytes.IndexByte(text, r.dialect.Delimiter); i >= 0 {
		text = text[:i]
	}
	if bytes.IndexByte(text, '"') >= 0 {
		r.literals = append(r.literals, c.line(r))
	}
	r.spans = append(r.spans, span{raw: start, start: start, end: start + len(text)})
	return start + len(text), false, nil
}

// cutEnclosed cuts a cell that its quotes enclose as a whole.
func (r *RecordReader) cutEnclosed(c *cut, q closingQuote) (after int, over bool, err error) {
	start := c.cell
	returns, over, err := r.passLines(c, start, q.at)
	if over || err != nil || len(c.findings) > 0 {
		return 0, over, err
	}
	r.spans = append(r.spans, span{raw: start, start: start + 1, end: q.at, undo: q.escaped || returns})
	return q.at + 1, false, nil
}

// cutTolokaCell does as cutAutoCell by the rules of QuotesToloka.
func (r *RecordReader) cutTolokaCell(c *cut) (after int, over bool, err error) {
	at := c.cell
	for {
		end := min(r.find(&r.delim, r.dialect.Delimiter, at), c.end)
		open := r.find(&r.quote, '"', at)
		if open >= end {
			r.spans = append(r.spans, span{raw: c.cell, start: c.cell, end: end, undo: at > c.cell})
			return end, false, nil
		}
		q, err := r.closing(open + 1)
		if err != nil {
			return 0, false, err
		}
		if !q.found {
			r.unclosed(c, open, q)
			return 0, false, nil
		}
		_, over, err := r.passLines(c, open, q.at)
		if over || err != nil || len(c.findings) > 0 {
			return 0, over, err
		}
		at = q.at + 1
	}
}

// closingQuote is what a search for the end of a quoted text found.
type closingQuote struct {
	found   bool // false: the text or the limit ended before
	at      int  // the closing quote, or how far was searched
	limit   bool // the limit of a record ended the search
	escaped bool // there are doubled quotes inside
}

// closing searches from start the first quote that is not doubled.
func (r *RecordReader) closing(start int) (closingQuote, error) {
	q := closingQuote{at: start}
	for {
		text := r.buf[r.pos:r.end]
		at := indexFrom(text, '"', q.at)
		r.searched += int64(at - q.at)
		q.at = at
		switch {
		case q.at > r.dialect.MaxRecordBytes:
			q.limit, q.at = true, r.dialect.MaxRecordBytes+1
			return q, nil
		case q.at+1 < len(text) && text[q.at+1] == '"':
			q.escaped = true
			q.at += 2
			continue
		case q.at+1 < len(text) || q.at < len(text) && r.eof:
			q.found = true
			return q, nil
		case r.eof:
			return q, r.failure()
		}
		if err := r.more(); err != nil {
			return q, err
		}
	}
}

// endsCell reports whether a cell may end before the byte at the place.
func (r *RecordReader) endsCell(at int) bool {
	if r.pos+at >= r.end {
		return true
	}
	b := r.buf[r.pos+at]
	return b == r.dialect.Delimiter || b == '\n' || b == '\r'
}

// passLines takes account of the line ends between two quotes: c goes on with
// the line of the second. A finding is added where rows are swallowed; then c
// stays at the line of the first. returns reports a CR.
func (r *RecordReader) passLines(c *cut, open, closing int) (returns, over bool, err error) {
	if closing < c.end {
		return false, false, nil
	}
	want := r.want
	if want < 0 {
		// The header itself: the lines after its first one are rows where they
		// are cut as that one is. One column is no sign of anything.
		if want = c.delimiters; want == 0 {
			want = -1
		}
	}
	text := r.buf[r.pos+open+1 : r.pos+closing]
	lines, rows := -1, 0
	for walk := (lineWalker{text: text}); walk.next(); {
		if lines++; lines > 0 && !r.dialect.Multiline && r.looksLikeRow(walk.line, want) {
			rows++
		}
	}
	if rows > 0 {
		r.breakCell(c, open, table.CodeSwallowedRows, fmt.Sprintf(
			"the quoted cell that opens here swallows %s: close the quote, read with --quotes none, or allow such cells with --multiline",
			english.Plural(rows, "line that looks like a row", "lines that look like rows")))
		return false, false, nil
	}
	returns = !r.dialect.KeepLineEnds && bytes.IndexByte(text, '\r') >= 0
	c.lines += lines
	c.end, c.next, over, err = r.lineEnd(closing + 1)
	return returns, over, err
}

// looksLikeRow reports whether a line has as many delimiters as the header. In a
// file of one column every line with text is a row.
func (r *RecordReader) looksLikeRow(line []byte, want int) bool {
	if want == 0 && len(line) == 0 {
		return false
	}
	return want >= 0 && bytes.Count(line, []byte{r.dialect.Delimiter}) == want
}

// unclosed breaks the record at a quote that is never closed.
func (r *RecordReader) unclosed(c *cut, open int, q closingQuote) {
	text := r.buf[r.pos+open : min(r.pos+q.at, r.end)]
	first := c.line(r)
	last := first + int64(table.CountLineEnds(text))
	why := "where a quotation mark is followed by text"
	switch {
	case q.limit:
		why = "at the limit of one record"
	case !q.found:
		why = "the end of the file"
		if b := text[len(text)-1]; b == '\n' || b == '\r' {
			last--
		}
	}
	r.breakCell(c, open, table.CodeUnclosedQuote, fmt.Sprintf(
		"a quoted cell begins on line %d and no end was found by line %d, %s: close the quote, or read with --quotes none", first, last, why))
}

// breakCell adds a finding about the quote that opens a cell. The record is
// then what stands up to the end of that line.
func (r *RecordReader) breakCell(c *cut, open int, code, message string) {
	c.add(verdict.Finding{
		Line: c.line(r), Column: len(r.spans) + 1, Code: code, Message: message,
		Value: table.StartOf(r.buf[r.pos+open : r.pos+c.end]),
	})
	r.spans = append(r.spans, span{raw: c.cell, start: c.cell, end: c.end})
}
