package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/plan"
)

// BackfillSize says how much a backfill is, in a line.
func BackfillSize(p backfill.Plan) string {
	return fmt.Sprintf("%s rows of %d files in %d segments for %d pools",
		humanize.Comma(p.Rows()), len(p.Inputs), len(p.Layout.Pieces), len(p.Layout.Slots))
}

// backfillPlan is the JSON form of a plan.
type backfillPlan struct {
	Rows     int64              `json:"rows"`
	Files    []backfillPlanFile `json:"files"`
	Segments int                `json:"segments"`
	Pools    []backfillPlanPool `json:"pools"`
	Schedule plan.Schedule      `json:"schedule"`
}

type backfillPlanFile struct {
	Path     string `json:"path"`
	Rows     int64  `json:"rows"`
	Segments int    `json:"segments"`
}

type backfillPlanPool struct {
	Pool     string `json:"pool_id,omitempty"`
	Template string `json:"template,omitempty"`
	Rows     int64  `json:"rows"`
}

// BackfillPlan shows what a backfill will do, from now on.
func BackfillPlan(w io.Writer, p backfill.Plan, s backfill.Settings, now time.Time, asJSON bool) error {
	out := backfillPlan{Rows: p.Rows(), Segments: len(p.Layout.Pieces), Files: []backfillPlanFile{}, Pools: []backfillPlanPool{}}
	for _, in := range p.Inputs {
		f := backfillPlanFile{Path: in.Path, Segments: len(in.Ranges)}
		for _, r := range in.Ranges {
			f.Rows += r.Rows
		}
		out.Files = append(out.Files, f)
	}
	for _, slot := range p.Layout.Slots {
		out.Pools = append(out.Pools, backfillPlanPool{slot.Pool, slot.Template, slot.Rows})
	}
	out.Schedule = plan.ScheduleOf(out.Rows, s.ChunkSize, s.Limits, now)
	if asJSON {
		return encodeJSON(w, out)
	}
	fmt.Fprintf(w, "%s\n\n", BackfillSize(p))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	const most = 20
	fmt.Fprintln(table, "rows\tsegments\t  file\t")
	for i, f := range out.Files {
		if i == most {
			fmt.Fprintf(table, "\t\t  and %d more files\t\n", len(out.Files)-most)
			break
		}
		fmt.Fprintf(table, "%s\t%d\t  %s\t\n", humanize.Comma(f.Rows), f.Segments, f.Path)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i, pool := range out.Pools {
		if i == most {
			fmt.Fprintf(w, "and %d more pools\n", len(out.Pools)-most)
			break
		}
		name := "pool " + pool.Pool
		if pool.Pool == "" {
			name = "a clone of pool " + pool.Template
		}
		fmt.Fprintf(w, "%s rows go to %s\n", humanize.Comma(pool.Rows), name)
	}
	fmt.Fprintf(w, "\nIt takes at least %s", humanDuration(time.Duration(out.Schedule.Seconds*float64(time.Second))))
	if end := out.Schedule.End; end != nil {
		fmt.Fprintf(w, ", until %s", end.Format("2006-01-02 15:04 UTC"))
	}
	if out.Schedule.Days > 1 {
		fmt.Fprintf(w, ": %d days of quota", out.Schedule.Days)
	}
	_, err := fmt.Fprintln(w, ".")
	return err
}

func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// humanDuration is a duration as people say it.
func humanDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}

// BackfillProgress says in a line how far a backfill has come.
func BackfillProgress(s backfill.Status) string {
	share := 100.0
	if s.Rows > 0 {
		share = 100 * float64(s.Done()) / float64(s.Rows)
	}
	text := fmt.Sprintf("backfill %s: %.1f%%, %s of %s rows created", s.Name, share, humanize.Comma(s.Created), humanize.Comma(s.Rows))
	if s.Rejected > 0 {
		text += fmt.Sprintf(", %s rejected", humanize.Comma(s.Rejected))
	}
	if n := s.Segments[backfill.Failed]; n > 0 {
		text += fmt.Sprintf(", %d segments failed", n)
	}
	if s.Until != nil && s.Segments[backfill.Running] == 0 && s.State == backfill.Running {
		text += ", waits for the day's quota until " + s.Until.Format("2006-01-02 15:04:05 UTC")
	}
	return text
}

// BackfillStatus shows how far a backfill has come.
func BackfillStatus(w io.Writer, s backfill.Status, asJSON bool) error {
	if asJSON {
		return encodeJSON(w, s)
	}
	fmt.Fprintln(w, strings.ToUpper(BackfillProgress(s)[:1])+BackfillProgress(s)[1:])
	fmt.Fprintf(w, "%s since %s", s.State, s.Begun.Format("2006-01-02 15:04:05 UTC"))
	if s.Ended != nil {
		fmt.Fprintf(w, " until %s", s.Ended.Format("2006-01-02 15:04:05 UTC"))
	}
	fmt.Fprintf(w, "; segments: %d finished, %d under way, %d waiting, %d failed\n\n",
		s.Segments[backfill.Finished], s.Segments[backfill.Running], s.Segments[backfill.Waiting], s.Segments[backfill.Failed])
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tROWS\tCREATED\tREJECTED\t")
	for _, p := range s.Pools {
		name := p.Pool
		if name == "" {
			name = "clone of " + p.Template
		}
		mark := ""
		if p.Finished {
			mark = "finished"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, humanize.Comma(p.Rows), humanize.Comma(p.Created), humanize.Comma(p.Rejected), mark)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, t := range s.Trouble {
		begun := "once"
		if t.Attempts != 1 {
			begun = humanize.Comma(t.Attempts) + " times"
		}
		fmt.Fprintf(w, "\n%s of %s is %s, begun %s: %s\n", t.Segment, t.File, t.State, begun, t.Error)
	}
	return nil
}

// BackfillList lists backfills.
func BackfillList(w io.Writer, all []backfill.Status, asJSON bool) error {
	if asJSON {
		return encodeJSON(w, all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "There are no backfills.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BACKFILL\tBEGUN\tSTATE\tROWS\tCREATED\tREJECTED\tPOOLS")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", s.Name, s.Begun.Format("2006-01-02 15:04:05Z"), s.State,
			humanize.Comma(s.Rows), humanize.Comma(s.Created), humanize.Comma(s.Rejected), len(s.Pools))
	}
	return table.Flush()
}

// scheduleJSON is a schedule as --json prints it.
type scheduleJSON struct {
	Name   string     `json:"name"`
	Cron   string     `json:"cron"`
	Zone   string     `json:"zone"`
	Args   []string   `json:"args"`
	Server string     `json:"server"`
	Next   *time.Time `json:"next"`
	Begun  *time.Time `json:"last_begun"`
	Ended  *time.Time `json:"last_ended"`
	Run    string     `json:"last_run_id"`
	Result string     `json:"last_result"`
}

// Schedules lists schedules.
func Schedules(w io.Writer, all []backfill.Scheduled, now time.Time, asJSON bool) error {
	list := make([]scheduleJSON, 0, len(all))
	for _, s := range all {
		next, err := s.Next(now)
		one := scheduleJSON{Name: s.Name, Cron: s.Cron, Zone: s.Zone, Args: s.Args, Server: s.Server, Begun: orNil(s.Begun), Ended: orNil(s.Ended), Run: s.Run, Result: s.Result}
		if err == nil {
			one.Next = orNil(next)
		}
		list = append(list, one)
	}
	if asJSON {
		return encodeJSON(w, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "There are no schedules.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCHEDULE\tCRON\tNEXT\tLAST\tRUN\tRESULT\tUPLOAD")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Cron, s.Zone, stamp(s.Next), stamp(s.Begun), s.Run, s.Result, strings.Join(s.Args, " "))
	}
	return table.Flush()
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func stamp(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format("2006-01-02 15:04Z")
}
