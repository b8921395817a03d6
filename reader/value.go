package reader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"poolfill/internal/contract"
)

// remark is a code and a sentence about one value.
type remark struct {
	code string
	text string
}

// remarks gathers what is found about one cell: what refuses it, and what is
// only odd.
type remarks struct {
	problems []remark
	notices  []remark

	keys [][]byte // room for those of JSON objects
}

func (v *remarks) reset() { v.problems, v.notices = v.problems[:0], v.notices[:0] }

func (v *remarks) refuse(code, format string, args ...any) {
	v.problems = append(v.problems, remark{code, fmt.Sprintf(format, args...)})
}

// notice takes a text without values of the cell: it is counted, not repeated.
func (v *remarks) notice(code, text string) {
	v.notices = append(v.notices, remark{code, text})
}

// valueType is the type of a field's value, or of an array's elements. It is a number,
// as it is looked at for every cell.
type valueType uint8

const (
	typeUnknown valueType = iota // sent as a string, only the server checks it
	typeString
	typeInteger
	typeFloat
	typeBoolean
	typeURL
	typeCoordinates
	typeJSON
	typeFile
)

func valueTypeOf(t FieldType) valueType {
	switch t {
	case TypeString:
		return typeString
	case TypeInteger, TypeNumber:
		return typeInteger
	case TypeFloat:
		return typeFloat
	case TypeBoolean:
		return typeBoolean
	case TypeURL:
		return typeURL
	case TypeCoordinates:
		return typeCoordinates
	case TypeJSON:
		return typeJSON
	case TypeFile:
		return typeFile
	}
	return typeUnknown
}

// field is a field of the spec, compiled: how its cells are written as JSON and
// what is checked. A nil field is a string without bounds.
type field struct {
	typ      valueType
	array    bool
	required bool

	minLength, maxLength *int
	pattern              *regexp.Regexp
	minValue, maxValue   *number
	allowedTexts         map[string]bool // strings, or true and false; nil allows all
	allowedNumbers       []number
	allowed              string // the allowed values as they are told
	minSize, maxSize     *int
}

// compileField returns a spec's field its ready form. Notices are about what can
// only be checked by the server; an error is a spec that contradicts itself.
func compileField(spec FieldSpec) (f *field, notices []remark, err error) {
	name, array := strings.CutPrefix(string(spec.Type), ArrayPrefix)
	f = &field{
		typ: valueTypeOf(FieldType(name)), array: array, required: spec.Required,
		minSize: spec.MinSize, maxSize: spec.MaxSize,
	}
	var errs []error
	switch f.typ {
	case typeString:
		f.minLength, f.maxLength = spec.MinLength, spec.MaxLength
		f.pattern, notices = compilePattern(spec.Pattern)
		f.allowTexts(spec.AllowedValues)
	case typeInteger, typeFloat:
		f.minValue, errs = compileBound("min_value", spec.MinValue, errs)
		f.maxValue, errs = compileBound("max_value", spec.MaxValue, errs)
		f.allowNumbers(spec.AllowedValues)
	case typeBoolean:
		f.allowTexts(spec.AllowedValues)
	case typeUnknown:
		notices = append(notices, remark{CodeTypeUnknown, fmt.Sprintf(
			"the spec gives the field the type %s, which is not known here: its cells are sent as strings and only the server checks them", quoteText(string(spec.Type)))})
		f.array = false
	}
	return f, notices, errors.Join(errs...)
}

func compileBound(name string, text *json.Number, errs []error) (*number, []error) {
	if text == nil {
		return nil, errs
	}
	n, ok := parseNumber([]byte(*text))
	if !ok {
		return nil, append(errs, fmt.Errorf("%s is not a number: %s", name, quoteText(string(*text))))
	}
	return &n, errs
}

// compilePattern compiles a pattern so that it matches whole values. Toloka's
// patterns are Java's: one that means something else here, or nothing, is left
// to the server.
func compilePattern(pattern string) (*regexp.Regexp, []remark) {
	if pattern == "" {
		return nil, nil
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil || readsOtherwiseInJava(pattern) {
		return nil, []remark{{CodePatternUnchecked, fmt.Sprintf(
			"the spec's pattern %s can't be checked here: only the server checks it", quoteText(pattern))}}
	}
	return re, nil
}

// readsOtherwiseInJava reports whether a pattern that compiles here may match
// other texts in Java: sets inside sets, intersections, word borders (which
// know all letters there) and the flags U and u.
func readsOtherwiseInJava(pattern string) bool {
	inSet := false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
			if i < len(pattern) && !inSet && (pattern[i] == 'b' || pattern[i] == 'B') {
				return true
			}
		case inSet && (c == '[' || strings.HasPrefix(pattern[i:], "&&")):
			return true
		case c == '[':
			inSet = true
			if strings.HasPrefix(pattern[i+1:], "^]") || strings.HasPrefix(pattern[i+1:], "]") {
				return true // whether this bracket ends the set is read differently
			}
		case c == ']':
			inSet = false
		case !inSet && strings.HasPrefix(pattern[i:], "(?"):
			flags, _, _ := strings.Cut(pattern[i+2:], ")")
			flags, _, _ = strings.Cut(flags, ":")
			if strings.Trim(flags, "imsU-") == "" && strings.Contains(flags, "U") {
				return true
			}
		}
	}
	return false
}

func (f *field) allowTexts(values []json.RawMessage) {
	if len(values) == 0 {
		return
	}
	f.allowedTexts = make(map[string]bool, len(values))
	for _, value := range values {
		text := string(bytes.TrimSpace(value))
		var unquoted string
		if json.Unmarshal(value, &unquoted) == nil {
			text = unquoted
		}
		f.allowedTexts[text] = true
	}
	f.allowed = listValues(values)
}

func (f *field) allowNumbers(values []json.RawMessage) {
	for _, value := range values {
		if n, ok := parseNumber(bytes.TrimSpace(value)); ok {
			f.allowedNumbers = append(f.allowedNumbers, n)
		}
	}
	f.allowed = listValues(values)
}

func listValues(values []json.RawMessage) string {
	const most = 10
	var b strings.Builder
	for i, value := range values {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(values)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(cutText(bytes.TrimSpace(value)))
	}
	return b.String()
}

func (f *field) refuseEnum(text []byte, v *remarks) {
	v.refuse(contract.CodeUnknownEnumValue, "%s is none of the values that the field allows: %s", quoteText(text), f.allowed)
}

// append appends the JSON of a cell that isn't empty. Where the cell can't be
// written as the field's type, ok is false and what was appended is of no use;
// v then has the reason. A value that its type can hold but a bound refuses is
// appended, with the reason in v.
func (f *field) append(dst, cell []byte, v *remarks) (out []byte, ok bool) {
	switch {
	case f == nil:
		return appendString(dst, cell), true
	case f.array && f.typ == typeJSON:
		return f.appendJSONArray(dst, cell, v)
	case f.array:
		return f.appendArray(dst, cell, v)
	default:
		return f.appendOne(dst, cell, v)
	}
}

// appendOne appends a value that is no array, or one element of an array.
func (f *field) appendOne(dst, text []byte, v *remarks) (out []byte, ok bool) {
	switch f.typ {
	case typeString:
		f.checkString(text, v)
		return appendString(dst, text), true
	case typeInteger, typeFloat:
		return f.appendNumber(dst, text, v)
	case typeBoolean:
		return f.appendBoolean(dst, text, v)
	case typeURL:
		checkURL(text, v)
		return appendString(dst, text), true
	case typeCoordinates:
		checkCoordinates(text, v)
		return appendString(dst, text), true
	case typeJSON:
		return f.appendJSONValue(dst, text, v)
	case typeFile:
		v.refuse(contract.CodeValueNotAllowed, "a field of the type file can't be filled from a task file: leave its cells empty")
		return dst, false
	default:
		return appendString(dst, text), true
	}
}

func (f *field) checkString(text []byte, v *remarks) {
	if f.minLength != nil || f.maxLength != nil {
		n := utf8.RuneCount(text)
		if f.minLength != nil && n < *f.minLength {
			v.refuse(contract.CodeStringLengthLessThanMin, "%s has %d characters, the field needs at least %d", quoteText(text), n, *f.minLength)
		}
		if f.maxLength != nil && n > *f.maxLength {
			v.refuse(contract.CodeStringLengthGreaterThanMax, "the value has %d characters, the field allows at most %d", n, *f.maxLength)
		}
	}
	if f.pattern != nil && !f.pattern.Match(text) {
		v.refuse(contract.CodePatternMismatch, "%s does not match the field's pattern", quoteText(text))
	}
	if f.allowedTexts != nil && !f.allowedTexts[string(text)] {
		f.refuseEnum(text, v)
	}
}

// appendBoolean appends true or false. Blanks around it are no part of it, as
// with numbers.
func (f *field) appendBoolean(dst, text []byte, v *remarks) (out []byte, ok bool) {
	text = trimBlanks(text)
	value := ""
	switch string(text) {
	case "true", "false":
		value = string(text)
	case "TRUE", "True":
		value = "true"
	case "FALSE", "False":
		value = "false"
	default:
		v.refuse(contract.CodeBooleanExpected, "%s is not a boolean: write true or false", quoteText(text))
		return dst, false
	}
	if text[0] != value[0] {
		v.notice(CodeBooleanCase, "TRUE and FALSE in capitals are read as true and false")
	}
	if f.allowedTexts != nil && !f.allowedTexts[value] {
		f.refuseEnum(text, v)
	}
	return append(dst, value...), true
}

// checkURL checks what begins like a web address; the server looks no closer.
// The scheme may be in capitals.
func checkURL(text []byte, v *remarks) {
	if i := indexControl(text); i >= 0 {
		c, _ := utf8.DecodeRune(text[i:])
		v.refuse(contract.CodeInvalidURLSyntax, "%s has the control character %U: remove it", quoteText(text), c)
		return
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) < len(text) {
		v.refuse(contract.CodeInvalidURLSyntax, "%s has blanks around it: remove them", quoteText(text))
		return
	}
	for _, start := range [...]string{"https://", "http://", "www"} {
		if hasPrefixFold(text, start) && len(text) > len(start) {
			return
		}
	}
	v.refuse(contract.CodeInvalidURLSyntax, "%s is not a URL: it must begin with http://, https:// or www and go on after that", quoteText(text))
}

// hasPrefixFold reports whether a text begins with a word in small letters, in
// whichever case.
func hasPrefixFold(text []byte, word string) bool {
	if len(text) < len(word) {
		return false
	}
	for i := range len(word) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// indexControl returns the place of the first control character, or -1.
func indexControl(text []byte) int {
	const del, c1Lead, c1End = 0x7F, 0xC2, 0xA0 // U+0080 to U+009F are C2 80 to C2 9F
	for i, c := range text {
		if ' ' <= c && c < del {
			continue
		}
		if c <= del || c == c1Lead && i+1 < len(text) && text[i+1] < c1End {
			return i
		}
	}
	return -1
}

// checkCoordinates checks "latitude,longitude" in decimal degrees. Blanks
// around both numbers are allowed and passed on as they stand.
func checkCoordinates(text []byte, v *remarks) {
	lat, lon, found := bytes.Cut(text, []byte{','})
	latitude, okLat := parseNumber(trimBlanks(lat))
	longitude, okLon := parseNumber(trimBlanks(lon))
	if !found || !okLat || !okLon || latitude.exponent != nil || longitude.exponent != nil {
		v.refuse(contract.CodeInvalidCoordinatesSyntax, "%s is not a place: write latitude,longitude with decimal points, such as 53.910236,27.531110", quoteText(text))
		return
	}
	const maxLatitude, maxLongitude = 90, 180
	if latitude.within(maxLatitude) && longitude.within(maxLongitude) {
		return
	}
	advice := ""
	if latitude.within(maxLongitude) && longitude.within(maxLatitude) {
		advice = ", latitude comes first"
	}
	v.refuse(contract.CodeInvalidCoordinatesSyntax, "%s is no place on earth: latitude goes from -90 to 90 and longitude from -180 to 180%s", quoteText(text), advice)
}
