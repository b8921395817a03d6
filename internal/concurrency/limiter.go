// Package concurrency decides how many chunks are uploaded at a time.
//
// What goes in: uploads that want to begin, how each went, and word of requests
// that were too much for the server. What comes out: a place for each, of which
// there are as many as pay. Their number grows while uploads wait for a place
// and more at a time get more done. It does not grow where the quota is the
// bound, or where more at a time only take longer. It is halved, at most once a
// round trip, where the server is overloaded.
//
// Memory: bytes bound the places, too; see Config.MaxBytes.
package concurrency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// What zero means in a Config.
const (
	DefaultStart    = 4
	DefaultMax      = 64
	DefaultMaxBytes = 12 << 20
)

// Config bounds the number of places. With Min, Start and Max all the same that
// number is fixed.
type Config struct {
	// Start is the number of places to begin with; 0 means 4, or the nearest
	// to that between Min and Max.
	Start int
	// Min and Max bound the number of places; 0 means 1 and 64.
	Min, Max int
	// MaxBytes bounds the sum of the bytes that those with a place hold, though
	// one always has a place; 0 means 12 MiB.
	MaxBytes int64
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"number of uploads to begin with", int64(c.Start)},
		{"least number of uploads", int64(c.Min)},
		{"largest number of uploads", int64(c.Max)},
		{"number of bytes in memory", c.MaxBytes},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("the %s is negative: %d", n.name, n.value))
		}
	}
	d := c.withDefaults()
	if d.Min > d.Start || d.Start > d.Max {
		errs = append(errs, fmt.Errorf("the number of uploads to begin with, %d, is not between %d and %d", d.Start, d.Min, d.Max))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Min = cmp.Or(c.Min, 1)
	c.Max = cmp.Or(c.Max, DefaultMax)
	c.Start = cmp.Or(c.Start, max(c.Min, min(DefaultStart, c.Max)))
	c.MaxBytes = cmp.Or(c.MaxBytes, DefaultMaxBytes)
	return c
}

// Limiter grants places to uploads. It is safe for concurrent use.
type Limiter struct {
	maxBytes int64

	mu      sync.Mutex
	control control
	used    int
	bytes   int64
	waiting []*Place      // in the order in which they came
	crowded time.Duration // for how long in all somebody waited as the limit was used up
	looked  time.Time     // until when that is known
}

// New returns a Limiter, or an error that names what is wrong with cfg.
func New(cfg Config) (*Limiter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	now := time.Now()
	return &Limiter{maxBytes: cfg.MaxBytes, control: newControl(cfg.Min, cfg.Start, cfg.Max, now), looked: now}, nil
}

// Limit is the number of places there are now.
func (l *Limiter) Limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.control.limit
}

// Acquire waits for a place for an upload that holds so many bytes in memory.
// Places are granted in the order in which they are asked for. Its error is the
// cause of ctx's end; then there is no place.
func (l *Limiter) Acquire(ctx context.Context, bytes int64) (*Place, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p := &Place{limiter: l, bytes: bytes, granted: make(chan struct{})}
	l.mu.Lock()
	l.look()
	l.waiting = append(l.waiting, p)
	l.grant()
	l.mu.Unlock()
	select {
	case <-p.granted:
		return p, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	if i := slices.Index(l.waiting, p); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.grant() // the next may hold less
	} else {
		l.release(p)
	}
	return nil, context.Cause(ctx)
}

// look brings crowded up to date, before anything changes. It needs l.mu.
func (l *Limiter) look() (now time.Time) {
	now = time.Now()
	if len(l.waiting) > 0 && l.used >= l.control.limit {
		l.crowded += now.Sub(l.looked)
	}
	l.looked = now
	return now
}

// grant grants places to those that wait, just after a look. It needs l.mu.
func (l *Limiter) grant() {
	for len(l.waiting) > 0 {
		p := l.waiting[0]
		if l.used >= l.control.limit || l.used > 0 && l.bytes+p.bytes > l.maxBytes {
			return
		}
		l.used++
		l.bytes += p.bytes
		l.waiting = slices.Delete(l.waiting, 0, 1)
		p.began, p.crowded = l.looked, l.crowded
		close(p.granted)
	}
}

// Overload notes that the server could not cope with a request that was sent at
// that time.
func (l *Limiter) Overload(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.control.overload(sent, l.look())
}

// Place is the right to upload. Exactly one of its methods must be called, once.
type Place struct {
	limiter *Limiter
	bytes   int64
	granted chan struct{} // closed when there is the place
	began   time.Time
	crowded time.Duration // the limiter's, at that time
}

// Done releases the place after an upload that waited so long for the quota.
func (p *Place) Done(waited time.Duration) {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.look()
	l.control.done(p.began, now, waited, l.crowded-p.crowded)
	l.release(p)
}

// Cancel releases the place with nothing learned, as after an upload that
// failed or was broken off.
func (p *Place) Cancel() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	l.release(p)
}

// release takes a place back, just after a look. It needs l.mu.
func (l *Limiter) release(p *Place) {
	l.used--
	l.bytes -= p.bytes
	l.grant()
}
