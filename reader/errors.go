package reader

import (
	"errors"
	"fmt"
	"strings"

	"poolfill/reader/verdict"
)

// The codes of findings in the stages parse and map, and of warnings. Stage
// check and unknown or missing fields use Toloka's own codes.
const (
	CodeEmptyFile         = "EMPTY_FILE"          // no header: no bytes, or only blanks and line ends
	CodeNoRows            = "NO_ROWS"             // a header and no row after it
	CodeNotText           = "NOT_TEXT"            // a workbook, an archive, a web page or the like
	CodeEncoding          = "ENCODING"            // bytes that are not in the expected charset
	CodeNulByte           = "NUL_BYTE"            // U+0000 in the text
	CodeByteOrderMark     = "BYTE_ORDER_MARK"     // U+FEFF inside the text
	CodeControlCharacter  = "CONTROL_CHARACTER"   // U+001A, the end-of-file mark of DOS
	CodeDelimiter         = "DELIMITER"           // two ways to cut the lines into cells
	CodeSwallowedRows     = "SWALLOWED_ROWS"      // a quoted cell over lines that look like rows
	CodeUnclosedQuote     = "UNCLOSED_QUOTE"      // a quoted cell without an end
	CodeCellTooLong       = "CELL_TOO_LONG"       // over Config.MaxCellBytes
	CodeRecordTooLong     = "RECORD_TOO_LONG"     // over Config.MaxRecordBytes
	CodeColumnCount       = "COLUMN_COUNT"        // more or fewer cells than the header
	CodeEmptyRow          = "EMPTY_ROW"           // warning: delimiters only, skipped
	CodeLiteralQuote      = "LITERAL_QUOTE"       // warning: a quote taken as an ordinary character
	CodeHeaderEmpty       = "HEADER_EMPTY"        // a column without a name
	CodeHeaderDuplicate   = "HEADER_DUPLICATE"    // two columns with one target
	CodeHeaderName        = "HEADER_NAME"         // a name that is no field id
	CodeHeaderPrefix      = "HEADER_PREFIX"       // an unknown prefix, or one in lower case
	CodeHeaderMixed       = "HEADER_MIXED"        // some columns with a prefix, some without
	CodeHeaderSpaces      = "HEADER_SPACES"       // warning: blanks after the prefix, trimmed
	CodeHeaderIgnored     = "HEADER_IGNORED"      // warning: a column of downloaded results, left out
	CodeFieldTask         = "FIELD_TASK"          // coordinates columns, which only task suites can carry
	CodeOverlap           = "OVERLAP"             // TASK:overlap is no number from 1 to 30000
	CodeTaskValue         = "TASK_VALUE"          // another TASK:, GOLDEN[n]: or BASELINE[n]: value that can't be read
	CodeHintWithoutGolden = "HINT_WITHOUT_GOLDEN" // warning: a hint makes a training task only with an answer
	CodeBooleanCase       = "BOOLEAN_CASE"        // warning: TRUE or True read as true
	CodeDuplicateKey      = "DUPLICATE_KEY"       // warning: a JSON object with a key twice
	CodeBracketedArray    = "BRACKETED_ARRAY"     // warning: one JSON array taken as the array itself
	CodeHeaderMissing     = "HEADER_MISSING"      // Config.Map or Config.Ignore names a column that isn't there
	CodePatternUnchecked  = "PATTERN_UNCHECKED"   // warning: a spec's pattern that only the server can check
	CodeTypeUnknown       = "TYPE_UNKNOWN"        // warning: a spec's type that only the server can check
	CodeSentUnchecked     = "SENT_UNCHECKED"      // warning: rows sent that the local check refuses (Config.TrustServer)
)

// InputError says why an input can't be read as a whole: it is no text, its
// header doesn't fit, or it has no rows. It ends the reading of that input.
type InputError struct {
	// File is the input as the user named it.
	File string
	// Findings has at least one entry. Line is 0 where a finding belongs to no
	// line.
	Findings []verdict.Finding
}

// Error gives one line for each finding.
func (e *InputError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.Describe(e.File)
	}
	return strings.Join(lines, "\n")
}

// ReadError is a failure of reading itself: a disk, a pipe or compressed data
// that breaks off. It names the last place that was reached.
type ReadError struct {
	File string
	// Line is the physical line at which reading failed.
	Line int64
	Err  error
}

func (e *ReadError) Error() string {
	unit := "line"
	if rows := (*rowsError)(nil); errors.As(e.Err, &rows) {
		unit = "row"
	}
	return fmt.Sprintf("%s: reading failed at %s %d: %v", e.File, unit, e.Line, e.Err)
}

// Unwrap gives the cause.
func (e *ReadError) Unwrap() error { return e.Err }
