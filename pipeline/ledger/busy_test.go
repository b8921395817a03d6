package ledger

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A ledger that somebody else keeps locked is an error that says so, and is as
// good as ever once it is free.
func TestALockedLedgerIsBusy(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), FileName)
	l, err := open(ctx, path, time.Millisecond)
	check(t, err)
	defer func() { check(t, l.Close()) }()
	other, err := open(ctx, path, time.Millisecond)
	check(t, err)
	defer func() { check(t, other.Close()) }()

	lock, err := other.DB().BeginTx(ctx, nil) // BEGIN IMMEDIATE
	check(t, err)
	var busy *BusyError
	if _, err := l.Begin(Run{Name: "a", Settings: []byte{1}}); !errors.As(err, &busy) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "1ms") {
		t.Errorf("the error is %v", err)
	}
	check(t, lock.Rollback())
	begin(t, l, "b")
	if runs, err := l.Runs(ctx, "", ""); err != nil || len(runs) != 1 {
		t.Errorf("%v: %d runs, want the one after the lock", err, len(runs))
	}
}
