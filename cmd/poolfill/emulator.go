package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"poolfill/internal/contract"
	"poolfill/internal/emulator"
	"poolfill/internal/visible"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

func newEmulatorCommand(std streams) *cobra.Command {
	var (
		listen, spec, tokenFile, faults, latency, state string
		pools                                           []string
		seed                                            uint64
		operationTime                                   time.Duration
		limits                                          emulator.Limits
	)
	cmd := &cobra.Command{
		Use: "emulator",
		// Settings are about an account, not about a stand-in for one.
		Annotations: map[string]string{flagsOnly: "yes"},
		Short:       "Run a local Toloka to try uploads on",
		Long: `Emulator serves the part of the Toloka API that filling pools needs: projects,
pools, tasks, operations and their logs, with Toloka's limits, validation and
errors. It prints its base URL as the first line and runs until Ctrl-C.

It comes up with project 1 and these pools: 1 is open; 2 has no smart mixing, 3
is archived, 4 is a training, 5 is closed; --pools adds open ones with the ids of
your own. Any token is good, unless --token-file names one. GET /emulator/stats
counts what it was asked.

--faults makes requests fail with the given probabilities, in an order that
--seed repeats. A fault is [kind of request:]name=probability[:delay]. The names:
lost (carried out, no answer), reset (nothing is done), trunc (the answer breaks
off), slow, hang, 429 429min 429hour 429day, any status from 400 to 599, and a
status with html, such as 502html. The kinds of request: post, list, operation,
log, pool, project, other; without one, all.

Operations and their logs have faults of their own. Those of asynchronous
POST /tasks: opfail (the operation ends in FAIL, creates nothing and burns its
id), opstuck (it runs for ever), opvanish (it was accepted, but is not found,
creates nothing, and its id is free). Those of the log: logarchived (it is
archived), loglacks (it lacks entries the first time it is read).`,
		Example: `  poolfill emulator &
  TOLOKA_TOKEN=any poolfill upload tasks.tsv --url http://127.0.0.1:8090 --pool 1

  poolfill emulator --spec spec.json --faults lost=0.1,502html=0.05,429=0.02 --seed 7`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misuse(cmd, "emulator takes no arguments, only flags")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := emulator.Config{Pools: pools, Seed: seed, OperationTime: operationTime, State: state, Limits: withoutZeros(limits)}
			var errs []error
			var err error
			if spec != "" {
				if cfg.Spec, err = os.ReadFile(spec); err != nil {
					errs = append(errs, fmt.Errorf("the spec can't be read: %w", err))
				}
			}
			if tokenFile != "" {
				if cfg.Token, err = readToken(tokenFile); err != nil {
					errs = append(errs, err)
				}
			}
			if cfg.Faults, err = emulator.ParseFaults(faults); err != nil {
				errs = append(errs, err)
			}
			if cfg.MinLatency, cfg.MaxLatency, err = parseLatency(latency); err != nil {
				errs = append(errs, err)
			}
			if err := errors.Join(errs...); err != nil {
				return &usageError{err}
			}
			return serveEmulator(cmd.Context(), std, cfg, listen)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&listen, "listen", "127.0.0.1:8090", "the address to listen on; port 0 picks a free one")
	flags.StringVar(&spec, "spec", "", "a JSON file with the spec of project 1")
	flags.StringSliceVar(&pools, "pools", nil, "the ids of further open pools, separated by commas")
	flags.StringVar(&tokenFile, "token-file", "", "a file that holds the only good token")
	flags.StringVar(&state, "state", "", "a file that keeps everything over a restart")
	flags.StringVar(&faults, "faults", "", "what goes wrong how often: name=probability,…")
	flags.Uint64Var(&seed, "seed", 1, "repeats the same faults for the same order of requests")
	flags.StringVar(&latency, "latency", "0s", "the delay of each answer: a duration, or a range such as 50ms..200ms")
	flags.DurationVar(&operationTime, "operation-time", 0, "how long an operation takes")
	flags.IntVar(&limits.RequestsPerSecond, "requests-per-second", contract.RequestsPerSecond, "refuse more requests; 0 for no limit")
	flags.IntVar(&limits.TasksPerMinute, "tasks-per-minute", contract.TasksPerMinute, "refuse more tasks in a minute; 0 for no limit")
	flags.IntVar(&limits.TasksPerDay, "tasks-per-day", contract.TasksPerDay, "refuse more tasks in a day; 0 for no limit")
	flags.IntVar(&limits.TasksSync, "tasks-sync", contract.MaxTasksSync, "the most tasks in a synchronous request; 0 for no limit")
	flags.IntVar(&limits.TasksAsync, "tasks-async", contract.MaxTasksAsync, "the most tasks in an asynchronous request; 0 for no limit")
	flags.IntVar(&limits.InputBytes, "input-bytes", contract.MaxInputBytes, "the most bytes of input_values in a request; 0 for no limit")
	flags.IntVar(&limits.OutputBytes, "output-bytes", contract.MaxOutputBytes, "the most bytes of output_values in a request; 0 for no limit")
	flags.IntVar(&limits.PoolTasks, "pool-tasks", contract.MaxPoolTasks, "the most tasks in a pool; 0 for no limit")
	flags.DurationVar(&limits.Minute, "minute", time.Minute, "how long the minute of --tasks-per-minute lasts")
	flags.DurationVar(&limits.Day, "day", 24*time.Hour, "how long the day of --tasks-per-day lasts")
	flags.BoolVar(&limits.Calendar, "calendar-day", false, "begin a new day at each multiple of --day (UTC), instead of counting back from now")
	return cmd
}

// withoutZeros translates the command line's 0, no limit, into the emulator's.
func withoutZeros(l emulator.Limits) emulator.Limits {
	for _, limit := range []*int{
		&l.RequestsPerSecond, &l.TasksPerMinute, &l.TasksPerDay, &l.TasksSync, &l.TasksAsync, &l.InputBytes, &l.OutputBytes, &l.PoolTasks,
	} {
		if *limit == 0 {
			*limit = emulator.NoLimit
		}
	}
	return l
}

// parseLatency reads "100ms" or "50ms..200ms".
func parseLatency(s string) (least, most time.Duration, err error) {
	from, to, isRange := strings.Cut(s, "..")
	if !isRange {
		to = from
	}
	least, err = time.ParseDuration(from)
	if err == nil {
		most, err = time.ParseDuration(to)
	}
	if err != nil || least < 0 || most < least {
		return 0, 0, fmt.Errorf("--latency is a duration such as 100ms, or a range such as 50ms..200ms, not %q", s)
	}
	return least, most, nil
}

// serveEmulator serves until a signal comes.
func serveEmulator(ctx context.Context, std streams, cfg emulator.Config, listen string) error {
	server, err := emulator.New(cfg)
	if err != nil {
		return &usageError{err}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return errors.Join(&usageError{fmt.Errorf("the emulator can't listen on %s: %w; choose another address with --listen, where port 0 picks a free one", listen, err)}, server.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer stopOnSignals(cancel, cancel, 0)()
	visible.Fprintf(std.out, "http://%s\n", listener.Addr())
	open := append([]string{server.DemoPool()}, cfg.Pools...)
	visible.Fprintf(std.err, "poolfill emulator: %s open; Ctrl-C ends it\n", poolsAre(open))
	return errors.Join(serve(ctx, server, listener), server.Close())
}

// poolsAre names open pools, at most a few of them.
func poolsAre(ids []string) string {
	const most = 10
	if len(ids) == 1 {
		return "pool " + ids[0] + " is"
	}
	if more := len(ids) - most; more > 0 {
		ids = append(ids[:most:most], fmt.Sprintf("%d more", more))
	}
	return "pools " + english.WordSeries(ids, "and") + " are"
}

// serve answers requests until ctx is cancelled.
func serve(ctx context.Context, handler http.Handler, listener net.Listener) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the emulator stopped: %w", err)
	}
	return nil
}

// emulate starts an emulator in this process and points the run at it. It has
// no quotas: what a run uploads to it costs nobody anything.
func emulate(ctx context.Context, cfg *pipeline.Config) (stop func() error, err error) {
	ec := emulator.Config{Limits: emulator.Limits{
		RequestsPerSecond: emulator.NoLimit, TasksPerMinute: emulator.NoLimit, TasksPerDay: emulator.NoLimit,
	}}
	if cfg.PoolID != "" {
		ec.Pools = []string{cfg.PoolID} // it has a pool of that id, so that a command can be tried as it stands
	}
	switch {
	case cfg.Reader.Spec != nil:
		ec.Spec, err = json.Marshal(cfg.Reader.Spec)
	case cfg.NoSpec:
		ec.Spec, err = looseSpec(ctx, cfg.Files, cfg.Reader)
	}
	if err != nil {
		return nil, err
	}
	server, err := emulator.New(ec)
	if err != nil {
		return nil, &usageError{fmt.Errorf("the emulator can't start: %w", err)}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the run
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("the emulator can't listen: %w", err), server.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, server, listener) }()

	cfg.API.BaseURL = "http://" + listener.Addr().String()
	cfg.API.Token = "emulator"
	if cfg.PoolID == "" {
		cfg.PoolID = server.DemoPool()
	}
	forget := func() error { return nil }
	if _, check := cfg.Job.(pipeline.Check); !check {
		forget, err = passingLedger(cfg)
	}
	stop = func() error {
		cancel()
		return errors.Join(forget(), <-ended, server.Close())
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// aboutDemoProject adds to err, where cause is of columns, that the project is the
// emulator's own: the user's may well have them.
func aboutDemoProject(err, cause error, cfg pipeline.Config) error {
	var input *reader.InputError
	if cfg.NoSpec || cfg.Reader.Spec != nil || !errors.As(cause, &input) || !slices.ContainsFunc(input.Findings, func(f verdict.Finding) bool {
		return f.Code == contract.CodeValueNotAllowed || f.Code == contract.CodeValueRequired
	}) {
		return err
	}
	return advise(err, "That is the demo project of the emulator: use --no-spec to take the file's own columns, or --spec FILE for those of your project")
}

// passingLedger lets a run use a ledger that is removed with the emulator, as
// nothing that it knows of is left then.
func passingLedger(cfg *pipeline.Config) (forget func() error, err error) {
	forget = func() error { return nil }
	dir, err := os.MkdirTemp("", "poolfill-*")
	if err != nil {
		return forget, fmt.Errorf("the folder for the emulator's ledger can't be made: %w", err)
	}
	l := lateLedger{dir: dir}
	cfg.OpenLedger = l.open
	return func() error { return errors.Join(l.close(), os.RemoveAll(dir)) }, nil
}

// looseSpec is a spec that takes every column of the files as an optional
// string, as an upload without a spec does.
func looseSpec(ctx context.Context, files []string, rc reader.Config) (json.RawMessage, error) {
	spec := reader.Spec{Input: map[string]reader.FieldSpec{}, Output: map[string]reader.FieldSpec{}}
	for _, path := range files {
		if path == "-" {
			return nil, &usageError{errors.New("--emulator with --no-spec can't read standard input, since it looks at the columns first: give --spec, or a file")}
		}
		r, err := reader.Open(ctx, path, nil, rc)
		if err != nil {
			return nil, &pipeline.SetupError{Err: err}
		}
		for _, target := range r.Info().Targets {
			prefix, field, _ := strings.Cut(target, ":")
			switch {
			case prefix == "INPUT":
				spec.Input[field] = reader.FieldSpec{Type: reader.TypeString}
			case strings.HasPrefix(prefix, "GOLDEN"), strings.HasPrefix(prefix, "BASELINE"):
				spec.Output[field] = reader.FieldSpec{Type: reader.TypeString}
			}
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(spec)
}
