package reader

import "slices"

// maxWarningLines bounds how many lines a warning names.
const maxWarningLines = 5

// warningLog counts equal warnings: those with the same code and column.
type warningLog struct {
	list  []Warning
	index map[warningKey]int
}

type warningKey struct {
	code   string
	column int
}

// add counts a warning. Its text is that of the first time.
func (l *warningLog) add(code string, column int, line int64, text string) {
	key := warningKey{code, column}
	i, ok := l.index[key]
	if !ok {
		if l.index == nil {
			l.index = make(map[warningKey]int)
		}
		i = len(l.list)
		l.index[key] = i
		l.list = append(l.list, Warning{Code: code, Column: column, Message: text})
	}
	l.list[i].note(line)
}

// merge adds the warnings of rows that come after those counted so far.
func (l *warningLog) merge(after *warningLog) {
	for _, w := range after.list {
		key := warningKey{w.Code, w.Column}
		if _, ok := l.index[key]; !ok {
			l.add(w.Code, w.Column, 0, w.Message)
			l.list[l.index[key]].Count = 0
		}
		l.list[l.index[key]].merge(&w)
	}
}

func (l *warningLog) reset() {
	l.list = l.list[:0]
	clear(l.index)
}

// clone gives the warnings so far, in the order of their first time.
func (l *warningLog) clone() []Warning {
	list := slices.Clone(l.list)
	for i := range list {
		list[i].Lines = slices.Clone(list[i].Lines)
	}
	return list
}

// note counts a warning. A line that warns several times is named once, and 0
// is no line.
func (w *Warning) note(line int64) {
	w.Count++
	w.name(line)
}

func (w *Warning) name(line int64) {
	if n := len(w.Lines); line > 0 && n < maxWarningLines && (n == 0 || w.Lines[n-1] != line) {
		w.Lines = append(w.Lines, line)
	}
}

// merge adds what was counted in rows that come after those of w.
func (w *Warning) merge(after *Warning) {
	w.Count += after.Count
	for _, line := range after.Lines {
		w.name(line)
	}
}

// recordWarnings counts what is odd about records themselves.
type recordWarnings struct {
	emptyRows, literalQuotes Warning
}

func (w *recordWarnings) emptyRow(line int64) { w.emptyRows.note(line) }

// noteLiterals counts the cells of a good record whose quotes are ordinary
// characters.
func (w *recordWarnings) noteLiterals(rec *Record, lines []int64) {
	if len(rec.Findings) > 0 {
		return
	}
	for _, line := range lines {
		w.literalQuotes.note(line)
	}
}

func (w *recordWarnings) merge(after *recordWarnings) {
	w.emptyRows.merge(&after.emptyRows)
	w.literalQuotes.merge(&after.literalQuotes)
}

// list gives the warnings so far, with their words.
func (w *recordWarnings) list() []Warning {
	var list []Warning
	add := func(counted Warning, code, message string) {
		if counted.Count > 0 {
			counted.Code, counted.Message, counted.Lines = code, message, slices.Clone(counted.Lines)
			list = append(list, counted)
		}
	}
	add(w.emptyRows, CodeEmptyRow, "rows of delimiters only were skipped")
	add(w.literalQuotes, CodeLiteralQuote, "quotation marks that don't enclose a whole cell were kept as ordinary characters; "+
		"Toloka's web upload would drop them: --quotes toloka does as it does")
	return list
}
