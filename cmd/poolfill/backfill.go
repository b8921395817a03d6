package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/contract"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// The defaults of backfills.
const (
	defaultSegmentRows = 100_000
	defaultChunkSize   = 5000
	defaultJobs        = 2
	// What the documentation of Toloka doesn't say: slow enough for a person to
	// notice a mistake.
	defaultClonesPerMinute = 10
	defaultClonesPerDay    = 200
)

func newBackfillCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Upload many files to many pools, over days, on one machine or many",
		Long: `Backfill uploads what is too much for one run: many files, more rows than a pool
takes, more than a day's quota. Files are cut into segments, which are uploaded
piece by piece, each row once; where a pool is full, the next one is cloned from
a template. It goes on after any stop.

Without --db all state is in --state-dir, and 'backfill start' does the work
itself. With --db postgres://… any number of 'poolfill worker' share it.`,
		Example: `  poolfill backfill plan backfill.csv
  poolfill backfill start backfill.csv
  poolfill backfill start 'dump/*.tsv.gz' --pool-template 1238218 --name dump
  poolfill backfill status --watch`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackfillPlanCommand(std), newBackfillStartCommand(std), newBackfillStatusCommand(std), newBackfillListCommand(std),
		newBackfillChangeCommand(std, "pause", "Stop beginning segments until 'backfill resume'", (*backfill.Manager).Pause),
		newBackfillChangeCommand(std, "resume", "Go on with a paused backfill", (*backfill.Manager).Resume),
		newBackfillChangeCommand(std, "cancel", "End a backfill for good; what was created stays", (*backfill.Manager).Cancel),
		newBackfillRetryCommand(std), newBackfillReportCommand(std))
	return cmd
}

const manifestHelp = `A manifest is a CSV or TSV file with the columns
  file           a path or a glob, from the manifest's folder, or a URL
  pool           the pool to fill, and when it is full clones of pool_template
  pool_template  a pool to clone; without pool, all rows go to clones of it
  priority       1 (first) to 4 (last); empty is 2
  mapping        what columns are: picture=INPUT:image;note=HINT:text
  not_before     a time (2026-11-30T06:00:00Z) or a day (2026-11-30), UTC
  mode           async, the only one that a backfill has
of which file and one of the pools are needed. With --pool or --pool-template
the arguments are the files themselves. A URL has no query (?…) here, as it is
kept for all workers.`

// backfillFlags say what a backfill is.
type backfillFlags struct {
	reading         readingFlags
	api             apiFlags
	output          outputFlags
	template        string
	each            []string
	chunkSize       int
	segmentRows     int64
	poolTasks       int64
	clonesPerMinute int
	clonesPerDay    int
	openPools       bool
}

func (f *backfillFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.api.pool, "pool", "", "the pool to fill, where the arguments are files")
	flags.StringVar(&f.template, "pool-template", "", "the pool that is cloned when a pool is full, where the arguments are files")
	flags.StringSliceVar(&f.each, "each-pool", nil, "a file whose rows every pool gets, such as its control tasks (repeatable)")
	flags.Int64Var(&f.poolTasks, "pool-tasks", contract.MaxPoolTasks, "the most tasks in a pool")
	flags.Int64Var(&f.segmentRows, "segment-rows", defaultSegmentRows, "the most rows of a segment")
	flags.IntVar(&f.clonesPerMinute, "clones-per-minute", defaultClonesPerMinute, "the most pools that are cloned in a minute; 0 for no limit")
	flags.IntVar(&f.clonesPerDay, "clones-per-day", defaultClonesPerDay, "the most pools that are cloned in 24 hours; 0 for no limit")
	flags.BoolVar(&f.openPools, "open-pools", false, "open each pool when all its rows are uploaded")
	flags.IntVar(&f.chunkSize, "chunk-size", 0, "the most tasks in a request (default: 5000, or a hundredth of the quota)")
	f.api.registerServer(flags)
	f.api.registerLimits(flags)
	f.reading.register(flags)
	f.output.registerState(flags)
	f.output.registerDisplay(flags)
}

// settings translates the flags.
func (f *backfillFlags) settings(cmd *cobra.Command) (backfill.Settings, toloka.Config, error) {
	reading, err := f.reading.config()
	if err != nil {
		return backfill.Settings{}, toloka.Config{}, err
	}
	api, limits, err := f.api.target(cmd.Flags())
	if err != nil {
		return backfill.Settings{}, api, err
	}
	s := backfill.Settings{
		Server: api.BaseURL, ActUnder: api.ActUnder, Reader: reading, NoSpec: f.reading.noSpec,
		ChunkSize: f.chunkSize, SegmentRows: f.segmentRows, PoolTasks: f.poolTasks, Limits: limits,
		ClonesPerMinute: f.clonesPerMinute, ClonesPerDay: f.clonesPerDay, OpenPools: f.openPools,
	}
	if s.ChunkSize == 0 {
		// Settled here, as all workers must make the same chunks.
		s.ChunkSize = defaultChunkSize
		if limits.TasksPerMinute > 0 {
			s.ChunkSize = max(1, min(s.ChunkSize, limits.TasksPerMinute/100))
		}
	}
	switch {
	case s.SegmentRows < 1:
		err = fmt.Errorf("--segment-rows is a number from 1, not %d", s.SegmentRows)
	case s.PoolTasks < s.SegmentRows:
		err = fmt.Errorf("a segment (--segment-rows %d) has to fit into a pool (--pool-tasks %d)", s.SegmentRows, s.PoolTasks)
	case s.ClonesPerMinute < 0 || s.ClonesPerDay < 0:
		err = errors.New("a limit of clones can't be negative")
	case reading.SkipRows > 0 || reading.LimitRows > 0:
		err = errors.New("--skip-rows and --limit-rows are for a single upload: a backfill takes whole files")
	}
	return s, api, err
}

// sources gives the files that the arguments name, and those for each pool.
func (f *backfillFlags) sources(args []string) (sources, each []backfill.Source, err error) {
	var entries []backfill.Entry
	if f.api.pool == "" && f.template == "" {
		if len(args) != 1 {
			return nil, nil, errors.New("without --pool and --pool-template there is one argument, the manifest")
		}
		if entries, err = backfill.ReadManifest(args[0]); err != nil {
			return nil, nil, err
		}
	} else {
		for _, arg := range args {
			entries = append(entries, backfill.Entry{File: arg, Pool: f.api.pool, Template: f.template})
		}
	}
	if sources, err = backfill.Sources(entries); err != nil {
		return nil, nil, err
	}
	each, err = backfill.EachPool(f.each)
	return sources, each, err
}

// plan reads the files and lays them out.
func (f *backfillFlags) plan(ctx context.Context, display io.Writer, args []string, s backfill.Settings, api toloka.Config) (backfill.Plan, error) {
	sources, each, err := f.sources(args)
	if err != nil {
		return backfill.Plan{}, &usageError{err}
	}
	client, err := toloka.NewClient(api)
	if err != nil {
		return backfill.Plan{}, &usageError{err}
	}
	defer client.Close()
	plan, err := backfill.MakePlan(ctx, client, sources, each, s, func(in backfill.Input) {
		if f.output.progress != string(ui.None) {
			fmt.Fprintf(display, "poolfill: read %s\n", in.Path)
		}
	})
	var refused *toloka.Error
	switch {
	case err == nil, reader.Passing(err), errors.As(err, &refused) && (refused.Status == 0 || refused.Retryable()):
		return plan, err // which needs no change, but another try
	default:
		return plan, &usageError{err}
	}
}

func needBackfillInputs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{fmt.Errorf("no manifest: name it, or name files with --pool or --pool-template\nSee '%s --help'", cmd.CommandPath())}
	}
	return nil
}

func newBackfillPlanCommand(std streams) *cobra.Command {
	var f backfillFlags
	cmd := &cobra.Command{
		Use:   "plan MANIFEST | FILE...",
		Short: "Say what a backfill would take, without beginning it",
		Long: `Plan reads the files, asks about the pools, and says how many rows, segments,
pools and days of quota the backfill would take.

` + manifestHelp,
		Example: `  poolfill backfill plan backfill.csv
  poolfill backfill plan 'dump/*.tsv.gz' --pool-template 1238218 --json`,
		Args: needBackfillInputs,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, api, err := f.settings(cmd)
			if err != nil {
				return &usageError{err}
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			defer stopOnSignals(cancel, cancel, 0)()
			plan, err := f.plan(ctx, std.err, args, settings, api)
			if err != nil {
				return err
			}
			return ui.BackfillPlan(std.out, plan, settings, time.Now(), f.output.json)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func newBackfillStartCommand(std streams) *cobra.Command {
	var (
		f             backfillFlags
		name          string
		detach, again bool
		jobs          int
		view          liveFlags
		river         bool
		out           string
	)
	cmd := &cobra.Command{
		Use:   "start MANIFEST | FILE...",
		Short: "Begin a backfill, or go on with it",
		Long: `Start plans the backfill as 'backfill plan' does, enters it, and works at it until
it is finished. The same command again goes on with it. With --detach it only
enters it, for workers to do.

` + manifestHelp + `

Exit codes: 0 every row is uploaded; 1 it could not finish, or segments failed;
2 nothing was begun, because something must change first; 3 finished, some rows
rejected; 130 interrupted, can be continued.`,
		Example: `  poolfill backfill start backfill.csv
  poolfill backfill start 'dump/*.tsv.gz' --pool-template 1238218 --name dump --each-pool control.tsv
  poolfill backfill start backfill.csv --db postgres://db/poolfill --detach`,
		Args: needBackfillInputs,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, api, err := f.settings(cmd)
			if err != nil {
				return &usageError{err}
			}
			if jobs < 1 {
				return &usageError{fmt.Errorf("--jobs is a number from 1, not %d", jobs)}
			}
			if name == "" {
				name = backfillName(args[0])
			}
			out = cmp.Or(out, filepath.Join("poolfill-runs", name))
			if !detach {
				if err := tryFolder(out, name); err != nil {
					return err
				}
			}
			return f.output.withManager(cmd.Context(), func(at backfill.Place, m *backfill.Manager) error {
				b, err := f.begin(cmd.Context(), std, m, args, name, again, settings, api)
				if err != nil {
					return err
				}
				if detach {
					fmt.Fprintf(std.out, "Backfill %s is entered: 'poolfill worker' does it, 'poolfill backfill status %s' shows it.\n", b.Name, b.Name)
					return nil
				}
				if b.State != backfill.Running {
					fmt.Fprintf(f.output.beside(std), "Backfill %s has ended before (%s): nothing was sent this time. What came of it then:\n\n", b.Name, b.State)
				}
				w := workFlags{jobs: jobs, live: view, ui: river, grace: defaultGrace}
				err = w.work(cmd.Context(), std, &f.output, at, m, api, func(ctx context.Context) (bool, error) {
					now, err := m.Find(ctx, b.Name)
					return err == nil && now.State != backfill.Running, err
				})
				return f.conclude(cmd.Context(), std, m, b.Name, out, err)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "what the backfill is called (default: after the manifest or the first file)")
	flags.BoolVar(&detach, "detach", false, "only enter it; workers do it")
	flags.BoolVar(&again, "again", false, "begin it even if the files were uploaded to these pools before")
	flags.IntVar(&jobs, "jobs", defaultJobs, "how many segments are uploaded at once")
	flags.StringVar(&out, "out", "", "the folder for the report's files (default poolfill-runs/NAME)")
	f.register(flags)
	view.register(flags)
	flags.BoolVar(&river, "ui", false, "with --listen: serve River's own page over the jobs at /river/ too")
	return cmd
}

// backfillName makes a name of a manifest's or a file's.
func backfillName(path string) string {
	base := filepath.Base(reader.Name(path))
	base, _, _ = strings.Cut(base, ".")
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' {
			return r
		}
		return -1
	}, base)
	return cmp.Or(name, "backfill")
}

// begin enters a backfill, or finds the one that the same command has begun.
func (f *backfillFlags) begin(ctx context.Context, std streams, m *backfill.Manager, args []string, name string, again bool,
	settings backfill.Settings, api toloka.Config,
) (backfill.Backfill, error) {
	command := commandLine(withoutPassword(os.Args))
	b, err := m.Find(ctx, name)
	if err == nil {
		switch {
		case b.Command != command:
			return b, &usageError{fmt.Errorf("backfill %s was begun by another command:\n  %s\nRun that to go on with it, or choose another --name", b.Name, b.Command)}
		case b.State == backfill.Paused || b.State == backfill.Cancelled:
			return b, &usageError{fmt.Errorf("backfill %s is %s: 'poolfill backfill resume %s' goes on with a paused one; choose another --name for a new one", b.Name, b.State, b.Name)}
		}
		return b, nil
	}
	if !errors.Is(err, backfill.ErrUnknown) {
		return b, err
	}
	plan, err := f.plan(ctx, std.err, args, settings, api)
	if err != nil {
		return b, err
	}
	if !again {
		if err := m.Repeats(ctx, plan, settings); err != nil {
			return b, &usageError{err}
		}
	}
	b, err = m.Begin(ctx, name, command, settings, plan)
	if err == nil && f.output.progress != string(ui.None) {
		fmt.Fprintf(std.err, "poolfill: backfill %s begins: %s\n", name, ui.BackfillSize(plan))
	}
	return b, err
}

// conclude writes and shows the report of a backfill that was worked at.
func (f *backfillFlags) conclude(ctx context.Context, std streams, m *backfill.Manager, name, out string, worked error) error {
	b, err := m.Find(ctx, name)
	if err != nil {
		return errors.Join(worked, err)
	}
	if b.State == backfill.Running {
		return &unfinishedError{cmp.Or(worked, error(&interruptedError{"interrupted: the backfill is not finished"})), b.Command}
	}
	r, err := writeBackfill(ctx, m, b, out)
	if err != nil {
		return errors.Join(worked, err)
	}
	if err := show(std.out, r, f.output.json); err != nil {
		return errors.Join(worked, err)
	}
	if b.State == backfill.Failed {
		return errors.Join(worked, fmt.Errorf("some segments failed: 'poolfill backfill status %s' says why, 'poolfill backfill retry %s' tries them again", b.Name, b.Name))
	}
	return errors.Join(worked, outcome(r, nil))
}

// tryFolder finds out whether the report's files can be written, before the rows
// are uploaded that they tell of.
func tryFolder(dir, name string) error {
	w, err := report.Create(filepath.Clean(dir), name, 1)
	switch {
	case unusable(err):
		return &usageError{err}
	case err != nil:
		return err
	}
	return w.Discard()
}

// beside is where a remark to a report goes: before it, unless that is JSON.
func (f *outputFlags) beside(std streams) io.Writer {
	if f.json {
		return std.err
	}
	return std.out
}

// writeBackfill writes the report's files of a backfill to a folder.
func writeBackfill(ctx context.Context, m *backfill.Manager, b backfill.Backfill, dir string) (pipeline.Report, error) {
	status, err := m.Status(ctx, b.Name)
	if err != nil {
		return pipeline.Report{}, err
	}
	w, err := report.Create(filepath.Clean(dir), b.Name, int(status.Files))
	if err != nil {
		return pipeline.Report{}, err
	}
	r, err := m.Report(ctx, b, w)
	if err != nil {
		return r, errors.Join(err, w.Discard())
	}
	return w.Finish(r)
}

// withManager opens the ledger and its backfills.
func (f *outputFlags) withManager(ctx context.Context, do func(backfill.Place, *backfill.Manager) error) (err error) {
	dir, err := f.stateFolder()
	if err != nil {
		return err
	}
	l, err := openLedger(ctx, f.db, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	m, err := backfill.Manage(ctx, l)
	if err != nil {
		return err
	}
	return do(backfill.Place{Ledger: l, Postgres: f.db, Dir: dir}, m)
}

// stateFlags are those of commands that only look at the state, or change it.
type stateFlags struct {
	output outputFlags
	json   bool
}

func (f *stateFlags) register(flags *pflag.FlagSet) {
	f.output.registerState(flags)
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

func oneBackfill(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return &usageError{fmt.Errorf("%s takes one backfill\nSee '%s --help'", cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}

func newBackfillStatusCommand(std streams) *cobra.Command {
	var f stateFlags
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how far a backfill has come",
		Long:  "Status shows how far a backfill has come, pool by pool; without a name the latest.",
		Example: `  poolfill backfill status
  poolfill backfill status dump --watch`,
		Args: oneBackfill, ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				if !watch {
					s, err := m.Status(cmd.Context(), strings.Join(args, ""))
					if err != nil {
						return known(err)
					}
					return ui.BackfillStatus(std.out, s, f.json)
				}
				return watchBackfill(cmd.Context(), std, m, strings.Join(args, ""), f.json)
			})
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every few seconds until it has ended")
	return cmd
}

// watchEvery is how often a watched backfill is shown.
const watchEvery = 2 * time.Second

// watchBackfill shows a backfill until it has ended, or the user has seen enough.
func watchBackfill(ctx context.Context, std streams, m *backfill.Manager, name string, asJSON bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer stopOnSignals(cancel, cancel, 0)()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		s, err := m.Status(ctx, name)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return known(err)
		}
		if isTerminal(std.out) && !asJSON {
			fmt.Fprint(std.out, "\x1b[H\x1b[2J") // from the top of an empty screen
		}
		if err := ui.BackfillStatus(std.out, s, asJSON); err != nil {
			return err
		}
		if s.State != backfill.Running && s.State != backfill.Paused {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// known makes a usage error of a name that is unknown, or a state that doesn't fit.
func known(err error) error {
	var state *backfill.StateError
	if errors.Is(err, backfill.ErrUnknown) || errors.As(err, &state) {
		return &usageError{err}
	}
	return err
}

func newBackfillListCommand(std streams) *cobra.Command {
	var f stateFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the backfills",
		Example: `  poolfill backfill list
  poolfill backfill list --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				statuses, err := m.Statuses(cmd.Context())
				if err != nil {
					return err
				}
				return ui.BackfillList(std.out, statuses, f.json)
			})
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func newBackfillChangeCommand(std streams, verb, short string, change func(*backfill.Manager, context.Context, string) (backfill.Backfill, error)) *cobra.Command {
	var f stateFlags
	cmd := &cobra.Command{
		Use:     verb + " [NAME]",
		Short:   short,
		Long:    short + ". Without a name it is the latest backfill.",
		Example: "  poolfill backfill " + verb + "\n  poolfill backfill " + verb + " dump",
		Args:    oneBackfill, ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				b, err := change(m, cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return known(err)
				}
				return f.changed(cmd.Context(), std.out, m, b, fmt.Sprintf("Backfill %s is %s.", b.Name, b.State))
			})
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// changed says what a change came to.
func (f *stateFlags) changed(ctx context.Context, w io.Writer, m *backfill.Manager, b backfill.Backfill, text string) error {
	if !f.json {
		_, err := fmt.Fprintln(w, text)
		return err
	}
	s, err := m.Status(ctx, b.Name)
	if err != nil {
		return err
	}
	return ui.BackfillStatus(w, s, true)
}

func newBackfillRetryCommand(std streams) *cobra.Command {
	var f stateFlags
	cmd := &cobra.Command{
		Use:   "retry [NAME]",
		Short: "Try the segments again that failed",
		Example: `  poolfill backfill retry
  poolfill backfill retry dump`,
		Args: oneBackfill, ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				b, n, err := m.Retry(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return known(err)
				}
				return f.changed(cmd.Context(), std.out, m, b, fmt.Sprintf("Backfill %s: %d failed segments are tried again.", b.Name, n))
			})
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func newBackfillReportCommand(std streams) *cobra.Command {
	var f stateFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "report [NAME]",
		Short: "Show or write the report of a backfill",
		Long: `Report makes the report over all segments of a backfill, at any time: without
--out it prints the summary, with --out it writes report.json, report.html,
results.tsv and rejected.tsv. Without a name it takes the latest backfill.`,
		Example: `  poolfill backfill report
  poolfill backfill report dump --out again/`,
		Args: oneBackfill, ValidArgsFunction: completeOne(namesOfBackfills),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				b, err := m.Find(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return known(err)
				}
				var r pipeline.Report
				if dir == "" {
					r, err = m.Report(cmd.Context(), b, nil)
				} else {
					r, err = writeBackfill(cmd.Context(), m, b, dir)
				}
				if err != nil {
					return err
				}
				return show(std.out, r, f.json)
			})
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&dir, "out", "", "write the report's files to this folder")
	return cmd
}
