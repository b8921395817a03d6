package pipeline

import (
	"sync/atomic"
	"time"

	"poolfill/ratelimit"
)

// Progress is a look at a run from outside, at one moment.
type Progress struct {
	// Started is zero until the first row is read.
	Started time.Time
	// BytesRead and BytesTotal are of the inputs as they are stored. BytesTotal
	// is 0 where an input's size is unknown.
	BytesRead  int64
	BytesTotal int64
	Totals     Totals
	// InFlight counts the tasks that were given to a worker and have no outcome.
	InFlight int64
	// Stopping is set from the moment that the run takes no new rows.
	Stopping bool
	// Retried counts requests that repeat another.
	Retried int64
	// Gate says what the quota makes the run wait for.
	Gate ratelimit.State
}

// counters are the parts of Progress that several goroutines write.
type counters struct {
	inputBytes atomic.Int64 // the size of all inputs
	doneBytes  atomic.Int64 // of the inputs that were read to their end
	openBytes  atomic.Int64 // read of the open input
	inFlight   atomic.Int64
	started    atomic.Int64 // Unix nanoseconds
}

// Progress may be called from any goroutine at any time.
func (p *Pipeline) Progress() Progress {
	now := Progress{
		BytesRead:  p.progress.doneBytes.Load() + p.progress.openBytes.Load(),
		BytesTotal: p.progress.inputBytes.Load(),
		InFlight:   p.progress.inFlight.Load(),
	}
	if started := p.progress.started.Load(); started != 0 {
		now.Started = time.Unix(0, started)
	}
	select {
	case <-p.stopping:
		now.Stopping = true
	default:
	}
	if p.client != nil {
		now.Retried = p.client.Stats().Retried
		now.Gate = p.gate.State()
	}
	p.mu.Lock()
	now.Totals = p.tally.totals
	p.mu.Unlock()
	return now
}
