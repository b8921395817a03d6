package reader

import "encoding/json"

// FieldType is the type of one field of a project's spec. An array type is
// ArrayPrefix followed by the type of its elements.
type FieldType string

// The types of a field. TypeNumber is what some of Toloka's texts call
// TypeInteger. A field of TypeFile can't be filled by a task file.
const (
	TypeString      FieldType = "string"
	TypeURL         FieldType = "url"
	TypeBoolean     FieldType = "boolean"
	TypeInteger     FieldType = "integer"
	TypeNumber      FieldType = "number"
	TypeFloat       FieldType = "float"
	TypeJSON        FieldType = "json"
	TypeCoordinates FieldType = "coordinates"
	TypeFile        FieldType = "file"

	ArrayPrefix = "array_"
)

// FieldSpec says what one field of a task may hold. Pointers are nil where the
// spec does not set the bound.
type FieldSpec struct {
	Type     FieldType `json:"type"`
	Required bool      `json:"required,omitempty"`
	Hidden   bool      `json:"hidden,omitempty"`
	// MinLength and MaxLength bound a string's length in code points.
	MinLength *int `json:"min_length,omitempty"`
	MaxLength *int `json:"max_length,omitempty"`
	// Pattern is a regular expression that the whole value must match.
	Pattern string `json:"pattern,omitempty"`
	// MinValue and MaxValue bound a number, inclusively; exact decimals.
	MinValue *json.Number `json:"min_value,omitempty"`
	MaxValue *json.Number `json:"max_value,omitempty"`
	// AllowedValues lists the only values allowed, as JSON; empty allows all.
	AllowedValues []json.RawMessage `json:"allowed_values,omitempty"`
	// MinSize and MaxSize bound the number of an array's elements.
	MinSize *int `json:"min_size,omitempty"`
	MaxSize *int `json:"max_size,omitempty"`
}

// Spec is a project's task_spec: Input has the fields that its tasks take in,
// and Output those that its answers give, by their names. Its JSON form is the
// task_spec of Toloka's API, which is what a spec file holds:
//
//	{"input_spec": {"image": {"type": "url", "required": true}}, "output_spec": {}}
type Spec struct {
	Input  map[string]FieldSpec `json:"input_spec"`
	Output map[string]FieldSpec `json:"output_spec"`
}
