package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"poolfill/pipeline/ledger"
)

// fileAs gives a file as the ledger knows it. Equal contents are equal files.
func fileAs(path, content string, modified int64) ledger.File {
	return ledger.File{Path: path, Size: int64(len(content)), Ends: []byte(content), Modified: time.Unix(modified, 0)}
}

var stdinFile = ledger.File{Path: stdinName}

// wanted is a run that is about to begin.
func wanted(guard Guard, files ...ledger.File) ledger.Run {
	return ledger.Run{Guard: string(guard), Settings: []byte("settings"), Files: files}
}

// earlier is a run that the ledger has.
func earlier(name, state string, guard Guard, files ...ledger.File) ledger.Run {
	r := wanted(guard, files...)
	r.Name, r.State = name, state
	if state == string(Finished) {
		r.Files = append([]ledger.File(nil), files...)
		for i := range r.Files {
			r.Files[i].SHA256 = "sum of " + string(r.Files[i].Ends)
		}
	}
	return r
}

func withSettings(r ledger.Run, settings string) ledger.Run {
	r.Settings = []byte(settings)
	return r
}

// decision is a plan in names.
type decision struct {
	Resume             string
	History, Unsettled []string
	Same               map[int][]string
	Sure               map[int]bool
	Related            bool
}

func decisionOf(p plan) decision {
	d := decision{History: names(p.history), Unsettled: names(p.unsettled), Related: p.related}
	if p.resume != nil {
		d.Resume = p.resume.Name
	}
	for i, runs := range p.same {
		if d.Same == nil {
			d.Same = map[int][]string{}
		}
		d.Same[i] = names(runs)
	}
	for i, sure := range p.sure {
		if d.Sure == nil {
			d.Sure = map[int]bool{}
		}
		d.Sure[i] = sure
	}
	return d
}

func names(runs []ledger.Run) (list []string) {
	for _, r := range runs {
		list = append(list, r.Name)
	}
	return list
}

func TestDecide(t *testing.T) {
	const (
		running  = ledger.Running
		finished = string(Finished)
	)
	a, b := fileAs("/a.tsv", "aaa", 1), fileAs("/b.tsv", "bbbb", 1)
	again := func(names ...string) decision { return decision{History: names, Unsettled: names, Related: true} }
	tests := []struct {
		name string
		want ledger.Run
		runs []ledger.Run // the latest first
		is   decision
	}{
		{"the first run", wanted(GuardFile, a), nil, decision{}},
		{"a run of another file", wanted(GuardFile, b), []ledger.Run{earlier("1", running, GuardFile, a)}, decision{}},

		{"killed", wanted(GuardFile, a), []ledger.Run{earlier("1", running, GuardFile, a)}, decision{Resume: "1", Related: true}},
		{"interrupted", wanted(GuardFile, a), []ledger.Run{earlier("1", string(Interrupted), GuardFile, a)}, decision{Resume: "1", Related: true}},
		{"failed", wanted(GuardFile, a), []ledger.Run{earlier("1", string(Failed), GuardFile, a)}, decision{Resume: "1", Related: true}},
		{"parked", wanted(GuardFile, a), []ledger.Run{earlier("1", string(Parked), GuardFile, a)}, decision{Resume: "1", Related: true}},
		{"rows left unsent", wanted(GuardFile, a), []ledger.Run{earlier("1", incomplete, GuardFile, a)}, decision{Resume: "1", Related: true}},
		{"killed, two files", wanted(GuardFile, a, b), []ledger.Run{earlier("1", running, GuardFile, a, b)}, decision{Resume: "1", Related: true}},
		{
			"killed, the file moved with its time", wanted(GuardFile, fileAs("/moved.tsv", "aaa", 1)),
			[]ledger.Run{earlier("1", running, GuardFile, a)},
			decision{Resume: "1", Related: true},
		},
		{
			"killed after earlier runs", wanted(GuardFile, a),
			[]ledger.Run{earlier("3", running, GuardFile, a), earlier("2", finished, GuardFile, a), earlier("1", finished, GuardFile, fileAs("/a.tsv", "a", 0))},
			decision{Resume: "3", History: []string{"2", "1"}, Unsettled: []string{"2", "1"}, Related: true},
		},
		{
			"killed, then a run of another file", wanted(GuardFile, a),
			[]ledger.Run{earlier("2", running, GuardFile, b), earlier("1", running, GuardFile, a)},
			decision{Resume: "1", Related: true},
		},

		{"other settings", withSettings(wanted(GuardFile, a), "others"), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"another guard", wanted(GuardLedger, a), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"touched", wanted(GuardFile, fileAs("/a.tsv", "aaa", 2)), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"grown", wanted(GuardFile, fileAs("/a.tsv", "aaaa", 2)), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"grown, with its old time", wanted(GuardFile, fileAs("/a.tsv", "aaaa", 1)), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"edited, with its old time", wanted(GuardFile, fileAs("/a.tsv", "axa", 1)), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"moved and touched", wanted(GuardFile, fileAs("/moved.tsv", "aaa", 2)), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"one of the files", wanted(GuardFile, a), []ledger.Run{earlier("1", running, GuardFile, a, b)}, again("1")},
		{"one more file", wanted(GuardFile, a, b), []ledger.Run{earlier("1", running, GuardFile, a)}, again("1")},
		{"the files in another order", wanted(GuardFile, b, a), []ledger.Run{earlier("1", running, GuardFile, a, b)}, again("1")},
		{
			"killed, but not the latest of the file", wanted(GuardFile, a),
			[]ledger.Run{earlier("2", running, GuardFile, fileAs("/a.tsv", "aaaa", 2)), earlier("1", running, GuardFile, a)},
			again("2", "1"),
		},

		{
			"finished", wanted(GuardFile, a),
			[]ledger.Run{earlier("1", finished, GuardFile, a)},
			decision{History: []string{"1"}, Unsettled: []string{"1"}, Same: map[int][]string{0: {"1"}}, Sure: map[int]bool{0: true}, Related: true},
		},
		{
			"finished and touched", wanted(GuardFile, fileAs("/a.tsv", "aaa", 2)),
			[]ledger.Run{earlier("1", finished, GuardFile, a)},
			decision{History: []string{"1"}, Unsettled: []string{"1"}, Same: map[int][]string{0: {"1"}}, Related: true},
		},
		{
			"a copy of what was finished", wanted(GuardFile, fileAs("/copy.tsv", "aaa", 1)),
			[]ledger.Run{earlier("1", finished, GuardFile, a)},
			decision{History: []string{"1"}, Unsettled: []string{"1"}, Same: map[int][]string{0: {"1"}}, Related: true},
		},
		{
			"finished as a copy and as itself", wanted(GuardFile, a),
			[]ledger.Run{earlier("2", finished, GuardFile, fileAs("/copy.tsv", "aaa", 2)), earlier("1", finished, GuardFile, a)},
			decision{History: []string{"2", "1"}, Unsettled: []string{"2", "1"}, Same: map[int][]string{0: {"1"}}, Sure: map[int]bool{0: true}, Related: true},
		},
		{
			"finished, and a new file", wanted(GuardFile, b, a),
			[]ledger.Run{earlier("1", finished, GuardFile, a)},
			decision{History: []string{"1"}, Unsettled: []string{"1"}, Same: map[int][]string{1: {"1"}}, Sure: map[int]bool{1: true}, Related: true},
		},
		{"finished with other settings", withSettings(wanted(GuardFile, a), "others"), []ledger.Run{earlier("1", finished, GuardFile, a)}, again("1")},
		{"finished, grown since", wanted(GuardFile, fileAs("/a.tsv", "aaaa", 2)), []ledger.Run{earlier("1", finished, GuardFile, a)}, again("1")},

		{"--again after a finished run", wanted(GuardNone, a), []ledger.Run{earlier("1", finished, GuardFile, a)}, decision{Related: true}},
		{"--again after a killed run", wanted(GuardNone, a), []ledger.Run{earlier("1", running, GuardFile, a)}, decision{Related: true}},
		{"--again after a finished --again", wanted(GuardNone, a), []ledger.Run{earlier("1", finished, GuardNone, a)}, decision{Related: true}},
		{"--again after a killed --again", wanted(GuardNone, a), []ledger.Run{earlier("1", running, GuardNone, a)}, decision{Resume: "1", Related: true}},
		{
			"after a finished --again", wanted(GuardFile, fileAs("/a.tsv", "aaaa", 2)),
			[]ledger.Run{earlier("3", finished, GuardFile, a), earlier("2", finished, GuardNone, a), earlier("1", finished, GuardFile, a)},
			again("3", "2"),
		},
		{
			"after a killed --again", wanted(GuardFile, fileAs("/a.tsv", "aaaa", 2)),
			[]ledger.Run{earlier("2", running, GuardNone, a), earlier("1", finished, GuardFile, a)},
			again("2", "1"),
		},

		{"standard input after a finished one", wanted(GuardFile, stdinFile), []ledger.Run{earlier("1", finished, GuardFile, stdinFile)}, decision{Related: true}},
		{"standard input after a killed one", wanted(GuardFile, stdinFile), []ledger.Run{earlier("1", running, GuardFile, stdinFile)}, again("1")},
		{
			"standard input after several", wanted(GuardFile, stdinFile),
			[]ledger.Run{earlier("4", running, GuardFile, stdinFile), earlier("3", incomplete, GuardFile, stdinFile), earlier("2", finished, GuardFile, stdinFile), earlier("1", running, GuardFile, stdinFile)},
			again("4", "3"),
		},
		{"standard input after a file", wanted(GuardFile, stdinFile), []ledger.Run{earlier("1", finished, GuardFile, a)}, decision{}},
		{"standard input with --dedupe", wanted(GuardLedger, stdinFile), []ledger.Run{earlier("1", finished, GuardLedger, stdinFile)}, again("1")},

		{"--dedupe over other files", wanted(GuardLedger, b), []ledger.Run{earlier("2", finished, GuardFile, a), earlier("1", running, GuardFile, a)}, again("2", "1")},
		{"--dedupe after a killed one", wanted(GuardLedger, a), []ledger.Run{earlier("1", running, GuardLedger, a)}, decision{Resume: "1", Related: true}},
		{
			"--dedupe=pool after a killed one", wanted(GuardPool, a),
			[]ledger.Run{earlier("2", running, GuardPool, a), earlier("1", finished, GuardFile, b)},
			decision{Unsettled: []string{"2", "1"}, Related: true},
		},
		{
			"--dedupe=pool over other files", wanted(GuardPool, a),
			[]ledger.Run{earlier("1", running, GuardFile, b)},
			decision{Unsettled: []string{"1"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.is, decisionOf(decide(tt.want, tt.runs))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContinuesNeedsEveryFileToBeKnown(t *testing.T) {
	a := fileAs("/a.tsv", "aaa", 1)
	if !continues(wanted(GuardFile, a), earlier("1", ledger.Running, GuardFile, a)) {
		t.Error("a killed run of the same file is not continued")
	}
	// Neither has a hash: that makes them no more equal.
	if continues(wanted(GuardFile, stdinFile), earlier("1", ledger.Running, GuardFile, stdinFile)) {
		t.Error("a run over standard input is continued")
	}
	if continues(wanted(GuardFile, a, stdinFile), earlier("1", ledger.Running, GuardFile, a, stdinFile)) {
		t.Error("a run partly over standard input is continued")
	}
	if continues(wanted(GuardPool, a), earlier("1", ledger.Running, GuardPool, a)) {
		t.Error("a run that was cut by the pool's tasks is continued")
	}
}

func TestSharesFile(t *testing.T) {
	a, b := fileAs("/a.tsv", "aaa", 1), fileAs("/b.tsv", "bbbb", 1)
	fifo := ledger.File{Path: "/fifo"}
	for name, tt := range map[string]struct {
		left, right []ledger.File
		want        bool
	}{
		"nothing":                    {nil, nil, false},
		"the same":                   {[]ledger.File{a}, []ledger.File{a}, true},
		"one of two":                 {[]ledger.File{a}, []ledger.File{b, a}, true},
		"the path alone":             {[]ledger.File{a}, []ledger.File{fileAs("/a.tsv", "other", 9)}, true},
		"the content alone":          {[]ledger.File{a}, []ledger.File{fileAs("/else.tsv", "aaa", 9)}, true},
		"neither":                    {[]ledger.File{a}, []ledger.File{b}, false},
		"the size, other content":    {[]ledger.File{a}, []ledger.File{fileAs("/x.tsv", "xxx", 1)}, false},
		"two without a hash":         {[]ledger.File{fifo}, []ledger.File{stdinFile}, false},
		"standard input both times":  {[]ledger.File{stdinFile}, []ledger.File{stdinFile}, true},
		"standard input beside a, b": {[]ledger.File{stdinFile, a}, []ledger.File{b}, false},
	} {
		t.Run(name, func(t *testing.T) {
			left, right := ledger.Run{Files: tt.left}, ledger.Run{Files: tt.right}
			if sharesFile(left, right) != tt.want || sharesFile(right, left) != tt.want {
				t.Errorf("want %v both ways", tt.want)
			}
		})
	}
}

func TestBaseline(t *testing.T) {
	a := fileAs("/a.tsv", "aaa", 1)
	runs := []ledger.Run{
		earlier("5", ledger.Running, GuardFile, a), earlier("4", string(Finished), GuardFile, a), earlier("3", ledger.Running, GuardNone, a),
		earlier("2", string(Finished), GuardNone, a), earlier("1", string(Finished), GuardFile, a),
	}
	for name, tt := range map[string]struct {
		want ledger.Run
		is   []string
	}{
		"a file goes back to the last --again": {wanted(GuardFile, a), []string{"5", "4", "3", "2"}},
		"so does --dedupe":                     {wanted(GuardLedger, a), []string{"5", "4", "3", "2"}},
		"standard input to its last end":       {wanted(GuardFile, stdinFile), []string{"5"}},
		"but not with --dedupe":                {wanted(GuardLedger, stdinFile), []string{"5", "4", "3", "2"}},
		"nor beside a file":                    {wanted(GuardFile, stdinFile, a), []string{"5", "4", "3", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.is, names(baseline(tt.want, runs))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// However often keys are alike, each task is given away once, in the order in
// which they were added.
func TestEachKnownTaskIsClaimedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Custom(func(t *rapid.T) [16]byte {
			return [16]byte{byte(rapid.IntRange(0, 3).Draw(t, "first")), 15: byte(rapid.IntRange(0, 2).Draw(t, "last"))}
		})
		var k known
		left := map[[16]byte][]string{}
		for i, added := range rapid.SliceOfN(key, 0, 40).Draw(t, "added") {
			id := strings.Repeat(fmt.Sprint(i), i%4) // some ids are not known
			k.add(added, id)
			left[added] = append(left[added], id)
		}
		k.sort()
		for _, asked := range rapid.SliceOfN(key, 0, 120).Draw(t, "asked") {
			id, ok := k.claim(asked)
			if ok != (len(left[asked]) > 0) {
				t.Fatalf("key %v: claimed is %v, with %d left", asked, ok, len(left[asked]))
			}
			if !ok {
				continue
			}
			if id != left[asked][0] {
				t.Fatalf("key %v: claimed %q, want %q", asked, id, left[asked][0])
			}
			left[asked] = left[asked][1:]
		}
	})
}
