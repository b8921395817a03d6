package backfill

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// manifest writes files and a manifest beside them.
func manifest(t *testing.T, text string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(files, "manifest") {
		content := "INPUT:a\n1\n"
		if name == "manifest" {
			content = text
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "manifest")
}

func sources(t *testing.T, path string) ([]Source, error) {
	t.Helper()
	entries, err := ReadManifest(path)
	if err != nil {
		return nil, err
	}
	return Sources(entries)
}

func TestAManifest(t *testing.T) {
	path := manifest(t, "\ufefffile,pool,Pool_Template,priority,mapping,not_before,mode\n"+
		"a*.tsv,,9,1,url=INPUT:image; label = GOLDEN:result,2026-12-01T06:00:00Z,async\n"+
		"b.tsv,5,,,,2026-12-02,\n", "a1.tsv", "a2.tsv", "b.tsv")
	got, err := sources(t, path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	a := Source{
		Path: filepath.Join(dir, "a1.tsv"), Template: "9", place: "manifest line 2: ",
		Rules: Rules{Priority: 1, Map: map[string]string{"url": "INPUT:image", "label": "GOLDEN:result"}, NotBefore: time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)},
	}
	a2 := a
	a2.Path = filepath.Join(dir, "a2.tsv")
	b := Source{Path: filepath.Join(dir, "b.tsv"), Pool: "5", Rules: Rules{Priority: 2, NotBefore: time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)}, place: "manifest line 3: "}
	if diff := cmp.Diff([]Source{a, a2, b}, got, cmp.AllowUnexported(Source{})); diff != "" {
		t.Error(diff)
	}
}

func TestAnEmptyCellBetweenTabs(t *testing.T) {
	got, err := sources(t, manifest(t, "file\tpool\tpool_template\na.tsv\t\t9\n", "a.tsv"))
	if err != nil || len(got) != 1 || got[0].Pool != "" || got[0].Template != "9" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A folder's name is no glob, even if it looks like one.
func TestAManifestInAFolderLikeAGlob(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("globs can't say so there")
	}
	dir := filepath.Join(t.TempDir(), "[2026]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"a.tsv": "INPUT:a\n1\n", "manifest": "file,pool\n*.tsv,5\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := sources(t, filepath.Join(dir, "manifest")); err != nil || len(got) != 1 || got[0].Path != filepath.Join(dir, "a.tsv") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsWrongWithAManifest(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":          {"", "names no files"},
		"no rows":        {"file,pool\n", "names no files"},
		"unknown column": {"file,pol\na.tsv,5\n", `no column "pol"`},
		"no file column": {"pool\n5\n", "no column file"},
		"no pool":        {"file,pool\na.tsv,\n", "manifest line 2: "},
		"blank lines":    {"file,pool\n\n\na.tsv,\n", "manifest line 4: "},
		"a secret":       {"file,pool\nhttps://e.example/a?sig=SECRET,\n", "https://e.example/a has neither pool"},
		"no match":       {"file,pool\nz*.tsv,5\n", "manifest line 2: "},
		"priority":       {"file,pool,priority\na.tsv,5,9\n", "from 1 (first) to 4 (last)"},
		"mode":           {"file,pool,mode\na.tsv,5,fast\n", "the mode is async"},
		"sync":           {"file,pool,mode\na.tsv,5,sync\n", "can't be synchronous"},
		"not_before":     {"file,pool,not_before\na.tsv,5,soon\n", "not_before is a time"},
		"mapping":        {"file,pool,mapping\na.tsv,5,url\n", "COLUMN=TARGET"},
		"twice":          {"file,pool\na.tsv,5\n*.tsv,5\n", "first in manifest line 2"},
		"too many cells": {"file,pool\na.tsv,5,6\n", "wrong number of fields"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sources(t, manifest(t, test.text, "a.tsv")); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, not %q", err, test.want)
			}
		})
	}
}

func TestSchedulesComeWhenTheyAreDue(t *testing.T) {
	day := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	s := Scheduled{Cron: "0 3 * * *", Zone: "Europe/Berlin", Due: day}
	next, err := s.Next(day)
	if err != nil {
		t.Fatal(err)
	}
	// The clocks are set forward in the night to the 29th: 3:00 is 1:00 UTC.
	if want := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC); !next.Equal(want) {
		t.Errorf("next is %s, not %s", next, want)
	}
	if due, err := lastMissed(s, day); err != nil || !due.IsZero() {
		t.Errorf("due at %s already: %v", due, err)
	}
	// Of three that were missed, the last counts.
	if due, err := lastMissed(s, day.AddDate(0, 0, 3)); err != nil || !due.Equal(time.Date(2026, 3, 31, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("due at %s: %v", due, err)
	}
	for _, bad := range []Scheduled{{Cron: "soon"}, {Cron: "0 3 * * *", Zone: "Mars"}, {Cron: "0 0 30 2 *"}} {
		if _, err := bad.Next(day); err == nil {
			t.Errorf("%+v went through", bad)
		}
	}
}

func TestACronExpressionThatCantBeIsExplained(t *testing.T) {
	for expression, want := range map[string]string{
		"foo bar * * *":        `no cron expression: "foo" can't be, as the minute goes from 0 to 59; "bar" can't be, as the hour goes from 0 to 23. It has minute, hour,`,
		"0 3 * *":              "it should have five parts with blanks between them, and has 4",
		"":                     "and has 0",
		"0 24 * * *":           `"24" can't be, as the hour`,
		"0 3 0 * *":            `"0" can't be, as the day of the month`,
		"0 3 * 13 *":           `"13" can't be, as the month`,
		"0 3 * * mon-foo":      `"mon-foo" can't be, as the day of the week`,
		"@often":               "the words with @ are @hourly",
		"TZ=Mars 0 3 * * *":    "goes into --zone",
		"CRON_TZ=UTC 70 * * *": "goes into --zone",
	} {
		_, err := Scheduled{Cron: expression}.Next(time.Now())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "strconv") || strings.Contains(err.Error(), "[") {
			t.Errorf("%q: %v, want %q in it", expression, err, want)
		}
	}
}
