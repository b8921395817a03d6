package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/count"
	"poolfill/cmd/poolfill/internal/plan"
	"poolfill/internal/contract"
	"poolfill/internal/visible"
)

// maxShownDays is the most days of a plan's calendar that are shown.
const maxShownDays = 10

// Plan is what an upload will do.
type Plan struct{ plan.Plan }

// Text writes it to be understood at a glance. It is part of Result.
func (p Plan) Text(w io.Writer) error {
	rows := "no rows"
	if p.Rows.Total > 0 {
		rows = fmt.Sprintf("%s of %s", humanize.Comma(p.Rows.Valid), count.Of(p.Rows.Total, "row"))
	}
	var b strings.Builder
	visible.Fprintf(&b, "Plan: %s%s.\n", rows, target(p.Plan))
	if p.Tasks.Total > 0 || p.Pool != nil {
		b.WriteString("\n")
	}
	if p.Tasks.Total > 0 {
		visible.Fprintf(&b, "Tasks    %s general, %s control, %s training\n",
			humanize.Comma(p.Tasks.General), humanize.Comma(p.Tasks.Control), humanize.Comma(p.Tasks.Training))
		visible.Fprintf(&b, "Upload   %s with at most %s, %s of JSON; at least %s in all\n",
			count.Of(p.Chunks, "chunk"), count.Of(p.LargestChunk, "task"), size(p.Bytes.Bodies), count.Of(p.Requests, "request"))
		writeSchedule(&b, p.Plan)
	}
	writeRoom(&b, p.Plan)
	if c := p.Control; c != nil {
		visible.Fprintf(&b, "Control  %.3g%% of the tasks are control tasks; Toloka advises %s\n", c.Share*100, c.Advice())
	}
	writeCost(&b, p.Plan)
	writeRejections(&b, p.Rejections)
	writeWarnings(&b, p.Warnings)
	writeRemarks(&b, "Good to know", p.Notes)
	writeRemarks(&b, "What would stop the upload", p.Problems)
	_, err := io.WriteString(w, b.String())
	return err
}

// target says where the rows would go.
func target(p plan.Plan) string {
	if p.Pool == nil {
		return ", without a pool"
	}
	return fmt.Sprintf(" to pool %s, %q, which is %s", p.PoolID, p.Pool.Name, strings.ToLower(p.Pool.Status))
}

func writeSchedule(b *strings.Builder, p plan.Plan) {
	var quotas []string
	if n := p.Quota.TasksPerMinute; n > 0 {
		quotas = append(quotas, fmt.Sprintf("%s tasks a minute", humanize.Comma(int64(n))))
	}
	if n := p.Quota.TasksPerDay; n > 0 {
		quotas = append(quotas, fmt.Sprintf("%s tasks a day", humanize.Comma(int64(n))))
	}
	if len(quotas) == 0 {
		b.WriteString("Time     no quota of tasks holds the upload up\n")
		return
	}
	limits := "the quota is " + strings.Join(quotas, " and ")
	if used := p.Quota.UsedToday; used != nil && p.Quota.TasksPerDay > 0 {
		limits += fmt.Sprintf(", and this machine has used %s of today's", humanize.Comma(*used))
	}
	s := p.Schedule
	end := "after the year 9999"
	if s.End != nil {
		end = s.End.Format("2006-01-02 15:04") + " UTC"
	}
	switch {
	case s.Days > 1 || s.Tomorrow:
		visible.Fprintf(b, "Time     %s of quota, done %s at the earliest (%s)\n", count.Of(s.Days, "day"), end, limits)
		for i, day := range s.Calendar {
			if i == maxShownDays {
				visible.Fprintf(b, "           and %s more\n", count.Of(s.Days-int64(i), "day"))
				break
			}
			visible.Fprintf(b, "           %s  %s, %s to %s\n", day.Date, count.Of(day.Tasks, "task"), day.From.Format("15:04"), day.Until.Format("15:04"))
		}
	case s.Seconds < time.Minute.Seconds():
		visible.Fprintf(b, "Time     the quotas don't hold the upload up (%s)\n", limits)
	default:
		visible.Fprintf(b, "Time     %s at least, done %s if it begins now (%s)\n",
			strings.TrimSuffix((time.Duration(s.Seconds)*time.Second).Round(time.Minute).String(), "0s"), end, limits)
	}
}

func writeRoom(b *strings.Builder, p plan.Plan) {
	switch {
	case p.Pool != nil && p.Pool.Room != nil:
		visible.Fprintf(b, "Pool     has %s and room for %s", count.Of(*p.Pool.Tasks, "task"), humanize.Comma(*p.Pool.Room))
	case p.Pools > 1:
		visible.Fprintf(b, "Pool     holds %s", count.Of(contract.MaxPoolTasks, "task"))
	default:
		return
	}
	if p.Pools > 1 {
		visible.Fprintf(b, "; at least %s for all of them", count.Of(p.Pools, "pool"))
	}
	b.WriteString("\n")
}

func writeCost(b *strings.Builder, p plan.Plan) {
	c := p.Cost
	if c == nil {
		return
	}
	least := ""
	if c.AtLeast {
		least = "at least "
	}
	visible.Fprintf(b, "Cost     %s%s × %s = %s, without Toloka's fee", least, count.Of(c.Assignments, "assignment"), c.Reward, c.Amount)
	if c.Balance != "" {
		visible.Fprintf(b, "; the balance is %s", c.Balance)
	}
	b.WriteString("\n")
}

func writeRemarks(b *strings.Builder, title string, remarks []plan.Remark) {
	if len(remarks) == 0 {
		return
	}
	visible.Fprintf(b, "\n%s:\n", title)
	for _, r := range remarks {
		visible.Fprintf(b, "  %s\n           %s\n", r.Code, r.Message)
	}
}

// size writes a number of bytes with three digits.
func size(bytes int64) string {
	const thousand = 1000
	if bytes < thousand {
		return count.Of(bytes, "byte")
	}
	n, unit := float64(bytes), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if n /= thousand; n < thousand {
			break
		}
	}
	return fmt.Sprintf("%.3g %s", n, unit)
}
