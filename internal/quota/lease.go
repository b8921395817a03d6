package quota

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"poolfill/ratelimit"
)

const (
	// leaseFor is for how long the room of a lease is handed out. It bounds how
	// late a process sees that another has come.
	leaseFor = 500 * time.Millisecond
	// leaseShare is the part of a quota that all leases together hold beyond
	// what was asked for: 1/100.
	leaseShare = 100
)

// lease is room that counts in the book as a whole, and that this process hands
// out. In the book it is what a single grant would be.
type lease struct {
	id     int64 // of its row
	limits ratelimit.Limits
	since  time.Time

	free   int // tasks that may still be handed out
	booked int // tasks of its row, once the book has heard all reports so far

	// What the book has not heard yet: tasks of grants that ended, and tasks
	// that were never sent, as they were refunded or not handed out.
	used, unused int
	answered     time.Time // the last of those that were used
}

// fresh reports whether the lease's room may still be handed out. Where a clock
// was set or the computer slept, it may not.
func (l *lease) fresh(now time.Time) bool {
	byWall := now.Round(0).Sub(l.since.Round(0))
	return now.Sub(l.since) < leaseFor && byWall >= 0 && byWall < leaseFor
}

// leaseSize is how many tasks to take for a request of so many that has room:
// more where that saves asking for the next ones, but little enough that nobody
// misses it. In the window so many tasks count already.
func leaseSize(limits ratelimit.Limits, inWindow, today, tasks, sharers int) int {
	size, room := math.MaxInt, math.MaxInt
	for _, l := range []struct{ limit, used int }{{limits.TasksPerMinute, inWindow}, {limits.TasksPerDay, today}} {
		if l.limit > 0 {
			size = min(size, l.limit/leaseShare/max(1, sharers))
			room = min(room, l.limit-l.used)
		}
	}
	if size == math.MaxInt { // without limits there is nothing to ask for
		return tasks
	}
	return max(tasks, min(size, room))
}

// holding is what this process holds of the book. It has no clock and no lock.
type holding struct {
	current *lease // whose room is handed out; nil without one
	grants  map[int64]grant
	news    []*lease // leases of which there is more to report
	kept    []report // of which it isn't known whether the book has heard them
}

type grant struct {
	lease *lease
	tasks int
}

// take hands out room of the current lease, if it has enough.
func (h *holding) take(tasks int, limits ratelimit.Limits, now time.Time) (id int64, taken bool) {
	l := h.current
	if l == nil || l.free < tasks || l.limits != limits || !l.fresh(now) {
		return 0, false
	}
	return h.grant(l, tasks), true
}

// begin makes l the current lease, and hands out the first of its room.
func (h *holding) begin(l *lease, tasks int) (id int64) {
	h.giveBack()
	h.current = l
	return h.grant(l, tasks)
}

// grant numbers a grant, with a number that is never used twice.
func (h *holding) grant(l *lease, tasks int) (id int64) {
	if h.grants == nil {
		h.grants = make(map[int64]grant)
	}
	id = newID()
	h.grants[id] = grant{l, tasks}
	l.free -= tasks
	return id
}

// settle ends a grant, unless that was done before.
func (h *holding) settle(id int64, use ratelimit.Use, now time.Time) {
	g, found := h.grants[id]
	if !found {
		return
	}
	delete(h.grants, id)
	switch {
	case use == ratelimit.Used:
		g.lease.used += g.tasks
		g.lease.answered = now
	case g.lease == h.current:
		g.lease.free += g.tasks
	default:
		g.lease.unused += g.tasks
	}
	h.note(g.lease)
}

// giveBack ends the current lease.
func (h *holding) giveBack() {
	l := h.current
	if l == nil {
		return
	}
	h.current = nil
	l.unused += l.free
	l.free = 0
	h.note(l)
}

// expire ends the current lease where its room may not be handed out any more.
func (h *holding) expire(now time.Time) {
	if l := h.current; l != nil && !l.fresh(now) {
		h.giveBack()
	}
}

// note puts a lease among those of which there are news.
func (h *holding) note(l *lease) {
	if !slices.Contains(h.news, l) {
		h.news = append(h.news, l)
	}
}

// report is what the book is to hear of a lease. The row of one that was heard has
// fewer tasks than before, so that it can't be heard twice.
type report struct {
	lease        *lease
	before       int // tasks of the lease's row
	used, unused int
	answered     time.Time // the last of what was used
}

// reports takes what the book has not heard yet, in the order in which it is to
// hear it.
func (h *holding) reports() []report {
	all := h.kept
	for _, l := range h.news {
		all = append(all, report{l, l.booked, l.used, l.unused, l.answered})
		l.booked -= l.used + l.unused
		l.used, l.unused = 0, 0
	}
	h.news, h.kept = nil, nil
	return all
}

// keep takes reports back that the book may not have heard. They stay as they
// are, and before those to come.
func (h *holding) keep(reports []report) { h.kept = reports }

// pending reports whether there is something that the book has not heard yet.
func (h *holding) pending() bool { return len(h.news)+len(h.kept) > 0 }

// disown returns a lease that was never handed out, as it isn't known whether
// the book has it.
func (h *holding) disown(l *lease) {
	l.unused, l.free = l.free, 0
	h.note(l)
}

// newID returns a number that nobody else has.
func newID() int64 { return 1 + rand.Int64N(math.MaxInt64) }
