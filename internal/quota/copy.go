package quota

import (
	"context"
	"database/sql"
	"fmt"
)

// Copy adds what all accounts have used in one database to what they have used in
// a PostgreSQL, and returns the number of days. Both have been prepared. Do it once:
// to do it again would count everything twice.
func Copy(ctx context.Context, from, into *sql.Tx) (days int64, err error) {
	days, err = eachRow(ctx, from, `SELECT account, day, tasks FROM quota_day ORDER BY account, day`, 3, func(day []any) error {
		// An account that is in use there counts one after the other.
		if _, err := into.ExecContext(ctx, lockServer, day[0]); err != nil {
			return err
		}
		_, err := into.ExecContext(ctx, `INSERT INTO quota_day (account, day, tasks) VALUES ($1, $2, $3)
			ON CONFLICT (account, day) DO UPDATE SET tasks = quota_day.tasks + excluded.tasks`, day...)
		return err
	})
	if err == nil {
		_, err = eachRow(ctx, from, `SELECT id, account, process, day, tasks, taken_at, answered_at FROM quota_grant`, 7, func(grant []any) error {
			_, err := into.ExecContext(ctx, `INSERT INTO quota_grant (id, account, process, day, tasks, taken_at, answered_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`, grant...)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("copying the quota: %w", err)
	}
	return days, nil
}
