package reader

import (
	"slices"
	"strconv"
	"strings"

	"poolfill/reader/delimited"
	"poolfill/reader/table"
)

// Locate returns the column that filled a field of a task, given by the API's path
// to it, such as "input_values.image" or "known_solutions.1.output_values.result",
// and by the row as it stood in the input. Paths into a value, such as
// "input_values.tags.3", are of its column.
//
// The number of the column counts from 1, and its name is the header's. It is 0
// where no column has filled the field; the name then is that of a column that
// would, such as "GOLDEN[2]:result", or the path where no column can.
//
// A task numbers those solutions only that have a filled cell in its row. Without
// a row (nil), all solutions of the header count as filled.
func (i Info) Locate(path string, row []byte) (column int, name string) {
	t, ok := i.targetOf(path, row)
	if !ok {
		return 0, path
	}
	full := t.String()
	if at := slices.Index(i.Targets, full); at >= 0 {
		return at + 1, i.Header[at]
	}
	return 0, full
}

// targetOf returns what a column has to fill for a path of the API to exist.
func (i Info) targetOf(path string, row []byte) (t target, ok bool) {
	keys := strings.FieldsFunc(path, func(c rune) bool { return c == '.' || c == '[' || c == ']' })
	key := func(n int) string {
		if n < len(keys) {
			return keys[n]
		}
		return ""
	}
	switch key(0) {
	case "input_values":
		return target{kind: targetInput, name: key(1)}, key(1) != ""
	case "known_solutions":
		return i.solutionTarget(keys, target{kind: targetGolden}, target{kind: targetGoldenWeight, name: goldenWeight}, row)
	case "baseline_solutions":
		return i.solutionTarget(keys, target{kind: targetBaseline}, target{kind: targetBaselineWeight, name: baselineWeight}, row)
	case "message_on_unknown_solution":
		return target{kind: targetHint}, true
	case "infinite_overlap":
		return i.infiniteTarget(row), true
	}
	t, problem := taskTarget(key(0), path)
	return t, problem == nil && t.kind != targetIgnored
}

// solutionTarget returns the target of a path into a list of solutions, whose
// fields have the one kind of target, and whose weight is the other.
func (i Info) solutionTarget(keys []string, field, weight target, row []byte) (t target, ok bool) {
	if len(keys) < 3 {
		return target{}, false
	}
	solutions := i.filledSolutions(field.kind, row)
	at, err := strconv.Atoi(keys[1])
	if err != nil || at < 0 || at >= len(solutions) {
		return target{}, false
	}
	field.n, weight.n = solutions[at], solutions[at]
	switch {
	case keys[2] == weight.name:
		return weight, true
	case keys[2] == "output_values" && len(keys) > 3:
		field.name = keys[3]
		return field, true
	}
	return target{}, false
}

// filledSolutions returns the numbers of the solutions of a kind that a row has, in
// the order in which they stand in its task.
func (i Info) filledSolutions(kind targetKind, row []byte) []int {
	cells := i.cells(row)
	var numbers []int
	for at, name := range i.Targets {
		t := parseName(name).target
		if t.kind == kind && len(cells[at]) > 0 {
			numbers = append(numbers, t.n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// infiniteTarget returns what made a row's overlap infinite: TASK:overlap can say
// it too.
func (i Info) infiniteTarget(row []byte) target {
	overlap := target{kind: targetOverlap}
	cells := i.cells(row)
	if at := slices.Index(i.Targets, overlap.String()); at >= 0 && string(trimBlanks(cells[at])) == infiniteWord {
		return overlap
	}
	return target{kind: targetInfiniteOverlap}
}

// cells cuts a row into one cell for each column. Where the row can't be cut so,
// every cell is the name of what its column fills.
func (i Info) cells(row []byte) [][]byte {
	cells, ok := delimited.Cells(row, table.Layout{Delimiter: i.Delimiter, Quotes: i.Quotes})
	if ok && len(cells) == len(i.Targets) {
		return cells
	}
	cells = make([][]byte, len(i.Targets))
	for at, name := range i.Targets {
		cells[at] = []byte(name)
	}
	return cells
}
