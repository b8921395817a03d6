package emulator

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-faster/jx"
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

// kind is the type of a field's values, or of the elements of its arrays.
type kind string

const (
	kindString      kind = "string"
	kindURL         kind = "url"
	kindBoolean     kind = "boolean"
	kindInteger     kind = "integer"
	kindNumber      kind = "number" // as some of Toloka's texts call an integer
	kindFloat       kind = "float"
	kindJSON        kind = "json"
	kindCoordinates kind = "coordinates"
	kindFile        kind = "file"
)

// expected is the type of JSON that a kind has, and what to say of another.
type expected struct {
	json   jx.Type
	reason reason
}

var kinds = map[kind]expected{
	kindString:      {jx.String, stringExpected},
	kindURL:         {jx.String, stringExpected},
	kindBoolean:     {jx.Bool, booleanExpected},
	kindInteger:     {jx.Number, integerExpected},
	kindFloat:       {jx.Number, floatExpected},
	kindJSON:        {jx.Invalid, jsonExpected}, // any but a string
	kindCoordinates: {jx.String, stringExpected},
	kindFile:        {jx.String, stringExpected},
}

// wireField is a field of a spec as it is sent. Bounds are nil where there are
// none. What is not listed has no effect on the check of a task.
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

// field is a field of a spec, made ready for checking values.
type field struct {
	wireField
	name     string
	kind     kind
	expected expected
	array    bool
	pattern  *regexp.Regexp
	// The bounds of an integer are whole, those of a float a double, as the
	// values themselves are.
	minInteger, maxInteger *int64
	minFloat, maxFloat     *float64
	// allowed holds a string as it is, any other value as its JSON; nil allows
	// everything.
	allowed map[string]bool
}

// specError is everything that is wrong with a spec.
type specError []*fieldError

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
		return nil, specError{objectExpected.saying("%v", err).of("task_spec")}
	}
	var errs specError
	if len(wire.Input) == 0 {
		errs = append(errs, valueRequired.of("task_spec.input_spec"))
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
	wrong := func(property string, r reason) { *errs = append(*errs, r.of(path+"."+property)) }
	f := field{wireField: wire, name: name}
	element, array := strings.CutPrefix(wire.Type, "array_")
	f.array = array
	if f.kind = kind(element); f.kind == kindNumber {
		f.kind = kindInteger
	}
	var known bool
	if f.expected, known = kinds[f.kind]; !known {
		wrong("type", unknownEnumValue.saying("there is no field type %q", wire.Type))
		return f
	}
	if wire.Pattern != nil {
		var err error
		if f.pattern, err = regexp.Compile(`\A(?:` + *wire.Pattern + `)\z`); err != nil {
			wrong("pattern", invalidRegex.saying("the pattern can't be checked here: %v", err))
		}
	}
	for _, bound := range []struct {
		name    string
		sent    *json.Number
		integer **int64
		float   **float64
	}{
		{"min_value", wire.MinValue, &f.minInteger, &f.minFloat},
		{"max_value", wire.MaxValue, &f.maxInteger, &f.maxFloat},
	} {
		if bound.sent == nil {
			continue
		}
		switch f.kind {
		case kindInteger:
			n, err := bound.sent.Int64()
			if *bound.integer = &n; err != nil {
				wrong(bound.name, integerExpected.saying("the bound %s of an integer is none itself", bound.sent))
			}
		case kindFloat:
			x, err := bound.sent.Float64()
			if *bound.float = &x; err != nil {
				wrong(bound.name, integerExpected.saying("the bound %s is no double", bound.sent))
			}
		}
	}
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
