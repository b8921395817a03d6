package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/uploader"
)

// uploadAll uploads files, each of these rows, and returns the report. A run is one of
// dir's.
func uploadAll(t *rapid.T, url, dir string, change func(*pipeline.Config), files ...string) pipeline.Report {
	l, err := ledger.Open(context.Background(), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config(url, files...)
	cfg.RunID, cfg.Ledger = "", l
	change(&cfg)
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// inPool counts the tasks of a pool by their image.
func inPool(t *rapid.T, url string) map[string]int {
	ask, err := http.NewRequest(http.MethodGet, url+"/api/v1/tasks?pool_id=1&limit=300", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "OAuth token")
	resp, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v: %s", err, raw)
	}
	var page struct {
		Items []struct {
			Inputs map[string]string `json:"input_values"`
		}
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	counts := map[string]int{}
	for _, item := range page.Items {
		counts[item.Inputs["image"]]++
	}
	return counts
}

// listen serves a handler until stop.
func listen(handler http.Handler) (url string, stop func()) {
	s := httptest.NewServer(handler)
	return s.URL, func() {
		s.CloseClientConnections()
		s.Close()
	}
}

func image(letter string) string { return "https://example.com/" + letter + ".jpg" }

func rowsFile(t *rapid.T, path string, rows []string) {
	var b strings.Builder
	b.WriteString("INPUT:image\n")
	for _, r := range rows {
		b.WriteString(image(r) + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever becomes of a file between its uploads, and however many of its first rows each
// of them reads, the pool has as many equal tasks as the upload that read most of them.
func TestAnEditedFileHasAsManyTasksAsItEverHadRows(t *testing.T) {
	rows := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 6)
	rapid.Check(t, func(t *rapid.T) {
		server, err := emulator.New(emulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		url, stop := listen(server)
		defer stop()
		dir, err := os.MkdirTemp("", "versions")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path := filepath.Join(dir, "a.tsv")
		want := map[string]int{}
		for range rapid.IntRange(1, 4).Draw(t, "versions") {
			version := rows.Draw(t, "rows")
			rowsFile(t, path, version)
			limit := rapid.IntRange(1, len(version)).Draw(t, "limit")
			mode := rapid.SampledFrom([]uploader.Mode{uploader.Async, uploader.Sync}).Draw(t, "mode")
			uploadAll(t, url, dir, func(c *pipeline.Config) {
				c.Mode, c.Reader.LimitRows = mode, int64(limit)
				c.ChunkSize = rapid.IntRange(1, 3).Draw(t, "chunk")
			}, path)
			read := map[string]int{}
			for _, r := range version[:limit] {
				read[image(r)]++
				want[image(r)] = max(want[image(r)], read[image(r)])
			}
			if got := inPool(t, url); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("the pool has %v, want %v", got, want)
			}
		}
	})
}

// Each row of each file of a run becomes a task, however much the files have in common.
func TestFilesThatBeginAlikeAreUploadedWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		server, err := emulator.New(emulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		url, stop := listen(server)
		defer stop()
		dir, err := os.MkdirTemp("", "alike")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		begin := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 1, 5).Draw(t, "beginning")
		want, all := map[string]int{}, int64(0)
		var files []string
		for i := range rapid.IntRange(2, 3).Draw(t, "files") {
			own := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "end")
			file := append(append([]string{}, begin...), own...)
			files = append(files, filepath.Join(dir, fmt.Sprintf("%d.tsv", i)))
			rowsFile(t, files[i], file)
			for _, r := range file {
				want[image(r)]++
				all++
			}
		}
		r := uploadAll(t, url, dir, func(c *pipeline.Config) {
			c.Mode = rapid.SampledFrom([]uploader.Mode{uploader.Async, uploader.Sync}).Draw(t, "mode")
			c.ChunkSize = rapid.IntRange(1, 4).Draw(t, "chunk")
		}, files...)
		if got := inPool(t, url); fmt.Sprint(got) != fmt.Sprint(want) || r.Totals.Created != all {
			t.Fatalf("the pool has %v, want %v; %d created of %d", got, want, r.Totals.Created, all)
		}
	})
}
