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

// Expand turns arguments into the paths of inputs: "-" is standard input, a URL, a
// path that exists and one without wildcards is taken as it is, and every other
// argument is a pattern as path/filepath.Match has them, whose files come in
// sorted order. Directories that a pattern matches are left out.
//
// A file that was named before, also by another path or a link, is not taken
// again. URLs with the same Name that are not the same, a URL that can't be one, a
// pattern that matches no file, and a directory are errors; all of them are reported.
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
	if IsURL(arg) {
		e.url(arg)
		return
	}
	switch info, err := os.Stat(arg); {
	case err == nil && info.IsDir():
		e.errs = append(e.errs, directoryError(arg))
	case err == nil:
		e.take(arg, info)
	case otherScheme(arg) != "":
		e.errs = append(e.errs, otherSchemeError(otherScheme(arg)))
	case !strings.ContainsAny(arg, "*?["):
		e.take(arg, nil) // opening it says what is wrong
	default:
		e.glob(arg)
	}
}

func (e *expander) url(address string) {
	if err := checkAddress(address); err != nil {
		e.errs = append(e.errs, err)
		return
	}
	for _, known := range e.paths {
		if known != address && Name(known) == Name(address) {
			e.errs = append(e.errs, fmt.Errorf("%s: two URLs have this name, as what is behind the ? may be a secret and doesn't count: upload one after the other, or give the files names of their own", Name(address)))
			return
		}
	}
	e.take(address, nil)
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
