package reader

import (
	"errors"
	"fmt"
	"io/fs"

	"poolfill/reader/table"
)

// The codes of findings in the stage map, and of warnings. Those of the stage parse
// stand in package table; stage check and unknown or missing fields use Toloka's own.
const (
	CodeNoRows            = "NO_ROWS"             // a header and no row after it
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

// InputError says why an input can't be read as a whole.
type InputError = table.InputError

// ReadError is a failure of reading itself.
type ReadError = table.ReadError

func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &unopenedError{path + ": there is no such file: check the path", err}
	case errors.Is(err, fs.ErrPermission):
		return &unopenedError{path + ": the file may not be read: check its permissions", err}
	}
	return fmt.Errorf("the file can't be opened: %w", err)
}

// unopenedError says all that the system's error does.
type unopenedError struct {
	text string
	err  error
}

func (e *unopenedError) Error() string { return e.text }

func (e *unopenedError) Unwrap() error { return e.err }
