package pipeline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A module of its own can use poolfill with what it exports. Its own test runs an
// upload; here it is only put together, as the Go tool knows no module in a
// testdata folder.
func TestAnotherModuleCanUsePoolfill(t *testing.T) {
	if testing.Short() {
		t.Skip("it links a program")
	}
	publicPackages(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/importer")); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The versions that poolfill asks for are at hand: nothing is fetched.
	mod := strings.Replace(read("go.mod"), "module poolfill\n", "module example.com/importer\n", 1)
	write("go.mod", mod+"\nrequire poolfill v0.0.0\n\nreplace poolfill => "+root+"\n")
	write("go.sum", read("go.sum"))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-mod=mod", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
