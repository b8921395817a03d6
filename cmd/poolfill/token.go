package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"poolfill/internal/visible"

	"github.com/spf13/cobra"
	"github.com/zalando/go-keyring"
	"golang.org/x/term"
)

func newTokenCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Keep tokens in the system's keyring",
		Long: `Token puts an API token into the keyring of the system, under a name: the
Keychain of macOS, the Credential Manager of Windows, or the Secret Service of a
Linux desktop. --token-keyring NAME, or token-keyring in the configuration file,
then uses it. Servers rarely have a keyring: there, keep the token in a file that
only you can read, and name that with --token-file.`,
		Example: `  poolfill token set work
  poolfill upload tasks.tsv --pool 1238218 --token-keyring work
  poolfill token forget work`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "set NAME",
		Short: "Put a token into the keyring",
		Long: `Set asks for the token, without showing it, or reads the first line of standard
input where that is no terminal.`,
		Example: `  poolfill token set work
  pass show toloka | poolfill token set work`,
		Args:              oneName,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			token, err := askToken(std)
			if err != nil {
				return &usageError{err}
			}
			if err := keyring.Set(keyringService, args[0], token); err != nil {
				return noKeyring(err)
			}
			_, err = visible.Fprintf(std.err, "The keyring has the token %q now. Use it with --token-keyring %s.\n", args[0], args[0])
			return err
		},
	}, &cobra.Command{
		Use:               "forget NAME",
		Short:             "Take a token out of the keyring",
		Example:           `  poolfill token forget work`,
		Args:              oneName,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			err := keyring.Delete(keyringService, args[0])
			if errors.Is(err, keyring.ErrNotFound) {
				return &usageError{fmt.Errorf("the keyring has no token named %q", args[0])}
			}
			if err != nil {
				return noKeyring(err)
			}
			_, err = visible.Fprintf(std.err, "The keyring has the token %q no more.\n", args[0])
			return err
		},
	})
	return cmd
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return misuse(cmd, "%s takes one name, of your choice", cmd.CommandPath())
	}
	return nil
}

// askToken reads a token from a terminal, without showing it, or else the first
// line of standard input.
func askToken(std streams) (string, error) {
	var line string
	var err error
	if file, ok := std.in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(std.err, "Token: ")
		var typed []byte
		typed, err = term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(std.err)
		line = string(typed)
	} else {
		const longest = 64 << 10
		line, err = bufio.NewReader(io.LimitReader(std.in, longest)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("the token can't be read: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", errors.New("no token was given")
	}
	return line, nil
}
