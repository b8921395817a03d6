package toloka

import (
	"bytes"
	"slices"
)

const (
	// maxShapes bounds how many shapes of an answer are known at once: one more than
	// a file usually has kinds of rows.
	maxShapes = 4
	// maxShape bounds the text of a shape in bytes, and maxHoles its holes: beyond that,
	// comparing with it is no shorter way.
	maxShape = 2 << 10
	maxHoles = 32
)

// shapes are the forms in which an answer speaks of tasks. A server writes one task like
// the other, so that mostly it is enough to compare the next one with the one before,
// which is several times as fast as to decode it. What is alike but for texts that
// mean nothing here means the same; all else is decoded, and makes a new shape.
type shapes struct {
	known   [maxShapes]shape // those that fit most often come first
	n       int
	hits    int
	decoded int // how often there was no shape that fitted
}

// shape is the text of an object but for its holes.
type shape struct {
	text  []byte // all that stands between holes
	holes []hole
}

// hole is a place in a shape where a text stands that may differ.
type hole struct {
	before int // how much of the shape's text comes first
	is     filling
}

// filling is what stands in a hole.
type filling uint8

const (
	anyText   filling = iota // what a string says, which means nothing here
	theInputs                // the member input_values of the task, as it was sent
	theIndex                 // the digits of the task's index
	theID                    // the id of a created task
	theKind                  // what an entry is about: no hole, but part of the shape's text
)

// mark names a stretch of an object that is not any text.
type mark struct {
	start, end int
	is         filling
}

// marked returns the mark of a value, which is a slice of the object.
func marked(object, value []byte, is filling) mark {
	start := cap(object) - cap(value)
	return mark{start, start + len(value), is}
}

// alike is what an object holds that has a known shape.
type alike struct {
	size  int    // of the object
	index int    // of its task, as given or as it says
	id    []byte // nil where the shape has none
}

// forget begins with a new answer.
func (s *shapes) forget() { s.n, s.hits, s.decoded = 0, 0, 0 }

// useful reports whether there is a point in shapes: where nearly every object of an
// answer has a form of its own, there is none.
func (s *shapes) useful() bool { return s.decoded <= s.hits+2*maxShapes }

// match compares the object at the beginning of a text with the known shapes, and reads
// from it what it holds. The index is that of its task, -1 where only the object itself tells.
func (s *shapes) match(text []byte, index int, sent inputs, a *alike) bool {
	for i := range s.n {
		*a = alike{index: index}
		if s.known[i].match(text, sent, a) {
			s.hits++
			if i > 0 {
				s.known[i-1], s.known[i] = s.known[i], s.known[i-1]
			}
			return true
		}
	}
	return false
}

// match needs an empty a, but for the index.
func (sh *shape) match(text []byte, sent inputs, a *alike) bool {
	rest, last := text, 0
	for i := range sh.holes {
		h := &sh.holes[i]
		before := sh.text[last:h.before]
		if len(rest) < len(before) || !bytes.Equal(rest[:len(before)], before) {
			return false
		}
		rest, last = rest[len(before):], h.before
		switch h.is {
		case theInputs:
			own := sent(a.index)
			if len(own) == 0 || !bytes.HasPrefix(rest, own) {
				return false
			}
			rest = rest[len(own):]
		case theIndex:
			n := leadingDigits(rest)
			if a.index = indexOf(rest[:n]); a.index < 0 {
				return false
			}
			rest = rest[n:]
		default:
			end := closingQuote(rest, 0)
			if end < 0 {
				return false
			}
			if h.is == theID {
				if a.id = rest[:end]; bytes.IndexByte(a.id, '\\') >= 0 {
					return false
				}
			}
			rest = rest[end:]
		}
	}
	after := sh.text[last:]
	a.size = len(text) - len(rest) + len(after)
	return bytes.HasPrefix(rest, after)
}

// learn adds the shape of an object that was decoded.
func (s *shapes) learn(object []byte, marks ...mark) {
	if s.decoded++; !s.useful() {
		return
	}
	slices.SortFunc(marks, func(a, b mark) int { return a.start - b.start })
	last := min(s.n, maxShapes-1)
	s.n = last
	if s.known[last].set(object, marks) {
		s.n++
	}
}

// set makes the shape that of an object; false where that is no shorter way. The marks
// are in the order in which they stand in the object.
func (sh *shape) set(object []byte, marks []mark) bool {
	sh.text, sh.holes = sh.text[:0], sh.holes[:0]
	for i := 0; i < len(object); {
		if len(sh.text) > maxShape || len(sh.holes) > maxHoles {
			return false
		}
		switch {
		case len(marks) > 0 && i >= marks[0].start:
			m := marks[0]
			if m.end <= i {
				return false // it lies in another one: the object has members of one name
			}
			value := object[i:m.end]
			marks, i = marks[1:], i+len(value)
			if m.is == theKind {
				sh.text = append(sh.text, value...)
				continue
			}
			quoted := m.is != theInputs && value[0] == '"'
			if quoted {
				sh.text = append(sh.text, '"') // the quotes belong to the shape
			}
			sh.holes = append(sh.holes, hole{len(sh.text), m.is})
			if quoted {
				sh.text = append(sh.text, '"')
			}
		case object[i] == '"':
			end := closingQuote(object, i+1)
			if end < 0 {
				return false
			}
			if rest := bytes.TrimLeft(object[end+1:], " \t\r\n"); bytes.HasPrefix(rest, []byte{':'}) {
				sh.text = append(sh.text, object[i:end+1]...) // a key
			} else {
				sh.text = append(sh.text, '"')
				sh.holes = append(sh.holes, hole{len(sh.text), anyText})
				sh.text = append(sh.text, '"')
			}
			i = end + 1
		default:
			sh.text = append(sh.text, object[i])
			i++
		}
	}
	return true
}

// leadingDigits counts the digits at the beginning of a text.
func leadingDigits(text []byte) int {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}
