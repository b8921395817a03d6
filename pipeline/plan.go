package pipeline

import (
	"bytes"

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
	// related says that there are earlier runs of these files at all.
	related bool
}

// decide compares a run with those that its pool has seen, the latest first.
func decide(want ledger.Run, runs []ledger.Run) plan {
	p := plan{same: map[int][]ledger.Run{}, sure: map[int]bool{}}
	guard := Guard(want.Guard)
	var related []ledger.Run
	for _, r := range runs {
		if guard == GuardLedger || sharesFile(want, r) {
			related = append(related, r)
		}
	}
	p.related = len(related) > 0
	if p.related && continues(want, related[0]) {
		p.resume = &related[0]
		related = related[1:]
	}
	if guard == GuardFile || guard == GuardLedger {
		p.history = baseline(want, related)
		p.unsettled = p.history
	}
	if guard == GuardPool {
		p.unsettled = runs // what they have under way would be missing in the list
	}
	if p.resume != nil || guard == GuardNone {
		return p
	}
	for i, f := range want.Files {
		for _, r := range runs {
			if r.State != string(Finished) || !bytes.Equal(r.Settings, want.Settings) {
				continue
			}
			for _, old := range r.Files {
				if len(f.Ends) == 0 || old.SHA256 == "" || old.Size != f.Size || !bytes.Equal(old.Ends, f.Ends) {
					continue
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

// sharesFile reports whether two runs have a file in common: by its path, or
// by its size and ends.
func sharesFile(a, b ledger.Run) bool {
	for _, f := range a.Files {
		for _, g := range b.Files {
			if f.Path == g.Path || len(f.Ends) > 0 && f.Size == g.Size && bytes.Equal(f.Ends, g.Ends) {
				return true
			}
		}
	}
	return false
}

// continues reports whether a run goes on with another: the other is not
// finished, and would cut the same chunks.
func continues(want, r ledger.Run) bool {
	if r.State == string(Finished) || r.Guard != want.Guard || r.Guard == string(GuardPool) ||
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
