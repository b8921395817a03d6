package ui

import (
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/count"
	"poolfill/internal/visible"
	"poolfill/pipeline"
)

// maxShownDifferences is the most differences that are shown one by one.
const maxShownDifferences = 10

// Verification is what 'poolfill verify' prints.
type Verification struct {
	pipeline.Verification
	// Outputs has the path of the file with all differences.
	Outputs map[string]string `json:"outputs,omitempty"`
}

// Text is part of Result.
func (v Verification) Text(w io.Writer) error {
	var b strings.Builder
	rows := "the " + count.Of(v.Rows, "valid row")
	if v.RunID != "" {
		rows = "the " + count.Of(v.Rows, "row") + " of run " + v.RunID
	}
	if v.Well() {
		visible.Fprintf(&b, "Pool %s holds each of %s once; it has %s.\n", v.PoolID, rows, count.Of(v.Tasks, "task"))
	} else {
		visible.Fprintf(&b, "Pool %s does not hold each of %s once, and nothing else; it has %s.\n", v.PoolID, rows, count.Of(v.Tasks, "task"))
		writeDifferences(&b, v.Verification)
	}
	if v.InDoubt > 0 {
		visible.Fprintf(&b, "\nBeside them %s in doubt, and the pool has tasks for %s: run the command of the upload again.\n",
			areRows(v.InDoubt), humanize.Comma(v.Found))
	}
	if v.Rejected > 0 {
		visible.Fprintf(&b, "\n%s no valid task and not looked for: see 'poolfill check'.\n", areRows(v.Rejected))
	}
	if path := v.Outputs["verify"]; path != "" && v.Accounts.Differences() > 0 {
		visible.Fprintf(&b, "\nEvery difference: %s\n", path)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func areRows(n int64) string {
	if n == 1 {
		return "1 row is"
	}
	return count.Of(n, "row") + " are"
}

// writeDifferences writes the counts of differences and the first of them.
func writeDifferences(b *strings.Builder, v pipeline.Verification) {
	if v.Accounts.Differences() == 0 {
		return
	}
	b.WriteString("\n")
	counts := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, line := range []struct {
		n    int64
		kind pipeline.DifferenceKind
		what string
	}{
		{v.Missing, pipeline.Missing, "rows that have no task"},
		{v.Doubled, pipeline.Doubled, "tasks beyond one for each row like them"},
		{v.Changed, pipeline.Changed, "rows whose task holds something else now"},
		{v.Foreign, pipeline.Foreign, "tasks that are no row's"},
	} {
		if line.n > 0 {
			visible.Fprintf(counts, "%9s\t%s\t%s\n", humanize.Comma(line.n), line.kind, line.what)
		}
	}
	_ = counts.Flush() // a builder takes all
	b.WriteString("\n")
	for i, d := range v.Differences {
		if i == maxShownDifferences {
			visible.Fprintf(b, "  and %s more\n", humanize.Comma(v.Accounts.Differences()-int64(i)))
			break
		}
		b.WriteString("  " + DescribeDifference(d) + "\n")
	}
}

// DescribeDifference returns one line about a difference.
func DescribeDifference(d pipeline.Difference) string {
	switch {
	case d.Kind == pipeline.Foreign:
		return visible.Sprintf("foreign: task %s", d.TaskID)
	case d.Kind == pipeline.Doubled:
		return visible.Sprintf("doubled: task %s, like %s:%d", d.TaskID, d.File, d.Line)
	case d.TaskID == "":
		return visible.Sprintf("%s: %s:%d", d.Kind, d.File, d.Line)
	}
	return visible.Sprintf("%s: %s:%d, task %s", d.Kind, d.File, d.Line, d.TaskID)
}

// writeVerified says in a summary what was found at the end of a run.
func writeVerified(b *strings.Builder, r pipeline.Report) {
	v := r.Verification
	switch {
	case v == nil:
	case v.Own() > 0:
		visible.Fprintf(b, "\nVerified: pool %s does not hold each row of this run once.\n", v.PoolID)
		writeDifferences(b, *v)
		if r.Settings.OpenPool {
			b.WriteString("The pool was not opened.\n")
		}
	case v.Foreign > 0:
		visible.Fprintf(b, "\nVerified: pool %s holds each of the %s of this run once, and %s beside them that the ledger doesn't know.\n",
			v.PoolID, count.Of(v.Rows, "row"), count.Of(v.Foreign, "task"))
	default:
		visible.Fprintf(b, "\nVerified: pool %s holds each of the %s of this run once.\n", v.PoolID, count.Of(v.Rows, "row"))
	}
}
