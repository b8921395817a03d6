package backfill

import (
	"context"
	"time"

	"poolfill/uploader/toloka"
)

// counts gives the segments of a backfill by their state.
func (s store) counts(ctx context.Context, backfill int64) (map[State]int64, error) {
	counts := make(map[State]int64)
	err := s.each(ctx, `SELECT state, count(*) FROM backfill_segment WHERE backfill = $1 GROUP BY state`, func(scan func(...any) error) error {
		var state State
		var n int64
		err := scan((*string)(&state), &n)
		counts[state] = n
		return err
	}, backfill)
	return counts, err
}

// Status says how far a backfill has come. Its JSON form is what
// 'poolfill backfill status --json' prints.
type Status struct {
	Name     string           `json:"name"`
	State    State            `json:"state"`
	Server   string           `json:"server"`
	Begun    time.Time        `json:"begun"`
	Ended    *time.Time       `json:"ended,omitempty"`
	Command  string           `json:"command,omitempty"`
	Files    int64            `json:"files"`
	Rows     int64            `json:"rows"` // that were planned, control tasks for each pool included
	Created  int64            `json:"created"`
	Rejected int64            `json:"rejected"`
	Segments map[State]int64  `json:"segments"`
	Pools    []PoolStatus     `json:"pools"`
	Trouble  []SegmentTrouble `json:"trouble"`
	// Until is when the first segment that waits for the day's quota goes on.
	Until *time.Time `json:"until,omitempty"`
}

// Done counts the rows that have an outcome.
func (s Status) Done() int64 { return s.Created + s.Rejected }

// PoolStatus is one pool of a backfill.
type PoolStatus struct {
	Pool     string `json:"pool_id"` // empty until it is cloned
	Template string `json:"template,omitempty"`
	Rows     int64  `json:"rows"`
	Created  int64  `json:"created"`
	Rejected int64  `json:"rejected"`
	Finished bool   `json:"finished"`
}

// SegmentTrouble is a segment whose last attempt failed.
type SegmentTrouble struct {
	Segment string `json:"segment"`
	File    string `json:"file"`
	State   State  `json:"state"`
	Error   string `json:"error"`
	// Attempts is how often a worker has begun with it, also to go on where an
	// earlier one had left it without a failure.
	Attempts int64 `json:"attempts"`
}

// mostTrouble bounds the segments that a Status names.
const mostTrouble = 10

// Status tells how far a backfill has come; "" is the latest.
func (m *Manager) Status(ctx context.Context, name string) (Status, error) {
	b, err := m.store.find(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return m.store.status(ctx, b)
}

// Statuses tells of all backfills, the latest first.
func (m *Manager) Statuses(ctx context.Context) ([]Status, error) {
	all, err := m.store.list(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(all))
	for _, b := range all {
		s, err := m.store.status(ctx, b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Idle reports whether no backfill for a server and account is left to do.
func (m *Manager) Idle(ctx context.Context, api toloka.Config) (bool, error) {
	running, err := m.store.list(ctx, Running)
	if err != nil {
		return false, err
	}
	for _, b := range running {
		if b.Settings.isFor(api) {
			return false, nil
		}
	}
	return true, nil
}

func (s store) status(ctx context.Context, b Backfill) (out Status, err error) {
	out = Status{
		Name: b.Name, State: b.State, Server: b.Settings.Server, Begun: b.Begun.UTC(), Command: b.Command,
		Segments: map[State]int64{}, Pools: []PoolStatus{}, Trouble: []SegmentTrouble{},
	}
	if !b.Ended.IsZero() {
		ended := b.Ended.UTC()
		out.Ended = &ended
	}
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM backfill_file WHERE backfill = $1`, b.ID).Scan(&out.Files); err != nil {
		return out, err
	}
	if out.Segments, err = s.counts(ctx, b.ID); err != nil {
		return out, err
	}
	// What is under way is told by its chunks, which are in the same database.
	err = s.each(ctx, `SELECT p.pool, p.template, p.rows_planned,
			coalesce(sum(CASE WHEN s.state = $2 THEN s.created ELSE c.created END), 0),
			coalesce(sum(CASE WHEN s.state = $2 THEN s.rejected ELSE c.rejected END), 0),
			coalesce(sum(CASE WHEN s.state = $2 THEN 0 ELSE 1 END), 0)
		FROM backfill_pool p JOIN backfill_segment s ON s.backfill = p.backfill AND s.pool = p.number
		LEFT JOIN (SELECT r.name, sum(k.created) created, sum(k.rejected) rejected FROM run r JOIN chunk k ON k.run_id = r.id
			WHERE r.name IN (SELECT run FROM backfill_segment WHERE backfill = $1 AND state <> $2) GROUP BY r.name) c ON c.name = s.run
		WHERE p.backfill = $1 GROUP BY p.number, p.pool, p.template, p.rows_planned ORDER BY p.number`, func(scan func(...any) error) error {
		var p PoolStatus
		var open int64
		if err := scan(&p.Pool, &p.Template, &p.Rows, &p.Created, &p.Rejected, &open); err != nil {
			return err
		}
		p.Finished = open == 0
		out.Rows, out.Created, out.Rejected = out.Rows+p.Rows, out.Created+p.Created, out.Rejected+p.Rejected
		out.Pools = append(out.Pools, p)
		return nil
	}, b.ID, string(Finished))
	if err != nil {
		return out, err
	}
	err = s.each(ctx, `SELECT s.run, f.path, s.state, s.error, s.attempts FROM backfill_segment s JOIN backfill_file f ON f.backfill = s.backfill AND f.number = s.file
		WHERE s.backfill = $1 AND s.error <> '' AND s.state <> $2 ORDER BY s.number LIMIT $3`, func(scan func(...any) error) error {
		var t SegmentTrouble
		if err := scan(&t.Segment, &t.File, (*string)(&t.State), &t.Error, &t.Attempts); err != nil {
			return err
		}
		out.Trouble = append(out.Trouble, t)
		return nil
	}, b.ID, string(Finished), mostTrouble)
	if err != nil {
		return out, err
	}
	var until int64
	if err := s.db.QueryRowContext(ctx, `SELECT coalesce(min(until), 0) FROM backfill_segment WHERE backfill = $1 AND state = $2 AND until > 0`,
		b.ID, string(Waiting)).Scan(&until); err != nil {
		return out, err
	}
	if until > 0 {
		at := time.UnixMilli(until).UTC()
		out.Until = &at
	}
	return out, nil
}
