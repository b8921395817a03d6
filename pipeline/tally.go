package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"poolfill/reader/verdict"
)

// The bounds of what a tally keeps of the rejections.
const (
	maxGroups  = 1000
	maxSamples = 5
)

// CodeOther stands for the rejections that no longer have a group of their own.
const CodeOther = "OTHER"

// otherMessage is the message of CodeOther.
const otherMessage = "further kinds of rejections, not told apart here: see the file of rejected rows"

type groupKey struct {
	stage verdict.Stage
	field string
	code  string
}

// tally merges results into counts. It is pure bookkeeping: no I/O, no lock.
type tally struct {
	totals Totals
	files  map[string]*Totals
	groups map[groupKey]*Rejection

	// The file that was counted last, since rows of one file come together.
	path string
	last *Totals
}

func newTally() *tally {
	return &tally{files: make(map[string]*Totals), groups: make(map[groupKey]*Rejection)}
}

// read counts rows that were read and have no outcome yet.
func (t *tally) read(file string, rows int64) {
	t.totals.Rows += rows
	t.file(file).Rows += rows
}

// pass counts rows that a check found valid.
func (t *tally) pass(file string, rows int64) {
	t.totals.Valid += rows
	t.file(file).Valid += rows
}

// add counts the outcome of a row.
func (t *tally) add(r *verdict.Verdict) {
	t.totals.add(r.Status)
	t.file(r.Position.File).add(r.Status)
	for i := range r.Findings {
		t.group(r.Position.File, &r.Findings[i])
	}
}

// merge adds what another has counted.
func (t *tally) merge(other *tally) {
	t.totals.merge(&other.totals)
	for path, f := range other.files {
		t.file(path).merge(f)
	}
	for key, g := range other.groups {
		mine := t.groupOf(key, g.Message, g.Value)
		mine.Count += g.Count
		mine.Samples = append(mine.Samples, g.Samples[:min(len(g.Samples), maxSamples-len(mine.Samples))]...)
	}
}

func (t *tally) file(path string) *Totals {
	if t.last != nil && t.path == path {
		return t.last
	}
	f, ok := t.files[path]
	if !ok {
		f = &Totals{}
		t.files[path] = f
	}
	t.path, t.last = path, f
	return f
}

// groupOf returns the group of a kind of rejections. Those that are too many to
// have one of their own share the last.
func (t *tally) groupOf(key groupKey, message, value string) *Rejection {
	g, ok := t.groups[key]
	if ok {
		return g
	}
	if len(t.groups) >= maxGroups {
		key, message = groupKey{code: CodeOther}, otherMessage
		if g, ok = t.groups[key]; ok {
			return g
		}
	}
	g = &Rejection{Stage: string(key.stage), Field: key.field, Code: key.code, Message: message, Value: value}
	t.groups[key] = g
	return g
}

func (t *tally) group(file string, f *verdict.Finding) {
	g := t.groupOf(groupKey{f.Stage, f.Field, f.Code}, f.Message, f.Value)
	g.Count++
	if len(g.Samples) < maxSamples {
		g.Samples = append(g.Samples, fmt.Sprintf("%s:%d", file, f.Line))
	}
}

// rejections returns the groups, the largest first.
func (t *tally) rejections() []Rejection {
	all := make([]Rejection, 0, len(t.groups))
	for _, g := range t.groups {
		r := *g
		r.Samples = slices.Clone(g.Samples)
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Rejection) int {
		if a.Count != b.Count {
			return int(b.Count - a.Count)
		}
		return strings.Compare(a.Stage+"\x00"+a.Field+"\x00"+a.Code, b.Stage+"\x00"+b.Field+"\x00"+b.Code)
	})
	return all
}
