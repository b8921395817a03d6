package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/config"
	"poolfill/internal/postgres"
	"poolfill/internal/visible"
)

func newConfigCommand(std streams) *cobra.Command {
	var json jsonFlag
	cmd := &cobra.Command{
		Use:   "config [COMMAND [ARGUMENT...]]",
		Short: "Show the settings in force and where each comes from",
		Long: `Config shows the values that a command would have, and where each comes from: a
flag, the environment, a line of the configuration file, or the default. Without
a command it shows those of upload. The token is never shown, only where it is.`,
		Example: `  poolfill config
  poolfill config upload --profile work --mode sync
  poolfill config --json check`,
		// The command that it shows takes the settings, once its own flags are known.
		Annotations: map[string]string{flagsOnly: "yes"},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() && !isCobras(c) {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"upload"}
			}
			target, rest, err := cmd.Root().Find(args)
			if err != nil || target == cmd.Root() || target == cmd || isCobras(target) {
				return misuse(cmd.Root(), "there is no command %q with settings", args[0])
			}
			if err := target.ParseFlags(rest); err != nil {
				return misuse(target, "%s", flagProblem(target, err))
			}
			file, err := applySettings(target)
			if err != nil {
				return err
			}
			if f := target.Flags().Lookup("json"); f != nil && originOf(f).Source == fromFlag {
				json = true
			}
			return json.show(std.out, settingsInForce(target, file))
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what stands after the command is the command's
	json.register(flags)
	return cmd
}

// inForce is what 'poolfill config' shows, and with --json prints.
type inForce struct {
	Command string `json:"command"`
	// File is the file of settings that was read; empty where there is none.
	File     string   `json:"file"`
	Profile  string   `json:"profile"`
	Profiles []string `json:"profiles"`
	// Token is absent where the command needs none.
	Token    *tokenPlace    `json:"token,omitempty"`
	Settings []settingValue `json:"settings"`
}

// settingValue is a setting, its value and where that comes from.
type settingValue struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	origin
	// Means says what a default stands for that is settled when the command runs.
	Means string `json:"means,omitempty"`
}

// tokenPlace says where the token is; never what it is.
type tokenPlace struct {
	// Held is how it is kept: "file", "keyring", "environment" or "nowhere".
	Held string `json:"held"`
	// Name is the file, the name in the keyring or the variable.
	Name   string `json:"name,omitempty"`
	origin        // of the setting that names it
}

// settingsInForce looks at a command after applySettings.
func settingsInForce(cmd *cobra.Command, file *config.File) inForce {
	in := inForce{Command: cmd.CommandPath(), Profiles: []string{}, Profile: stringFlag(cmd, "profile")}
	if file != nil {
		in.File, in.Profiles, in.Profile = file.Path, append(in.Profiles, file.Profiles()...), cmp.Or(in.Profile, file.Profile)
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || isCobraFlag(f) {
			return
		}
		o := originOf(f)
		in.Settings = append(in.Settings, settingValue{f.Name, shownValue(f), o, meansOf(f, o)})
	})
	if cmd.Flags().Lookup("token-keyring") != nil {
		in.Token = new(placeOfToken(cmd.Flags()))
	}
	return in
}

// meansOf returns what a flag's help says of a default that is no value itself.
func meansOf(f *pflag.Flag, o origin) string {
	_, text, found := strings.Cut(f.Usage, "(default")
	if o.Source != fromDefault || !found {
		return ""
	}
	text, _, _ = strings.Cut(text, ")")
	return strings.Join(strings.Fields(strings.TrimPrefix(text, ":")), " ")
}

// placeOfToken returns where tokenFlags would read the token.
func placeOfToken(flags *pflag.FlagSet) tokenPlace {
	for _, held := range []string{"file", "keyring"} {
		if f := flags.Lookup("token-" + held); f.Value.String() != "" {
			return tokenPlace{held, f.Value.String(), originOf(f)}
		}
	}
	if strings.TrimSpace(os.Getenv(tokenVariable)) != "" {
		return tokenPlace{"environment", tokenVariable, origin{fromEnvironment, tokenVariable}}
	}
	return tokenPlace{Held: "nowhere", origin: origin{Source: fromDefault}}
}

// notShown stands for what may be a secret.
const notShown = "(not shown)"

// shownValue returns a flag's value as JSON has it. A password in an address is
// left out, and so is whom to notify, as the URL of a webhook is often a secret.
func shownValue(f *pflag.Flag) any {
	text := f.Value.String()
	if f.Name == "notify" && text != "" {
		return notShown
	}
	switch f.Value.Type() {
	case "bool", "int", "int64", "uint64", "float64":
		return json.RawMessage(text)
	case "stringToString":
		set := pflag.NewFlagSet("", pflag.ContinueOnError)
		set.AddFlag(f)
		if pairs, err := set.GetStringToString(f.Name); err == nil {
			return pairs
		}
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...)
	}
	if f.Name == dbFlag && text != "" || postgres.IsURL(text) {
		return postgres.Public(text)
	}
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return u.Redacted()
	}
	return text
}

// Text is part of ui.Result.
func (in inForce) Text(w io.Writer) error {
	switch {
	case in.File == "":
		fmt.Fprintln(w, "Configuration file: none")
	case in.Profile == "":
		visible.Fprintf(w, "Configuration file: %s\n", in.File)
	default:
		visible.Fprintf(w, "Configuration file: %s, profile %s\n", in.File, in.Profile)
	}
	visible.Fprintf(w, "In force for '%s':\n\n", in.Command)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	if t := in.Token; t != nil {
		value, from := notShown, t.Place
		switch t.Held {
		case "nowhere":
			value, from = "(none)", fmt.Sprintf("set %s, token-file or token-keyring", tokenVariable)
		case "file", "keyring":
			from = fmt.Sprintf("the %s %s", t.Held, t.Name)
		}
		visible.Fprintf(table, "(token)\t%s\t%s\n", value, from)
	}
	for _, s := range in.Settings {
		from, value := cmp.Or(s.Place, string(s.Source)), shownText(s.Value)
		if s.Means != "" {
			value = "(" + s.Means + ")"
		}
		visible.Fprintf(table, "%s\t%s\t%s\n", s.Name, value, from)
	}
	return table.Flush()
}

// shownText returns a value as a line of a table has it.
func shownText(value any) string {
	switch v := value.(type) {
	case string:
		if v == "" {
			return "-"
		}
		return v
	case json.RawMessage:
		return string(v)
	}
	text, err := json.Marshal(value)
	if s := string(text); err == nil && s != "[]" && s != "{}" {
		return s
	}
	return "-"
}
