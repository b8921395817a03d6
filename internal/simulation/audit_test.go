package simulation

import (
	"fmt"
	"slices"

	"poolfill/internal/referee"
)

// auditor knows the right end: what tasks there may be, whatever happened, and what must
// be true of what the program says.
type auditor struct {
	// most is how many tasks of an identity there may be: as many as the file ever had rows.
	most map[string]int
	// now are the rows of the file as it is.
	now []row
	// quota is the server's, 0 for none.
	quota int
	// violations are what is wrong.
	violations []string
}

// version takes in a version of the file.
func (a *auditor) version(rows []row) {
	if a.most == nil {
		a.most = map[string]int{}
	}
	a.now = slices.Clone(rows)
	for id, n := range count(rows) {
		a.most[id] = max(a.most[id], n)
	}
}

// count counts the rows that are to be created.
func count(rows []row) map[string]int {
	n := map[string]int{}
	for _, r := range rows {
		if !r.bad {
			n[r.identity()]++
		}
	}
	return n
}

func (a *auditor) say(format string, args ...any) {
	a.violations = append(a.violations, fmt.Sprintf(format, args...))
}

func (a *auditor) broken() bool { return len(a.violations) > 0 }

// audit compares what the program says with what the server has.
func (a *auditor) audit(s *referee.Server, end outcome) {
	for _, r := range end.rows {
		if r.record < 1 || int(r.record) > len(a.now) {
			a.say("a row that is not there")
			return
		}
	}
	how := "told"
	if end.ok {
		how = "exit 0"
	}
	tasks := map[string]string{} // identity by id
	have := map[string]int{}
	for _, t := range s.Tasks(poolID) {
		tasks[t.ID] = t.Identity
		have[t.Identity]++
	}
	for id, n := range have {
		if n > a.most[id] {
			a.say("doubled, %s", how)
			break
		}
	}
	if end.ok {
		need := count(a.now)
		for _, r := range end.rows {
			if row := a.now[r.record-1]; r.status == "rejected" && !row.bad { // named, if wrongly
				need[row.identity()]--
			}
		}
		for id, n := range need {
			if have[id] < n {
				a.say("missing, exit 0")
				break
			}
		}
	}
	if !end.closes {
		a.say("counts don't close")
	}
	a.auditRows(tasks, end.rows)
	if a.quota > 0 && s.Refused() > 0 {
		a.say("over the quota")
	}
}

// auditRows looks at each row that the program has an end for.
func (a *auditor) auditRows(tasks map[string]string, rows []fate) {
	named := map[string]bool{}
	for _, r := range rows {
		row := a.now[r.record-1]
		switch r.status {
		case "created", "duplicate":
			switch {
			case row.bad:
				a.say("%s: a row that must be rejected", r.status)
				return
			case r.id == "":
			case tasks[r.id] != row.identity():
				a.say("%s with another row's id", r.status)
				return
			case named[r.id]:
				a.say("%s: two rows with one id", r.status)
				return
			}
			named[r.id] = true
		case "rejected":
			if !row.bad {
				a.say("a valid row is rejected")
				return
			}
		}
	}
}
