package ui

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/count"
	"poolfill/internal/visible"
	"poolfill/pipeline"
)

// The most rejection groups and warnings that a summary shows.
const (
	maxShownGroups   = 10
	maxShownWarnings = 5
)

// Summary writes what came of a run, to be understood at a glance.
func Summary(w io.Writer, r pipeline.Report) error {
	var b strings.Builder
	if writeUnchanged(&b, r); len(r.Files) > 0 && unchanged(r) == len(r.Files) {
		_, err := io.WriteString(w, b.String())
		return err
	}
	b.WriteString(visible.Text(headline(r)) + "\n\n")

	counts := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range []struct {
		name  string
		count int64
		shown bool
	}{
		{"created", r.Totals.Created, r.Mode != "check"},
		{"valid", r.Totals.Valid, r.Mode == "check"},
		{"rejected", r.Totals.Rejected, true},
		{"duplicate", r.Totals.Duplicate, r.Totals.Duplicate > 0},
		{"unsent", r.Totals.Unsent, r.Totals.Unsent > 0},
		{"rows", r.Totals.Rows, !r.Unread},
		{"rows read", r.Totals.Rows, r.Unread},
	} {
		if line.shown {
			visible.Fprintf(counts, "%s\t  %s\t\n", humanize.Comma(line.count), line.name)
		}
	}
	if err := counts.Flush(); err != nil {
		return err
	}
	writeRejections(&b, r.Rejections)
	writeWarnings(&b, r.Warnings)
	writeVerified(&b, r)
	if r.Requests.Sent > 0 {
		visible.Fprintf(&b, "\n%s, %s of them repeated", count.Of(r.Requests.Sent, "request"), humanize.Comma(r.Requests.Retried))
		if r.Quota.Refused > 0 {
			visible.Fprintf(&b, ", %s refused by the quota", humanize.Comma(r.Quota.Refused))
		}
		b.WriteString(".\n")
	}
	writeOutputs(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

// maxShownUnchanged is the most files that are named as unchanged.
const maxShownUnchanged = 5

// unchanged counts the files that were uploaded as they are before.
func unchanged(r pipeline.Report) int {
	n := 0
	for _, f := range r.Files {
		if f.UnchangedSince != "" {
			n++
		}
	}
	return n
}

func writeUnchanged(b *strings.Builder, r pipeline.Report) {
	n := unchanged(r)
	if n == 0 {
		return
	}
	shown := 0
	for _, f := range r.Files {
		if f.UnchangedSince == "" {
			continue
		}
		if shown++; shown > maxShownUnchanged {
			visible.Fprintf(b, "and %d more files likewise.\n", n-maxShownUnchanged)
			break
		}
		visible.Fprintf(b, "%s is unchanged since run %s uploaded it to pool %s: nothing of it was sent.\n", f.Path, f.UnchangedSince, r.PoolID)
	}
	b.WriteString("(--again uploads all rows once more.)\n\n")
}

// headline is the one sentence that matters.
func headline(r pipeline.Report) string {
	elapsed := time.Duration(r.Seconds * float64(time.Second))
	if elapsed > 10*time.Second {
		elapsed = elapsed.Round(time.Second)
	} else {
		elapsed = elapsed.Round(10 * time.Millisecond)
	}
	done, what := r.Totals.Created, "Uploaded %s of %s to "+pools(r.PoolID)+" in %s"
	if r.Mode == "check" {
		done, what = r.Totals.Valid, "Checked: %s of %s are valid (%s)"
		if r.Totals.Rows == 1 {
			what = "Checked: %s of %s is valid (%s)"
		}
	}
	rows := count.Of(r.Totals.Rows, "row")
	if r.Unread {
		rows = "the " + rows + " read so far"
	}
	if r.Mode != "check" && r.State != pipeline.Finished {
		what = map[pipeline.State]string{
			pipeline.Stopped:     "Stopped",
			pipeline.Interrupted: "Interrupted",
			pipeline.Parked:      "Parked",
			pipeline.Failed:      "Failed",
		}[r.State] + ": " + strings.ToLower(what[:1]) + what[1:]
	}
	s := fmt.Sprintf(what, humanize.Comma(done), rows, elapsed)
	if r.Mode != "check" && r.Seconds >= 1 && done > 0 {
		s += fmt.Sprintf(" (%s rows/s)", humanize.Comma(int64(float64(done)/r.Seconds)))
	}
	if r.Earlier > 0 {
		s += fmt.Sprintf("; %s of them were there from an earlier run", humanize.Comma(r.Earlier))
	}
	if r.Unread {
		s += "; the rest of the input was not read"
	}
	return s + "."
}

// pools names the pool of a report, or the several of a backfill's.
func pools(names string) string {
	if strings.Contains(names, ",") {
		return "pools " + names
	}
	return "pool " + names
}

func writeRejections(b *strings.Builder, groups []pipeline.Rejection) {
	if len(groups) == 0 {
		return
	}
	b.WriteString("\nWhy rows were rejected:\n")
	for i, g := range groups {
		if i == maxShownGroups {
			visible.Fprintf(b, "  and %s more kinds: see the report\n", humanize.Comma(int64(len(groups)-i)))
			break
		}
		visible.Fprintf(b, "%9s  %s", humanize.Comma(g.Count), g.Code)
		if g.Field != "" {
			visible.Fprintf(b, "  %s", g.Field)
		}
		visible.Fprintf(b, "  (%s)\n           %s\n           %sat %s", g.Stage, g.Message, sampleOf(g), strings.Join(g.Samples, ", "))
		if int64(len(g.Samples)) < g.Count {
			b.WriteString(", …")
		}
		if g.Hint != "" {
			visible.Fprintf(b, "\n           %s", g.Hint)
		}
		b.WriteString("\n")
	}
	visible.Fprintf(b, "More on a code: poolfill explain %s\n", groups[0].Code)
}

// sampleOf returns the first value of a group, unless its message has it.
func sampleOf(g pipeline.Rejection) string {
	quoted := strconv.Quote(g.Value)
	if g.Value == "" || strings.Contains(g.Message, g.Value) || strings.Contains(g.Message, quoted) {
		return ""
	}
	if strings.Contains(g.Value, `"`) && strconv.CanBackquote(g.Value) {
		quoted = "`" + g.Value + "`" // easier to read
	}
	return "such as " + quoted + " "
}

func writeWarnings(b *strings.Builder, warnings []pipeline.Warning) {
	if len(warnings) == 0 {
		return
	}
	b.WriteString("\nWarnings:\n")
	for i, w := range warnings {
		if i == maxShownWarnings {
			visible.Fprintf(b, "  and %s more: see the report\n", humanize.Comma(int64(len(warnings)-i)))
			break
		}
		visible.Fprintf(b, "%9s  %s  %s: %s", humanize.Comma(w.Count), w.Code, w.File, w.Message)
		if len(w.Lines) > 0 {
			visible.Fprintf(b, " (line %s", strings.Trim(fmt.Sprint(w.Lines), "[]"))
			if int64(len(w.Lines)) < w.Count {
				b.WriteString(" …")
			}
			b.WriteString(")")
		}
		b.WriteString("\n")
	}
}

func writeOutputs(b *strings.Builder, r pipeline.Report) {
	report, ok := r.Outputs["html"]
	if !ok {
		return
	}
	visible.Fprintf(b, "\nReport:         %s\nEvery row:      %s\n", report, r.Outputs["results"])
	if rejected, ok := r.Outputs["rejected"]; ok {
		visible.Fprintf(b, "Rejected rows:  %s\n", rejected)
		if _, several := r.Outputs["rejected_2"]; several {
			visible.Fprintf(b, "                and others beside it, one for each header: %s\n",
				filepath.Join(filepath.Dir(rejected), "rejected-*.tsv"))
		}
		b.WriteString("                Fix them there and upload that file: its ERROR: columns are ignored.\n")
	}
}
