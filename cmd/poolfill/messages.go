package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"poolfill/cmd/poolfill/internal/explain"
)

// plainly returns an error's text, with words for people in place of what the system
// says of files and addresses: "the spec can't be read: spec.json: there is no such
// file or folder".
func plainly(err error) string {
	text := err.Error()
	for _, cause := range systemErrors(err) {
		if words := systemWords(cause); words != "" {
			text = strings.ReplaceAll(text, cause.Error(), words)
		}
	}
	return explain.WithFlags(text)
}

// systemErrors finds the errors of the system that an error was made of.
func systemErrors(err error) []error {
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case *fs.PathError, *os.LinkError:
		return []error{err}
	case *net.OpError:
		if e.Op == "listen" {
			return []error{err}
		}
		return nil // of requests: they come with a sentence
	case interface{ Unwrap() []error }:
		var found []error
		for _, part := range e.Unwrap() {
			found = append(found, systemErrors(part)...)
		}
		return found
	}
	if inner := errors.Unwrap(err); inner != nil {
		return systemErrors(inner)
	}
	return nil
}

// systemWords says what a system's error means; empty where it has no words for it.
func systemWords(err error) string {
	var address *net.AddrError
	if errors.As(err, &address) {
		return "it should look like 127.0.0.1:8090"
	}
	reason := ""
	for _, known := range []struct {
		cause error
		words string
	}{
		{fs.ErrNotExist, "there is no such file or folder"},
		{fs.ErrExist, "it is there already"},
		{fs.ErrPermission, "its permissions don't allow that"},
		{syscall.ENOSPC, "the disk is full"},
		{syscall.EROFS, "the disk is read-only"},
		{syscall.ENOTDIR, "a part of the path is a file, not a folder"},
		{syscall.EISDIR, "it is a folder, not a file"},
		{syscall.EIO, "the disk can't be read or written"},
		{syscall.EADDRINUSE, "another program listens there already"},
		{syscall.EADDRNOTAVAIL, "this machine doesn't have that address"},
	} {
		if errors.Is(err, known.cause) {
			reason = known.words
			break
		}
	}
	var (
		path *fs.PathError
		link *os.LinkError
	)
	switch {
	case reason == "":
		return ""
	case errors.As(err, &path):
		return path.Path + ": " + reason
	case errors.As(err, &link):
		return link.New + ": " + reason
	}
	return reason
}

// jsonProblem says where data is no JSON, or what in it is of another type.
func jsonProblem(data []byte, err error) string {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		before := string(data[:min(max(syntax.Offset-1, 0), int64(len(data)))])
		line := 1 + strings.Count(before, "\n")
		column := utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:]) + 1
		return fmt.Sprintf("look at line %d, column %d", line, column)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("%s can't be a %s", kind.Field, kind.Value)
	}
	return "it should be {\"input_spec\": {field: {\"type\": …}}, \"output_spec\": {…}}"
}
