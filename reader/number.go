package reader

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"unicode"
)

// number is the text of a decimal number, taken apart. It is sent as it was
// written, so no digit is lost.
type number struct {
	negative bool
	whole    []byte // digits before the point, without leading zeros
	point    bool
	fraction []byte // digits after the point, as written
	exponent []byte // with its letter and sign as written; nil where there is none
	digits   int64  // whole and fraction in one, where they are few; for comparing
}

// parseNumber reads a decimal number: an optional sign, digits with an optional
// point before, between or after them, and an optional exponent.
func parseNumber(text []byte) (n number, ok bool) {
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		n.negative = text[0] == '-'
		text = text[1:]
	}
	whole, text := n.cutDigits(text)
	n.whole = whole
	for len(n.whole) > 0 && n.whole[0] == '0' {
		n.whole = n.whole[1:]
	}
	if len(text) > 0 && text[0] == '.' {
		n.point = true
		n.fraction, text = n.cutDigits(text[1:])
	}
	if len(whole) == 0 && len(n.fraction) == 0 {
		return number{}, false
	}
	if len(text) > 0 && (text[0] == 'e' || text[0] == 'E') {
		n.exponent = text
		text = text[1:]
		if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		digits, rest := new(number).cutDigits(text)
		if len(digits) == 0 {
			return number{}, false
		}
		text = rest
	}
	return n, len(text) == 0
}

func (n *number) cutDigits(text []byte) (digits, rest []byte) {
	i := 0
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		n.digits = 10*n.digits + int64(text[i]-'0')
		i++
	}
	return text[:i], text[i:]
}

// isInteger reports whether the number is written without point and exponent.
func (n *number) isInteger() bool { return !n.point && n.exponent == nil }

// append writes the number as JSON has it: ".5" becomes 0.5, "5." becomes 5.
func (n *number) append(dst []byte) []byte {
	if n.negative {
		dst = append(dst, '-')
	}
	if len(n.whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, n.whole...)
	if len(n.fraction) > 0 {
		dst = append(dst, '.')
		dst = append(dst, n.fraction...)
	}
	return append(dst, n.exponent...)
}

// compare returns the sign of n - m, exactly.
func (n *number) compare(m *number) int {
	if scale := max(len(n.fraction), len(m.fraction)); n.exponent == nil && m.exponent == nil &&
		max(len(n.whole), len(m.whole))+scale <= safeDigits {
		return cmp.Compare(n.scaled(scale), m.scaled(scale))
	}
	signN, signM := n.sign(), m.sign()
	if signN != signM {
		return cmp.Compare(signN, signM)
	}
	return signN * compareMagnitude(n, m)
}

// safeDigits is how many decimal digits fit 64 bits, whatever they are.
const safeDigits = 18

// scaled returns the value of a number with few digits and no exponent, times a
// power of ten that leaves no fraction.
func (n *number) scaled(scale int) int64 {
	value := n.digits
	for range scale - len(n.fraction) {
		value *= 10
	}
	if n.negative {
		return -value
	}
	return value
}

func (n *number) sign() int {
	switch {
	case len(n.whole) == 0 && len(bytes.TrimLeft(n.fraction, "0")) == 0:
		return 0
	case n.negative:
		return -1
	default:
		return 1
	}
}

// compareMagnitude compares two numbers other than zero without their signs.
func compareMagnitude(n, m *number) int {
	firstN, orderN := n.order()
	firstM, orderM := m.order()
	if orderN != orderM {
		return cmp.Compare(orderN, orderM)
	}
	lenN, lenM := len(n.whole)+len(n.fraction)-firstN, len(m.whole)+len(m.fraction)-firstM
	for i := range max(lenN, lenM) {
		if a, b := n.digit(firstN+i), m.digit(firstM+i); a != b {
			return cmp.Compare(a, b)
		}
	}
	return 0
}

// order returns the index of the first digit that isn't zero, and the power of
// ten of that digit.
func (n *number) order() (first, order int) {
	if len(n.whole) == 0 {
		first = len(n.fraction) - len(bytes.TrimLeft(n.fraction, "0"))
	}
	return first, len(n.whole) - first + n.power()
}

func (n *number) digit(i int) byte {
	if i < len(n.whole) {
		return n.whole[i]
	}
	if i -= len(n.whole); i < len(n.fraction) {
		return n.fraction[i]
	}
	return '0'
}

// power is the value of the exponent, held within bounds that no comparison
// of cells can reach.
func (n *number) power() int {
	if n.exponent == nil {
		return 0
	}
	const limit = math.MaxInt / 4
	p, negative := 0, n.exponent[1] == '-'
	for _, c := range n.exponent[1:] {
		if c == '+' || c == '-' {
			continue
		}
		if p = p*10 + int(c-'0'); p > limit/10 {
			p = limit / 10
		}
	}
	if negative {
		return -p
	}
	return p
}

// fitsInt64 reports whether an integer is in the range of 64 bits.
func (n *number) fitsInt64() bool {
	if len(n.whole) <= safeDigits {
		return true
	}
	_, err := strconv.ParseInt(string(n.append(nil)), 10, 64)
	return err == nil
}

// fitsFloat64 reports whether a number is in the range of a float64. Digits
// beyond its precision don't matter, since it is sent as it is written.
func (n *number) fitsFloat64() bool {
	const safeWhole = 300
	if n.exponent == nil && len(n.whole) <= safeWhole {
		return true
	}
	_, err := strconv.ParseFloat(string(n.append(nil)), 64)
	return err == nil
}

// integerAdvice says what to do about a text that is not an integer.
func integerAdvice(text []byte) string {
	n, ok := parseNumber(text)
	switch {
	case ok && n.exponent != nil:
		return ": write all its digits"
	case ok && len(bytes.Trim(n.fraction, "0")) == 0:
		n.fraction = nil
		return ": spreadsheets and pandas write whole numbers like that, write " + string(n.append(nil))
	case ok:
		return ": it has a fraction"
	case bytes.IndexByte(text, ',') >= 0:
		return ": it has a comma"
	default:
		return numberAdvice(text)
	}
}

func floatAdvice(text []byte) string {
	comma := bytes.IndexByte(text, ',')
	if comma < 0 {
		return numberAdvice(text)
	}
	const thousand = 3 // digits: 1,500 may be one and a half, and many
	point := bytes.Clone(text)
	point[comma] = '.'
	if _, ok := parseNumber(point); ok && len(text)-comma-1 != thousand {
		return ": it has a comma, write " + cutText(point)
	}
	if bytes.LastIndexByte(text, ',') < bytes.IndexByte(text, '.') {
		return ": it has a comma before the decimal point, write it without"
	}
	return ": it has a comma"
}

func numberAdvice(text []byte) string {
	if len(text) == 0 {
		return ": the cell has only blanks, leave it empty or write a number"
	}
	switch lower := string(bytes.ToLower(bytes.TrimLeft(text, "+-"))); lower {
	case "nan", "inf", "infinity", "null", "none", "n/a", "na", "-":
		return ": leave the cell empty where there is no value"
	}
	for _, c := range string(text) {
		switch {
		case unicode.IsSpace(c):
			return ": it has a blank inside"
		case c > unicode.MaxASCII && unicode.IsDigit(c):
			return ": write it with the digits 0 to 9"
		}
	}
	return ""
}

// within reports whether -limit <= n <= limit, for a limit below a million.
func (n *number) within(limit int64) bool {
	const few = 12
	if n.exponent == nil && len(n.whole)+len(n.fraction) <= few {
		for range n.fraction {
			limit *= 10
		}
		return n.digits <= limit
	}
	bound := number{whole: strconv.AppendInt(nil, limit, 10), digits: limit}
	magnitude := *n
	magnitude.negative = false
	return magnitude.compare(&bound) <= 0
}
