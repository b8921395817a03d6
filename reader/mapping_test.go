package reader

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"poolfill/reader/table"
	"poolfill/reader/verdict"
)

// built maps one row, given with | between its cells.
func built(t *testing.T, header, row string, cfg Config) (task Task, findings []verdict.Finding, warnings []Warning) {
	t.Helper()
	m, findings, _ := mapped(t, header, cfg)
	if findings != nil {
		t.Fatalf("%s: %v", header, findings)
	}
	var cells [][]byte
	for cell := range strings.SplitSeq(row, "|") {
		cells = append(cells, []byte(cell))
	}
	var log warningLog
	findings = newRowBuilder(m, &cfg, &log).build(&task, 7, cells)
	return task, findings, log.clone()
}

func TestRowsBecomeTasks(t *testing.T) {
	pool := Config{ControlOverlap: ControlOverlapPool}
	for _, c := range []struct {
		name, header, row, spec string
		cfg                     Config
		want                    string
		kind                    Kind
		warnings                string
	}{
		{
			name: "without a spec every value is a string", header: "INPUT:a|INPUT:b|INPUT:c", row: `1|true|{"x":1}`,
			want: `"input_values":{"a":"1","b":"true","c":"{\"x\":1}"}`,
		},
		{
			name: "empty cells are absent", header: "INPUT:a|INPUT:b|GOLDEN:c|HINT:text|TASK:overlap|TASK:reserved_for", row: `|x||||`,
			want: `"input_values":{"b":"x"}`,
		},
		{
			name: "fields stand in the order of the file", header: "INPUT:b|GOLDEN:z|INPUT:a|GOLDEN:y", row: `1|2|3|4`, cfg: pool, kind: Control,
			want: `"input_values":{"b":"1","a":"3"},"known_solutions":[{"output_values":{"z":"2","y":"4"}}]`,
		},
		{
			name: "a control task has an infinite overlap", header: "INPUT:a|GOLDEN:b", row: `1|2`, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"2"}}],"infinite_overlap":true`,
		},
		{
			name: "a general task has the pool's overlap", header: "INPUT:a|GOLDEN:b", row: `1|`,
			want: `"input_values":{"a":"1"}`,
		},
		{
			name: "a control task's overlap can be set for all", header: "INPUT:a|GOLDEN:b", row: `1|2`, cfg: Config{ControlOverlap: 7}, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"2"}}],"overlap":7`,
		},
		{
			name: "a control task's own overlap wins", header: "INPUT:a|GOLDEN:b|TASK:overlap", row: `1|2|3`, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"2"}}],"overlap":3`,
		},
		{
			name: "a control task can say that it is not infinite", header: "INPUT:a|GOLDEN:b|TASK:infinite_overlap", row: `1|2|false`, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"2"}}]`,
		},
		{
			name: "a training task", header: "INPUT:a|GOLDEN:b|HINT:text", row: "1|2|Look \"closer\"\nplease", cfg: pool, kind: Training,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"2"}}],"message_on_unknown_solution":"Look \"closer\"\nplease"`,
		},
		{
			name: "a hint without an answer", header: "INPUT:a|GOLDEN:b|HINT:text", row: "1||Look", warnings: "3,HINT_WITHOUT_GOLDEN",
			want: `"input_values":{"a":"1"},"message_on_unknown_solution":"Look"`,
		},
		{
			name: "several solutions with weights", header: "GOLDEN[10]:b|INPUT:a|GOLDEN[2]:correctness_weight|GOLDEN[2]:b|GOLDEN:b|GOLDEN[1]:correctness_weight", row: "x|1|.50|y|z|+1.0", cfg: pool, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"z"},"correctness_weight":1.0},{"output_values":{"b":"y"},"correctness_weight":0.50},{"output_values":{"b":"x"}}]`,
		},
		{
			name: "empty solutions are left out", header: "INPUT:a|GOLDEN[1]:b|GOLDEN[2]:b|GOLDEN[3]:b", row: "1||y|", cfg: pool, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"b":"y"}}]`,
		},
		{
			name: "a weight without brackets is a field", header: "INPUT:a|GOLDEN:correctness_weight", row: "1|heavy", cfg: pool, kind: Control,
			want: `"input_values":{"a":"1"},"known_solutions":[{"output_values":{"correctness_weight":"heavy"}}]`,
		},
		{
			name: "a baseline makes no control task", header: "INPUT:a|BASELINE[1]:b|BASELINE[1]:confidence_weight", row: "1|y|0.5",
			want: `"input_values":{"a":"1"},"baseline_solutions":[{"output_values":{"b":"y"},"confidence_weight":0.5}]`,
		},
		{
			name: "an infinite overlap in words", header: "INPUT:a|TASK:overlap", row: "1|infinite",
			want: `"input_values":{"a":"1"},"infinite_overlap":true`,
		},
		{
			name: "an infinite overlap twice", header: "INPUT:a|TASK:overlap|TASK:infinite_overlap", row: "1|infinite|true",
			want: `"input_values":{"a":"1"},"infinite_overlap":true`,
		},
		{
			name: "an infinite overlap in capitals", header: "INPUT:a|TASK:infinite_overlap", row: "1|TRUE", warnings: "2,BOOLEAN_CASE",
			want: `"input_values":{"a":"1"},"infinite_overlap":true`,
		},
		{
			name: "no infinite overlap beside an overlap", header: "INPUT:a|TASK:overlap|TASK:infinite_overlap", row: "1| 007 |false",
			want: `"input_values":{"a":"1"},"overlap":7`,
		},
		{
			name: "lists of ids", header: "INPUT:a|TASK:reserved_for|TASK:unavailable_for|TASK:traits_all_of|TASK:traits_any_of|TASK:traits_none_of_any", row: `1|u1, u2|u3|5|6,7|"8"`,
			want: `"input_values":{"a":"1"},"reserved_for":["u1","u2"],"unavailable_for":["u3"],"traits_all_of":["5"],"traits_any_of":["6","7"],"traits_none_of_any":["8"]`,
		},
		{
			name: "types by the spec", header: "image|width|result", cfg: Config{Map: map[string]string{"result": "GOLDEN:result"}, ControlOverlap: ControlOverlapPool}, row: "www.e.com|07|yes", spec: catSpec, kind: Control,
			want: `"input_values":{"image":"www.e.com","width":7},"known_solutions":[{"output_values":{"result":"yes"}}]`,
		},
		{
			name: "required output fields are left to the server", header: "INPUT:image|GOLDEN:sure|GOLDEN:result", row: "www.e.com|true|", spec: catSpec, cfg: pool, kind: Control,
			want: `"input_values":{"image":"www.e.com"},"known_solutions":[{"output_values":{"sure":true}}]`,
		},
		{
			name: "an empty file field is no problem", header: "INPUT:image|INPUT:photo", row: "www.e.com|", spec: catSpec,
			want: `"input_values":{"image":"www.e.com"}`,
		},
		{
			name: "a trusted server decides on values", header: "INPUT:image|INPUT:width", row: "cat.png|1,5", spec: catSpec, cfg: Config{TrustServer: true}, warnings: "0,SENT_UNCHECKED",
			want: `"input_values":{"image":"cat.png","width":"1,5"}`,
		},
		{
			name: "a trusted server decides on missing values", header: "INPUT:image|INPUT:width", row: "|5", spec: catSpec, cfg: Config{TrustServer: true}, warnings: "0,SENT_UNCHECKED",
			want: `"input_values":{"width":5}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Spec = specOf(t, c.spec)
			task, findings, warnings := built(t, c.header, c.row, c.cfg)
			if findings != nil {
				t.Fatalf("findings %+v", findings)
			}
			if string(task.JSON) != c.want || task.Kind != c.kind || briefWarnings(warnings) != c.warnings {
				t.Errorf("kind %d, warnings %+v, JSON\n%s\nwant\n%s", task.Kind, warnings, task.JSON, c.want)
			}
			checkSizes(t, task)
		})
	}
}

// checkSizes compares the sizes and the overlap that a task states with its JSON.
func checkSizes(t *testing.T, task Task) {
	t.Helper()
	type solutions []struct {
		Values json.RawMessage `json:"output_values"`
	}
	var members struct {
		Input    json.RawMessage `json:"input_values"`
		Known    solutions       `json:"known_solutions"`
		Baseline solutions       `json:"baseline_solutions"`
		Overlap  int             `json:"overlap"`
		Infinite bool            `json:"infinite_overlap"`
	}
	if err := json.Unmarshal([]byte("{"+string(task.JSON)+"}"), &members); err != nil {
		t.Fatalf("%s: %v", task.JSON, err)
	}
	output := 0
	for _, s := range append(members.Known, members.Baseline...) {
		output += len(s.Values)
	}
	if task.InputBytes != len(members.Input) || task.OutputBytes != output {
		t.Errorf("sizes %d and %d, want %d and %d: %s", task.InputBytes, task.OutputBytes, len(members.Input), output, task.JSON)
	}
	want := members.Overlap
	if members.Infinite {
		want = InfiniteOverlap
	}
	if task.Overlap != want {
		t.Errorf("the overlap is %d, want %d: %s", task.Overlap, want, task.JSON)
	}
}

func TestRowsThatCantBecomeTasksNameAllFindings(t *testing.T) {
	for _, c := range []struct {
		name, header, row, spec string
		cfg                     Config
		want                    string
	}{
		{name: "a required cell is empty", header: "INPUT:width|INPUT:image", row: "5|", spec: catSpec, want: "2,VALUE_REQUIRED"},
		{name: "all inputs are empty", header: "INPUT:a|INPUT:b|GOLDEN:c", row: "||x", want: "0,EMPTY_OBJECT_NOT_ALLOWED"},
		{name: "a required cell explains empty inputs", header: "INPUT:image|INPUT:width|GOLDEN:result", row: "||x", spec: catSpec, want: "1,VALUE_REQUIRED"},
		{
			name: "all findings in the order of the columns", header: "TASK:overlap|GOLDEN:sure|INPUT:width|INPUT:image", row: "0|1|x|y", spec: catSpec,
			want: "1,OVERLAP;2,BOOLEAN_EXPECTED;3,INTEGER_EXPECTED;4,INVALID_URL_SYNTAX",
		},
		{name: "a file field is filled", header: "INPUT:image|INPUT:photo", row: "www.e.com|x", spec: catSpec, want: "2,VALUE_NOT_ALLOWED"},
		{name: "an overlap is too great", header: "INPUT:a|TASK:overlap", row: "1|30001", want: "2,OVERLAP"},
		{name: "an overlap is negative", header: "INPUT:a|TASK:overlap", row: "1|-5", want: "2,OVERLAP"},
		{name: "an overlap is almost infinite", header: "INPUT:a|TASK:overlap", row: "1|infinity", want: "2,OVERLAP"},
		{name: "two overlaps", header: "INPUT:a|TASK:infinite_overlap|TASK:overlap", row: "1|true|5", want: "2,OVERLAP"},
		{name: "two opposite overlaps", header: "INPUT:a|TASK:infinite_overlap|TASK:overlap", row: "1|false|infinite", want: "2,OVERLAP"},
		{name: "an infinite overlap is no boolean", header: "INPUT:a|TASK:infinite_overlap", row: "1|yes", want: "2,TASK_VALUE"},
		{name: "an empty id", header: "INPUT:a|TASK:reserved_for", row: "1|a,,b", want: "2,TASK_VALUE"},
		{name: "a weight over one", header: "INPUT:a|GOLDEN[1]:b|GOLDEN[1]:correctness_weight", row: "1|x|1.0000000000000000000001", want: "3,TASK_VALUE"},
		{name: "a negative weight", header: "INPUT:a|GOLDEN[1]:b|GOLDEN[1]:correctness_weight", row: "1|x|-0.1", want: "3,TASK_VALUE"},
		{name: "a weight with a comma", header: "INPUT:a|BASELINE[1]:b|BASELINE[1]:confidence_weight", row: "1|x|0,5", want: "3,TASK_VALUE"},
		{name: "a weight without a value", header: "INPUT:a|GOLDEN[2]:b|GOLDEN[2]:correctness_weight", row: "1||1", want: "3,TASK_VALUE"},
		{name: "a weight without any value's column", header: "INPUT:a|GOLDEN[2]:correctness_weight", row: "1|1", want: "2,TASK_VALUE"},
		{name: "a trusted server doesn't decide on columns", header: "INPUT:image|TASK:overlap", row: "x|0", spec: catSpec, cfg: Config{TrustServer: true}, want: "1,INVALID_URL_SYNTAX;2,OVERLAP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Spec = specOf(t, c.spec)
			task, findings, _ := built(t, c.header, c.row, c.cfg)
			if got := brief(findings); got != c.want || !reflect.DeepEqual(task, Task{}) {
				t.Errorf("findings %+v, want %s; task %+v", findings, c.want, task)
			}
			names, cells := strings.Split(c.header, "|"), strings.Split(c.row, "|")
			for _, f := range findings {
				if f.Line != 7 || f.Message == "" {
					t.Errorf("finding %+v", f)
				}
				if f.Column > 0 && (f.Field != names[f.Column-1] || f.Value != cells[f.Column-1]) {
					t.Errorf("finding %+v of %s", f, names[f.Column-1])
				}
			}
		})
	}
}

func TestFindingsNeverHoldALongCellWhole(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	for _, typ := range []FieldType{"url", "integer", "float", "boolean", "coordinates", "json", "array_integer", "array_json", "file"} {
		spec := &Spec{Input: map[string]FieldSpec{"a": {Type: typ}}}
		_, findings, _ := built(t, "INPUT:a", long, Config{Spec: spec})
		if len(findings) == 0 {
			t.Errorf("%s accepts it", typ)
		}
		for _, f := range findings {
			if len(f.Value) > sampleBytes || len(f.Message) > 400 {
				t.Errorf("%s: %d bytes of value, %d of message", typ, len(f.Value), len(f.Message))
			}
		}
	}
}

func TestRowsWithMoreOrFewerCellsNameTheColumn(t *testing.T) {
	m := &mapping{names: []string{"INPUT:a", "INPUT:b"}}
	for _, c := range []struct {
		cells   []string
		column  int
		message string
	}{
		{[]string{"1"}, 2, "1 cell, the header has 2: the first missing one is \"INPUT:b\""},
		{[]string{"1", "2", "3", "4"}, 3, "4 cells, the header has 2: the first one too many is \"3\""},
		{[]string{"1", "2", "", ""}, 3, "remove the delimiters at the end"},
	} {
		var cells [][]byte
		for _, cell := range c.cells {
			cells = append(cells, []byte(cell))
		}
		f := m.countFinding(3, cells)
		if f.Column != c.column || f.Code != table.CodeColumnCount || f.Line != 3 || f.Stage != verdict.StageParse || f.Field != "" || !strings.Contains(f.Message, c.message) {
			t.Errorf("%q: %+v", c.cells, f)
		}
	}
}

func TestRowsOfStringsCostNoAllocation(t *testing.T) {
	for name, spec := range map[string]*Spec{
		"without a spec": nil,
		"with a spec": specOf(t, `{"input_spec":{"image":{"type":"url","required":true},"text":{"type":"string","max_length":100},"n":{"type":"integer","min_value":1,"max_value":10}},
			"output_spec":{"result":{"type":"string","allowed_values":["cat","dog"]}}}`),
	} {
		cfg := Config{Spec: spec}
		m, findings, _ := mapped(t, "INPUT:image|INPUT:text|INPUT:n|GOLDEN:result|TASK:overlap", cfg)
		if findings != nil {
			t.Fatal(findings)
		}
		cells := [][]byte{[]byte("https://example.com/a.jpg"), []byte("a \"text\"\nof words"), []byte("7"), []byte("cat"), []byte("3")}
		var log warningLog
		b := newRowBuilder(m, &cfg, &log)
		if n := testing.AllocsPerRun(100, func() {
			var task Task
			b.json = b.json[:0]
			if findings := b.build(&task, 1, cells); findings != nil {
				t.Fatal(findings)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for a row", name, n)
		}
	}
}
