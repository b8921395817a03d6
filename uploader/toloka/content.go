package toloka

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/go-faster/jx"
)

// Key stands for what a task holds: its input values, known and baseline
// solutions and hint. Tasks with equal content have equal keys, however their
// JSON is written; they are interchangeable.
type Key [16]byte

// ContentKey returns the key of a task in the API's JSON. What the server may add
// to a task, such as its id, overlap or weights, plays no part. It fails where
// that is no JSON object.
func ContentKey(task []byte) (Key, error) {
	var parts [4][]byte
	d := jx.DecodeBytes(task)
	err := d.ObjBytes(func(d *jx.Decoder, name []byte) error {
		var err error
		switch string(name) {
		case "input_values":
			parts[0], err = appendCanonical(nil, d)
		case "known_solutions":
			parts[1], err = appendSolutions(nil, d)
		case "baseline_solutions":
			parts[2], err = appendSolutions(nil, d)
		case "message_on_unknown_solution":
			parts[3], err = appendCanonical(nil, d)
		default:
			err = d.Skip()
		}
		return err
	})
	if err != nil {
		return Key{}, err
	}
	h := sha256.New()
	for _, part := range parts {
		if string(part) == "n" {
			part = nil // null is the same as nothing
		}
		h.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		h.Write([]byte{' '})
		h.Write(part)
	}
	return Key(h.Sum(nil)[:16]), nil
}

// appendSolutions appends the output values of a list of solutions.
func appendSolutions(dst []byte, d *jx.Decoder) ([]byte, error) {
	if d.Next() != jx.Array {
		return dst, d.Skip()
	}
	err := d.Arr(func(d *jx.Decoder) error {
		if d.Next() != jx.Object {
			return d.Skip()
		}
		return d.ObjBytes(func(d *jx.Decoder, name []byte) error {
			if string(name) != "output_values" {
				return d.Skip()
			}
			var err error
			dst, err = appendCanonical(dst, d)
			return err
		})
	})
	return dst, err
}

// appendCanonical appends a form of a JSON value that all equal values share,
// and no others: members in the order of their names and without null ones,
// numbers by their exact value, strings without escapes.
func appendCanonical(dst []byte, d *jx.Decoder) ([]byte, error) {
	switch d.Next() {
	case jx.Object:
		return appendObject(dst, d)
	case jx.Array:
		dst = append(dst, '[')
		err := d.Arr(func(d *jx.Decoder) error {
			var err error
			dst, err = appendCanonical(dst, d)
			return err
		})
		return append(dst, ']'), err
	case jx.String:
		s, err := d.StrBytes()
		return appendText(dst, s), err
	case jx.Number:
		n, err := d.Num()
		return append(append(dst, canonicalNumber(string(n))...), ','), err
	case jx.Bool:
		b, err := d.Bool()
		if b {
			return append(dst, 't'), err
		}
		return append(dst, 'f'), err
	default:
		return append(dst, 'n'), d.Null()
	}
}

func appendObject(dst []byte, d *jx.Decoder) ([]byte, error) {
	type member struct{ name, value []byte }
	var members []member
	err := d.ObjBytes(func(d *jx.Decoder, name []byte) error {
		m := member{name: bytes.Clone(name)}
		if d.Next() == jx.Null {
			return d.Null()
		}
		var err error
		m.value, err = appendCanonical(nil, d)
		members = append(members, m)
		return err
	})
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for _, m := range members {
		dst = append(appendText(dst, m.name), m.value...)
	}
	return append(dst, '}'), err
}

func appendText(dst, s []byte) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ' ')
	return append(dst, s...)
}

// canonicalNumber writes a JSON number as digits and a power of ten, without
// zeros at either end. A number whose power is beyond an int stays as it is.
func canonicalNumber(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	power := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if power, err = strconv.Atoi(strings.TrimPrefix(s[i+1:], "+")); err != nil || power > 1<<30 || power < -1<<30 {
			return sign + s
		}
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	power -= len(fraction)
	short := strings.TrimRight(digits, "0")
	power += len(digits) - len(short)
	if short == "" {
		return "0"
	}
	return sign + short + "e" + strconv.Itoa(power)
}
