package report

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"

	"github.com/gocarina/gocsv"

	"poolfill/pipeline"
	"poolfill/reader"
)

// resultRow is a line of results.tsv.
type resultRow struct {
	File    string `csv:"file"`
	Line    int64  `csv:"line"`
	Record  int64  `csv:"record"`
	Status  string `csv:"status"`
	TaskID  string `csv:"task_id"`
	Field   string `csv:"field"`
	Code    string `csv:"code"`
	Message string `csv:"message"`
}

const resultsHeader = "file\tline\trecord\tstatus\ttask_id\tfield\tcode\tmessage\n"

// lineSink takes what a csv.Writer writes, one line a call of next.
type lineSink struct {
	buf   bytes.Buffer
	csv   *csv.Writer
	lines [][2]int
}

func newLineSink() *lineSink {
	s := &lineSink{}
	s.csv = csv.NewWriter(&s.buf)
	s.csv.Comma = '\t'
	return s
}

// Write, Flush and Error make it a gocsv.CSVWriter.
func (s *lineSink) Write(cells []string) error {
	start := s.buf.Len()
	err := s.csv.Write(cells)
	s.csv.Flush()
	s.lines = append(s.lines, [2]int{start, s.buf.Len()})
	return err
}

func (s *lineSink) Flush()       {}
func (s *lineSink) Error() error { return s.csv.Error() }

// renderResults gives the line of results.tsv for each result.
func renderResults(results []pipeline.Result) ([][]byte, error) {
	rows := make([]resultRow, len(results))
	for i := range results {
		r := &results[i]
		field, code, message := describe(r.Findings)
		rows[i] = resultRow{
			File: r.Position.File, Line: r.Position.Line, Record: r.Position.Record,
			Status: string(r.Status), TaskID: r.TaskID, Field: field, Code: code, Message: message,
		}
		if r.Reason != "" {
			rows[i].Message = r.Reason
		}
	}
	sink := newLineSink()
	if err := gocsv.MarshalCSVWithoutHeaders(rows, sink); err != nil {
		return nil, err
	}
	lines := make([][]byte, len(rows))
	for i, span := range sink.lines {
		lines[i] = sink.buf.Bytes()[span[0]:span[1]]
	}
	return lines, nil
}

// describe puts all findings of a row into one line each of field, code and
// message, in the same order.
func describe(findings []reader.Finding) (field, code, message string) {
	if len(findings) == 0 {
		return "", "", ""
	}
	fields := make([]string, len(findings))
	codes := make([]string, len(findings))
	messages := make([]string, len(findings))
	for i, f := range findings {
		fields[i], codes[i], messages[i] = f.Field, f.Code, oneLine(f.Message)
	}
	return strings.Join(fields, "; "), strings.Join(codes, "; "), strings.Join(messages, "; ")
}

// oneLine keeps a message from another program on one line and in one cell.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' || r == 0 }), " ")
}

// shape is a header and a dialect: rows of one shape can stand in one file.
type shape struct {
	index     int
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

func newShape(info reader.Info, index int) *shape {
	s := &shape{
		index: index, rawHeader: info.HeaderRaw, columns: len(info.Header),
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
func (s *shape) render(r *pipeline.Result, several bool) []byte {
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
