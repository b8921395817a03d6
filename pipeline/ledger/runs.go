package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"poolfill/reader"
)

// Running is the state of a run while it goes on, and after a crash. How runs
// end is pipeline's to name.
const Running = "running"

// Run is one upload, over all the attempts that it took.
type Run struct {
	// ID orders runs by their beginning. Name is what people call the run.
	ID   int64
	Name string
	// Server and Pool are what it fills, Mode is async or sync.
	Server, Pool, Mode string
	// Key makes the names of its operations, see uploader.OperationName.
	Key string
	// Guard says which rows it takes as uploaded before.
	Guard string
	// Settings is a hash of all settings that its chunks depend on.
	Settings []byte
	// Command is the command line, without secrets, that goes on with it.
	Command string
	// State is Running, or how it ended; Attempts counts its processes.
	State    string
	Attempts int
	// Started is when the first attempt began, Ended when the last one ended;
	// zero where it didn't.
	Started, Ended time.Time
	// Report is the report of the last attempt that ended, in JSON; empty
	// where none did.
	Report []byte
	// Created and Rejected count the rows of its chunks that ended so far; Begin
	// and Continue leave them alone.
	Created, Rejected int64
	Files             []File
	// Names are what its Files are called in the positions of rows, one for each.
	// They belong to an attempt, which may name its inputs in another way than the
	// one before. A run that is read has the latest that are known; to Begin, nil
	// stands for the paths.
	Names []string
}

// File is one input of a run.
type File struct {
	// Path is absolute, the name of a URL, or "-".
	Path string
	// Size, Modified and Ends are the reader.Identity of the file at the run's
	// beginning.
	Size     int64
	Modified time.Time
	Ends     []byte
	// SHA256 is the hash of its content in hex, once it was read to its end.
	SHA256 string
	// Info is what reader knows of it; zero until it was opened.
	Info reader.Info
}

// Begin enters a run, and returns it with its ID.
func (l *Ledger) Begin(r Run) (Run, error) {
	r.State, r.Attempts, r.Started = Running, 1, time.Now()
	if r.Names == nil {
		r.Names = namesOf(r.Files)
	}
	err := l.store.change(func(ctx context.Context, tx *sql.Tx) error {
		c, err := l.store.verifier.enter(ctx, preparing{l.store, tx}, &runBlock{
			name: r.Name, server: r.Server, pool: r.Pool, mode: r.Mode, key: r.Key, guard: r.Guard, settings: r.Settings,
			command: r.Command, state: r.State, attempts: r.Attempts, started: r.Started.UnixMilli(),
		})
		if err != nil {
			return err
		}
		r.ID = c.run.id
		for i, f := range r.Files {
			if _, err := c.add(ctx, &fileBlock{number: i, path: f.Path, size: f.Size, modified: unixNano(f.Modified), ends: f.Ends}); err != nil {
				return err
			}
		}
		return c.save(ctx)
	})
	return r, err
}

// TakenOverError says that a run was continued by another attempt, or
// forgotten: this one can't write to it any more.
type TakenOverError struct{ Name string }

func (e *TakenOverError) Error() string {
	return fmt.Sprintf("another process goes on with run %s: this one has stopped, and what it has sent counts for the other", e.Name)
}

// Continue enters another attempt at a run, and ends that of any process that
// still is at it: what that one writes from now on is a *TakenOverError. What
// the run's chunks came to stays; the rows that never were in a chunk are
// forgotten, as they are read again.
//
// All that is kept of the run is verified first, so that nothing is sent by what is
// damaged.
func (l *Ledger) Continue(ctx context.Context, r Run) (Run, error) {
	r.State = Running
	err := l.store.look(ctx, func(v *view) error {
		run, err := v.run(ctx, r.ID)
		if err != nil {
			return err
		}
		return v.survey(ctx, run, func(*chunkBlock) error { return nil }, func(*segmentBlock) error { return nil })
	})
	if err == nil {
		err = l.store.amend(r.ID, func(ctx context.Context, c *change) error {
			c.run.state, c.run.command = r.State, r.Command
			c.run.attempts++
			r.Attempts = c.run.attempts
			return c.remove(ctx, &segmentBlock{}, "")
		})
	}
	return r, takenOver(err, r)
}

// takenOver explains that a run isn't there.
func takenOver(err error, r Run) error {
	if errors.Is(err, sql.ErrNoRows) {
		return &TakenOverError{r.Name}
	}
	return err
}

// Runs returns all runs, the latest first; with server and pool only those of a
// pool.
func (l *Ledger) Runs(ctx context.Context, server, pool string) ([]Run, error) {
	return l.found(ctx, func(all []identity) []identity {
		if server == "" {
			return all
		}
		return ofPool(all, server, pool)
	})
}

func ofPool(all []identity, server, pool string) []identity {
	return slices.DeleteFunc(all, func(one identity) bool { return one.server != server || one.pool != pool })
}

// UnknownRunError says that a ledger has no such run, or several.
type UnknownRunError struct {
	Name string
	// Found counts the runs whose names begin so.
	Found int
}

func (e *UnknownRunError) Error() string {
	if e.Found > 1 {
		return fmt.Sprintf("%d runs have names that begin with %q: give more of it. See 'poolfill runs'", e.Found, e.Name)
	}
	return fmt.Sprintf("there is no run %q: see 'poolfill runs'", e.Name)
}

// Called returns the run with exactly this name, and whether there is one.
func (l *Ledger) Called(ctx context.Context, name string) (Run, bool, error) {
	runs, err := l.found(ctx, func(all []identity) []identity {
		return slices.DeleteFunc(all, func(one identity) bool { return one.name != name })
	})
	if err != nil || len(runs) == 0 {
		return Run{}, false, err
	}
	return runs[0], true, nil
}

// Find returns the run with a name that begins so, or the latest where name is
// empty. A run with just this name goes before those with longer ones. The error
// is an *UnknownRunError where there is none, or several.
func (l *Ledger) Find(ctx context.Context, name string) (Run, error) {
	fitting := 0
	runs, err := l.found(ctx, func(all []identity) []identity {
		if i := slices.IndexFunc(all, func(one identity) bool { return one.name == name }); i >= 0 {
			return all[i : i+1]
		}
		all = slices.DeleteFunc(all, func(one identity) bool { return !strings.HasPrefix(one.name, name) })
		fitting = len(all)
		return all[:min(1, len(all))]
	})
	if err != nil {
		return Run{}, err
	}
	if len(runs) == 0 || name != "" && fitting > 1 {
		return Run{}, &UnknownRunError{name, fitting}
	}
	return runs[0], nil
}

// found returns the runs that select keeps of all.
func (l *Ledger) found(ctx context.Context, choose func([]identity) []identity) (runs []Run, err error) {
	err = l.store.look(ctx, func(v *view) error {
		all, err := v.identities(ctx)
		if err != nil {
			return err
		}
		chosen := choose(all)
		runs = make([]Run, len(chosen))
		for i, one := range chosen {
			if runs[i], err = v.read(ctx, one); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	return runs, nil
}

// read reads a run.
func (v *view) read(ctx context.Context, one identity) (r Run, err error) {
	b, err := v.known(ctx, one)
	if err != nil {
		return r, err
	}
	r = Run{
		ID: b.id, Name: b.name, Server: b.server, Pool: b.pool, Mode: b.mode, Key: b.key, Guard: b.guard, Settings: b.settings,
		Command: b.command, State: b.state, Attempts: b.attempts, Started: time.UnixMilli(b.started), Created: b.created, Rejected: b.rejected,
	}
	if b.ended != 0 {
		r.Ended = time.UnixMilli(b.ended)
	}
	err = each(ctx, v, b, `ORDER BY number`, func(f *fileBlock) error {
		one := File{Path: f.path, Size: f.size, Ends: bytes.Clone(f.ends), SHA256: f.sha256}
		if f.modified != 0 {
			one.Modified = time.Unix(0, f.modified)
		}
		if f.info != "" {
			if err := json.Unmarshal([]byte(f.info), &one.Info); err != nil {
				return v.damaged("what is known of %s%s can't be read: %w", f, in(b.name), err)
			}
		}
		r.Files = append(r.Files, one)
		return nil
	})
	if err != nil {
		return r, err
	}
	r.Names = namesOf(r.Files)
	return r, each(ctx, v, b, "", func(report *reportBlock) error {
		r.Report = bytes.Clone(report.body)
		return nil
	})
}

// namesOf returns what files are called as far as that is known, or else their paths.
func namesOf(files []File) []string {
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = cmp.Or(f.Info.File, f.Path)
	}
	return all
}

// Prune forgets the runs that ended before a time, or whose attempts began
// before it and never ended, and returns the disk's space. Where unfinished
// is false it keeps those that can be continued. It returns the number of runs
// that it forgot.
func (l *Ledger) Prune(ctx context.Context, before time.Time, unfinished bool) (int64, error) {
	var n int64
	err := l.store.changeLong(ctx, func(ctx context.Context, tx *sql.Tx) error {
		gone, err := forget(ctx, tx, `(CASE WHEN ended > 0 THEN ended ELSE started END) < $1 AND (state = 'finished' OR $2)`, before.UnixMilli(), unfinished)
		if err != nil {
			return err
		}
		n = int64(len(gone))
		return l.store.verifier.count(ctx, tx, nil, gone)
	})
	if err != nil || n == 0 {
		return n, err
	}
	return n, l.store.dialect.tidy(ctx)
}

// forget deletes runs with all that belongs to them, and returns which.
func forget(ctx context.Context, tx *sql.Tx, where string, args ...any) (gone []identity, err error) {
	rows, err := tx.QueryContext(ctx, `DELETE FROM run WHERE `+where+` RETURNING id, name, server, pool`, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var one identity
		if err := rows.Scan(&one.id, &one.name, &one.server, &one.pool); err != nil {
			return nil, err
		}
		gone = append(gone, one)
	}
	return gone, rows.Err()
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
