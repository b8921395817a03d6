package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// change changes the blocks of a run within a transaction, and keeps account of them.
type change struct {
	verifier
	tx  executor
	run *runBlock
}

// executor is a transaction.
type executor interface {
	asker
	ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error)
}

// open begins to change a run. No other transaction does so until this one's end. The
// error is sql.ErrNoRows where there is no such run.
func (r verifier) open(ctx context.Context, tx executor, run int64) (*change, error) {
	c := &change{r, tx, &runBlock{}}
	_, err := r.one(ctx, tx, c.run, "", `WHERE id = $1`+r.dialect.forUpdate(), run)
	return c, err
}

// save keeps the run's block with the account of the others. What a run is found by
// never changes.
func (c *change) save(ctx context.Context) error {
	r := c.run
	r.command = c.dialect.text(r.command)
	_, err := c.tx.ExecContext(ctx, `UPDATE run SET command = $1, state = $2, attempts = $3, ended = $4, created = $5, rejected = $6, chunks = $7, tallies = $8,
		checksum = $9 WHERE id = $10`, r.command, r.state, r.attempts, r.ended, r.created, r.rejected, r.chunks, &r.tallies, checksum(r.table(), r.fields()), r.id)
	return err
}

// add adds a block to the run, if there is none in its place.
func (c *change) add(ctx context.Context, b ofRun) (added bool, err error) {
	*b.owner() = c.run.id
	values := c.values(b)
	sum := checksum(b.table(), b.fields())
	result, err := c.tx.ExecContext(ctx, inserting(b)+` ON CONFLICT DO NOTHING`, append(values, sum)...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	if n > 0 {
		c.run.tallies[b.kind()].add(sum)
	}
	return n > 0, err
}

// replace has a block of the run that had a checksum be another, by a statement whose
// first value is the new one's.
func (c *change) replace(ctx context.Context, was int64, b ofRun, statement string, args ...any) error {
	sum := checksum(b.table(), b.fields())
	result, err := c.tx.ExecContext(ctx, statement, append([]any{sum}, args...)...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%s%s was %d times there to be changed", b, in(c.run.name), n))
	}
	c.run.tallies[b.kind()].remove(was)
	c.run.tallies[b.kind()].add(sum)
	return nil
}

// remove removes blocks like b from the run, those with what where says beyond that.
func (c *change) remove(ctx context.Context, b ofRun, where string, args ...any) (err error) {
	rows, err := c.tx.QueryContext(ctx, `DELETE FROM `+b.table()+` WHERE run_id = $1`+where+` RETURNING checksum`, append([]any{c.run.id}, args...)...)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	for rows.Next() {
		var sum int64
		if err := c.scanned(rows.Scan(&sum), b, c.run.name); err != nil {
			return err
		}
		c.run.tallies[b.kind()].remove(sum)
	}
	return rows.Err()
}

// forget deletes the run with all that belongs to it.
func (c *change) forget(ctx context.Context) error {
	if _, err := c.tx.ExecContext(ctx, `DELETE FROM run WHERE id = $1`, c.run.id); err != nil {
		return err
	}
	return c.count(ctx, c.tx, nil, []identity{c.run.identity()})
}

// find reads a block of the run, see one.
func (c *change) find(ctx context.Context, b ofRun, where string, args ...any) (sum int64, err error) {
	return c.one(ctx, c.tx, b, c.run.name, `WHERE run_id = $1`+where, append([]any{c.run.id}, args...)...)
}

// values makes the fields of a block such that the database takes them, and returns
// them.
func (r verifier) values(b block) []any {
	fields := b.fields()
	values := make([]any, len(fields), len(fields)+1)
	for i, field := range fields {
		switch f := field.(type) {
		case *int:
			values[i] = int64(*f)
		case *int64:
			values[i] = *f
		case *string:
			*f = r.dialect.text(*f)
			values[i] = *f
		case *sql.RawBytes:
			if *f == nil {
				*f = []byte{} // or it would be NULL
			}
			values[i] = []byte(*f)
		default:
			values[i] = f
		}
	}
	return values
}

// inserting is the statement that adds a block like b.
func inserting(b block) string {
	var places strings.Builder
	for i := range b.fields() {
		fmt.Fprintf(&places, "$%d, ", i+1)
	}
	return fmt.Sprintf(`INSERT INTO %s (%s, checksum) VALUES (%s$%d)`, b.table(), b.columns(), places.String(), len(b.fields())+1)
}

// take takes the first census, which finds no runs.
func (r verifier) take(ctx context.Context, tx executor) error {
	census := &censusBlock{id: 1}
	_, err := tx.ExecContext(ctx, inserting(census), append(r.values(census), checksum(census.table(), census.fields()))...)
	return err
}

// count changes the census: runs that came and those that went.
func (r verifier) count(ctx context.Context, tx executor, came, went []identity) error {
	var census censusBlock
	_, err := r.one(ctx, tx, &census, "", `WHERE id = 1`+r.dialect.forUpdate())
	if errors.Is(err, sql.ErrNoRows) {
		return r.damaged("it has no census of its runs")
	}
	if err != nil {
		return err
	}
	for _, one := range came {
		census.runs.add(one.checksum())
	}
	for _, one := range went {
		census.runs.remove(one.checksum())
	}
	_, err = tx.ExecContext(ctx, `UPDATE census SET runs = $1, sum = $2, checksum = $3 WHERE id = 1`,
		census.runs.blocks, census.runs.sum, checksum(census.table(), census.fields()))
	return err
}

// enter adds a run, with the number that the database gives it.
func (r verifier) enter(ctx context.Context, tx executor, run *runBlock) (*change, error) {
	// Its number is a part of its checksum, and is known afterwards.
	values := r.values(run)[1:]
	rows, err := tx.QueryContext(ctx, `INSERT INTO run (name, server, pool, mode, run_key, guard, settings, command, state, attempts, started, ended, created, rejected, chunks, tallies, checksum)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0) RETURNING id`, values...)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		err = errors.Join(err, rows.Scan(&run.id))
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	c := &change{r, tx, run}
	if err := r.count(ctx, tx, []identity{run.identity()}, nil); err != nil {
		return nil, err
	}
	err = c.save(ctx)
	return c, err
}

func (r *runBlock) identity() identity { return identity{r.id, r.name, r.server, r.pool} }
