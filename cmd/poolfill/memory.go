//go:build !man

package main

import (
	"runtime"
	"runtime/debug"
)

const (
	// collectFrom is how much memory the program may take before it is collected for
	// the first time, in bytes. A run takes more soon, and what comes before it leaves
	// next to nothing to collect; by size alone there would be a dozen collections on
	// the way there, each of which stands in the way of the first rows.
	collectFrom = 30 << 20
	// collectPercent is how much garbage may be there from then on. A run's live memory
	// is a few chunks, whose buffers are used again; what the collector lets pile up on
	// top is most of the peak. Collecting twice as often as usual costs little, as there
	// is little to collect.
	collectPercent = 40
)

// tuneMemory makes the collector do what fits a run, and a command that is over in a
// moment.
func tuneMemory() {
	limit := debug.SetMemoryLimit(-1) // of the environment
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(min(collectFrom, limit))
	unused := new(*byte)                           // its pointer makes it an object of its own, as cleanups need
	runtime.AddCleanup(unused, func(limit int64) { // after the first collection
		debug.SetGCPercent(collectPercent)
		debug.SetMemoryLimit(limit)
	}, limit)
}
