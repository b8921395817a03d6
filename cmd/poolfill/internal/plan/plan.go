// Package plan computes what an upload will do before it does it: how many tasks and
// requests, how long the quotas make it take, whether the pool has room, what it
// costs, and what would stop it.
//
// What goes in: the report of a check, what the check counted of its chunks, and
// what the server said of the pool and the account. What comes out: a Plan. It
// is arithmetic: no I/O, and the time is handed in.
package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"poolfill/cmd/poolfill/internal/count"
	"poolfill/internal/contract"
	"poolfill/pipeline"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
	"poolfill/uploader/toloka"
)

// Version is the version of the Plan's JSON form. It goes up when a reader of the
// old form would go wrong.
const Version = 1

// The codes of remarks that are not the server's.
const (
	CodeUnreadable      = "INPUT_UNREADABLE" // an input that can't be read at all
	CodePoolLocked      = "POOL_LOCKED"      // another operation holds the pool
	CodeControlShare    = "CONTROL_SHARE"    // fewer control tasks than Toloka advises
	CodeMixerMismatch   = "MIXER_MISMATCH"   // the pool's suites and the files' tasks don't fit
	CodeBalanceTooLow   = "BALANCE_TOO_LOW"  // the account can't pay for all
	CodeOverlapInfinite = "OVERLAP_INFINITE" // general tasks that have no end
)

// Facts are what a plan is made of.
type Facts struct {
	// Report is that of a check of the inputs.
	Report pipeline.Report
	// Failed is why the inputs can't be read at all; nil where they could.
	Failed error
	Counts Counts
	Mode   uploader.Mode
	Limits ratelimit.Config
	Now    time.Time
	// UsedToday is what this machine has used of the day's quota; nil where that
	// is unknown.
	UsedToday *int64
	// Pool is the pool; nil plans without one.
	Pool *toloka.Pool
	// PoolTasks is how many tasks it has; nil where they were not counted.
	PoolTasks *int64
	// Balance is the account's; empty where it is unknown.
	Balance json.Number
}

// Plan is what an upload will do. Its JSON form is what `poolfill plan --json`
// prints.
type Plan struct {
	Version int    `json:"version"`
	PoolID  string `json:"pool_id"`
	Mode    string `json:"mode"`
	Rows    Rows   `json:"rows"`
	Tasks   Tasks  `json:"tasks"`
	Bytes   Bytes  `json:"bytes"`
	// Chunks is how many requests create tasks, LargestChunk the most tasks in
	// one of them.
	Chunks       int64 `json:"chunks"`
	LargestChunk int   `json:"largest_chunk"`
	// Requests is the least number of all requests.
	Requests int64    `json:"requests"`
	Quota    Quota    `json:"quota"`
	Schedule Schedule `json:"schedule"`
	// Pools is how many pools the tasks need, this one included where it has room.
	Pools   int64    `json:"pools_needed"`
	Pool    *Pool    `json:"pool,omitempty"`
	Control *Control `json:"control,omitempty"`
	Cost    *Cost    `json:"cost,omitempty"`
	// Problems would stop an upload; Notes would not.
	Problems   []Remark             `json:"problems"`
	Notes      []Remark             `json:"notes"`
	Files      []pipeline.File      `json:"files"`
	Rejections []pipeline.Rejection `json:"rejections"`
	Warnings   []pipeline.Warning   `json:"warnings"`
}

// Rows counts the rows of the inputs.
type Rows struct {
	Total    int64 `json:"total"`
	Valid    int64 `json:"valid"`
	Rejected int64 `json:"rejected"`
}

// Tasks counts the tasks that the valid rows become.
type Tasks struct {
	Total    int64 `json:"total"`
	General  int64 `json:"general"`
	Control  int64 `json:"control"`
	Training int64 `json:"training"`
}

// Bytes are sizes of JSON.
type Bytes struct {
	Bodies       int64 `json:"bodies"` // of all requests that create tasks
	InputValues  int64 `json:"input_values"`
	OutputValues int64 `json:"output_values"`
}

// Quota has the limits; 0 is none.
type Quota struct {
	RequestsPerSecond float64 `json:"requests_per_second"`
	TasksPerMinute    int     `json:"tasks_per_minute"`
	TasksPerDay       int     `json:"tasks_per_day"`
	// UsedToday is what this machine has used of the day; nil is unknown.
	UsedToday *int64 `json:"used_today,omitempty"`
}

// Pool is a pool's room.
type Pool struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Type   string `json:"type"`
	// Tasks is how many it has, Room how many fit in; nil where they were not
	// counted.
	Tasks *int64 `json:"tasks,omitempty"`
	Room  *int64 `json:"room,omitempty"`
}

// Control is the share of control tasks, from 0 to 1, and what Toloka advises.
type Control struct {
	Share        float64 `json:"share"`
	AdvisedLeast float64 `json:"advised_least"`
	// AdvisedMost is 0 where the advice has no upper end.
	AdvisedMost float64 `json:"advised_most,omitempty"`
}

// Remark is something to know before an upload.
type Remark struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Make makes the plan.
func Make(f Facts) Plan {
	c := f.Counts
	p := Plan{
		Version: Version, PoolID: f.Report.PoolID, Mode: string(f.Mode),
		Rows:   Rows{Total: f.Report.Totals.Rows, Valid: f.Report.Totals.Valid, Rejected: f.Report.Totals.Rejected},
		Tasks:  Tasks{Total: c.Tasks(), General: c.General, Control: c.Control, Training: c.Training},
		Bytes:  Bytes{Bodies: c.BodyBytes, InputValues: c.InputBytes, OutputValues: c.OutputBytes},
		Chunks: c.Chunks, LargestChunk: c.Largest, Requests: requests(c, f.Mode, f.Limits),
		Quota: Quota{
			RequestsPerSecond: f.Limits.RequestsPerSecond, TasksPerMinute: f.Limits.TasksPerMinute,
			TasksPerDay: f.Limits.TasksPerDay, UsedToday: f.UsedToday,
		},
		Control:  control(c),
		Problems: []Remark{}, Notes: []Remark{},
		Files: notNil(f.Report.Files), Rejections: notNil(f.Report.Rejections), Warnings: notNil(f.Report.Warnings),
	}
	var used int64
	if f.UsedToday != nil {
		used = *f.UsedToday
	}
	p.Schedule = schedule(c.Tasks(), used, newPace(f.Limits, c, p.Requests), f.Now)
	room := int64(contract.MaxPoolTasks)
	if f.Pool != nil {
		p.PoolID = f.Pool.ID
		p.Pool = &Pool{Name: f.Pool.PrivateName, Status: f.Pool.Status, Type: f.Pool.Type, Tasks: f.PoolTasks}
		if f.PoolTasks != nil {
			room = max(0, room-*f.PoolTasks)
			p.Pool.Room = &room
		}
		p.Cost = cost(c, *f.Pool, f.Balance)
	}
	p.Pools = pools(c.Tasks(), room)
	p.Problems = append(p.Problems, problems(f, room)...)
	p.Notes = append(p.Notes, notes(f, p)...)
	return p
}

// notNil makes a list that JSON shows as one.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// requests is the least number of requests: those that read the pool, its
// project and the account, and for each chunk one that creates its tasks, which
// in asynchronous mode begins an operation that is asked for and whose log is
// read.
func requests(c Counts, mode uploader.Mode, limits ratelimit.Config) int64 {
	if c.Chunks == 0 {
		return 0
	}
	first := int64(2)
	if limits.TasksPerMinute > 0 || limits.TasksPerDay > 0 {
		first++
	}
	if mode == uploader.Sync {
		return first + c.Chunks
	}
	return first + 3*c.Chunks
}

// pools is how many pools the tasks need, one of which has only so much room.
func pools(tasks, room int64) int64 {
	n := divideUp(max(0, tasks-room), contract.MaxPoolTasks)
	if tasks > 0 && room > 0 {
		n++
	}
	return n
}

// Toloka advises that at least 1% of a pool's tasks are control tasks, and 5 to
// 10% in small pools.
const (
	smallPool        = 10_000 // below so many tasks
	shareOfLarge     = 0.01
	leastShareSmall  = 0.05
	mostShareOfSmall = 0.10
)

func control(c Counts) *Control {
	tasks := c.Tasks()
	if tasks == 0 {
		return nil
	}
	out := &Control{Share: float64(c.Control) / float64(tasks), AdvisedLeast: shareOfLarge}
	if tasks < smallPool {
		out.AdvisedLeast, out.AdvisedMost = leastShareSmall, mostShareOfSmall
	}
	return out
}

// problems are what would stop an upload.
func problems(f Facts, room int64) (all []Remark) {
	if f.Pool != nil {
		for _, p := range pipeline.PoolProblems(*f.Pool) {
			all = append(all, Remark{p.Code, p.Message})
		}
		if tasks := f.Counts.Tasks(); tasks > room {
			all = append(all, Remark{contract.CodePoolTasksCountExceeded, fmt.Sprintf(
				"pool %s has room for %s of the %s, since a pool holds %s: make more pools like it, and upload a part to each (--skip-rows, --limit-rows)",
				f.Pool.ID, humanize.Comma(room), count.Of(tasks, "task"), humanize.Comma(contract.MaxPoolTasks))})
		}
	}
	return append(all, inputProblems(f.Failed)...)
}

// inputProblems takes an error apart into what is wrong with each input.
func inputProblems(err error) (all []Remark) {
	switch e := err.(type) { //nolint:errorlint // it is taken apart here, layer by layer
	case nil:
	case *pipeline.SetupError:
		return inputProblems(e.Err)
	case *reader.InputError:
		for _, finding := range e.Findings {
			one := reader.InputError{File: e.File, Findings: []verdict.Finding{finding}}
			all = append(all, Remark{finding.Code, one.Error()})
		}
	case *pipeline.PoolProblem:
		all = append(all, Remark{e.Code, e.Message})
	case *toloka.Error:
		all = append(all, Remark{cmp.Or(e.Code, CodeUnreadable), e.Error()})
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, inputProblems(one)...)
		}
	default:
		all = append(all, Remark{CodeUnreadable, err.Error()})
	}
	return all
}

// notes are what stops no upload and is worth knowing.
func notes(f Facts, p Plan) (all []Remark) {
	c := f.Counts
	note := func(code, format string, args ...any) {
		all = append(all, Remark{code, fmt.Sprintf(format, args...)})
	}
	if f.Pool != nil && f.Pool.Status == toloka.PoolLocked {
		note(CodePoolLocked, "pool %s is held by another operation: wait until that has ended", f.Pool.ID)
	}
	if p.Control != nil && p.Control.Share < p.Control.AdvisedLeast && c.General > 0 {
		note(CodeControlShare, "%s of the tasks are control tasks (%s of %s): Toloka advises %s. Fill GOLDEN cells of more rows",
			percent(p.Control.Share), humanize.Comma(c.Control), humanize.Comma(c.Tasks()), p.Control.Advice())
	}
	if f.Pool != nil {
		mixer, ok := f.Pool.Mixer()
		for _, part := range []struct {
			name   string
			shown  int
			tasks  int64
			column string
		}{
			{"control", mixer.Control, c.Control, "GOLDEN"},
			{"training", mixer.Training, c.Training, "HINT"},
		} {
			switch {
			case !ok || c.Tasks() == 0:
			case part.shown > 0 && part.tasks == 0:
				note(CodeMixerMismatch, "the pool puts %s into each suite, and the files have none: no suite can be made unless the pool has some already. Fill %s cells, or change the pool's mixer_config",
					count.Of(part.shown, part.name+" task"), part.column)
			case part.shown == 0 && part.tasks > 0:
				note(CodeMixerMismatch, "the files have %s, and the pool's mixer_config puts none into a suite: performers won't see them until it does",
					count.Of(part.tasks, part.name+" task"))
			}
		}
	}
	if c.InfiniteOverlap > 0 {
		note(CodeOverlapInfinite, "%s without a GOLDEN value with an infinite overlap: performers get and are paid for them until the pool is closed",
			count.Of(c.InfiniteOverlap, "task"))
	}
	if p.Cost != nil && p.Cost.Missing != "" {
		note(CodeBalanceTooLow, "the balance is %s and the tasks cost %s: %s are missing, and the pool stops when it is used up",
			p.Cost.Balance, p.Cost.Amount, p.Cost.Missing)
	}
	return all
}

// Advice returns which share of control tasks Toloka advises.
func (c Control) Advice() string {
	if c.AdvisedMost > 0 {
		return fmt.Sprintf("%s to %s in a pool of less than %s tasks", percent(c.AdvisedLeast), percent(c.AdvisedMost), humanize.Comma(smallPool))
	}
	return "at least " + percent(c.AdvisedLeast)
}

// percent returns a share with as many digits as tell something.
func percent(share float64) string { return fmt.Sprintf("%.3g%%", share*100) }
