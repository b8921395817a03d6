package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"github.com/zalando/go-keyring"
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
