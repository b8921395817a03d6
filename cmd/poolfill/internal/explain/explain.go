// Package explain says what the codes of poolfill and Toloka mean, and guesses
// why rows were rejected.
//
// What goes in: a code, or the kinds of rejections of a run. What comes out:
// sentences for people. It is one table, codes.tsv, and pure functions.
package explain

import (
	_ "embed" // of the table
	"slices"
	"strings"
)

// table has a line for each code, its cells separated by tabs, below a header: those of
// inputs first, those of the server last. No cell is quoted.
//
//go:embed codes.tsv
var table string

// Where says what a code is about.
type Where string

// The subjects of codes.
const (
	File    Where = "file"    // the input as a whole; it is not read
	Header  Where = "header"  // the columns; the input is not read
	Row     Where = "row"     // the row's cells; the row is rejected
	Value   Where = "value"   // one field's value; the row is rejected
	Warning Where = "warning" // odd, and stops nothing
	Request Where = "request" // what the server says of a whole request
	Plan    Where = "plan"    // what a plan or the pool stumbles over
)

// Entry explains a code.
type Entry struct {
	Code  string `json:"code"`
	Where Where  `json:"where"`
	// Means says what is wrong, Example shows it, Do says what to do about it.
	Means   string `json:"means"`
	Example string `json:"example"`
	Do      string `json:"do"`
}

// All returns every entry, in the order of the table.
func All() []Entry {
	var all []Entry
	for line := range strings.Lines(table) {
		if cells := strings.Split(strings.TrimRight(line, "\r\n"), "\t"); len(cells) == 5 {
			all = append(all, Entry{cells[0], Where(cells[1]), cells[2], cells[3], cells[4]})
		}
	}
	return all[1:] // without the header
}

// Find returns the entry of a code, whatever the case of its letters, with blanks
// or hyphens for its underscores.
func Find(code string) (Entry, bool) {
	code = normal(code)
	for _, e := range All() {
		if e.Code == code {
			return e, true
		}
	}
	return Entry{}, false
}

// Near returns the codes that someone who wrote code perhaps meant: those that
// share a word with it, or begin like it, at most five.
func Near(code string) []string {
	const most = 5
	words := strings.Split(normal(code), "_")
	var near []string
	for _, e := range All() {
		if slices.ContainsFunc(words, func(word string) bool {
			const least = 3 // letters that say something
			return len(word) >= least && strings.Contains("_"+e.Code, "_"+word)
		}) {
			near = append(near, e.Code)
		}
	}
	return near[:min(len(near), most)]
}

func normal(code string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToUpper(strings.TrimSpace(code)))
}
