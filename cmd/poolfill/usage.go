package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/internal/spelling"
)

// misuse is the error of a command whose arguments or flags don't fit it, with where to
// read how they do.
func misuse(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{advise(fmt.Errorf(format, args...), "See '"+cmd.CommandPath()+" --help'")}
}

// atMostOne is the rule for the arguments of commands about the latest of something, or
// the one that is named.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return misuse(cmd, "%s takes one %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// noArguments refuses arguments. Those of a group of commands are taken for a
// command that there isn't.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return noCommand(cmd, args[0])
	}
	return misuse(cmd, "%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
}

// noCommand is the error of a command, or one of a group of commands, that there
// isn't.
func noCommand(group *cobra.Command, name string) error {
	hint := ""
	if near := group.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return misuse(group, "there is no command %q%s", name, hint)
}

// needInputs is the rule for the arguments of upload and check.
func needInputs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return misuse(cmd, "no input file: name at least one, or - for standard input")
	}
	return nil
}

// flagProblem says what is wrong with a flag, in the words of someone who never wrote
// one.
func flagProblem(cmd *cobra.Command, err error) string {
	var (
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &value):
		return fmt.Sprintf("--%s is %s, not %q", value.GetFlag().Name, allowed(value.GetFlag()), value.GetValue())
	case errors.As(err, &missing):
		f := missing.GetFlag()
		return fmt.Sprintf("--%s needs a value: %s", f.Name, strings.Join(strings.Fields(f.Usage), " "))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return unknownFlag(cmd, "--", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		// A long flag with one dash is taken for many short ones.
		name, _, _ := strings.Cut(unknown.GetSpecifiedShortnames(), "=")
		return unknownFlag(cmd, "-", name)
	}
	return err.Error()
}

// unknownFlag says that there is no such flag, and which one was likely meant.
func unknownFlag(cmd *cobra.Command, dashes, name string) string {
	says := "there is no flag " + dashes + name
	if name == "token" && cmd.Flags().Lookup("token-keyring") != nil {
		return says + ": the token comes from " + tokenVariable + ", or from a file that --token-file names, as others on the machine can see arguments"
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	slices.Sort(names)
	if near := spelling.Nearest(name, names); near != "" {
		return says + "; did you mean --" + near + "?"
	}
	return says
}
