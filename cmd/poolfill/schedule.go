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
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader"
)

func newScheduleCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Upload files again and again, at times that a cron expression names",
		Long: `Schedule registers uploads that come again. 'poolfill worker' carries them out,
as 'poolfill upload' would: new rows of a file that grew are uploaded, an
unchanged file is left alone.

Times that are missed, as no worker is running, become one run as soon as there
is one. A time that comes while the last run still goes on waits for it.`,
		Example: `  poolfill schedule add nightly --cron '0 3 * * *' --zone Europe/Berlin -- 'exports/*.tsv' --pool 1238218
  poolfill schedule list
  poolfill schedule remove nightly`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newScheduleAddCommand(std), newScheduleListCommand(std), newScheduleRemoveCommand(std))
	return cmd
}

func newScheduleAddCommand(std streams) *cobra.Command {
	var f stateFlags
	var api apiFlags
	var cron, zone string
	cmd := &cobra.Command{
		Use:   "add NAME --cron EXPRESSION -- FILE... [FLAGS OF UPLOAD]",
		Short: "Register an upload, or change it",
		Example: `  poolfill schedule add nightly --cron '0 3 * * *' -- 'exports/*.tsv' --pool 1238218
  poolfill schedule add hourly --cron '15 * * * *' --zone Europe/Berlin -- growing.tsv --pool 1238218 --max-rejected 1%`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() != 1 {
				return &usageError{fmt.Errorf("a schedule is a name, and after -- the files and flags of an upload\nSee '%s --help'", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := api.address(cmd.Flags())
			if err != nil {
				return &usageError{err}
			}
			if err := tryUpload(std, args[1:]); err != nil {
				return &usageError{fmt.Errorf("the upload can't be: %w", err)}
			}
			s := backfill.Scheduled{Name: args[0], Cron: cron, Zone: zone, Args: args[1:], Server: server}
			next, err := s.Next(time.Now())
			if err != nil {
				return &usageError{err}
			}
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				if err := m.Schedule(cmd.Context(), s); err != nil {
					return err
				}
				if f.json {
					return ui.Schedules(std.out, []backfill.Scheduled{s}, time.Now(), true)
				}
				_, err := fmt.Fprintf(std.out, "Schedule %s: next at %s, if 'poolfill worker' is running then.\n", s.Name, next.Format(time.RFC3339))
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&cron, "cron", "", "when: minute, hour, day of the month, month, day of the week (required)")
	flags.StringVar(&zone, "zone", "UTC", "the time zone in which it is meant, such as Europe/Berlin")
	flags.StringVar(&api.url, "url", productionURL, "the address of the API")
	flags.BoolVar(&api.sandbox, "sandbox", false, "use Toloka's testing environment, "+sandboxURL)
	f.register(flags)
	return cmd
}

// tryUpload parses the arguments of an upload, without carrying it out.
func tryUpload(std streams, args []string) error {
	cmd := newUploadCommand(streams{in: strings.NewReader(""), out: io.Discard, err: std.err})
	if err := cmd.ParseFlags(args); err != nil {
		return errors.New(flagProblem(cmd, err))
	}
	if err := errors.Join(describeValues(cmd, valuesOf()), refusedFlags(cmd.Flags())); err != nil {
		return err
	}
	for _, path := range cmd.Flags().Args() {
		if name := reader.Name(path); name != path {
			return fmt.Errorf("%s: a URL with more behind its path can't be kept for the worker, as it may be a secret, and may expire: name the file by a URL without ? and #", name)
		}
	}
	switch flags := cmd.Flags(); {
	case len(flags.Args()) == 0:
		return errors.New("it names no file")
	case flags.Lookup("pool").Value.String() == "":
		return errors.New("it names no --pool")
	case chosen(flags, "url"), chosen(flags, "sandbox"), chosen(flags, "emulator"), chosen(flags, "state-dir"), chosen(flags, dbFlag):
		return errors.New("the server and the place of the state are those of the worker: leave out --url, --sandbox, --emulator, --state-dir and --db")
	case chosen(flags, "notify"):
		return errors.New("what --notify names may be a secret, and a schedule is shown to all: leave it out, and set POOLFILL_NOTIFY for the worker")
	}
	return nil
}

// scheduledUpload carries out a scheduled upload in this process, with the
// worker's server and state, until stop is closed. What is left then is done by the
// next worker.
func scheduledUpload(std streams, output *outputFlags, stop <-chan struct{}) func(context.Context, backfill.Scheduled) (backfill.Outcome, error) {
	return func(ctx context.Context, s backfill.Scheduled) (backfill.Outcome, error) {
		args := append([]string{}, s.Args...)
		args = append(args, "--url", s.Server, "--on-quota", "park", "--progress", "none")
		if output.stateDir != "" {
			args = append(args, "--state-dir", output.stateDir)
		}
		if output.db != "" {
			args = append(args, "--"+dbFlag, output.db)
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
		root, err := newRootCommand(quiet, &profiles{}) //nolint:contextcheck // each command has that of ExecuteContext
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

func newScheduleListCommand(std streams) *cobra.Command {
	var f stateFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the schedules, and what their last runs came to",
		Example: `  poolfill schedule list
  poolfill schedule list --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				all, err := m.Schedules(cmd.Context())
				if err != nil {
					return err
				}
				return ui.Schedules(std.out, all, time.Now(), f.json)
			})
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func newScheduleRemoveCommand(std streams) *cobra.Command {
	var f stateFlags
	cmd := &cobra.Command{
		Use:               "remove NAME",
		Short:             "Remove a schedule",
		Example:           "  poolfill schedule remove nightly",
		ValidArgsFunction: completeOne(namesOfSchedules),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("name the schedule\nSee '%s --help'", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.output.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				if err := m.Unschedule(cmd.Context(), args[0]); err != nil {
					return known(err)
				}
				_, err := fmt.Fprintf(std.out, "Schedule %s is removed.\n", args[0])
				return err
			})
		},
	}
	f.output.registerState(cmd.Flags())
	return cmd
}
