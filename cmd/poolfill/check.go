package main

import (
	"github.com/spf13/cobra"

	"poolfill/pipeline"
)

func newCheckCommand(std streams) *cobra.Command {
	var (
		f           runFlags
		maxRejected string
		printTasks  bool
	)
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Do everything that upload does, except sending",
		Long: `Check reads the files (or URLs) as upload does and reports on every row in the same way:
rows that would be sent have the status valid. With --pool it asks the server
for the spec; with --spec or --no-spec it needs neither network nor token.

Exit codes: 0 every row is valid; 1 reading failed; 2 the command, its settings
or the file as a whole must change first; 3 some rows would be rejected.`,
		Example: `  poolfill check tasks.tsv --pool 1238218
  poolfill check tasks.tsv --spec spec.json
  poolfill check tasks.tsv --no-spec --print-tasks | head`,
		Args: needInputs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var cfg pipeline.Config
			var err error
			if cfg.MaxRejected, err = parseMaxRejected(maxRejected); err != nil {
				return &usageError{err}
			}
			var job pipeline.Check
			if printTasks {
				job.PrintTasks = std.out
			}
			cfg.Job = job
			_, err = f.execute(cmd, std, args, cfg)
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.reading.register(flags)
	flags.BoolVar(&printTasks, "print-tasks", false, "print each valid task as it would be sent, one JSON object a line; the summary goes to standard error")
	flags.StringVar(&maxRejected, "max-rejected", "", "stop when more rows than this are rejected: a number, or a share such as 2%")
	f.api.register(flags)
	f.output.register(flags)
	return cmd
}
