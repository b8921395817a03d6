package pipeline

import (
	"context"

	"poolfill/internal/ledger"
)

// Ledger remembers what was uploaded, durably, so that a run can be continued
// and no row is uploaded twice. It is safe for concurrent use, by several runs
// and by several processes. Programs use OpenLedger, and of its methods Close,
// Runs, Find, Prune and Path; the others are for this package, and may change.
type Ledger = ledger.Ledger

// LedgerRun is a run as the ledger knows it, over all its attempts: its Name,
// which is Config.RunID, Server, Pool and Mode, its State, when it Started and
// Ended, how many rows were Created and Rejected so far, and its Files. Rebuild
// makes its report again.
type LedgerRun = ledger.Run

// BusyError is a ledger that another program keeps locked.
type BusyError = ledger.BusyError

// DamagedError is a ledger that can't be read any more.
type DamagedError = ledger.DamagedError

// NewerError is a ledger of a later version of poolfill.
type NewerError = ledger.NewerError

// UnknownRunError says that a ledger has no run of a name, or several.
type UnknownRunError = ledger.UnknownRunError

// OpenLedger opens the ledger in the folder dir, which is the command line
// program's, too, and makes both where they are absent. The caller closes it,
// after the runs that use it.
//
// The error is a *NewerError, *DamagedError or *BusyError where it is one of
// those; anything else says that the folder can't be used.
func OpenLedger(ctx context.Context, dir string) (*Ledger, error) {
	return ledger.Open(ctx, dir)
}
