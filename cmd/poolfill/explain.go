package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"poolfill/cmd/poolfill/internal/explain"
	"poolfill/internal/visible"
)

func newExplainCommand(std streams) *cobra.Command {
	var json jsonFlag
	cmd := &cobra.Command{
		Use:   "explain [CODE...]",
		Short: "Explain the codes of rejections, warnings and server errors",
		Long: `Explain says what a code means that a report, a message or results.tsv has, with
an example and what to do about it. Without a code it lists them all.`,
		Example: `  poolfill explain COLUMN_COUNT
  poolfill explain value-required value-not-allowed
  poolfill explain --json`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var all []cobra.Completion
			for _, e := range explain.All() {
				all = append(all, e.Code)
			}
			return all, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return json.show(std.out, codeList(explain.All()))
			}
			entries, err := entriesOf(args)
			if err != nil {
				return &usageError{err}
			}
			return json.show(std.out, codes(entries))
		},
	}
	json.register(cmd.Flags())
	return cmd
}

// entriesOf finds the codes that the user named.
func entriesOf(codes []string) ([]explain.Entry, error) {
	entries := make([]explain.Entry, len(codes))
	for i, code := range codes {
		entry, ok := explain.Find(code)
		if !ok {
			hint := ""
			if near := explain.Near(code); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, ", ") + "?"
			}
			return nil, advise(fmt.Errorf("there is no code %q%s", code, hint), "'poolfill explain' lists them all")
		}
		entries[i] = entry
	}
	return entries, nil
}

// codes are some codes, each explained whole.
type codes []explain.Entry

// Text is part of ui.Result.
func (entries codes) Text(w io.Writer) error {
	for i, e := range entries {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if _, err := visible.Fprintf(w, "%s (%s)\n\n%s\n\nFor example:  %s\nWhat to do:   %s\n", e.Code, e.Where, e.Means, e.Example, e.Do); err != nil {
			return err
		}
	}
	return nil
}

// codeList is all codes, a line each.
type codeList []explain.Entry

// Text is part of ui.Result.
func (entries codeList) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var last explain.Where
	for _, e := range entries {
		if e.Where != last {
			if last != "" {
				fmt.Fprintln(table)
			}
			visible.Fprintf(table, "%s\n", titleOf(e.Where))
			last = e.Where
		}
		first, _, _ := strings.Cut(e.Means, ". ")
		visible.Fprintf(table, "  %s\t%s\n", e.Code, strings.TrimSuffix(first, "."))
	}
	fmt.Fprint(table, "\nMore on one of them: poolfill explain CODE\n")
	return table.Flush()
}

// titleOf says what the codes of a subject have in common.
func titleOf(where explain.Where) string {
	return map[explain.Where]string{
		explain.File:    "The file can't be read:",
		explain.Header:  "The columns don't fit, so that the file isn't read:",
		explain.Row:     "The row is rejected, because of its form:",
		explain.Value:   "The row is rejected, because of a value:",
		explain.Warning: "Odd, but nothing is stopped:",
		explain.Request: "The server refuses a request:",
		explain.Plan:    "The pool, or the plan for it:",
	}[where]
}
