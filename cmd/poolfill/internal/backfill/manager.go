package backfill

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// Manager begins backfills, changes them and reports on them. It does no work at
// them: an Engine does.
type Manager struct{ store store }

// Manage opens the tables of backfills in a ledger's database.
func Manage(ctx context.Context, l *ledger.Ledger) (*Manager, error) {
	s, err := openStore(ctx, l)
	return &Manager{s}, err
}

// MakePlan reads the files and lays them out. client answers what is asked of the
// pools; nil plans without, and takes pools for empty. each are files whose rows
// every pool gets. found is called for each file that was read.
//
// Its error joins all that stands against the backfill.
func MakePlan(ctx context.Context, client *toloka.Client, sources, each []Source, s Settings, found func(Input)) (Plan, error) {
	var (
		p    Plan
		errs []error
	)
	targets := targets{client: client, settings: s, pools: map[string]target{}}
	for _, source := range slices.Concat(sources, each) {
		if err := ctx.Err(); err != nil {
			return p, err
		}
		t, err := targets.of(ctx, source)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		in, err := cut(ctx, source, t.reading, s.SegmentRows)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, pool := range t.pools {
			if problem := pipeline.TrainingProblem(pool, in.info); problem != nil {
				errs = append(errs, problem)
			}
		}
		p.Inputs = append(p.Inputs, in)
		found(in)
	}
	if len(errs) > 0 {
		return p, errors.Join(errs...)
	}
	var err error
	p.Layout, err = lay(p.Inputs, targets.room(), s.PoolTasks)
	return p, err
}

// cut reads a file and cuts it into ranges.
func cut(ctx context.Context, source Source, reading reader.Config, rows int64) (in Input, err error) {
	in.Source = source
	if in.identity, err = reader.Identify(ctx, source.Path); err != nil {
		return in, fmt.Errorf("%s%w", source.place, err)
	}
	if reader.IsURL(source.Path) && !in.identity.Known() {
		return in, fmt.Errorf("%s%s: the server gives neither ETag nor Last-Modified, so that workers would not see that the file has changed between two segments: put it on another server, or on a disk", source.place, source.Path)
	}
	reading = withMap(reading, source.Map)
	in.info, err = reader.Cut(ctx, source.Path, reading, rows, func(s reader.Segment) error {
		in.Ranges = append(in.Ranges, s)
		return nil
	})
	return in, err
}

// targets asks the server about the pools that are to be filled, each once.
type targets struct {
	client   *toloka.Client
	settings Settings
	pools    map[string]target
}

type target struct {
	pools   []toloka.Pool // as the server has them
	reading reader.Config // with the spec of the pool's project
	room    int64
	err     error
}

// of returns the target of a source: how it is read, and the pools that must take it.
func (t *targets) of(ctx context.Context, s Source) (target, error) {
	all := target{reading: t.settings.Reader}
	for _, id := range []string{s.Template, s.Pool} {
		if id == "" {
			continue
		}
		known, ok := t.pools[id]
		if !ok {
			known = t.ask(ctx, id)
			t.pools[id] = known
		}
		if known.err != nil {
			return known, known.err
		}
		all.pools = append(all.pools, known.pools...)
		all.reading = known.reading
	}
	return all, nil
}

func (t *targets) ask(ctx context.Context, id string) target {
	out := target{reading: t.settings.Reader, room: t.settings.PoolTasks}
	if t.client == nil {
		return out
	}
	var pool toloka.Pool
	if pool, out.err = t.client.Pool(ctx, id); out.err != nil {
		return out
	}
	if problems := pipeline.PoolProblems(pool); len(problems) > 0 {
		out.err = problems[0]
		return out
	}
	out.pools = []toloka.Pool{pool}
	var n int64
	if n, out.err = t.client.Count(ctx, toloka.Tasks(), id); out.err != nil {
		return out
	}
	out.room = max(0, t.settings.PoolTasks-n)
	if t.settings.NoSpec || t.settings.Reader.Spec != nil {
		return out
	}
	var project toloka.Project
	if project, out.err = t.client.Project(ctx, pool.ProjectID); out.err == nil {
		out.reading.Spec = &project.TaskSpec
	}
	return out
}

func (t *targets) room() map[string]int64 {
	room := make(map[string]int64, len(t.pools))
	for id, known := range t.pools {
		room[id] = known.room
	}
	return room
}

// Repeats reports files that would be uploaded once more to where they were
// uploaded before, as each backfill uploads every row of its files.
func (m *Manager) Repeats(ctx context.Context, p Plan, s Settings) error {
	var errs []error
	runsOf := map[string][]ledger.Run{} // by pool: most files have theirs in common
	for _, in := range p.Inputs {
		if in.Each {
			continue
		}
		before, err := list(ctx, m.store.db, (*Backfill).fields, `SELECT `+backfillColumns+` FROM backfill b JOIN backfill_file f ON f.backfill = b.id
			JOIN backfill_segment s ON s.backfill = b.id AND s.file = f.number JOIN backfill_pool p ON p.backfill = b.id AND p.number = s.pool
			WHERE b.server = $1 AND b.state <> $2 AND (f.path = $3 OR f.size = $4 AND f.ends = $5)
			AND ($6 <> '' AND p.template = $6 OR $7 <> '' AND p.pool = $7) LIMIT 1`,
			s.Server, Cancelled, in.Path, in.identity.Size, hex.EncodeToString(in.identity.Ends), in.Template, in.Pool)
		if err != nil {
			return err
		}
		if len(before) > 0 {
			errs = append(errs, fmt.Errorf("%s is in backfill %s already, for the same pools", in.Path, before[0].Name))
			continue
		}
		if in.Pool == "" {
			continue
		}
		runs, read := runsOf[in.Pool]
		if !read {
			if runs, err = m.store.ledger.Runs(ctx, s.Server, in.Pool); err != nil {
				return err
			}
			runsOf[in.Pool] = runs
		}
		for _, r := range runs {
			if r.Created > 0 && slices.ContainsFunc(r.Files, func(old ledger.File) bool {
				return old.Path == in.Path || len(old.Ends) > 0 && old.Size == in.identity.Size && bytes.Equal(old.Ends, in.identity.Ends)
			}) {
				errs = append(errs, fmt.Errorf("%s was uploaded to pool %s before, by run %s", in.Path, in.Pool, r.Name))
				break
			}
		}
	}
	if len(errs) > 0 {
		errs = append(errs, errors.New("a backfill uploads every row of its files: leave these files out, or upload them once more with --again"))
	}
	return errors.Join(errs...)
}

// Begin stores a backfill. Workers begin with it at once.
func (m *Manager) Begin(ctx context.Context, name, command string, s Settings, p Plan) (Backfill, error) {
	b := Backfill{ID: 1 + rand.Int64N(1<<53), Name: name, State: Running, Settings: s, Begun: time.Now(), Command: command}
	if _, err := m.Find(ctx, name); err == nil {
		return b, fmt.Errorf("there is a backfill %s already: 'poolfill backfill status %s' shows it; choose another --name for a new one", name, name)
	}
	return b, m.store.add(ctx, b, p)
}

// Find returns a backfill by its name; "" is the latest. Without one the error is
// ErrUnknown.
func (m *Manager) Find(ctx context.Context, name string) (Backfill, error) {
	return m.store.find(ctx, m.store.db, name)
}

// Pause lets what is under way come to a good place to stop, and begins nothing
// until Resume.
func (m *Manager) Pause(ctx context.Context, name string) (Backfill, error) {
	b, _, err := m.store.change(ctx, name, change{verb: "paused", to: Paused, from: []State{Running}})
	return b, err
}

// Cancel ends a backfill for good. What was created stays.
func (m *Manager) Cancel(ctx context.Context, name string) (Backfill, error) {
	b, _, err := m.store.change(ctx, name, change{verb: "cancelled", to: Cancelled, from: []State{Running, Paused, Failed}})
	return b, err
}

// Resume goes on with a paused backfill.
func (m *Manager) Resume(ctx context.Context, name string) (Backfill, error) {
	b, _, err := m.store.change(ctx, name, change{verb: "resumed", to: Running, from: []State{Paused}, again: Waiting})
	return b, err
}

// Retry does the segments again that failed, and returns their number.
func (m *Manager) Retry(ctx context.Context, name string) (Backfill, int64, error) {
	return m.store.change(ctx, name, change{verb: "retried", to: Running, from: []State{Running, Failed}, again: Failed})
}

// Schedule stores an upload that comes again, or changes the one of its name.
func (m *Manager) Schedule(ctx context.Context, s Scheduled) error { return m.schedules().set(ctx, s) }

// Schedules returns the uploads that come again, by name.
func (m *Manager) Schedules(ctx context.Context) ([]Scheduled, error) { return m.schedules().all(ctx) }

// Unschedule removes an upload that comes again. A run of it that has begun goes on.
func (m *Manager) Unschedule(ctx context.Context, name string) error {
	return m.schedules().remove(ctx, name)
}

func (m *Manager) schedules() schedules { return schedules(m.store) }
