package report_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/pipeline"
)

func TestDifferencesAreWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for it")
	path, err := report.WriteDifferences(dir, "5c0f", func(tell func(pipeline.Difference) error) error {
		return errors.Join(
			tell(pipeline.Difference{Kind: pipeline.Missing, File: "a \"b\".tsv", Line: 4, Record: 3}),
			tell(pipeline.Difference{Kind: pipeline.Foreign, TaskID: "0001\t--ab"}),
		)
	})
	if err != nil || path != filepath.Join(dir, "verify.tsv") {
		t.Fatal(path, err)
	}
	got, err := os.ReadFile(path)
	const want = "difference\tfile\tline\trecord\ttask_id\nmissing\t\"a \"\"b\"\".tsv\"\t4\t3\t\nforeign\t\t\t\t\"0001\t--ab\"\n"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}

	// Where nothing comes of it, nothing is left behind.
	dir = filepath.Join(t.TempDir(), "new")
	failed := errors.New("the server is away")
	_, err = report.WriteDifferences(dir, "5c0f", func(func(pipeline.Difference) error) error { return failed })
	if !errors.Is(err, failed) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}
