package reader

import (
	"bytes"
	"fmt"

	"poolfill/internal/contract"
)

// maxElementProblems bounds how many elements of one cell are reported one by
// one; the rest is counted.
const maxElementProblems = 10

// elements cuts an array's cell at its commas.
//
// An element that begins with a quote goes up to the closing quote, "" inside
// is one quote, and commas are content. In any other element \, is a comma, \\
// a backslash, and a quote an ordinary character. Blanks around an element are
// no part of it.
type elements struct {
	rest    []byte
	done    bool
	number  int    // of the current element, from 1
	scratch []byte // the current element where it had to be rewritten
}

// next returns the next element, which is valid until the call after. Where the
// cell can't be cut any further, problem says why and no element follows.
func (e *elements) next() (element []byte, problem string, ok bool) {
	if e.done {
		return nil, "", false
	}
	e.number++
	for len(e.rest) > 0 && isBlank(e.rest[0]) {
		e.rest = e.rest[1:]
	}
	if len(e.rest) > 0 && e.rest[0] == '"' {
		return e.quoted()
	}
	return e.plain(), "", true
}

func (e *elements) quoted() (element []byte, problem string, ok bool) {
	e.scratch = e.scratch[:0]
	text := e.rest[1:]
	for {
		quote := bytes.IndexByte(text, '"')
		if quote < 0 {
			e.done = true
			return nil, "its opening quote is never closed", true
		}
		e.scratch = append(e.scratch, text[:quote]...)
		text = text[quote+1:]
		if len(text) == 0 || text[0] != '"' {
			break
		}
		e.scratch = append(e.scratch, '"')
		text = text[1:]
	}
	between, rest, more := bytes.Cut(text, []byte{','})
	if len(trimBlanks(between)) > 0 {
		e.done = true
		return nil, "there is text after its closing quote", true
	}
	e.rest, e.done = rest, !more
	return e.scratch, "", true
}

func (e *elements) plain() []byte {
	end := 0
	for end < len(e.rest) && e.rest[end] != ',' {
		if e.rest[end] == '\\' && end+1 < len(e.rest) {
			end++
		}
		end++
	}
	element := trimBlanks(e.rest[:end])
	if end < len(e.rest) {
		e.rest = e.rest[end+1:]
	} else {
		e.rest, e.done = nil, true
	}
	if bytes.IndexByte(element, '\\') < 0 {
		return element
	}
	e.scratch = e.scratch[:0]
	for i := 0; i < len(element); i++ {
		if element[i] == '\\' && i+1 < len(element) && (element[i+1] == ',' || element[i+1] == '\\') {
			i++
		}
		e.scratch = append(e.scratch, element[i])
	}
	return e.scratch
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

// appendArray appends an array of anything but JSON.
func (f *field) appendArray(dst, cell []byte, v *remarks) (out []byte, ok bool) {
	dst = append(dst, '[')
	ok = true
	cut := elements{rest: cell}
	var one remarks
	bad := 0
	for {
		element, problem, more := cut.next()
		if !more {
			break
		}
		if problem == "" && len(element) == 0 {
			problem = "it is empty"
		}
		if cut.number > 1 {
			dst = append(dst, ',')
		}
		one.reset()
		written := false
		if problem != "" {
			one.refuse(contract.CodeArrayExpected, "%s", problem)
		} else {
			dst, written = f.appendOne(dst, element, &one)
		}
		ok = ok && written
		if len(one.problems) > 0 {
			if bad++; bad <= maxElementProblems {
				v.element(cut.number, one.problems)
			}
		}
		if len(one.notices) > 0 {
			v.notices = append(v.notices, one.notices...)
		}
	}
	if bad > maxElementProblems {
		v.refuse(v.problems[len(v.problems)-1].code, "%d more elements are refused", bad-maxElementProblems)
	}
	if !ok && len(cell) > 1 && cell[0] == '[' && cell[len(cell)-1] == ']' {
		v.refuse(contract.CodeArrayExpected, "write the elements without brackets, parted by commas")
	}
	f.checkSize(cut.number, v)
	return append(dst, ']'), ok
}

// element takes over the problems of one element.
func (v *remarks) element(number int, problems []remark) {
	for _, p := range problems {
		v.refuse(p.code, "element %d: %s", number, p.text)
	}
}

func (f *field) checkSize(n int, v *remarks) {
	if f.minSize != nil && n < *f.minSize {
		v.refuse(contract.CodeArraySizeLessThanMin, "the array has %d elements, the field needs at least %d", n, *f.minSize)
	}
	if f.maxSize != nil && n > *f.maxSize {
		v.refuse(contract.CodeArraySizeGreaterThanMax, "the array has %d elements, the field allows at most %d", n, *f.maxSize)
	}
}

// appendJSONArray appends an array of JSON values: values one after the other,
// separated by commas; or, where that doesn't parse, elements as in other arrays,
// each of which is JSON. One array alone is the array itself.
func (f *field) appendJSONArray(dst, cell []byte, v *remarks) (out []byte, ok bool) {
	if out, ok := f.appendBracketed(dst, cell, v); ok {
		return out, true
	}
	s := jsonScanner{src: cell, dst: append(dst, '[')}
	count, err := s.sequence()
	if err != nil {
		return f.appendJSONElements(dst, cell, v, fmt.Sprintf("element %d is not JSON: %s", count+1, err.describe(cell)))
	}
	if s.duplicate {
		v.notice(CodeDuplicateKey, duplicateKeyText)
	}
	f.checkSize(count, v)
	return append(s.dst, ']'), true
}

// appendBracketed appends a cell that is one JSON array as the array itself.
func (f *field) appendBracketed(dst, cell []byte, v *remarks) (out []byte, ok bool) {
	s := jsonScanner{src: cell, dst: dst}
	if s.peek() != '[' || s.document() != nil {
		return dst, false
	}
	v.notice(CodeBracketedArray, "one JSON array in brackets is taken as the array itself")
	if s.duplicate {
		v.notice(CodeDuplicateKey, duplicateKeyText)
	}
	f.checkSize(s.topElements, v)
	return s.dst, true
}

// appendJSONElements is the second reading of an array of JSON. The problem of
// the first reading is told where both fail, unless the cell is plainly written
// for the second.
func (f *field) appendJSONElements(dst, cell []byte, v *remarks, problem string) (out []byte, ok bool) {
	start := len(dst)
	meant := bytes.Contains(cell, []byte(`\,`)) || bytes.HasPrefix(trimBlanks(cell), []byte{'"'})
	dst = append(dst, '[')
	duplicate := false
	cut := elements{rest: cell}
	for {
		element, fault, more := cut.next()
		if !more {
			break
		}
		if fault == "" && cut.number == 1 && cut.done {
			if out, ok := f.appendBracketed(dst[:start], element, v); ok {
				return out, true
			}
		}
		if cut.number > 1 {
			dst = append(dst, ',')
		}
		s := jsonScanner{src: element, dst: dst}
		if fault == "" {
			if err := s.document(); err != nil {
				fault = "it is not JSON: " + err.describe(element)
			}
		}
		if fault != "" {
			if meant {
				problem = fmt.Sprintf("element %d: %s", cut.number, fault)
			}
			v.refuse(contract.CodeJSONExpected, "%s", problem)
			return dst, false
		}
		dst = s.dst
		duplicate = duplicate || s.duplicate
	}
	if duplicate {
		v.notice(CodeDuplicateKey, duplicateKeyText)
	}
	f.checkSize(cut.number, v)
	return append(dst, ']'), true
}
