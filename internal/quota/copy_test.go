package quota

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"poolfill/internal/pgtest"
	"poolfill/ratelimit"
)

func TestACopyCountsOnTop(t *testing.T) {
	limits := ratelimit.Limits{TasksPerMinute: 100, TasksPerDay: 1000}
	c := noon()
	here, there := open(t, filepath.Join(t.TempDir(), "ledger.db")).(file), openURL(t, pgtest.URL(t))
	old, shared := newBook(t, here, c), newBook(t, there, c)
	settle(t, old, take(t, old, 30, limits), true)
	take(t, old, 20, limits) // under way
	settle(t, shared, take(t, shared, 10, limits), true)
	var days int64
	if err := there.Transact(t.Context(), func(ctx context.Context, into *sql.Tx) error {
		return here.Transact(ctx, func(ctx context.Context, from *sql.Tx) (err error) {
			days, err = Copy(ctx, from, into)
			return err
		})
	}); err != nil || days != 1 {
		t.Fatalf("%d days, %v", days, err)
	}
	today(t, shared, 60)
	refused(t, shared, 41, limits, ratelimit.Minute, ratelimit.ReasonMinute)
	take(t, shared, 40, limits)
}
