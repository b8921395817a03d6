//go:build !man

package main

import (
	"os"
	"runtime/debug"
)

func main() {
	// A run's live memory is a few chunks, whose buffers are used again; what the
	// collector lets pile up on top is most of the peak. Collecting twice as
	// often costs little, as there is little to collect.
	debug.SetGCPercent(40)
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
