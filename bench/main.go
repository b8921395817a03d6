// Command bench measures poolfill as a whole program, next to other programs
// that do the same job:
//
//	go run ./bench generate [flags]  writes an input, and what it looks like as requests
//	go run ./bench echo [flags]      answers uploads as cheaply as possible
//	go run ./bench floor [flags]     posts ready-made requests: no uploader can cost less
//
// Memory: a few megabytes, but for echo, which holds what is under way.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
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
	}
	return errors.New("name one of the commands generate, echo and floor")
}

// flagSet makes the flags of one of the commands.
func flagSet(name string, log io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(log)
	return flags
}
