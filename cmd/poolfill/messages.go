package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/explain"
	"poolfill/internal/spelling"
)

// plainly gives an error's text, with words for people in place of what the system
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

// flagProblem says what is wrong with a flag, in the words of someone who never wrote
// one.
func flagProblem(cmd *cobra.Command, err error) string {
	var (
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &value):
		return fmt.Sprintf("--%s is %s, not %q", value.GetFlag().Name, allowed(value.GetFlag()), value.GetValue())
	case errors.As(err, &missing):
		f := missing.GetFlag()
		return fmt.Sprintf("--%s lacks its value: %s", f.Name, f.Usage)
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return unknownFlag(cmd, "--", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		// A long flag with one dash is taken for many short ones.
		name, _, _ := strings.Cut(unknown.GetSpecifiedShortnames(), "=")
		return unknownFlag(cmd, "-", name)
	}
	return err.Error()
}

// unknownFlag says that there is no such flag, and which one was likely meant.
func unknownFlag(cmd *cobra.Command, dashes, name string) string {
	says := "there is no flag " + dashes + name
	if name == "token" && cmd.Flags().Lookup("token-keyring") != nil {
		return says + ": the token comes from " + tokenVariable + ", or from a file that --token-file names, as others on the machine can see arguments"
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	slices.Sort(names)
	if near := spelling.Nearest(name, names); near != "" {
		return says + "; did you mean --" + near + "?"
	}
	return says
}

// allowed says what a flag can be.
func allowed(f *pflag.Flag) string {
	if choices := f.Annotations[choicesKey]; choices != nil {
		return orList(choices)
	}
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "int", "int64", "uint64":
		return "a whole number from 0"
	case "float64":
		return "a number from 0"
	case "duration":
		return "a time such as 90s, 15m or 2h"
	case "stringToString":
		return "pairs such as picture=INPUT:image"
	}
	return "a value"
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
