package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/live"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/uploader/toloka"
)

func newWorkerCommand(std streams, commands commandTree) *cobra.Command {
	var (
		api    apiFlags
		output outputFlags
		idle   bool
	)
	w := workFlags{uploads: commands}
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Work at backfills and schedules until it is stopped",
		Long: `Worker uploads the segments of backfills, and what schedules ask for. On one
machine it works at those in --state-dir; with --db postgres://… any number of
workers on any machines share them, and one quota. Each worker must reach each
file under the same path.

It works for the server and account that its flags name; backfills of others are
left to other workers. At Ctrl-C or SIGTERM it begins nothing more, brings what
is under way to a good place to stop, and ends; others go on with it. The segments
of a worker that is gone are done by another one within a minute, its scheduled
uploads at their next time.`,
		Example: `  poolfill worker
  poolfill worker --db postgres://db/poolfill --jobs 4 --listen :9090 --ui
  poolfill worker --exit-when-idle`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, _, err := api.target(cmd.Flags())
			if err != nil {
				return &usageError{err}
			}
			if err := w.validate(); err != nil {
				return err
			}
			return output.state.withManager(cmd.Context(), func(at backfill.Place, m *backfill.Manager) error {
				return w.work(cmd.Context(), std, &output, at, m, target, func(ctx context.Context) (bool, error) {
					if !idle {
						return false, nil
					}
					return m.Idle(ctx, target)
				})
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&w.jobs, "jobs", defaultJobs, "how many segments are uploaded at once")
	flags.BoolVar(&idle, "exit-when-idle", false, "end when no backfill is left to do")
	flags.DurationVar(&w.grace, "grace", defaultGrace, "how long a worker that is told to stop may take to finish what is in flight")
	api.registerServer(flags)
	api.registerPatience(flags)
	output.state.register(flags, stateOfRuns)
	output.registerProgress(flags)
	w.registerView(flags)
	return cmd
}

// workFlags say how a process works at backfills.
type workFlags struct {
	jobs  int
	grace time.Duration
	live  liveFlags
	ui    bool
	// uploads carries out scheduled uploads too; nil does not, where a command is to end
	// with its own work, as one may take hours.
	uploads commandTree
}

func (w *workFlags) registerView(flags *pflag.FlagSet) {
	w.live.register(flags)
	flags.BoolVar(&w.ui, "ui", false, "with --listen: serve River's own page over the jobs at /river/ too")
}

func (w *workFlags) validate() error {
	if w.jobs < 1 {
		return &usageError{fmt.Errorf("--jobs is a number from 1, not %d", w.jobs)}
	}
	return nil
}

// lookEvery is how often it is looked whether the work is done.
const lookEvery = time.Second

// work works at backfills until done says so, or the user ends it.
func (w *workFlags) work(ctx context.Context, std streams, output *outputFlags, at backfill.Place, m *backfill.Manager,
	api toloka.Config, done func(context.Context) (bool, error),
) (err error) {
	display, log := output.display(std)
	if w.ui && w.live.listen == "" {
		return &usageError{errors.New("--ui needs --listen ADDRESS, such as --listen :9090")}
	}
	api.Log = log
	options, stopUploads := backfill.Options{API: api, Jobs: w.jobs, Log: log}, make(chan struct{})
	if w.uploads != nil {
		options.Upload = scheduledUpload(w.uploads, std, output.state, stopUploads)
	}
	engine, err := backfill.Start(ctx, at, options)
	if err != nil {
		return err
	}
	stopped := make(chan struct{})
	ending, abort := context.WithCancel(context.WithoutCancel(ctx)) // what is under way has until the second signal
	defer abort()
	release := stopOnSignals(func() {
		fmt.Fprintln(display, "poolfill: stopping: what is in flight is finished. Once more leaves at once.")
		close(stopped)
	}, abort, w.grace)
	defer release()
	defer func() {
		close(stopUploads)
		err = errors.Join(err, engine.Stop(ending))
	}()
	stopView, err := w.live.serve(ctx, std.err, "poolfill: the backfills are shown at http://%s/\n", func(o live.Options) (_ http.Handler, err error) {
		if w.ui {
			if o.River, err = engine.UI(ctx, "/river"); err != nil {
				return nil, err
			}
		}
		return live.Backfills(m.Statuses, o)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopView()) }()

	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	tell := teller{w: display, m: m, tells: output.progress != "none"}
	for {
		select {
		case <-stopped:
			return nil
		case err := <-engine.Failed():
			abort() // nothing of what is under way can be kept
			return err
		case <-ticker.C:
		}
		ended, err := done(ctx)
		if err != nil {
			tell.trouble(err) // the database may be away for a moment
			continue
		}
		tell.progress(ctx, time.Now())
		if ended {
			return nil
		}
	}
}

// teller prints how far the backfills have come, now and then.
type teller struct {
	w     io.Writer
	m     *backfill.Manager
	tells bool
	last  string
	at    time.Time
}

// tellEvery is how often progress is told.
const tellEvery = 10 * time.Second

func (t *teller) progress(ctx context.Context, now time.Time) {
	if !t.tells || now.Sub(t.at) < tellEvery {
		return
	}
	t.at = now
	all, err := t.m.Statuses(ctx)
	if err != nil {
		t.trouble(err)
		return
	}
	var lines []string
	for _, s := range all {
		if s.State == backfill.Running {
			lines = append(lines, "poolfill: "+ui.BackfillProgress(s))
		}
	}
	if text := strings.Join(lines, "\n"); text != t.last && text != "" {
		t.last = text
		fmt.Fprintln(t.w, text)
	}
}

func (t *teller) trouble(err error) {
	if text := "poolfill: warning: the database doesn't answer: " + plainly(err); text != t.last {
		t.last = text
		fmt.Fprintln(t.w, text)
	}
}
