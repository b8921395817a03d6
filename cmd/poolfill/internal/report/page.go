package report

import (
	_ "embed" // of the page's template
	"fmt"
	"html/template"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/count"
	"poolfill/pipeline"
)

//go:embed page.html
var pageTemplate string

// The most that a page shows of each, so that a browser bears it. The rest is in
// the files of the run.
const (
	openGroups  = 12 // the others are behind a click
	maxGroups   = 200
	maxFiles    = 200
	maxWarnings = 50
)

// Page writes a report as a page of HTML that stands alone: it loads nothing and
// runs no script. Whatever comes from files and servers is text in it.
func Page(w io.Writer, r pipeline.Report) error { return render(w, newPage(r)) }

// LivePage writes the page of a run that goes on, at the time now; it replaces
// itself every two seconds. r is the run's Snapshot.
func LivePage(w io.Writer, r pipeline.Report, p pipeline.Progress, now time.Time) error {
	AddHints(&r)
	page := newPage(r)
	page.Live = newLive(p, now)
	return render(w, page)
}

func render(w io.Writer, p page) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// page is a report in the words of the template, which decides nothing.
type page struct {
	Title    string
	State    string // also the class of its colour
	Headline string
	Error    string
	Facts    []fact // about the run as a whole
	Live     *live  // nil of a run that has ended
	Shares   []share
	Figures  []figure
	Charts   []chart
	Groups   groups
	Verified *verified // nil where the pool was not listed at the end
	Warnings []warning
	Files    []inputFile
	Requests []fact
	Quota    []fact
	Settings []fact
	Command  string
	Outputs  []output
	Cut      cuts
}

// fact is a name and its value.
type fact struct{ Name, Value string }

// figure is a number to be seen first.
type figure struct{ Class, Value, Name, Note string }

// share is a part of the bar of all rows.
type share struct {
	Class string
	Width float64 // percent
}

// live is how far a run is.
type live struct {
	Percent float64 // 0 where it is unknown
	Done    string
	Outlook string
}

type groups struct{ First, Others []group }

type group struct {
	Code, Field, Stage, Message, Value, Hint string
	Count                                    string
	Samples                                  []string
	More                                     bool    // rows than samples
	Width                                    float64 // percent of the largest group
}

type warning struct{ File, Code, Message, Count, Lines string }

type inputFile struct {
	Path, Note string
	Counts     []fact
	Shares     []share
}

type output struct{ Name, Path, Link string }

// cuts says how much is left out.
type cuts struct{ Groups, Files, Warnings string }

func newPage(r pipeline.Report) page {
	p := page{
		State: string(r.State), Headline: headline(r), Error: r.Error,
		Shares: shares(r.Totals), Figures: figures(r), Charts: charts(r),
		Settings: settings(r), Command: r.Settings.Command, Outputs: outputs(r),
	}
	p.Title = "poolfill: " + p.Headline
	p.Facts = facts("Run", r.RunID, "Pool", r.PoolID, "Mode", r.Mode)
	if !r.Started.IsZero() {
		took := "Took"
		if r.State == pipeline.Running {
			took = "Running for"
		}
		p.Facts = append(p.Facts, facts("Started", moment(r.Started), took, duration(r.Seconds))...)
	}
	p.Groups, p.Cut.Groups = groupsOf(r.Rejections)
	p.Verified = verifiedOf(r.Verification)
	p.Warnings, p.Cut.Warnings = warningsOf(r.Warnings)
	p.Files, p.Cut.Files = filesOf(r.Files)
	if r.Requests.Sent > 0 {
		p.Requests = requests(r)
		if q := r.Quota; q.RequestsPerSecond > 0 || q.TasksPerMinute > 0 || q.TasksPerDay > 0 || q.Refused > 0 {
			p.Quota = quota(r)
		}
	}
	return p
}

// facts makes facts of names and values, without those that have no value.
func facts(pairs ...string) []fact {
	var all []fact
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all = append(all, fact{pairs[i], pairs[i+1]})
		}
	}
	return all
}

func headline(r pipeline.Report) string {
	done, what := r.Totals.Created, "uploaded"
	if r.Mode == "check" {
		done, what = r.Totals.Valid, "valid"
	}
	if r.State == pipeline.Running {
		return fmt.Sprintf("%s %s so far", count.Of(done, "row"), what)
	}
	if r.Unread {
		return fmt.Sprintf("%s of the %s read so far %s", humanize.Comma(done), count.Of(r.Totals.Rows, "row"), what)
	}
	return fmt.Sprintf("%s of %s %s", humanize.Comma(done), count.Of(r.Totals.Rows, "row"), what)
}

// outcome is a count of rows under the class of its colour.
type outcome struct {
	class string
	n     int64
}

// outcomes lists the counts of rows, what can be sure of attention first.
func outcomes(t pipeline.Totals) []outcome {
	return []outcome{{"created", t.Created}, {"valid", t.Valid}, {"duplicate", t.Duplicate}, {"unsent", t.Unsent}, {"rejected", t.Rejected}}
}

func shares(t pipeline.Totals) []share {
	var all []share
	for _, o := range outcomes(t) {
		if o.n > 0 {
			all = append(all, share{o.class, 100 * float64(o.n) / float64(max(1, t.Rows))})
		}
	}
	return all
}

func figures(r pipeline.Report) []figure {
	all := []figure{{"rows", humanize.Comma(r.Totals.Rows), "rows read", ""}}
	for _, o := range outcomes(r.Totals) {
		f := figure{o.class, humanize.Comma(o.n), o.class, percentOf(o.n, r.Totals.Rows)}
		switch o.class {
		case "created":
			if r.Mode == "check" {
				continue
			}
			if r.Earlier > 0 {
				f.Note += ", " + humanize.Comma(r.Earlier) + " of them earlier"
			}
		case "valid":
			if r.Mode != "check" {
				continue
			}
		case "duplicate", "unsent":
			if o.n == 0 {
				continue
			}
		}
		all = append(all, f)
	}
	if done := r.Totals.Created - r.Earlier + r.Totals.Valid; r.Seconds >= 1 && done > 0 {
		all = append(all, figure{"rows", short(float64(done) / r.Seconds), "rows a second", "on average"})
	}
	return all
}

// percentOf keeps few rows from looking like none, and nearly all like all.
func percentOf(n, of int64) string {
	switch percent := 100 * float64(n) / float64(max(1, of)); {
	case n == 0 || of == 0:
		return ""
	case n == of:
		return "100%"
	case percent < 0.1:
		return "under 0.1%"
	case percent > 99.9:
		return "over 99.9%"
	default:
		return threeDigits(percent) + "%"
	}
}

func newLive(p pipeline.Progress, now time.Time) *live {
	o := p.Outlook(now)
	l := &live{Percent: 100 * o.Share}
	if o.Share > 0 {
		l.Done = strconv.Itoa(int(l.Percent)) + "%"
	}
	switch wait := p.Gate.PausedUntil.Sub(now); {
	case p.Started.IsZero():
		l.Outlook = "Not a row is read yet."
	case p.Stopping:
		l.Outlook = fmt.Sprintf("Stopping: %s rows in flight are finished.", humanize.Comma(p.InFlight))
	case p.Gate.Reason != "" && wait > 0:
		l.Outlook = fmt.Sprintf("Waiting %s: %s.", duration(wait.Round(time.Second).Seconds()), p.Gate.Reason)
	case o.Left > 0:
		l.Outlook = fmt.Sprintf("About %s left, %s in flight.", duration(o.Left.Seconds()), count.Of(p.InFlight, "row"))
	default:
		l.Outlook = fmt.Sprintf("%s in flight.", count.Of(p.InFlight, "row"))
	}
	return l
}

func groupsOf(all []pipeline.Rejection) (groups, string) {
	var out groups
	if len(all) == 0 {
		return out, ""
	}
	largest := int64(1)
	for _, r := range all {
		largest = max(largest, r.Count)
	}
	shown, cut := bounded(all, maxGroups)
	for i, r := range shown {
		g := group{
			Code: r.Code, Field: r.Field, Stage: r.Stage, Message: r.Message, Value: r.Value,
			Hint: r.Hint, Count: humanize.Comma(r.Count), Samples: r.Samples, More: int64(len(r.Samples)) < r.Count,
			Width: 100 * float64(r.Count) / float64(largest),
		}
		if i < openGroups {
			out.First = append(out.First, g)
		} else {
			out.Others = append(out.Others, g)
		}
	}
	return out, cut
}

func warningsOf(all []pipeline.Warning) ([]warning, string) {
	shown, cut := bounded(all, maxWarnings)
	var out []warning
	for _, w := range shown {
		lines := make([]string, len(w.Lines))
		for i, n := range w.Lines {
			lines[i] = strconv.FormatInt(n, 10)
		}
		at := strings.Join(lines, ", ")
		if len(lines) > 0 && int64(len(lines)) < w.Count {
			at += ", …"
		}
		out = append(out, warning{w.File, w.Code, w.Message, humanize.Comma(w.Count), at})
	}
	return out, cut
}

func filesOf(all []pipeline.File) ([]inputFile, string) {
	shown, cut := bounded(all, maxFiles)
	var out []inputFile
	for _, f := range shown {
		if f.UnchangedSince != "" {
			out = append(out, inputFile{Path: f.Path, Note: "unchanged since run " + f.UnchangedSince + " uploaded it: not read again"})
			continue
		}
		about := []string{size(f.Bytes), f.Encoding}
		if f.Delimiter != "" {
			about = append(about, "separated by "+delimiter(f.Delimiter))
		}
		if f.Compression != "" {
			about = append(about, f.Compression)
		}
		row := inputFile{Path: f.Path, Note: strings.Join(about, ", "), Shares: shares(f.Totals), Counts: facts("rows", humanize.Comma(f.Rows))}
		for _, o := range outcomes(f.Totals) {
			if o.n > 0 {
				row.Counts = append(row.Counts, fact{o.class, humanize.Comma(o.n)})
			}
		}
		out = append(out, row)
	}
	return out, cut
}

func delimiter(d string) string {
	if name, ok := map[string]string{"\t": "tabs", ",": "commas", ";": "semicolons", "|": "pipes"}[d]; ok {
		return name
	}
	return d
}

// bounded returns the first of a list, and says how many are left out.
func bounded[T any](all []T, most int) ([]T, string) {
	if len(all) <= most {
		return all, ""
	}
	return all[:most], humanize.Comma(int64(len(all) - most))
}

func requests(r pipeline.Report) []fact {
	all := facts("Sent", humanize.Comma(r.Requests.Sent), "Repeated", humanize.Comma(r.Requests.Retried), "Chunks", humanize.Comma(r.Requests.Chunks))
	for _, status := range slices.Sorted(maps.Keys(r.Requests.ByStatus)) {
		all = append(all, fact{"Answered " + status, humanize.Comma(r.Requests.ByStatus[status])})
	}
	return all
}

func quota(r pipeline.Report) []fact {
	q := r.Quota
	limit := func(n float64) string {
		if n <= 0 {
			return "no limit"
		}
		return humanize.Comma(int64(n))
	}
	all := facts("Requests a second", limit(q.RequestsPerSecond), "Tasks a minute", limit(float64(q.TasksPerMinute)))
	day := limit(float64(q.TasksPerDay))
	if q.TasksPerDay > 0 {
		day = fmt.Sprintf("%s of %s used by this run", humanize.Comma(int64(q.TasksToday)), day)
	}
	all = append(all, fact{"Tasks a day", day}, fact{"Refused with 429", humanize.Comma(q.Refused)})
	if q.Until != nil {
		all = append(all, fact{"Goes on after", moment(*q.Until)})
	}
	return all
}

func settings(r pipeline.Report) []fact {
	s := r.Settings
	if r.Mode == "check" {
		return facts("Server", s.Server, "Most rejected rows", s.MaxRejected)
	}
	workers := "as many as pay"
	if s.Workers > 0 {
		workers = humanize.Comma(int64(s.Workers))
	}
	guard := map[pipeline.Guard]string{
		pipeline.GuardFile: "rows of the same file", pipeline.GuardLedger: "rows that this machine has uploaded to the pool",
		pipeline.GuardPool: "rows that are in the pool", pipeline.GuardNone: "none",
	}[s.Guard]
	invalid := map[pipeline.OnInvalid]string{pipeline.SkipInvalid: "are left out", pipeline.StopAtInvalid: "stop the run"}[s.OnInvalid]
	all := facts("Server", s.Server, "Invalid rows", invalid, "Most rejected rows", s.MaxRejected, "Not uploaded twice", guard)
	if s.ChunkSize > 0 {
		all = append(all, facts("Chunk", humanize.Comma(int64(s.ChunkSize))+" tasks", "Chunks at once", workers)...)
	}
	if s.OpenPool {
		all = append(all, fact{"Pool", "opened at the end"})
	}
	return all
}

// outputs lists the files of the run. They are in the page's folder, so their
// names alone are links.
func outputs(r pipeline.Report) []output {
	names := map[string]string{"report": "Report, for programs", "results": "Every row", "html": "This page"}
	var all []output
	for _, kind := range slices.Sorted(maps.Keys(r.Outputs)) {
		name, ok := names[kind]
		if !ok {
			name = "Rejected rows"
		}
		all = append(all, output{name, r.Outputs[kind], "./" + filepath.Base(r.Outputs[kind])})
	}
	return all
}
