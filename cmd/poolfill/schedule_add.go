package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/backfill"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/visible"
	"poolfill/reader"
)

func newScheduleAddCommand(std streams) *cobra.Command {
	var f lookFlags
	var api apiFlags
	var cron, zone string
	cmd := &cobra.Command{
		Use:   "add NAME --cron EXPRESSION -- FILE... [FLAGS OF UPLOAD]",
		Short: "Register an upload, or change it",
		Example: `  poolfill schedule add nightly --cron '0 3 * * *' -- 'exports/*.tsv' --pool 1238218
  poolfill schedule add hourly --cron '15 * * * *' --zone Europe/Berlin -- growing.tsv --pool 1238218 --max-rejected 1%`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() != 1 {
				return misuse(cmd, "a schedule is a name, and after -- the files and flags of an upload")
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
			return f.state.withManager(cmd.Context(), func(_ backfill.Place, m *backfill.Manager) error {
				if err := m.Schedule(cmd.Context(), s); err != nil {
					return err
				}
				if f.json {
					return f.json.show(std.out, ui.NewSchedules([]backfill.Scheduled{s}, time.Now()))
				}
				_, err := visible.Fprintf(std.out, "Schedule %s: next at %s, if 'poolfill worker' is running then.\n", s.Name, next.Format(time.RFC3339))
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&cron, "cron", "", "when: minute, hour, day of the month, month, day of the week (required)")
	flags.StringVar(&zone, "zone", "UTC", "the time zone in which it is meant, such as Europe/Berlin")
	api.registerAddress(flags)
	f.register(flags, stateOfRuns)
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
