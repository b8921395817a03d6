package pipeline

import (
	"bytes"
	"encoding/json"

	"poolfill/pipeline/ledger"
)

// Guard says which rows count as uploaded before.
type Guard string

// The guards. All of them count occurrences: a row that stands twice in a file
// is created twice.
const (
	// GuardFile skips the rows that earlier runs created from the same file.
	GuardFile Guard = "file"
	// GuardLedger skips the rows that any earlier run of this machine created in
	// the pool.
	GuardLedger Guard = "ledger"
	// GuardPool skips the rows whose tasks are in the pool, whoever created
	// them: by input values, solutions and hint.
	GuardPool Guard = "pool"
	// GuardNone uploads every row once more.
	GuardNone Guard = "none"
)

// plan is what a run has to do with those before it.
type plan struct {
	// resume is the run that this one continues; nil begins another.
	resume *ledger.Run
	// history has the runs whose rows are not sent again.
	history []ledger.Run
	// same has, for each file, the finished runs that have uploaded it if its
	// content is still the same; sure says that the first of them has, by the
	// file's size and time.
	same map[int][]ledger.Run
	sure map[int]bool
	// unsettled has the runs whose attempts in doubt are settled first.
	unsettled []ledger.Run
}

// decide compares a run with those that its pool has seen, the latest first.
// same says which of their files have the same bytes as one of the run.
func decide(want ledger.Run, runs []ledger.Run, same sameBytes) plan {
	p := plan{same: map[int][]ledger.Run{}, sure: map[int]bool{}}
	guard := Guard(want.Guard)
	var related []ledger.Run
	ours := indexOf(want)
	for _, r := range runs {
		if guard == GuardLedger || len(same[r.ID]) > 0 || ours.shares(r) {
			related = append(related, r)
		}
	}
	if len(related) > 0 && continues(want, related[0]) {
		p.resume = &related[0]
		related = related[1:]
	}
	if guard != GuardNone {
		p.history = baseline(want, related)
		p.unsettled = p.history
	}
	if guard == GuardPool {
		p.unsettled = runs // what they have under way would be missing in the list
	}
	if p.resume != nil || guard == GuardNone {
		return p
	}
	refused := refusedFiles{}
	for i, f := range want.Files {
		for _, r := range runs {
			if r.State != string(Finished) || !readAlike(want, r) {
				continue
			}
			for j, old := range r.Files {
				if len(f.Ends) == 0 || old.SHA256 == "" || old.Size != f.Size || !bytes.Equal(old.Ends, f.Ends) {
					continue
				}
				if refused.in(r, j) {
					continue // its refused rows are tried again
				}
				if old.Path == f.Path && old.Modified.Equal(f.Modified) {
					p.same[i], p.sure[i] = []ledger.Run{r}, true
				} else if !p.sure[i] {
					p.same[i] = append(p.same[i], r)
				}
			}
		}
	}
	return p
}

// index finds the files of a run.
type index map[string]bool

func indexOf(r ledger.Run) index {
	all := index{}
	for _, f := range r.Files {
		all["path "+f.Path] = true
		if len(f.Ends) > 0 {
			all["ends "+string(f.Ends)] = true // which are of the size, too
		}
	}
	return all
}

// shares reports whether another run has one of the files: by its path, or by its size and
// ends.
func (i index) shares(r ledger.Run) bool {
	for _, f := range r.Files {
		if i["path "+f.Path] || len(f.Ends) > 0 && i["ends "+string(f.Ends)] {
			return true
		}
	}
	return false
}

// continues reports whether a run goes on with another: the other is not
// finished, and would cut the same chunks.
func continues(want, r ledger.Run) bool {
	if r.State == string(Finished) || r.Guard != want.Guard || r.Guard == string(GuardPool) || r.Mode != want.Mode ||
		!bytes.Equal(r.Settings, want.Settings) || len(r.Files) != len(want.Files) {
		return false
	}
	for i, f := range want.Files {
		if !identityOf(f).Equal(identityOf(r.Files[i])) {
			return false
		}
	}
	return true
}

// baseline returns those of the related runs whose rows count: back to the last
// time that everything was uploaded once more on purpose. Standard input is
// another one each time, except that a run over it that did not finish is
// gone on with.
func baseline(want ledger.Run, related []ledger.Run) []ledger.Run {
	onlyStdin := len(want.Files) == 1 && want.Files[0].Path == stdinName
	for i, r := range related {
		if r.State != string(Finished) {
			continue
		}
		if Guard(r.Guard) == GuardNone {
			return related[:i+1]
		}
		if onlyStdin && Guard(want.Guard) == GuardFile {
			return related[:i]
		}
	}
	return related
}

// refusedFiles has the names of the files of runs that have rejected rows, by the run's id,
// as far as it was asked for them.
type refusedFiles map[int64]map[string]bool

// in reports whether rows of a file were rejected in a finished run.
func (f refusedFiles) in(r ledger.Run, file int) bool {
	names, known := f[r.ID]
	if !known {
		names = map[string]bool{}
		var report struct{ Files []File }
		// A report that can't be read says nothing of rejected rows: all are read again.
		unreadable := len(r.Report) > 0 && json.Unmarshal(r.Report, &report) != nil
		for _, one := range report.Files {
			names[one.Path] = one.Rejected > 0
		}
		names[""] = unreadable
		f[r.ID] = names
	}
	return names[""] || names[r.Names[file]]
}
