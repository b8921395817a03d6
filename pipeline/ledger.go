package pipeline

import (
	"context"

	"poolfill/internal/ledger"
	"poolfill/internal/postgres"
)

// Ledger remembers what was uploaded, durably, so that a run can be continued
// and no row is uploaded twice. It is safe for concurrent use, by several runs
// and by several processes. Programs use OpenLedger, and of its methods Close,
// Runs, Find, Prune, Path, Shared and HoldPool; the others are for this package, and
// may change.
type Ledger = ledger.Ledger

// LedgerRun is a run as the ledger knows it, over all its attempts: its Name,
// which is Config.RunID, Server, Pool and Mode, its State, when it Started and
// Ended, how many rows were Created and Rejected so far, and its Files. Rebuild
// makes its report again.
type LedgerRun = ledger.Run

// AddressError is a URL of a database that can't be read. It doesn't show it, as
// it may have a password at any place.
type AddressError = postgres.AddressError

// PoolTakenError says that the connection that held a pool, by Ledger.HoldPool,
// was lost, and that another machine has got the pool meanwhile.
type PoolTakenError = ledger.PoolTakenError

// DiskError is a ledger in a file whose disk is full or fails.
type DiskError = ledger.DiskError

// BusyError is a ledger that another program keeps locked.
type BusyError = ledger.BusyError

// DamagedError is a ledger that can't be read any more.
type DamagedError = ledger.DamagedError

// NewerError is a ledger of a later version of poolfill.
type NewerError = ledger.NewerError

// OlderError is a ledger of a version that told rows apart in another way, and has
// runs.
type OlderError = ledger.OlderError

// UnknownRunError says that a ledger has no run of a name, or several.
type UnknownRunError = ledger.UnknownRunError

// OpenLedger opens the ledger at a place, and makes what is absent of it: a folder,
// which is the command line program's --state-dir, or for many machines the URL of a
// PostgreSQL database, such as postgres://user@host:5432/database, which is its --db.
// A password is taken from the URL, PGPASSWORD or ~/.pgpass. The caller closes the
// ledger, after the runs that use it.
//
// LockPool keeps the other runs of this machine from a pool, and Ledger.HoldPool
// those of other machines.
//
// The error is an *AddressError, *NewerError, *OlderError, *DamagedError, *BusyError or
// *DiskError where it is one of those; anything else says that the place can't be used. None has
// the password.
func OpenLedger(ctx context.Context, place string) (*Ledger, error) {
	if postgres.IsURL(place) {
		return ledger.OpenURL(ctx, place)
	}
	return ledger.Open(ctx, place)
}
