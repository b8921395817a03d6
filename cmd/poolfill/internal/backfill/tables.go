package backfill

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"poolfill/internal/postgres"
	"poolfill/pipeline/ledger"
)

// schema is repeated at each start, so all of it must bear that. Times are
// milliseconds since 1970; 0 is none.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS backfill (
		id bigint PRIMARY KEY, name text NOT NULL UNIQUE, format bigint NOT NULL,
		server text NOT NULL, state text NOT NULL, settings text NOT NULL, command text NOT NULL,
		begun bigint NOT NULL, ended bigint NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS backfill_file (
		backfill bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE, number bigint NOT NULL,
		path text NOT NULL, size bigint NOT NULL, modified bigint NOT NULL, ends text NOT NULL,
		rules text NOT NULL, info text NOT NULL,
		PRIMARY KEY (backfill, number)
	)`,
	`CREATE TABLE IF NOT EXISTS backfill_pool (
		backfill bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE, number bigint NOT NULL,
		template text NOT NULL, pool text NOT NULL, rows_planned bigint NOT NULL,
		owner text NOT NULL, asked bigint NOT NULL, opened bigint NOT NULL,
		PRIMARY KEY (backfill, number)
	)`,
	`CREATE TABLE IF NOT EXISTS backfill_segment (
		backfill bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE, number bigint NOT NULL,
		file bigint NOT NULL, from_bytes bigint NOT NULL, from_line bigint NOT NULL, from_record bigint NOT NULL,
		rows_planned bigint NOT NULL, pool bigint NOT NULL,
		state text NOT NULL, generation bigint NOT NULL, queued bigint NOT NULL, owner text NOT NULL, beat bigint NOT NULL,
		run text NOT NULL, created bigint NOT NULL, rejected bigint NOT NULL,
		attempts bigint NOT NULL, until bigint NOT NULL, error text NOT NULL,
		PRIMARY KEY (backfill, number)
	)`,
	`CREATE INDEX IF NOT EXISTS backfill_segment_by_state ON backfill_segment (state, backfill)`,
	`CREATE TABLE IF NOT EXISTS schedule (
		name text PRIMARY KEY, cron text NOT NULL, zone text NOT NULL, args text NOT NULL, server text NOT NULL,
		made bigint NOT NULL, due bigint NOT NULL,
		last_begun bigint NOT NULL, last_ended bigint NOT NULL, last_run text NOT NULL, last_result text NOT NULL
	)`,
}

// schemaNames are those of what schema makes.
var schemaNames = []string{"backfill", "backfill_file", "backfill_pool", "backfill_segment", "backfill_segment_by_state", "schedule"}

// database is the ledger's, which has the tables of this package too. It is safe for
// concurrent use.
type database struct {
	db     *sql.DB
	ledger *ledger.Ledger
}

// openDatabase makes the tables where they are missing.
func openDatabase(ctx context.Context, l *ledger.Ledger) (database, error) {
	d := database{l.DB(), l}
	err := d.exclusively(ctx, "backfill", func(ctx context.Context, tx *sql.Tx) error {
		if l.Shared() {
			if made, err := postgres.Has(ctx, tx, schemaNames...); err != nil || made {
				return err
			}
		}
		for _, table := range schema {
			if _, err := tx.ExecContext(ctx, table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return d, fmt.Errorf("making the tables of backfills: %w", err)
	}
	return d, nil
}

// exclusively carries out a change that rests on what it reads: no other one of the
// same name is under way meanwhile. A file has one transaction at a time.
func (d database) exclusively(ctx context.Context, name string, do func(context.Context, *sql.Tx) error) error {
	return d.ledger.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if d.ledger.Shared() {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "poolfill "+name); err != nil {
				return err
			}
		}
		return do(ctx, tx)
	})
}

// querier is a database, or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// list returns a T for each row of a query's answer. fields returns where its columns go.
func list[T any](ctx context.Context, from querier, fields func(*T) []any, query string, args ...any) (all []T, err error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t T
		if err := rows.Scan(fields(&t)...); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// one is list for a single row. Without one the error is sql.ErrNoRows.
func one[T any](ctx context.Context, from querier, fields func(*T) []any, query string, args ...any) (t T, err error) {
	err = from.QueryRowContext(ctx, query, args...).Scan(fields(&t)...)
	return t, err
}

// number returns the answer of a query for a number.
func number(ctx context.Context, from querier, query string, args ...any) (int64, error) {
	return one(ctx, from, func(n *int64) []any { return []any{n} }, query, args...)
}

// insert adds a row to a table, which is named with its columns.
func insert(ctx context.Context, tx *sql.Tx, into string, values ...any) error {
	places := make([]string, len(values))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+into+" VALUES ("+strings.Join(places, ", ")+")", values...)
	return err
}

// changed reports whether a statement changed any row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// jsonText is a value as a column has it.
type jsonText struct{ value any }

// Value is part of driver.Valuer.
func (j jsonText) Value() (driver.Value, error) {
	text, err := json.Marshal(j.value)
	return string(text), err
}

// Scan is part of sql.Scanner.
func (j jsonText) Scan(text any) error { return json.Unmarshal(fmt.Appendf(nil, "%s", text), j.value) }

// hexText is a hash as a column has it.
type hexText struct{ hash *[]byte }

// Scan is part of sql.Scanner.
func (h hexText) Scan(text any) (err error) {
	*h.hash, err = hex.DecodeString(fmt.Sprintf("%s", text))
	return err
}

// instant is a time as a column has it: so many units since 1970, 0 for none.
type instant struct {
	time *time.Time
	unit time.Duration
}

// Scan is part of sql.Scanner.
func (i instant) Scan(n any) error {
	since, ok := n.(int64)
	if !ok {
		return fmt.Errorf("%v is no time", n)
	}
	if since != 0 {
		*i.time = time.Unix(0, since*int64(i.unit))
	}
	return nil
}

// units is the way back.
func units(t time.Time, unit time.Duration) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano() / int64(unit)
}

func millis(t time.Time) int64 { return units(t, time.Millisecond) }
