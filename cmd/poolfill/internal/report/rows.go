package report

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"poolfill/cmd/poolfill/internal/explain"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

const resultsHeader = "file\tline\trecord\tstatus\ttask_id\tfield\tcode\tmessage\n"

// counter is a number as text that is mostly one more than the last time: then
// its last digit changes, which takes a fifth of the time of writing all of them.
type counter struct {
	value int64
	text  []byte
}

func (c *counter) set(value int64) {
	last := len(c.text) - 1
	if value == c.value+1 && last >= 0 && c.value >= 0 && c.text[last] < '9' {
		c.text[last]++
	} else if value != c.value || last < 0 {
		c.text = strconv.AppendInt(c.text[:0], value, 10)
	}
	c.value = value
}

// appendResult appends the line of results.tsv for a row of the file that has
// the name cell, with its line and record. It is written by hand since there is
// one for every row: it costs a tenth of what reflection does.
func appendResult(dst, cell, line, record []byte, r *verdict.Verdict) []byte {
	dst = append(dst, cell...)
	dst = append(append(dst, '\t'), line...)
	dst = append(append(dst, '\t'), record...)
	dst = append(append(dst, '\t'), r.Status.String()...)
	dst = appendResultCell(append(dst, '\t'), r.TaskID)
	if r.Reason == "" && len(r.Findings) == 0 {
		return append(dst, "\t\t\t\n"...)
	}
	field, code, message := describe(r.Findings)
	if r.Reason != "" {
		message = r.Reason
	}
	for _, text := range [...]string{field, code, message} {
		dst = appendResultCell(append(dst, '\t'), text)
	}
	return append(dst, '\n')
}

// appendResultCell appends a cell as encoding/csv would: in quotes only where
// it has to be.
func appendResultCell(dst []byte, text string) []byte {
	if isPlain(text) || text != `\.` && !strings.ContainsAny(text, "\t\"\r\n") && !startsWithSpace(text) {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(text, `"`, `""`)...)
	return append(dst, '"')
}

// isPlain reports whether a text is of letters, digits and such, as ids are: there
// is one in every line.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func startsWithSpace(text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	return unicode.IsSpace(first)
}

// describe puts all findings of a row into one line each of field, code and
// message, in the same order.
func describe(findings []verdict.Finding) (field, code, message string) {
	if len(findings) == 0 {
		return "", "", ""
	}
	fields := make([]string, len(findings))
	codes := make([]string, len(findings))
	messages := make([]string, len(findings))
	for i, f := range findings {
		fields[i], codes[i], messages[i] = f.Field, f.Code, oneLine(explain.WithFlags(f.Message))
	}
	return strings.Join(fields, "; "), strings.Join(codes, "; "), strings.Join(messages, "; ")
}

// oneLine keeps a message from another program on one line and in one cell.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' || r == 0 }), " ")
}

// shape is a header and a dialect: rows of one shape can stand in one file.
type shape struct {
	rawHeader string
	columns   int
	delimiter byte
	quotes    reader.QuoteMode
	own       bool // the input is a file of rejected rows itself
}

// The columns that a file of rejected rows has in front of the input's own.
// They come first, so that a row with too few or too many cells can't shift
// them. On reading, such columns are ignored.
var errorColumns = [...]string{"ERROR:line", "ERROR:field", "ERROR:code", "ERROR:message"}

func newShape(info reader.Info) *shape {
	s := &shape{
		rawHeader: info.HeaderRaw, columns: len(info.Header),
		delimiter: info.Delimiter, quotes: info.Quotes,
	}
	if n := len(errorColumns); len(info.Header) > n && slices.Equal(info.Header[:n], errorColumns[:]) {
		s.own = true
		s.columns -= n
		s.rawHeader = string(s.withoutOwn([]byte(s.rawHeader)))
	}
	return s
}

func (s *shape) sameAs(other *shape) bool {
	return s.rawHeader == other.rawHeader && s.delimiter == other.delimiter && s.quotes == other.quotes
}

func (s *shape) header() []byte {
	line := []byte(strings.Join(errorColumns[:], string(rune(s.delimiter))))
	line = append(line, s.delimiter)
	line = append(line, s.rawHeader...)
	return append(line, '\n')
}

// render gives the line of a rejected row: what is wrong, then the row as it
// stood.
func (s *shape) render(r *verdict.Verdict, several bool) []byte {
	field, code, message := describe(r.Findings)
	line := strconv.FormatInt(r.Position.Line, 10)
	if several {
		line = r.Position.File + ":" + line
	}
	var out []byte
	for _, cell := range []string{line, field, code, message} {
		out = s.appendCell(out, cell)
		out = append(out, s.delimiter)
	}
	if r.Raw == nil {
		// A row over the size limit was not kept. Its cells stay empty: a row
		// without values is refused again, a cut one would be uploaded.
		out = append(out, bytes.Repeat([]byte{s.delimiter}, max(0, s.columns-1))...)
	} else {
		out = append(out, s.withoutOwn(r.Raw)...)
	}
	return append(out, '\n')
}

// withoutOwn takes off what an earlier run put in front of a rejected row.
func (s *shape) withoutOwn(row []byte) []byte {
	if !s.own {
		return row
	}
	for range errorColumns {
		end := 0
		if s.quotes != reader.QuotesNone && len(row) > 0 && row[0] == '"' {
			for end = 1; end < len(row); end++ {
				if row[end] == '"' {
					if end++; end == len(row) || row[end] != '"' {
						break
					}
				}
			}
		}
		cell := bytes.IndexByte(row[min(end, len(row)):], s.delimiter)
		if cell < 0 {
			return nil
		}
		row = row[end+cell+1:]
	}
	return row
}

// appendCell writes a cell of our own in the file's dialect.
func (s *shape) appendCell(out []byte, cell string) []byte {
	if s.quotes == reader.QuotesNone {
		return append(out, strings.ReplaceAll(cell, string(rune(s.delimiter)), " ")...)
	}
	if !strings.ContainsAny(cell, "\"\r\n"+string(rune(s.delimiter))) {
		return append(out, cell...)
	}
	out = append(out, '"')
	out = append(out, strings.ReplaceAll(cell, `"`, `""`)...)
	return append(out, '"')
}
