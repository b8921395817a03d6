package reader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
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
