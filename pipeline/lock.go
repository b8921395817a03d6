package pipeline

import (
	"errors"

	"poolfill/internal/state"
)

// PoolLock is a run's hold on a pool. The system lets go of it when the process
// ends, however it ends.
type PoolLock struct{ lock *state.Lock }

// Release lets go of the pool.
func (l *PoolLock) Release() error { return l.lock.Release() }

// HeldError says that another run has the pool, and, where it can be read, what
// its Owner is.
type HeldError struct {
	Pool, Owner string
	Err         error // whose words it has
}

func (e *HeldError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *HeldError) Unwrap() error { return e.Err }

// LockPool takes the lock of a pool of a server, which the command line program
// takes as well where dir is the folder of its ledger. Two runs that know nothing
// of each other would both upload the rows that they have in common: a run with a
// ledger is to hold the lock until it is over. owner describes it to those that
// come meanwhile, and get a *HeldError. dir is made where it is absent.
//
// The lock is one of this machine, and can't be relied on where dir is on a file
// system over a network. Ledger.HoldPool is that of all machines with a database.
func LockPool(dir, server, pool, owner string) (*PoolLock, error) {
	lock, err := state.LockPool(dir, server, pool, owner)
	var held *state.HeldError
	if errors.As(err, &held) {
		return nil, &HeldError{held.Pool, held.Owner, err}
	}
	if err != nil {
		return nil, err
	}
	return &PoolLock{lock}, nil
}
