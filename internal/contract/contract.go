// Package contract has the limits and the error codes that the Toloka API documents
// (https://toloka.ai/docs/api/api-reference/), as far as filling pools needs them.
// It does no I/O and imports nothing of this module, so that everything else may
// import it.
package contract

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

// The validation codes that the API has for a field of a task. Local checks
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
)
