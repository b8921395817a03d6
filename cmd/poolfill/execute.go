package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/live"
	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// runFlags are those of commands that read files as an upload does.
type runFlags struct {
	reading readingFlags
	api     apiFlags
	output  outputFlags
}

// prepare fills in what the flags and arguments say of reading, and makes the display.
func (f *runFlags) prepare(std streams, args []string, cfg *pipeline.Config) (display *ui.Display, err error) {
	display, cfg.Log = f.output.display(std)
	if cfg.Files, err = reader.Expand(args); err != nil {
		return nil, &usageError{err}
	}
	if cfg.Reader, err = f.reading.config(); err != nil {
		return nil, &usageError{err}
	}
	cfg.NoSpec, cfg.Stdin, cfg.PoolID = f.reading.noSpec, std.in, f.api.pool
	return display, nil
}

// aim fills in the server and its limits.
func (f *runFlags) aim(flags *pflag.FlagSet, cfg *pipeline.Config) (err error) {
	if cfg.API, cfg.Limits, err = f.api.target(flags); err != nil {
		return &usageError{err}
	}
	cfg.API.Log = cfg.Log
	return nil
}

// execute carries out an upload or a check. Where the run could not begin, the
// report is empty.
func (f *runFlags) execute(cmd *cobra.Command, std streams, args []string, cfg pipeline.Config) (r pipeline.Report, err error) {
	display, err := f.prepare(std, args, &cfg)
	if err != nil {
		return r, err
	}
	cfg.RunID = newRunID()
	_, isCheck := cfg.Job.(pipeline.Check)
	if !isCheck || f.api.pool != "" || f.api.emulator {
		if err := f.aim(cmd.Flags(), &cfg); err != nil {
			return r, err
		}
	}
	if !isCheck && !f.api.emulator && cfg.PoolID != "" {
		release, lockErr := f.output.state.lockPool(&cfg)
		if lockErr != nil {
			return r, lockErr
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	if f.api.emulator {
		stop, startErr := emulate(cmd.Context(), &cfg)
		if startErr != nil {
			return r, startErr
		}
		defer func() { err = errors.Join(aboutDemoProject(err, err, cfg), stop()) }()
	}
	return f.carryOut(cmd.Context(), std, cfg, display)
}

// newRunID names a run: short enough to type, long enough to be alone.
func newRunID() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return hex.EncodeToString(id[:])
}

// runName is the name of a run's folder: runs sort by time.
func runName(now time.Time, cfg pipeline.Config, id string) string {
	what := cfg.PoolID
	if _, isCheck := cfg.Job.(pipeline.Check); isCheck {
		what = "check"
	}
	return fmt.Sprintf("%s-%s-%s", now.UTC().Format("20060102T150405Z"), what, id)
}

// carryOut runs the pipeline and shows and writes what comes of it.
func (f *runFlags) carryOut(ctx context.Context, std streams, cfg pipeline.Config, display *ui.Display) (pipeline.Report, error) {
	output := &f.output
	files := &lazyWriter{folder: func() string { return output.dir }, inputs: len(cfg.Files)}
	cfg.Recorder = files
	if err := output.live.validate(); err != nil {
		return pipeline.Report{}, err
	}
	view := live.New()
	cfg.API.Observe = view.Observe
	if std.configure != nil {
		std.configure(&cfg)
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		return pipeline.Report{}, &usageError{err}
	}
	files.run = p.RunID
	if output.dir == "" {
		files.folder = func() string { return filepath.Join("poolfill-runs", runName(p.Begun(), cfg, p.RunID())) }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	release := stopOnSignals(func() {
		fmt.Fprintln(display, "poolfill: stopping: what is in flight is finished. Once more leaves at once.")
		p.Stop()
	}, cancel, output.grace)
	defer release()
	go func() {
		select {
		case <-std.stop:
			p.Stop()
		case <-ctx.Done():
		}
	}()

	stopView, err := output.live.serveRun(ctx, display, view, p)
	if err != nil {
		return pipeline.Report{}, err
	}
	stopDisplay := display.Watch(p.Progress)
	result, err := p.Run(ctx)
	stopDisplay()
	if failed := stopView(); failed != nil {
		fmt.Fprintln(display, "poolfill: warning: "+plainly(failed)) // the rows are no worse for it
	}

	var setup *pipeline.SetupError
	if errors.As(err, &setup) || result.RunID == "" {
		return pipeline.Report{}, errors.Join(err, files.discard())
	}
	if err != nil && len(result.Outputs) == 0 {
		err = errors.Join(err, files.discard())
	}
	out := std.out
	check, isCheck := cfg.Job.(pipeline.Check)
	if check.PrintTasks != nil {
		out = std.err
	}
	report.AddHints(&result) // a run whose files could not be written has none yet
	err = errors.Join(output.json.report(out, result), outcome(result, err))
	var rejected *rejectedError
	if err != nil && !isCheck && !f.api.emulator && !errors.As(err, &rejected) { // of an emulator nothing is left
		err = goOn(err, &cfg, result.State, &files.done)
	}
	return result, err
}

// outcome makes an error of the way in which a run ended, for the exit code.
func outcome(r pipeline.Report, err error) error {
	switch {
	case err != nil:
		return err
	case r.State == pipeline.Interrupted:
		return &interruptedError{"interrupted"}
	case r.Totals.Unsent > 0:
		return fmt.Errorf("rows are unsent: %d, as results.tsv says row by row; the same command tries them again", r.Totals.Unsent)
	case r.Verification != nil && r.Verification.Own() > 0:
		return &differenceError{*r.Verification}
	case r.Totals.Rejected > 0:
		return &rejectedError{r.Totals.Rejected}
	}
	return nil
}

// lazyWriter makes the report's folder when the first input is read, so that
// a run that can't begin leaves nothing behind.
type lazyWriter struct {
	folder func() string
	run    func() string
	inputs int
	w      *report.Writer
	done   prefix
}

// Input is part of pipeline.Recorder; it comes before any result.
func (l *lazyWriter) Input(info reader.Info) error {
	if l.w == nil {
		w, err := report.Create(l.folder(), l.run(), l.inputs)
		switch {
		case unusable(err):
			return &pipeline.SetupError{Err: err} // no row of the first input is read yet
		case err != nil:
			return err
		}
		l.w = w
	}
	return l.w.Input(info)
}

// Record is part of pipeline.Recorder.
func (l *lazyWriter) Record(results []verdict.Verdict) error {
	l.done.add(results)
	return l.w.Record(results)
}

// Finish is part of pipeline.Recorder.
func (l *lazyWriter) Finish(r pipeline.Report) (pipeline.Report, error) {
	if l.w == nil {
		return r, nil
	}
	return l.w.Finish(r)
}

func (l *lazyWriter) discard() error {
	if l.w == nil {
		return nil
	}
	return l.w.Discard()
}
