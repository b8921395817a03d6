package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/zalando/go-keyring"
	"golang.org/x/term"
)

// tokenVariable holds the token, unless a file or the keyring does. The name is
// that of Toloka's own examples.
const tokenVariable = "TOLOKA_TOKEN"

// keyringService is the name under which the system's keyring has the tokens.
const keyringService = "poolfill"

// errNoToken is the error where no token was given in any way.
var errNoToken = errors.New("no token: set " + tokenVariable + ", or name a file with --token-file or an entry of the system's keyring with --token-keyring")

// tokenFlags say where the token is. It is never an argument, where others on
// the machine could see it.
type tokenFlags struct{ file, keyring string }

func (f *tokenFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "token-file", "", "a file that holds the token, instead of the variable "+tokenVariable)
	flags.StringVar(&f.keyring, "token-keyring", "", "the token's name in the system's keyring; see 'poolfill token'")
}

// token reads the token.
func (f tokenFlags) token() (string, error) {
	switch {
	case f.file != "" && f.keyring != "":
		return "", errors.New("--token-file and --token-keyring exclude each other")
	case f.file != "":
		return readToken(f.file)
	case f.keyring != "":
		return keyringToken(f.keyring)
	}
	token := strings.TrimSpace(os.Getenv(tokenVariable))
	if token == "" {
		return "", errNoToken
	}
	return token, nil
}

// place says where the token is, as in "check the file token.txt".
func (f tokenFlags) place() string {
	switch {
	case f.file != "":
		return "the file " + f.file
	case f.keyring != "":
		return fmt.Sprintf("the keyring's token %q", f.keyring)
	}
	return tokenVariable
}

func readToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the token can't be read: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%s is empty: it should hold the token", path)
	}
	return token, nil
}

func keyringToken(name string) (string, error) {
	token, err := keyring.Get(keyringService, name)
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return "", fmt.Errorf("the keyring has no token named %q: put it there with 'poolfill token set %s'", name, name)
	case err != nil:
		return "", noKeyring(err)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", fmt.Errorf("the keyring's token named %q is empty: set it with 'poolfill token set %s'", name, name)
	}
	return token, nil
}

func noKeyring(err error) error {
	return fmt.Errorf("the system's keyring can't be used here: keep the token in a file that only you can read and name that with --token-file (%w)", err)
}

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
			_, err = fmt.Fprintf(std.err, "The keyring has the token %q now. Use it with --token-keyring %s.\n", args[0], args[0])
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
			_, err = fmt.Fprintf(std.err, "The keyring has the token %q no more.\n", args[0])
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
