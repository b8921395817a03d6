// Package toloka holds the wire types and the error codes of the Toloka API
// (https://toloka.ai/docs/api/api-reference/), as far as filling pools needs
// them. It does no I/O and imports nothing of this module, so that everything
// else may import it.
package toloka

import (
	"bytes"
	"encoding/json"
)

// Limits that Toloka documents. Each of them is a setting wherever it is used,
// since an account can have others.
const (
	// MaxInputBytes bounds all input_values of one request, in bytes of JSON.
	MaxInputBytes = 1 << 20
	// MaxOutputBytes bounds all output_values (of known and baseline
	// solutions) of one request, in bytes of JSON.
	MaxOutputBytes = 4 << 20
	// MaxTasksSync is the most tasks that one synchronous request may hold.
	MaxTasksSync = 5000
	// MaxTasksAsync is the recommended most for an asynchronous request.
	MaxTasksAsync = 10000
	// MaxPoolTasks is the most tasks that one pool can hold.
	MaxPoolTasks = 1_000_000
	// MinOverlap and MaxOverlap bound a task's overlap.
	MinOverlap = 1
	MaxOverlap = 30000
	// RequestsPerSecond, TasksPerMinute and TasksPerDay are an account's quota.
	RequestsPerSecond = 300
	TasksPerMinute    = 200_000
	TasksPerDay       = 4_000_000
)

// The validation codes that the API gives for a field of a task. Local checks
// use the same ones.
const (
	CodeValueRequired              = "VALUE_REQUIRED"
	CodeValueNotAllowed            = "VALUE_NOT_ALLOWED"
	CodeStringExpected             = "STRING_EXPECTED"
	CodeIntegerExpected            = "INTEGER_EXPECTED"
	CodeFloatExpected              = "FLOAT_EXPECTED"
	CodeBooleanExpected            = "BOOLEAN_EXPECTED"
	CodeJSONExpected               = "JSON_EXPECTED"
	CodeArrayExpected              = "ARRAY_EXPECTED"
	CodeInvalidURLSyntax           = "INVALID_URL_SYNTAX"
	CodeInvalidCoordinatesSyntax   = "INVALID_COORDINATES_SYNTAX"
	CodePatternMismatch            = "PATTERN_MISMATCH"
	CodeUnknownEnumValue           = "UNKNOWN_ENUM_VALUE"
	CodeValueOutOfBounds           = "VALUE_OUT_OF_BOUNDS"
	CodeValueLessThanMin           = "VALUE_LESS_THAN_MIN"
	CodeValueGreaterThanMax        = "VALUE_GREATER_THAN_MAX"
	CodeStringLengthLessThanMin    = "STRING_LENGTH_LESS_THAN_MIN"
	CodeStringLengthGreaterThanMax = "STRING_LENGTH_GREATER_THAN_MAX"
	CodeArraySizeLessThanMin       = "ARRAY_SIZE_LESS_THAN_MIN"
	CodeArraySizeGreaterThanMax    = "ARRAY_SIZE_GREATER_THAN_MAX"
	CodeObjectSizeGreaterThanMax   = "OBJECT_SIZE_BYTES_GREATER_THAN_MAX"
	CodeEmptyObjectNotAllowed      = "EMPTY_OBJECT_NOT_ALLOWED"
)

// The error codes of a whole request that the program acts on.
const (
	CodeValidationError        = "VALIDATION_ERROR"
	CodeOperationAlreadyExists = "OPERATION_ALREADY_EXISTS"
	CodeOperationLogsArchived  = "OPERATION_LOGS_ARCHIVED"
	CodeInappropriateStatus    = "INAPPROPRIATE_STATUS"
	CodePoolTasksCountExceeded = "POOL_TASKS_COUNT_EXCEEDED"
	CodeMixerConfigRequired    = "MIXER_CONFIG_REQUIRED"
	CodeDoesNotExist           = "DOES_NOT_EXIST"
)

// FieldType is the type of one field of a project's spec. An array type is
// ArrayPrefix followed by the type of its elements.
type FieldType string

// The types of a field. TypeNumber is what some of Toloka's texts call
// TypeInteger.
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

// TaskSpec is a project's task_spec: the fields that its tasks take in and
// those that its answers give.
type TaskSpec struct {
	Input  map[string]FieldSpec `json:"input_spec"`
	Output map[string]FieldSpec `json:"output_spec"`
}

// Project is what GET /projects/{id} gives, as far as it is used.
type Project struct {
	ID         string   `json:"id"`
	PublicName string   `json:"public_name"`
	TaskSpec   TaskSpec `json:"task_spec"`
}

// The states of a pool.
const (
	PoolOpen     = "OPEN"
	PoolClosed   = "CLOSED"
	PoolArchived = "ARCHIVED"
	PoolLocked   = "LOCKED"
)

// PoolTraining is the type of a training pool.
const PoolTraining = "TRAINING"

// Pool is what GET /pools/{id} gives, as far as it is used.
type Pool struct {
	ID          string `json:"id"`
	ProjectID   string `json:"project_id"`
	PrivateName string `json:"private_name"`
	Status      string `json:"status"`
	Type        string `json:"type"`
	// Created is the time in UTC as the server writes it, such as
	// 2026-01-31T12:00:00.123.
	Created string `json:"created"`
	// MixerConfig is empty or null where the pool has no smart mixing; tasks
	// can't be uploaded to such a pool.
	MixerConfig json.RawMessage `json:"mixer_config,omitempty"`
	Defaults    struct {
		OverlapForNewTasks int `json:"default_overlap_for_new_tasks"`
	} `json:"defaults"`
	// Reward is what a performer gets for one suite of tasks, in the account's
	// currency; an exact decimal, empty where the server doesn't tell.
	Reward json.Number `json:"reward_per_assignment,omitempty"`
}

// MixerConfig says of which tasks a suite is made.
type MixerConfig struct {
	General  int `json:"real_tasks_count"`
	Control  int `json:"golden_tasks_count"`
	Training int `json:"training_tasks_count"`
}

// Mixer reads the pool's mixer_config; ok is false where there is none. What
// can't be read of it is 0.
func (p Pool) Mixer() (m MixerConfig, ok bool) {
	if len(p.MixerConfig) == 0 || bytes.Equal(bytes.TrimSpace(p.MixerConfig), []byte("null")) {
		return m, false
	}
	_ = json.Unmarshal(p.MixerConfig, &m) // goes on after a value of another type
	return m, true
}

// The states of an operation.
const (
	OperationPending = "PENDING"
	OperationRunning = "RUNNING"
	OperationSuccess = "SUCCESS"
	OperationFail    = "FAIL"
)

// Operation is a running or finished job of the server. Its details have
// several undocumented shapes, so nothing is counted from them.
type Operation struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Status   string          `json:"status"`
	Progress int             `json:"progress"`
	Details  json.RawMessage `json:"details,omitempty"`
}

// Done reports whether the operation has reached its end.
func (o Operation) Done() bool {
	return o.Status == OperationSuccess || o.Status == OperationFail
}

// FieldError is one reason why the API refuses a field of a task.
type FieldError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
