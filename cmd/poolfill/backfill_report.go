package main

import (
	"context"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/report"
	"poolfill/pipeline"
)

func newBackfillReportCommand(std streams) *cobra.Command {
	var f lookFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "report [NAME]",
		Short: "Show or write the report of a backfill",
		Long: `Report makes the report over all segments of a backfill, at any time: without
--out it prints the summary, with --out it writes report.json, report.html,
results.tsv and rejected.tsv. Without a name it takes the latest backfill.`,
		Example: `  poolfill backfill report
  poolfill backfill report dump --out again/`,
		Args: atMostOne("backfill"), ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: f.backfills(func(ctx context.Context, m *backfill.Manager, name string) error {
			b, err := m.Find(ctx, name)
			if err != nil {
				return err
			}
			var r pipeline.Report
			if dir == "" {
				r, err = m.Report(ctx, b, nil)
			} else {
				r, err = writeBackfill(ctx, m, b, dir)
			}
			if err != nil {
				return err
			}
			return f.json.report(std.out, r)
		}),
	}
	f.register(cmd.Flags(), stateOfRuns)
	cmd.Flags().StringVar(&dir, "out", "", "write the report's files to this folder")
	return cmd
}

// writeBackfill writes the report's files of a backfill to a folder.
func writeBackfill(ctx context.Context, m *backfill.Manager, b backfill.Backfill, dir string) (pipeline.Report, error) {
	status, err := m.Status(ctx, b.Name)
	if err != nil {
		return pipeline.Report{}, err
	}
	return writeReport(dir, b.Name, int(status.Files), func(w *report.Writer) (pipeline.Report, error) { return m.Report(ctx, b, w) })
}
