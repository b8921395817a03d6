package backfill

import (
	"cmp"
	"fmt"
	"slices"

	"poolfill/reader"
)

// Input is a source and what was found in it.
type Input struct {
	Source
	Ranges []reader.Segment

	identity reader.Identity
	info     reader.Info
}

func (in Input) rows() (n int64) {
	for _, r := range in.Ranges {
		n += r.Rows
	}
	return n
}

// Slot is a pool of a backfill: one that is there, or one that is cloned when it
// is needed.
type Slot struct {
	Pool     string // empty until it is cloned
	Template string // empty where Pool was named
	Room     int64  // tasks that it may still take
	Rows     int64  // that are planned for it
}

// Piece is a segment as it is planned: a range of a file for one pool.
type Piece struct {
	File  int // in the inputs
	Range reader.Segment
	Slot  int
}

// Layout is what a backfill will do.
type Layout struct {
	Slots  []Slot
	Pieces []Piece // in the order in which they are best done
}

// Plan is what a backfill will do, before it is begun.
type Plan struct {
	Inputs []Input
	Layout Layout
}

// Rows are all rows that are to be uploaded, those for each pool as often as
// there are pools.
func (p Plan) Rows() (n int64) {
	for _, s := range p.Layout.Slots {
		n += s.Rows
	}
	return n
}

// TooFewPoolsError is returned where a pool without a template has no room for its rows.
type TooFewPoolsError struct {
	Pool       string
	Rows, Room int64
}

func (e *TooFewPoolsError) Error() string {
	return fmt.Sprintf("pool %s has room for %d more tasks, and there are %d rows for it: name a pool_template too, which is cloned for the others", e.Pool, e.Room, e.Rows)
}

// lay lays the ranges out over pools. Files with the same pool and template
// share pools, in their order. room has how many tasks a named pool may still
// take; perPool is that of a new one. The rows of inputs that every pool gets count
// in each of them.
//
// A range that doesn't fit begins the next pool, so that all of it is in one.
// Ranges are at most as large as a pool.
func lay(inputs []Input, room map[string]int64, perPool int64) (Layout, error) {
	var l Layout
	common := int64(0)
	for _, in := range inputs {
		if in.Each {
			common += in.rows()
		}
	}
	add := func(s Slot) (int, error) {
		if common > s.Room {
			return 0, fmt.Errorf("the files for each pool have %d rows, which is more than a pool may take (%d)", common, s.Room)
		}
		n := len(l.Slots)
		l.Slots = append(l.Slots, s)
		for i, in := range inputs {
			for _, r := range in.Ranges {
				if in.Each {
					l.Pieces = append(l.Pieces, Piece{File: i, Range: r, Slot: n})
				}
			}
		}
		l.Slots[n].Rows, l.Slots[n].Room = common, s.Room-common
		return n, nil
	}
	open := map[[2]string]int{} // the slot that is being filled, by pool and template
	owner := map[string][2]string{}
	for i, in := range inputs {
		if in.Each {
			continue
		}
		target := [2]string{in.Pool, in.Template}
		if in.Pool != "" {
			if other, used := owner[in.Pool]; used && other != target {
				return Layout{}, fmt.Errorf("pool %s is named with different templates: a pool has one way on, or none", in.Pool)
			}
			owner[in.Pool] = target
		}
		for _, r := range in.Ranges {
			n, begun := open[target]
			var err error
			// A named pool that is full already is left out where there is a template.
			if !begun && in.Pool != "" && (in.Template == "" || room[in.Pool] >= common+r.Rows) {
				begun = true
				if n, err = add(Slot{Pool: in.Pool, Room: room[in.Pool]}); err != nil {
					return Layout{}, err
				}
			}
			if !begun || l.Slots[n].Room < r.Rows {
				if in.Template == "" {
					return Layout{}, &TooFewPoolsError{in.Pool, rowsFor(inputs, target), room[in.Pool]}
				}
				if n, err = add(Slot{Template: in.Template, Room: perPool}); err != nil {
					return Layout{}, err
				}
				if l.Slots[n].Room < r.Rows {
					return Layout{}, fmt.Errorf("a segment has %d rows, which don't fit into a pool of %d tasks: use smaller segments", r.Rows, perPool)
				}
			}
			open[target] = n
			l.Slots[n].Rows += r.Rows
			l.Slots[n].Room -= r.Rows
			l.Pieces = append(l.Pieces, Piece{File: i, Range: r, Slot: n})
		}
	}
	// What comes first is done first; with the same priority, pool by pool.
	slices.SortStableFunc(l.Pieces, func(a, b Piece) int {
		return cmp.Or(cmp.Compare(inputs[a.File].Priority, inputs[b.File].Priority), cmp.Compare(a.Slot, b.Slot))
	})
	return l, nil
}

func rowsFor(inputs []Input, target [2]string) (n int64) {
	for _, in := range inputs {
		if in.Pool == target[0] && in.Template == target[1] {
			n += in.rows()
		}
	}
	return n
}
