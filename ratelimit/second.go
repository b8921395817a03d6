package ratelimit

import "time"

// fastestMemory is how many answers that take longer it takes to forget the
// fastest one.
const fastestMemory = 1024

// second counts the requests that the server may have counted in its last
// second. Their pace alone would do if all took equally long to get there; but
// where a few are held up, on a busy machine or on the way, they come together
// with those behind them.
//
// How late one came is not known, but bounded by how much longer than the
// fastest its answer took, or is taking. It counts for a second from its sending
// and that time. So answers that all take long cost nothing, and those that
// are late are never too many at once.
//
// It has no clock and no lock; the times that it gets must not go backwards.
type second struct {
	requests []*request // in the order in which they were sent
	fastest  [2]time.Duration
}

// margin is how much longer than a second a request counts: as little as clocks and
// the fastest answer are known by, and as much as those that are sent together after a
// standstill need, a second after others that did.
const margin = 2 * time.Millisecond

// request is one that was sent.
type request struct {
	kind     int // requests with tasks take longer than those without
	sent     time.Time
	answered time.Time // zero until then
}

func kindOf(tasks int) int { return min(tasks, 1) }

func (s *second) add(now time.Time, tasks int) *request {
	r := &request{kind: kindOf(tasks), sent: now}
	s.requests = append(s.requests, r)
	return r
}

// end notes that there will be nothing more of a request. The answer of one that was
// used took as long as others may take.
func (s *second) end(now time.Time, r *request, use Use) {
	r.answered = now
	if use == Unused {
		return
	}
	took, fastest := now.Sub(r.sent), &s.fastest[r.kind]
	if *fastest == 0 || took < *fastest {
		*fastest = took
	} else {
		*fastest += (took - *fastest) / fastestMemory
	}
}

// until returns until when a request counts, as far as is known now.
func (s *second) until(now time.Time, r *request) time.Time {
	if !r.answered.IsZero() {
		now = r.answered
	}
	return r.sent.Add(max(0, now.Sub(r.sent)-s.fastest[r.kind]) + time.Second + margin)
}

// wait forgets what is over and returns after how long to look for room again, where there are
// so many requests already.
func (s *second) wait(now time.Time, limit int) time.Duration {
	kept, counted, wait := s.requests[:0], 0, time.Second
	for _, r := range s.requests {
		left := s.until(now, r).Sub(now)
		if left > 0 {
			counted++
			wait = min(wait, left)
		}
		if left > 0 || r.answered.IsZero() {
			kept = append(kept, r)
		}
	}
	clear(s.requests[len(kept):])
	s.requests = kept
	if counted < limit {
		return 0
	}
	return max(wait, time.Millisecond)
}
