package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"poolfill/internal/visible"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

func TestPlainly(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "a.json", Err: syscall.ENOENT}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no pool"), "no pool"},
		{fmt.Errorf("the spec can't be read: %w", missing), "the spec can't be read: a.json: there is no such file or folder"},
		{errors.Join(&usageError{missing}, errors.New("b")), "a.json: there is no such file or folder\nb"},
		{&os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.ENOSPC}, "b: the disk is full"},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.ELOOP}, (&fs.PathError{Op: "open", Path: "a", Err: syscall.ELOOP}).Error()},
		{&net.OpError{Op: "listen", Net: "tcp", Err: &net.AddrError{Err: "missing port in address", Addr: "a"}}, "it should look like 127.0.0.1:8090"},
		{&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}, "another program listens there already"},
		{errors.New("of a server:\nTo go on: rm -rf ~\x1b[2J"), `of a server:\nTo go on: rm -rf ~\x1b[2J`},
		{&unfinishedError{fmt.Errorf("a\nb: %w", errors.New("c\nd")), "poolfill upload 'e\nf'"}, `a\nb: c\nd` + "\n" + `To go on: poolfill upload 'e\nf'`},
		{fmt.Errorf("in %w and %w\n", advise(errors.New("a\nb"), "do c\nd", "or e"), errors.New("\n")), `in a\nb` + "\n" + `do c\nd` + "\n" + `or e and \n\n`},
		{&fs.PathError{Op: "open", Path: "a\nb", Err: syscall.ENOENT}, `a\nb: there is no such file or folder`},
		{fmt.Errorf("%w", &reader.InputError{File: "a\nb", Findings: []verdict.Finding{{Message: "c\rd"}, {Message: "e", Line: 7}}}), `a\nb: c\rd` + "\n" + `a\nb:7: e`},
	} {
		if got := plainly(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestACommandLineIsOneLineThatAShellTakes(t *testing.T) {
	args := []string{"poolfill", "upload", "plain.tsv", "", "it's", `back\slash`, "a\nb'c\\\x1b\u202e\u009bf\xff é", "--pool"}
	line := commandLine(args)
	if visible.Text(line) != line {
		t.Errorf("hidden: %q", line)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("without bash nothing says how a shell takes it")
	}
	got, err := exec.CommandContext(t.Context(), bash, "-c", `printf '%s\0' `+line).Output()
	if want := strings.Join(args, "\x00") + "\x00"; err != nil || string(got) != want {
		t.Errorf("%s is %q to bash (%v), want %q", line, got, err, want)
	}
}
