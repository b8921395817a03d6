package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gocarina/gocsv"
	"pgregory.net/rapid"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

func tsv(file string) reader.Info {
	return reader.Info{File: file, Delimiter: '\t', Quotes: reader.QuotesAuto, Header: []string{"INPUT:a", "INPUT:b"}, HeaderRaw: "INPUT:a\tINPUT:b"}
}

func row(file string, record int64, status verdict.Status) verdict.Verdict {
	r := verdict.Verdict{Position: verdict.Position{File: file, Line: record + 1, Record: record}, Status: status}
	if status == verdict.Created {
		r.TaskID = fmt.Sprintf("task-%d", record)
	}
	return r
}

func rejected(file string, record int64, raw string, findings ...verdict.Finding) verdict.Verdict {
	r := row(file, record, verdict.Rejected)
	r.Findings = findings
	if raw != "" {
		r.Raw = []byte(raw)
	}
	return r
}

func create(t *testing.T, dir string, inputs ...reader.Info) *report.Writer {
	t.Helper()
	w, err := report.Create(dir, "r1", len(inputs))
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range inputs {
		if err := w.Input(info); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func record(t *testing.T, w *report.Writer, results ...verdict.Verdict) {
	t.Helper()
	if err := w.Record(results); err != nil {
		t.Fatal(err)
	}
}

func finish(t *testing.T, w *report.Writer) pipeline.Report {
	t.Helper()
	r, err := w.Finish(pipeline.Report{Version: 1, RunID: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestEachRowHasItsLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := create(t, dir, tsv("a.tsv"), tsv("b.tsv"))
	record(t, w, row("a.tsv", 1, verdict.Created))
	record(t, w, rejected("a.tsv", 2, "x\ty", verdict.Finding{Line: 3, Field: "INPUT:a", Code: "VALUE_REQUIRED", Message: "say \"it\""}), row("a.tsv", 3, verdict.Valid))
	record(t, w, row("b.tsv", 1, verdict.Created), row("b.tsv", 2, verdict.Unsent))
	finish(t, w)
	want := strings.Join([]string{
		"file\tline\trecord\tstatus\ttask_id\tfield\tcode\tmessage",
		"a.tsv\t2\t1\tcreated\ttask-1\t\t\t",
		"a.tsv\t3\t2\trejected\t\tINPUT:a\tVALUE_REQUIRED\t\"say \"\"it\"\"\"",
		"a.tsv\t4\t3\tvalid\t\t\t\t",
		"b.tsv\t2\t1\tcreated\ttask-1\t\t\t",
		"b.tsv\t3\t2\tunsent\t\t\t\t",
		"",
	}, "\n")
	if got := content(t, filepath.Join(dir, report.ResultsFile)); got != want {
		t.Errorf("results.tsv is\n%s\nwant\n%s", got, want)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"rejected.tsv", "report.html", "report.json", "results.tsv"}) {
		t.Errorf("the folder has %v", got)
	}
}

func TestRowsOutOfOrderAreAnError(t *testing.T) {
	for name, second := range map[string]verdict.Verdict{
		"the same row again": row("b.tsv", 5, verdict.Created),
		"an earlier row":     row("b.tsv", 4, verdict.Created),
		"an earlier file":    row("a.tsv", 9, verdict.Created), // of which there were rows before
	} {
		t.Run(name, func(t *testing.T) {
			w := create(t, t.TempDir(), tsv("a.tsv"), tsv("b.tsv"))
			record(t, w, row("a.tsv", 5, verdict.Created), row("b.tsv", 5, verdict.Created))
			err := w.Record([]verdict.Verdict{second})
			if err == nil {
				t.Error("no error")
			}
			if _, again := w.Finish(pipeline.Report{}); !errors.Is(err, again) {
				t.Errorf("Finish gives %v, want what Record gave", again)
			}
		})
	}
}

// resultRow is a line of results.tsv as a Go program reads it.
type resultRow struct {
	File    string `csv:"file"`
	Line    int64  `csv:"line"`
	Record  int64  `csv:"record"`
	Status  string `csv:"status"`
	TaskID  string `csv:"task_id"`
	Field   string `csv:"field"`
	Code    string `csv:"code"`
	Message string `csv:"message"`
}

// Whatever a cell holds, results.tsv is what gocsv would have written.
func TestResultsAreWrittenAsGocsvWritesThem(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a"\t\n\r \\.;]{0,4}`))
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		file := text.Draw(t, "file")
		results := make([]verdict.Verdict, rapid.IntRange(1, 4).Draw(t, "rows"))
		want := make([]resultRow, len(results))
		for i := range results {
			r := row(file, int64(i+1), verdict.Created)
			r.TaskID, r.Reason = text.Draw(t, "id"), text.Draw(t, "reason")
			results[i] = r
			want[i] = resultRow{file, r.Position.Line, r.Position.Record, r.Status.String(), r.TaskID, "", "", r.Reason}
		}
		w, err := report.Create(dir, "r1", 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Input(tsv(file)), w.Record(results)); err != nil {
			t.Fatal(err)
		}
		r, err := w.Finish(pipeline.Report{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(r.Outputs["results"])
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cells := csv.NewWriter(&out)
		cells.Comma = '\t'
		if err := gocsv.MarshalCSV(want, gocsv.NewSafeCSVWriter(cells)); err != nil {
			t.Fatal(err)
		}
		if string(got) != out.String() {
			t.Fatalf("results.tsv is\n%q\nwant\n%q", got, out.String())
		}
	})
}

func TestRejectedRowsStandAsTheyWere(t *testing.T) {
	csvInfo := reader.Info{File: "b.csv", Delimiter: ',', Quotes: reader.QuotesAuto, Header: []string{"url", "label"}, HeaderRaw: "url,label"}
	plain := csvInfo
	plain.File, plain.Quotes = "c.csv", reader.QuotesNone
	tests := map[string]struct {
		info   reader.Info
		result verdict.Verdict
		want   string
	}{
		"with every finding of the row": {
			tsv("a.tsv"),
			rejected("a.tsv", 4, "x\t\"multi\nline\"", verdict.Finding{Field: "INPUT:a", Code: "A", Message: "one"}, verdict.Finding{Field: "INPUT:b", Code: "B", Message: "two"}),
			"ERROR:line\tERROR:field\tERROR:code\tERROR:message\tINPUT:a\tINPUT:b\n5\tINPUT:a; INPUT:b\tA; B\tone; two\tx\t\"multi\nline\"\n",
		},
		"in the dialect of the input": {
			csvInfo,
			rejected("b.csv", 1, `"a,b",c`, verdict.Finding{Code: "A", Message: `has a "quote", and a comma`}),
			"ERROR:line,ERROR:field,ERROR:code,ERROR:message,url,label\n2,,A,\"has a \"\"quote\"\", and a comma\",\"a,b\",c\n",
		},
		"without quotes where the input has none": {
			plain,
			rejected("c.csv", 1, `"a,b`, verdict.Finding{Code: "A", Message: "one,\ntwo"}),
			"ERROR:line,ERROR:field,ERROR:code,ERROR:message,url,label\n2,,A,one  two,\"a,b\n",
		},
		"short and long ones in place, behind what is wrong": {
			tsv("a.tsv"),
			rejected("a.tsv", 1, "only one cell", verdict.Finding{Code: "COLUMN_COUNT", Message: "m"}),
			"ERROR:line\tERROR:field\tERROR:code\tERROR:message\tINPUT:a\tINPUT:b\n2\t\tCOLUMN_COUNT\tm\tonly one cell\n",
		},
		"and without cells where the row was too long to keep": {
			tsv("a.tsv"),
			rejected("a.tsv", 1, "", verdict.Finding{Code: "RECORD_TOO_LONG", Message: "m"}),
			"ERROR:line\tERROR:field\tERROR:code\tERROR:message\tINPUT:a\tINPUT:b\n2\t\tRECORD_TOO_LONG\tm\t\t\n",
		},
		"with fresh columns in place of an earlier run's": {
			reader.Info{
				File: "rejected.tsv", Delimiter: '\t', Quotes: reader.QuotesAuto,
				Header:    []string{"ERROR:line", "ERROR:field", "ERROR:code", "ERROR:message", "INPUT:a", "INPUT:b"},
				HeaderRaw: "ERROR:line\tERROR:field\tERROR:code\tERROR:message\tINPUT:a\tINPUT:b",
			},
			rejected("rejected.tsv", 1, "17\tINPUT:a\tOLD\t\"old \"\"message\"\"\twith a tab\"\tx\t\"y\"", verdict.Finding{Field: "INPUT:b", Code: "NEW", Message: "new"}),
			"ERROR:line\tERROR:field\tERROR:code\tERROR:message\tINPUT:a\tINPUT:b\n2\tINPUT:b\tNEW\tnew\tx\t\"y\"\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := create(t, dir, tt.info)
			record(t, w, tt.result)
			finish(t, w)
			if got := content(t, filepath.Join(dir, report.RejectedFile)); got != tt.want {
				t.Errorf("rejected.tsv is\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}

func TestEachHeaderGetsItsOwnFileOfRejectedRows(t *testing.T) {
	dir := t.TempDir()
	other := tsv("c.tsv")
	other.Header, other.HeaderRaw = []string{"INPUT:c"}, "INPUT:c"
	w := create(t, dir, tsv("a.tsv"), tsv("b.tsv"), other)
	for _, file := range []string{"a.tsv", "b.tsv", "c.tsv"} {
		record(t, w, rejected(file, 1, "raw "+file, verdict.Finding{Code: "A"}))
	}
	r := finish(t, w)
	if got := content(t, r.Outputs["rejected"]); !strings.Contains(got, "a.tsv:2\t\tA\t\traw a.tsv\nb.tsv:2\t\tA\t\traw b.tsv\n") {
		t.Errorf("rejected.tsv is %q", got)
	}
	if got := content(t, r.Outputs["rejected_2"]); got != "ERROR:line\tERROR:field\tERROR:code\tERROR:message\tINPUT:c\nc.tsv:2\t\tA\t\traw c.tsv\n" {
		t.Errorf("rejected-2.tsv is %q", got)
	}
}

func TestTheReportNamesItsFiles(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, tsv("a.tsv"))
	record(t, w, row("a.tsv", 1, verdict.Created))
	r := finish(t, w)
	var onDisk pipeline.Report
	if err := json.Unmarshal([]byte(content(t, filepath.Join(dir, report.ReportFile))), &onDisk); err != nil {
		t.Fatal(err)
	}
	if onDisk.RunID != "r1" || onDisk.Outputs["results"] != filepath.Join(dir, "results.tsv") || onDisk.Outputs["report"] != r.Outputs["report"] {
		t.Errorf("report.json is %+v", onDisk)
	}
	if _, ok := r.Outputs["rejected"]; ok {
		t.Error("a file of rejected rows is named, and there are none")
	}
}

func TestADiscardedReportLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	w := create(t, filepath.Join(parent, "runs", "run"), tsv("a.tsv"))
	record(t, w, row("a.tsv", 1, verdict.Created))
	if err := w.Discard(); err != nil {
		t.Fatal(err)
	}
	if left := names(t, parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Create(filepath.Join(file, "run"), "r1", 1); err == nil || !strings.Contains(err.Error(), "the folder for the report") {
		t.Errorf("the error is %v", err)
	}
}

func TestARowOfAnUnannouncedInputIsAnError(t *testing.T) {
	w := create(t, t.TempDir())
	if err := w.Record([]verdict.Verdict{row("x.tsv", 1, verdict.Created)}); err == nil {
		t.Error("no error")
	}
}

func BenchmarkRecord(b *testing.B) {
	w, err := report.Create(b.TempDir(), "r1", 1)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Input(tsv("a.tsv")); err != nil {
		b.Fatal(err)
	}
	results := make([]verdict.Verdict, 1000)
	for i := range results {
		results[i] = row("a.tsv", int64(i), verdict.Created)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range results {
			results[i].Position.Record += int64(len(results))
		}
		if err := w.Record(results); err != nil {
			b.Fatal(err)
		}
	}
}
