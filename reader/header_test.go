package reader

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"poolfill/reader/verdict"
)

// mapped maps a header given with | between its columns.
func mapped(t *testing.T, header string, cfg Config) (m *mapping, findings []verdict.Finding, warnings []Warning) {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var log warningLog
	m, findings = mapHeader(strings.Split(header, "|"), 1, &cfg, &log)
	return m, findings, log.clone()
}

// brief writes findings as column,code.
func brief(findings []verdict.Finding) string {
	var parts []string
	for _, f := range findings {
		parts = append(parts, fmt.Sprintf("%d,%s", f.Column, f.Code))
	}
	return strings.Join(parts, ";")
}

func briefWarnings(warnings []Warning) string {
	var parts []string
	for _, w := range warnings {
		parts = append(parts, fmt.Sprintf("%d,%s", w.Column, w.Code))
	}
	return strings.Join(parts, ";")
}

func specOf(t testing.TB, text string) *Spec {
	t.Helper()
	if text == "" {
		return nil
	}
	var spec Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

const catSpec = `{"input_spec":{"image":{"type":"url","required":true},"width":{"type":"integer"},"photo":{"type":"file"},"secret":{"type":"string","hidden":true}},
	"output_spec":{"result":{"type":"string","required":true},"sure":{"type":"boolean"}}}`

func TestHeadersThatDontFitAreRefusedWithColumnAndReason(t *testing.T) {
	for _, c := range []struct {
		name, header, spec string
		cfg                Config
		want, message      string
	}{
		{name: "an empty name", header: "INPUT:a||INPUT:b", want: "2,HEADER_EMPTY"},
		{name: "a name of blanks", header: "INPUT:a|  ", want: "2,HEADER_EMPTY"},
		{name: "a prefix alone", header: "INPUT:a|INPUT: ", want: "2,HEADER_EMPTY"},
		{name: "a duplicate", header: "INPUT:a|INPUT:b|INPUT:a", want: "3,HEADER_DUPLICATE", message: "column 1"},
		{name: "a duplicate after trimming", header: "INPUT:a|INPUT: a", want: "2,HEADER_DUPLICATE"},
		{name: "the first solution twice", header: "INPUT:a|GOLDEN:b|GOLDEN[1]:b", want: "3,HEADER_DUPLICATE"},
		{name: "a duplicate by mapping", header: "a|b", cfg: Config{Map: map[string]string{"b": "INPUT:a"}}, want: "2,HEADER_DUPLICATE"},
		{name: "a bare duplicate", header: "a|a", want: "2,HEADER_DUPLICATE"},
		{name: "letters of another alphabet", header: "INPUT:картинка", want: "1,HEADER_NAME", message: "Latin"},
		{name: "a blank in a name", header: "image url|b", want: "1,HEADER_NAME", message: "--map"},
		{name: "a blank after a name", header: "INPUT:a ", want: "1,HEADER_NAME"},
		{name: "several columns in one", header: "INPUT:url GOLDEN:code", want: "1,HEADER_NAME", message: "--delimiter"},
		{name: "several columns with prefixes in one", header: "INPUT:image;INPUT:title", spec: catSpec, want: "1,HEADER_NAME", message: "if ';' parts them, use --delimiter semicolon"},
		{name: "several plain columns in one", header: "image,width", spec: catSpec, want: "1,HEADER_NAME", message: "if ',' parts them, use --delimiter comma"},
		{name: "several columns at an odd delimiter", header: "INPUT:image^GOLDEN:result", spec: catSpec, want: "1,HEADER_NAME", message: "use --delimiter '^'"},
		{name: "several columns in one, and none of them required", header: "width;size", spec: catSpec, want: "0,VALUE_REQUIRED;1,HEADER_NAME"},
		{name: "a comment as a header", header: "# made by hand", want: "1,HEADER_NAME", message: "# made by hand"},
		{name: "a prefix in lower case", header: "input:a|INPUT:b", want: "1,HEADER_PREFIX", message: "INPUT:"},
		{name: "a prefix in mixed case", header: "INPUT:b|Golden:a", want: "2,HEADER_PREFIX", message: "GOLDEN:"},
		{name: "a mistyped prefix", header: "INPTU:a|INPUT:b", want: "1,HEADER_PREFIX", message: "did you mean INPUT?"},
		{name: "an unknown prefix", header: "DATABASE:a|INPUT:b", want: "1,HEADER_PREFIX"},
		{name: "an unknown task column", header: "INPUT:a|TASK:overlapp", want: "2,HEADER_PREFIX", message: "TASK:overlap"},
		{name: "an unknown hint column", header: "INPUT:a|HINT:txt", want: "2,HEADER_PREFIX", message: "HINT:text"},
		{name: "a numbered input", header: "INPUT[1]:a", want: "1,HEADER_PREFIX"},
		{name: "a solution without a number", header: "INPUT:a|GOLDEN[]:a", want: "2,HEADER_PREFIX"},
		{name: "solution zero", header: "INPUT:a|GOLDEN[0]:a", want: "2,HEADER_PREFIX"},
		{name: "a great solution number", header: "INPUT:a|GOLDEN[1001]:a", want: "2,HEADER_PREFIX"},
		{name: "a huge solution number", header: "INPUT:a|GOLDEN[99999999999999999999]:a", want: "2,HEADER_PREFIX"},
		{name: "a bracket that never closes", header: "INPUT:a|GOLDEN[1:a", want: "2,HEADER_PREFIX"},
		{name: "a baseline without a number", header: "INPUT:a|BASELINE:a", want: "2,HEADER_PREFIX", message: "BASELINE[1]:a"},
		{name: "some bare columns", header: "INPUT:a|b|c", want: "2,HEADER_MIXED", message: `"b" (column 2), "c" (column 3)`},
		{name: "field tasks", header: "INPUT:a|AI:latitude|AI:longitude", want: "2,FIELD_TASK", message: "suites"},
		{name: "field tasks with a small L", header: "INPUT:a|Al:latitude|Al:longitude", want: "2,FIELD_TASK"},
		{name: "no input at all", header: "GOLDEN:a", want: "0,EMPTY_OBJECT_NOT_ALLOWED", message: "INPUT:"},
		{name: "all findings at once", header: "INPUT:a|input:b|TASK:x|INPUT:a", want: "2,HEADER_PREFIX;3,HEADER_PREFIX;4,HEADER_DUPLICATE"},
		{name: "a mapped column that isn't there", header: "image", cfg: Config{Map: map[string]string{"imgae": "INPUT:image"}}, want: "0,HEADER_MISSING", message: "did you mean image?"},
		{name: "an ignored column that isn't there", header: "image", cfg: Config{Ignore: []string{"label"}}, want: "0,HEADER_MISSING", message: `"label"`},

		{name: "an unknown input field", header: "INPUT:image|INPUT:widht", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "did you mean width?"},
		{name: "an unknown bare field", header: "image|colour", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "--ignore-column"},
		{name: "an unknown output field", header: "INPUT:image|GOLDEN:reslt", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "did you mean result?"},
		{name: "an unknown baseline field", header: "INPUT:image|BASELINE[2]:x", spec: catSpec, want: "2,VALUE_NOT_ALLOWED"},
		{name: "an output field as input", header: "INPUT:image|INPUT:result", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "use --map INPUT:result=GOLDEN:result"},
		{name: "an output field as input, in other capitals", header: "image|Result", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "its known answer goes into GOLDEN:result; rename the column, or use --map Result=GOLDEN:result"},
		{name: "an input field as golden", header: "INPUT:image|GOLDEN:width", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "use --map GOLDEN:width=INPUT:width"},
		{name: "a weight without brackets", header: "INPUT:image|GOLDEN:correctness_weight", spec: catSpec, want: "2,VALUE_NOT_ALLOWED", message: "GOLDEN[1]:correctness_weight"},
		{name: "a required field without a column", header: "INPUT:width", spec: catSpec, want: "0,VALUE_REQUIRED", message: "INPUT:image"},
		{name: "a required field with a mistyped column", header: "INPUT:imagis", spec: catSpec, want: "0,VALUE_REQUIRED;1,VALUE_NOT_ALLOWED", message: "did you mean image?"},
		{name: "a required field in a mixed header", header: "image|INPUT:width", spec: catSpec, want: "1,HEADER_MIXED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Spec = specOf(t, c.spec)
			_, findings, _ := mapped(t, c.header, c.cfg)
			err := &InputError{File: "f.tsv", Findings: findings}
			if got := brief(findings); got != c.want || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%s: findings %s, want %s with %q:\n%v", c.header, got, c.want, c.message, err)
			}
			for _, f := range findings {
				if f.Line != 1 || f.Stage != verdict.StageMap || f.Message == "" {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

func TestHeadersAreMappedToTheirTargets(t *testing.T) {
	for _, c := range []struct {
		name, header, spec string
		cfg                Config
		inputs, warnings   string
	}{
		{name: "inputs in the order of the file", header: "INPUT:b|GOLDEN:x|INPUT:a", inputs: "b a"},
		{name: "a plain dataset", header: "url|label", inputs: "url label"},
		{name: "all letters that a field's name may have", header: "INPUT:aZ0-_", inputs: "aZ0-_"},
		{name: "blanks after the colon", header: "INPUT: \ta", inputs: "a", warnings: "1,HEADER_SPACES"},
		{
			name: "columns of downloads", header: "INPUT:a|OUTPUT:b|ASSIGNMENT:link|ACCEPT:verdict|CONFIDENCE:b|HINT:default_language|TASK:id|TASK:suite_id|TASK:remaining_overlap|TASK:assignments_count", inputs: "a",
			warnings: "2,HEADER_IGNORED;3,HEADER_IGNORED;4,HEADER_IGNORED;5,HEADER_IGNORED;6,HEADER_IGNORED;7,HEADER_IGNORED;8,HEADER_IGNORED;9,HEADER_IGNORED;10,HEADER_IGNORED",
		},
		{name: "a fixed file of rejected rows", header: "url|ERROR:line|ERROR:code", inputs: "url", warnings: "2,HEADER_IGNORED;3,HEADER_IGNORED"},
		{name: "an output twice", header: "INPUT:a|OUTPUT:b|OUTPUT:b", inputs: "a", warnings: "2,HEADER_IGNORED;3,HEADER_IGNORED"},
		{name: "a bare column settled by mapping", header: "INPUT:a|b c", cfg: Config{Map: map[string]string{"b c": "INPUT:b"}}, inputs: "a b"},
		{name: "a bare column settled by ignoring", header: "INPUT:a|b c", cfg: Config{Ignore: []string{"b c"}}, inputs: "a"},
		{name: "a plain dataset with one column mapped", header: "url|answer", cfg: Config{Map: map[string]string{"answer": "GOLDEN:label"}}, inputs: "url"},
		{name: "ignored columns of a field task", header: "INPUT:a|AI:latitude|AI:longitude", cfg: Config{Ignore: []string{"AI:latitude", "AI:longitude"}}, inputs: "a"},
		{name: "hidden fields can be filled", header: "INPUT:image|INPUT:secret", spec: catSpec, inputs: "image secret"},
		{name: "a spec without outputs knows none", header: "INPUT:a|GOLDEN:x", spec: `{"input_spec":{"a":{"type":"string"}}}`, inputs: "a"},
		{name: "a pattern that only the server can check", header: "a", spec: `{"input_spec":{"a":{"type":"string","pattern":"(?=x)x"}}}`, inputs: "a", warnings: "1,PATTERN_UNCHECKED"},
		{name: "a type that only the server can check", header: "a", spec: `{"input_spec":{"a":{"type":"smell"}}}`, inputs: "a", warnings: "1,TYPE_UNKNOWN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Spec = specOf(t, c.spec)
			m, findings, warnings := mapped(t, c.header, c.cfg)
			var inputs []string
			for _, column := range m.inputs {
				inputs = append(inputs, strings.Trim(string(column.key), `,":`))
			}
			if findings != nil || strings.Join(inputs, " ") != c.inputs || briefWarnings(warnings) != c.warnings {
				t.Errorf("%s: findings %v, inputs %v, warnings %v", c.header, findings, inputs, warnings)
			}
		})
	}
}

func TestTheConfigurationIsCheckedWhole(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	bound := json.Number("x")
	err := Config{
		Delimiter: '"', Quotes: "some", MaxCellBytes: -1, MaxRecordBytes: -1, SkipRows: -1, LimitRows: -1, ControlOverlap: 30001,
		Map:    map[string]string{"a": "image", "b": "OUTPUT:x", "c": "AI:latitude", "d": "input:x", "e": "INPUT:e"},
		Ignore: []string{"e"},
		Spec:   &Spec{Input: map[string]FieldSpec{"n": {Type: TypeFloat, MinValue: &bound}}},
	}.Validate()
	for _, want := range []string{
		"delimiter", "quote mode", "cell is negative", "record is negative", "skip is negative", "read is negative", "30001",
		`"a" can't be mapped`, `"b" can't be mapped`, `"c" can't be mapped`, `"d" can't be mapped`, `"e" is both`, `field "n"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if t.Failed() {
		return
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 13 {
		t.Errorf("%d errors:\n%v", n, err)
	}
}

func FuzzHeader(f *testing.F) {
	for _, header := range []string{
		"INPUT:a|GOLDEN:b|HINT:text", "url|label", "INPUT:a|b", "GOLDEN[2]:x|BASELINE[1]:confidence_weight", "TASK:overlap|TASK:id|AI:latitude", "input:a", ":", "a[1]:b", "İNPUT:a|ı", "|",
	} {
		f.Add(header, "")
		f.Add(header, catSpec)
	}
	f.Fuzz(func(t *testing.T, header, spec string) {
		var cfg Config
		if spec != "" {
			cfg.Spec = specOf(t, catSpec)
		}
		names := strings.Split(header, "|")
		var log warningLog
		m, findings := mapHeader(names, 1, &cfg, &log)
		for _, finding := range findings {
			if finding.Message == "" || finding.Code == "" || finding.Column < 0 || finding.Column > len(names) {
				t.Errorf("finding %+v", finding)
			}
			if utf8.ValidString(header) && !utf8.ValidString(finding.Message) {
				t.Errorf("message %q", finding.Message)
			}
		}
		if len(findings) > 0 {
			return
		}
		// A header that is accepted gives tasks that are JSON.
		cells := make([][]byte, len(names))
		for i := range cells {
			cells[i] = []byte("1")
		}
		var task Task
		rejected := newRowBuilder(m, &cfg, &log).build(&task, 2, cells)
		if rejected == nil && !json.Valid([]byte("{"+string(task.JSON)+"}")) {
			t.Errorf("%q gives %s", header, task.JSON)
		}
	})
}

func TestTargetsHaveTheFullNameOfWhatAColumnFills(t *testing.T) {
	names := []string{
		"INPUT: image", "GOLDEN:result", "GOLDEN[2]:result", "GOLDEN[2]:correctness_weight", "BASELINE[1]:result",
		"BASELINE[1]:confidence_weight", "HINT:text", "TASK:overlap", "TASK:infinite_overlap", "TASK:reserved_for", "OUTPUT:result", "ERROR:line",
	}
	want := []string{
		"INPUT:image", "GOLDEN:result", "GOLDEN[2]:result", "GOLDEN[2]:correctness_weight", "BASELINE[1]:result",
		"BASELINE[1]:confidence_weight", "HINT:text", "TASK:overlap", "TASK:infinite_overlap", "TASK:reserved_for", "", "",
	}
	m, findings := mapHeader(names, 1, &Config{}, &warningLog{})
	if len(findings) > 0 || !slices.Equal(m.targets, want) {
		t.Errorf("targets %q, findings %v", m.targets, findings)
	}
	m, findings = mapHeader([]string{"picture", "junk"}, 1, &Config{Map: map[string]string{"picture": "INPUT:image"}, Ignore: []string{"junk"}}, &warningLog{})
	if len(findings) > 0 || !slices.Equal(m.targets, []string{"INPUT:image", ""}) {
		t.Errorf("mapped: targets %q, findings %v", m.targets, findings)
	}
}
