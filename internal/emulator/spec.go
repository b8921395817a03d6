package emulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// taskSpec is a project's task_spec, made ready for checking tasks.
type taskSpec struct {
	input  *fieldSet
	output *fieldSet
}

// fieldSet is the fields of one side of a spec, in the order of their names.
type fieldSet struct {
	fields []field
	byName map[string]int
}

type kind uint8

const (
	kindString kind = iota
	kindURL
	kindBoolean
	kindInteger
	kindFloat
	kindJSON
	kindCoordinates
	kindFile
)

var kinds = map[string]kind{
	"string":      kindString,
	"url":         kindURL,
	"boolean":     kindBoolean,
	"integer":     kindInteger,
	"number":      kindInteger, // as some of Toloka's texts call it
	"float":       kindFloat,
	"json":        kindJSON,
	"coordinates": kindCoordinates,
	"file":        kindFile,
}

// field says what one field may hold. Bounds are nil where there are none.
type field struct {
	name     string
	kind     kind
	array    bool
	required bool

	minLength, maxLength *int
	minSize, maxSize     *int
	pattern              *regexp.Regexp
	// The bounds of an integer are whole, those of a float a double, as the
	// values themselves are.
	minInteger, maxInteger *int64
	minFloat, maxFloat     *float64
	// allowed holds a string as it is, any other value as its JSON; nil allows
	// everything.
	allowed map[string]bool
}

// wireField is a field of a spec as it is sent. What is not listed has no
// effect on the check of a task.
type wireField struct {
	Type          string            `json:"type"`
	Required      bool              `json:"required"`
	MinLength     *int              `json:"min_length"`
	MaxLength     *int              `json:"max_length"`
	Pattern       *string           `json:"pattern"`
	MinValue      *json.Number      `json:"min_value"`
	MaxValue      *json.Number      `json:"max_value"`
	AllowedValues []json.RawMessage `json:"allowed_values"`
	MinSize       *int              `json:"min_size"`
	MaxSize       *int              `json:"max_size"`
}

// specError is everything that is wrong with a spec.
type specError []fieldError

func (e specError) Error() string {
	parts := make([]string, len(e))
	for i, f := range e {
		parts[i] = f.field + ": " + f.Message
	}
	return strings.Join(parts, "; ")
}

// compileTaskSpec reads {"input_spec": {…}, "output_spec": {…}}; other keys,
// such as the view_spec, don't matter here.
func compileTaskSpec(raw json.RawMessage) (*taskSpec, error) {
	var wire struct {
		Input  map[string]wireField `json:"input_spec"`
		Output map[string]wireField `json:"output_spec"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return nil, specError{{"task_spec", "OBJECT_EXPECTED", err.Error(), nil}}
	}
	var errs specError
	if len(wire.Input) == 0 {
		errs = append(errs, required("task_spec.input_spec"))
	}
	spec := &taskSpec{
		input:  compileFields("task_spec.input_spec.", wire.Input, &errs),
		output: compileFields("task_spec.output_spec.", wire.Output, &errs),
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return spec, nil
}

func compileFields(prefix string, wire map[string]wireField, errs *specError) *fieldSet {
	set := &fieldSet{byName: make(map[string]int, len(wire))}
	for _, name := range slices.Sorted(maps.Keys(wire)) {
		set.byName[name] = len(set.fields)
		set.fields = append(set.fields, compileField(prefix+name, name, wire[name], errs))
	}
	return set
}

func compileField(path, name string, wire wireField, errs *specError) field {
	wrong := func(property, code, format string, args ...any) {
		*errs = append(*errs, fieldError{path + "." + property, code, fmt.Sprintf(format, args...), nil})
	}
	f := field{
		name: name, required: wire.Required,
		minLength: wire.MinLength, maxLength: wire.MaxLength,
		minSize: wire.MinSize, maxSize: wire.MaxSize,
	}
	element, array := strings.CutPrefix(wire.Type, "array_")
	f.array = array
	var known bool
	if f.kind, known = kinds[element]; !known {
		wrong("type", codeUnknownEnumValue, "there is no field type %q", wire.Type)
		return f
	}
	if wire.Pattern != nil {
		var err error
		if f.pattern, err = regexp.Compile(`\A(?:` + *wire.Pattern + `)\z`); err != nil {
			wrong("pattern", "INVALID_REGEX_SYNTAX", "the pattern can't be checked here: %v", err)
		}
	}
	f.minInteger, f.minFloat = compileBound(f.kind, wire.MinValue, func(text string) { wrong("min_value", codeIntegerExpected, "%s", text) })
	f.maxInteger, f.maxFloat = compileBound(f.kind, wire.MaxValue, func(text string) { wrong("max_value", codeIntegerExpected, "%s", text) })
	if len(wire.AllowedValues) > 0 {
		f.allowed = make(map[string]bool, len(wire.AllowedValues))
		for _, raw := range wire.AllowedValues {
			var text string
			if json.Unmarshal(raw, &text) != nil {
				text = string(raw)
			}
			f.allowed[text] = true
		}
	}
	return f
}

func compileBound(k kind, bound *json.Number, wrong func(text string)) (*int64, *float64) {
	if bound == nil {
		return nil, nil
	}
	switch k {
	case kindInteger:
		n, err := strconv.ParseInt(bound.String(), 10, 64)
		if err != nil {
			wrong(fmt.Sprintf("the bound %s of an integer is none itself", bound))
		}
		return &n, nil
	case kindFloat:
		x, err := bound.Float64()
		if err != nil {
			wrong(fmt.Sprintf("the bound %s is no double", bound))
		}
		return nil, &x
	}
	return nil, nil
}
