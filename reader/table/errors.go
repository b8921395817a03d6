package table

import (
	"bytes"
	"fmt"
	"strings"

	"poolfill/reader/verdict"
)

// The codes of findings in the stage parse, and of warnings about records.
const (
	CodeEmptyFile        = "EMPTY_FILE"        // no header: no bytes, or only blanks and line ends
	CodeNotText          = "NOT_TEXT"          // a workbook, an archive, a web page or the like
	CodeEncoding         = "ENCODING"          // bytes that are not in the expected charset
	CodeNulByte          = "NUL_BYTE"          // U+0000 in the text
	CodeByteOrderMark    = "BYTE_ORDER_MARK"   // U+FEFF inside the text
	CodeControlCharacter = "CONTROL_CHARACTER" // U+001A, the end-of-file mark of DOS
	CodeDelimiter        = "DELIMITER"         // two ways to cut the lines into cells
	CodeSwallowedRows    = "SWALLOWED_ROWS"    // a quoted cell over lines that look like rows
	CodeUnclosedQuote    = "UNCLOSED_QUOTE"    // a quoted cell without an end
	CodeCellTooLong      = "CELL_TOO_LONG"     // over Options.MaxCellBytes
	CodeRecordTooLong    = "RECORD_TOO_LONG"   // over Options.MaxRecordBytes
	CodeColumnCount      = "COLUMN_COUNT"      // more or fewer cells than the header
	CodeEmptyRow         = "EMPTY_ROW"         // warning: delimiters only, skipped
	CodeLiteralQuote     = "LITERAL_QUOTE"     // warning: a quote taken as an ordinary character
)

// maxFindings bounds the findings of one record.
const maxFindings = 32

// AddFinding appends a finding about a record in the stage parse, unless there are
// many already: full then is true.
func AddFinding(list []verdict.Finding, f verdict.Finding) (all []verdict.Finding, full bool) {
	if len(list) < maxFindings {
		f.Stage = verdict.StageParse
		list = append(list, f)
	}
	return list, len(list) == maxFindings
}

// InputError says why an input can't be read as a whole: it is no text, its
// header doesn't fit, or it has no rows. It ends the reading of that input.
type InputError struct {
	// File is the input as the user named it.
	File string
	// Findings has at least one entry. Line is 0 where a finding belongs to no
	// line.
	Findings []verdict.Finding
}

// Refuse returns an InputError with one finding; line is 0 where it belongs to none.
func Refuse(file, code string, line int64, message string) *InputError {
	return &InputError{File: file, Findings: []verdict.Finding{{Stage: verdict.StageParse, Line: line, Code: code, Message: message}}}
}

// Error returns one line for each finding.
func (e *InputError) Error() string { return describe(e.File, e.Findings) }

func describe(file string, findings []verdict.Finding) string {
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = f.Describe(file)
	}
	return strings.Join(lines, "\n")
}

// ReadError is a failure of reading itself: a disk, a pipe or compressed data
// that breaks off. It names the last place that was reached.
type ReadError struct {
	File string
	// Line is the physical line at which reading failed.
	Line int64
	// Rows says that the input has no lines: Line then is the number of a row.
	Rows bool
	Err  error
}

func (e *ReadError) Error() string {
	unit := "line"
	if e.Rows {
		unit = "row"
	}
	return fmt.Sprintf("%s: reading failed at %s %d: %v", e.File, unit, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// Misplaced returns the error of a mark that doesn't fit an input.
func Misplaced(file string, m Mark, where string) error {
	return fmt.Errorf("%s: row %d can't be read at offset %d, %s: the file has changed since it was cut into segments", file, m.Record, m.Offset, where)
}

// RowError is a row that can't become a task. It is data, not a failure of the
// run: it goes into the report.
type RowError struct {
	Position verdict.Position
	// Findings has at least one entry; all findings of the row are there.
	Findings []verdict.Finding
	// Raw is the record as it stood in the input (decoded to UTF-8 where the
	// input was in another charset), without its line end. It is nil
	// for a record over the size limit, which is not kept.
	Raw []byte
}

// Reject returns the RowError of a record, whose Raw it copies.
func Reject(rec *Record, findings []verdict.Finding) *RowError {
	return &RowError{Position: rec.Position, Findings: findings, Raw: bytes.Clone(rec.Raw)}
}

// Error returns one line for each finding.
func (e *RowError) Error() string { return describe(e.Position.File, e.Findings) }
