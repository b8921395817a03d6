package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
)

func newReportCommand(std streams) *cobra.Command {
	var f lookFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Show or write the report of a run again",
		Long: `Report makes the report of a run from the ledger, at any time: without --out it
prints the summary, with --out it writes report.json, report.html, results.tsv
and rejected.tsv again. Without a name it takes the latest run.`,
		Example: `  poolfill report
  poolfill report 5c0f --json
  poolfill report 5c0f --out again/`,
		Args:              atMostOne("run"),
		ValidArgsFunction: completeOne(namesOfRuns),
		RunE: f.runs(func(ctx context.Context, l *ledger.Ledger, name string) error {
			run, err := l.Find(ctx, name)
			if err != nil {
				return err
			}
			var r pipeline.Report
			if dir == "" {
				r, err = pipeline.Rebuild(ctx, l, run, nil)
			} else {
				r, err = writeReport(dir, run.Name, len(run.Files), func(w *report.Writer) (pipeline.Report, error) {
					return pipeline.Rebuild(ctx, l, run, w)
				})
			}
			if err != nil {
				return err
			}
			return f.json.report(std.out, r)
		}),
	}
	f.register(cmd.Flags(), stateOfLook)
	cmd.Flags().StringVar(&dir, "out", "", "write the report's files to this folder")
	return cmd
}

// writeReport writes the files of a report that is made anew to a folder.
func writeReport(dir, name string, inputs int, record func(*report.Writer) (pipeline.Report, error)) (pipeline.Report, error) {
	w, err := report.Create(filepath.Clean(dir), name, inputs)
	if err != nil {
		return pipeline.Report{}, err
	}
	r, err := record(w)
	if err != nil {
		return r, errors.Join(err, w.Discard())
	}
	return w.Finish(r)
}
