package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/config"
)

// envPrefix begins the name of each setting's environment variable.
const envPrefix = "POOLFILL_"

// source is the kind of place that a setting's value comes from.
type source string

// The sources, in the order in which they count.
const (
	fromFlag        source = "flag"
	fromEnvironment source = "environment"
	fromFile        source = "file"
	fromDefault     source = "default"
)

// origin is where a setting's value comes from: the source, and for people the
// place in it, such as a variable's name, or file:line; empty for a default.
type origin struct {
	Source source `json:"source"`
	Place  string `json:"place,omitempty"`
}

// originOf returns where a flag's value comes from, after applySettings.
func originOf(f *pflag.Flag) origin {
	switch a := f.Annotations[originKey]; {
	case len(a) == 2:
		return origin{source(a[0]), a[1]}
	case f.Changed:
		return origin{fromFlag, "--" + f.Name}
	}
	return origin{Source: fromDefault}
}

// alternatives lists the settings that say the same thing in different ways. One
// that comes from a place which counts more overrules all others of its group.
func alternatives() [][]string {
	return [][]string{
		{"url", "sandbox", "emulator"},
		{"token-file", "token-keyring"},
		{"spec", "no-spec"},
		{"again", "dedupe"},
	}
}

// flagsOnly marks the commands that take no settings from the environment or a file.
const flagsOnly = "poolfill_flags_only"

// settingsOf carries settings to a command's flags: each layer sets those that
// no layer before it has decided.
type settingsOf struct {
	flags   *pflag.FlagSet
	decided map[string]bool
}

// applySettings brings the environment and the file of settings to the flags
// that the command line leaves alone. It returns the file; nil where there is none.
func applySettings(cmd *cobra.Command) (*config.File, error) {
	if cmd.Annotations[flagsOnly] != "" {
		return nil, nil
	}
	s, err := fromOutside(cmd)
	if err != nil {
		return nil, err
	}
	if os.Getenv(tokenVariable) != "" {
		s.decided["token-file"], s.decided["token-keyring"] = true, true
	}
	file, err := readConfig(cmd)
	if err != nil || file == nil {
		return nil, err
	}
	layers, err := file.Layers(stringFlag(cmd, "profile"))
	if err != nil {
		return nil, &usageError{err}
	}
	for _, layer := range layers {
		if err := s.layer(fromFile, layer); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// fromOutside applies what the command line and the environment say.
func fromOutside(cmd *cobra.Command) (*settingsOf, error) {
	s := &settingsOf{cmd.Flags(), make(map[string]bool)}
	if err := refusedFlags(s.flags); err != nil {
		return nil, &usageError{err}
	}
	s.endLayer()
	err := s.layer(fromEnvironment, environment(s.flags))
	return s, err
}

// readConfig reads the file that the user named, or the default one where it
// exists.
func readConfig(cmd *cobra.Command) (*config.File, error) {
	path := stringFlag(cmd, "config")
	named := path != ""
	if !named {
		path = config.DefaultPath()
	}
	if path == "" {
		return nil, missingProfile(cmd, "the configuration file")
	}
	file, err := config.Read(path, settingNames(cmd.Root()))
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil, missingProfile(cmd, path)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	return file, nil
}

// missingProfile is the error where a profile is wanted and there is no file.
func missingProfile(cmd *cobra.Command, path string) error {
	if profile := stringFlag(cmd, "profile"); profile != "" {
		return &usageError{fmt.Errorf("there is no profile %q: profiles stand in %s, which doesn't exist", profile, path)}
	}
	return nil
}

// stringFlag returns a flag's value, or nothing where the command has no such flag.
func stringFlag(cmd *cobra.Command, name string) string {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// endLayer keeps what the layer has set from those after it.
func (s *settingsOf) endLayer() {
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			s.decided[f.Name] = true
		}
	})
	for _, group := range alternatives() {
		if slices.ContainsFunc(group, func(name string) bool { return chosen(s.flags, name) }) {
			for _, name := range group {
				s.decided[name] = true
			}
		}
	}
}

// chosen reports whether a setting was made, and not made false.
func chosen(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	return f != nil && f.Changed && (f.Value.Type() != "bool" || f.Value.String() == "true")
}

// environment returns the settings that the environment makes. An empty variable makes
// none, as there is no other way to take one back in many places.
func environment(flags *pflag.FlagSet) (settings []config.Setting) {
	flags.VisitAll(func(f *pflag.Flag) {
		if value := os.Getenv(variable(f.Name)); value != "" && !isCobraFlag(f) {
			settings = append(settings, config.Setting{Name: f.Name, Values: []string{value}, Where: variable(f.Name)})
		}
	})
	return settings
}

// variable is the environment variable of a setting.
func variable(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// layer sets what one place says. Settings that the command doesn't have are those of
// other commands.
func (s *settingsOf) layer(from source, settings []config.Setting) error {
	var errs []error
	for _, setting := range settings {
		f := s.flags.Lookup(setting.Name)
		if f == nil || s.decided[f.Name] {
			continue
		}
		values, err := setting.Values, error(nil)
		if from == fromFile {
			values, err = flagValues(f, setting)
		}
		for _, value := range values {
			if err == nil {
				err = s.set(f, value)
			}
		}
		switch {
		case err == nil:
			annotate(f, originKey, string(from), setting.Where)
		case from == fromEnvironment:
			errs = append(errs, fmt.Errorf("the environment variable %s can't be used: %w", setting.Where, err))
		default:
			errs = append(errs, fmt.Errorf("%s: %w", setting.Where, err))
		}
	}
	s.endLayer()
	if len(errs) > 0 {
		return &usageError{errors.Join(errs...)}
	}
	return nil
}

// flagValues returns what stands in the file as a flag takes it. There is no shell there
// that would put the home folder in for ~.
func flagValues(f *pflag.Flag, setting config.Setting) ([]string, error) {
	kind := f.Value.Type()
	list, mapping := kind == "stringSlice" || kind == "stringArray", kind == "stringToString"
	if setting.Form == config.List && !list || setting.Form == config.Mapping && !mapping {
		return nil, fmt.Errorf("%s has a single value, not several", f.Name)
	}
	values := slices.Clone(setting.Values)
	for i, value := range values {
		switch {
		case isPath(f):
			values[i] = expandHome(value)
		case setting.Form == config.List && kind == "stringSlice",
			setting.Form == config.Mapping && strings.Count(value, "=") != 1:
			// The flag takes several at once, separated by commas.
			values[i] = quoted(value)
		}
	}
	return values, nil
}

// quoted returns a value as a single one to flags that split theirs at commas.
func quoted(value string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write([]string{value}) // a strings.Builder takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// isPath reports whether a flag names a file or a folder, as it does for completion.
func isPath(f *pflag.Flag) bool {
	_, file := f.Annotations[cobra.BashCompFilenameExt]
	_, folder := f.Annotations[cobra.BashCompSubdirsInDir]
	return file || folder
}

func expandHome(path string) string {
	rest, ok := strings.CutPrefix(filepath.ToSlash(path), "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, filepath.FromSlash(rest))
}

// set sets a flag. Its error names the setting and what it can be, in the words
// of someone who never wrote a flag.
func (s *settingsOf) set(f *pflag.Flag, value string) error {
	if !possible(f, value) || s.flags.Set(f.Name, value) != nil {
		return fmt.Errorf("%s is %s, not %q", f.Name, allowed(f), value)
	}
	return nil
}

// refusedFlags names the flags of the command line whose values can be read and
// can't be, in the same words as those of the other sources.
func refusedFlags(flags *pflag.FlagSet) error {
	var errs []error
	flags.Visit(func(f *pflag.Flag) {
		if value := f.Value.String(); value != f.DefValue && !possible(f, value) {
			errs = append(errs, fmt.Errorf("--%s is %s, not %q", f.Name, allowed(f), value))
		}
	})
	return errors.Join(errs...)
}

// settingNames lists what can stand in a file of settings, sorted: the flags of
// all commands that read it.
func settingNames(root *cobra.Command) []string {
	names := make(map[string]bool)
	eachSetting(root, func(_ *cobra.Command, f *pflag.Flag) { names[f.Name] = true })
	delete(names, "profile") // a key of its own, and only at the top
	delete(names, "config")
	return slices.Sorted(maps.Keys(names))
}

// eachSetting visits the flags that are settings, by the commands that have them.
func eachSetting(cmd *cobra.Command, visit func(*cobra.Command, *pflag.Flag)) {
	if cmd.Annotations[flagsOnly] != "" || isCobras(cmd) {
		return
	}
	for _, flags := range []*pflag.FlagSet{cmd.PersistentFlags(), cmd.LocalNonPersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !isCobraFlag(f) {
				visit(cmd, f)
			}
		})
	}
	for _, sub := range cmd.Commands() {
		eachSetting(sub, visit)
	}
}

// isCobraFlag reports whether cobra has added a flag, which is no setting.
func isCobraFlag(f *pflag.Flag) bool { return f.Name == "help" || f.Name == "version" }

// isCobras reports whether cobra has added a command: those show help and complete
// command lines, and have no settings.
func isCobras(cmd *cobra.Command) bool {
	for ; cmd.HasParent(); cmd = cmd.Parent() {
		switch cmd.Name() {
		case "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
			return true
		}
	}
	return false
}
