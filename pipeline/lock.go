package pipeline

import "poolfill/internal/state"

// PoolLock is a run's hold on a pool. The system lets go of it when the process
// ends, however it ends. Release lets go of it before.
type PoolLock = state.Lock

// HeldError says that another run has the pool, and, where it can be read, what
// its Owner is.
type HeldError = state.HeldError

// LockPool takes the lock of a pool of a server, which the command line program
// takes as well where dir is the folder of its ledger. Two runs that know nothing
// of each other would both upload the rows that they have in common: a run with a
// ledger is to hold the lock until it is over. owner describes it to those that
// come meanwhile, and get a *HeldError. dir is made where it is absent.
//
// The lock is one of this machine, and can't be relied on where dir is on a file
// system over a network.
func LockPool(dir, server, pool, owner string) (*PoolLock, error) {
	return state.LockPool(dir, server, pool, owner)
}
