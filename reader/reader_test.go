package reader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"poolfill/reader/verdict"
)

// casesDir holds vectors that this project did not write.
const casesDir = "../../shared/cases"

func caseFile(t *testing.T, name string) []byte {
	t.Helper()
	if _, err := os.Stat(casesDir); errors.Is(err, os.ErrNotExist) {
		t.Skip("no cases here")
	}
	data, err := os.ReadFile(filepath.Join(casesDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// result is everything that a reader gives.
type result struct {
	tasks    []string // JSON objects
	kinds    []Kind
	findings []verdict.Finding
	warnings []Warning
	rejected []*RowError
	info     Info
}

// readAll reads an input to its end. An InputError becomes findings.
func readAll(t *testing.T, open func() (*Reader, error)) (res result) {
	t.Helper()
	r, err := open()
	var inputErr *InputError
	if errors.As(err, &inputErr) {
		res.findings = inputErr.Findings
		return res
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for {
		row, err := r.Next()
		if errors.As(err, &inputErr) {
			res.findings = append(res.findings, inputErr.Findings...)
			break
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Err != nil {
			res.findings = append(res.findings, row.Err.Findings...)
			res.rejected = append(res.rejected, row.Err)
			continue
		}
		res.tasks = append(res.tasks, "{"+string(row.Task.JSON)+"}")
		res.kinds = append(res.kinds, row.Task.Kind)
		checkSizes(t, row.Task)
	}
	res.warnings, res.info = r.Warnings(), r.Info()
	return res
}

func readText(t *testing.T, text string, cfg Config) result {
	t.Helper()
	return readAll(t, func() (*Reader, error) { return New("f.tsv", strings.NewReader(text), cfg) })
}

func readCase(t *testing.T, name string, cfg Config) result {
	t.Helper()
	cfg.ControlOverlap = ControlOverlapPool // expected tasks have no overlap
	return readAll(t, func() (*Reader, error) { return Open(t.Context(), filepath.Join(casesDir, name), nil, cfg) })
}

// decode reads JSON with exact numbers.
func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

// equalJSON compares values; numbers as exact decimals.
func equalJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		return ok && okX && okY && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalJSON)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			if other, ok := b[key]; !ok || !equalJSON(value, other) {
				return false
			}
		}
		return true
	default:
		return a == b
	}
}

func compareTasks(t *testing.T, got []string, want []any) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tasks, want %d", len(got), len(want))
		return
	}
	for i := range got {
		if !equalJSON(decode(t, got[i]), want[i]) {
			t.Errorf("task %d is %s, want %v", i+1, got[i], want[i])
		}
	}
}

func TestDocumentedTypesBecomeTheDocumentedTasks(t *testing.T) {
	for line := range strings.Lines(string(caseFile(t, "toloka/expected/documented-types.jsonl"))) {
		var c struct {
			File  string
			Spec  Spec
			Tasks json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.File, func(t *testing.T) {
			res := readCase(t, "toloka/"+c.File, Config{Spec: &c.Spec})
			if res.findings != nil {
				t.Errorf("findings %+v", res.findings)
			}
			compareTasks(t, res.tasks, decode(t, string(c.Tasks)).([]any))
		})
	}
}

func TestFilesOfPublicProjectsBecomeTheirTasks(t *testing.T) {
	for _, c := range []struct{ file, spec, tasks string }{
		{"Toloka__toloka-java-sdk/examples__src__main__resources__dataset.tsv", "", "java-sdk"},
		{"Toloka__podvodka/preference_collection__golden_tasks.tsv", "podvodka", "podvodka"},
		{"Toloka__podvodka/preference_collection__golden_tasks.tsv", "", "podvodka"},
		{"Toloka__toloka-pachyderm/example__data__control_tasks.csv", "pachyderm", "pachyderm_control"},
		{"Toloka__toloka-pachyderm/example__data__pool_tasks.csv", "pachyderm", "pachyderm_pool"},
		{"Toloka__toloka-pachyderm/example__data__training_tasks.csv", "pachyderm", "pachyderm_training"},
	} {
		t.Run(c.tasks+" with spec "+c.spec, func(t *testing.T) {
			var want []any
			for line := range strings.Lines(string(caseFile(t, "toloka/expected/"+c.tasks+".tasks.jsonl"))) {
				want = append(want, decode(t, line))
			}
			var cfg Config
			if c.spec != "" {
				cfg.Spec = specOf(t, string(caseFile(t, "specs/"+c.spec+".json")))
			}
			res := readCase(t, "toloka/"+c.file, cfg)
			if res.findings != nil {
				t.Errorf("findings %+v", res.findings)
			}
			compareTasks(t, res.tasks, want)
		})
	}
}

func TestSmallBrokenFilesAreJudgedAsExpected(t *testing.T) {
	// Where the expectations allow another way too, and it was taken.
	other := map[string]string{
		// One error on the line that was taken as the header says more than one
		// for each row after it.
		"s19_comment_lines.tsv": `1,1,"# made by hand",HEADER_NAME`,
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(caseFile(t, "bad/EXPECT.tsv")), "\n"), "\n") {
		columns := strings.Split(line, "\t")
		if i == 0 {
			continue
		}
		if len(columns) != 9 {
			t.Fatalf("line %d has %d columns", i+1, len(columns))
		}
		file, spec, findings, tasks, warnings := columns[0], columns[2], columns[4], columns[6], columns[8]
		t.Run(file, func(t *testing.T) {
			var cfg Config
			if spec != "" {
				cfg.Spec = specOf(t, string(caseFile(t, "bad/specs/"+spec)))
			}
			res := readCase(t, "bad/files/"+file, cfg)
			if instead, ok := other[file]; ok {
				findings = instead
			}
			var got []string
			for _, f := range res.findings {
				got = append(got, fmt.Sprintf("%d,%d,%q,%s", f.Line, f.Column, f.Field, f.Code))
			}
			if strings.Join(got, ";") != findings {
				t.Errorf("findings %s, want %s", strings.Join(got, ";"), findings)
			}
			got = nil
			for _, w := range res.warnings {
				for _, line := range w.Lines {
					got = append(got, fmt.Sprintf("(%d,%d) %s", line, w.Column, w.Code))
				}
			}
			if strings.Join(got, ";") != warnings {
				t.Errorf("warnings %v, want %s", got, warnings)
			}
			compareExpected(t, res.tasks, tasks)
		})
	}
}

// compareExpected reads the tasks' column, which shortens two long ones.
func compareExpected(t *testing.T, got []string, want string) {
	t.Helper()
	if sum, ok := strings.CutPrefix(want, "(long) "); ok {
		sum, _, _ = strings.Cut(sum, " ")
		list := decode(t, "["+strings.Join(got, ",")+"]")
		if h := sha256.Sum256([]byte(spaced(list))); hex.EncodeToString(h[:]) != sum {
			t.Errorf("tasks %.200s… have another hash", got)
		}
		return
	}
	if want == `2 tasks; second a = "z" * 300000` {
		if len(got) != 2 || !strings.Contains(got[1], `"`+strings.Repeat("z", 300_000)+`"`) {
			t.Errorf("%d tasks", len(got))
		}
		return
	}
	compareTasks(t, got, decode(t, want).([]any))
}

// spaced writes JSON with sorted keys and a blank after each comma and colon.
func spaced(value any) string {
	var parts []string
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			parts = append(parts, spaced(element))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		for key, element := range value {
			parts = append(parts, spaced(key)+": "+spaced(element))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		text, _ := json.Marshal(value)
		return string(text)
	}
}

func TestControlTasksHaveAnInfiniteOverlapByDefault(t *testing.T) {
	res := readText(t, "INPUT:a\tGOLDEN:b\tHINT:text\n1\t\t\n2\tx\t\n3\ty\tlook\n", Config{})
	want := []string{
		`{"input_values":{"a":"1"}}`,
		`{"input_values":{"a":"2"},"known_solutions":[{"output_values":{"b":"x"}}],"infinite_overlap":true}`,
		`{"input_values":{"a":"3"},"known_solutions":[{"output_values":{"b":"y"}}],"message_on_unknown_solution":"look","infinite_overlap":true}`,
	}
	if !slices.Equal(res.tasks, want) || !slices.Equal(res.kinds, []Kind{General, Control, Training}) {
		t.Errorf("%v, %s", res.kinds, strings.Join(res.tasks, "\n"))
	}
}

func TestSkippedAndLimitedRowsKeepTheirNumbers(t *testing.T) {
	text := "INPUT:a\tTASK:overlap\n1\t0\n\n2\tbad\textra\n3\t0\n4\t\n5\t\n"
	r, err := New("f.tsv", strings.NewReader(text), Config{SkipRows: 2, LimitRows: 2})
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Next()
	if err != nil || first.Err == nil || first.Err.Position.Line != 5 || first.Err.Position.Record != 3 {
		t.Fatalf("%+v, %v", first, err)
	}
	if string(first.Err.Raw) != "3\t0" {
		t.Errorf("raw %q", first.Err.Raw)
	}
	second, err := r.Next()
	if err != nil || second.Err != nil || second.Task.Position.Line != 6 || second.Task.Position.Record != 4 {
		t.Fatalf("%+v, %v", second, err)
	}
	if offset := int64(strings.Index(text, "4\t")); second.Task.Position.Offset != offset || string(second.Task.Raw) != "4\t" {
		t.Errorf("offset %d, want %d; raw %q", second.Task.Position.Offset, offset, second.Task.Raw)
	}
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
	}
}

func TestSkippingAllRowsIsNoError(t *testing.T) {
	if res := readText(t, "INPUT:a\n1\n2\n", Config{SkipRows: 5}); res.findings != nil || res.tasks != nil {
		t.Errorf("%+v", res)
	}
}

func TestBrokenRowsNameTheirColumns(t *testing.T) {
	res := readText(t, "INPUT:a\tINPUT:b\n1\t"+strings.Repeat("x", 100)+"\n3\t4\n", Config{MaxCellBytes: 50, Delimiter: '\t'})
	if len(res.findings) != 1 || res.findings[0].Field != "INPUT:b" || res.findings[0].Column != 2 || len(res.tasks) != 1 {
		t.Errorf("%+v", res)
	}
}

func TestARejectedRowIsTheCallersToKeep(t *testing.T) {
	const rows = 100_000 // more than any buffer holds
	var text strings.Builder
	text.WriteString("INPUT:a\tTASK:overlap\n")
	for i := range rows {
		fmt.Fprintf(&text, "%d\tx%d\n", i, i)
	}
	res := readText(t, text.String(), Config{})
	if len(res.rejected) != rows {
		t.Fatalf("%d rejected rows", len(res.rejected))
	}
	for i, e := range res.rejected {
		if want := fmt.Sprintf("%d\tx%d", i, i); string(e.Raw) != want || e.Findings[0].Value != fmt.Sprintf("x%d", i) || e.Findings[0].Line != int64(i)+2 {
			t.Fatalf("row %d: %+v", i, e)
		}
	}
}

func TestWarningsOfRowsAndHeaderAreCounted(t *testing.T) {
	text := "INPUT:b\tINPUT: c\tERROR:line\n" + strings.Repeat("TRUE\tx\t9\n", 8)
	res := readText(t, text, Config{Spec: specOf(t, `{"input_spec":{"b":{"type":"boolean"},"c":{"type":"string"}}}`)})
	if got := briefWarnings(res.warnings); got != "2,HEADER_SPACES;3,HEADER_IGNORED;1,BOOLEAN_CASE" {
		t.Fatalf("warnings %s", got)
	}
	if w := res.warnings[2]; w.Count != 8 || !slices.Equal(w.Lines, []int64{2, 3, 4, 5, 6}) {
		t.Errorf("%+v", w)
	}
}

func TestTheInputIsDescribed(t *testing.T) {
	text := "\xEF\xBB\xBF\n\"INPUT:a\";INPUT: b\r\n1;2\r\n"
	res := readText(t, text, Config{})
	if res.findings != nil {
		t.Fatalf("%+v", res.findings)
	}
	info, sum := res.info, sha256.Sum256([]byte(text))
	want := Info{File: "f.tsv", Format: "delimited", Encoding: "utf-8", Delimiter: ';', Quotes: QuotesAuto, HeaderRaw: `"INPUT:a";INPUT: b`, Targets: []string{"INPUT:a", "INPUT:b"}, Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Prefix: hex.EncodeToString(sum[:]), End: Mark{Offset: 29, Line: 4, Record: 2}}
	if !slices.Equal(info.Header, []string{"INPUT:a", "INPUT: b"}) {
		t.Errorf("header %q", info.Header)
	}
	info.Header = nil
	if fmt.Sprint(info) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %+v", info, want)
	}
}

func TestAFailureOfReadingIsNoEndOfTheInput(t *testing.T) {
	broken := errors.New("the cable is out")
	r, err := New("f.tsv", io.MultiReader(strings.NewReader("INPUT:a\n"+strings.Repeat("1\n", 200_000)), iotest.ErrReader(broken)), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.Next()
	}
	var readErr *ReadError
	if !errors.As(err, &readErr) || !errors.Is(err, broken) || readErr.File != "f.tsv" {
		t.Errorf("error %v", err)
	}
	if _, again := r.Next(); !errors.Is(again, err) {
		t.Errorf("error %v after %v", again, err)
	}
}

func TestStandardInputAndMissingFiles(t *testing.T) {
	res := readAll(t, func() (*Reader, error) { return Open(t.Context(), "-", strings.NewReader("INPUT:a\n1\n"), Config{}) })
	if !slices.Equal(res.tasks, []string{`{"input_values":{"a":"1"}}`}) || res.info.File != "-" {
		t.Errorf("%+v", res)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none.tsv"), nil, Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := New("f", strings.NewReader("a\n"), Config{SkipRows: -1}); err == nil {
		t.Error("an invalid configuration is accepted")
	}
}

func TestEveryCellComesBackFromTheTask(t *testing.T) {
	character := rapid.Rune().Filter(func(r rune) bool { return r != 0 && r != '\uFEFF' && r != '\x1a' && r != '\uFFFD' && r != '\r' })
	cell := rapid.StringOfN(character, 1, 20, -1)
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 5).Draw(t, "width")
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, width, width), 1, 6).Draw(t, "rows")
		var text bytes.Buffer
		for i := range width {
			fmt.Fprintf(&text, "%sINPUT:f%d", map[bool]string{true: "\t"}[i > 0], i)
		}
		for _, row := range rows {
			text.WriteByte('\n')
			for i, cell := range row {
				fmt.Fprintf(&text, `%s"%s"`, map[bool]string{true: "\t"}[i > 0], strings.ReplaceAll(cell, `"`, `""`))
			}
		}
		r, err := New("f.tsv", &text, Config{Delimiter: '\t', Multiline: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			got, err := r.Next()
			if err != nil || got.Err != nil {
				t.Fatalf("row %d: %v, %+v", i, err, got.Err)
			}
			var task struct {
				Values map[string]string `json:"input_values"`
			}
			if err := json.Unmarshal([]byte("{"+string(got.Task.JSON)+"}"), &task); err != nil {
				t.Fatalf("%s: %v", got.Task.JSON, err)
			}
			for j, cell := range row {
				if task.Values[fmt.Sprintf("f%d", j)] != cell {
					t.Fatalf("cell %q of row %d comes back in %s", cell, i, got.Task.JSON)
				}
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	const rows = 10_000
	var text bytes.Buffer
	text.WriteString("INPUT:image\tINPUT:text\tGOLDEN:result\n")
	for i := range rows {
		fmt.Fprintf(&text, "https://example.com/dataset/images/%06d.jpg\tWhat does the picture %d show, and where was it taken?\tcat\n", i, i)
	}
	for name, spec := range map[string]*Spec{
		"without a spec": nil,
		"with a spec": specOf(b, `{"input_spec":{"image":{"type":"url","required":true},"text":{"type":"string","max_length":200}},
			"output_spec":{"result":{"type":"string","allowed_values":["cat","dog"]}}}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				r, err := New("f.tsv", bytes.NewReader(text.Bytes()), Config{Spec: spec})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for err == nil {
					if _, err = r.Next(); err == nil {
						n++
					}
				}
				if n != rows || !errors.Is(err, io.EOF) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
