package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTasksOf(t *testing.T) {
	for body, want := range map[string][]string{
		`[]`:                       nil,
		``:                         nil,
		`{"a":1}`:                  {`{"a":1}`},
		`[{"a":1},{"a":2}]`:        {`{"a":1}`, `{"a":2}`},
		"[{\"a\":1} ,\n{\"a\":2}]": {`{"a":1}`, `{"a":2}`},
		`[{"a":"},{\"a\":"},{"a":{"b":[{},{"c":"]"}]}},{"a":2}]`: {`{"a":"},{\"a\":"}`, `{"a":{"b":[{},{"c":"]"}]}}`, `{"a":2}`},
	} {
		var got []string
		for task := range tasksOf([]byte(body)) {
			got = append(got, string(task))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

// The ready-made requests hold the rows of the file, floor posts them all, and
// the echo server answers each task with an id of its own.
func TestFloorPostsTheRowsOfTheFile(t *testing.T) {
	const rows = 2*bodyRows + 7
	dir := t.TempDir()
	file, bodies := filepath.Join(dir, "rows.tsv"), filepath.Join(dir, "rows.bodies")
	if err := generate([]string{"-rows", "10007", "-out", file, "-bodies", bodies}, io.Discard); err != nil {
		t.Fatal(err)
	}
	s := &echoServer{spec: json.RawMessage(plainSpec)}
	ids := map[string]bool{}
	titles := 0
	handler := s.handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		var answer struct {
			Items map[string]struct {
				ID    string            `json:"id"`
				Input map[string]string `json:"input_values"`
			} `json:"items"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
			t.Error(err)
		}
		for _, item := range answer.Items {
			ids[item.ID] = true
			if strings.ContainsAny(item.Input["title"], "\t\n") {
				titles++
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	defer server.Close()
	if err := floor(t.Context(), []string{"-url", server.URL, "-bodies", bodies, "-connections", "1"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if len(ids) != rows || s.tasks.Load() != rows {
		t.Errorf("%d ids, %d tasks, want %d", len(ids), s.tasks.Load(), rows)
	}
	if titles < rows/quotedShare/2 || titles > 2*rows/quotedShare {
		t.Errorf("%d titles have tabs and line ends", titles)
	}
}

func TestRowsAreTheSameAndOfTheSizeThatIsSaid(t *testing.T) {
	for _, of := range []shape{plain(), typed()} {
		var files [2]bytes.Buffer
		for i := range files {
			w := bufio.NewWriter(&files[i])
			if err := errors.Join(of.write(w, newRowMaker(1), 20000), w.Flush()); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(files[0].Bytes(), files[1].Bytes()) {
			t.Errorf("%s: the same seed makes other rows", of.name)
		}
		if size := float64(files[0].Len()) / 20000; size < 103 || size > 105 {
			t.Errorf("%s: a row has %.1f bytes", of.name, size)
		}
	}
}

func TestAnOperationIsAnsweredUntilItsLogWasRead(t *testing.T) {
	s := &echoServer{spec: json.RawMessage(plainSpec)}
	handler := s.handler()
	send := func(method, path, body string, status int) string {
		t.Helper()
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		if rec.Code != status {
			t.Errorf("%s %s: status %d, want %d", method, path, rec.Code, status)
		}
		return rec.Body.String()
	}
	send(http.MethodGet, "/api/v1/operations/x", "", http.StatusNotFound)
	send(http.MethodPost, "/api/v1/tasks?async_mode=true&operation_id=x", `[{"a":1},{"a":2}]`, http.StatusAccepted)
	send(http.MethodPost, "/api/v1/tasks?async_mode=true&operation_id=x", `[{"a":1},{"a":2}]`, http.StatusConflict)
	if op := send(http.MethodGet, "/api/v1/operations/x", "", http.StatusOK); !strings.Contains(op, "SUCCESS") {
		t.Error(op)
	}
	want := `[{"type":"TASK_CREATE","success":true,"input":{"a":1},"output":{"task_id":"0000000001--6911aa02c0de4f00d5eed000"}},` +
		`{"type":"TASK_CREATE","success":true,"input":{"a":2},"output":{"task_id":"0000000002--6911aa02c0de4f00d5eed000"}}]`
	if got := send(http.MethodGet, "/api/v1/operations/x/log", "", http.StatusOK); got != want {
		t.Error(cmp.Diff(want, got))
	}
	send(http.MethodGet, "/api/v1/operations/x/log", "", http.StatusNotFound)
}
