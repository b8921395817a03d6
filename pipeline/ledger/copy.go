package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Copied counts what CopyTo has copied.
type Copied struct {
	Runs     int64 `json:"runs"`
	Files    int64 `json:"files"`
	Chunks   int64 `json:"chunks"`
	Keys     int64 `json:"chunk_keys"`
	Attempts int64 `json:"attempts"`
	Segments int64 `json:"segments"`
	Strays   int64 `json:"strays"`
}

// ofRuns returns the tables with what belongs to a run, those first to which others
// refer, and where each is counted.
func (c *Copied) ofRuns() []tableCount {
	return []tableCount{
		{"file", &c.Files},
		{"chunk", &c.Chunks},
		{"chunk_keys", &c.Keys},
		{"attempt", &c.Attempts},
		{"segment", &c.Segments},
		{"stray", &c.Strays},
	}
}

// tableCount is a table and the number of its rows.
type tableCount struct {
	table string
	count *int64
}

// RunExistsError is a run that would be there twice.
type RunExistsError struct{ Name, Path string }

func (e *RunExistsError) Error() string {
	return fmt.Sprintf("the ledger %s has a run %s already, so nothing was copied: name a database without it", e.Path, e.Name)
}

// CopyTo copies all runs into another ledger, and with also what other packages
// keep in the same database: all of it or nothing. Uploads that use this ledger,
// where it is a file, wait meanwhile. The error is a *RunExistsError where to has
// a run of the same name.
//
// Memory: one chunk.
func (l *Ledger) CopyTo(ctx context.Context, to *Ledger, also func(ctx context.Context, from, into *sql.Tx) error) (c Copied, err error) {
	var options sql.TxOptions
	if l.Shared() {
		options.Isolation = sql.LevelRepeatableRead // all as of one moment
	}
	from, err := l.db.BeginTx(ctx, &options)
	if err != nil {
		return c, l.explain(err)
	}
	defer func() { err = errors.Join(err, l.explain(rollback(from))) }()
	into, err := to.db.BeginTx(ctx, nil)
	if err != nil {
		return c, to.explain(err)
	}
	err = c.copy(ctx, source{l, from}, source{to, into})
	if err == nil {
		err = also(ctx, from, into)
	}
	if err != nil {
		return Copied{}, errors.Join(err, rollback(into))
	}
	return c, to.explain(into.Commit())
}

// source is one end of a copy.
type source struct {
	*Ledger
	tx *sql.Tx
}

func (c *Copied) copy(ctx context.Context, from, into source) error {
	ids, err := from.runIDs(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		var copied int64
		if _, err := from.rows(ctx, "run", id, func(columns []string, values []any) error {
			copied, err = into.addRun(ctx, columns, values)
			return err
		}); err != nil {
			return err
		}
		c.Runs++
		for _, of := range c.ofRuns() {
			n, err := from.rows(ctx, of.table, id, func(columns []string, values []any) error {
				values[slices.Index(columns, "run_id")] = copied
				into.adapt(values)
				_, err := into.tx.ExecContext(ctx, insert(of.table, columns), values...)
				return into.explain(err)
			})
			if err != nil {
				return err
			}
			*of.count += n
		}
	}
	return nil
}

// runIDs returns the runs in the order in which they began.
func (s source) runIDs(ctx context.Context) (ids []int64, err error) {
	rows, err := s.tx.QueryContext(ctx, `SELECT id FROM run ORDER BY id`)
	if err != nil {
		return nil, s.explain(err)
	}
	defer func() { err = errors.Join(err, s.explain(rows.Close())) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, s.explain(rows.Err())
}

// rows calls yield for each row of a table that belongs to a run. The row's own
// number is left out, as another ledger has its own.
func (s source) rows(ctx context.Context, table string, run int64, yield func(columns []string, values []any) error) (n int64, err error) {
	query := `SELECT * FROM ` + table
	switch table {
	case "run":
		query += ` WHERE id = $1`
	case "segment":
		query += ` WHERE run_id = $1 ORDER BY id`
	default:
		query += ` WHERE run_id = $1`
	}
	rows, err := s.tx.QueryContext(ctx, query, run)
	if err != nil {
		return 0, s.explain(err)
	}
	defer func() { err = errors.Join(err, s.explain(rows.Close())) }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, s.explain(err)
	}
	own := slices.Index(columns, "id")
	if own >= 0 {
		columns = slices.Delete(columns, own, own+1)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if own >= 0 {
			into = slices.Insert(into, own, any(new(int64)))
		}
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if err := yield(columns, values); err != nil {
			return n, err
		}
		n++
	}
	return n, s.explain(rows.Err())
}

// addRun enters a run as it is, and returns its new id.
func (s source) addRun(ctx context.Context, columns []string, values []any) (id int64, err error) {
	s.adapt(values)
	err = s.tx.QueryRowContext(ctx, insert("run", columns)+` ON CONFLICT (name) DO NOTHING RETURNING id`, values...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, &RunExistsError{fmt.Sprint(values[slices.Index(columns, "name")]), s.Path()}
	}
	return id, s.explain(err)
}

// adapt makes values those that the database takes. No column may be empty but in
// length.
func (s source) adapt(values []any) {
	for i, value := range values {
		switch v := value.(type) {
		case nil:
			values[i] = []byte{}
		case string:
			values[i] = s.dialect.text(v)
		case []byte:
			values[i] = notNil(v)
		}
	}
}

// insert is the statement that adds a row to a table.
func insert(table string, columns []string) string {
	places := make([]string, len(columns))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	return `INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) VALUES (` + strings.Join(places, ", ") + `)`
}
