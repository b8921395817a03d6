package simulation

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"poolfill/internal/referee"
)

// fault is what can befall one request.
type fault struct {
	kind string
	on   []string // the kinds of requests; nil is all of them
	make func(*rand.Rand) (f referee.Fate, after time.Duration)
}

func always(f referee.Fate) func(*rand.Rand) (referee.Fate, time.Duration) {
	return func(*rand.Rand) (referee.Fate, time.Duration) { return f, 0 }
}

// lateness is how long after a lost answer a server may still create tasks.
const lateness = 8 * time.Second

var (
	creating = []string{"create", "create async"}
	pages    = []int{http.StatusFound, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout}
)

// faults are what can befall a request.
func faults() []fault {
	return []fault{
		{"lost-before", nil, always(referee.Fate{Done: referee.Never, Heard: referee.Nothing})},
		{"lost-after", creating, always(referee.Fate{Heard: referee.Nothing})},
		{"reset", nil, always(referee.Fate{Done: referee.Never, Heard: referee.Reset})},
		{"cut", nil, always(referee.Fate{Heard: referee.Cut})},
		{"late", creating, always(referee.Fate{Done: referee.Later, After: lateness, Heard: referee.Nothing})},
		{"504-done", creating, always(referee.Fate{Heard: referee.Page, Status: http.StatusGatewayTimeout})},
		{"504-late", creating, always(referee.Fate{Done: referee.Later, After: lateness, Heard: referee.Page, Status: http.StatusGatewayTimeout})},
		{"doubled", []string{"create async"}, always(referee.Fate{Done: referee.Twice})},
		{"doubled-sync", []string{"create"}, always(referee.Fate{Done: referee.Twice})},
		{"5xx", nil, func(r *rand.Rand) (referee.Fate, time.Duration) {
			status := []int{http.StatusInternalServerError, http.StatusServiceUnavailable}[r.IntN(2)]
			return referee.Fate{Done: referee.Never, Heard: referee.Failure, Status: status, Code: "INTERNAL_ERROR"}, 0
		}},
		{"5xx-done", creating, always(referee.Fate{Heard: referee.Failure, Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR"})},
		{"429", nil, func(r *rand.Rand) (referee.Fate, time.Duration) {
			f := referee.Fate{Done: referee.Never, Heard: referee.Failure, Status: http.StatusTooManyRequests, Code: "TOO_MANY_REQUESTS"}
			f.Interval = []string{"", "MIN"}[r.IntN(2)]
			f.RetryAfter = []string{"", "3"}[r.IntN(2)]
			return f, 0
		}},
		{"page", nil, func(r *rand.Rand) (referee.Fate, time.Duration) {
			return referee.Fate{Done: referee.Never, Heard: referee.Page, Status: pages[r.IntN(len(pages))]}, 0
		}},
		{"page-done", creating, func(r *rand.Rand) (referee.Fate, time.Duration) {
			return referee.Fate{Heard: referee.Page, Status: pages[r.IntN(len(pages))]}, 0
		}},
		{"slow", nil, func(r *rand.Rand) (referee.Fate, time.Duration) {
			return referee.Fate{}, time.Duration(1+r.IntN(90)) * 777 * time.Millisecond
		}},
		{"204", []string{"create"}, always(referee.Fate{Heard: referee.NoContent})},
		{"fewer", []string{"create"}, always(referee.Fate{Heard: referee.Fewer})},
		{"same-ids", []string{"create", "log"}, always(referee.Fate{Heard: referee.SameIDs})},
		{"foreign-operation", []string{"create async"}, always(referee.Fate{Heard: referee.ForeignOperation})},
		{"log-no-index", []string{"log"}, always(referee.Fate{Heard: referee.NoIndex})},
		{"log-half", []string{"log"}, always(referee.Fate{Heard: referee.HalfLog})},
		{"log-null", []string{"log"}, always(referee.Fate{Heard: referee.NullLog})},
		{"log-archived", []string{"log"}, always(referee.Fate{Heard: referee.ArchivedLog})},
		{"op-fails", []string{"create async"}, always(referee.Fate{Done: referee.FailsEmpty})},
		{"op-fails-half", []string{"create async"}, always(referee.Fate{Done: referee.FailsHalf})},
		{"400-request", creating, always(referee.Fate{Done: referee.Never, Heard: referee.Failure, Status: http.StatusBadRequest, Code: "VALIDATION_ERROR"})},
	}
}

// circumstances are kinds that are no fault of a request: ways of the server, rows of
// the file, and what people do.
var circumstances = []string{
	"normalises", "scattered", "skew", "no-date", "slow-operations", "payload-failures", "flat-payload", "list-limit", "server-quota",
	"equal-rows", "users", "refused-rows", "invalid-rows", "control-rows",
	"kill", "second-process", "second-machine", "append", "change", "insert", "flag-workers", "flag-quota", "flag-chunk", "flag-mode",
}

// allKinds are the names of everything that can be enabled.
func allKinds() []string {
	all := slices.Clone(circumstances)
	for _, f := range faults() {
		all = append(all, f.kind)
	}
	return all
}

// applies reports whether a fault can befall a request.
func (f *fault) applies(kind string) bool { return f.on == nil || slices.Contains(f.on, kind) }
