package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/plan"
	"poolfill/internal/visible"
)

// BackfillPlan is what a backfill will do.
type BackfillPlan struct {
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

// NewBackfillPlan returns what a backfill will do, from now on.
func NewBackfillPlan(p backfill.Plan, s backfill.Settings, now time.Time) BackfillPlan {
	out := BackfillPlan{Rows: p.Rows(), Segments: len(p.Layout.Pieces), Files: []backfillPlanFile{}, Pools: []backfillPlanPool{}}
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
	return out
}

// Size says how much it is, in a line.
func (p BackfillPlan) Size() string {
	return fmt.Sprintf("%s rows of %d files in %d segments for %d pools", humanize.Comma(p.Rows), len(p.Files), p.Segments, len(p.Pools))
}

// Text is part of Result.
func (p BackfillPlan) Text(w io.Writer) error {
	visible.Fprintf(w, "%s\n\n", p.Size())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	const most = 20
	fmt.Fprintln(table, "rows\tsegments\t  file\t")
	for i, f := range p.Files {
		if i == most {
			visible.Fprintf(table, "\t\t  and %d more files\t\n", len(p.Files)-most)
			break
		}
		visible.Fprintf(table, "%s\t%d\t  %s\t\n", humanize.Comma(f.Rows), f.Segments, f.Path)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i, pool := range p.Pools {
		if i == most {
			visible.Fprintf(w, "and %d more pools\n", len(p.Pools)-most)
			break
		}
		name := "pool " + pool.Pool
		if pool.Pool == "" {
			name = "a clone of pool " + pool.Template
		}
		visible.Fprintf(w, "%s rows go to %s\n", humanize.Comma(pool.Rows), name)
	}
	visible.Fprintf(w, "\nIt takes at least %s", humanDuration(time.Duration(p.Schedule.Seconds*float64(time.Second))))
	if end := p.Schedule.End; end != nil {
		visible.Fprintf(w, ", until %s", end.Format("2006-01-02 15:04 UTC"))
	}
	if p.Schedule.Days > 1 {
		visible.Fprintf(w, ": %d days of quota", p.Schedule.Days)
	}
	_, err := fmt.Fprintln(w, ".")
	return err
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
	text := visible.Sprintf("backfill %s: %.1f%%, %s of %s rows created", s.Name, share, humanize.Comma(s.Created), humanize.Comma(s.Rows))
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

// BackfillStatus is how far a backfill has come.
type BackfillStatus struct{ backfill.Status }

// Text is part of Result.
func (s BackfillStatus) Text(w io.Writer) error {
	progress := BackfillProgress(s.Status)
	fmt.Fprintln(w, strings.ToUpper(progress[:1])+progress[1:])
	visible.Fprintf(w, "%s since %s", s.State, s.Begun.Format("2006-01-02 15:04:05 UTC"))
	if s.Ended != nil {
		visible.Fprintf(w, " until %s", s.Ended.Format("2006-01-02 15:04:05 UTC"))
	}
	visible.Fprintf(w, "; segments: %d finished, %d under way, %d waiting, %d failed\n\n",
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
		visible.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, humanize.Comma(p.Rows), humanize.Comma(p.Created), humanize.Comma(p.Rejected), mark)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, t := range s.Trouble {
		begun := "once"
		if t.Attempts != 1 {
			begun = humanize.Comma(t.Attempts) + " times"
		}
		visible.Fprintf(w, "\n%s of %s is %s, begun %s: %s\n", t.Segment, t.File, t.State, begun, t.Error)
	}
	return nil
}

// BackfillList is a list of backfills.
type BackfillList []backfill.Status

// Text is part of Result.
func (all BackfillList) Text(w io.Writer) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "There are no backfills.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BACKFILL\tBEGUN\tSTATE\tROWS\tCREATED\tREJECTED\tPOOLS")
	for _, s := range all {
		visible.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", s.Name, s.Begun.Format("2006-01-02 15:04:05Z"), s.State,
			humanize.Comma(s.Rows), humanize.Comma(s.Created), humanize.Comma(s.Rejected), len(s.Pools))
	}
	return table.Flush()
}

// Schedule is a schedule, with when it comes next and what came of it last.
type Schedule struct {
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

// Schedules is a list of schedules.
type Schedules []Schedule

// NewSchedules returns the schedules as they are now.
func NewSchedules(all []backfill.Scheduled, now time.Time) Schedules {
	list := make(Schedules, 0, len(all))
	for _, s := range all {
		next, err := s.Next(now)
		one := Schedule{Name: s.Name, Cron: s.Cron, Zone: s.Zone, Args: s.Args, Server: s.Server, Begun: orNil(s.Begun), Ended: orNil(s.Ended), Run: s.Run, Result: s.Result}
		if err == nil {
			one.Next = orNil(next)
		}
		list = append(list, one)
	}
	return list
}

// Text is part of Result.
func (list Schedules) Text(w io.Writer) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "There are no schedules.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCHEDULE\tCRON\tNEXT\tLAST\tRUN\tRESULT\tUPLOAD")
	for _, s := range list {
		visible.Fprintf(table, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Cron, s.Zone, stamp(s.Next), stamp(s.Begun), s.Run, s.Result, strings.Join(s.Args, " "))
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
