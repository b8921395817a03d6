package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
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
	err := l.change(func(ctx context.Context, tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `INSERT INTO run (name, server, pool, mode, run_key, guard, settings, command, state, attempts, started, ended, report)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, 0, '') RETURNING id`,
			r.Name, r.Server, r.Pool, r.Mode, r.Key, r.Guard, notNil(r.Settings), l.dialect.text(r.Command), r.State, r.Started.UnixMilli()).Scan(&r.ID); err != nil {
			return err
		}
		for i, f := range r.Files {
			if _, err := tx.ExecContext(ctx, `INSERT INTO file (run_id, number, path, size, modified, ends, sha256, info) VALUES ($1, $2, $3, $4, $5, $6, '', '')`,
				r.ID, i, l.dialect.text(f.Path), f.Size, unixNano(f.Modified), notNil(f.Ends)); err != nil {
				return err
			}
		}
		return nil
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
func (l *Ledger) Continue(r Run) (Run, error) {
	r.State = Running
	err := l.change(func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE run SET state = $1, attempts = attempts + 1, command = $2 WHERE id = $3 RETURNING attempts`,
			r.State, l.dialect.text(r.Command), r.ID).Scan(&r.Attempts)
		if errors.Is(err, sql.ErrNoRows) {
			return &TakenOverError{r.Name}
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM segment WHERE run_id = $1`, r.ID)
		return err
	})
	return r, err
}

// attempt carries out a change that belongs to an attempt at a run: as Begin or
// Continue gave it, and only while no other attempt goes on with the run.
func (l *Ledger) attempt(r Run, do func(context.Context, *sql.Tx) error) error {
	return l.change(func(ctx context.Context, tx *sql.Tx) error {
		attempts, err := l.number(ctx, tx, `SELECT attempts FROM run WHERE id = $1`+l.dialect.forShare(), r.ID)
		if errors.Is(err, sql.ErrNoRows) || err == nil && attempts != int64(r.Attempts) {
			return &TakenOverError{r.Name}
		}
		if err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// Opened keeps what reader knows of a file, after its header or at its end.
func (l *Ledger) Opened(run Run, info reader.Info) error {
	return l.change(func(ctx context.Context, tx *sql.Tx) error { return opened(ctx, tx, run, info) })
}

func opened(ctx context.Context, tx *sql.Tx, run Run, info reader.Info) error {
	file, err := (&numbering{names: run.Names}).of(info.File)
	if err != nil {
		return err
	}
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE file SET sha256 = $1, info = $2 WHERE run_id = $3 AND number = $4`, info.SHA256, string(text), run.ID, file)
	return err
}

// End keeps how an attempt ended. The error is a *TakenOverError where another
// one goes on with the run.
func (l *Ledger) End(run Run, state string, report []byte) error {
	return l.attempt(run, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE run SET state = $1, ended = $2, report = $3 WHERE id = $4`, state, time.Now().UnixMilli(), string(report), run.ID)
		return err
	})
}

// Abandon forgets a run whose attempt sent nothing. The error is a
// *TakenOverError where another one goes on with the run.
func (l *Ledger) Abandon(run Run) error {
	return l.attempt(run, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM run WHERE id = $1`, run.ID)
		return err
	})
}

const runColumns = `id, name, server, pool, mode, run_key, guard, settings, command, state, attempts, started, ended, report,
	(SELECT coalesce(sum(created), 0) FROM chunk WHERE run_id = run.id), (SELECT coalesce(sum(rejected), 0) FROM chunk WHERE run_id = run.id)`

// Runs returns all runs, the latest first; with server and pool only those of a
// pool.
func (l *Ledger) Runs(ctx context.Context, server, pool string) ([]Run, error) {
	return l.runs(ctx, `SELECT `+runColumns+` FROM run WHERE CAST($1 AS TEXT) = '' OR server = $1 AND pool = $2 ORDER BY id DESC`, server, pool)
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
	runs, err := l.runs(ctx, `SELECT `+runColumns+` FROM run WHERE name = $1`, name)
	if err != nil || len(runs) == 0 {
		return Run{}, false, err
	}
	return runs[0], true, nil
}

// Find returns the run with a name that begins so, or the latest where name is
// empty. A run with just this name goes before those with longer ones. The error
// is an *UnknownRunError where there is none, or several.
func (l *Ledger) Find(ctx context.Context, name string) (Run, error) {
	if run, found, err := l.Called(ctx, name); found || err != nil {
		return run, err
	}
	runs, err := l.runs(ctx, `SELECT `+runColumns+` FROM run WHERE substr(name, 1, length(CAST($1 AS TEXT))) = $1 ORDER BY id DESC LIMIT 2`, name)
	if err != nil {
		return Run{}, err
	}
	if len(runs) == 0 || name != "" && len(runs) > 1 {
		return Run{}, &UnknownRunError{name, len(runs)}
	}
	return runs[0], nil
}

func (l *Ledger) runs(ctx context.Context, query string, args ...any) (runs []Run, err error) {
	err = l.each(ctx, query, args, func(scan func(...any) error) error {
		var r Run
		var started, ended int64
		if err := scan(&r.ID, &r.Name, &r.Server, &r.Pool, &r.Mode, &r.Key, &r.Guard, &r.Settings, &r.Command,
			&r.State, &r.Attempts, &started, &ended, &r.Report, &r.Created, &r.Rejected); err != nil {
			return err
		}
		r.Started = time.UnixMilli(started)
		if ended != 0 {
			r.Ended = time.UnixMilli(ended)
		}
		runs = append(runs, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range runs {
		if runs[i].Files, err = l.files(ctx, runs[i].ID); err != nil {
			return nil, err
		}
		runs[i].Names = namesOf(runs[i].Files)
	}
	return runs, nil
}

// namesOf returns what files are called as far as that is known, or else their paths.
func namesOf(files []File) []string {
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = cmp.Or(f.Info.File, f.Path)
	}
	return all
}

func (l *Ledger) files(ctx context.Context, run int64) (files []File, err error) {
	err = l.each(ctx, `SELECT path, size, modified, ends, sha256, info FROM file WHERE run_id = $1 ORDER BY number`, []any{run}, func(scan func(...any) error) error {
		var f File
		var modified int64
		var info string
		if err := scan(&f.Path, &f.Size, &modified, &f.Ends, &f.SHA256, &info); err != nil {
			return err
		}
		if modified != 0 {
			f.Modified = time.Unix(0, modified)
		}
		if info != "" {
			if err := json.Unmarshal([]byte(info), &f.Info); err != nil {
				return &DamagedError{l.Path(), err}
			}
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// Prune forgets the runs that ended before a time, or whose attempts began
// before it and never ended, and returns the disk's space. Where unfinished
// is false it keeps those that can be continued. It returns the number of runs
// that it forgot.
func (l *Ledger) Prune(ctx context.Context, before time.Time, unfinished bool) (int64, error) {
	var n int64
	err := l.changeLong(ctx, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM run WHERE (CASE WHEN ended > 0 THEN ended ELSE started END) < $1 AND (state = 'finished' OR $2)`,
			before.UnixMilli(), unfinished)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	if err != nil || n == 0 {
		return n, err
	}
	return n, l.dialect.tidy(ctx)
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
