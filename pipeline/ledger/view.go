package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"poolfill/reader/verdict"
)

// view reads blocks as they are at one moment, and verifies them.
type view struct {
	verifier
	tx *sql.Tx
	// damage is told what doesn't verify. An error ends the reading; otherwise the block
	// is passed over.
	damage func(error) error
	// yielded says that somebody has got something already.
	yielded bool
}

// asker is a transaction.
type asker interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// look has do read. A connection that is lost before anything was yielded is made
// again. The error is a *DamagedError where a block doesn't verify.
func (s *store) look(ctx context.Context, do func(*view) error) error {
	return s.lookAt(ctx, func(err error) error { return err }, do)
}

// lookAt is look where damage is told of what doesn't verify.
func (s *store) lookAt(ctx context.Context, damage func(error) error, do func(*view) error) error {
	var failed error // after that
	err := s.patiently(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.dialect.oneMoment()})
		if err != nil {
			return err
		}
		v := &view{verifier: s.verifier, tx: tx, damage: damage}
		err = do(v)
		if ended := rollback(tx); err == nil {
			err = ended
		}
		if v.yielded {
			failed = s.explain(err)
			return nil
		}
		return err
	})
	return cmp.Or(failed, err)
}

// verifier reads the blocks of a database, writes them, and verifies those that it reads.
type verifier struct {
	dialect dialect
	codec   *codec
}

// damaged is an error that says what of the ledger is damaged.
func (r verifier) damaged(format string, args ...any) error {
	return &DamagedError{r.dialect.path(), fmt.Errorf(format, args...)}
}

// selecting is a query for blocks like b, with their checksums.
func selecting(b block, where string) string {
	return `SELECT ` + b.columns() + `, checksum FROM ` + b.table() + ` ` + where
}

// scan reads a block of a run, and verifies it. Long values are valid until the next one.
func (r verifier) scan(scan func(...any) error, b block, run string) (sum int64, err error) {
	if err := r.scanned(scan(append(b.fields(), &sum)...), b, run); err != nil {
		return sum, err
	}
	return sum, r.verify(b, run, sum)
}

// scanned explains an error of a scan: a value that has another type than was written
// is damage.
func (r verifier) scanned(err error, b block, run string) error {
	if err != nil && strings.HasPrefix(err.Error(), "sql: Scan error") {
		return r.damaged("%s%s can't be read: %w", b, in(run), err)
	}
	return err
}

func (r verifier) verify(b block, run string, sum int64) error {
	if checksum(b.table(), b.fields()) != sum {
		return r.damaged("%s%s isn't what was written, as its checksum is another", b, in(run))
	}
	return nil
}

// in says of which run something is, where that isn't known yet.
func in(run string) string {
	if run == "" {
		return ""
	}
	return " of run " + run
}

// one reads the block that a query finds. The error is sql.ErrNoRows where there is none.
func (r verifier) one(ctx context.Context, tx asker, b block, run, where string, args ...any) (sum int64, err error) {
	rows, err := tx.QueryContext(ctx, selecting(b, where), args...)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	if !rows.Next() {
		return 0, cmp.Or(rows.Err(), sql.ErrNoRows)
	}
	if sum, err = r.scan(rows.Scan, b, run); err != nil {
		return 0, err
	}
	for _, field := range b.fields() {
		if long, ok := field.(*sql.RawBytes); ok {
			*long = append([]byte{}, *long...)
		}
	}
	return sum, nil
}

// asked calls yield for each row of an answer.
func (v *view) asked(ctx context.Context, query string, args []any, yield func(scan func(...any) error) error) (err error) {
	rows, err := v.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	for rows.Next() {
		if err := yield(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tell has damage decide about an error that is a *DamagedError.
func (v *view) tell(err error) error {
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		return v.damage(err)
	}
	return err
}

// identities returns those of all runs, the latest first.
func (v *view) identities(ctx context.Context) (all []identity, err error) {
	var found tally
	err = v.asked(ctx, `SELECT id, name, server, pool FROM run ORDER BY id DESC`, nil, func(scan func(...any) error) error {
		var one identity
		if err := v.scanned(scan(&one.id, &one.name, &one.server, &one.pool), &runBlock{name: "?"}, ""); err != nil {
			return v.tell(err)
		}
		found.add(one.checksum())
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var census censusBlock
	_, err = v.one(ctx, v.tx, &census, "", `WHERE id = 1`)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = v.damaged("it has no census of its runs")
	case err == nil:
		err = v.compare("it", "runs", found, census.runs)
	}
	return all, v.tell(err)
}

// compare verifies that what was found of something is all that there should be.
func (r verifier) compare(of, what string, found, kept tally) error {
	switch {
	case found.blocks != kept.blocks:
		return r.damaged("%s has %d %s, and should have %d", of, found.blocks, what, kept.blocks)
	case found.sum != kept.sum:
		return r.damaged("%s has other %s than were written", of, what)
	}
	return nil
}

// run reads the block of a run. The error is sql.ErrNoRows where there is none.
func (v *view) run(ctx context.Context, id int64) (*runBlock, error) {
	r := &runBlock{}
	_, err := v.one(ctx, v.tx, r, "", `WHERE id = $1`, id)
	return r, err
}

// known reads the block of a run that there is.
func (v *view) known(ctx context.Context, one identity) (*runBlock, error) {
	r, err := v.run(ctx, one.id)
	if errors.Is(err, sql.ErrNoRows) {
		err = v.damaged("run %s can't be found by its number", one.name)
	}
	return r, err
}

// each calls yield with each block of a kind that a run has, which is valid until yield
// returns, and finds out whether those are all.
func each[B any, P interface {
	*B
	ofRun
}](ctx context.Context, v *view, run *runBlock, order string, yield func(P) error) error {
	var found tally
	b := P(new(B))
	err := v.asked(ctx, selecting(b, `WHERE run_id = $1 `+order), []any{run.id}, func(scan func(...any) error) error {
		sum, err := v.scan(scan, b, run.name)
		found.add(sum)
		if err != nil {
			return v.tell(err)
		}
		v.yielded = true
		return yield(b)
	})
	return v.complete(run, b, found, err)
}

// complete finds out whether all blocks of a run that are like b were found, where those
// could be read to their end.
func (v *view) complete(run *runBlock, b ofRun, found tally, err error) error {
	if err != nil {
		return err
	}
	return v.tell(v.compare(run.String(), b.kind().String(), found, run.tallies[b.kind()]))
}

// unpack reads a blob. It overwrites rows, if they are enough.
func (r verifier) unpack(files []string, blob []byte, rows []verdict.Verdict) ([]verdict.Verdict, error) {
	rows, err := r.codec.unpack(files, blob, rows)
	if err != nil {
		return nil, &DamagedError{r.dialect.path(), err}
	}
	return rows, nil
}
