// Command bench measures poolfill as a whole program, next to other programs
// that do the same job:
//
//	go run ./bench [flags]           measures and prints Markdown tables
//	go run ./bench generate [flags]  writes an input, and what it looks like as requests
//	go run ./bench echo [flags]      answers uploads as cheaply as possible
//	go run ./bench floor [flags]     posts ready-made requests: no uploader can cost less
//	go run ./bench library [flags]   uploads as a Go program does, with a ledger or without
//
// It is run from the module's root. What goes in: a poolfill binary, or the
// sources around it. What comes out: tables on standard output; a run that
// uploads another number of tasks than it should is an error. Memory: a few
// megabytes, but for echo, which holds what is under way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out, log io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch name {
	case "generate":
		return generate(args[1:], log)
	case "echo":
		return echo(ctx, args[1:], out, log)
	case "floor":
		return floor(ctx, args[1:], log)
	case "library":
		return library(ctx, args[1:], log)
	}
	return compare(ctx, args, out, log)
}

// flagSet makes the flags of one of the commands.
func flagSet(name string, log io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(log)
	return flags
}
