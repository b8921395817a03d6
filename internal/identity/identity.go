// Package identity decides whether two tasks are the same: one of ours and one of
// the server's, or two of ours.
//
// What goes in: the members of a task, as they are written one by one, or a whole
// task in the API's JSON, as it is sent or as the server lists it. What comes out: a
// Key, which is equal for equal tasks. Everything that a task is sent with counts:
// input values, known and baseline solutions with their weights, hint, overlap, and
// the lists of users and traits. What the server adds, such as the id, doesn't. The
// defaults that the API documents are filled in, so that a task is the same before it
// is sent and after it was listed.
//
// It does no I/O and keeps nothing. Of holds a second form of one member at a time.
package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"

	"github.com/go-faster/jx"
	"github.com/zeebo/xxh3"
)

// Key stands for all that a task is sent with. Equal tasks have equal keys, however
// their JSON is written: in whatever order their members stand, with whatever
// escapes, and with numbers in whatever form. Different tasks have different keys,
// unless somebody makes two on purpose, who would only lose a row of his own.
type Key = [16]byte

// Place says which object of a task a member is in.
type Place uint64

// The places of members. The numbers only tell them apart; they must never change,
// as ledgers keep the keys that follow from them.
const (
	// Task is the task itself: hint, overlap, lists of users and traits.
	Task Place = 0x5fe9c3a1d2b84e01
	// Inputs is input_values.
	Inputs Place = 0x243f6a8885a308d3

	knownSolutions    Place = 0x13198a2e03707345
	baselineSolutions Place = 0xa4093822299f31d1
	nextSolution      Place = 0x9e3779b97f4a7c15
)

// Known is the place of the output values, and of the weight, of the known solution
// with an index.
func Known(index int) Place { return knownSolutions + Place(index)*nextSolution }

// Baseline is Known for the baseline solutions.
func Baseline(index int) Place { return baselineSolutions + Place(index)*nextSolution }

// Sum is what was added so far of a task, in any order. The zero value is a task
// without any member.
type Sum [2]uint64

// Add adds a member of a task: its name and value as in `"lang":"en"`, in the form of
// AppendCanonical and without blanks. A member that is null, or that has the value
// that the API fills in by itself, is not added.
func (s *Sum) Add(at Place, member []byte) {
	h := xxh3.Hash128Seed(member, uint64(at))
	s.Merge(Sum{h.Hi, h.Lo})
}

// Merge adds what was added to another sum.
func (s *Sum) Merge(other Sum) {
	var carry uint64
	s[1], carry = bits.Add64(s[1], other[1], 0)
	s[0], _ = bits.Add64(s[0], other[0], carry)
}

// AddSolution adds that there is a solution at a place, so that one without values
// counts, too.
func (s *Sum) AddSolution(at Place) { s.Add(at, []byte(`"output_values"`)) }

// AddMember is Add for a member whose value is of any form. One that is null is not
// added. room is memory that may be used, and is returned for the next call.
func (s *Sum) AddMember(at Place, name, value, room []byte) ([]byte, error) {
	switch {
	case len(value) == 0:
		return room, errNoValue
	case value[0] == 'n':
		return room, nil
	}
	room = append(append(room[:0], name...), ':')
	var err error
	if c := value[0]; c == '-' || c >= '0' && c <= '9' {
		room = AppendNumber(room, value)
	} else {
		room, err = AppendCanonical(room, value)
	}
	s.Add(at, room)
	return room, err
}

// AddSet adds a list of the task whose order doesn't matter, such as reserved_for. An
// empty one is as good as none.
func (s *Sum) AddSet(name string, list []byte) error {
	r := reading{decoder: jx.DecodeBytes(list)}
	err := r.set(name)
	s.Merge(r.sum)
	return err
}

var errNoValue = errors.New("a member without a value")

// Key returns the key of the task.
func (s Sum) Key() Key {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s[0])
	binary.BigEndian.PutUint64(b[8:], s[1])
	return b
}

// Defaults are what the pool gives a task that doesn't say it itself.
type Defaults struct {
	// Overlap is the pool's default_overlap_for_new_tasks; 0 where it is unknown.
	Overlap int
}

// AddOverlap adds the overlap of a task: a number, Infinite, or 0 for the pool's
// default.
func (s *Sum) AddOverlap(overlap int, d Defaults) {
	switch {
	case overlap == Infinite:
		s.Add(Task, []byte(`"infinite_overlap":true`))
	case overlap == 0 && d.Overlap == 0:
	default:
		if overlap == 0 {
			overlap = d.Overlap
		}
		var room [32]byte
		s.Add(Task, strconv.AppendInt(append(room[:0], `"overlap":`...), int64(overlap), 10))
	}
}

// Infinite is the overlap of a task that has no end of performers.
const Infinite = -1

// Of returns the key of a task, a JSON object. It fails where task is none.
func Of(task []byte, d Defaults) (Key, error) {
	r := reading{decoder: jx.DecodeBytes(task)}
	if err := r.task(); err != nil {
		return Key{}, fmt.Errorf("this is no task in the API's JSON: %w", err)
	}
	r.sum.AddOverlap(r.overlap, d)
	return r.sum.Key(), nil
}

// reading is a task that is read.
type reading struct {
	decoder *jx.Decoder
	sum     Sum
	overlap int
	scratch []byte
}

func (r *reading) task() error {
	d := r.decoder
	err := d.ObjBytes(func(d *jx.Decoder, name []byte) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		switch string(name) {
		case "input_values":
			return r.members(Inputs)
		case "known_solutions":
			return r.solutions(Known)
		case "baseline_solutions":
			return r.solutions(Baseline)
		case "message_on_unknown_solution":
			return r.member(Task, "message_on_unknown_solution", `""`)
		case "reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any":
			return r.set(string(name))
		case "overlap":
			n, err := d.Int()
			if r.overlap != Infinite {
				r.overlap = n
			}
			return err
		case "infinite_overlap":
			endless, err := d.Bool()
			if endless {
				r.overlap = Infinite
			}
			return err
		}
		return d.Skip()
	})
	if err != nil {
		return err
	}
	if err := d.Skip(); !errors.Is(err, io.EOF) {
		return errors.New("there is text behind it")
	}
	return nil
}

// members adds the members of an object.
func (r *reading) members(at Place) error {
	return r.decoder.ObjBytes(func(d *jx.Decoder, name []byte) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		return r.member(at, string(name), "")
	})
}

// member adds a member whose value comes next, unless it is what stands for none.
func (r *reading) member(at Place, name, none string) error {
	r.scratch = append(AppendString(r.scratch[:0], []byte(name)), ':')
	start := len(r.scratch)
	var err error
	if r.scratch, err = appendValue(r.scratch, r.decoder); err != nil {
		return err
	}
	if none == "" || string(r.scratch[start:]) != none {
		r.sum.Add(at, r.scratch)
	}
	return nil
}

// solutions adds a list of solutions. A weight of 1 is the API's default.
func (r *reading) solutions(place func(int) Place) error {
	n := 0
	return r.decoder.Arr(func(d *jx.Decoder) error {
		at := place(n)
		n++
		return d.ObjBytes(func(d *jx.Decoder, name []byte) error {
			if d.Next() == jx.Null {
				return d.Null()
			}
			switch string(name) {
			case "output_values":
				r.sum.AddSolution(at)
				return r.members(at)
			case "correctness_weight", "confidence_weight":
				return r.member(at, string(name), "1")
			}
			return d.Skip()
		})
	})
}

// set adds a list whose order doesn't matter. An empty one is as good as none.
func (r *reading) set(name string) error {
	var elements []string
	err := r.decoder.Arr(func(d *jx.Decoder) error {
		text, err := appendValue(nil, d)
		elements = append(elements, string(text))
		return err
	})
	if err != nil || len(elements) == 0 {
		return err
	}
	slices.Sort(elements)
	r.scratch = append(AppendString(r.scratch[:0], []byte(name)), ':')
	for i, e := range elements {
		r.scratch = append(r.scratch, "[,"[min(i, 1)])
		r.scratch = append(r.scratch, e...)
	}
	r.sum.Add(Task, append(r.scratch, ']'))
	return nil
}
