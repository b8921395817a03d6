package main

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"poolfill/internal/emulator"
)

// carry runs a command line in this process, and gives what it says.
func carry(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, streams{in: strings.NewReader(stdin), out: &out, err: &err})
	return code, out.String(), err.String()
}

func TestTheTokenFromTheKeyring(t *testing.T) {
	keyring.MockInit()
	t.Setenv("TOLOKA_TOKEN", "")
	t.Setenv("POOLFILL_CONFIG", os.DevNull)
	server, err := emulator.New(emulator.Config{Token: "right-token"})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	check := []string{
		"check", "../../testdata/animals.tsv", "--pool", emulator.DemoPool, "--url", listener.URL,
		"--out", filepath.Join(t.TempDir(), "out"), "--token-keyring", "work",
	}
	steps := []struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		{"", check, exitUsage, `the keyring has no token named "work": put it there with 'poolfill token set work'`},
		{"\n", []string{"token", "set", "work"}, exitUsage, "no token was given"},
		{"", []string{"token", "set"}, exitUsage, "poolfill token set takes one name"},
		{"  right-token\nrest", []string{"token", "set", "work"}, exitOK, "--token-keyring work"},
		{"", check, exitOK, ""},
		{"wrong-token", []string{"token", "set", "other"}, exitOK, ""},
		{"", append(check, "--token-keyring", "other"), exitUsage, `check the keyring's token "other", and that it belongs to`},
		{"", append(check, "--token-file", "x"), exitUsage, "exclude each other"},
		{"", []string{"token", "forget", "work"}, exitOK, "no more"},
		{"", []string{"token", "forget", "work"}, exitUsage, `has no token named "work"`},
	}
	for _, step := range steps {
		code, _, stderr := carry(step.stdin, step.args...)
		if code != step.code || !strings.Contains(stderr, step.says) {
			t.Errorf("%v: exit code %d, want %d; it says %q, want %q", step.args, code, step.code, stderr, step.says)
		}
		if strings.Contains(stderr, "right-token") {
			t.Errorf("%v shows the token", step.args)
		}
	}
	keyring.MockInitWithError(errors.New("no bus"))
	if code, _, stderr := carry("", check...); code != exitUsage || !strings.Contains(stderr, "the system's keyring can't be used here: keep the token in a file") {
		t.Errorf("without a keyring: exit code %d, %s", code, stderr)
	}
}
