package referee

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Spec is what a project says about its tasks. A nil map takes any values.
type Spec struct {
	Input, Output map[string]Field
}

// Field is what a project says about one value. Its zero values set no bound.
type Field struct {
	Type      string   `json:"type"`
	Required  bool     `json:"required"`
	Hidden    bool     `json:"hidden"`
	MinLength int      `json:"min_length,omitempty"`
	MaxLength int      `json:"max_length,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
	MinValue  *float64 `json:"min_value,omitempty"`
	MaxValue  *float64 `json:"max_value,omitempty"`
	Allowed   []any    `json:"allowed_values,omitempty"`
	MinSize   int      `json:"min_size,omitempty"`
	MaxSize   int      `json:"max_size,omitempty"`
}

// fault is what is wrong with a value.
type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// faults are those of the tasks of a request, by position and field.
func (s *Server) faults(b batch) map[string]map[string]fault {
	all := map[string]map[string]fault{}
	for i, item := range b.items {
		if wrong := s.check(item, b.defaults); len(wrong) > 0 {
			all[strconv.Itoa(i)] = wrong
		}
	}
	return all
}

// check says what is wrong with a task, by field.
func (s *Server) check(item map[string]any, defaults bool) map[string]fault {
	wrong := map[string]fault{}
	values, ok := item["input_values"].(map[string]any)
	if !ok {
		wrong["input_values"] = fault{"VALUE_REQUIRED", "Value must be present and not equal to null"}
	}
	checkValues(wrong, "input_values.", values, s.cfg.Spec.Input, false)
	for _, kind := range []string{"known_solutions", "baseline_solutions"} {
		solutions, _ := item[kind].([]any)
		for i, solution := range solutions {
			object, _ := solution.(map[string]any)
			output, _ := object["output_values"].(map[string]any)
			checkValues(wrong, fmt.Sprintf("%s.%d.output_values.", kind, i), output, s.cfg.Spec.Output, true)
		}
	}
	overlap, has := item["overlap"]
	infinite := item["infinite_overlap"] == true
	switch number, ok := overlap.(json.Number); {
	case has && infinite:
		wrong["overlap"] = fault{"VALUE_NOT_ALLOWED", "There is overlap and infinite_overlap"}
	case has && !ok:
		wrong["overlap"] = fault{"INTEGER_EXPECTED", "Value must be an integer"}
	case has:
		if n, err := number.Int64(); err != nil || n < 1 || n > 30_000 {
			wrong["overlap"] = fault{"VALUE_OUT_OF_BOUNDS", "Value must be from 1 to 30000"}
		}
	case !infinite && !defaults:
		wrong["overlap"] = fault{"VALUE_REQUIRED", "Value must be present and not equal to null"}
	}
	if s.cfg.Rule != nil {
		if field, code := s.cfg.Rule(item); field != "" {
			wrong[field] = fault{code, "The server has its reasons"}
		}
	}
	return wrong
}

// checkValues checks an object; a part of one may lack values that are required.
func checkValues(wrong map[string]fault, prefix string, values map[string]any, spec map[string]Field, part bool) {
	if spec == nil {
		return
	}
	for name, value := range values {
		field, known := spec[name]
		if !known {
			wrong[prefix+name] = fault{"VALUE_NOT_ALLOWED", "Value is not allowed here"}
		} else if value != nil {
			if f := field.check(value); f != (fault{}) {
				wrong[prefix+name] = f
			}
		}
	}
	for name, field := range spec {
		if field.Required && !part && values[name] == nil {
			wrong[prefix+name] = fault{"VALUE_REQUIRED", "Value must be present and not equal to null"}
		}
	}
}

// check says what is wrong with one value.
func (f Field) check(value any) fault {
	if element, ok := strings.CutPrefix(strings.ToLower(f.Type), "array_"); ok {
		list, ok := value.([]any)
		switch {
		case !ok:
			return fault{"ARRAY_EXPECTED", "Value must be an array"}
		case len(list) < f.MinSize:
			return fault{"ARRAY_SIZE_LESS_THAN_MIN", fmt.Sprintf("Array size must be at least %d", f.MinSize)}
		case f.MaxSize > 0 && len(list) > f.MaxSize:
			return fault{"ARRAY_SIZE_GREATER_THAN_MAX", fmt.Sprintf("Array size must be at most %d", f.MaxSize)}
		}
		f.Type = element
		for _, item := range list {
			if wrong := f.check(item); wrong != (fault{}) {
				return wrong
			}
		}
		return fault{}
	}
	if wrong := f.checkType(value); wrong != (fault{}) {
		return wrong
	}
	for _, allowed := range f.Allowed {
		if reflect.DeepEqual(value, allowed) {
			return fault{}
		}
	}
	if len(f.Allowed) > 0 {
		return fault{"UNKNOWN_ENUM_VALUE", "Value is not one of the allowed ones"}
	}
	return fault{}
}

func (f Field) checkType(value any) fault {
	text, isText := value.(string)
	number, isNumber := value.(json.Number)
	switch strings.ToLower(f.Type) {
	case "string", "file":
		return f.checkText(text, isText)
	case "url":
		if u, err := url.Parse(strings.TrimSpace(text)); !isText || err != nil || u.Scheme == "" || u.Host == "" {
			return fault{"INVALID_URL_SYNTAX", "Value must be in valid url format"}
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return fault{"BOOLEAN_EXPECTED", "Value must be a boolean"}
		}
	case "integer", "number":
		if _, err := number.Int64(); !isNumber || err != nil {
			return fault{"INTEGER_EXPECTED", "Value must be an integer"}
		}
		return f.checkBounds(number)
	case "float":
		if !isNumber {
			return fault{"FLOAT_EXPECTED", "Value must be a float"}
		}
		return f.checkBounds(number)
	case "coordinates":
		if parts := strings.Split(text, ","); !isText || len(parts) != 2 {
			return fault{"INVALID_COORDINATES_SYNTAX", "Value must be in valid coordinates format"}
		}
	case "json":
		if _, ok := value.(map[string]any); !ok {
			if _, ok := value.([]any); !ok {
				return fault{"JSON_EXPECTED", "Value must be an object or an array"}
			}
		}
	}
	return fault{}
}

func (f Field) checkText(text string, isText bool) fault {
	n := utf8.RuneCountInString(text)
	switch {
	case !isText:
		return fault{"STRING_EXPECTED", "Value must be a string"}
	case n < f.MinLength:
		return fault{"STRING_LENGTH_LESS_THAN_MIN", fmt.Sprintf("Length must be at least %d", f.MinLength)}
	case f.MaxLength > 0 && n > f.MaxLength:
		return fault{"STRING_LENGTH_GREATER_THAN_MAX", fmt.Sprintf("Length must be at most %d", f.MaxLength)}
	case f.Pattern != "":
		if whole, err := regexp.Compile("^(?:" + f.Pattern + ")$"); err == nil && !whole.MatchString(text) {
			return fault{"PATTERN_MISMATCH", "Value must match the pattern"}
		}
	}
	return fault{}
}

func (f Field) checkBounds(number json.Number) fault {
	n, err := number.Float64()
	switch {
	case err != nil:
		return fault{"VALUE_OUT_OF_BOUNDS", "Value is out of bounds"}
	case f.MinValue != nil && n < *f.MinValue:
		return fault{"VALUE_LESS_THAN_MIN", "Value is too small"}
	case f.MaxValue != nil && n > *f.MaxValue:
		return fault{"VALUE_GREATER_THAN_MAX", "Value is too large"}
	}
	return fault{}
}
