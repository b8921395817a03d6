package pipeline

import (
	"bytes"
	"cmp"
	"slices"
	"sort"

	"poolfill/batcher"
	"poolfill/reader/verdict"
)

// accounts settle which task of a pool is whose. They are pure: what goes in are the
// tasks of a pool, and claims of rows and of what else is known to have created some;
// what comes out are the differences between the two.
//
// Tasks of one identity are interchangeable, so they are counted: as many rows, as many
// tasks. Ids only say which of them is a row's, and so which one is too many.
//
// Memory: for each task 32 bytes and its id, and for each claim one bit; a pool holds at
// most contract.MaxPoolTasks tasks. The claims themselves are read anew for each pass over
// them: once where all is well, and at most six times.
type accounts struct {
	tasks []poolTask // in the order of their ids
	ids   []byte
	byKey []uint32 // the places of the tasks, in the order of keys and then of ids
}

// poolTask is a task of the pool.
type poolTask struct {
	key   batcher.Key
	at    uint32 // of the id
	next  uint32 // in the first of equal ones: none of those before it is nobody's
	size  uint16
	whose whose
}

// whose says who has a task.
type whose uint8

const (
	nobodys whose = iota
	somebodys
	// reserved is one that a row with its identity may need.
	reserved
)

// claim says that a task of the pool is somebody's.
type claim struct {
	kind claimKind
	// ours says that it is one of the rows that are to be accounted for.
	ours bool
	key  batcher.Key
	id   string // of the task; empty where it isn't known
	row  verdict.Position
}

type claimKind uint8

const (
	// createdRow is a row that has a task.
	createdRow claimKind = iota
	// knownID is a task that is known by its id alone: row and key are empty.
	knownID
	// doubtfulRow is a row that may have a task.
	doubtfulRow
)

// claims yields claims, each time the same: rows that have tasks before anything else.
// Where equal rows are more than tasks, those that come last have none.
type claims func(yield func(claim) error) error

// add adds a task of the pool.
func (a *accounts) add(key batcher.Key, id string) {
	a.tasks = append(a.tasks, poolTask{key: key, at: uint32(len(a.ids)), size: uint16(len(id))})
	a.ids = append(a.ids, id...)
}

func (a *accounts) idOf(t *poolTask) []byte { return a.ids[t.at : t.at+uint32(t.size)] }

// arrange comes after the last task. One that was listed twice counts once.
func (a *accounts) arrange() {
	compare := func(x, y poolTask) int {
		return bytes.Compare(a.idOf(&x), a.idOf(&y))
	}
	slices.SortFunc(a.tasks, compare)
	a.tasks = slices.CompactFunc(a.tasks, func(x, y poolTask) bool { return compare(x, y) == 0 })
	a.byKey = make([]uint32, len(a.tasks))
	for i := range a.byKey {
		a.byKey[i] = uint32(i)
	}
	slices.SortFunc(a.byKey, func(i, j uint32) int {
		return cmp.Or(bytes.Compare(a.tasks[i].key[:], a.tasks[j].key[:]), cmp.Compare(i, j))
	})
	a.rewind()
}

// rewind has take look at all tasks again.
func (a *accounts) rewind() {
	for place, i := range a.byKey {
		a.tasks[i].next = uint32(place)
	}
}

// named returns the task with an id; nil is none.
func (a *accounts) named(id string) *poolTask {
	if id == "" {
		return nil
	}
	i := sort.Search(len(a.tasks), func(i int) bool { return string(a.idOf(&a.tasks[i])) >= id })
	if i == len(a.tasks) || string(a.idOf(&a.tasks[i])) != id {
		return nil
	}
	return &a.tasks[i]
}

// first returns the place in byKey of the first task with a key; -1 is none.
func (a *accounts) first(key batcher.Key) int {
	place, found := slices.BinarySearchFunc(a.byKey, key, func(i uint32, key batcher.Key) int {
		return bytes.Compare(a.tasks[i].key[:], key[:])
	})
	if !found {
		return -1
	}
	return place
}

// take gives the first task with a key that is in one state another, and returns it; nil
// is none. Between two states that it is asked for, everything is to be rewound.
func (a *accounts) take(key batcher.Key, from, to whose) *poolTask {
	place := a.first(key)
	if place < 0 {
		return nil
	}
	head := &a.tasks[a.byKey[place]]
	for ; int(head.next) < len(a.byKey); head.next++ {
		t := &a.tasks[a.byKey[head.next]]
		if t.key != key {
			return nil
		}
		if t.whose == from {
			t.whose = to
			return t
		}
	}
	return nil
}

// Accounts count the tasks of a pool and the rows that are to have them.
type Accounts struct {
	// Tasks are those of the pool, and Rows those of the rows that are to have one each.
	Tasks int64 `json:"tasks"`
	Rows  int64 `json:"rows"`
	// Missing, Doubled, Changed and Foreign count the differences of each kind.
	Missing int64 `json:"missing"`
	Doubled int64 `json:"doubled"`
	Changed int64 `json:"changed"`
	Foreign int64 `json:"foreign"`
	// InDoubt counts rows beside those of which it is not known whether they were
	// created, and Found those of them for which the pool has a task.
	InDoubt int64 `json:"in_doubt,omitempty"`
	Found   int64 `json:"found,omitempty"`
}

// Own counts the differences that concern the rows themselves: all but foreign tasks.
func (a Accounts) Own() int64 { return a.Missing + a.Doubled + a.Changed }

// Differences counts all differences.
func (a Accounts) Differences() int64 { return a.Own() + a.Foreign }

// of returns the count of a kind.
func (a *Accounts) of(kind DifferenceKind) *int64 {
	switch kind {
	case Missing:
		return &a.Missing
	case Doubled:
		return &a.Doubled
	case Changed:
		return &a.Changed
	default:
		return &a.Foreign
	}
}

// DifferenceKind is what is different between a pool and the rows.
type DifferenceKind string

// The kinds of differences.
const (
	// Missing is a row that should have a task and has none.
	Missing DifferenceKind = "missing"
	// Doubled is a task like that of a row, beyond the number of rows like it.
	Doubled DifferenceKind = "doubled"
	// Changed is a row whose task has other content now.
	Changed DifferenceKind = "changed"
	// Foreign is a task that is no row's.
	Foreign DifferenceKind = "foreign"
)

// Difference is one of them between a pool and the rows.
type Difference struct {
	Kind DifferenceKind `json:"kind"`
	// File, Line and Record say where the row stands that it is about, of equal ones the
	// first; they are empty for a Foreign task.
	File   string `json:"file,omitempty"`
	Line   int64  `json:"line,omitempty"`
	Record int64  `json:"record,omitempty"`
	// TaskID is the task's id; of a Missing row the one under which it should be there,
	// where that is known.
	TaskID string `json:"task_id,omitempty"`
}

func differenceOf(kind DifferenceKind, row verdict.Position, id string) Difference {
	return Difference{Kind: kind, File: row.File, Line: row.Line, Record: row.Record, TaskID: id}
}

// settle accounts for all tasks and claims. tell gets each difference. An error of it, or
// of the claims, ends it.
func (a *accounts) settle(all claims, tell func(Difference) error) (Accounts, error) {
	s := settlement{accounts: a, all: all, tell: tell, counts: Accounts{Tasks: int64(len(a.tasks))}}
	for _, pass := range []func() error{s.exactly, s.byIdentity, s.reserve, s.byID, s.doubts, s.doubles, s.rest} {
		if err := pass(); err != nil {
			return s.counts, err
		}
	}
	return s.counts, nil
}

// settlement is accounts that are being settled.
type settlement struct {
	*accounts
	all    claims
	tell   func(Difference) error
	counts Accounts

	open     bits // the rows that have no task yet, by the number of the claim
	lacking  int  // how many those are
	doubtful int  // rows in doubt
}

// each calls with the claims, and their numbers.
func (s *settlement) each(with func(number int, c claim) error) error {
	number := -1
	return s.all(func(c claim) error {
		number++
		return with(number, c)
	})
}

// exactly gives rows the tasks that have their ids and their content.
func (s *settlement) exactly() error {
	return s.each(func(number int, c claim) error {
		t := s.named(c.id)
		free := t != nil && t.whose == nobodys
		switch {
		case c.kind == doubtfulRow:
			s.doubtful++
			if c.ours {
				s.counts.InDoubt++
			}
			return nil
		case c.kind == knownID:
			if free {
				t.whose = somebodys
			}
			return nil
		case free && t.key == c.key:
			t.whose = somebodys
		default:
			s.open.set(number)
			s.lacking++
		}
		if c.ours {
			s.counts.Rows++
		}
		return nil
	})
}

// byIdentity gives rows tasks with their content, as equal ones are as good as each other;
// but for rows whose id a task has that is another now. What is left of the others is
// missing.
func (s *settlement) byIdentity() error {
	return s.eachLacking(func(number int, c claim) error {
		if t := s.named(c.id); t != nil && t.key != c.key {
			return nil
		}
		s.settled(number)
		if s.take(c.key, nobodys, somebodys) != nil {
			return nil
		}
		return s.differs(c, Missing)
	})
}

// reserve keeps tasks with the content of the other rows from those that have their ids.
func (s *settlement) reserve() error {
	return s.eachLacking(func(_ int, c claim) error {
		s.take(c.key, nobodys, reserved)
		return nil
	})
}

// byID gives the other rows the tasks that have their ids, or else those with their
// content: then their ids are wrong, as where two rows have each other's.
func (s *settlement) byID() error {
	if s.lacking == 0 {
		return nil
	}
	s.rewind()
	err := s.eachLacking(func(number int, c claim) error {
		s.settled(number)
		kind := Changed
		if t := s.named(c.id); t.whose == nobodys {
			t.whose = somebodys
		} else if s.take(c.key, reserved, somebodys) == nil {
			kind = Missing
		}
		return s.differs(c, kind)
	})
	for i := range s.tasks {
		if t := &s.tasks[i]; t.whose == reserved {
			t.whose = nobodys
		}
	}
	return err
}

// eachLacking calls with the rows that have no task yet.
func (s *settlement) eachLacking(with func(int, claim) error) error {
	if s.lacking == 0 {
		return nil
	}
	return s.each(func(number int, c claim) error {
		if !s.open.has(number) {
			return nil
		}
		return with(number, c)
	})
}

func (s *settlement) settled(number int) {
	s.open.clear(number)
	s.lacking--
}

// differs tells of a row that is to be accounted for.
func (s *settlement) differs(c claim, kind DifferenceKind) error {
	if !c.ours {
		return nil
	}
	return s.say(differenceOf(kind, c.row, c.id))
}

// doubts gives rows in doubt tasks with their content.
func (s *settlement) doubts() error {
	if s.doubtful == 0 {
		return nil
	}
	return s.each(func(_ int, c claim) error {
		if c.kind == doubtfulRow && s.take(c.key, nobodys, somebodys) != nil && c.ours {
			s.counts.Found++
		}
		return nil
	})
}

// doubles finds those of the tasks that are left that are like a row.
func (s *settlement) doubles() error {
	if !slices.ContainsFunc(s.tasks, func(t poolTask) bool { return t.whose == nobodys }) {
		return nil
	}
	return s.each(func(_ int, c claim) error {
		if !c.ours || c.kind == knownID {
			return nil
		}
		for {
			t := s.take(c.key, nobodys, somebodys)
			if t == nil {
				return nil
			}
			if err := s.say(differenceOf(Doubled, c.row, string(s.idOf(t)))); err != nil {
				return err
			}
		}
	})
}

// rest tells of the tasks that are left then.
func (s *settlement) rest() error {
	for i := range s.tasks {
		if t := &s.tasks[i]; t.whose == nobodys {
			if err := s.say(Difference{Kind: Foreign, TaskID: string(s.idOf(t))}); err != nil {
				return err
			}
		}
	}
	return nil
}

// say counts a difference and tells it.
func (s *settlement) say(d Difference) error {
	*s.counts.of(d.Kind)++
	return s.tell(d)
}

// bits are numbers, one bit each.
type bits []uint64

func (b *bits) set(n int) {
	for len(*b) <= n/64 {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bits) clear(n int) { b[n/64] &^= 1 << (n % 64) }

func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }
