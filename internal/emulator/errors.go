package emulator

import (
	"fmt"
	"net/http"
)

// The codes of Toloka's errors that the emulator answers with.
const (
	codeValidation           = "VALIDATION_ERROR"
	codeAuthentication       = "AUTHENTICATION_ERROR"
	codeAccessDenied         = "ACCESS_DENIED"
	codeDoesNotExist         = "DOES_NOT_EXIST"
	codeConflict             = "CONFLICT_STATE"
	codeOperationExists      = "OPERATION_ALREADY_EXISTS"
	codeLogsArchived         = "OPERATION_LOGS_ARCHIVED"
	codeInappropriateStatus  = "INAPPROPRIATE_STATUS"
	codePoolLocked           = "POOL_LOCKED_BY_ANOTHER_OPERATION"
	codePoolTasksExceeded    = "POOL_TASKS_COUNT_EXCEEDED"
	codeMixerConfigRequired  = "MIXER_CONFIG_REQUIRED"
	codeEmptyPool            = "EMPTY_POOL"
	codeTooManyRequests      = "TOO_MANY_REQUESTS"
	codeInternal             = "INTERNAL_ERROR"
	codeRemoteUnavailable    = "REMOTE_SERVICE_UNAVAILABLE"
	codeTooLarge             = "REQUEST_ENTITY_TOO_LARGE"
	codeUnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE"
)

// statusCodes are the codes that fit a status which the fault script names.
var statusCodes = map[int]string{
	http.StatusBadRequest:            codeValidation,
	http.StatusUnauthorized:          codeAuthentication,
	http.StatusForbidden:             codeAccessDenied,
	http.StatusNotFound:              codeDoesNotExist,
	http.StatusRequestEntityTooLarge: codeTooLarge,
	http.StatusUnsupportedMediaType:  codeUnsupportedMediaType,
	http.StatusInternalServerError:   codeInternal,
}

// statusCode returns the error code that fits a status.
func statusCode(status int) string {
	if code, ok := statusCodes[status]; ok {
		return code
	}
	if status > http.StatusInternalServerError {
		return codeRemoteUnavailable
	}
	return codeConflict
}

// apiError is an answer that refuses a request.
type apiError struct {
	status     int
	code       string
	message    string
	payload    any
	retryAfter string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// reply returns the error in the form of all of Toloka's errors.
func (e *apiError) reply(requestID string) (reply, error) {
	a, err := jsonReply(e.status, struct {
		RequestID string `json:"request_id"`
		Code      string `json:"code"`
		Message   string `json:"message"`
		Payload   any    `json:"payload,omitempty"`
	}{requestID, e.code, e.message, e.payload})
	a.retryAfter = e.retryAfter
	return a, err
}

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func notFound(what, id string) *apiError {
	return refuse(http.StatusNotFound, codeDoesNotExist, "there is no %s %q", what, id)
}

// malformed refuses a request that is no JSON of the expected kind.
func malformed(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, codeValidation, format, args...)
}

// invalid refuses a request because of its fields.
func invalid(errs ...*fieldError) *apiError {
	e := malformed("Validation failed")
	e.payload = byField(errs)
	return e
}

// tooLarge refuses a request because of its size.
func tooLarge(format string, args ...any) *apiError {
	return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, format, args...)
}

// conflict refuses what the state of a thing forbids.
func conflict(code, format string, args ...any) *apiError {
	return refuse(http.StatusConflict, code, format, args...)
}

func tooManyTasks(interval string) *apiError {
	e := refuse(http.StatusTooManyRequests, codeTooManyRequests, "the quota of tasks for the interval %s is used up", interval)
	e.payload = map[string]string{"interval": interval}
	return e
}

// reason is why a field is refused, with Toloka's code. The texts of the first
// three are Toloka's own.
type reason struct {
	code, message string
}

var (
	valueRequired         = reason{"VALUE_REQUIRED", "Value must be present and not equal to null"}
	valueNotAllowed       = reason{"VALUE_NOT_ALLOWED", "Unknown field name"}
	invalidURL            = reason{"INVALID_URL_SYNTAX", "Value must be in valid url format"}
	objectExpected        = reason{"OBJECT_EXPECTED", "Value must be an object"}
	arrayExpected         = reason{"ARRAY_EXPECTED", "Value must be an array"}
	stringExpected        = reason{"STRING_EXPECTED", "Value must be a string"}
	booleanExpected       = reason{"BOOLEAN_EXPECTED", "Value must be a boolean"}
	integerExpected       = reason{"INTEGER_EXPECTED", "Value must be an integer"}
	floatExpected         = reason{"FLOAT_EXPECTED", "Value must be a number"}
	jsonExpected          = reason{"JSON_EXPECTED", "Value must be JSON and not its text"}
	uuidExpected          = reason{"UUID_EXPECTED", "Value must be a UUID"}
	invalidCoordinates    = reason{"INVALID_COORDINATES_SYNTAX", "Value must be latitude and longitude, such as 53.910236,27.531110"}
	invalidRegex          = reason{"INVALID_REGEX_SYNTAX", "Value must be a regular expression"}
	patternMismatch       = reason{"PATTERN_MISMATCH", "Value must match the pattern"}
	unknownEnumValue      = reason{"UNKNOWN_ENUM_VALUE", "Value must be one of the allowed values"}
	valueOutOfBounds      = reason{"VALUE_OUT_OF_BOUNDS", "Value is out of bounds"}
	valueLessThanMin      = reason{"VALUE_LESS_THAN_MIN", "Value is less than the minimum"}
	valueGreaterThanMax   = reason{"VALUE_GREATER_THAN_MAX", "Value is greater than the maximum"}
	stringTooShort        = reason{"STRING_LENGTH_LESS_THAN_MIN", "String is shorter than the minimum length"}
	stringTooLong         = reason{"STRING_LENGTH_GREATER_THAN_MAX", "String is longer than the maximum length"}
	arrayTooSmall         = reason{"ARRAY_SIZE_LESS_THAN_MIN", "Array has fewer elements than the minimum"}
	arrayTooLarge         = reason{"ARRAY_SIZE_GREATER_THAN_MAX", "Array has more elements than the maximum"}
	emptyObjectNotAllowed = reason{"EMPTY_OBJECT_NOT_ALLOWED", "Object must not be empty"}
	entityDoesNotExist    = reason{"ENTITY_DOES_NOT_EXIST", "Entity does not exist"}
)

// fieldError is one reason why a field is refused.
type fieldError struct {
	field   string // such as input_values.image or known_solutions.0.correctness_weight
	Code    string `json:"code"`
	Message string `json:"message"`
	Params  []any  `json:"params,omitempty"`
}

// of returns the error of a field; params are what the reason compares with.
func (r reason) of(field string, params ...any) *fieldError {
	return &fieldError{field, r.code, r.message, params}
}

// saying returns the reason with a text of its own.
func (r reason) saying(format string, args ...any) reason {
	return reason{r.code, fmt.Sprintf(format, args...)}
}

// byField returns errors as answers have them: {field: {code, message}}.
func byField(errs []*fieldError) map[string]*fieldError {
	out := make(map[string]*fieldError, len(errs))
	for _, e := range errs {
		out[e.field] = e
	}
	return out
}
