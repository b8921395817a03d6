package backfill

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// State is how far a backfill, or one of its segments, has come.
type State string

// The states.
const (
	Waiting   State = "waiting" // a segment that nobody is at
	Running   State = "running"
	Paused    State = "paused"
	Cancelled State = "cancelled"
	Finished  State = "finished" // every row was created or rejected
	Failed    State = "failed"   // a segment was given up; the report has its rows
)

// Settings are the rules of a backfill, which all its workers keep.
type Settings struct {
	Server   string
	ActUnder string
	// Reader says how the files are read; each file has a mapping of its own.
	Reader reader.Config
	NoSpec bool
	// ChunkSize is the most tasks in a request; it is settled when the backfill
	// begins, as chunks must be the same whoever makes them.
	ChunkSize   int
	SegmentRows int64
	PoolTasks   int64 // the most tasks in a pool
	Limits      ratelimit.Config
	// ClonesPerMinute and ClonesPerDay bound the pools that are made; 0 is none.
	ClonesPerMinute, ClonesPerDay int
	OpenPools                     bool
}

// isFor reports whether a worker with this server and account may work at it.
func (s Settings) isFor(api toloka.Config) bool {
	return s.Server == api.BaseURL && s.ActUnder == api.ActUnder
}

// Backfill is one backfill.
type Backfill struct {
	ID       int64
	Name     string
	State    State
	Settings Settings
	Begun    time.Time
	Ended    time.Time // zero while it goes on
	Command  string
}

const backfillColumns = `b.id, b.name, b.state, b.settings, b.command, b.begun, b.ended`

func (b *Backfill) fields() []any {
	return []any{&b.ID, &b.Name, &b.State, jsonText{&b.Settings}, &b.Command, instant{&b.Begun, time.Millisecond}, instant{&b.Ended, time.Millisecond}}
}

// file is an input as it is stored.
type file struct {
	number   int
	path     string
	identity reader.Identity
	rules    Rules
}

// segment is one segment and all that its job needs.
type segment struct {
	backfill   Backfill
	number     int
	file       file
	rows       reader.Segment
	slot       int
	state      State
	generation int64
	owner      string
	run        string // the name of its run in the ledger
}

const (
	segmentColumns = backfillColumns + `, s.number, s.from_bytes, s.from_line, s.from_record, s.rows_planned, s.pool, s.state, s.generation, s.owner, s.run,
		f.number, f.path, f.size, f.modified, f.ends, f.rules`
	// segmentFiles are segments s with their backfills b and files f.
	segmentFiles = `backfill_segment s JOIN backfill b ON b.id = s.backfill JOIN backfill_file f ON f.backfill = s.backfill AND f.number = s.file`
)

func (g *segment) fields() []any {
	f := &g.file
	return append(g.backfill.fields(), &g.number, &g.rows.From.Offset, &g.rows.From.Line, &g.rows.From.Record, &g.rows.Rows, &g.slot, &g.state, &g.generation, &g.owner, &g.run,
		&f.number, &f.path, &f.identity.Size, instant{&f.identity.Modified, time.Nanosecond}, hexText{&f.identity.Ends}, jsonText{&f.rules})
}

// store has what is stored of backfills. It is safe for concurrent use.
type store struct{ database }

func openStore(ctx context.Context, l *ledger.Ledger) (store, error) {
	d, err := openDatabase(ctx, l)
	return store{d}, err
}

// ErrUnknown is returned where there is nothing of a name.
var ErrUnknown = errors.New("unknown")

// unknownError is ErrUnknown with what is unknown.
type unknownError struct{ what, name string }

func (e *unknownError) Is(target error) bool { return target == ErrUnknown }

func (e *unknownError) Error() string {
	if e.name == "" {
		return "there is no " + e.what + " yet"
	}
	return fmt.Sprintf("there is no %s %q: 'poolfill %s list' shows those that there are", e.what, e.name, e.what)
}

// StateError is returned where the state of a backfill doesn't allow a change.
type StateError struct {
	Name  string
	State State
	Verb  string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("backfill %s is %s: it can't be %s", e.Name, e.State, e.Verb)
}

// add stores a backfill and its plan.
func (s store) add(ctx context.Context, b Backfill, p Plan) error {
	return s.ledger.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := insert(ctx, tx, `backfill (id, name, format, server, state, settings, command, begun, ended)`,
			b.ID, b.Name, format, b.Settings.Server, Running, jsonText{b.Settings}, b.Command, millis(b.Begun), 0); err != nil {
			return fmt.Errorf("the backfill %s can't be entered: %w", b.Name, err)
		}
		for i, in := range p.Inputs {
			if err := insert(ctx, tx, `backfill_file (backfill, number, path, size, modified, ends, rules, info)`, b.ID, i, in.Path,
				in.identity.Size, units(in.identity.Modified, time.Nanosecond), hex.EncodeToString(in.identity.Ends), jsonText{in.Rules}, jsonText{in.info}); err != nil {
				return err
			}
		}
		for i, slot := range p.Layout.Slots {
			if err := insert(ctx, tx, `backfill_pool (backfill, number, template, pool, rows_planned, owner, asked, opened)`,
				b.ID, i, slot.Template, slot.Pool, slot.Rows, "", 0, 0); err != nil {
				return err
			}
		}
		for i, piece := range p.Layout.Pieces {
			from, run := piece.Range.From, fmt.Sprintf("%s-%05d", b.Name, i+1)
			if err := insert(ctx, tx, `backfill_segment (backfill, number, file, from_bytes, from_line, from_record, rows_planned, pool, state, generation, run,
				queued, owner, beat, created, rejected, attempts, until, error)`,
				b.ID, i, piece.File, from.Offset, from.Line, from.Record, piece.Range.Rows, piece.Slot, Waiting, 1, run, 0, "", 0, 0, 0, 0, 0, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// find returns a backfill by its name; "" is the latest.
func (s store) find(ctx context.Context, from querier, name string) (Backfill, error) {
	b, err := one(ctx, from, (*Backfill).fields, `SELECT `+backfillColumns+` FROM backfill b WHERE name = $1 OR $1 = '' ORDER BY begun DESC, id DESC LIMIT 1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		err = &unknownError{"backfill", name}
	}
	return b, err
}

// backfills returns all backfills, the latest first; with a state only those in it.
func (s store) backfills(ctx context.Context, state State) ([]Backfill, error) {
	return list(ctx, s.db, (*Backfill).fields, `SELECT `+backfillColumns+` FROM backfill b WHERE $1 = '' OR state = $1 ORDER BY begun DESC, id DESC`, state)
}

// change is a change of a backfill's state.
type change struct {
	verb string // what it is then, for messages
	to   State
	from []State // those that allow it
	// again is the state of the segments that get a new job, where nobody is at
	// them; empty is none.
	again State
}

// change changes the state of a backfill, and returns it and the number of segments
// that get a new job. The error is a *StateError where the state doesn't allow that.
func (s store) change(ctx context.Context, name string, c change) (b Backfill, renewed int64, err error) {
	err = s.exclusively(ctx, changes, func(ctx context.Context, tx *sql.Tx) error {
		if b, err = s.find(ctx, tx, name); err != nil {
			return err
		}
		if !slices.Contains(c.from, b.State) {
			return &StateError{b.Name, b.State, c.verb}
		}
		result, err := tx.ExecContext(ctx, `UPDATE backfill_segment SET state = $1, generation = generation + 1, queued = 0, until = 0
			WHERE backfill = $2 AND state = $3 AND owner = ''`, Waiting, b.ID, c.again)
		if err != nil {
			return err
		}
		if renewed, err = result.RowsAffected(); err != nil {
			return err
		}
		b.State = c.to
		return s.move(ctx, tx, b.ID, c.to)
	})
	return b, renewed, err
}

// changes names what no two do at a time: see exclusively.
const changes = "backfill change"

func (s store) move(ctx context.Context, tx *sql.Tx, id int64, to State) error {
	ended := time.Now()
	if to == Running || to == Paused {
		ended = time.Time{}
	}
	_, err := tx.ExecContext(ctx, `UPDATE backfill SET state = $1, ended = $2 WHERE id = $3`, to, millis(ended), id)
	return err
}

// conclude ends a running backfill that has nothing left to do: no segment, and no
// pool to open. What a retry adds at the same moment is seen.
func (s store) conclude(ctx context.Context, b Backfill) error {
	return s.exclusively(ctx, changes, func(ctx context.Context, tx *sql.Tx) error {
		b, err := s.find(ctx, tx, b.Name)
		if err != nil || b.State != Running {
			return err
		}
		left, err := number(ctx, tx, `SELECT count(*) FROM backfill_segment WHERE backfill = $1 AND state IN ($2, $3)`, b.ID, Waiting, Running)
		if err == nil && left == 0 && b.Settings.OpenPools {
			left, err = number(ctx, tx, `SELECT count(*) FROM backfill_pool p WHERE `+isDone, b.ID, Finished)
		}
		if err != nil || left > 0 {
			return err
		}
		failed, err := number(ctx, tx, `SELECT count(*) FROM backfill_segment WHERE backfill = $1 AND state = $2`, b.ID, Failed)
		if err != nil {
			return err
		}
		to := Finished
		if failed > 0 {
			to = Failed
		}
		return s.move(ctx, tx, b.ID, to)
	})
}

// segment returns all that a job needs of a segment.
func (s store) segment(ctx context.Context, backfill int64, number int) (segment, error) {
	return one(ctx, s.db, (*segment).fields, `SELECT `+segmentColumns+` FROM `+segmentFiles+` WHERE s.backfill = $1 AND s.number = $2`, backfill, number)
}

// claim makes owner the one who is at a segment. It reports whether it is.
func (s store) claim(ctx context.Context, g segment, owner string) (bool, error) {
	return changed(s.db.ExecContext(ctx, `UPDATE backfill_segment SET owner = $1, beat = beat + 1, state = $2, attempts = attempts + 1, until = 0, error = ''
		WHERE backfill = $3 AND number = $4 AND generation = $5 AND owner = ''`, owner, Running, g.backfill.ID, g.number, g.generation))
}

// beat shows that the owner is alive. It returns the state of the backfill; lost
// is whether the segment was taken away.
func (s store) beat(ctx context.Context, g segment, owner string) (state State, lost bool, err error) {
	ours, err := changed(s.db.ExecContext(ctx, `UPDATE backfill_segment SET beat = beat + 1 WHERE backfill = $1 AND number = $2 AND owner = $3`,
		g.backfill.ID, g.number, owner))
	if err != nil || !ours {
		return "", err == nil, err
	}
	err = s.db.QueryRowContext(ctx, `SELECT state FROM backfill WHERE id = $1`, g.backfill.ID).Scan(&state)
	return state, false, err
}

// result is how an attempt at a segment ended.
type result struct {
	state             State
	created, rejected int64
	until             time.Time // when it can go on; zero is at once
	err               string
}

// release ends an owner's work at a segment. Where the segment was taken away, it
// changes nothing.
func (s store) release(ctx context.Context, g segment, owner string, r result) error {
	return s.ledger.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE backfill_segment SET owner = '', state = $1, created = $2, rejected = $3, until = $4, error = $5
			WHERE backfill = $6 AND number = $7 AND owner = $8`,
			r.state, r.created, r.rejected, millis(r.until), s.ledger.Text(r.err), g.backfill.ID, g.number, owner)
		if err != nil {
			return err
		}
		return releaseSlots(ctx, tx, g.backfill.ID, owner)
	})
}

func releaseSlots(ctx context.Context, tx *sql.Tx, backfill int64, owner string) error {
	_, err := tx.ExecContext(ctx, `UPDATE backfill_pool SET owner = '' WHERE backfill = $1 AND owner = $2`, backfill, owner)
	return err
}

// parked returns when the quota of a day, which a segment of a backfill has met, is a
// new one. Where none has met it, that is long ago.
func (s store) parked(ctx context.Context, backfill int64) (time.Time, error) {
	until, err := number(ctx, s.db, `SELECT coalesce(max(until), 0) FROM backfill_segment WHERE backfill = $1 AND state = $2`, backfill, Waiting)
	return time.UnixMilli(until), err
}

// held is a segment that somebody is at.
type held struct {
	backfill int64
	number   int
	owner    string
	beat     int64
}

func (h *held) fields() []any { return []any{&h.backfill, &h.number, &h.owner, &h.beat} }

func (s store) held(ctx context.Context) ([]held, error) {
	return list(ctx, s.db, (*held).fields, `SELECT backfill, number, owner, beat FROM backfill_segment WHERE state = $1 AND owner <> ''`, Running)
}

// free takes a segment away from an owner who showed no life since, and asks for
// another job. It reports whether it did.
func (s store) free(ctx context.Context, h held) (freed bool, err error) {
	err = s.ledger.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if freed, err = changed(tx.ExecContext(ctx, `UPDATE backfill_segment SET owner = '', state = $1, generation = generation + 1, queued = 0
			WHERE backfill = $2 AND number = $3 AND owner = $4 AND beat = $5`, Waiting, h.backfill, h.number, h.owner, h.beat)); err != nil || !freed {
			return err
		}
		return releaseSlots(ctx, tx, h.backfill, h.owner)
	})
	return freed, err
}

// idle reports whether a job is the one of a segment, and nobody is at that.
func (s store) idle(ctx context.Context, j jobKey) (bool, error) {
	n, err := number(ctx, s.db, `SELECT count(*) FROM backfill_segment WHERE backfill = $1 AND number = $2 AND generation = $3 AND state = $4 AND owner = '' AND queued = 1`,
		j.Backfill, j.Segment, j.Generation, Waiting)
	return n > 0, err
}

// renew asks for another job for a segment that is idle.
func (s store) renew(ctx context.Context, j jobKey) error {
	_, err := s.db.ExecContext(ctx, `UPDATE backfill_segment SET generation = generation + 1, queued = 0, until = 0
		WHERE backfill = $1 AND number = $2 AND generation = $3 AND state = $4 AND owner = ''`, j.Backfill, j.Segment, j.Generation, Waiting)
	return err
}

// wanted is a job that a segment needs.
type wanted struct {
	jobKey
	rules Rules
}

func (w *wanted) fields() []any {
	return []any{&w.Backfill, &w.Segment, &w.Generation, jsonText{&w.rules}}
}

// wanted returns the jobs of segments that have none yet.
func (s store) wanted(ctx context.Context, most int) ([]wanted, error) {
	return list(ctx, s.db, (*wanted).fields, `SELECT s.backfill, s.number, s.generation, f.rules FROM `+segmentFiles+`
		WHERE s.state = $1 AND s.queued = 0 AND b.state = $2 AND b.format = $3 ORDER BY b.begun, s.number LIMIT $4`, Waiting, Running, format, most)
}

// queued notes that segments have their jobs.
func (s store) queued(ctx context.Context, all []wanted) error {
	return s.ledger.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, w := range all {
			if _, err := tx.ExecContext(ctx, `UPDATE backfill_segment SET queued = 1 WHERE backfill = $1 AND number = $2 AND generation = $3`,
				w.Backfill, w.Segment, w.Generation); err != nil {
				return err
			}
		}
		return nil
	})
}

// slot is a pool of a backfill.
type slot struct {
	backfill int64
	number   int
	template string
	pool     string    // empty until it is there
	asked    time.Time // when its clone was asked for first; zero for never
}

const slotColumns = `p.backfill, p.number, p.template, p.pool, p.asked`

func (p *slot) fields() []any {
	return []any{&p.backfill, &p.number, &p.template, &p.pool, instant{&p.asked, time.Millisecond}}
}

func (s store) slot(ctx context.Context, backfill int64, number int) (slot, error) {
	return one(ctx, s.db, (*slot).fields, `SELECT `+slotColumns+` FROM backfill_pool p WHERE p.backfill = $1 AND p.number = $2`, backfill, number)
}

// ask makes owner the one who clones a slot's pool, or returns how long that has to
// wait: while another one has asked, and while any is at a clone of the same
// template, which has the template's name at first, by which a clone is looked for
// whose id got lost. Who has lost its segment is at nothing any more. One that was
// asked for before has been counted by the limits of clones.
func (s store) ask(ctx context.Context, p slot, owner string, limits Settings, now time.Time) (wait time.Duration, err error) {
	err = s.exclusively(ctx, changes, func(ctx context.Context, tx *sql.Tx) error {
		asked := p.asked
		if asked.IsZero() {
			asked = now
			if wait, err = untilClone(ctx, tx, limits, now); err != nil || wait > 0 {
				return err
			}
		}
		ours, err := changed(tx.ExecContext(ctx, `UPDATE backfill_pool SET owner = $1, asked = $2 WHERE backfill = $3 AND number = $4 AND pool = '' AND asked = $5
			AND NOT EXISTS (SELECT 1 FROM backfill_pool o JOIN backfill b ON b.id = o.backfill
				JOIN backfill_segment s ON s.backfill = o.backfill AND s.pool = o.number AND s.owner = o.owner AND s.state = $6
				WHERE o.template = backfill_pool.template AND o.pool = '' AND o.owner <> '' AND o.owner <> $1 AND b.server = $7)`,
			owner, millis(asked), p.backfill, p.number, millis(p.asked), Running, limits.Server))
		if wait = 0; !ours {
			wait = soon
		}
		return err
	})
	return wait, err
}

// untilClone returns how long the limits of clones make the next one wait.
func untilClone(ctx context.Context, tx *sql.Tx, limits Settings, now time.Time) (time.Duration, error) {
	for _, l := range []struct {
		limit int
		span  time.Duration
	}{{limits.ClonesPerMinute, time.Minute}, {limits.ClonesPerDay, 24 * time.Hour}} {
		if l.limit == 0 {
			continue
		}
		n, err := number(ctx, tx, `SELECT count(*) FROM backfill_pool p JOIN backfill b ON b.id = p.backfill WHERE b.server = $1 AND p.asked > $2`,
			limits.Server, millis(now.Add(-l.span)))
		if err != nil {
			return 0, err
		}
		if n >= int64(l.limit) {
			return min(l.span, 10*time.Minute), nil
		}
	}
	return 0, nil
}

// cloned keeps the pool of a slot, which no other slot may have.
func (s store) cloned(ctx context.Context, p slot, owner, pool string) error {
	ours := false
	err := s.exclusively(ctx, changes, func(ctx context.Context, tx *sql.Tx) (err error) {
		ours, err = changed(tx.ExecContext(ctx, `UPDATE backfill_pool SET pool = $1, owner = '' WHERE backfill = $2 AND number = $3 AND pool = '' AND owner = $4
			AND NOT EXISTS (SELECT 1 FROM backfill_pool o JOIN backfill b ON b.id = o.backfill WHERE o.pool = $1
				AND b.server = (SELECT server FROM backfill WHERE id = $2))`,
			pool, p.backfill, p.number, owner))
		return err
	})
	if err == nil && !ours {
		err = fmt.Errorf("pool %s was cloned, and another worker has taken it or cloned one in the meantime", pool)
	}
	return err
}

// usesPool reports whether a pool belongs to any backfill.
func (s store) usesPool(ctx context.Context, pool string) (bool, error) {
	n, err := number(ctx, s.db, `SELECT count(*) FROM backfill_pool WHERE pool = $1`, pool)
	return n > 0, err
}

// isDone selects the slots p of a backfill ($1) all of whose segments are finished
// ($2) and that are not open yet.
const isDone = `p.backfill = $1 AND p.pool <> '' AND p.opened = 0 AND NOT EXISTS (
	SELECT 1 FROM backfill_segment s WHERE s.backfill = p.backfill AND s.pool = p.number AND s.state <> $2)`

// done returns the slots whose pools can be opened.
func (s store) done(ctx context.Context, backfill int64) ([]slot, error) {
	return list(ctx, s.db, (*slot).fields, `SELECT `+slotColumns+` FROM backfill_pool p WHERE `+isDone+` ORDER BY p.number`, backfill, Finished)
}

func (s store) opened(ctx context.Context, p slot) error {
	_, err := s.db.ExecContext(ctx, `UPDATE backfill_pool SET opened = 1 WHERE backfill = $1 AND number = $2`, p.backfill, p.number)
	return err
}
