package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// go test ./cmd/poolfill -run TestTheTableOfSettings -update writes the table
// again.
var update = flag.Bool("update", false, "write the generated parts of the documentation again")

// TestTheTableOfSettings compares the table in the documentation with the flags.
func TestTheTableOfSettings(t *testing.T) {
	const (
		path  = "../../docs/configuration.md"
		begin = "<!-- The table is made from the code: go test ./cmd/poolfill -run TestTheTableOfSettings -update -->\n"
		end   = "<!-- end of the table -->\n"
	)
	root, err := newRootCommand(streams{}, new(profiles))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", path)
	}
	want := settingsTable(root)
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: run\n\tgo test ./cmd/poolfill -run TestTheTableOfSettings -update\nIt should say\n%s", path, want)
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// settingsTable lists all settings in Markdown. Where a setting has another
// meaning or default in other commands, it has a line for each.
func settingsTable(root *cobra.Command) string {
	type line struct{ name, value, usage string }
	commands := make(map[line][]string)
	eachSetting(root, func(cmd *cobra.Command, f *pflag.Flag) {
		l := line{f.Name, f.DefValue, strings.Join(strings.Fields(f.Usage), " ")}
		if l.value == "[]" {
			l.value = ""
		}
		commands[l] = append(commands[l], strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "poolfill"), " "))
	})
	lines := make([]line, 0, len(commands))
	for l := range commands {
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(commands[a][0], commands[b][0]), strings.Compare(a.usage, b.usage))
	})
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;")
	var b strings.Builder
	b.WriteString("| setting | variable | default | in | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, l := range lines {
		value := ""
		if l.value != "" {
			value = "`" + l.value + "`"
		}
		in := strings.Join(commands[l], ", ")
		if in == "" {
			in = "all"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", l.name, variable(l.name), value, in, escape.Replace(l.usage))
	}
	return b.String()
}

// TestEveryCommandSaysHowItIsUsed keeps the help texts whole.
func TestEveryCommandSaysHowItIsUsed(t *testing.T) {
	root, err := newRootCommand(streams{}, new(profiles))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s needs a short text and an example", cmd.CommandPath())
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("--%s of %s has no text", f.Name, cmd.CommandPath())
			}
		})
		for _, sub := range cmd.Commands() {
			if !isCobras(sub) {
				walk(sub)
			}
		}
	}
	walk(root)
}
