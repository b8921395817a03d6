package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/plan"
	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader"
)

func newPlanCommand(std streams) *cobra.Command {
	var (
		reading   readingFlags
		api       apiFlags
		output    outputFlags
		mode      string
		chunkSize int
		countPool bool
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
			cfg := pipeline.Config{Check: true, Mode: uploader.Mode(mode), ChunkSize: chunkSize}
			return makePlan(cmd, std, args, cfg, &reading, &api, &output, countPool)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	api.register(flags)
	flags.StringVar(&mode, "mode", "async", "async or sync, as the upload will be")
	flags.IntVar(&chunkSize, "chunk-size", 0, "the most tasks in a request (default: 5000, or a hundredth of the quota)")
	flags.BoolVar(&countPool, "count-pool", true, "count the tasks that the pool has, by one request for each 1,000 of them")
	reading.register(flags)
	output.registerState(flags)
	output.registerDisplay(flags)
	return cmd
}

// makePlan gathers what a plan is made of, and shows it.
func makePlan(cmd *cobra.Command, std streams, args []string, cfg pipeline.Config,
	reading *readingFlags, api *apiFlags, output *outputFlags, countPool bool,
) (err error) {
	display, log, err := output.display(std)
	if err != nil {
		return &usageError{err}
	}
	if cfg.Files, err = reader.Expand(args); err != nil {
		return &usageError{err}
	}
	if cfg.Reader, err = reading.config(); err != nil {
		return &usageError{err}
	}
	cfg.NoSpec, cfg.Stdin, cfg.PoolID, cfg.Log = reading.noSpec, std.in, api.pool, log
	if target, limits, targetErr := api.target(cmd.Flags()); api.pool != "" || api.emulator {
		if targetErr != nil {
			return &usageError{targetErr}
		}
		cfg.API, cfg.Limits = target, limits
		cfg.API.Log = log
	} else {
		cfg.Limits = limits // the token isn't needed
	}
	if api.emulator {
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
		if err := askServer(ctx, cfg, output, countPool, &facts); err != nil {
			if facts.Failed != nil {
				return facts.Failed // for the same reason, and said better
			}
			return err
		}
	}
	facts.Now = time.Now()
	p := plan.Make(facts)
	outcome := planOutcome(p)
	if api.emulator {
		outcome = aboutDemoProject(outcome, facts.Failed, cfg)
	}
	return errors.Join(showPlan(std.out, p, output.json), outcome)
}

// readRows counts what the inputs hold, by a check.
func readRows(ctx context.Context, cfg pipeline.Config, display *ui.Display) (plan.Facts, error) {
	facts := plan.Facts{Mode: cfg.Mode, Limits: cfg.Limits}
	cfg.Chunks = facts.Counts.Add
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
func askServer(ctx context.Context, cfg pipeline.Config, output *outputFlags, countPool bool, facts *plan.Facts) error {
	client, err := uploader.NewClient(cfg.API)
	if err != nil {
		return &usageError{err}
	}
	defer client.Close()
	pool, err := client.Pool(ctx, cfg.PoolID)
	if err != nil {
		return err
	}
	facts.Pool = &pool
	if countPool {
		n, err := client.CountTasks(ctx, cfg.PoolID)
		if err != nil {
			return err
		}
		facts.PoolTasks = &n
	}
	// What isn't said of the account is left out of the plan.
	requester, err := client.Requester(ctx)
	var refused *uploader.APIError
	if err != nil && (!errors.As(err, &refused) || refused.Status == 0 || refused.Retryable()) {
		return err
	}
	facts.Balance = requester.Balance
	facts.UsedToday, err = usedToday(ctx, cfg.API, requester.ID, cfg.Limits.Day, output)
	return err
}

// usedToday asks the ledger for the day's tasks, where there is one; nil says
// that there is none.
func usedToday(ctx context.Context, api uploader.ClientConfig, requester string, day time.Duration, output *outputFlags) (used *int64, err error) {
	dir, err := output.stateFolder()
	if err != nil {
		return nil, err
	}
	if known, err := hasLedger(output.db, dir); err != nil || !known {
		return nil, err
	}
	l, err := openLedger(ctx, output.db, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	n, err := pipeline.UsedToday(ctx, l, api, requester, day)
	if err != nil {
		return nil, err
	}
	used = new(int64)
	*used = int64(n)
	return used, nil
}

func showPlan(w io.Writer, p plan.Plan, asJSON bool) error {
	if !asJSON {
		return ui.Plan(w, p)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(p)
}

// planOutcome makes an error of what stands against the upload, for the exit
// code.
func planOutcome(p plan.Plan) error {
	switch {
	case len(p.Problems) == 1:
		return &usageError{errors.New("an upload would be stopped: mend what the plan says, and plan again")}
	case len(p.Problems) > 1:
		return &usageError{fmt.Errorf("%d things would stop an upload: mend them, and plan again", len(p.Problems))}
	case p.Rows.Rejected > 0:
		return &rejectedError{p.Rows.Rejected}
	}
	return nil
}
