package reader

import "slices"

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
	l.list[i].Note(line)
}

// mergeAll adds the warnings of rows that come after those counted so far.
func (l *warningLog) mergeAll(after []Warning) {
	for i := range after {
		w := &after[i]
		key := warningKey{w.Code, w.Column}
		if _, ok := l.index[key]; !ok {
			l.add(w.Code, w.Column, 0, w.Message)
			l.list[l.index[key]].Count = 0
		}
		l.list[l.index[key]].Merge(w)
	}
}

func (l *warningLog) reset() {
	l.list = l.list[:0]
	clear(l.index)
}

// clone returns the warnings so far, in the order of their first time.
func (l *warningLog) clone() []Warning {
	list := slices.Clone(l.list)
	for i := range list {
		list[i].Lines = slices.Clone(list[i].Lines)
	}
	return list
}
