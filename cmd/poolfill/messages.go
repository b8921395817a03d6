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

	"github.com/jackc/pgx/v5/pgconn"

	"poolfill/cmd/poolfill/internal/explain"
	"poolfill/internal/visible"
	"poolfill/reader"
)

// plainly returns an error's text, with words for people in place of what the system
// says of files and addresses: "the spec can't be read: spec.json: there is no such
// file or folder".
func plainly(err error) string {
	return explain.WithFlags(lines(err))
}

// lines returns the text of an error as it is shown. It has more than one line only where
// the error is made of several, has advice below it, or is of several findings: whatever
// else begins a line, in the name of a file or the message of a server, is not ours.
func lines(err error) string {
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case *unfinishedError:
		return lines(e.err) + "\nTo go on: " + visible.Text(e.command)
	case *advisedError:
		text := lines(e.err)
		for _, line := range e.advice {
			text += "\n" + visible.Text(line)
		}
		return text
	case *pgconn.ConnectError: // which has a line for each address
		return visible.Text(strings.Join(strings.Fields(e.Error()), " "))
	case *reader.InputError:
		findings := make([]string, len(e.Findings))
		for i, f := range e.Findings {
			findings[i] = visible.Text(f.Describe(e.File))
		}
		return strings.Join(findings, "\n")
	}
	if words := systemWords(err); words != "" && isSystems(err) {
		return visible.Text(words)
	}
	return linesAround(err.Error(), madeOf(err))
}

// linesAround returns a text with the causes in it as they are shown.
func linesAround(text string, causes []error) string {
	var b strings.Builder
	for _, cause := range causes {
		before, after, found := strings.Cut(text, cause.Error())
		switch {
		case !found:
			continue
		case before == "\n" && b.Len() > 0: // as errors.Join parts them
			b.WriteString(before)
		default:
			b.WriteString(visible.Text(before))
		}
		b.WriteString(lines(cause))
		text = after
	}
	return b.String() + visible.Text(text)
}

// madeOf returns the errors that an error was made of.
func madeOf(err error) []error {
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	}
	return nil
}

// isSystems reports whether an error is what the system says of a file or an address. Of
// requests it isn't wanted: they come with a sentence.
func isSystems(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it is one of a chain
	case *fs.PathError, *os.LinkError:
		return true
	case *net.OpError:
		return e.Op == "listen"
	}
	return false
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
