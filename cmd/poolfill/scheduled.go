package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/pipeline"
	"poolfill/ratelimit"
)

// commandTree makes the tree of all commands.
type commandTree func(streams, *profiles) (*cobra.Command, error)

// scheduledUpload carries out a scheduled upload in this process, with the
// worker's server and state, until stop is closed. What is left then is done by the
// next worker.
func scheduledUpload(commands commandTree, std streams, state stateFlags, stop <-chan struct{}) func(context.Context, backfill.Scheduled) (backfill.Outcome, error) {
	return func(ctx context.Context, s backfill.Scheduled) (backfill.Outcome, error) {
		args := append([]string{}, s.Args...)
		args = append(args, "--url", s.Server, "--on-quota", "park", "--progress", "none")
		if state.dir != "" {
			args = append(args, "--state-dir", state.dir)
		}
		if state.db != "" {
			args = append(args, "--"+dbFlag, state.db)
		}
		var o backfill.Outcome
		quiet := std
		quiet.in, quiet.out, quiet.stop = strings.NewReader(""), io.Discard, stop
		quiet.reported = func(r pipeline.Report) {
			if r.State == "" {
				return // it was ended before it began
			}
			o.Run = r.RunID
			o.Summary = fmt.Sprintf("%s: %d created, %d rejected, %d skipped, %d unsent", r.State, r.Totals.Created, r.Totals.Rejected, r.Totals.Duplicate, r.Totals.Unsent)
		}
		root, err := commands(quiet, &profiles{})
		if err != nil {
			return o, err
		}
		root.SetArgs(append([]string{"upload"}, args...))
		err = root.ExecuteContext(ctx)
		var (
			rejected    *rejectedError
			parked      *ratelimit.DayQuotaError
			interrupted *interruptedError
		)
		switch {
		case errors.As(err, &rejected):
			err = nil
		case errors.As(err, &parked):
			o.Until, err = parked.Until, nil
		case errors.As(err, &interrupted), errors.Is(err, pipeline.ErrInterrupted):
			o.Until, o.Summary, err = time.Now(), cmp.Or(o.Summary, pipeline.ErrInterrupted.Error()), nil
		}
		return o, err
	}
}
