package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/notify"
	"poolfill/internal/visible"
	"poolfill/pipeline"
)

// notifyFlags say who is notified of a run that ended, and when.
type notifyFlags struct{ target, on string }

const (
	notifyFlag     = "--notify"
	notifyFailures = "failure"
	notifyAlways   = "always"
)

func (f *notifyFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.target, "notify", "", `whom to tell how it ended: a command, which gets the report as JSON on its
standard input, or the http:// or https:// URL of a webhook, which gets it as a
POST; one try, of 30 seconds at most`)
	flags.StringVar(&f.on, "notify-on", notifyFailures, "when: failure (the exit code is not 0) or always")
}

func (f *notifyFlags) validate() error {
	if f.target == "" {
		return nil
	}
	if err := (notify.Config{Target: f.target}).Validate(); err != nil {
		return &usageError{err}
	}
	return nil
}

// tell sends the notification of a run, where one is wanted. Where that fails, it only
// warns: the rows are uploaded or not, whoever hears of it.
func (f *notifyFlags) tell(stderr io.Writer, r pipeline.Report, pool string, outcome error) {
	code := exitCode(outcome)
	if f.target == "" || f.on == notifyFailures && code == exitOK {
		return
	}
	if r.RunID == "" {
		r = notBegun(pool, outcome, time.Now())
	}
	text, err := json.Marshal(r)
	if err == nil {
		// Not the run's context: one that was interrupted counts too.
		err = notify.Send(context.Background(), notify.Config{
			Target:      f.target,
			Environment: withoutSecrets(os.Environ()),
			Output:      stderr, // standard output is the report's
		}, visible.JSON(text), code)
	}
	if err != nil {
		visible.Fprintf(stderr, "poolfill: warning: nobody was notified: %s\n", err)
	}
}

// notBegun is the report of a run that could not begin.
func notBegun(pool string, why error, now time.Time) pipeline.Report {
	return pipeline.Report{
		Version: pipeline.ReportVersion,
		State:   pipeline.Failed,
		Error:   plainly(why),
		PoolID:  pool,
		Started: now.UTC(), Finished: now.UTC(),
		Files: []pipeline.File{}, Rejections: []pipeline.Rejection{}, Warnings: []pipeline.Warning{},
		Requests: pipeline.Requests{ByStatus: map[string]int64{}},
		Outputs:  map[string]string{},
	}
}

// withoutSecrets leaves the token out of an environment, and whom to notify:
// the URL of a webhook is often a secret, and a command that runs the program
// itself should not end in telling itself.
func withoutSecrets(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == tokenVariable || name == envPrefix+"NOTIFY"
	})
}

// withoutNotify leaves out of a command line whom it notifies, since command
// lines are kept and printed.
func withoutNotify(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--":
			return append(kept, args[i:]...)
		case args[i] == notifyFlag:
			i++ // and its value
		case !strings.HasPrefix(args[i], notifyFlag+"="):
			kept = append(kept, args[i])
		}
	}
	return kept
}
