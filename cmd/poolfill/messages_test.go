package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
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
	} {
		if got := plainly(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
