package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/internal/emulator"
	"poolfill/reader/verdict"
)

// trial is an upload by the real binary, as often as it takes, to an emulator
// that outlives it.
type trial struct {
	t     *testing.T
	dir   string
	url   string
	mode  string
	rows  []string // the input's, without its header
	setup []string // further arguments
}

const (
	trialHeader = "INPUT:image\tINPUT:title\n"
	trialChunk  = 5
)

// newTrial makes an input of n rows, of which some are alike, and an emulator;
// wrap may change what that answers.
func newTrial(t *testing.T, mode string, n int, wrap func(http.Handler) http.Handler) *trial {
	t.Helper()
	server, err := emulator.New(emulator.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = server
	if wrap != nil {
		handler = wrap(server)
	}
	listener := httptest.NewServer(handler)
	t.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	tr := &trial{t: t, dir: t.TempDir(), url: listener.URL, mode: mode}
	for i := range n {
		tr.rows = append(tr.rows, trialRow(i-i%4/3)) // each fourth is like the third
	}
	tr.write("input.tsv", trialHeader+strings.Join(tr.rows, ""))
	return tr
}

func trialRow(i int) string { return fmt.Sprintf("https://example.com/%d.jpg\tnumber %d\n", i, i) }

func (tr *trial) path(name string) string { return filepath.Join(tr.dir, name) }

func (tr *trial) write(name, content string) {
	tr.t.Helper()
	if err := os.WriteFile(tr.path(name), []byte(content), 0o600); err != nil {
		tr.t.Fatal(err)
	}
}

// command gives the upload, carried out by the program of that name.
func (tr *trial) command(program string, env ...string) *exec.Cmd {
	args := append([]string{
		"upload", tr.path("input.tsv"), "--pool", emulator.DemoPool, "--url", tr.url, "--mode", tr.mode,
		"--chunk-size", fmt.Sprint(trialChunk), "--workers", "2",
		"--state-dir", tr.path("state"), "--out", tr.path("out"), "--progress", "none",
	}, tr.setup...)
	cmd := exec.CommandContext(tr.t.Context(), program, args...)
	cmd.Dir = tr.dir
	cmd.Env = append(append(os.Environ(), "TOLOKA_TOKEN=secret-token", "POOLFILL_CONFIG="+os.DevNull), env...)
	return cmd
}

// killed is the exit code of a process that was killed.
const killed = -1

// run carries a command out and gives its exit code and what it says.
func (tr *trial) run(cmd *exec.Cmd) (code int, stderr string) {
	tr.t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tr.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), said.String()
}

// finish runs the upload, which has to end well.
func (tr *trial) finish() {
	tr.t.Helper()
	if code, stderr := tr.run(tr.command("poolfill")); code != exitOK {
		tr.t.Fatalf("exit code %d:\n%s", code, stderr)
	}
}

// verify checks that the pool has every row once, and results.tsv one created
// line for each, with a task of its own.
func (tr *trial) verify() {
	tr.t.Helper()
	pool := tr.pool()
	tasks := make([]string, 0, len(pool))
	for _, row := range pool {
		tasks = append(tasks, row)
	}
	rows := slices.Clone(tr.rows)
	slices.Sort(tasks)
	slices.Sort(rows)
	if diff := cmp.Diff(rows, tasks); diff != "" {
		tr.t.Errorf("the pool differs from the input (-input +pool):\n%s", diff)
	}
	text, err := os.ReadFile(tr.path("out/results.tsv"))
	if err != nil {
		tr.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:]
	if len(lines) != len(tr.rows) {
		tr.t.Fatalf("results.tsv has %d lines, want %d", len(lines), len(tr.rows))
	}
	for i, line := range lines {
		cells := strings.Split(line, "\t")
		record, status, id := cells[2], cells[3], cells[4]
		if record != fmt.Sprint(i+1) || status != verdict.Created.String() || pool[id] != tr.rows[i] {
			tr.t.Errorf("row %d has the line %q; task %q is %q, want %q", i+1, line, id, pool[id], tr.rows[i])
		}
		delete(pool, id)
	}
	entries, err := os.ReadDir(tr.path("out"))
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case report.ReportFile, report.PageFile, report.ResultsFile, report.RejectedFile:
		default:
			tr.t.Errorf("%s was left behind", entry.Name())
		}
	}
}

// pool gives the pool's tasks, as rows, by their ids.
func (tr *trial) pool() map[string]string {
	tr.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet,
		tr.url+"/api/v1/tasks?sort=id&limit=10000&pool_id="+emulator.DemoPool, nil)
	if err != nil {
		tr.t.Fatal(err)
	}
	request.Header.Set("Authorization", "OAuth secret-token")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		tr.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		tr.t.Fatal(err)
	}
	var page struct {
		Items []struct {
			ID    string                        `json:"id"`
			Input struct{ Image, Title string } `json:"input_values"`
		} `json:"items"`
		HasMore bool `json:"has_more"`
	}
	if err := json.Unmarshal(body, &page); err != nil || page.HasMore {
		tr.t.Fatalf("%v, more: %v: %s", err, page.HasMore, body)
	}
	rows := make(map[string]string, len(page.Items))
	for _, item := range page.Items {
		rows[item.ID] = item.Input.Image + "\t" + item.Input.Title + "\n"
	}
	return rows
}
