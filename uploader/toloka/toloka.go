// Package toloka is a client of the Toloka API
// (https://toloka.ai/docs/api/api-reference/), as far as filling pools needs it.
package toloka

import (
	"bytes"
	"encoding/json"

	"poolfill/reader"
)

// Project is what GET /projects/{id} gives, as far as it is used.
type Project struct {
	ID         string      `json:"id"`
	PublicName string      `json:"public_name"`
	TaskSpec   reader.Spec `json:"task_spec"`
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
