package reader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"poolfill/reader/verdict"
)

// Dialect says how lines are cut into cells. The zero value is tab-separated
// text with quotes as QuotesAuto reads them.
type Dialect struct {
	// Delimiter parts the cells: an ASCII character other than a quotation mark
	// or a line end. Zero means a tab.
	Delimiter byte
	// Quotes is the quote mode; empty means QuotesAuto.
	Quotes QuoteMode
	// KeepLineEnds keeps CR and CR LF inside quoted cells; false makes them LF.
	KeepLineEnds bool
	// Multiline says that quoted cells may hold lines that look like rows;
	// false makes such a cell a finding SWALLOWED_ROWS.
	Multiline bool
	// MaxCellBytes and MaxRecordBytes bound one cell and one record; zero means
	// DefaultMaxCellBytes and DefaultMaxRecordBytes. A record never may have
	// more than 1 GiB.
	MaxCellBytes   int
	MaxRecordBytes int
}

func (d Dialect) withDefaults() Dialect {
	if d.Delimiter == 0 {
		d.Delimiter = '\t'
	}
	if d.Quotes == "" {
		d.Quotes = QuotesAuto
	}
	if d.MaxCellBytes <= 0 {
		d.MaxCellBytes = DefaultMaxCellBytes
	}
	if d.MaxRecordBytes <= 0 {
		d.MaxRecordBytes = DefaultMaxRecordBytes
	}
	d.MaxRecordBytes = min(d.MaxRecordBytes, maxMaxRecordBytes)
	return d
}

// validate takes a dialect with its defaults filled in.
func (d Dialect) validate() error {
	var errs []error
	if c := d.Delimiter; c == '"' || c == '\n' || c == '\r' || c >= utf8.RuneSelf {
		errs = append(errs, fmt.Errorf("the delimiter %q can't part cells: take an ASCII character that is no quotation mark and no line end", rune(c)))
	}
	switch d.Quotes {
	case QuotesAuto, QuotesToloka, QuotesNone:
	default:
		errs = append(errs, fmt.Errorf("the quote mode %q is unknown: take %s, %s or %s", d.Quotes, QuotesAuto, QuotesToloka, QuotesNone))
	}
	return errors.Join(errs...)
}

// Record is one record of an input: the header, or a data row.
type Record struct {
	// Position is where the record starts. Position.Record is 0 for the header,
	// which is the first record, then 1, 2, and so on.
	Position verdict.Position
	// Lines counts the physical lines that the record spans.
	Lines int
	// Cells are the decoded cells. They are valid until the next Read.
	Cells [][]byte
	// Raw is the record as it stood, without its line end. It is valid until
	// the next Read, and nil where the record is over a limit.
	Raw []byte
	// Findings says why the record is broken; it is empty for a good one. The
	// cells of a broken record may be incomplete. Finding.Field stays empty
	// here: the columns' names belong to the header's reader.
	Findings []verdict.Finding
}

const (
	// firstBuffer is the size of the buffer until a record needs more.
	firstBuffer = 160 << 10
	// bufferSlack is what the buffer may have over the limit of one record, so
	// that reads at the limit don't become tiny.
	bufferSlack = 64 << 10
	// maxFindings bounds the findings of one record.
	maxFindings = 32
	// cleanWindow is how far ahead the text is searched for bytes that no
	// record may hold. It bounds what a search costs that ends at once.
	cleanWindow = 4 << 10
	// maxMaxRecordBytes bounds the bound.
	maxMaxRecordBytes = 1 << 30
	// maxEmptyReads is how often a reader may give nothing before it counts as
	// stuck.
	maxEmptyReads = 100
)

// RecordReader cuts UTF-8 text into records and cells.
//
// Memory: one buffer, which grows to the longest record and never beyond
// Dialect.MaxRecordBytes and a constant, and as much again for cells whose
// quotes had to be undone.
//
// Time is linear in the text, whatever its quotes. Only a quoted cell looks
// beyond the line on which it stands, and the look ends at the first run of an
// odd number of quotes. Where it was in vain, reading goes on at the next line,
// and the next vain look can only start at an odd run, hence not before the end
// of the last one: no stretch is looked at by two of them.
//
// It is not safe for concurrent use.
type RecordReader struct {
	name     string
	src      io.Reader
	dialect  Dialect
	started  bool
	base     int64 // what was dropped from the file before the text
	replaced bool  // U+FFFD stands for bytes that could not be decoded

	buf  []byte
	size int   // of buf until a record needs more; no more is read at once
	pos  int   // where the current record starts in buf
	end  int   // the end of the text in buf
	off  int64 // the place of buf[0] in the text
	hold bool  // records before pos are still needed: buf must stay as it is
	eof  bool
	err  error // ends all reading, once the buffer is used up
	fail error // what src failed with

	// Where these bytes come next; see find.
	lf, cr, quote, delim sight
	// clean is the place up to which the text is known to hold no byte that a
	// record may not have.
	clean int64
	// searched counts the bytes that closing went over; a test bounds it.
	searched int64

	line    int64 // physical line of pos
	records int64 // records given so far, the header included
	want    int   // delimiters in the header; -1 before it is known

	// spans has the cells of a record with quotes.
	spans []span
	// literals has the lines of cells with quotes that are ordinary characters.
	literals []int64

	cutter   cutter
	warnings recordWarnings
}

// span is a cell of a record before it becomes a slice: the buffer may still
// move.
type span struct {
	raw        int  // where the cell starts in the record, quote included
	start, end int  // where its text is
	undo       bool // doubled quotes, quotes inside or line ends must be undone
}

// sight remembers where a byte comes next: between from and at it doesn't.
type sight struct {
	from, at int64
	found    bool // the byte is at at; false: it was not searched beyond
}

// NewRecordReader reads the records of r, which gives UTF-8 text; a byte order
// mark at its start is dropped. The name stands in positions and errors.
// A dialect that can't be is reported by the first Read.
func NewRecordReader(name string, r io.Reader, d Dialect) *RecordReader {
	d = d.withDefaults()
	rr := &RecordReader{
		name:    name,
		src:     r,
		dialect: d,
		size:    firstBuffer,
		line:    1,
		want:    -1,
		err:     d.validate(),
	}
	if in, ok := r.(*input); ok {
		// An input has dropped its byte order mark itself: a second one is an
		// error.
		rr.base, rr.replaced, rr.started = in.baseOffset(), in.lossy, true
	}
	rr.cutter = cutter{dialect: d, replaced: rr.replaced}
	return rr
}

// start drops a byte order mark at the start of the text.
func (r *RecordReader) start() {
	r.started = true
	for r.end < len(utf8BOM) && !r.eof {
		_ = r.more() // nothing is held yet
	}
	if bytes.HasPrefix(r.buf[:r.end], []byte(utf8BOM)) {
		r.pos = len(utf8BOM)
	}
}

// Warnings lists what was odd but stopped no record so far: EMPTY_ROW and
// LITERAL_QUOTE, each counted once for each row or cell, with the first few
// lines. It is empty where there was nothing.
func (r *RecordReader) Warnings() []Warning { return r.warnings.list() }

// Read gives the next record. The error is io.EOF at the end and a *ReadError
// where the input can't be read on; a broken record is no error.
func (r *RecordReader) Read() (Record, error) {
	if !r.started && r.err == nil {
		r.start()
	}
	for r.err == nil {
		rec := Record{Position: r.position()}
		c, err := r.split()
		if err != nil {
			r.err = err
			break
		}
		if !c.skip {
			rec.Lines, rec.Findings = c.lines, c.findings
			if !c.tooLong {
				rec.Raw = r.buf[r.pos : r.pos+c.end : r.pos+c.end]
				r.cutter.cut(&rec, r.spans, r.isClean(c.end))
				r.warnings.noteLiterals(&rec, r.literals)
			}
		}
		r.advance(&c)
		if !c.skip {
			return rec, nil
		}
	}
	return Record{}, r.err
}

// position is that of the record that comes next.
func (r *RecordReader) position() verdict.Position {
	return verdict.Position{File: r.name, Line: r.line, Record: r.records, Offset: r.base + r.place(0)}
}

// advance moves behind a record, or behind what was no record.
func (r *RecordReader) advance(c *cut) {
	if !c.skip {
		if r.want < 0 {
			r.want = c.delimiters
		}
		r.records++
	}
	r.pos += c.next
	r.line += int64(c.lines)
}

// cut is what is known of one record. Places are counted from the record's
// start, since the buffer may move while more is read.
type cut struct {
	end   int // the end of the record: a line end, or the end of the text
	next  int // where reading goes on
	lines int // physical lines from the record's start to next
	cell  int // where the current cell starts
	// skip says that this is no record: an empty line, or delimiters only.
	skip bool
	// tooLong says that the record is not kept.
	tooLong bool
	// delimiters counts those of the header outside quotes; it is not counted
	// for other records without quotes.
	delimiters int
	findings   []verdict.Finding
}

// add keeps a finding about the record, up to a bound.
func (c *cut) add(f verdict.Finding) { c.findings = addFinding(c.findings, f) }

func addFinding(list []verdict.Finding, f verdict.Finding) []verdict.Finding {
	if len(list) < maxFindings {
		f.Stage = verdict.StageParse
		list = append(list, f)
	}
	return list
}

// split finds the next record. One with quotes it cuts into r.spans, since
// where its cells end tells where it ends.
func (r *RecordReader) split() (cut, error) {
	r.spans, r.literals = r.spans[:0], r.literals[:0]
	end, next, over, err := r.lineEnd(0)
	if err != nil {
		return cut{}, err
	}
	c := cut{end: end, next: next, lines: 1}
	switch {
	case over:
		return r.tooLong(c)
	case next == 0:
		return cut{}, io.EOF
	case end == 0:
		c.skip = true
		return c, nil
	}
	if r.dialect.Quotes != QuotesNone && r.find(&r.quote, '"', 0) < end {
		over, err := r.cutQuoted(&c)
		if err != nil {
			return cut{}, err
		}
		if over {
			return r.tooLong(c)
		}
		return c, nil
	}
	text := r.buf[r.pos : r.pos+end]
	switch {
	case r.records == 0:
		c.delimiters = bytes.Count(text, []byte{r.dialect.Delimiter})
	case text[0] == r.dialect.Delimiter && bytes.Count(text, text[:1]) == len(text):
		r.warnings.emptyRow(r.line)
		c.skip = true
	}
	return c, nil
}

// cutQuoted cuts a record with a quote on its first line into r.spans. It says
// whether the record is over the limit.
func (r *RecordReader) cutQuoted(c *cut) (over bool, err error) {
	// Of a broken header only the first line is known.
	c.delimiters = bytes.Count(r.buf[r.pos:r.pos+c.end], []byte{r.dialect.Delimiter})
	for {
		var after int
		if r.dialect.Quotes == QuotesToloka {
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

// cutAutoCell cuts the cell at c.cell by the rules of QuotesAuto and gives the
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
func (r *RecordReader) cutEnclosed(c *cut, q closer) (after int, over bool, err error) {
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

// closer is what a search for the end of a quoted text found.
type closer struct {
	found   bool // false: the text or the limit ended before
	at      int  // the closing quote, or how far was searched
	limit   bool // the limit of a record ended the search
	escaped bool // there are doubled quotes inside
}

// closing searches from start the first quote that is not doubled.
func (r *RecordReader) closing(start int) (closer, error) {
	q := closer{at: start}
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

// endsCell says whether a cell may end before the byte at the place.
func (r *RecordReader) endsCell(at int) bool {
	if r.pos+at >= r.end {
		return true
	}
	b := r.buf[r.pos+at]
	return b == r.dialect.Delimiter || b == '\n' || b == '\r'
}

// passLines takes account of the line ends between two quotes: c goes on with
// the line of the second. A finding is added where rows are swallowed; then c
// stays at the line of the first. returns says whether there is a CR.
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
		r.breakCell(c, open, CodeSwallowedRows, fmt.Sprintf(
			"the quoted cell that opens here swallows %s: close the quote, read with --quotes none, or allow such cells with --multiline",
			plural(rows, "line that looks like a row", "lines that look like rows")))
		return false, false, nil
	}
	returns = !r.dialect.KeepLineEnds && bytes.IndexByte(text, '\r') >= 0
	c.lines += lines
	c.end, c.next, over, err = r.lineEnd(closing + 1)
	return returns, over, err
}

// looksLikeRow says whether a line has as many delimiters as the header. In a
// file of one column every line with text is a row.
func (r *RecordReader) looksLikeRow(line []byte, want int) bool {
	if want == 0 && len(line) == 0 {
		return false
	}
	return want >= 0 && bytes.Count(line, []byte{r.dialect.Delimiter}) == want
}

// unclosed breaks the record at a quote that is never closed.
func (r *RecordReader) unclosed(c *cut, open int, q closer) {
	text := r.buf[r.pos+open : min(r.pos+q.at, r.end)]
	first := c.line(r)
	last := first + int64(countLineEnds(text))
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
	r.breakCell(c, open, CodeUnclosedQuote, fmt.Sprintf(
		"a quoted cell begins on line %d and no end was found by line %d, %s: close the quote, or read with --quotes none", first, last, why))
}

// breakCell adds a finding about the quote that opens a cell. The record is
// then what stands up to the end of that line.
func (r *RecordReader) breakCell(c *cut, open int, code, message string) {
	c.add(verdict.Finding{
		Line: c.line(r), Column: len(r.spans) + 1, Code: code, Message: message,
		Value: startOf(r.buf[r.pos+open : r.pos+c.end]),
	})
	r.spans = append(r.spans, span{raw: c.cell, start: c.cell, end: c.end})
}

// line is the physical line that the cut has come to.
func (c *cut) line(r *RecordReader) int64 { return r.line + int64(c.lines) - 1 }

// tooLong makes a record that is over the limit. It goes to the end of the
// physical line on which the limit was passed, and none of it is kept.
func (r *RecordReader) tooLong(c cut) (cut, error) {
	if r.hold {
		// What is skipped below could not be read again.
		return cut{}, errHeld
	}
	text := r.buf[r.pos:min(r.pos+r.dialect.MaxRecordBytes, r.end)]
	c.delimiters = bytes.Count(text, []byte{r.dialect.Delimiter})
	last := text[bytes.LastIndexByte(text, r.dialect.Delimiter)+1:]
	if c.lines == 1 && len(last) > r.dialect.MaxCellBytes {
		c.add(r.dialect.cellTooLong(r.line, c.delimiters+1, last))
	} else {
		c.add(verdict.Finding{Line: r.line, Code: CodeRecordTooLong, Message: fmt.Sprintf(
			"the record is longer than %d bytes: if a line end is missing, add it", r.dialect.MaxRecordBytes)})
	}
	c.tooLong, c.end = true, 0
	for from := c.next; ; from = 0 {
		end, next, over, err := r.lineEnd(from)
		if err != nil {
			return cut{}, err
		}
		if !over {
			c.next = next
			return c, nil
		}
		r.pos += end
	}
}

// isClean says whether the text of the record up to end holds no byte that it
// may not. It looks ahead in windows, so that short records cost one look
// together.
func (r *RecordReader) isClean(end int) bool {
	text := r.buf[r.pos:r.end]
	at := max(int(r.clean-r.place(0)), 0)
	for good := true; good && at < end; {
		window := text[at:min(at+cleanWindow, len(text))]
		if at+len(window) != end {
			// The window may end inside a character; the record doesn't.
			window = window[:len(window)-incompleteTail(window)]
		}
		i := firstBad(window, r.replaced)
		at += i
		good = i == len(window)
	}
	r.clean = r.place(at)
	return at >= end
}

// lineEnd finds the end of the physical line on which from stands, and the
// start of the next one. Beyond the limit of a record the search stops with
// over; end is then how far it came.
func (r *RecordReader) lineEnd(from int) (end, next int, over bool, err error) {
	for {
		text := r.buf[r.pos:r.end]
		end = min(r.find(&r.lf, '\n', from), r.find(&r.cr, '\r', from))
		switch {
		case end > r.dialect.MaxRecordBytes:
			return end, end, true, nil
		case end < len(text) && (r.eof || completeLineEnd(text[end:])):
			return end, end + lineEndLen(text[end:]), false, nil
		case r.eof:
			return end, end, false, r.failure()
		}
		if err := r.more(); err != nil {
			return 0, 0, false, err
		}
	}
}

// completeLineEnd says whether the whole line end at the start of text is
// there.
func completeLineEnd(text []byte) bool {
	return text[0] == '\n' || len(text) > 2 || len(text) == 2 && text[1] != '\r'
}

// lineEndLen gives the length of the line end at the start of text: LF, CR,
// CR LF, or CR CR LF.
func lineEndLen(text []byte) int {
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
	w.at = end + lineEndLen(w.text[end:])
	return true
}

// indexFrom gives the place of a byte at or after from, or the text's length.
func indexFrom(text []byte, b byte, from int) int {
	if i := bytes.IndexByte(text[from:], b); i >= 0 {
		return from + i
	}
	return len(text)
}

// countLineEnds counts the line ends of a text.
func countLineEnds(text []byte) int {
	n := -1
	for walk := (lineWalker{text: text}); walk.next(); {
		n++
	}
	return n
}

// place gives the place in the whole text of what is at counted from the
// record's start.
func (r *RecordReader) place(at int) int64 { return r.off + int64(r.pos+at) }

// find gives the place at or after from where the byte comes next, or the end
// of what was read. It never searches a stretch twice as long as from doesn't
// go back.
func (r *RecordReader) find(m *sight, b byte, from int) int {
	place := r.place(from)
	if place < m.from || place > m.at {
		*m = sight{from: place, at: place}
	}
	if !m.found {
		i := indexFrom(r.buf[:r.end], b, int(m.at-r.off))
		m.at, m.found = r.off+int64(i), i < r.end
	}
	return int(m.at - r.place(0))
}

// errHeld says that a record is not in the buffer as a whole, and that the
// buffer must stay as it is for the records before.
var errHeld = errors.New("the buffer is held")

// more reads more of the text. At its end, or where reading fails, it sets
// r.eof.
func (r *RecordReader) more() error {
	if r.hold {
		return errHeld
	}
	if r.end == len(r.buf) {
		r.makeRoom()
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:min(r.end+r.size, len(r.buf))])
		r.end += n
		if err != nil {
			r.eof = true
			if !errors.Is(err, io.EOF) {
				r.fail = err
			}
			return nil
		}
		if n > 0 {
			return nil
		}
	}
	r.eof, r.fail = true, io.ErrNoProgress
	return nil
}

// makeRoom moves the unread text to the front of the buffer where that frees
// half of it, or where it may not grow; else it grows.
func (r *RecordReader) makeRoom() {
	buf, most := r.buf, max(r.size, r.dialect.MaxRecordBytes+bufferSlack)
	switch unread := r.end - r.pos; {
	case len(buf) == 0:
		buf = make([]byte, r.size)
	case unread > len(buf)/2 && len(buf) < most:
		buf = make([]byte, min(2*len(buf), most))
	}
	r.moveTo(buf)
}

// moveTo goes on with the unread text in another buffer, or at the front of
// the same one.
func (r *RecordReader) moveTo(buf []byte) {
	r.end = copy(buf, r.buf[r.pos:r.end])
	r.off += int64(r.pos)
	r.buf, r.pos = buf, 0
}

// failure gives the error where the text ended because reading failed.
func (r *RecordReader) failure() error {
	if r.fail == nil {
		return nil
	}
	return &ReadError{File: r.name, Line: r.line + int64(countLineEnds(r.buf[r.pos:r.end])), Err: r.fail}
}

// startOf gives the start of a cell, for findings.
func startOf(cell []byte) string {
	const most = 60
	if len(cell) > most {
		cell = cell[:most]
		cell = cell[:most-incompleteTail(cell)]
	}
	return strings.ToValidUTF8(string(cell), replacement)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
