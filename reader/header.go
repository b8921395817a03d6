package reader

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"poolfill/internal/contract"
	"poolfill/internal/spelling"
	"poolfill/reader/verdict"
)

// targetKind says which part of a task a column fills.
type targetKind uint8

const (
	targetBare targetKind = iota // a name without prefix
	targetInput
	targetGolden
	targetGoldenWeight
	targetBaseline
	targetBaselineWeight
	targetHint
	targetOverlap
	targetInfiniteOverlap
	targetIDs       // a list of ids, such as reserved_for
	targetFieldTask // coordinates of a field task
	targetIgnored   // a column of downloaded results
	targetOwn       // an ERROR: column of a file of rejected rows
)

// target is what a column fills. Two columns of a file never have the same.
type target struct {
	kind targetKind
	n    int    // the number of the solution, from 1
	name string // the field, or the member of the task
}

// String returns the full name of a column with this target, and nothing for one
// that is left out.
func (t target) String() string {
	numbered := func(prefix string) string { return fmt.Sprintf("%s[%d]:%s", prefix, t.n, t.name) }
	switch t.kind {
	case targetInput:
		return "INPUT:" + t.name
	case targetGolden:
		if t.n == 1 {
			return "GOLDEN:" + t.name
		}
		return numbered("GOLDEN")
	case targetGoldenWeight:
		return numbered("GOLDEN")
	case targetBaseline, targetBaselineWeight:
		return numbered("BASELINE")
	case targetHint:
		return "HINT:text"
	case targetOverlap:
		return "TASK:overlap"
	case targetInfiniteOverlap:
		return "TASK:infinite_overlap"
	case targetIDs:
		return "TASK:" + t.name
	}
	return ""
}

// maxSolution bounds the number in GOLDEN[n] and BASELINE[n].
const maxSolution = 1000

// The members of a solution that are its weight, and their columns' names after
// the colon.
const (
	goldenWeight   = "correctness_weight"
	baselineWeight = "confidence_weight"
)

// taskMembers are the TASK: columns that fill a task.
var taskMembers = []string{
	"infinite_overlap", "overlap", "reserved_for", "traits_all_of", "traits_any_of", "traits_none_of_any", "unavailable_for",
}

// taskResults are the TASK: columns of downloaded results.
var taskResults = []string{"assignments_count", "id", "remaining_overlap", "suite_id"}

// prefixes are the known ones, sorted, as they are proposed.
var prefixes = []string{"ACCEPT", "AI", "ASSIGNMENT", "BASELINE", "CONFIDENCE", "ERROR", "GOLDEN", "HINT", "INPUT", "OUTPUT", "TASK"}

// parsedName is a column's name, understood.
type parsedName struct {
	target target
	// prefixed says that the name has a prefix, be it a wrong one.
	prefixed bool
	spaces   bool    // after the colon
	problem  *remark // why the name can't be used; nil where it can
}

// parseName reads the name of a column.
//
// GOLDEN:x and GOLDEN[1]:x are the same field of the first known solution. A
// solution's weight is only meant where the number is written:
// GOLDEN[1]:correctness_weight is the weight, GOLDEN:correctness_weight a field
// of that name. BASELINE always has its number.
func parseName(name string) parsedName {
	if strings.TrimSpace(name) == "" {
		return parsedName{problem: &remark{CodeHeaderEmpty, "the column has no name: name it, or remove the delimiter too much from every line"}}
	}
	head, rest, hasColon := strings.Cut(name, ":")
	if !hasColon {
		p := parsedName{target: target{kind: targetBare, name: name}}
		p.problem = checkFieldID(name, name)
		return p
	}
	word, index, indexed := strings.Cut(head, "[")
	rest, spaces := trimLeftBlanks(rest)
	p := parsedName{prefixed: true, spaces: spaces}
	upper := strings.ToUpper(word)
	if upper == "AL" { // also written with a small L
		upper = "AI"
	}
	if _, known := slices.BinarySearch(prefixes, upper); !known {
		p.prefixed = false
		p.problem = &remark{CodeHeaderPrefix, fmt.Sprintf("the prefix %s is not known%s",
			quoteText(head+":"), cmp.Or(didYouMean("", word, prefixes), ": columns of a task file begin with INPUT:, GOLDEN:, HINT: or TASK:"))}
		return p
	}
	if word != upper && word != "Al" {
		p.problem = &remark{CodeHeaderPrefix, fmt.Sprintf("the prefix %s must be written %s:, in capitals", quoteText(word+":"), upper)}
		return p
	}
	n := 0
	if indexed {
		var ok bool
		if n, ok = parseIndex(index); !ok || (upper != "GOLDEN" && upper != "BASELINE") {
			p.problem = &remark{CodeHeaderPrefix, fmt.Sprintf("the prefix %s is not known: numbers from [1] to [%d] can stand after GOLDEN and BASELINE only", quoteText(head+":"), maxSolution)}
			return p
		}
	}
	p.target, p.problem = parseTarget(upper, n, rest, name)
	return p
}

// parseTarget reads what stands after a prefix. n is 0 where no number stands
// in brackets.
func parseTarget(prefix string, n int, rest, whole string) (target, *remark) {
	switch prefix {
	case "INPUT":
		return fieldTarget(target{kind: targetInput, name: rest}, whole)
	case "GOLDEN":
		if n > 0 && rest == goldenWeight {
			return target{kind: targetGoldenWeight, n: n, name: rest}, nil
		}
		return fieldTarget(target{kind: targetGolden, n: max(n, 1), name: rest}, whole)
	case "BASELINE":
		if n == 0 {
			return target{}, &remark{CodeHeaderPrefix, "a baseline solution needs its number: write BASELINE[1]:" + cutText(rest)}
		}
		if rest == baselineWeight {
			return target{kind: targetBaselineWeight, n: n, name: rest}, nil
		}
		return fieldTarget(target{kind: targetBaseline, n: n, name: rest}, whole)
	case "HINT":
		switch rest {
		case "text":
			return target{kind: targetHint}, nil
		case "default_language":
			return target{kind: targetIgnored, name: whole}, nil
		}
		return target{}, &remark{CodeHeaderPrefix, fmt.Sprintf("%s is not known: the hint's column is HINT:text", quoteText(whole))}
	case "TASK":
		return taskTarget(rest, whole)
	case "AI":
		if rest == "latitude" || rest == "longitude" {
			return target{kind: targetFieldTask, name: rest}, nil
		}
		return target{}, &remark{CodeHeaderPrefix, fmt.Sprintf("%s is not known: AI: stands before latitude and longitude only", quoteText(whole))}
	case "ERROR":
		return target{kind: targetOwn, name: whole}, nil
	default:
		return target{kind: targetIgnored, name: whole}, nil
	}
}

func taskTarget(rest, whole string) (target, *remark) {
	switch {
	case slices.Contains(taskResults, rest):
		return target{kind: targetIgnored, name: whole}, nil
	case rest == "overlap":
		return target{kind: targetOverlap}, nil
	case rest == "infinite_overlap":
		return target{kind: targetInfiniteOverlap}, nil
	case slices.Contains(taskMembers, rest):
		return target{kind: targetIDs, name: rest}, nil
	}
	return target{}, &remark{CodeHeaderPrefix, fmt.Sprintf("%s is not known%s", quoteText(whole),
		cmp.Or(didYouMean("TASK:", rest, taskMembers), ": the columns of that kind are TASK:"+strings.Join(taskMembers, ", TASK:")))}
}

func fieldTarget(t target, whole string) (target, *remark) {
	return t, checkFieldID(t.name, whole)
}

// checkFieldID checks a field's name: Latin letters, digits, - and _.
func checkFieldID(name, whole string) *remark {
	if name == "" {
		return &remark{CodeHeaderEmpty, fmt.Sprintf("the column has no field's name after %s", quoteText(whole))}
	}
	for _, c := range name {
		if isFieldRune(c) {
			continue
		}
		if delimiter, ok := severalInOne(whole); ok {
			return severalColumns(whole, delimiter)
		}
		return &remark{CodeHeaderName, fmt.Sprintf("the field's name in %s has the character %s (%U): only Latin letters, digits, - and _ are allowed; rename the column, or use --map or --ignore-column",
			quoteText(whole), strconv.QuoteRune(c), c)}
	}
	return nil
}

// severalInOne tells a name that looks like several columns which nothing separates, and
// the character between them; 0 where that is none that can be a delimiter.
func severalInOne(name string) (delimiter rune, ok bool) {
	for _, prefix := range [...]string{"INPUT:", "GOLDEN:", "HINT:", "TASK:"} {
		i := strings.LastIndex(name, prefix)
		if i <= 0 {
			continue
		}
		if before := rune(name[i-1]); before < utf8.RuneSelf && !isFieldRune(before) && !strings.ContainsRune(` :"`, before) {
			return before, true
		}
		return 0, true
	}
	if i := strings.IndexAny(name, ",;|\t"); i >= 0 {
		return rune(name[i]), true
	}
	return 0, false
}

func severalColumns(name string, delimiter rune) *remark {
	if delimiter == 0 {
		return &remark{CodeHeaderName, fmt.Sprintf("%s looks like several columns in one: part them by tabs, or give the delimiter with --delimiter", quoteText(name))}
	}
	flag := map[rune]string{'\t': "tab", ',': "comma", ';': "semicolon", '|': "pipe"}[delimiter]
	return &remark{CodeHeaderName, fmt.Sprintf("%s looks like several columns in one: if %s parts them, use --delimiter %s; otherwise rename the column, or use --map or --ignore-column",
		quoteText(name), strconv.QuoteRune(delimiter), cmp.Or(flag, "'"+string(delimiter)+"'"))}
}

func isFieldRune(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// parseIndex reads what stands after the opening bracket of GOLDEN[2].
func parseIndex(text string) (n int, ok bool) {
	digits, ok := strings.CutSuffix(text, "]")
	if !ok || digits == "" || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n <= maxSolution
}

func trimLeftBlanks(text string) (trimmed string, were bool) {
	trimmed = strings.TrimLeft(text, " \t")
	return trimmed, len(trimmed) < len(text)
}

// mapTarget reads the target that Config.Map has for a column.
func mapTarget(name string) (target, *remark) {
	p := parseName(name)
	switch {
	case p.problem != nil:
		return target{}, p.problem
	case p.target.kind == targetBare:
		return target{}, &remark{CodeHeaderPrefix, fmt.Sprintf("the target %s has no prefix: write INPUT:%s, say", quoteText(name), cutText(name))}
	case p.target.kind == targetIgnored || p.target.kind == targetOwn:
		return target{}, &remark{CodeHeaderPrefix, fmt.Sprintf("%s can't be filled: to leave the column out use --ignore-column", quoteText(name))}
	case p.target.kind == targetFieldTask:
		return target{}, &remark{CodeFieldTask, fieldTaskText}
	}
	return p.target, nil
}

const fieldTaskText = "the coordinates of field tasks can only be uploaded in task suites, not as single tasks: leave these columns out with --ignore-column, or upload the file in Toloka's interface"

// column is a column that fills something.
type column struct {
	index int    // from 0
	name  string // as the header has it
	key   []byte // the member's name as JSON, with the comma before it and its colon
	field *field // nil: a string as it stands
}

func (c *column) number() int { return c.index + 1 }

// solution is the columns of one known or baseline solution.
type solution struct {
	n      int
	values []column
	weight *column
}

// mapping says how the cells of a record become a task.
type mapping struct {
	names     []string // the header
	targets   []string // what each column fills, by its full name; empty: nothing
	inputs    []column // in the order of the file
	golden    []solution
	baselines []solution
	hint      *column
	overlap   *column
	infinite  *column
	ids       []column
}

// headerMapper builds a mapping and gathers what is wrong with a header.
type headerMapper struct {
	cfg      *Config
	line     int64
	names    []string
	mapping  *mapping
	warnings *warningLog
	findings []verdict.Finding
	first    map[target]int // the column that has the target
	// excused has input fields that are reported under another finding.
	excused map[string]bool
}

// mapHeader returns the mapping of a header on the given line, or all findings
// that stand against it.
func mapHeader(names []string, line int64, cfg *Config, warnings *warningLog) (*mapping, []verdict.Finding) {
	h := headerMapper{
		cfg: cfg, line: line, names: names, warnings: warnings,
		mapping: &mapping{names: names},
		first:   make(map[target]int),
		excused: make(map[string]bool),
	}
	targets := h.targets()
	h.mapping.targets = make([]string, len(targets))
	for i, t := range targets {
		h.mapping.targets[i] = t.String()
		h.place(i, t)
	}
	h.checkSettings()
	h.checkRequired()
	m := h.mapping
	if len(h.findings) == 0 && len(m.inputs) == 0 {
		h.refuse(-1, contract.CodeEmptyObjectNotAllowed, "no column gives a task its input: at least one INPUT: column is needed")
	}
	byNumber := func(a, b solution) int { return a.n - b.n }
	slices.SortFunc(m.golden, byNumber)
	slices.SortFunc(m.baselines, byNumber)
	slices.SortStableFunc(h.findings, func(a, b verdict.Finding) int { return a.Column - b.Column })
	return m, h.findings
}

// refuse notes a finding about column i, or about the header where i is -1.
func (h *headerMapper) refuse(i int, code, format string, args ...any) {
	f := verdict.Finding{Stage: verdict.StageMap, Line: h.line, Column: i + 1, Code: code, Message: fmt.Sprintf(format, args...)}
	if i >= 0 {
		f.Field = h.names[i]
		f.Value = cutText(h.names[i])
	}
	h.findings = append(h.findings, f)
}

// targets finds what every column fills. Columns that fill nothing have
// targetIgnored.
func (h *headerMapper) targets() []target {
	targets := make([]target, len(h.names))
	var bare []int
	prefixed, fieldTask := false, false
	for i, name := range h.names {
		targets[i].kind = targetIgnored
		if slices.Contains(h.cfg.Ignore, name) {
			continue
		}
		p := parseName(name)
		prefixed = prefixed || p.prefixed && p.target.kind != targetOwn
		if to, ok := h.cfg.Map[name]; ok {
			t, problem := mapTarget(to)
			if problem != nil {
				h.refuse(i, problem.code, "--map: %s", problem.text)
			} else {
				targets[i] = t
			}
			continue
		}
		switch {
		case p.problem != nil:
			h.refuse(i, p.problem.code, "%s", p.problem.text)
			h.excuseParts(name)
			continue
		case p.spaces:
			h.warnings.add(CodeHeaderSpaces, i+1, h.line, fmt.Sprintf("%s has blanks after the colon, which are left out", quoteText(name)))
		}
		switch p.target.kind {
		case targetIgnored, targetOwn:
			h.warnings.add(CodeHeaderIgnored, i+1, h.line, fmt.Sprintf("the column %s is no part of a task and is left out", quoteText(name)))
		case targetFieldTask:
			if !fieldTask {
				h.refuse(i, CodeFieldTask, "%s", fieldTaskText)
			}
			fieldTask = true
		case targetBare:
			bare = append(bare, i)
			targets[i] = target{kind: targetInput, name: name}
		default:
			targets[i] = p.target
		}
	}
	if prefixed && len(bare) > 0 {
		h.refuse(bare[0], CodeHeaderMixed, "some columns have a prefix and some have none: %s; name them INPUT:…, or settle each with --map COLUMN=INPUT:name or --ignore-column COLUMN",
			h.list(bare))
		for _, i := range bare {
			targets[i].kind = targetIgnored
			h.excused[h.names[i]] = true
		}
	}
	return targets
}

// excuseParts keeps the fields that a name of several columns holds from being
// missed as well: they are there once the delimiter is right.
func (h *headerMapper) excuseParts(name string) {
	delimiter, ok := severalInOne(name)
	if !ok || delimiter == 0 {
		return
	}
	for part := range strings.SplitSeq(name, string(delimiter)) {
		if t := parseName(strings.TrimSpace(part)).target; t.kind == targetBare || t.kind == targetInput {
			h.excused[t.name] = true
		}
	}
}

// list names columns with their numbers.
func (h *headerMapper) list(columns []int) string {
	const most = 10
	var b strings.Builder
	for k, i := range columns {
		if k == most {
			fmt.Fprintf(&b, " and %d more", len(columns)-most)
			break
		}
		if k > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (column %d)", quoteText(h.names[i]), i+1)
	}
	return b.String()
}

// place puts a column where it belongs in the mapping.
func (h *headerMapper) place(i int, t target) {
	if t.kind == targetIgnored {
		return
	}
	if first, ok := h.first[t]; ok {
		h.refuse(i, CodeHeaderDuplicate, "the column %s fills the same as column %d (%s): remove one, or use --ignore-column", quoteText(h.names[i]), first+1, quoteText(h.names[first]))
		return
	}
	h.first[t] = i
	c := column{index: i, name: h.names[i]}
	m := h.mapping
	switch t.kind {
	case targetInput:
		if h.compile(&c, t) {
			m.inputs = append(m.inputs, c)
		}
	case targetGolden, targetBaseline:
		if h.compile(&c, t) {
			s := h.solution(t)
			s.values = append(s.values, c)
		}
	case targetGoldenWeight, targetBaselineWeight:
		h.solution(t).weight = &c
	case targetHint:
		m.hint = &c
	case targetOverlap:
		m.overlap = &c
	case targetInfiniteOverlap:
		m.infinite = &c
	case targetIDs:
		c.key = memberKey(t.name)
		m.ids = append(m.ids, c)
	}
}

// fields returns the spec's fields of a kind; nil where they aren't known, so that
// every value is a string.
func (h *headerMapper) fields(kind targetKind) map[string]FieldSpec {
	switch {
	case h.cfg.Spec == nil:
		return nil
	case kind == targetInput:
		return h.cfg.Spec.Input
	default:
		return h.cfg.Spec.Output
	}
}

func memberKey(name string) []byte {
	return append(appendString([]byte{','}, []byte(name)), ':')
}

// compile finds the column's field in the spec. It reports false where the
// spec has no such field.
func (h *headerMapper) compile(c *column, t target) bool {
	c.key = memberKey(t.name)
	fields := h.fields(t.kind)
	if fields == nil {
		return true
	}
	spec, ok := fields[t.name]
	if !ok {
		h.refuse(c.index, contract.CodeValueNotAllowed, "the project has no %s%s", describeTarget(t), h.unknownAdvice(c.name, t, fields))
		return false
	}
	f, notices, err := compileField(spec)
	if err != nil {
		h.refuse(c.index, contract.CodeValueNotAllowed, "the project's spec of the %s can't be used: %v", describeTarget(t), err)
		return false
	}
	for _, n := range notices {
		h.warnings.add(n.code, c.number(), h.line, c.name+": "+n.text)
	}
	if t.kind != targetInput {
		f.required = false // a solution may leave fields out as far as the server allows it
	}
	c.field = f
	return true
}

func describeTarget(t target) string {
	if t.kind == targetInput {
		return "input field " + quoteText(t.name)
	}
	return "output field " + quoteText(t.name)
}

// unknownAdvice says what an unknown field's column was perhaps meant to be.
func (h *headerMapper) unknownAdvice(column string, t target, fields map[string]FieldSpec) string {
	_, isKnown := findFold(fields, t.name) // in other capitals
	if t.kind == targetInput {
		if name, ok := findFold(h.cfg.Spec.Output, t.name); ok && !isKnown {
			return fmt.Sprintf(", but an output field %[2]s: its known answer goes into GOLDEN:%[2]s; rename the column, or use --map %[1]s=GOLDEN:%[2]s", column, name)
		}
	} else if name, ok := findFold(h.cfg.Spec.Input, t.name); ok && !isKnown {
		return fmt.Sprintf(", but an input field %[2]s: it goes into INPUT:%[2]s; rename the column, or use --map %[1]s=INPUT:%[2]s", column, name)
	}
	if near := spelling.Nearest(t.name, slices.Sorted(maps.Keys(fields))); near != "" {
		advice := ": did you mean " + near + "?"
		if t.kind == targetInput {
			advice += fmt.Sprintf(" Rename the column, or use --map %s=INPUT:%s", column, near)
		}
		return advice
	}
	switch {
	case t.kind == targetGolden && t.name == goldenWeight:
		return ": the weight of a known solution goes into GOLDEN[1]:" + goldenWeight
	case len(fields) == 0:
		return ": remove the column, or use --ignore-column"
	}
	const most = 8
	names := slices.Sorted(maps.Keys(fields))
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	return ": its fields are " + strings.Join(names, ", ") + more + "; rename the column, or use --map or --ignore-column"
}

// findFold finds a field whose name is the same but for capitals.
func findFold(fields map[string]FieldSpec, name string) (found string, ok bool) {
	if _, ok := fields[name]; ok {
		return name, true
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if strings.EqualFold(field, name) {
			return field, true
		}
	}
	return "", false
}

// solution returns the solution that a target belongs to.
func (h *headerMapper) solution(t target) *solution {
	list := &h.mapping.golden
	if t.kind == targetBaseline || t.kind == targetBaselineWeight {
		list = &h.mapping.baselines
	}
	for i := range *list {
		if (*list)[i].n == t.n {
			return &(*list)[i]
		}
	}
	*list = append(*list, solution{n: t.n})
	return &(*list)[len(*list)-1]
}

// checkSettings refuses columns that --map and --ignore-column name and the
// header doesn't have.
func (h *headerMapper) checkSettings() {
	sorted := slices.Sorted(slices.Values(h.names))
	check := func(flag, name string) {
		if slices.Contains(h.names, name) {
			return
		}
		h.refuse(-1, CodeHeaderMissing, "%s names the column %s, which the header doesn't have%s", flag, quoteText(name), didYouMean("", name, sorted))
	}
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Map)) {
		check("--map", name)
	}
	for _, name := range h.cfg.Ignore {
		check("--ignore-column", name)
	}
}

// checkRequired refuses a header without a column for a required input field.
// Which output fields a known solution needs is left to the server.
func (h *headerMapper) checkRequired() {
	if h.cfg.Spec == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Spec.Input)) {
		if !h.cfg.Spec.Input[name].Required || h.excused[name] {
			continue
		}
		if _, ok := h.first[target{kind: targetInput, name: name}]; ok {
			continue
		}
		h.refuse(-1, contract.CodeValueRequired, "no column fills the required input field %s: add INPUT:%s, or say which column it is with --map COLUMN=INPUT:%s", quoteText(name), name, name)
		h.findings[len(h.findings)-1].Field = "INPUT:" + name
	}
}

// headerNames copies the cells of a header.
func headerNames(cells [][]byte) []string {
	names := make([]string, len(cells))
	for i, cell := range cells {
		names[i] = string(cell)
	}
	return names
}
