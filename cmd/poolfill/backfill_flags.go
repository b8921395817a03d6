package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/contract"
	"poolfill/internal/visible"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// The defaults of backfills.
const (
	defaultSegmentRows = 100_000
	defaultJobs        = 2
	// What the documentation of Toloka doesn't say: slow enough for a person to
	// notice a mistake.
	defaultClonesPerMinute = 10
	defaultClonesPerDay    = 200
)

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
	flags.IntVar(&f.chunkSize, "chunk-size", 0, "the most tasks in a request (default: 2000)")
	f.api.registerServer(flags)
	f.api.registerLimits(flags)
	f.reading.register(flags)
	f.output.state.register(flags, stateOfRuns)
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
	// Settled here, as all workers must make the same chunks.
	s.ChunkSize = cmp.Or(s.ChunkSize, pipeline.DefaultChunkSize)
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

// sources returns the files that the arguments name, and those for each pool.
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
			visible.Fprintf(display, "poolfill: read %s\n", in.Path)
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
		return misuse(cmd, "no manifest: name it, or name files with --pool or --pool-template")
	}
	return nil
}
