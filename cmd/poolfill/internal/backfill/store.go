package backfill

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"poolfill/internal/ledger"
	"poolfill/internal/postgres"
	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// format is the version of what is stored. A worker leaves backfills of another
// one alone.
const format = 1

// State says how far a backfill, or one of its segments, has come.
type State string

// The states.
const (
	Waiting   State = "waiting" // a segment that nobody is at
	Running   State = "running"
	Paused    State = "paused"
	Cancelled State = "cancelled"
	Finished  State = "finished" // every row was created or rejected
	Failed    State = "failed"   // a segment was given up; its rows are told by the report
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

// file is an input as it is stored.
type file struct {
	number   int
	path     string
	size     int64
	modified time.Time
	ends     []byte
	rules    rules
	info     reader.Info
}

// rules are what a file has of its own.
type rules struct {
	Map       map[string]string `json:",omitempty"`
	Priority  int
	NotBefore time.Time `json:",omitzero"`
	Each      bool      `json:",omitempty"`
}

// segment is one segment and all that its job needs.
type segment struct {
	backfill   Backfill
	number     int
	file       file
	from       reader.Mark
	rows       int64
	slot       int
	state      State
	generation int64
	owner      string
	run        string // the name of its run in the ledger
}

// schema is repeated at each start, so all of it must bear that. Times are
// milliseconds since 1970; 0 is none.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS backfill (
		id bigint PRIMARY KEY,
		name text NOT NULL UNIQUE,
		format bigint NOT NULL,
		server text NOT NULL,
		state text NOT NULL,
		settings text NOT NULL,
		command text NOT NULL,
		begun bigint NOT NULL,
		ended bigint NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS backfill_file (
		backfill bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE,
		number bigint NOT NULL,
		path text NOT NULL,
		size bigint NOT NULL,
		modified bigint NOT NULL,
		ends text NOT NULL,
		rules text NOT NULL,
		info text NOT NULL,
		PRIMARY KEY (backfill, number)
	)`,
	`CREATE TABLE IF NOT EXISTS backfill_pool (
		backfill bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE,
		number bigint NOT NULL,
		template text NOT NULL,
		pool text NOT NULL,
		rows_planned bigint NOT NULL,
		owner text NOT NULL,
		asked bigint NOT NULL,
		opened bigint NOT NULL,
		PRIMARY KEY (backfill, number)
	)`,
	`CREATE TABLE IF NOT EXISTS backfill_segment (
		backfill bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE,
		number bigint NOT NULL,
		file bigint NOT NULL,
		from_bytes bigint NOT NULL,
		from_line bigint NOT NULL,
		from_record bigint NOT NULL,
		rows_planned bigint NOT NULL,
		pool bigint NOT NULL,
		state text NOT NULL,
		generation bigint NOT NULL,
		queued bigint NOT NULL,
		owner text NOT NULL,
		beat bigint NOT NULL,
		run text NOT NULL,
		created bigint NOT NULL,
		rejected bigint NOT NULL,
		attempts bigint NOT NULL,
		until bigint NOT NULL,
		error text NOT NULL,
		PRIMARY KEY (backfill, number)
	)`,
	`CREATE INDEX IF NOT EXISTS backfill_segment_by_state ON backfill_segment (state, backfill)`,
	`CREATE TABLE IF NOT EXISTS schedule (
		name text PRIMARY KEY,
		cron text NOT NULL,
		zone text NOT NULL,
		args text NOT NULL,
		server text NOT NULL,
		made bigint NOT NULL,
		due bigint NOT NULL,
		last_begun bigint NOT NULL,
		last_ended bigint NOT NULL,
		last_run text NOT NULL,
		last_result text NOT NULL
	)`,
}

// names are those of what schema makes.
var names = []string{"backfill", "backfill_file", "backfill_pool", "backfill_segment", "backfill_segment_by_state", "schedule"}

// store is the tables of the package. It is safe for concurrent use.
type store struct {
	db     *sql.DB
	ledger *ledger.Ledger
}

func openStore(ctx context.Context, l *ledger.Ledger) (store, error) {
	err := l.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if l.Shared() { // there two can't make the same table at once
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('poolfill backfill'))`); err != nil {
				return err
			}
			if made, err := postgres.Has(ctx, tx, names...); err != nil || made {
				return err
			}
		}
		for _, table := range schema {
			if _, err := tx.ExecContext(ctx, table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return store{}, fmt.Errorf("making the tables of backfills: %w", err)
	}
	return store{l.DB(), l}, nil
}

// ErrUnknown says that there is nothing of a name.
var ErrUnknown = errors.New("unknown")

// unknownError says what is unknown.
type unknownError struct{ what, name string }

func (e *unknownError) Is(target error) bool { return target == ErrUnknown }

func (e *unknownError) Error() string {
	if e.name == "" {
		return "there is no " + e.what + " yet"
	}
	return fmt.Sprintf("there is no %s %q: 'poolfill %s list' shows those that there are", e.what, e.name, e.what)
}

// tx carries out a change, again where the connection is lost before it is done.
func (s store) tx(ctx context.Context, do func(*sql.Tx) error) error {
	return s.ledger.Transact(ctx, func(_ context.Context, tx *sql.Tx) error { return do(tx) })
}

// serially is tx for a change that rests on what it reads: no other such change is
// under way meanwhile. A file has one transaction at a time.
func (s store) serially(ctx context.Context, do func(*sql.Tx) error) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		if s.ledger.Shared() {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('poolfill backfill change'))`); err != nil {
				return err
			}
		}
		return do(tx)
	})
}

// each calls yield for every row of a query's answer.
func (s store) each(ctx context.Context, query string, yield func(scan func(...any) error) error, args ...any) (err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := yield(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// enter stores a backfill and its plan.
func (s store) enter(ctx context.Context, b Backfill, files []file, l Layout) error {
	settings, err := json.Marshal(b.Settings)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO backfill (id, name, format, server, state, settings, command, begun, ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)`,
			b.ID, b.Name, format, b.Settings.Server, string(Running), string(settings), b.Command, b.Begun.UnixMilli()); err != nil {
			return fmt.Errorf("the backfill %s can't be entered: %w", b.Name, err)
		}
		for _, f := range files {
			rules, err := json.Marshal(f.rules)
			if err != nil {
				return err
			}
			info, err := json.Marshal(f.info)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO backfill_file (backfill, number, path, size, modified, ends, rules, info) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
				b.ID, f.number, f.path, f.size, unixNano(f.modified), hex.EncodeToString(f.ends), string(rules), string(info)); err != nil {
				return err
			}
		}
		for i, p := range l.Slots {
			if _, err := tx.ExecContext(ctx, `INSERT INTO backfill_pool (backfill, number, template, pool, rows_planned, owner, asked, opened) VALUES ($1, $2, $3, $4, $5, '', 0, 0)`,
				b.ID, i, p.Template, p.Pool, p.Rows); err != nil {
				return err
			}
		}
		insert, err := tx.PrepareContext(ctx, `INSERT INTO backfill_segment (backfill, number, file, from_bytes, from_line, from_record, rows_planned, pool, state,
			generation, queued, owner, beat, run, created, rejected, attempts, until, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, 0, '', 0, $10, 0, 0, 0, 0, '')`)
		if err != nil {
			return err
		}
		for i, p := range l.Pieces {
			if _, err := insert.ExecContext(ctx, b.ID, i, p.File, p.Range.From.Offset, p.Range.From.Line, p.Range.From.Record, p.Range.Rows, p.Slot, string(Waiting),
				fmt.Sprintf("%s-%05d", b.Name, i+1)); err != nil {
				return errors.Join(err, insert.Close())
			}
		}
		return insert.Close()
	})
}

const backfillColumns = `id, name, state, settings, command, begun, ended`

func scanBackfill(scan func(...any) error) (b Backfill, err error) {
	var settings string
	var begun, ended int64
	if err := scan(&b.ID, &b.Name, (*string)(&b.State), &settings, &b.Command, &begun, &ended); err != nil {
		return b, err
	}
	b.Begun = time.UnixMilli(begun)
	if ended != 0 {
		b.Ended = time.UnixMilli(ended)
	}
	err = json.Unmarshal([]byte(settings), &b.Settings)
	return b, err
}

// find gives a backfill by its name; "" is the latest.
func (s store) find(ctx context.Context, name string) (Backfill, error) {
	b, err := scanBackfill(s.db.QueryRowContext(ctx, `SELECT `+backfillColumns+` FROM backfill WHERE name = $1 OR $1 = '' ORDER BY begun DESC, id DESC LIMIT 1`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return b, &unknownError{"backfill", name}
	}
	return b, err
}

// list gives all backfills, the latest first; with a state only those in it.
func (s store) list(ctx context.Context, state State) (all []Backfill, err error) {
	err = s.each(ctx, `SELECT `+backfillColumns+` FROM backfill WHERE $1 = '' OR state = $1 ORDER BY begun DESC, id DESC`, func(scan func(...any) error) error {
		b, err := scanBackfill(scan)
		all = append(all, b)
		return err
	}, string(state))
	return all, err
}

// move changes a backfill's state, if it is one of from. It reports whether it was.
func (s store) move(ctx context.Context, id int64, to State, from ...State) (moved bool, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		moved, err = s.moveIn(ctx, tx, id, to, from...)
		return err
	})
	return moved, err
}

func (s store) moveIn(ctx context.Context, tx *sql.Tx, id int64, to State, from ...State) (bool, error) {
	ended := int64(0)
	if to == Finished || to == Failed || to == Cancelled {
		ended = time.Now().UnixMilli()
	}
	for _, f := range from {
		moved, err := s.changed(tx.ExecContext(ctx, `UPDATE backfill SET state = $1, ended = $2 WHERE id = $3 AND state = $4`, string(to), ended, id, string(f)))
		if err != nil || moved {
			return moved, err
		}
	}
	return false, nil
}

// conclude ends a backfill that has nothing left to do: no segment, and no pool to
// open. What a retry gives it at the same moment is seen.
func (s store) conclude(ctx context.Context, b Backfill) error {
	return s.serially(ctx, func(tx *sql.Tx) error {
		var left, failed, closed int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(CASE WHEN state IN ($1, $2) THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN state = $3 THEN 1 ELSE 0 END), 0)
			FROM backfill_segment WHERE backfill = $4`, string(Waiting), string(Running), string(Failed), b.ID).Scan(&left, &failed); err != nil {
			return err
		}
		if b.Settings.OpenPools {
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM backfill_pool p WHERE `+isDone, b.ID, string(Finished)).Scan(&closed); err != nil {
				return err
			}
		}
		if left > 0 || closed > 0 {
			return nil
		}
		to := Finished
		if failed > 0 {
			to = Failed
		}
		_, err := s.moveIn(ctx, tx, b.ID, to, Running)
		return err
	})
}

// segment gives all that a job needs of a segment.
func (s store) segment(ctx context.Context, backfill int64, number int) (g segment, err error) {
	var settings, ends, rule string
	var begun, ended, modified int64
	b := &g.backfill
	err = s.db.QueryRowContext(ctx, `SELECT b.id, b.name, b.state, b.settings, b.command, b.begun, b.ended,
			s.number, s.from_bytes, s.from_line, s.from_record, s.rows_planned, s.pool, s.state, s.generation, s.owner, s.run,
			f.number, f.path, f.size, f.modified, f.ends, f.rules
		FROM backfill_segment s JOIN backfill b ON b.id = s.backfill JOIN backfill_file f ON f.backfill = s.backfill AND f.number = s.file
		WHERE s.backfill = $1 AND s.number = $2`, backfill, number).Scan(
		&b.ID, &b.Name, (*string)(&b.State), &settings, &b.Command, &begun, &ended,
		&g.number, &g.from.Offset, &g.from.Line, &g.from.Record, &g.rows, &g.slot, (*string)(&g.state), &g.generation, &g.owner, &g.run,
		&g.file.number, &g.file.path, &g.file.size, &modified, &ends, &rule)
	if err != nil {
		return g, err
	}
	b.Begun, g.file.modified = time.UnixMilli(begun), timeOf(modified)
	if g.file.ends, err = hex.DecodeString(ends); err != nil {
		return g, err
	}
	err = errors.Join(json.Unmarshal([]byte(settings), &b.Settings), json.Unmarshal([]byte(rule), &g.file.rules))
	return g, err
}

// claim makes owner the one who is at a segment. It reports whether it is.
func (s store) claim(ctx context.Context, g segment, owner string) (bool, error) {
	return s.changed(s.db.ExecContext(ctx, `UPDATE backfill_segment SET owner = $1, beat = beat + 1, state = $2, attempts = attempts + 1, until = 0, error = ''
		WHERE backfill = $3 AND number = $4 AND generation = $5 AND owner = ''`, owner, string(Running), g.backfill.ID, g.number, g.generation))
}

// beat shows that the owner is alive. It gives the state of the backfill; lost
// says that the segment was taken away.
func (s store) beat(ctx context.Context, g segment, owner string) (state State, lost bool, err error) {
	ours, err := s.changed(s.db.ExecContext(ctx, `UPDATE backfill_segment SET beat = beat + 1 WHERE backfill = $1 AND number = $2 AND owner = $3`,
		g.backfill.ID, g.number, owner))
	if err != nil {
		return "", false, err
	}
	if !ours {
		return "", true, nil
	}
	err = s.db.QueryRowContext(ctx, `SELECT state FROM backfill WHERE id = $1`, g.backfill.ID).Scan((*string)(&state))
	return state, false, err
}

// result is how an attempt at a segment ended.
type result struct {
	state             State
	created, rejected int64
	until             time.Time // when it can go on; zero is at once
	err               string
}

// leave ends an owner's work at a segment. Where the segment was taken away, it
// changes nothing.
func (s store) leave(ctx context.Context, g segment, owner string, r result) error {
	until := int64(0)
	if !r.until.IsZero() {
		until = r.until.UnixMilli()
	}
	return s.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE backfill_pool SET owner = '' WHERE backfill = $1 AND owner = $2`, g.backfill.ID, owner); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE backfill_segment SET owner = '', state = $1, created = $2, rejected = $3, until = $4, error = $5
			WHERE backfill = $6 AND number = $7 AND owner = $8`,
			string(r.state), r.created, r.rejected, until, s.ledger.Text(r.err), g.backfill.ID, g.number, owner)
		return err
	})
}

// parked gives when the quota of a day, which a segment of a backfill has met, is a
// new one. Where none has met it, that is long ago.
func (s store) parked(ctx context.Context, backfill int64) (time.Time, error) {
	var until int64
	err := s.db.QueryRowContext(ctx, `SELECT coalesce(max(until), 0) FROM backfill_segment WHERE backfill = $1 AND state = $2`, backfill, string(Waiting)).Scan(&until)
	return time.UnixMilli(until), err
}

// held is a segment that somebody is at.
type held struct {
	backfill int64
	number   int
	owner    string
	beat     int64
}

func (s store) held(ctx context.Context) (all []held, err error) {
	err = s.each(ctx, `SELECT backfill, number, owner, beat FROM backfill_segment WHERE state = $1 AND owner <> ''`, func(scan func(...any) error) error {
		var h held
		err := scan(&h.backfill, &h.number, &h.owner, &h.beat)
		all = append(all, h)
		return err
	}, string(Running))
	return all, err
}

// free takes a segment away from an owner who showed no life since, and asks for
// another job.
func (s store) free(ctx context.Context, h held) (bool, error) {
	freed := false
	err := s.tx(ctx, func(tx *sql.Tx) error {
		var err error
		if freed, err = s.changed(tx.ExecContext(ctx, `UPDATE backfill_segment SET owner = '', state = $1, generation = generation + 1, queued = 0
			WHERE backfill = $2 AND number = $3 AND owner = $4 AND beat = $5`, string(Waiting), h.backfill, h.number, h.owner, h.beat)); err != nil || !freed {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE backfill_pool SET owner = '' WHERE backfill = $1 AND owner = $2`, h.backfill, h.owner)
		return err
	})
	return freed, err
}

// jobKey names a job.
type jobKey struct {
	backfill   int64
	number     int
	generation int64
}

// idle reports whether a job is the one of a segment, and nobody is at that.
func (s store) idle(ctx context.Context, j jobKey) (bool, error) {
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM backfill_segment WHERE backfill = $1 AND number = $2 AND generation = $3 AND state = $4 AND owner = '' AND queued = 1`,
		j.backfill, j.number, j.generation, string(Waiting)).Scan(&n)
	return n > 0, err
}

// renew asks for another job for a segment that is idle.
func (s store) renew(ctx context.Context, j jobKey) error {
	_, err := s.db.ExecContext(ctx, `UPDATE backfill_segment SET generation = generation + 1, queued = 0, until = 0
		WHERE backfill = $1 AND number = $2 AND generation = $3 AND state = $4 AND owner = ''`, j.backfill, j.number, j.generation, string(Waiting))
	return err
}

// wanted is a segment that needs a job.
type wanted struct {
	backfill   int64
	number     int
	generation int64
	priority   int
	notBefore  time.Time
}

// wanted gives segments that have no job yet.
func (s store) wanted(ctx context.Context, most int) (all []wanted, err error) {
	err = s.each(ctx, `SELECT s.backfill, s.number, s.generation, f.rules
		FROM backfill_segment s JOIN backfill b ON b.id = s.backfill JOIN backfill_file f ON f.backfill = s.backfill AND f.number = s.file
		WHERE s.state = $1 AND s.queued = 0 AND b.state = $2 AND b.format = $3 ORDER BY b.begun, s.number LIMIT $4`, func(scan func(...any) error) error {
		var w wanted
		var text string
		if err := scan(&w.backfill, &w.number, &w.generation, &text); err != nil {
			return err
		}
		var r rules
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return err
		}
		w.priority, w.notBefore = r.Priority, r.NotBefore
		all = append(all, w)
		return nil
	}, string(Waiting), string(Running), format, most)
	return all, err
}

// queued notes that a segment has its job.
func (s store) queued(ctx context.Context, all []wanted) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		for _, w := range all {
			if _, err := tx.ExecContext(ctx, `UPDATE backfill_segment SET queued = 1 WHERE backfill = $1 AND number = $2 AND generation = $3`,
				w.backfill, w.number, w.generation); err != nil {
				return err
			}
		}
		return nil
	})
}

// again has a backfill run that is in one of from, and gives its segments in a
// state, which nobody is at, a new job: both or neither. It gives their number, and
// reports whether the backfill was in such a state.
func (s store) again(ctx context.Context, id int64, segments State, from ...State) (n int64, moved bool, err error) {
	err = s.serially(ctx, func(tx *sql.Tx) error {
		if moved, err = s.moveIn(ctx, tx, id, Running, from...); err != nil || !moved {
			return err
		}
		result, err := tx.ExecContext(ctx, `UPDATE backfill_segment SET state = $1, generation = generation + 1, queued = 0, until = 0
			WHERE backfill = $2 AND state = $3 AND owner = ''`, string(Waiting), id, string(segments))
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, moved, err
}

// slot gives a slot.
func (s store) slot(ctx context.Context, backfill int64, number int) (p slot, err error) {
	p.backfill, p.number = backfill, number
	var asked int64
	err = s.db.QueryRowContext(ctx, `SELECT template, pool, owner, asked, opened FROM backfill_pool WHERE backfill = $1 AND number = $2`, backfill, number).
		Scan(&p.template, &p.pool, &p.owner, &asked, &p.opened)
	if asked != 0 {
		p.asked = time.UnixMilli(asked)
	}
	return p, err
}

// slot is a pool of a backfill.
type slot struct {
	backfill int64
	number   int
	template string
	pool     string // empty until it is there
	owner    string
	asked    time.Time // when its clone was asked for first; zero for never
	opened   int64
}

// ask makes owner the one who clones a slot's pool, or says how long that has to
// wait: while another one has asked, and while any is at a clone of the same
// template, which has the template's name at first, by which a clone is looked for
// whose id got lost. Who has lost its segment is at nothing any more. One that was
// asked for before has been counted by the limits of clones.
func (s store) ask(ctx context.Context, p slot, owner string, limits Settings, now time.Time) (wait time.Duration, err error) {
	asked := now
	if !p.asked.IsZero() {
		asked = p.asked
	}
	err = s.serially(ctx, func(tx *sql.Tx) error {
		if p.asked.IsZero() {
			if wait, err = untilClone(ctx, tx, limits, now); err != nil || wait > 0 {
				return err
			}
		}
		ours, err := s.changed(tx.ExecContext(ctx, `UPDATE backfill_pool SET owner = $1, asked = $2 WHERE backfill = $3 AND number = $4 AND pool = '' AND asked = $5
			AND NOT EXISTS (SELECT 1 FROM backfill_pool o JOIN backfill b ON b.id = o.backfill
				JOIN backfill_segment s ON s.backfill = o.backfill AND s.pool = o.number AND s.owner = o.owner AND s.state = $6
				WHERE o.template = backfill_pool.template AND o.pool = '' AND o.owner <> '' AND o.owner <> $1 AND b.server = $7)`,
			owner, asked.UnixMilli(), p.backfill, p.number, millis(p.asked), string(Running), limits.Server))
		if wait = 0; !ours {
			wait = soon
		}
		return err
	})
	return wait, err
}

// untilClone says how long the limits of clones make the next one wait.
func untilClone(ctx context.Context, tx *sql.Tx, limits Settings, now time.Time) (time.Duration, error) {
	for _, l := range []struct {
		limit int
		span  time.Duration
	}{{limits.ClonesPerMinute, time.Minute}, {limits.ClonesPerDay, 24 * time.Hour}} {
		if l.limit == 0 {
			continue
		}
		n := 0
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM backfill_pool p JOIN backfill b ON b.id = p.backfill WHERE b.server = $1 AND p.asked > $2`,
			limits.Server, now.Add(-l.span).UnixMilli()).Scan(&n); err != nil {
			return 0, err
		}
		if n >= l.limit {
			return min(l.span, 10*time.Minute), nil
		}
	}
	return 0, nil
}

// cloned keeps the pool of a slot, which no other slot may have.
func (s store) cloned(ctx context.Context, p slot, owner, pool string) error {
	ours := false
	err := s.serially(ctx, func(tx *sql.Tx) (err error) {
		ours, err = s.changed(tx.ExecContext(ctx, `UPDATE backfill_pool SET pool = $1, owner = '' WHERE backfill = $2 AND number = $3 AND pool = '' AND owner = $4
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
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM backfill_pool WHERE pool = $1`, pool).Scan(&n)
	return n > 0, err
}

// isDone selects the slots p of a backfill ($1) all of whose segments are finished
// ($2) and that are not open yet.
const isDone = `p.backfill = $1 AND p.pool <> '' AND p.opened = 0 AND NOT EXISTS (
	SELECT 1 FROM backfill_segment s WHERE s.backfill = p.backfill AND s.pool = p.number AND s.state <> $2)`

// done gives the slots whose pools can be opened.
func (s store) done(ctx context.Context, backfill int64) (all []slot, err error) {
	err = s.each(ctx, `SELECT number, pool FROM backfill_pool p WHERE `+isDone+` ORDER BY number`, func(scan func(...any) error) error {
		p := slot{backfill: backfill}
		err := scan(&p.number, &p.pool)
		all = append(all, p)
		return err
	}, backfill, string(Finished))
	return all, err
}

func (s store) opened(ctx context.Context, p slot) error {
	_, err := s.db.ExecContext(ctx, `UPDATE backfill_pool SET opened = 1 WHERE backfill = $1 AND number = $2`, p.backfill, p.number)
	return err
}

func (s store) changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// unixNano is a time as the tables have it: 0 is none. timeOf is the way back.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nano int64) time.Time {
	if nano == 0 {
		return time.Time{}
	}
	return time.Unix(0, nano)
}
