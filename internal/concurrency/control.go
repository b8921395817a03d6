package concurrency

import "time"

const (
	// minRound is the fewest uploads that a decision rests on.
	minRound = 4
	// leastRound is the shortest time that a decision rests on: uploads of a few
	// milliseconds all stand still when the disk does, which means nothing.
	leastRound = 200 * time.Millisecond
	// A probe must bring half of what it would if nothing got slower.
	worthwhile = 0.5
	// gatedShare is the share of an upload's time above which waiting for the
	// quota says that the quota is the bound: enough of them wait then for it to
	// be used up even while others stand still. Above idleShare there are far
	// more uploads than it needs. Twice the uploads must not get from below the
	// one to above the other.
	gatedShare = 0.25
	idleShare  = 0.75
	// slowdown is how much longer uploads must take, with nothing else changed,
	// in two rounds to say that the server has slowed down.
	slowdown = 2
	// After a probe that didn't pay, and below a limit that was an overload, so
	// many rounds pass before the next probe; twice as many each time, up to the
	// most.
	firstRest = 4
	mostRest  = 64
)

// control decides how many uploads may be at work. It knows no clock: all times
// are handed in.
//
// It goes by rounds. A round is over when as many uploads have ended that began
// in it as may be at work, and not at once. By Little's law their number, divided by the time
// that one took, is what gets done: so a probe, which is a round with a higher
// limit, shows whether more uploads do more or only wait for each other.
type control struct {
	min, max, start int
	limit           int

	began   time.Time // when the round began
	ended   int       // uploads of the round, and their times, summed up
	took    time.Duration
	waited  time.Duration
	crowded time.Duration

	usual   time.Duration // that an upload takes at this limit; 0 where that isn't known
	slow    bool          // the round before took far longer than usual
	probed  int           // the limit before the probe that is under way; 0 without one
	steady  bool          // the range of the right limit is known: small steps
	ceiling int           // the limit that was an overload, until it may be tried again; 0 for none
	rest    int           // rounds to pass before the next probe
	pause   int           // how many that will be the next time

	cut time.Time // when an overload last lowered the limit
}

func newControl(lowest, start, most int, now time.Time) control {
	return control{min: lowest, start: start, max: most, limit: start, began: now, pause: firstRest}
}

// done takes the end of an upload: how long it waited for the quota, and for how
// long of all its time another one waited for a place.
func (c *control) done(began, now time.Time, waited, crowded time.Duration) {
	if began.Before(c.began) {
		return // it began under another limit
	}
	c.ended++
	c.crowded += crowded
	c.took += max(0, now.Sub(began)-waited)
	c.waited += waited
	if c.ended >= max(c.limit, minRound) && now.Sub(c.began) >= leastRound {
		c.decide(now)
	}
}

// decide ends a round.
func (c *control) decide(now time.Time) {
	took, waited := c.took/time.Duration(c.ended), c.waited/time.Duration(c.ended)
	crowded := c.crowded > 0 && 2*c.crowded >= c.took+c.waited
	share := float64(waited) / float64(max(1, took+waited))
	before, usual, slow := c.probed, c.usual, c.slow
	c.probed, c.slow = 0, false
	switch {
	case share > idleShare && c.limit > c.start:
		c.set(max(c.start, c.limit*3/4), now)
	case share > gatedShare || !crowded:
		// More would only wait, for the quota or for something to upload.
		c.steady = c.steady || share > gatedShare
		c.set(c.limit, now)
		c.usual = smooth(usual, took)
	case before > 0 && !pays(before, usual, c.limit, took):
		c.set(before, now)
		c.usual = usual
		c.settle()
	case before == 0 && usual > 0 && took > slowdown*usual:
		if !slow { // once may be the disk
			c.set(c.limit, now)
			c.usual, c.slow = usual, true
			return
		}
		c.set(max(c.min, c.limit*3/4), now)
		c.settle()
	case c.rest > 0:
		c.rest--
		c.set(c.limit, now)
		c.usual = smooth(usual, took)
	default:
		if before > 0 && c.ceiling == 0 {
			c.pause = firstRest
		}
		next := c.next()
		if c.ceiling > 0 && next >= c.ceiling {
			c.ceiling = 0
			c.settle()
			next = c.limit
		}
		if next > c.limit {
			c.probed = c.limit
		}
		c.set(next, now)
		c.usual = took
	}
}

// next is the limit of the next probe.
func (c *control) next() int {
	if c.steady {
		return min(c.limit+max(1, c.limit/4), c.max)
	}
	return min(2*c.limit, c.max)
}

// smooth follows what is usual slowly, so that a server that gets slower bit by
// bit is seen too.
func smooth(usual, took time.Duration) time.Duration {
	if usual == 0 {
		return took
	}
	return usual + (took-usual)/8
}

// pays reports whether a probe gets more done than there was before.
func pays(before int, usual time.Duration, limit int, took time.Duration) bool {
	if usual <= 0 || took <= 0 {
		return false
	}
	grown := float64(limit) / float64(before)
	gain := grown * float64(usual) / float64(took)
	return gain >= 1+(grown-1)*worthwhile
}

// overload takes that the server could not cope with a request. It halves the
// limit, unless the request was sent before the limit was last lowered.
func (c *control) overload(sent, now time.Time) {
	if !sent.After(c.cut) {
		return
	}
	c.cut = now
	c.probed = 0
	c.ceiling = c.limit
	c.set(max(c.min, c.limit/2), now)
	c.steady = true
	c.rest = firstRest
}

// settle lets rounds pass before the next probe.
func (c *control) settle() {
	c.steady = true
	c.rest = c.pause
	c.pause = min(2*c.pause, mostRest)
}

// set begins a round.
func (c *control) set(limit int, now time.Time) {
	c.limit = limit
	c.usual = 0
	c.began = now
	c.ended, c.crowded, c.took, c.waited = 0, 0, 0, 0
}
