package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix begins the name of each flag's environment variable.
const envPrefix = "POOLFILL_"

func newRootCommand(std streams, profiling *profiles) *cobra.Command {
	root := &cobra.Command{
		Use:   "poolfill",
		Short: "Fill Toloka pools from dataset files",
		Long: `poolfill uploads the rows of CSV and TSV files to Toloka pools as tasks: every
valid row once, every other row named with file, line, column and reason, at
the speed that the quota allows.

Each flag can also be set by an environment variable: POOLFILL_ and the flag's
name in capitals, with _ for -. A flag on the command line wins.`,
		Example: `  # See it work, without an account: upload to the built-in emulator.
  poolfill upload tasks.tsv --emulator

  # Check a file against a pool's spec, then upload it.
  export TOLOKA_TOKEN=...
  poolfill check tasks.tsv --pool 1238218
  poolfill upload tasks.tsv --pool 1238218`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := flagsFromEnvironment(cmd); err != nil {
				return err
			}
			return profiling.start()
		},
	}
	profiling.register(root.PersistentFlags())
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("poolfill {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%s\nSee '%s --help'", flagProblem(err), cmd.CommandPath())}
	})
	root.AddCommand(newUploadCommand(std), newCheckCommand(std), newPlanCommand(std), newRunsCommand(std), newReportCommand(std), newExplainCommand(std), newEmulatorCommand(std))
	// Cobra reports a wrong command only as text, and runs a root without one.
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
			}
			return &usageError{fmt.Errorf("there is no command %q%s\nSee 'poolfill --help'", args[0], hint)}
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return root
}

// flagsFromEnvironment sets the flags that the command line leaves alone and
// the environment names.
func flagsFromEnvironment(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || err != nil || f.Name == "help" || f.Name == "version" {
			return
		}
		if e := cmd.Flags().Set(f.Name, value); e != nil {
			err = &usageError{fmt.Errorf("the environment variable %s can't be used: %s", name, flagProblem(e))}
		}
	})
	return err
}

// flagProblem says what is wrong with a flag, without what Go's parsers add.
func flagProblem(err error) string {
	problem, _, _ := strings.Cut(err.Error(), ": strconv.")
	problem, _, _ = strings.Cut(problem, ": time: ")
	return problem
}

// version says which build this is, from what the Go toolchain recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return fmt.Sprintf("%s %s", v, info.GoVersion)
}
