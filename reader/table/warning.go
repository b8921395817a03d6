package table

// maxWarningLines bounds how many lines a warning names.
const maxWarningLines = 5

// Warning is something odd in an input that doesn't stop a row. Equal warnings
// are counted, not repeated.
type Warning struct {
	// Code is one of the Code constants of this package or of reader.
	Code    string
	Message string
	// Count says how often it happened; 1 for what belongs to the header.
	Count int64
	// Lines has the first few lines at which it happened.
	Lines []int64
	// Column is as in Finding; 0 where it belongs to no column.
	Column int
}

// Note counts a warning. A line that warns several times is named once, and 0
// is no line.
func (w *Warning) Note(line int64) {
	w.Count++
	w.name(line)
}

func (w *Warning) name(line int64) {
	if n := len(w.Lines); line > 0 && n < maxWarningLines && (n == 0 || w.Lines[n-1] != line) {
		w.Lines = append(w.Lines, line)
	}
}

// Merge adds what was counted in rows that come after those of w.
func (w *Warning) Merge(after *Warning) {
	w.Count += after.Count
	for _, line := range after.Lines {
		w.name(line)
	}
}
