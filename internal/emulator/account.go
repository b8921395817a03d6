package emulator

import (
	"errors"
	"sync"
	"time"
)

// account is what the server knows: an account of Toloka.
type account struct {
	cfg     Config
	uploads sync.Pool // of *upload

	// mu guards the rest. The file is appended to under it and read without it:
	// what was written once never changes.
	mu    sync.RWMutex
	state *state
	quota *quota
	store *store
}

// openAccount reads what Config.State remembers and adds the demo project.
func openAccount(cfg Config) (*account, error) {
	a := &account{cfg: cfg, state: newState(), quota: newQuota(cfg.Limits)}
	a.uploads.New = func() any { return &upload{account: a} }
	var err error
	a.store, err = openStore(cfg.State, func(e *entry, data section) error {
		if e.Batch != nil {
			a.quota.tasks(e.Batch.At.time(), int(e.Batch.Created))
		}
		return a.state.apply(e, data)
	})
	if err != nil {
		return nil, err
	}
	a.quota.minute.peak = 0
	if err := a.makeDemo(); err != nil {
		return nil, errors.Join(err, a.store.close())
	}
	return a, nil
}

// now returns the moment of a change, which is never before an earlier one. It
// needs a.mu.
func (a *account) now() (time.Time, stamp) {
	now := time.Now()
	return now, max(stampOf(now), a.state.last)
}

// commit writes down what a request changed and makes it so. It needs a.mu.
func (a *account) commit(e *entry, data ...[]byte) error {
	written, err := a.store.append(e, data...)
	if err != nil {
		return err
	}
	return a.state.apply(e, written)
}
