package pipeline

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"poolfill/ratelimit"
	"poolfill/uploader"
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
	// Requests counts the requests so far.
	Requests uploader.Stats
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
		now.Requests = p.client.Stats()
		now.Gate = p.gate.State()
	}
	p.mu.Lock()
	now.Totals = p.tally.totals
	p.mu.Unlock()
	return now
}

// tellProgress calls OnProgress from time to time until the function that it
// returns is called, which calls it once more.
func (p *Pipeline) tellProgress() (stop func()) {
	if p.cfg.OnProgress == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(p.cfg.ProgressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.cfg.OnProgress(p.Progress())
			case <-quit:
				p.cfg.OnProgress(p.Progress())
				return
			}
		}
	})
	return func() {
		close(quit)
		done.Wait()
	}
}

// Outlook is what a person asks a run for.
type Outlook struct {
	// Done counts the rows that have their outcome.
	Done int64
	// Rate is in rows a second, 0 where it is unknown.
	Rate float64
	// Share is the part of all rows that is done, from 0 to 1; 0 where it is
	// unknown, as the size of an input is.
	Share float64
	// Left is how long the rest will take at that rate; 0 where it is unknown.
	Left time.Duration
}

// Outlook says how far the run is at the time now.
//
// The rate is the mean of the whole run: under a quota rows go in bursts, and
// the speed of the last seconds would say nothing about the rest.
func (p Progress) Outlook(now time.Time) Outlook {
	t := p.Totals
	o := Outlook{Done: t.Created + t.Valid + t.Rejected + t.Duplicate + t.Unsent}
	if elapsed := now.Sub(p.Started).Seconds(); !p.Started.IsZero() && elapsed > 0 {
		o.Rate = float64(o.Done) / elapsed
	}
	if p.BytesTotal > 0 && p.BytesRead > 0 && t.Rows > 0 && o.Rate > 0 {
		rows := float64(t.Rows) / float64(p.BytesRead) * float64(p.BytesTotal)
		o.Left = time.Duration(math.Max(0, rows-float64(o.Done)) / o.Rate * float64(time.Second)).Round(time.Second)
		o.Share = math.Min(1, float64(o.Done)/math.Max(1, rows))
	}
	return o
}
