package reader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stdinName is the name that stands for standard input.
const stdinName = "-"

// Expand turns arguments into the paths of inputs: "-" is standard input, a
// path that exists and one without wildcards is taken as it is, and every other
// argument is a pattern as path/filepath.Match has them, whose files come in
// sorted order. Directories that a pattern matches are left out.
//
// A file that was named before, also by another path or a link, is not taken
// again. A pattern that matches no file and a directory are errors; all of
// them are reported.
func Expand(args []string) ([]string, error) {
	var e expander
	for _, arg := range args {
		e.add(arg)
	}
	return e.paths, errors.Join(e.errs...)
}

type expander struct {
	paths []string
	infos []os.FileInfo // of paths; nil where unknown
	errs  []error
}

func (e *expander) add(arg string) {
	if arg == stdinName {
		e.take(arg, nil)
		return
	}
	switch info, err := os.Stat(arg); {
	case err == nil && info.IsDir():
		e.errs = append(e.errs, directoryError(arg))
	case err == nil:
		e.take(arg, info)
	case !strings.ContainsAny(arg, "*?["):
		e.take(arg, nil) // opening it says what is wrong
	default:
		e.glob(arg)
	}
}

func (e *expander) glob(pattern string) {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: the pattern can't be read: close the bracket, or put a backslash before it", pattern))
		return
	}
	slices.Sort(matches)
	found := false
	for _, path := range matches {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			continue
		}
		found = true
		e.take(path, info)
	}
	if !found {
		e.errs = append(e.errs, fmt.Errorf("%s: no file matches this pattern: check the folder and the ending", pattern))
	}
}

func (e *expander) take(path string, info os.FileInfo) {
	for i, known := range e.paths {
		if known == path || info != nil && e.infos[i] != nil && os.SameFile(info, e.infos[i]) {
			return
		}
	}
	e.paths = append(e.paths, path)
	e.infos = append(e.infos, info)
}

func directoryError(path string) error {
	return fmt.Errorf("%s: this is a directory: name the files in it, such as %s", path, filepath.Join(path, "*.tsv"))
}
