package ledger

import (
	"context"
	"slices"

	"poolfill/reader/verdict"
)

const reasonBrokenOff = "the run was broken off before the server's answer was kept"

// Rows calls yield with all rows of a run in the order of its files and their records,
// in groups. A group is valid until yield returns; what its rows refer to stays.
// Rows whose attempt never ended are InDoubt.
//
// Memory: the rows of those chunks and segments that overlap in the inputs.
func (l *Ledger) Rows(ctx context.Context, run Run, yield func([]verdict.Verdict) error) error {
	m := merge{yield: yield, numbers: numbering{names: run.Names}}
	err := l.store.look(ctx, func(v *view) error {
		r, err := v.run(ctx, run.ID)
		if err != nil {
			return err
		}
		return v.inOrder(ctx, r, func(first position, blob []byte, ended bool) error {
			// Nothing that is still to come stands before first.
			if err := m.until(first); err != nil {
				return err
			}
			rows, err := v.unpack(run.Names, blob, m.buffer())
			if err != nil {
				return err
			}
			if !ended {
				for i := range rows {
					rows[i].InDoubt, rows[i].Reason = true, reasonBrokenOff
				}
			}
			m.add(rows)
			return nil
		})
	})
	if err != nil {
		return takenOver(err, run)
	}
	if err := m.until(last); err != nil {
		return err
	}
	return m.flush()
}

// inOrder calls yield with the rows of each chunk and segment of a run, by where the
// first of them stands, and whether it is known what came of them.
func (v *view) inOrder(ctx context.Context, run *runBlock, yield func(first position, blob []byte, ended bool) error) error {
	var (
		chunk                chunkBlock
		segment              segmentBlock
		aside                bool
		sum                  int64
		ofChunks, ofSegments tally
	)
	fields := append(append([]any{&aside}, chunk.fields()...), &sum)
	err := v.asked(ctx, `SELECT FALSE, `+chunk.columns()+`, checksum FROM chunk WHERE run_id = $1
		UNION ALL SELECT TRUE, run_id, 0, body, '', 0, 0, 0, 0, 0, 0, first_file, first_record, body, checksum FROM segment WHERE run_id = $2
		ORDER BY first_file, first_record`, []any{run.id, run.id}, func(scan func(...any) error) error {
		err := v.scanned(scan(fields...), &chunk, run.name)
		switch {
		case err != nil:
		case aside:
			ofSegments.add(sum)
			segment = segmentBlock{chunk.run, chunk.first, chunk.results}
			err = v.verify(&segment, run.name, sum)
		default:
			ofChunks.add(sum)
			err = v.verify(&chunk, run.name, sum)
		}
		if err != nil {
			return v.tell(err)
		}
		v.yielded = true
		return yield(chunk.first, chunk.results, aside || chunk.ended != 0)
	})
	return v.complete(run, &segment, ofSegments, v.complete(run, &chunk, ofChunks, err))
}

// groupRows is the number of rows that a merge yields at once, about.
const groupRows = 1024

// merge puts sorted lists of rows into one order. The lists are added in the
// order of their first rows.
type merge struct {
	yield   func([]verdict.Verdict) error
	numbers numbering
	lists   []list
	free    [][]verdict.Verdict
	group   []verdict.Verdict
}

// list is rows of which some were given already.
type list struct{ left, all []verdict.Verdict }

func (m *merge) buffer() []verdict.Verdict {
	if n := len(m.free); n > 0 {
		rows := m.free[n-1]
		m.free = m.free[:n-1]
		return rows
	}
	return nil
}

func (m *merge) add(rows []verdict.Verdict) {
	if !m.inOrder(rows) {
		slices.SortStableFunc(rows, func(a, b verdict.Verdict) int { return m.at(&a).compare(m.at(&b)) })
	}
	if len(rows) > 0 {
		m.lists = append(m.lists, list{rows, rows})
	}
}

// at returns where a row stands. All rows are of files that the run has, as they
// were unpacked with its names.
func (m *merge) at(r *verdict.Verdict) position {
	file, _ := m.numbers.of(r.Position.File)
	return position{file, r.Position.Record}
}

// inOrder reports whether rows are sorted. It copies none of them, as
// slices.IsSortedFunc would.
func (m *merge) inOrder(rows []verdict.Verdict) bool {
	for i := 1; i < len(rows); i++ {
		if m.at(&rows[i]).compare(m.at(&rows[i-1])) < 0 {
			return false
		}
	}
	return true
}

// until yields the rows that stand before limit.
func (m *merge) until(limit position) error {
	for len(m.lists) > 0 {
		turn, bound := 0, limit // the list whose turn it is, and up to where
		for i := 1; i < len(m.lists); i++ {
			if m.at(&m.lists[i].left[0]).compare(m.at(&m.lists[turn].left[0])) < 0 {
				turn = i
			}
		}
		rows := m.lists[turn].left
		if m.at(&rows[0]).compare(limit) >= 0 {
			return nil
		}
		for i := range m.lists {
			if at := m.at(&m.lists[i].left[0]); i != turn && at.compare(bound) < 0 {
				bound = at
			}
		}
		n := 1
		for n < len(rows) && n < groupRows && m.at(&rows[n]).compare(bound) < 0 {
			n++
		}
		if err := m.next(rows[:n]); err != nil {
			return err
		}
		if m.lists[turn].left = rows[n:]; n == len(rows) {
			m.free = append(m.free, m.lists[turn].all)
			m.lists = slices.Delete(m.lists, turn, turn+1)
		}
	}
	return nil
}

// next yields rows that come next: many as they are, few when there are more.
func (m *merge) next(rows []verdict.Verdict) error {
	if len(rows) < groupRows/2 {
		if m.group = append(m.group, rows...); len(m.group) < groupRows {
			return nil
		}
		return m.flush()
	}
	if err := m.flush(); err != nil {
		return err
	}
	return m.yield(rows)
}

func (m *merge) flush() error {
	if len(m.group) == 0 {
		return nil
	}
	err := m.yield(m.group)
	clear(m.group)
	m.group = m.group[:0]
	return err
}
