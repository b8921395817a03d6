package pipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poolfill/internal/emulator"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/uploader"
)

// Machines that know nothing of each other make the same names, however they are tuned,
// and whatever they call a file.
func TestNamesFollowFromTheRowsAlone(t *testing.T) {
	t.Parallel()
	server, url := serve(t, emulator.Config{}, nil)
	text := images(4500)
	for _, perMinute := range []int{150_000, 50_000} {
		cfg := config(url, write(t, "export.tsv", text))
		cfg.Limits, cfg.Workers = ratelimit.Config{TasksPerMinute: perMinute}, perMinute/50_000
		if _, err := run(t, cfg); err != nil {
			t.Fatal(err)
		}
	}
	moved := config(url, write(t, "moved.tsv", text))
	openBook(t).upload(t, t.Context(), moved)
	if got := server.Stats().Pools["1"]; got != 4500 {
		t.Errorf("%d tasks in the pool", got)
	}
}

func TestTheOrderOfTheArgumentsMakesNoNames(t *testing.T) {
	t.Parallel()
	server, url := serve(t, emulator.Config{}, nil)
	dir := t.TempDir()
	large := strings.ReplaceAll(images(1000), "number", "large")
	for name, text := range map[string]string{"a.tsv": images(30), "b.tsv": images(20), "large.tsv": large} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	for _, names := range [][]string{{"a.tsv", "b.tsv", "large.tsv"}, {"large.tsv", "b.tsv", "a.tsv"}, {"large.tsv"}} {
		if _, err := run(t, config(url, in(names...)...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Stats().Pools["1"]; got != 1050 {
		t.Errorf("%d tasks in the pool", got)
	}
}

// Another file is another upload, even if its rows are those of an earlier one.
func TestAnotherFileWithEqualRowsIsAnotherUpload(t *testing.T) {
	for _, mode := range []uploader.Mode{uploader.Async, uploader.Sync} {
		for name, other := range map[string]string{
			"another format":         strings.ReplaceAll(images(3), "\t", ","),
			"another row at the end": images(2) + "https://example.com/9.jpg\tnumber 9\n",
		} {
			t.Run(string(mode)+", "+name, func(t *testing.T) {
				t.Parallel()
				server, url := serve(t, emulator.Config{}, nil)
				b := openBook(t)
				cfg := config(url, write(t, "A.tsv", images(3)))
				cfg.Mode, cfg.ChunkSize = mode, 2
				b.upload(t, t.Context(), cfg)
				cfg.Files = []string{write(t, "B.csv", other)}
				r, _ := b.upload(t, t.Context(), cfg)
				wantTotals(t, "the other file", r, 3, 0, 0)
				if got := server.Stats().Pools["1"]; got != 6 {
					t.Errorf("%d tasks in the pool", got)
				}
				cfg.Job = pipeline.Upload{Guard: pipeline.GuardLedger}
				cfg.Files = []string{write(t, "C.csv", strings.ReplaceAll(images(4), "\t", ";"))}
				r, _ = b.upload(t, t.Context(), cfg)
				wantTotals(t, "a third", r, 1, 3, 0)
			})
		}
	}
}
