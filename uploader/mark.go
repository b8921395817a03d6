package uploader

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"poolfill/uploader/toloka"
)

// Mark is the newest task of the pool at some moment, by what the server says. What is
// created later has a higher id, so that it is found without any clock. The zero value
// knows nothing.
type Mark struct {
	// TaskID is that task's id; empty where there was none.
	TaskID string
	// Created is when it was created, by the server's clock; zero where the server
	// doesn't say. It serves only where ids turn out not to rise.
	Created time.Time
	// Empty means that the pool had no task.
	Empty bool
}

// Known reports whether the mark knows anything.
func (m Mark) Known() bool { return m.Empty || m.TaskID != "" }

// emptyPool is the text of a mark in a pool without tasks.
const emptyPool = "-"

// MarshalText returns the mark as one line that UnmarshalText reads; empty for the zero
// value.
func (m Mark) MarshalText() ([]byte, error) {
	switch {
	case m.Empty:
		return []byte(emptyPool), nil
	case m.Created.IsZero():
		return []byte(m.TaskID), nil
	}
	return []byte(m.TaskID + " " + m.Created.UTC().Format(time.RFC3339Nano)), nil
}

// UnmarshalText reads what MarshalText has written.
func (m *Mark) UnmarshalText(text []byte) error {
	*m = Mark{}
	if string(text) == emptyPool {
		m.Empty = true
		return nil
	}
	id, created, dated := strings.Cut(string(text), " ")
	m.TaskID = id
	if !dated {
		return nil
	}
	var err error
	if m.Created, err = time.Parse(time.RFC3339Nano, created); err != nil {
		return fmt.Errorf("%q is no mark of a pool: %w", text, err)
	}
	return nil
}

const (
	// A search lists what came since a mark: so many tasks, and so long, a mark is good
	// for the chunks that begin. That only bounds what a search costs.
	markedTasks = 50_000
	markedTime  = 10 * time.Minute
)

// marks has the latest mark.
type marks struct {
	asking *semaphore.Weighted // held while the server is asked

	mu    sync.Mutex
	last  Mark
	taken time.Time
	since int // how many tasks were created since
}

func newMarks() marks { return marks{asking: semaphore.NewWeighted(1)} }

// current returns the latest mark, and reports whether it is still good.
func (m *marks) current() (Mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.last.Known() && m.since < markedTasks && time.Since(m.taken) < markedTime
}

func (m *marks) set(mark Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.taken, m.since = mark, time.Now(), 0
}

// count counts tasks that were created.
func (m *marks) count(tasks int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since += tasks
}

// markOf returns the mark that a task of the pool makes.
func markOf(t toloka.Task) Mark { return Mark{TaskID: t.ID, Created: t.Created} }

// mark returns a mark behind which everything comes that is sent from now on.
func (u *Uploader) mark(ctx context.Context) (Mark, error) {
	if mark, good := u.marks.current(); good {
		return mark, nil
	}
	if err := u.marks.asking.Acquire(ctx, 1); err != nil {
		return Mark{}, toloka.Canceled(ctx, "noting the newest task of pool "+u.cfg.PoolID, nil)
	}
	defer u.marks.asking.Release(1)
	if mark, good := u.marks.current(); good {
		return mark, nil
	}
	newest, found, err := u.client.Newest(ctx, u.entity, u.cfg.PoolID)
	if err != nil {
		return Mark{}, err
	}
	mark := Mark{Empty: true}
	if found {
		mark = markOf(newest)
	}
	u.marks.set(mark)
	return mark, nil
}
