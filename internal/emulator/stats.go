package emulator

import (
	"fmt"
	"maps"
	"strconv"
)

// Stats are what happened since the server was started, and, in Pools, what is
// there.
type Stats struct {
	// Requests counts the requests under /api/v1 and to unknown paths.
	Requests int64 `json:"requests"`
	// ByKind counts the requests by the kind that Fault.Scope has for them, such
	// as "post".
	ByKind map[string]int64 `json:"by_kind"`
	// ByStatus counts the answers by their status, such as "201". A request
	// that got no answer is only in Requests and in Faults.
	ByStatus map[string]int64 `json:"by_status"`
	// Faults counts the requests that met a fault, by its name.
	Faults map[string]int64 `json:"faults"`
	// TooManyRequests counts the answers with status 429.
	TooManyRequests int64 `json:"too_many_requests"`
	// PeakRequestsPerSecond is the most requests let in within any second.
	PeakRequestsPerSecond int `json:"peak_requests_per_second"`
	// PeakTasksPerMinute is the most tasks created within any Limits.Minute.
	PeakTasksPerMinute int `json:"peak_tasks_per_minute"`
	// TasksLastDay is how many tasks of the quota of a day are used.
	TasksLastDay int `json:"tasks_last_day"`
	// Tasks counts all tasks, Pools those in each pool by its id; both hold
	// tasks of operations that are still under way.
	Tasks int            `json:"tasks"`
	Pools map[string]int `json:"pools"`
	// Operations counts all operations.
	Operations int `json:"operations"`
	// StateBytesDropped is the length of an unfinished record that was found at
	// the end of the state file, which nobody was ever told of.
	StateBytesDropped int64 `json:"state_bytes_dropped"`
}

func newStats() Stats {
	return Stats{ByKind: make(map[string]int64), ByStatus: make(map[string]int64), Faults: make(map[string]int64)}
}

// begin counts a request and returns its id.
func (s *Server) begin(scope string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests++
	s.stats.ByKind[scope]++
	return fmt.Sprintf("%016x", scramble(uint64(s.stats.Requests)))
}

// answered counts an answer.
func (s *Server) answered(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.ByStatus[strconv.Itoa(status)]++
}

// Stats returns the numbers so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, _ := s.now()
	out := s.stats
	out.ByKind, out.ByStatus, out.Faults = maps.Clone(out.ByKind), maps.Clone(out.ByStatus), maps.Clone(out.Faults)
	out.TooManyRequests = out.ByStatus["429"]
	out.PeakRequestsPerSecond = s.quota.requests.peak
	out.PeakTasksPerMinute = s.quota.minute.peak
	out.TasksLastDay = s.quota.day.count(now)
	out.Operations = len(s.state.operations)
	out.StateBytesDropped = s.store.torn
	out.Pools = make(map[string]int, len(s.state.pools))
	for id, p := range s.state.pools {
		out.Pools[formatNumber(id)] = p.tasks.count
		out.Tasks += p.tasks.count
	}
	return out
}

// scramble spreads the bits of a number (the finalizer of SplitMix64), so that
// ids look like ids.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
