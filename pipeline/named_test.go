package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// The clock of this machine, by which the ledger notes when a chunk ended, may be
// behind that of the server, by which a search begins.
func TestTasksAreNamedThoughTheClocksDiffer(t *testing.T) {
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	run, err := l.Begin(ledger.Run{Name: "r", Server: "s", Pool: "1", Files: []ledger.File{{Path: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	rows := []verdict.Verdict{{Position: verdict.Position{File: "f", Record: 1}, Status: verdict.Created, TaskID: "task"}}
	if err := l.Entry(run).Finish(ledger.Result{Keys: make([]ledger.Key, 1), Rows: rows}); err != nil {
		t.Fatal(err)
	}
	for ahead, want := range map[time.Duration]bool{0: true, namedMargin - time.Minute: true, namedMargin + time.Minute: false} {
		named, err := named(t.Context(), l, run, time.Now().Add(ahead))([]string{"task", "other"})
		if err != nil || named["task"] != want || named["other"] {
			t.Errorf("a server that is %v ahead: %v, %v", ahead, named, err)
		}
	}
}

// What the server found comes from the ledger complete, and stays so when the chunk is
// gone on with.
func TestFindingsAreTheSameAfterAResume(t *testing.T) {
	info := reader.Info{
		File: "f", Header: []string{"picture", "GOLDEN:result"}, Targets: []string{"INPUT:image", "GOLDEN:result"}, Delimiter: '\t',
	}
	const task = `"input_values":{"image":"nope"},"known_solutions":[{"output_values":{"result":"bird"}}]`
	row := verdict.Verdict{
		Position: verdict.Position{File: "f", Line: 7, Record: 6}, Status: verdict.Rejected, Raw: []byte("nope\tbird"),
		Findings: []verdict.Finding{
			{Stage: verdict.StageServer, Path: "known_solutions.0.output_values.result", Code: "B", Message: "not allowed"},
			{Stage: verdict.StageServer, Path: "input_values.image", Code: "A", Message: "no URL"},
		},
	}
	want := []verdict.Finding{
		{Stage: verdict.StageServer, Line: 7, Column: 1, Field: "picture", Path: "input_values.image", Code: "A", Message: "no URL", Value: "nope"},
		{Stage: verdict.StageServer, Line: 7, Column: 2, Field: "GOLDEN:result", Path: "known_solutions.0.output_values.result", Code: "B", Message: "not allowed", Value: "bird"},
	}
	for range 2 {
		row.Findings = serverFindings(&row, []byte(task), info)
		if diff := cmp.Diff(want, row.Findings); diff != "" {
			t.Fatal(diff)
		}
	}
}
