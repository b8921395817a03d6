package backfill

import (
	"context"
	"time"

	"poolfill/uploader/toloka"
)

// Status is how far a backfill has come. Its JSON form is what
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

func (p *PoolStatus) fields() []any {
	return []any{&p.Pool, &p.Template, &p.Rows, &p.Created, &p.Rejected, &p.Finished}
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

func (t *SegmentTrouble) fields() []any {
	return []any{&t.Segment, &t.File, &t.State, &t.Error, &t.Attempts}
}

// mostTrouble bounds the segments that a Status names.
const mostTrouble = 10

// Status returns how far a backfill has come; "" is the latest.
func (m *Manager) Status(ctx context.Context, name string) (Status, error) {
	b, err := m.store.find(ctx, m.store.db, name)
	if err != nil {
		return Status{}, err
	}
	return m.store.status(ctx, b)
}

// Statuses returns the status of all backfills, the latest first.
func (m *Manager) Statuses(ctx context.Context) ([]Status, error) {
	all, err := m.store.backfills(ctx, "")
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
	running, err := m.store.backfills(ctx, Running)
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
		Name: b.Name, State: b.State, Server: b.Settings.Server, Begun: b.Begun.UTC(), Ended: timeOrNil(b.Ended), Command: b.Command,
		Segments: map[State]int64{}, Pools: []PoolStatus{}, Trouble: []SegmentTrouble{},
	}
	if out.Files, err = number(ctx, s.db, `SELECT count(*) FROM backfill_file WHERE backfill = $1`, b.ID); err != nil {
		return out, err
	}
	type count struct {
		state    State
		segments int64
	}
	counts, err := list(ctx, s.db, func(c *count) []any { return []any{&c.state, &c.segments} },
		`SELECT state, count(*) FROM backfill_segment WHERE backfill = $1 GROUP BY state`, b.ID)
	if err != nil {
		return out, err
	}
	for _, c := range counts {
		out.Segments[c.state] = c.segments
	}
	// What is under way is known by its chunks, which are in the same database.
	pools, err := list(ctx, s.db, (*PoolStatus).fields, `SELECT p.pool, p.template, p.rows_planned,
			coalesce(sum(CASE WHEN s.state = $2 THEN s.created ELSE c.created END), 0),
			coalesce(sum(CASE WHEN s.state = $2 THEN s.rejected ELSE c.rejected END), 0),
			min(CASE WHEN s.state = $2 THEN 1 ELSE 0 END)
		FROM backfill_pool p JOIN backfill_segment s ON s.backfill = p.backfill AND s.pool = p.number
		LEFT JOIN (SELECT r.name, sum(k.created) created, sum(k.rejected) rejected FROM run r JOIN chunk k ON k.run_id = r.id
			WHERE r.name IN (SELECT run FROM backfill_segment WHERE backfill = $1 AND state <> $2) GROUP BY r.name) c ON c.name = s.run
		WHERE p.backfill = $1 GROUP BY p.number, p.pool, p.template, p.rows_planned ORDER BY p.number`, b.ID, Finished)
	if err != nil {
		return out, err
	}
	for _, p := range pools {
		out.Rows, out.Created, out.Rejected = out.Rows+p.Rows, out.Created+p.Created, out.Rejected+p.Rejected
	}
	out.Pools = append(out.Pools, pools...)
	trouble, err := list(ctx, s.db, (*SegmentTrouble).fields, `SELECT s.run, f.path, s.state, s.error, s.attempts FROM `+segmentFiles+`
		WHERE s.backfill = $1 AND s.error <> '' AND s.state <> $2 ORDER BY s.number LIMIT $3`, b.ID, Finished, mostTrouble)
	if err != nil {
		return out, err
	}
	out.Trouble = append(out.Trouble, trouble...)
	until, err := one(ctx, s.db, func(t *time.Time) []any { return []any{instant{t, time.Millisecond}} },
		`SELECT coalesce(min(until), 0) FROM backfill_segment WHERE backfill = $1 AND state = $2 AND until > 0`, b.ID, Waiting)
	out.Until = timeOrNil(until)
	return out, err
}

// timeOrNil returns a time as JSON shows it; nil for none.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
