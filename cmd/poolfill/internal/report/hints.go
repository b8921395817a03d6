package report

import (
	"poolfill/cmd/poolfill/internal/explain"
	"poolfill/pipeline"
)

// AddHints fills the hints of a report's rejections: what has probably gone wrong,
// and what to do; and has its texts name the flags of the command.
func AddHints(r *pipeline.Report) {
	groups := make([]explain.Group, len(r.Rejections))
	for i, g := range r.Rejections {
		groups[i] = explain.Group{Stage: g.Stage, Field: g.Field, Code: g.Code, Value: g.Value, Count: g.Count}
	}
	for i, hint := range explain.Causes(groups, r.Totals.Rows) {
		r.Rejections[i].Hint = hint
		r.Rejections[i].Message = explain.WithFlags(r.Rejections[i].Message)
	}
	for i := range r.Warnings {
		r.Warnings[i].Message = explain.WithFlags(r.Warnings[i].Message)
	}
	r.Error = explain.WithFlags(r.Error)
}
