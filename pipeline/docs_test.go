package pipeline_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The code in docs/library.md is that of programs that are compiled and run.
func TestTheCodeOfThePageIsTested(t *testing.T) {
	// Each line without its indentation, and without empty lines.
	lines := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				b.WriteString("\n" + line)
			}
		}
		return b.String() + "\n"
	}
	var programs string
	for _, path := range []string{"testdata/importer/upload.go", "testdata/importer/upload_test.go", "../reader/example_test.go"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		programs += lines(string(text))
	}
	page, err := os.ReadFile("../docs/library.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Error("the page has no code")
	}
	for _, block := range blocks {
		if !strings.Contains(programs, strings.TrimSuffix(lines(block[1]), "\n")) {
			t.Errorf("no program has this code:\n%s", block[1])
		}
	}
}
