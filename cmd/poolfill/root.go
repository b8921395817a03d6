package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// newRootCommand makes the whole tree of commands. The error is a mistake in it.
func newRootCommand(std streams, profiling *profiles) (*cobra.Command, error) {
	root := &cobra.Command{
		Use:   "poolfill",
		Short: "Fill Toloka pools from dataset files",
		Long: `poolfill uploads the rows of CSV and TSV files to Toloka pools as tasks: every
valid row once, every other row named with file, line, column and reason, at
the speed that the quota allows.

Each flag can also be set by an environment variable (POOLFILL_ and the flag's
name in capitals, with _ for -), or in a configuration file, where the keys are
the flags' names. A flag counts more than a variable, and that more than the
file; 'poolfill config upload' shows what is in force and where it comes from.

Colours are for terminals only; with NO_COLOR set there are none.`,
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
			if !cmd.HasParent() || isCobras(cmd) {
				return nil
			}
			if _, err := applySettings(cmd); err != nil {
				return err
			}
			return profiling.start()
		},
	}
	flags := root.PersistentFlags()
	flags.String("config", "", "the configuration file (default: the platform's, such as ~/.config/poolfill/config.yaml)")
	flags.String("profile", "", "which of the configuration file's profiles counts")
	profiling.register(flags)
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate(fmt.Sprintf(versionFormat, "{{.Version}}"))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return misuse(cmd, "%s", flagProblem(cmd, err))
	})
	root.AddCommand(newUploadCommand(std), newCheckCommand(std), newPlanCommand(std), newRunsCommand(std), newReportCommand(std), newVerifyCommand(std),
		newBackfillCommand(std), newWorkerCommand(std, newRootCommand), newScheduleCommand(std), newExplainCommand(std), newConfigCommand(std), newDoctorCommand(std), newTokenCommand(std), newEmulatorCommand(std))
	root.SetOut(std.out) // the command for completions keeps it
	root.InitDefaultCompletionCmd()
	nameShells(root)
	root.InitDefaultHelpCmd()
	nameTopics(root)
	// Cobra reports a wrong command only as text, and runs a root without one.
	root.Args = noArguments
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return root, errors.Join(describeValues(root, valuesOf()), root.RegisterFlagCompletionFunc("profile", completeProfiles))
}

// nameTopics has cobra's command for help refuse what there is no help for, where it
// would end as if all were well.
func nameTopics(root *cobra.Command) {
	help := commandOf(root, "help")
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		topic, rest, err := root.Find(args)
		switch {
		case err != nil:
			return &usageError{err}
		case len(rest) > 0:
			return noCommand(topic, rest[0])
		}
		topic.InitDefaultHelpFlag() // so that it is shown
		return topic.Help()
	}
}

// nameShells has cobra's command for completions refuse a shell that it doesn't know,
// for which it would show its help as if all were well.
func nameShells(root *cobra.Command) {
	completion := commandOf(root, "completion")
	var shells []string
	for _, shell := range completion.Commands() {
		shells = append(shells, shell.Name())
		shell.Args = noArguments
	}
	completion.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("there is no completion for %q: name %s", args[0], orList(shells))}
		}
		return nil
	}
	completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// commandOf returns a command that cobra has added itself.
func commandOf(root *cobra.Command, name string) *cobra.Command {
	for _, cmd := range root.Commands() {
		if cmd.Name() == name {
			return cmd
		}
	}
	return &cobra.Command{} // of a cobra that has none, there is nothing to change
}
