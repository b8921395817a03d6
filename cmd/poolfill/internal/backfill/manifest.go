package backfill

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gocarina/gocsv"

	"poolfill/reader"
	"poolfill/uploader"
)

// Entry is one row of a manifest: files that are uploaded by the same rules.
type Entry struct {
	// File is a path, a glob or a URL; a relative path counts from the manifest's
	// folder.
	File string `csv:"file"`
	// Pool is the pool to fill. Template is a pool to clone for each further
	// 1,000,000 tasks, or for all of them where there is no Pool.
	Pool     string `csv:"pool"`
	Template string `csv:"pool_template"`
	// Priority orders the segments: 1 first, 4 last. Empty is 2.
	Priority string `csv:"priority"`
	// Mapping is what columns are: "picture=INPUT:image;note=HINT:text".
	Mapping string `csv:"mapping"`
	// NotBefore is a time, RFC 3339 or a day (UTC), before which nothing of it is
	// uploaded; empty is now.
	NotBefore string `csv:"not_before"`
	// Mode is async, which is also what empty means: a synchronous request whose
	// answer is lost can't be told apart from one that another worker repeats.
	Mode string `csv:"mode"`

	line int // in the manifest; 0 where there is none
}

// Rules are what a file has of its own.
type Rules struct {
	Map       map[string]string `json:",omitempty"` // what columns are
	Priority  int               // 1 to 4
	NotBefore time.Time         `json:",omitzero"`  // zero is now
	Each      bool              `json:",omitempty"` // every pool gets its rows
}

// Source is one file of a backfill and its rules.
type Source struct {
	Path     string // absolute or a URL, so that each worker finds it
	Pool     string
	Template string
	Rules

	place string // what messages call its entry
}

// The priorities, which are River's.
const (
	firstPriority   = 1
	defaultPriority = 2
	lastPriority    = 4
)

// ReadManifest reads a manifest: CSV, or TSV where its header has a tab. Its
// error names every row that can't be understood.
func ReadManifest(path string) ([]Entry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the manifest can't be read: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	header, _, _ := bytes.Cut(data, []byte("\n"))
	in := csv.NewReader(bytes.NewReader(data))
	if bytes.ContainsRune(header, '\t') {
		in.Comma = '\t'
	} else {
		in.TrimLeadingSpace = true // a tab is a space too
	}
	entries, err := readEntries(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	dir := filepath.Dir(path)
	for i := range entries {
		if f := entries[i].File; f != "" && !filepath.IsAbs(f) && !reader.IsURL(f) {
			entries[i].File = inFolder(dir, f)
		}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%s names no files: it needs the columns file and pool or pool_template, and a row for each file or glob", path)
	}
	return entries, nil
}

// inFolder returns a file or glob of a folder, whose own name is no glob.
func inFolder(dir, name string) string {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil || runtime.GOOS == "windows" || !strings.ContainsAny(name, "*?[") {
		return path // on Windows a glob has no way to say so
	}
	return filepath.Join(strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(dir), name)
}

// readEntries refuses columns that nothing is known of: a misspelt one would be left
// out in silence.
func readEntries(in *csv.Reader) (entries []Entry, err error) {
	rows, err := gocsv.NewUnmarshaller(in, Entry{})
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the manifest is no CSV: %w", err)
	}
	names := rows.Headers
	if err := rows.RenormalizeHeaders(func(names []string) (columns []string) {
		for _, name := range names {
			columns = append(columns, strings.ToLower(strings.TrimSpace(name)))
		}
		return columns
	}); err != nil {
		return nil, err
	}
	const columns = "file, pool, pool_template, priority, mapping, not_before and mode"
	if slices.Contains(rows.MismatchedStructFields, "file") {
		return nil, errors.New("this is no manifest, as it has no column file. A file of tasks needs the pool that it is for: give --pool or --pool-template. The columns of a manifest are " + columns)
	}
	for i, column := range rows.Headers {
		if slices.Contains(rows.MismatchedHeaders, column) {
			return nil, fmt.Errorf("there is no column %q: the columns are "+columns, names[i])
		}
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		entry := row.(Entry)
		entry.line, _ = in.FieldPos(0)
		entries = append(entries, entry)
	}
}

// Sources expands the entries. Its error joins all that is wrong with them.
func Sources(entries []Entry) ([]Source, error) {
	var (
		sources []Source
		errs    []error
	)
	for _, e := range entries {
		source, err := e.source()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		paths, err := reader.Expand([]string{e.File})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s%w", e.place(), err))
			continue
		}
		for _, path := range paths {
			s := source
			if s.Path, err = everywhere(path); err != nil {
				errs = append(errs, fmt.Errorf("%s%w", e.place(), err))
			}
			sources = append(sources, s)
		}
	}
	seen := map[string]string{}
	for _, s := range sources {
		key := s.Path + "\x00" + s.Pool + "\x00" + s.Template
		if before, twice := seen[key]; twice {
			errs = append(errs, fmt.Errorf("%s%s is named a second time for the same pool%s: name each file once", s.place, s.Path, before))
		}
		seen[key] = ""
		if s.place != "" {
			seen[key] = " (first in " + strings.TrimSuffix(s.place, ": ") + ")"
		}
	}
	return sources, errors.Join(errs...)
}

// EachPool returns files whose rows every pool gets, before all others.
func EachPool(paths []string) ([]Source, error) {
	expanded, err := reader.Expand(paths)
	if err != nil {
		return nil, err
	}
	sources := make([]Source, len(expanded))
	for i, path := range expanded {
		if path == "-" {
			return nil, errors.New("standard input can't be uploaded to every pool: name a file")
		}
		if path, err = everywhere(path); err != nil {
			return nil, err
		}
		sources[i] = Source{Path: path, Rules: Rules{Priority: firstPriority, Each: true}}
	}
	return sources, nil
}

// everywhere makes a path good for any folder. It refuses a URL that may hold a
// secret: it would be kept in the database, for all workers.
func everywhere(path string) (string, error) {
	if !reader.IsURL(path) {
		return filepath.Abs(path)
	}
	if name := reader.Name(path); name != path {
		return "", fmt.Errorf("%s: this URL goes on behind its path (with ? or #), where a signature may be that others must not see, and that expires: a backfill keeps its URLs in the database for all workers. Name the file by a URL without, which the workers can read", name)
	}
	return path, nil
}

func (e Entry) place() string {
	if e.line == 0 {
		return ""
	}
	return fmt.Sprintf("manifest line %d: ", e.line)
}

// source translates an entry; the path is left out.
func (e Entry) source() (Source, error) {
	s := Source{Pool: strings.TrimSpace(e.Pool), Template: strings.TrimSpace(e.Template), Rules: Rules{Priority: defaultPriority}, place: e.place()}
	fail := func(format string, args ...any) (Source, error) {
		return s, fmt.Errorf("%s"+format, append([]any{e.place()}, args...)...)
	}
	switch {
	case e.File == "":
		return fail("the file is missing")
	case e.File == "-":
		return fail("standard input can't be uploaded piece by piece: name a file")
	case s.Pool == "" && s.Template == "":
		return fail("%s has neither pool nor pool_template: name at least one", reader.Name(e.File))
	}
	if p := strings.TrimSpace(e.Priority); p != "" {
		if len(p) != 1 || p[0] < '0'+firstPriority || p[0] > '0'+lastPriority {
			return fail("the priority is a number from %d (first) to %d (last), not %q", firstPriority, lastPriority, e.Priority)
		}
		s.Priority = int(p[0] - '0')
	}
	switch m := uploader.Mode(strings.TrimSpace(e.Mode)); m {
	case "", uploader.Async:
	case uploader.Sync:
		return fail("a backfill can't be synchronous: only asynchronous requests may be repeated by another worker and create nothing twice. Leave the mode empty")
	default:
		return fail("the mode is async, not %q", e.Mode)
	}
	if t := strings.TrimSpace(e.NotBefore); t != "" {
		var err error
		if s.NotBefore, err = time.Parse(time.RFC3339, t); err != nil {
			if s.NotBefore, err = time.Parse(time.DateOnly, t); err != nil {
				return fail("not_before is a time such as 2026-11-30T06:00:00Z or a day such as 2026-11-30, not %q", e.NotBefore)
			}
		}
	}
	for pair := range strings.SplitSeq(e.Mapping, ";") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		column, target, ok := strings.Cut(pair, "=")
		if !ok || column == "" || target == "" {
			return fail("the mapping is COLUMN=TARGET, several of them with ; between, not %q", e.Mapping)
		}
		if s.Map == nil {
			s.Map = map[string]string{}
		}
		s.Map[strings.TrimSpace(column)] = strings.TrimSpace(target)
	}
	return s, nil
}
