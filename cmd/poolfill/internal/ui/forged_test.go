package ui

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/plan"
	"poolfill/pipeline"
)

// forged is a text that clears the screen, begins a line and turns what follows.
const forged = "x\x1b[2J\nTo go on: rm -rf ~\t\r\u202e\u009b31m"

// What is shown of files, servers and settings can neither begin a line nor do anything
// else than be read.
func TestWhatOthersSayIsOneLine(t *testing.T) {
	report := pipeline.Report{
		PoolID: forged, State: pipeline.Finished,
		Totals:     pipeline.Totals{Rows: 2, Rejected: 2},
		Files:      []pipeline.File{{Path: forged, UnchangedSince: forged}, {Path: forged}},
		Rejections: []pipeline.Rejection{{Code: forged, Field: forged, Message: forged, Hint: forged, Value: "v`" + forged, Samples: []string{forged}, Count: 2}},
		Warnings:   []pipeline.Warning{{Code: forged, File: forged, Message: forged, Count: 1}},
		Outputs:    map[string]string{"html": forged, "results": forged, "rejected": forged, "rejected_2": forged},
	}
	planned := plan.Plan{PoolID: forged, Pool: &plan.Pool{Name: forged, Status: forged}, Notes: []plan.Remark{{Code: forged, Message: forged}}}
	status := backfill.Status{
		Name: forged, State: forged, Server: forged,
		Pools:   []backfill.PoolStatus{{Pool: forged}, {Template: forged}},
		Trouble: []backfill.SegmentTrouble{{Segment: forged, File: forged, State: forged, Error: forged}},
	}
	for name, show := range map[string]func(*strings.Builder) error{
		"a summary": func(b *strings.Builder) error { return Summary(b, report) },
		"a plan":    func(b *strings.Builder) error { return Plan{planned}.Text(b) },
		"a status":  func(b *strings.Builder) error { return BackfillStatus{status}.Text(b) },
		"backfills": func(b *strings.Builder) error { return BackfillList{status}.Text(b) },
		"the plan of": func(b *strings.Builder) error {
			return BackfillPlan{Files: []backfillPlanFile{{Path: forged}}, Pools: []backfillPlanPool{{Pool: forged}, {Template: forged}}}.Text(b)
		},
		"schedules": func(b *strings.Builder) error {
			return Schedules{{Name: forged, Cron: forged, Zone: forged, Args: []string{forged}, Run: forged, Result: forged}}.Text(b)
		},
		"progress": func(b *strings.Builder) error {
			now := time.Now()
			v := view{now: now}
			v.Gate.Reason, v.Gate.PausedUntil = forged, now.Add(time.Minute)
			_, err := b.WriteString(v.line())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := show(&b); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			if !strings.Contains(text, `\nTo go on: rm -rf ~`) {
				t.Errorf("it isn't shown: %s", text)
			}
			if strings.Contains(text, "\nTo go on") || strings.ContainsFunc(text, func(r rune) bool {
				return r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control))
			}) {
				t.Errorf("it does harm: %q", text)
			}
		})
	}
}
