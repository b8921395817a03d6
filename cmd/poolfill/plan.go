package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/plan"
	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// planFlags say what a plan is of.
type planFlags struct {
	runFlags
	countPool bool // ask for the number of the pool's tasks
}

func newPlanCommand(std streams) *cobra.Command {
	var (
		f         planFlags
		mode      string
		chunkSize int
	)
	cmd := &cobra.Command{
		Use:   "plan FILE...",
		Short: "Say what an upload would do, take and cost, without sending anything",
		Long: `Plan reads the files (or URLs) as upload does, every row of them, and says what
uploading them would mean: tasks by kind, chunks, requests, the time that the
quotas make it take, day by day if it is more than one, the room in the pool, the
share of control tasks, the cost against the account's balance, and all that would
stop it. It sends no task and writes no file. With --spec or --no-spec and without
--pool it needs neither network nor token, and tells nothing of pool and cost.

It counts every valid row, also those that were uploaded before and would be
skipped. The cost is what performers get for the general tasks, by the pool's
reward, overlap and suites; Toloka's own fee comes on top.

Exit codes: 0 nothing stands against the upload; 1 reading failed; 2 something
would stop it, or the command must change first; 3 some rows would be rejected.`,
		Example: `  poolfill plan tasks.tsv --pool 1238218
  poolfill plan 'exports/*.csv.gz' --pool 1238218 --tasks-per-day 2000000 --json
  poolfill plan tasks.tsv --no-spec`,
		Args: needInputs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg := pipeline.Config{Sending: pipeline.Sending{Mode: uploader.Mode(mode), ChunkSize: chunkSize}, Job: pipeline.Check{}}
			return f.plan(cmd, std, args, cfg)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.api.register(flags)
	flags.StringVar(&mode, "mode", "async", "async or sync, as the upload will be")
	flags.IntVar(&chunkSize, "chunk-size", 0, "the most tasks in a request (default: 2000)")
	flags.BoolVar(&f.countPool, "count-pool", true, "count the tasks that the pool has, by one request for each 1,000 of them")
	f.reading.register(flags)
	f.output.state.register(flags, stateOfRuns)
	f.output.registerDisplay(flags)
	return cmd
}

// plan gathers what a plan is made of, and shows it.
func (f *planFlags) plan(cmd *cobra.Command, std streams, args []string, cfg pipeline.Config) (err error) {
	display, err := f.prepare(std, args, &cfg)
	if err != nil {
		return err
	}
	if f.api.pool == "" && !f.api.emulator {
		_, cfg.Limits, _ = f.api.target(cmd.Flags()) // the server and the token aren't needed
	} else if err := f.aim(cmd.Flags(), &cfg); err != nil {
		return err
	}
	if f.api.emulator {
		stop, startErr := emulate(cmd.Context(), &cfg)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	defer stopOnSignals(cancel, cancel, 0)()

	facts, err := readRows(ctx, cfg, display)
	if err != nil {
		return err
	}
	if cfg.PoolID != "" {
		if err := f.askServer(ctx, cfg, &facts); err != nil {
			if facts.Failed != nil {
				return facts.Failed // for the same reason, and said better
			}
			return err
		}
	}
	facts.Now = time.Now()
	p := plan.Make(facts)
	outcome := planOutcome(p)
	if f.api.emulator {
		outcome = aboutDemoProject(outcome, facts.Failed, cfg)
	}
	return errors.Join(f.output.json.show(std.out, ui.Plan{Plan: p}), outcome)
}

// readRows counts what the inputs hold, by a check.
func readRows(ctx context.Context, cfg pipeline.Config, display *ui.Display) (plan.Facts, error) {
	facts := plan.Facts{Mode: cfg.Mode, Limits: cfg.Limits}
	cfg.Job = pipeline.Check{Chunks: facts.Counts.Add}
	p, err := pipeline.New(cfg)
	if err != nil {
		return facts, &usageError{err}
	}
	stopDisplay := display.Watch(p.Progress)
	facts.Report, err = p.Run(ctx)
	stopDisplay()
	report.AddHints(&facts.Report)
	var setup *pipeline.SetupError
	switch {
	case errors.As(err, &setup):
		facts.Failed = setup
	case err != nil:
		return facts, err
	case facts.Report.State == pipeline.Interrupted:
		return facts, &interruptedError{"interrupted"}
	}
	return facts, nil
}

// askServer asks about the pool and the account.
func (f *planFlags) askServer(ctx context.Context, cfg pipeline.Config, facts *plan.Facts) error {
	client, err := toloka.NewClient(cfg.API)
	if err != nil {
		return &usageError{err}
	}
	defer client.Close()
	pool, err := client.Pool(ctx, cfg.PoolID)
	if err != nil {
		return err
	}
	facts.Pool = &pool
	if f.countPool {
		n, err := client.Count(ctx, toloka.Tasks(), cfg.PoolID)
		if err != nil {
			return err
		}
		facts.PoolTasks = &n
	}
	// What isn't said of the account is left out of the plan.
	requester, err := client.Requester(ctx)
	var refused *toloka.Error
	if err != nil && (!errors.As(err, &refused) || refused.Status == 0 || refused.Retryable()) {
		return err
	}
	facts.Balance = requester.Balance
	facts.UsedToday, err = usedToday(ctx, f.output.state, cfg, requester.ID)
	return err
}

// usedToday asks the ledger for the day's tasks of a requester; nil where there is no
// ledger.
func usedToday(ctx context.Context, state stateFlags, cfg pipeline.Config, requester string) (used *int64, err error) {
	if known, err := state.hasLedger(); err != nil || !known {
		return nil, err
	}
	err = state.withLedger(ctx, func(l *ledger.Ledger) error {
		n, err := pipeline.UsedToday(ctx, l, cfg.API, requester, cfg.Limits.Day)
		used = new(int64(n))
		return err
	})
	return used, err
}

// planOutcome makes an error of what stands against the upload, for the exit
// code.
func planOutcome(p plan.Plan) error {
	switch {
	case len(p.Problems) == 1:
		return &usageError{errors.New("an upload would be stopped: fix what the plan says, and plan again")}
	case len(p.Problems) > 1:
		return &usageError{fmt.Errorf("%d things would stop an upload: fix them, and plan again", len(p.Problems))}
	case p.Rows.Rejected > 0:
		return &rejectedError{p.Rows.Rejected}
	}
	return nil
}
