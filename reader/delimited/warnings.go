package delimited

import "poolfill/reader/table"

// warnings counts what is odd about records themselves.
type warnings struct {
	emptyRows, literalQuotes table.Warning
	listed                   [2]table.Warning
}

// noteLiterals counts the cells of a good record whose quotes are ordinary
// characters.
func (w *warnings) noteLiterals(rec *table.Record, lines []int64) {
	if len(rec.Findings) > 0 {
		return
	}
	for _, line := range lines {
		w.literalQuotes.Note(line)
	}
}

// list returns the warnings so far, with their words. It is valid until the next call.
func (w *warnings) list() []table.Warning {
	list := w.listed[:0]
	if counted := w.emptyRows; counted.Count > 0 {
		counted.Code, counted.Message = table.CodeEmptyRow, "rows of delimiters only were skipped"
		list = append(list, counted)
	}
	if counted := w.literalQuotes; counted.Count > 0 {
		counted.Code = table.CodeLiteralQuote
		counted.Message = "quotation marks that don't enclose a whole cell were kept as ordinary characters; " +
			"Toloka's web upload would drop them: --quotes toloka does as it does"
		list = append(list, counted)
	}
	return list
}

// reset forgets the warnings, and keeps their memory.
func (w *warnings) reset() {
	for _, counted := range []*table.Warning{&w.emptyRows, &w.literalQuotes} {
		counted.Count, counted.Lines = 0, counted.Lines[:0]
	}
}
