package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/state"
	"poolfill/pipeline"
	"poolfill/reader"
)

// execute carries out an upload or a check. Where the run could not begin, the
// report is empty.
func execute(cmd *cobra.Command, std streams, args []string, cfg pipeline.Config, reading *readingFlags, api *apiFlags, output *outputFlags) (r pipeline.Report, err error) {
	display, log, err := output.display(std)
	if err != nil {
		return r, &usageError{err}
	}
	if cfg.Files, err = reader.Expand(args); err != nil {
		return r, &usageError{err}
	}
	if cfg.Reader, err = reading.config(); err != nil {
		return r, &usageError{err}
	}
	cfg.NoSpec = reading.noSpec
	cfg.Stdin = std.in
	cfg.PoolID = api.pool
	cfg.Log = log
	cfg.RunID = newRunID()

	if !cfg.Check || api.pool != "" || api.emulator {
		if cfg.API, cfg.Limits, err = api.target(cmd.Flags()); err != nil {
			return r, &usageError{err}
		}
		cfg.API.Log = log
	}
	if !cfg.Check && !api.emulator && cfg.PoolID != "" {
		leave, stateErr := output.enterState(&cfg)
		if stateErr != nil {
			return r, stateErr
		}
		defer func() { err = errors.Join(err, leave()) }()
	}
	if api.emulator {
		stop, startErr := emulate(cmd.Context(), &cfg)
		if startErr != nil {
			return r, startErr
		}
		defer func() { err = errors.Join(aboutDemoProject(err, err, cfg), stop()) }()
	}
	return carryOut(cmd.Context(), std, cfg, output, display, !api.emulator)
}

// enterState keeps other runs on this machine from the pool, and gives the run
// its ledger.
func (f *outputFlags) enterState(cfg *pipeline.Config) (leave func() error, err error) {
	dir, err := f.stateFolder()
	if err != nil {
		return nil, err
	}
	owner := fmt.Sprintf("run %s, process %d, since %s", cfg.RunID, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	lock, err := state.LockPool(dir, cfg.API.BaseURL, cfg.PoolID, owner)
	switch {
	case unusable(err):
		return nil, &usageError{adviseFolder(err)}
	case err != nil:
		return nil, adviseFolder(err)
	}
	l := lateLedger{db: f.db, dir: dir, server: cfg.API.BaseURL, pool: cfg.PoolID}
	cfg.OpenLedger = l.open
	return func() error { return errors.Join(l.close(), lock.Release()) }, nil
}

// stateFolder is the folder that the user named, or the platform's.
func (f *outputFlags) stateFolder() (string, error) {
	if f.stateDir != "" {
		return f.stateDir, nil
	}
	dir, err := state.DefaultDir()
	if err != nil {
		return "", &usageError{adviseFolder(err)}
	}
	return dir, nil
}

// adviseFolder adds what to do about a folder for the state that can't be used.
func adviseFolder(err error) error {
	var folder *state.FolderError
	switch {
	case !errors.As(err, &folder):
		return err
	case folder.Dir == "":
		return fmt.Errorf("there is no folder for the state: name one with --state-dir (%w)", folder.Err)
	}
	return fmt.Errorf("the folder for the state, %s, can't be used: name another with --state-dir (%w)", folder.Dir, folder.Err)
}

// unusable reports whether a folder can't be used as it is, so that its rights or a
// setting must change first. A disk that is full or fails is not that.
func unusable(err error) bool {
	return slices.ContainsFunc([]error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EROFS},
		func(cause error) bool { return errors.Is(err, cause) })
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
	if cfg.Check {
		what = "check"
	}
	return fmt.Sprintf("%s-%s-%s", now.UTC().Format("20060102T150405Z"), what, id)
}

// carryOut runs the pipeline and shows and writes what comes of it. lasting says
// that the server outlives it, so that the same command can go on.
func carryOut(ctx context.Context, std streams, cfg pipeline.Config, output *outputFlags, display *ui.Display, lasting bool) (pipeline.Report, error) {
	files := &lazyWriter{folder: func() string { return output.dir }, inputs: len(cfg.Files)}
	cfg.Recorder = files
	view, err := output.live.prepare(&cfg)
	if err != nil {
		return pipeline.Report{}, err
	}
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
	if std.stop != nil {
		go func() {
			select {
			case <-std.stop:
				p.Stop()
			case <-ctx.Done():
			}
		}()
	}

	stopView, err := view.start(ctx, display, p)
	if err != nil {
		return pipeline.Report{}, err
	}
	stopDisplay := display.Watch(p.Progress)
	result, err := p.Run(ctx)
	stopDisplay()
	if failed := stopView(); failed != nil {
		fmt.Fprintln(display, "poolfill: warning: "+failed.Error()) // the rows are no worse for it
	}

	var setup *pipeline.SetupError
	if errors.As(err, &setup) || result.RunID == "" {
		return pipeline.Report{}, errors.Join(err, files.discard())
	}
	if err != nil && len(result.Outputs) == 0 {
		err = errors.Join(err, files.discard())
	}
	out := std.out
	if cfg.PrintTasks != nil {
		out = std.err
	}
	report.AddHints(&result) // a run whose files could not be written has none yet
	err = errors.Join(show(out, result, output.json), outcome(result, err))
	var rejected *rejectedError
	if err != nil && !cfg.Check && lasting && !errors.As(err, &rejected) {
		err = goOn(err, &cfg, result.State, &files.done)
	}
	return result, err
}

// show prints the result of a run.
func show(w io.Writer, r pipeline.Report, asJSON bool) error {
	if !asJSON {
		return ui.Summary(w, r)
	}
	return report.Encode(w, r)
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
	case r.Totals.Rejected > 0:
		return &rejectedError{r.Totals.Rejected}
	}
	return nil
}

// stopOnSignals calls soft at the first signal, and hard at the second or when
// the grace is over; a grace of 0 has no end.
func stopOnSignals(soft, hard func(), grace time.Duration) (release func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-done:
			return
		case <-signals:
			soft()
		}
		var over <-chan time.Time
		if grace > 0 {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-done:
			return
		case <-signals:
		case <-over:
		}
		hard()
		signal.Stop(signals) // a further one ends the process as it would any other
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
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
func (l *lazyWriter) Record(results []pipeline.Result) error {
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
