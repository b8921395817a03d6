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

// The members of a task that the server looks at. Those before memberOverlap
// are kept as they were sent.
const (
	memberPool = iota
	memberInput
	memberKnown
	memberBaseline
	memberMessage
	memberLists         // the first list of ids
	memberOverlap  = 10 // behind the last one
	memberInfinite = 11
	memberMark     = 12 // the Python SDK's own, which is not part of a task
	members        = 13
)

var memberNames = [members]string{
	"pool_id", "input_values", "known_solutions", "baseline_solutions", "message_on_unknown_solution",
	"reserved_for", "unavailable_for", "traits_all_of", "traits_any_of", "traits_none_of_any",
	"overlap", "infinite_overlap", "__item_idx",
}

// readOnlyMembers come back from clients that send a task as they got it.
var readOnlyMembers = []string{"id", "created", "remaining_overlap", "origin_task_id"}

// sentTask is a task as it was sent; a member is nil where it is absent or null.
type sentTask struct {
	members [members]jx.Raw
	unknown []string
}

// splitTask reads the top level of a task, whose pool has the spec that the
// rest of the check depends on. It fails only where raw is no JSON object.
func splitTask(raw jx.Raw) (task sentTask, err error) {
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(raw)
	err = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		value, err := d.Raw()
		if err != nil || value.Type() == jx.Null {
			return err
		}
		if i := slices.Index(memberNames[:], string(key)); i >= 0 {
			task.members[i] = bytes.TrimSpace(value)
		} else if !slices.Contains(readOnlyMembers, string(key)) {
			task.unknown = append(task.unknown, string(key))
		}
		return nil
	})
	return task, err
}

// appendKept writes a good task as the file keeps it.
func (t *sentTask) appendKept(dst []byte, overlap int32) []byte {
	separator := byte('{')
	for i, value := range t.members[:memberOverlap] {
		if value != nil {
			dst = append(dst, separator, '"')
			dst = append(dst, memberNames[i]...)
			dst = append(dst, `":`...)
			dst = append(dst, value...)
			separator = ','
		}
	}
	if overlap == overlapInfinite {
		return append(dst, `,"infinite_overlap":true}`...)
	}
	dst = append(dst, `,"infinite_overlap":false,"overlap":`...)
	return append(strconv.AppendInt(dst, int64(overlap), 10), '}')
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
	errs []*fieldError
	// seen holds the round in which a field was last seen, so that it need not
	// be cleared for each object.
	seen  []uint64
	round uint64
	// overlap is that of the last task.
	overlap int32
	// How many bytes of values all tasks have.
	inputBytes, outputBytes int
}

// fail notes an error of a task, if its field has none yet: an answer has one
// error for each field.
func (c *checker) fail(e *fieldError) {
	if !slices.ContainsFunc(c.errs, func(other *fieldError) bool { return other.field == e.field }) {
		c.errs = append(c.errs, e)
	}
}

// check validates a task against its pool's spec; nil where the pool is not
// known. The errors are in c.errs afterwards.
func (c *checker) check(task *sentTask, spec *taskSpec, allowDefaults bool) error {
	c.errs, c.overlap = c.errs[:0], overlapAbsent
	c.inputBytes += len(task.members[memberInput])
	for _, name := range task.unknown {
		c.fail(valueNotAllowed.of(name))
	}
	switch pool := task.members[memberPool]; {
	case pool == nil:
		c.fail(valueRequired.of("pool_id"))
	case pool.Type() != jx.String:
		c.fail(stringExpected.of("pool_id"))
	case spec == nil:
		c.fail(entityDoesNotExist.of("pool_id"))
	}
	c.checkOverlap(task, allowDefaults)
	if message := task.members[memberMessage]; message != nil && message.Type() != jx.String {
		c.fail(stringExpected.of("message_on_unknown_solution"))
	}
	for i := memberLists; i < memberOverlap; i++ {
		if err := c.checkList(memberNames[i], task.members[i]); err != nil {
			return err
		}
	}
	input := task.members[memberInput]
	if input == nil {
		c.fail(valueRequired.of("input_values"))
	}
	if spec == nil {
		return nil
	}
	if input != nil {
		if err := c.checkComplete("input_values", input, spec.input); err != nil {
			return err
		}
	}
	if err := c.checkSolutions("known_solutions", "correctness_weight", task.members[memberKnown], spec.output); err != nil {
		return err
	}
	return c.checkSolutions("baseline_solutions", "confidence_weight", task.members[memberBaseline], spec.output)
}

func (c *checker) checkOverlap(task *sentTask, allowDefaults bool) {
	infinite := false
	if raw := task.members[memberInfinite]; raw != nil {
		if raw.Type() != jx.Bool {
			c.fail(booleanExpected.of("infinite_overlap"))
		}
		infinite = string(raw) == "true"
	}
	switch raw := task.members[memberOverlap]; {
	case raw != nil && infinite:
		c.fail(valueNotAllowed.of("infinite_overlap"))
	case infinite:
		c.overlap = overlapInfinite
	case raw != nil:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case err != nil && !isInteger(raw):
			c.fail(integerExpected.of("overlap"))
		case err != nil || n < minOverlap || n > maxOverlap:
			c.fail(valueOutOfBounds.of("overlap", minOverlap, maxOverlap))
		default:
			c.overlap = int32(n)
		}
	case !allowDefaults:
		c.fail(valueRequired.of("overlap"))
	}
}

func (c *checker) checkList(name string, raw jx.Raw) error {
	return c.eachElement(name, raw, func(path string, element jx.Raw) error {
		if element.Type() != jx.String {
			c.fail(stringExpected.of(path))
		}
		return nil
	})
}

func (c *checker) checkSolutions(name, weight string, raw jx.Raw, fields *fieldSet) error {
	return c.eachElement(name, raw, func(path string, solution jx.Raw) error {
		if solution.Type() != jx.Object {
			c.fail(objectExpected.of(path))
			return nil
		}
		return c.checkSolution(path, weight, solution, fields)
	})
}

// eachElement calls visit for each element of a member that is an array; nil is
// none.
func (c *checker) eachElement(name string, raw jx.Raw, visit func(path string, element jx.Raw) error) error {
	if raw == nil {
		return nil
	}
	if raw.Type() != jx.Array {
		c.fail(arrayExpected.of(name))
		return nil
	}
	i := 0
	return jx.DecodeBytes(raw).Arr(func(d *jx.Decoder) error {
		element, err := d.Raw()
		if err != nil {
			return err
		}
		path := name + "." + strconv.Itoa(i)
		i++
		return visit(path, bytes.TrimSpace(element))
	})
}

func (c *checker) checkSolution(path, weight string, raw jx.Raw, fields *fieldSet) error {
	answered := false
	err := jx.DecodeBytes(raw).ObjBytes(func(d *jx.Decoder, key []byte) error {
		value, err := d.Raw()
		if err != nil {
			return err
		}
		switch string(key) {
		case "output_values":
			answered = value.Type() != jx.Null
			c.outputBytes += len(value)
			return c.checkAnswer(path+".output_values", value, fields)
		case weight:
			x, err := strconv.ParseFloat(string(value), 64)
			switch {
			case value.Type() == jx.Null:
			case value.Type() != jx.Number:
				c.fail(floatExpected.of(path + "." + weight))
			case err != nil || x < 0 || x > 1:
				c.fail(valueOutOfBounds.of(path+"."+weight, 0, 1))
			}
		default:
			c.fail(valueNotAllowed.of(path + "." + string(key)))
		}
		return nil
	})
	if !answered {
		c.fail(valueRequired.of(path + ".output_values"))
	}
	return err
}

// checkComplete checks the values of a task, which has to have all required
// fields.
func (c *checker) checkComplete(path string, raw jx.Raw, set *fieldSet) error {
	if _, err := c.checkValues(path, raw, set); err != nil || raw.Type() != jx.Object {
		return err
	}
	for i := range set.fields {
		if f := &set.fields[i]; f.Required && c.seen[i] != c.round {
			c.fail(valueRequired.of(path + "." + f.name))
		}
	}
	return nil
}

// checkAnswer checks the values of a solution. They may leave out fields, even
// required ones, which are then not compared, but not all of them.
func (c *checker) checkAnswer(path string, raw jx.Raw, set *fieldSet) error {
	n, err := c.checkValues(path, raw, set)
	if n == 0 && err == nil && raw.Type() == jx.Object {
		c.fail(emptyObjectNotAllowed.of(path))
	}
	return err
}

// checkValues checks the members of one object against the fields of a spec, and
// returns how many there are. Those that are not null are seen in this round.
func (c *checker) checkValues(path string, raw jx.Raw, set *fieldSet) (n int, err error) {
	if t := raw.Type(); t != jx.Object {
		if t != jx.Null {
			c.fail(objectExpected.of(path))
		}
		return 0, nil
	}
	if len(c.seen) < len(set.fields) {
		c.seen = make([]uint64, len(set.fields))
	}
	c.round++
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(raw)
	err = d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		n++
		index, known := set.byName[string(key)]
		switch {
		case !known:
			c.fail(valueNotAllowed.of(path + "." + string(key)))
			return d.Skip()
		case d.Next() == jx.Null:
			return d.Null()
		}
		c.seen[index] = c.round
		return c.checkField(path, &set.fields[index], d)
	})
	return n, err
}

func (c *checker) checkField(path string, f *field, d *jx.Decoder) error {
	if !f.array {
		wrong, err := f.checkValue(d)
		if wrong != nil {
			wrong.field = path + "." + f.name
			c.fail(wrong)
		}
		return err
	}
	if d.Next() != jx.Array {
		c.fail(arrayExpected.of(path + "." + f.name))
		return d.Skip()
	}
	size := 0
	err := d.Arr(func(d *jx.Decoder) error {
		wrong, err := f.checkValue(d)
		if wrong != nil {
			wrong.field = fmt.Sprintf("%s.%s.%d", path, f.name, size)
			c.fail(wrong)
		}
		size++
		return err
	})
	switch {
	case f.MinSize != nil && size < *f.MinSize:
		c.fail(arrayTooSmall.of(path+"."+f.name, *f.MinSize))
	case f.MaxSize != nil && size > *f.MaxSize:
		c.fail(arrayTooLarge.of(path+"."+f.name, *f.MaxSize))
	}
	return err
}

// checkValue reads one value and returns what is wrong with it, or nil. Which
// field it is of is left open.
func (f *field) checkValue(d *jx.Decoder) (*fieldError, error) {
	found := d.Next()
	switch {
	case f.kind == kindJSON && found == jx.String, f.kind != kindJSON && found != f.expected.json:
		return f.expected.reason.of(""), d.Skip()
	case f.kind == kindJSON, f.kind == kindFile, f.kind == kindString && f.unbounded():
		return nil, d.Skip()
	case found == jx.String:
		text, err := d.StrBytes()
		return f.checkText(text), err
	}
	raw, err := d.Raw()
	raw = bytes.TrimSpace(raw)
	switch f.kind {
	case kindInteger:
		return f.checkInteger(raw), err
	case kindFloat:
		return f.checkFloat(raw), err
	}
	return f.checkAllowed(raw), err
}

func (f *field) unbounded() bool {
	return f.MinLength == nil && f.MaxLength == nil && f.pattern == nil && f.allowed == nil
}

func (f *field) checkText(text []byte) *fieldError {
	switch {
	case f.kind == kindURL && !isURL(text):
		return invalidURL.of("")
	case f.kind == kindCoordinates && !isCoordinates(text):
		return invalidCoordinates.of("")
	case f.MinLength != nil && utf8.RuneCount(text) < *f.MinLength:
		return stringTooShort.of("", *f.MinLength)
	case f.MaxLength != nil && utf8.RuneCount(text) > *f.MaxLength:
		return stringTooLong.of("", *f.MaxLength)
	case f.pattern != nil && !f.pattern.Match(text):
		return patternMismatch.of("")
	}
	return f.checkAllowed(text)
}

func (f *field) checkInteger(raw []byte) *fieldError {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case !isInteger(raw):
		return integerExpected.of("")
	case err != nil:
		return valueOutOfBounds.of("", math.MinInt64, math.MaxInt64)
	case f.minInteger != nil && n < *f.minInteger:
		return valueLessThanMin.of("", *f.minInteger)
	case f.maxInteger != nil && n > *f.maxInteger:
		return valueGreaterThanMax.of("", *f.maxInteger)
	}
	return f.checkAllowed(raw)
}

func (f *field) checkFloat(raw []byte) *fieldError {
	x, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil:
		return valueOutOfBounds.of("")
	case f.minFloat != nil && x < *f.minFloat:
		return valueLessThanMin.of("", *f.minFloat)
	case f.maxFloat != nil && x > *f.maxFloat:
		return valueGreaterThanMax.of("", *f.maxFloat)
	}
	return f.checkAllowed(raw)
}

func (f *field) checkAllowed(value []byte) *fieldError {
	if f.allowed != nil && !f.allowed[string(value)] {
		return unknownEnumValue.of("")
	}
	return nil
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
