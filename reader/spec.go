package reader

import "poolfill/internal/toloka"

// Spec is a project's task_spec: Input has the fields that its tasks take in,
// and Output those that its answers give, by their names. Its JSON form is the
// task_spec of Toloka's API, which is what a spec file holds:
//
//	{"input_spec": {"image": {"type": "url", "required": true}}, "output_spec": {}}
type Spec = toloka.TaskSpec

// FieldSpec says what one field may hold: its Type, whether it is Required, and
// bounds, each of which is absent where it is nil or empty. MinLength and
// MaxLength are a string's in code points, Pattern is a regular expression that
// the whole value must match, MinValue and MaxValue are a number's, AllowedValues
// are the only values allowed, as JSON, and MinSize and MaxSize are the number of
// an array's elements.
type FieldSpec = toloka.FieldSpec

// FieldType is the type of a field. That of an array is ArrayPrefix and the type
// of its elements, as in "array_string".
type FieldType = toloka.FieldType

// The types of a field. A field of TypeFile can't be filled by a task file.
const (
	TypeString      = toloka.TypeString
	TypeURL         = toloka.TypeURL
	TypeBoolean     = toloka.TypeBoolean
	TypeInteger     = toloka.TypeInteger
	TypeFloat       = toloka.TypeFloat
	TypeJSON        = toloka.TypeJSON
	TypeCoordinates = toloka.TypeCoordinates
	TypeFile        = toloka.TypeFile

	ArrayPrefix = toloka.ArrayPrefix
)
