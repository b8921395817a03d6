package backfill

import (
	"errors"

	"poolfill/pipeline/ledger"
)

// alarm reports the first error that no waiting fixes: the ledger is a file, and
// its disk is full or fails, or it is damaged. A database that is away comes back.
// It is safe for concurrent use.
type alarm struct {
	ledger *ledger.Ledger
	raised chan error
}

func newAlarm(l *ledger.Ledger) *alarm { return &alarm{l, make(chan error, 1)} }

// see looks at an error of the database or of a job; nil is none.
func (a *alarm) see(err error) {
	var (
		disk    *ledger.DiskError
		damaged *ledger.DamagedError
	)
	switch err = a.ledger.Explain(err); {
	case errors.As(err, &disk) && disk.Path == a.ledger.Path():
		err = disk
	case errors.As(err, &damaged) && damaged.Path == a.ledger.Path():
		err = damaged
	default:
		return
	}
	select {
	case a.raised <- err:
	default: // an earlier one says the same
	}
}
