package reader

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"poolfill/internal/contract"
	"poolfill/internal/identity"
	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// rowBuilder makes tasks of records. Its buffers are used again, so a row of
// strings costs no allocation.
type rowBuilder struct {
	mapping        *mapping
	trustServer    bool
	controlOverlap int
	contents       bool
	warnings       *warningLog

	// The row that is being built.
	line     int64
	cells    [][]byte
	json     []byte // of the rows so far
	content  identity.Sum
	scratch  []byte
	remarks  remarks
	findings []verdict.Finding
}

func newRowBuilder(m *mapping, cfg *Config, warnings *warningLog) *rowBuilder {
	return &rowBuilder{mapping: m, trustServer: cfg.TrustServer, controlOverlap: cfg.ControlOverlap, contents: cfg.Contents, warnings: warnings}
}

// idsField reads lists of ids by the rules of arrays.
var idsField = &field{typ: typeString, array: true}

// build maps the cells of a record, as many as the header has, to a zero task:
// all but its position and raw text. Where findings stand against the row, it
// returns them all, and leaves the task as it was. The task's JSON is appended to
// b.json, the findings are the caller's.
func (b *rowBuilder) build(t *Task, line int64, cells [][]byte) []verdict.Finding {
	b.line, b.cells = line, cells
	b.findings, b.content = b.findings[:0], identity.Sum{}
	start := len(b.json)

	inputBytes := b.appendInputs()
	known, outputBytes := b.appendSolutions("known_solutions", goldenWeight, identity.Known, b.mapping.golden)
	_, baselineBytes := b.appendSolutions("baseline_solutions", baselineWeight, identity.Baseline, b.mapping.baselines)
	kind := b.appendHint(known)
	overlap := b.appendOverlap(known)
	b.appendIDs()

	if len(b.findings) > 0 {
		onlyChecks := !slices.ContainsFunc(b.findings, func(f verdict.Finding) bool { return f.Stage != verdict.StageCheck })
		if !b.trustServer || !onlyChecks {
			b.json = b.json[:start]
			slices.SortStableFunc(b.findings, func(a, b verdict.Finding) int { return a.Column - b.Column })
			return slices.Clone(b.findings)
		}
		b.warnings.add(CodeSentUnchecked, 0, line, "rows that the local check refuses are sent: the server decides")
	}
	t.Content = b.content
	t.Kind, t.Overlap, t.JSON = kind, overlap, b.json[start:len(b.json):len(b.json)]
	t.InputBytes, t.OutputBytes = inputBytes, outputBytes+baselineBytes
	return nil
}

// cell returns the cell of a column.
func (b *rowBuilder) cell(c *column) []byte { return b.cells[c.index] }

// refuse notes a finding about the cell of a column, or about the whole row
// where c is nil.
func (b *rowBuilder) refuse(stage verdict.Stage, c *column, code, message string) {
	f := verdict.Finding{Stage: stage, Line: b.line, Code: code, Message: message}
	if c != nil {
		f.Column, f.Field, f.Value = c.number(), c.name, cutText(b.cell(c))
	}
	b.findings = append(b.findings, f)
}

// appendInputs appends input_values and returns the size of its value.
func (b *rowBuilder) appendInputs() int {
	b.json = append(b.json, `"input_values":`...)
	before := len(b.findings)
	size, filled := b.appendValues(identity.Inputs, b.mapping.inputs)
	if filled == 0 && len(b.findings) == before {
		b.refuse(verdict.StageCheck, nil, contract.CodeEmptyObjectNotAllowed, "all input cells of the row are empty: a task needs at least one input value")
	}
	return size
}

// appendValues appends an object with the filled cells of the columns.
func (b *rowBuilder) appendValues(at identity.Place, columns []column) (size, filled int) {
	start := len(b.json)
	b.json = append(b.json, '{')
	for i := range columns {
		c := &columns[i]
		cell := b.cell(c)
		if len(cell) == 0 {
			if c.field != nil && c.field.required {
				b.refuse(verdict.StageCheck, c, contract.CodeValueRequired, "the field is required and its cell is empty")
			}
			continue
		}
		key := c.key
		if filled == 0 {
			key = key[1:] // without its comma
		}
		b.json = append(b.json, key...)
		value := len(b.json)
		b.appendValue(c, cell)
		b.addContent(at, c, value-len(c.key)+1, value)
		filled++
	}
	b.json = append(b.json, '}')
	return len(b.json) - start, filled
}

// addContent adds the member of a column at the end of the JSON to the content: its
// name stands from name on, and its value from value on.
func (b *rowBuilder) addContent(at identity.Place, c *column, name, value int) {
	if !b.contents {
		return
	}
	switch first := b.json[value]; {
	case first == '"' && (c.field == nil || c.field.typ != typeJSON), first == 't', first == 'f',
		first >= '-' && first <= '9' && identity.IsInteger(b.json[value:]):
		b.content.Add(at, b.json[name:]) // it has this form already
	default:
		// What is no JSON is refused already.
		b.scratch, _ = b.content.AddMember(at, b.json[name:value-1], b.json[value:], b.scratch)
	}
}

// appendValue appends the value of a cell. One that can't be written as its
// field's type is written as a string, for the sake of Config.TrustServer.
func (b *rowBuilder) appendValue(c *column, cell []byte) {
	if c.field == nil {
		b.json = appendString(b.json, cell)
		return
	}
	b.remarks.reset()
	start := len(b.json)
	out, ok := c.field.append(b.json, cell, &b.remarks)
	if !ok {
		out = appendString(out[:start], cell)
	}
	b.json = out
	b.report(verdict.StageCheck, c)
}

// report takes over what was found about a cell. In the stage map the code is
// that of a task's own columns.
func (b *rowBuilder) report(stage verdict.Stage, c *column) {
	for _, p := range b.remarks.problems {
		code := p.code
		if stage == verdict.StageMap {
			code = CodeTaskValue
		}
		b.refuse(stage, c, code, p.text)
	}
	for _, n := range b.remarks.notices {
		b.warn(c, n)
	}
}

func (b *rowBuilder) warn(c *column, r remark) {
	b.warnings.add(r.code, c.number(), b.line, r.text)
}

// appendSolutions appends the solutions that have a filled cell, and returns the
// size of their output_values.
func (b *rowBuilder) appendSolutions(member, weight string, place func(int) identity.Place, solutions []solution) (some bool, size int) {
	filled := 0
	for i := range solutions {
		s := &solutions[i]
		if !b.filled(s.values) {
			if s.weight != nil && len(b.cell(s.weight)) > 0 {
				b.refuse(verdict.StageMap, s.weight, CodeTaskValue, "the weight belongs to a solution whose cells are all empty: fill one of them, or empty this one")
			}
			continue
		}
		if some {
			b.json = append(b.json, `,{"output_values":`...)
		} else {
			b.appendMember(member)
			b.json = append(b.json, `[{"output_values":`...)
			some = true
		}
		at := place(filled)
		filled++
		if b.contents {
			b.content.AddSolution(at)
		}
		n, _ := b.appendValues(at, s.values)
		size += n
		if s.weight != nil && len(b.cell(s.weight)) > 0 {
			b.appendWeight(at, weight, s.weight)
		}
		b.json = append(b.json, '}')
	}
	if some {
		b.json = append(b.json, ']')
	}
	return some, size
}

func (b *rowBuilder) filled(columns []column) bool {
	for i := range columns {
		if len(b.cell(&columns[i])) > 0 {
			return true
		}
	}
	return false
}

// appendWeight appends the weight of a solution, a number from 0 to 1.
func (b *rowBuilder) appendWeight(at identity.Place, member string, c *column) {
	text := trimBlanks(b.cell(c))
	n, ok := parseNumber(text)
	if !ok || !n.within(1) || n.sign() < 0 {
		advice := ""
		if !ok {
			advice = floatAdvice(text)
		}
		b.refuse(verdict.StageMap, c, CodeTaskValue, fmt.Sprintf("%s is no weight: it must be a number from 0 to 1%s", quoteText(text), advice))
		return
	}
	value := b.appendMember(member)
	b.json = n.append(b.json)
	if string(identity.AppendNumber(nil, b.json[value:])) != "1" { // which is what none means
		b.addContent(at, c, value-len(member)-len(`"":`), value)
	}
}

// appendMember begins a member other than the first, and returns where its value
// begins.
func (b *rowBuilder) appendMember(name string) (value int) {
	b.json = append(b.json, `,"`...)
	b.json = append(b.json, name...)
	b.json = append(b.json, `":`...)
	return len(b.json)
}

const hintMember = "message_on_unknown_solution"

// appendHint appends the hint and returns the kind of the task.
func (b *rowBuilder) appendHint(known bool) Kind {
	c := b.mapping.hint
	switch {
	case c == nil || len(b.cell(c)) == 0:
		if known {
			return Control
		}
		return General
	case !known:
		b.warn(c, remark{CodeHintWithoutGolden, "a hint without a GOLDEN value makes no training task: it is sent, but performers won't see it. Fill a GOLDEN cell, or empty the hint"})
	}
	value := b.appendMember(hintMember)
	b.json = appendString(b.json, b.cell(c))
	b.addContent(identity.Task, c, value-len(hintMember)-len(`"":`), value)
	if known {
		return Training
	}
	return General
}

// infiniteWord is what Toloka writes into TASK:overlap of training tasks.
const infiniteWord = "infinite"

// appendOverlap appends overlap or infinite_overlap, never both, and returns it as
// Task.Overlap does. A task with a known solution whose row has neither gets
// Config.ControlOverlap.
func (b *rowBuilder) appendOverlap(known bool) int {
	overlap, okOverlap := b.readOverlap()
	infinite, given, okInfinite := b.readInfinite()
	switch {
	case !okOverlap || !okInfinite:
	case given && infinite && overlap > 0:
		b.refuse(verdict.StageMap, b.mapping.infinite, CodeOverlap, "the row has both an overlap and an infinite one: empty one of the cells")
	case given && !infinite && overlap < 0:
		b.refuse(verdict.StageMap, b.mapping.infinite, CodeOverlap, "the row says both that the overlap is infinite and that it is not: empty one of the cells")
	case overlap > 0:
		b.appendMember("overlap")
		b.json = strconv.AppendInt(b.json, int64(overlap), 10)
		return overlap
	case infinite || overlap < 0 || known && !given && b.controlOverlap == ControlOverlapInfinite:
		b.json = append(b.json, `,"infinite_overlap":true`...)
		return InfiniteOverlap
	case known && !given && b.controlOverlap > 0:
		b.appendMember("overlap")
		b.json = strconv.AppendInt(b.json, int64(b.controlOverlap), 10)
		return b.controlOverlap
	}
	return 0
}

// readOverlap reads TASK:overlap: 0 where there is none, -1 where it is
// infinite.
func (b *rowBuilder) readOverlap() (overlap int, ok bool) {
	c := b.mapping.overlap
	if c == nil || len(b.cell(c)) == 0 {
		return 0, true
	}
	text := trimBlanks(b.cell(c))
	if string(text) == infiniteWord {
		return -1, true
	}
	n, isNumber := parseNumber(text)
	const mostDigits = 5 // of MaxOverlap
	if isNumber && n.isInteger() && !n.negative && len(n.whole) <= mostDigits {
		overlap, _ = strconv.Atoi(string(n.whole)) // nothing is left of zeros
		if overlap >= contract.MinOverlap && overlap <= contract.MaxOverlap {
			return overlap, true
		}
	}
	advice := ""
	if !isNumber || !n.isInteger() {
		advice = integerAdvice(text)
	}
	b.refuse(verdict.StageMap, c, CodeOverlap, fmt.Sprintf("%s is no overlap: it must be a whole number from %d to %d, or %s%s",
		quoteText(text), contract.MinOverlap, contract.MaxOverlap, infiniteWord, advice))
	return 0, false
}

// readInfinite reads TASK:infinite_overlap.
func (b *rowBuilder) readInfinite() (infinite, given, ok bool) {
	c := b.mapping.infinite
	if c == nil || len(b.cell(c)) == 0 {
		return false, false, true
	}
	var scratch [len("false")]byte
	b.remarks.reset()
	text, ok := booleanField.appendBoolean(scratch[:0], b.cell(c), &b.remarks)
	b.report(verdict.StageMap, c)
	return string(text) == "true", ok, ok
}

var booleanField = &field{typ: typeBoolean}

// appendIDs appends the lists of ids, such as reserved_for.
func (b *rowBuilder) appendIDs() {
	for i := range b.mapping.ids {
		c := &b.mapping.ids[i]
		cell := b.cell(c)
		if len(cell) == 0 {
			continue
		}
		b.remarks.reset()
		b.json = append(b.json, c.key...)
		list := len(b.json)
		b.json, _ = idsField.append(b.json, cell, &b.remarks)
		if b.contents {
			_ = b.content.AddSet(string(c.key[len(`,"`):len(c.key)-len(`":`)]), b.json[list:]) // it is a list
		}
		b.report(verdict.StageMap, c)
	}
}

// countFinding says that a record has more or fewer cells than the header.
func (m *mapping) countFinding(line int64, cells [][]byte) verdict.Finding {
	have, want := len(cells), len(m.names)
	f := verdict.Finding{Stage: verdict.StageParse, Line: line, Code: table.CodeColumnCount, Column: min(have, want) + 1}
	if have < want {
		f.Message = fmt.Sprintf("the row has %s, the header has %d: the first missing one is %s", cellCount(have), want, quoteText(m.names[have]))
		return f
	}
	f.Value = cutText(cells[want])
	f.Message = fmt.Sprintf("the row has %s, the header has %d: the first one too many is %s", cellCount(have), want, quoteText(f.Value))
	if len(bytes.Join(cells[want:], nil)) == 0 {
		f.Message = fmt.Sprintf("the row has %s, the header has %d: those too many are empty, remove the delimiters at the end of the line", cellCount(have), want)
	}
	return f
}

func cellCount(n int) string {
	if n == 1 {
		return "1 cell"
	}
	return strconv.Itoa(n) + " cells"
}
