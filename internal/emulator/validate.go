package emulator

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// The validation codes that a task's fields can get.
const (
	codeValueRequired         = "VALUE_REQUIRED"
	codeValueNotAllowed       = "VALUE_NOT_ALLOWED"
	codeObjectExpected        = "OBJECT_EXPECTED"
	codeArrayExpected         = "ARRAY_EXPECTED"
	codeStringExpected        = "STRING_EXPECTED"
	codeBooleanExpected       = "BOOLEAN_EXPECTED"
	codeIntegerExpected       = "INTEGER_EXPECTED"
	codeFloatExpected         = "FLOAT_EXPECTED"
	codeJSONExpected          = "JSON_EXPECTED"
	codeInvalidURL            = "INVALID_URL_SYNTAX"
	codeInvalidCoordinates    = "INVALID_COORDINATES_SYNTAX"
	codePatternMismatch       = "PATTERN_MISMATCH"
	codeUnknownEnumValue      = "UNKNOWN_ENUM_VALUE"
	codeValueOutOfBounds      = "VALUE_OUT_OF_BOUNDS"
	codeValueLessThanMin      = "VALUE_LESS_THAN_MIN"
	codeValueGreaterThanMax   = "VALUE_GREATER_THAN_MAX"
	codeStringTooShort        = "STRING_LENGTH_LESS_THAN_MIN"
	codeStringTooLong         = "STRING_LENGTH_GREATER_THAN_MAX"
	codeArrayTooSmall         = "ARRAY_SIZE_LESS_THAN_MIN"
	codeArrayTooLarge         = "ARRAY_SIZE_GREATER_THAN_MAX"
	codeEmptyObjectNotAllowed = "EMPTY_OBJECT_NOT_ALLOWED"
	codeEntityDoesNotExist    = "ENTITY_DOES_NOT_EXIST"
)

// messages are the texts of the codes; the first three are Toloka's own.
var messages = map[string]string{
	codeValueRequired:         "Value must be present and not equal to null",
	codeValueNotAllowed:       "Unknown field name",
	codeInvalidURL:            "Value must be in valid url format",
	codeObjectExpected:        "Value must be an object",
	codeArrayExpected:         "Value must be an array",
	codeStringExpected:        "Value must be a string",
	codeBooleanExpected:       "Value must be a boolean",
	codeIntegerExpected:       "Value must be an integer",
	codeFloatExpected:         "Value must be a number",
	codeJSONExpected:          "Value must be JSON and not its text",
	codeInvalidCoordinates:    "Value must be latitude and longitude, such as 53.910236,27.531110",
	codePatternMismatch:       "Value must match the pattern",
	codeUnknownEnumValue:      "Value must be one of the allowed values",
	codeValueOutOfBounds:      "Value is out of bounds",
	codeValueLessThanMin:      "Value is less than the minimum",
	codeValueGreaterThanMax:   "Value is greater than the maximum",
	codeStringTooShort:        "String is shorter than the minimum length",
	codeStringTooLong:         "String is longer than the maximum length",
	codeArrayTooSmall:         "Array has fewer elements than the minimum",
	codeArrayTooLarge:         "Array has more elements than the maximum",
	codeEmptyObjectNotAllowed: "Object must not be empty",
	codeEntityDoesNotExist:    "Entity does not exist",
}

// fieldError is one reason why a field is refused.
type fieldError struct {
	field   string // such as input_values.image or known_solutions.0.correctness_weight
	Code    string `json:"code"`
	Message string `json:"message"`
	Params  []any  `json:"params,omitempty"`
}

func required(field string) fieldError {
	return fieldError{field, codeValueRequired, messages[codeValueRequired], nil}
}

// The bounds of a task's own numbers.
const (
	minOverlap = 1
	maxOverlap = 30_000
)

// Overlaps that are no number.
const (
	overlapAbsent   = 0
	overlapInfinite = -1
)

// checker checks one task after the other. It is reused, so that a good task
// costs no allocation.
type checker struct {
	errs []fieldError
	// seen holds the round in which a field was last seen, so that it need not
	// be cleared for each object.
	seen  []uint64
	round uint64
	// What the last check found besides errors.
	inputBytes  int
	outputBytes int
	overlap     int32
}

func (c *checker) fail(field, code string, params ...any) {
	for i := range c.errs {
		if c.errs[i].field == field {
			return // an answer has one error for each field
		}
	}
	c.errs = append(c.errs, fieldError{field, code, messages[code], params})
}

// splitTask reads the top level of a task, whose pool has the spec that the
// rest of the check depends on. It gives an error only where raw is no JSON
// object.
func splitTask(raw []byte) (taskParts, error) {
	var parts taskParts
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(raw)
	it, err := d.ObjIter()
	if err != nil {
		return parts, err
	}
	for it.Next() {
		value, err := d.Raw()
		if err != nil {
			return parts, err
		}
		if value.Type() == jx.Null {
			continue // as if it were absent
		}
		switch string(it.Key()) {
		case "pool_id":
			parts.poolID = value
		case "input_values":
			parts.inputValues = value
		case "known_solutions":
			parts.knownSolutions = value
		case "baseline_solutions":
			parts.baselineSolutions = value
		case "message_on_unknown_solution":
			parts.message = value
		case "overlap":
			parts.overlap = value
		case "infinite_overlap":
			parts.infiniteOverlap = value
		case "reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any":
			parts.lists[slices.Index(listNames[:], string(it.Key()))] = value
		case "__item_idx", "id", "created", "remaining_overlap", "origin_task_id":
			// The first is the Python SDK's own mark, the others can only be
			// read and come back from clients that send a task as they got it.
		default:
			parts.unknown = append(parts.unknown, string(it.Key()))
		}
	}
	return parts, it.Err()
}

// listNames are the fields of a task that are lists of ids.
var listNames = [...]string{"reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any"}

// taskParts are the values at the top of a task as they were sent; nil where
// one is absent or null.
type taskParts struct {
	poolID, inputValues, knownSolutions, baselineSolutions jx.Raw
	message, overlap, infiniteOverlap                      jx.Raw
	lists                                                  [len(listNames)]jx.Raw
	unknown                                                []string
}

// check validates a task against its pool's spec; nil where the pool is not
// known. The errors are in c.errs afterwards.
func (c *checker) check(parts *taskParts, spec *taskSpec, allowDefaults bool) error {
	c.errs = c.errs[:0]
	c.inputBytes, c.outputBytes, c.overlap = len(parts.inputValues), 0, overlapAbsent
	for _, name := range parts.unknown {
		c.fail(name, codeValueNotAllowed)
	}
	switch {
	case parts.poolID == nil:
		c.fail("pool_id", codeValueRequired)
	case parts.poolID.Type() != jx.String:
		c.fail("pool_id", codeStringExpected)
	case spec == nil:
		c.fail("pool_id", codeEntityDoesNotExist)
	}
	c.checkOverlap(parts, allowDefaults)
	if parts.message != nil && parts.message.Type() != jx.String {
		c.fail("message_on_unknown_solution", codeStringExpected)
	}
	for i, list := range parts.lists {
		if err := c.checkList(listNames[i], list); err != nil {
			return err
		}
	}
	if parts.inputValues == nil {
		c.fail("input_values", codeValueRequired)
	}
	if spec == nil {
		return nil
	}
	if parts.inputValues != nil {
		if err := c.checkObject("input_values", parts.inputValues, spec.input, true); err != nil {
			return err
		}
	}
	if err := c.checkSolutions("known_solutions", "correctness_weight", parts.knownSolutions, spec.output); err != nil {
		return err
	}
	return c.checkSolutions("baseline_solutions", "confidence_weight", parts.baselineSolutions, spec.output)
}

func (c *checker) checkOverlap(parts *taskParts, allowDefaults bool) {
	infinite := false
	if raw := parts.infiniteOverlap; raw != nil {
		if raw.Type() != jx.Bool {
			c.fail("infinite_overlap", codeBooleanExpected)
		}
		infinite = string(raw) == "true"
	}
	switch raw := parts.overlap; {
	case raw != nil && infinite:
		c.fail("infinite_overlap", codeValueNotAllowed)
	case infinite:
		c.overlap = overlapInfinite
	case raw != nil:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case err != nil && !isInteger(raw):
			c.fail("overlap", codeIntegerExpected)
		case err != nil || n < minOverlap || n > maxOverlap:
			c.fail("overlap", codeValueOutOfBounds, minOverlap, maxOverlap)
		default:
			c.overlap = int32(n)
		}
	case !allowDefaults:
		c.fail("overlap", codeValueRequired)
	}
}

func (c *checker) checkList(name string, raw jx.Raw) error {
	if raw == nil {
		return nil
	}
	if raw.Type() != jx.Array {
		c.fail(name, codeArrayExpected)
		return nil
	}
	return eachElement(raw, func(i int, element jx.Raw) error {
		if element.Type() != jx.String {
			c.fail(fmt.Sprintf("%s.%d", name, i), codeStringExpected)
		}
		return nil
	})
}

func (c *checker) checkSolutions(name, weight string, raw jx.Raw, fields *fieldSet) error {
	if raw == nil {
		return nil
	}
	if raw.Type() != jx.Array {
		c.fail(name, codeArrayExpected)
		return nil
	}
	return eachElement(raw, func(i int, solution jx.Raw) error {
		path := fmt.Sprintf("%s.%d", name, i)
		if solution.Type() != jx.Object {
			c.fail(path, codeObjectExpected)
			return nil
		}
		return c.checkSolution(path, weight, solution, fields)
	})
}

func (c *checker) checkSolution(path, weight string, raw jx.Raw, fields *fieldSet) error {
	d := jx.DecodeBytes(raw)
	it, err := d.ObjIter()
	if err != nil {
		return err
	}
	answered := false
	for it.Next() {
		key := string(it.Key())
		value, err := d.Raw()
		if err != nil {
			return err
		}
		switch key {
		case "output_values":
			answered = value.Type() != jx.Null
			c.outputBytes += len(value)
			// A solution may leave out fields, even required ones: they are then
			// not compared.
			if err := c.checkObject(path+".output_values", value, fields, false); err != nil {
				return err
			}
		case weight:
			if value.Type() == jx.Null {
				continue
			}
			x, err := strconv.ParseFloat(string(value), 64)
			switch {
			case value.Type() != jx.Number:
				c.fail(path+"."+weight, codeFloatExpected)
			case err != nil || x < 0 || x > 1:
				c.fail(path+"."+weight, codeValueOutOfBounds, 0, 1)
			}
		default:
			c.fail(path+"."+key, codeValueNotAllowed)
		}
	}
	if !answered {
		c.fail(path+".output_values", codeValueRequired)
	}
	return it.Err()
}

// checkObject checks the values of one object against the fields of a spec.
// Where complete is false, fields may be absent and the object may not be empty.
func (c *checker) checkObject(path string, raw jx.Raw, set *fieldSet, complete bool) error {
	if t := raw.Type(); t != jx.Object {
		if t != jx.Null {
			c.fail(path, codeObjectExpected)
		}
		return nil
	}
	if len(c.seen) < len(set.fields) {
		c.seen = make([]uint64, len(set.fields))
	}
	c.round++
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(raw)
	it, err := d.ObjIter()
	if err != nil {
		return err
	}
	empty := true
	for it.Next() {
		empty = false
		index, known := set.byName[string(it.Key())]
		if !known {
			c.fail(path+"."+string(it.Key()), codeValueNotAllowed)
			if err := d.Skip(); err != nil {
				return err
			}
			continue
		}
		if d.Next() == jx.Null {
			if err := d.Null(); err != nil {
				return err
			}
			continue
		}
		c.seen[index] = c.round
		if err := c.checkField(path, &set.fields[index], d); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	if !complete {
		if empty {
			c.fail(path, codeEmptyObjectNotAllowed)
		}
		return nil
	}
	for i := range set.fields {
		if f := &set.fields[i]; f.required && c.seen[i] != c.round {
			c.fail(path+"."+f.name, codeValueRequired)
		}
	}
	return nil
}

func (c *checker) checkField(path string, f *field, d *jx.Decoder) error {
	if !f.array {
		code, params, err := f.checkValue(d)
		if code != "" {
			c.fail(path+"."+f.name, code, params...)
		}
		return err
	}
	if d.Next() != jx.Array {
		c.fail(path+"."+f.name, codeArrayExpected)
		return d.Skip()
	}
	size := 0
	it, err := d.ArrIter()
	if err != nil {
		return err
	}
	for ; it.Next(); size++ {
		code, params, err := f.checkValue(d)
		if code != "" {
			c.fail(fmt.Sprintf("%s.%s.%d", path, f.name, size), code, params...)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case f.minSize != nil && size < *f.minSize:
		c.fail(path+"."+f.name, codeArrayTooSmall, *f.minSize)
	case f.maxSize != nil && size > *f.maxSize:
		c.fail(path+"."+f.name, codeArrayTooLarge, *f.maxSize)
	}
	return it.Err()
}

// checkValue reads one value and gives the code of what is wrong with it, or "".
func (f *field) checkValue(d *jx.Decoder) (code string, params []any, err error) {
	switch f.kind {
	case kindJSON:
		if d.Next() == jx.String {
			code = codeJSONExpected
		}
		return code, nil, d.Skip()
	case kindBoolean:
		if d.Next() != jx.Bool {
			return codeBooleanExpected, nil, d.Skip()
		}
		raw, err := d.Raw()
		return f.checkAllowed(bytes.TrimSpace(raw)), nil, err
	case kindInteger, kindFloat:
		return f.checkNumber(d)
	}
	if d.Next() != jx.String {
		return codeStringExpected, nil, d.Skip()
	}
	if f.kind == kindFile || f.kind == kindString && f.unbounded() {
		return "", nil, d.Skip()
	}
	text, err := d.StrBytes()
	if err != nil {
		return "", nil, err
	}
	code, params = f.checkText(text)
	return code, params, nil
}

func (f *field) unbounded() bool {
	return f.minLength == nil && f.maxLength == nil && f.pattern == nil && f.allowed == nil
}

func (f *field) checkText(text []byte) (code string, params []any) {
	switch {
	case f.kind == kindURL && !isURL(text):
		return codeInvalidURL, nil
	case f.kind == kindCoordinates && !isCoordinates(text):
		return codeInvalidCoordinates, nil
	}
	if f.minLength != nil || f.maxLength != nil {
		length := utf8.RuneCount(text)
		switch {
		case f.minLength != nil && length < *f.minLength:
			return codeStringTooShort, []any{*f.minLength}
		case f.maxLength != nil && length > *f.maxLength:
			return codeStringTooLong, []any{*f.maxLength}
		}
	}
	if f.pattern != nil && !f.pattern.Match(text) {
		return codePatternMismatch, nil
	}
	return f.checkAllowed(text), nil
}

func (f *field) checkNumber(d *jx.Decoder) (code string, params []any, err error) {
	expected := codeFloatExpected
	if f.kind == kindInteger {
		expected = codeIntegerExpected
	}
	if d.Next() != jx.Number {
		return expected, nil, d.Skip()
	}
	raw, err := d.Raw()
	if err != nil {
		return "", nil, err
	}
	raw = bytes.TrimSpace(raw)
	if f.kind == kindInteger {
		if !isInteger(raw) {
			return expected, nil, nil
		}
		n, err := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case err != nil:
			return codeValueOutOfBounds, []any{math.MinInt64, math.MaxInt64}, nil
		case f.minInteger != nil && n < *f.minInteger:
			return codeValueLessThanMin, []any{*f.minInteger}, nil
		case f.maxInteger != nil && n > *f.maxInteger:
			return codeValueGreaterThanMax, []any{*f.maxInteger}, nil
		}
		return f.checkAllowed(raw), nil, nil
	}
	x, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil:
		return codeValueOutOfBounds, nil, nil
	case f.minFloat != nil && x < *f.minFloat:
		return codeValueLessThanMin, []any{*f.minFloat}, nil
	case f.maxFloat != nil && x > *f.maxFloat:
		return codeValueGreaterThanMax, []any{*f.maxFloat}, nil
	}
	return f.checkAllowed(raw), nil, nil
}

func (f *field) checkAllowed(value []byte) string {
	if f.allowed != nil && !f.allowed[string(value)] {
		return codeUnknownEnumValue
	}
	return ""
}

// isInteger reports whether a JSON value is a number without fraction and
// exponent.
func isInteger(raw []byte) bool {
	digits := bytes.TrimPrefix(raw, []byte("-"))
	return len(digits) > 0 && len(bytes.Trim(digits, "0123456789")) == 0
}

// isURL asks for a scheme of the web, or for a host that starts with www, and
// for something behind it. Toloka takes blanks inside.
func isURL(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	for _, prefix := range []string{"http://", "https://", "www."} {
		if len(text) > len(prefix) && bytes.EqualFold(text[:len(prefix)], []byte(prefix)) {
			return true
		}
	}
	return false
}

// isCoordinates asks for two decimal numbers in degrees, latitude first.
func isCoordinates(text []byte) bool {
	latitude, longitude, ok := bytes.Cut(text, []byte(","))
	return ok && isDegrees(latitude, 90) && isDegrees(longitude, 180)
}

func isDegrees(text []byte, bound float64) bool {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(bytes.Trim(text, "+-.0123456789")) > 0 {
		return false
	}
	x, err := strconv.ParseFloat(string(text), 64)
	return err == nil && math.Abs(x) <= bound
}

// eachElement calls visit for each element of a JSON array.
func eachElement(raw jx.Raw, visit func(i int, element jx.Raw) error) error {
	d := jx.DecodeBytes(raw)
	it, err := d.ArrIter()
	if err != nil {
		return err
	}
	for i := 0; it.Next(); i++ {
		element, err := d.Raw()
		if err != nil {
			return err
		}
		if err := visit(i, bytes.TrimSpace(element)); err != nil {
			return err
		}
	}
	return it.Err()
}
