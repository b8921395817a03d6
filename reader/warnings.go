package reader

import "slices"

// warningLines bounds how many lines a warning names.
const warningLines = 5

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
	w := &l.list[i]
	w.Count++
	// A line that warns several times is named once.
	if n := len(w.Lines); line > 0 && n < warningLines && (n == 0 || w.Lines[n-1] != line) {
		w.Lines = append(w.Lines, line)
	}
}

// clone gives the warnings so far, in the order of their first time.
func (l *warningLog) clone() []Warning {
	list := slices.Clone(l.list)
	for i := range list {
		list[i].Lines = slices.Clone(list[i].Lines)
	}
	return list
}
