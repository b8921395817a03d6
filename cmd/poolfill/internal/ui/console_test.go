package ui

import (
	"os"
	"path/filepath"
	"testing"
)

// What is no terminal gets no codes.
func TestConsoleThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{file: file}
	for range 2 {
		c.WriteString("a bar\n")
		if err := c.Flush(1); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "a bar\na bar\n" || c.IsTerminal() {
		t.Errorf("%q, %v", got, err)
	}
}
