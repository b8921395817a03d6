package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// The codes of Toloka's errors that the emulator gives.
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

// apiError is an answer that says no.
type apiError struct {
	status     int
	code       string
	message    string
	payload    any
	retryAfter string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func notFound(what, id string) *apiError {
	return refuse(http.StatusNotFound, codeDoesNotExist, "there is no %s %q", what, id)
}

// invalid refuses a request because of its fields.
func invalid(errs ...fieldError) *apiError {
	e := refuse(http.StatusBadRequest, codeValidation, "Validation failed")
	payload := make(map[string]fieldError, len(errs))
	for _, field := range errs {
		payload[field.field] = field
	}
	e.payload = payload
	return e
}

// malformed refuses a request that is no JSON of the expected kind.
func malformed(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, codeValidation, format, args...)
}

// tooManyTasksToday refuses tasks for the day, and says in how many seconds there
// is room again; 0 says nothing.
func tooManyTasksToday(seconds int) *apiError {
	e := tooManyTasks(intervalDay)
	if seconds > 0 {
		e.retryAfter = strconv.Itoa(seconds)
	}
	return e
}

func tooManyTasks(interval string) *apiError {
	e := refuse(http.StatusTooManyRequests, codeTooManyRequests, "the quota of tasks for the interval %s is used up", interval)
	e.payload = map[string]string{"interval": interval}
	return e
}

// write sends the error in the form of all of Toloka's errors.
func (e *apiError) write(w http.ResponseWriter, requestID string) {
	if e.retryAfter != "" {
		w.Header().Set("Retry-After", e.retryAfter)
	}
	body := struct {
		RequestID string `json:"request_id"`
		Code      string `json:"code"`
		Message   string `json:"message"`
		Payload   any    `json:"payload,omitempty"`
	}{requestID, e.code, e.message, e.payload}
	writeJSON(w, e.status, body)
}

// writeJSON sends a small answer. The client may be gone: then nobody is left
// to be told of an error.
func writeJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeRaw(w, status, raw)
}

func writeRaw(w http.ResponseWriter, status int, raw []byte) {
	header := w.Header()
	header.Set("Content-Type", "application/json;charset=UTF-8")
	header.Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// statusCode gives the error code that fits a status.
func statusCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return codeValidation
	case http.StatusUnauthorized:
		return codeAuthentication
	case http.StatusForbidden:
		return codeAccessDenied
	case http.StatusNotFound:
		return codeDoesNotExist
	case http.StatusConflict:
		return codeConflict
	case http.StatusRequestEntityTooLarge:
		return codeTooLarge
	case http.StatusUnsupportedMediaType:
		return codeUnsupportedMediaType
	case http.StatusTooManyRequests:
		return codeTooManyRequests
	case http.StatusInternalServerError:
		return codeInternal
	}
	if status > http.StatusInternalServerError {
		return codeRemoteUnavailable
	}
	return codeConflict
}
