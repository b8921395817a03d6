//go:build !man

package main

import "os"

func main() {
	tuneMemory()
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
