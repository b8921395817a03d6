package ledger

import (
	"context"
	"database/sql"
	"slices"
)

const reasonBrokenOff = "the run was broken off before the server's answer was kept"

// Rows gives all rows of a run in the order of its files and their records, in
// groups. A group is valid until yield returns; what its rows refer to stays.
// Rows whose attempt never ended are InDoubt.
//
// Memory: the rows of those chunks and segments that overlap in the inputs.
func (l *Ledger) Rows(ctx context.Context, run int64, yield func([]Row) error) error {
	m := merge{yield: yield}
	err := l.each(ctx, `SELECT first_file, first_record, ended, results FROM chunk WHERE run_id = $1
		UNION ALL SELECT first_file, first_record, 1, body FROM segment WHERE run_id = $2
		ORDER BY 1, 2`, []any{run, run}, func(scan func(...any) error) error {
		var first position
		var ended int64
		var blob sql.RawBytes
		if err := scan(&first.file, &first.record, &ended, &blob); err != nil {
			return err
		}
		// Nothing that is still to come stands before first.
		if err := m.until(first); err != nil {
			return err
		}
		rows, err := l.unpack(blob, m.buffer())
		if err != nil {
			return err
		}
		if ended == 0 {
			for i := range rows {
				rows[i].Status, rows[i].Reason = InDoubt, reasonBrokenOff
			}
		}
		m.add(rows)
		return nil
	})
	if err != nil {
		return err
	}
	if err := m.until(last); err != nil {
		return err
	}
	return m.flush()
}

// groupRows is the number of rows that a merge gives at once, about.
const groupRows = 1024

// merge puts sorted lists of rows into one order. The lists are added in the
// order of their first rows.
type merge struct {
	yield func([]Row) error
	lists []list
	free  [][]Row
	group []Row
}

// list is rows of which some were given already.
type list struct{ left, all []Row }

func (m *merge) buffer() []Row {
	if n := len(m.free); n > 0 {
		rows := m.free[n-1]
		m.free = m.free[:n-1]
		return rows
	}
	return nil
}

func (m *merge) add(rows []Row) {
	if !inOrder(rows) {
		slices.SortStableFunc(rows, func(a, b Row) int { return a.position().compare(b.position()) })
	}
	if len(rows) > 0 {
		m.lists = append(m.lists, list{rows, rows})
	}
}

// inOrder reports whether rows are sorted. It copies none of them, as
// slices.IsSortedFunc would.
func inOrder(rows []Row) bool {
	for i := 1; i < len(rows); i++ {
		if rows[i].position().compare(rows[i-1].position()) < 0 {
			return false
		}
	}
	return true
}

// until gives the rows that stand before limit.
func (m *merge) until(limit position) error {
	for len(m.lists) > 0 {
		next, bound := 0, limit // the list whose turn it is, and up to where
		for i := 1; i < len(m.lists); i++ {
			if at := m.lists[i].left[0].position(); at.compare(m.lists[next].left[0].position()) < 0 {
				next = i
			}
		}
		rows := m.lists[next].left
		if rows[0].position().compare(limit) >= 0 {
			return nil
		}
		for i := range m.lists {
			if at := m.lists[i].left[0].position(); i != next && at.compare(bound) < 0 {
				bound = at
			}
		}
		n := 1
		for n < len(rows) && n < groupRows && rows[n].position().compare(bound) < 0 {
			n++
		}
		if err := m.give(rows[:n]); err != nil {
			return err
		}
		if m.lists[next].left = rows[n:]; n == len(rows) {
			m.free = append(m.free, m.lists[next].all)
			m.lists = slices.Delete(m.lists, next, next+1)
		}
	}
	return nil
}

// give gives rows that come next: many as they are, few when there are more.
func (m *merge) give(rows []Row) error {
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
