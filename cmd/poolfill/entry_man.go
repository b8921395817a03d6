//go:build man

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// main writes the man pages of all commands to a folder; 'make man' builds it in
// place of the program, which then needs none of what makes them.
func main() {
	if err := writeManPages(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
}

func writeManPages(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: go run -tags man ./cmd/poolfill FOLDER")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	root, err := newRootCommand(streams{}, new(profiles))
	if err != nil {
		return err
	}
	// The same source gives the same pages: no date but SOURCE_DATE_EPOCH, and
	// no line that says when they were made.
	disableDate(root)
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "poolfill", Manual: "poolfill manual"}, args[0])
}

func disableDate(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	for _, sub := range cmd.Commands() {
		disableDate(sub)
	}
}
