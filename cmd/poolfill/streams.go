package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/visible"
	"poolfill/pipeline"
)

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// configure may change what a run is made of, just before it begins; nil
	// changes nothing. Tests crash runs with it.
	configure func(*pipeline.Config)
	// stop ends a run as a first signal does, when it is closed; nil never is.
	stop <-chan struct{}
	// reported is told the report of a run; nil is told nothing.
	reported func(pipeline.Report)
}

// gated returns the streams with a gate before each that people read, which lets nothing
// hidden pass.
func (s streams) gated() (gated streams, closeGates func()) {
	out, err := visible.NewWriter(s.out), visible.NewWriter(s.err)
	s.out, s.err = out, err
	return s, func() { _ = errors.Join(out.Close(), err.Close()) } // half a character, at most
}

func isTerminal(w io.Writer) bool {
	_, ok := ui.Terminal(w)
	return ok
}

// stopOnSignals calls soft at the first signal, and hard at the second or when
// the grace is over; a grace of 0 has no end.
func stopOnSignals(soft, hard func(), grace time.Duration) (release func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-done:
			return
		case <-signals:
			soft()
		}
		var over <-chan time.Time
		if grace > 0 {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-done:
			return
		case <-signals:
		case <-over:
		}
		hard()
		signal.Stop(signals) // a further one ends the process as it would any other
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// defaultGrace is shorter than what Kubernetes gives a process to end.
const defaultGrace = 25 * time.Second
