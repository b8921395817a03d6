package identity

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/go-faster/jx"
)

// AppendCanonical appends the form of a JSON value that all equal values have, and no
// others: members in the order of their names and without null ones, numbers by their
// exact value, strings with no more escapes than they need. It fails where value is
// no JSON.
func AppendCanonical(dst, value []byte) ([]byte, error) {
	return appendValue(dst, jx.DecodeBytes(value))
}

func appendValue(dst []byte, d *jx.Decoder) ([]byte, error) {
	switch d.Next() {
	case jx.Object:
		return appendObject(dst, d)
	case jx.Array:
		dst = append(dst, '[')
		n := 0
		err := d.Arr(func(d *jx.Decoder) error {
			if n++; n > 1 {
				dst = append(dst, ',')
			}
			var err error
			dst, err = appendValue(dst, d)
			return err
		})
		return append(dst, ']'), err
	case jx.String:
		s, err := d.StrBytes()
		return AppendString(dst, s), err
	case jx.Number:
		n, err := d.Num()
		return AppendNumber(dst, n), err
	case jx.Bool:
		b, err := d.Bool()
		return strconv.AppendBool(dst, b), err
	default:
		return append(dst, "null"...), d.Null()
	}
}

func appendObject(dst []byte, d *jx.Decoder) ([]byte, error) {
	type member struct {
		name  string
		value []byte
	}
	var members []member
	err := d.ObjBytes(func(d *jx.Decoder, name []byte) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		m := member{name: string(name)}
		var err error
		m.value, err = appendValue(nil, d)
		members = append(members, m)
		return err
	})
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, []byte(m.name)), ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}'), err
}

// AppendString appends a text as a JSON string in canonical form: only quotes,
// backslashes and control characters have escapes.
func AppendString(dst, text []byte) []byte {
	const hexadecimal = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&0xF])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// IsInteger reports whether a number is written as an integer in canonical form.
func IsInteger(number []byte) bool {
	if len(number) > 1 && (number[0] == '0' || number[0] == '-' && number[1] == '0') {
		return false
	}
	for _, c := range number[min(1, len(number)):] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(number) <= maxPlain
}

// maxPlain bounds the zeros that a number is written with instead of an exponent.
const maxPlain = 40

// AppendNumber appends a number in canonical form: digits, and a point where it has a
// fraction, without zeros at either end; with an exponent only where more than 40
// zeros would be needed.
func AppendNumber(dst, number []byte) []byte {
	rest := number
	negative := len(rest) > 0 && rest[0] == '-'
	if negative {
		rest = rest[1:]
	}
	power := 0
	if i := bytes.IndexAny(rest, "eE"); i >= 0 {
		n, err := strconv.Atoi(string(bytes.TrimPrefix(rest[i+1:], []byte("+"))))
		if err != nil || n > 1<<30 || n < -1<<30 {
			return append(dst, number...) // beyond what anybody writes in two ways
		}
		power, rest = n, rest[:i]
	}
	whole, fraction, _ := bytes.Cut(rest, []byte("."))
	power -= len(fraction)
	var room [64]byte
	digits := append(append(room[:0], whole...), fraction...)
	digits = bytes.TrimLeft(digits, "0")
	short := bytes.TrimRight(digits, "0")
	power += len(digits) - len(short)
	if len(short) == 0 {
		return append(dst, '0')
	}
	if negative {
		dst = append(dst, '-')
	}
	switch {
	case power > maxPlain || -power-len(short) > maxPlain:
		dst = append(dst, short...)
		return strconv.AppendInt(append(dst, 'e'), int64(power), 10)
	case power >= 0:
		dst = append(dst, short...)
		return append(dst, bytes.Repeat([]byte{'0'}, power)...)
	case -power >= len(short):
		dst = append(dst, "0."...)
		dst = append(dst, bytes.Repeat([]byte{'0'}, -power-len(short))...)
		return append(dst, short...)
	}
	dst = append(dst, short[:len(short)+power]...)
	return append(append(dst, '.'), short[len(short)+power:]...)
}
