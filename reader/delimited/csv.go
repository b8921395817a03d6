package delimited

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize/english"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// CSVReader returns records as strings. It satisfies the CSVReader of
// github.com/gocarina/gocsv, so that gocsv.UnmarshalCSV and the decoders of
// gocsv.NewSimpleDecoderFromCSVReader read typed rows by the rules of this
// package.
//
// It takes the records of the RecordReader that it comes from: use only one of
// the two.
type CSVReader struct {
	records *RecordReader
	columns int // cells in the header; 0 before it is known
}

// CSV returns the records that were not read yet as strings.
func (r *RecordReader) CSV() *CSVReader { return &CSVReader{records: r} }

// Read returns the next record; the first one is the header. The error is io.EOF
// at the end and a *table.ReadError where the input can't be read on. It is a
// *table.RowError for a broken record and for one with more or fewer cells than the
// header; Read may then be called again and goes on with the next record.
func (c *CSVReader) Read() ([]string, error) {
	record, err := c.records.Read()
	if err != nil {
		return nil, err
	}
	if len(record.Findings) > 0 {
		return nil, table.Reject(&record, record.Findings)
	}
	if c.columns == 0 {
		c.columns = len(record.Cells)
	}
	if got := len(record.Cells); got != c.columns {
		return nil, table.Reject(&record, []verdict.Finding{{
			Stage: verdict.StageParse, Line: record.Position.Line, Column: min(got, c.columns) + 1, Code: table.CodeColumnCount,
			Message: fmt.Sprintf("the row has %s, the header has %d", english.Plural(got, "cell", ""), c.columns),
		}})
	}
	return stringsOf(record.Cells), nil
}

// ReadAll returns all records. It stops at the first error, which is that of
// Read; the end is no error. All records are held in memory.
func (c *CSVReader) ReadAll() ([][]string, error) {
	var all [][]string
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
}

// stringsOf copies the cells. They share one string, so that a record costs
// two allocations.
func stringsOf(cells [][]byte) []string {
	size := 0
	for _, cell := range cells {
		size += len(cell)
	}
	var text strings.Builder
	text.Grow(size)
	for _, cell := range cells {
		text.Write(cell)
	}
	all := text.String()
	list := make([]string, len(cells))
	for i, cell := range cells {
		list[i], all = all[:len(cell)], all[len(cell):]
	}
	return list
}
