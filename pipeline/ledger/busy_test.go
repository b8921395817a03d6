package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
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

// Those that open one new ledger at the same moment wait for each other.
func TestManyOpenANewLedgerAtOnce(t *testing.T) {
	for range 30 {
		dir := t.TempDir()
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				l, err := Open(context.Background(), dir)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = l.Begin(Run{Name: fmt.Sprint(i)})
				if err := errors.Join(err, l.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}
