package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// applicationID marks a SQLite file as a ledger ("pfil").
const applicationID = 0x7066696c

// migrations bring a ledger from one version to the next. The first makes it.
// What is here is never changed, only added to.
var migrations = [...]string{`
CREATE TABLE run (
	id       INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	server   TEXT NOT NULL,
	pool     TEXT NOT NULL,
	mode     TEXT NOT NULL,
	run_key  TEXT NOT NULL,
	guard    TEXT NOT NULL,
	settings BLOB NOT NULL,
	command  TEXT NOT NULL,
	state    TEXT NOT NULL,
	attempts BIGINT NOT NULL,
	started  BIGINT NOT NULL,
	ended    BIGINT NOT NULL,
	report   TEXT NOT NULL
);
CREATE INDEX run_by_pool ON run (server, pool);
CREATE TABLE file (
	run_id   BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	number   BIGINT NOT NULL,
	path     TEXT NOT NULL,
	size     BIGINT NOT NULL,
	modified BIGINT NOT NULL,
	ends     BLOB NOT NULL,
	sha256   TEXT NOT NULL,
	info     TEXT NOT NULL,
	PRIMARY KEY (run_id, number)
);
CREATE TABLE chunk (
	run_id       BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	number       BIGINT NOT NULL,
	sum          BLOB NOT NULL,
	state        TEXT NOT NULL,
	tasks        BIGINT NOT NULL,
	created      BIGINT NOT NULL,
	rejected     BIGINT NOT NULL,
	unsent       BIGINT NOT NULL,
	sent         BIGINT NOT NULL,
	ended        BIGINT NOT NULL,
	first_file   BIGINT NOT NULL,
	first_record BIGINT NOT NULL,
	results      BLOB NOT NULL,
	PRIMARY KEY (run_id, number)
);
CREATE INDEX chunk_by_position ON chunk (run_id, first_file, first_record);
CREATE TABLE chunk_keys (
	run_id BIGINT NOT NULL,
	chunk  BIGINT NOT NULL,
	keys   BLOB NOT NULL,
	PRIMARY KEY (run_id, chunk),
	FOREIGN KEY (run_id, chunk) REFERENCES chunk (run_id, number) ON DELETE CASCADE
);
CREATE TABLE attempt (
	run_id     BIGINT NOT NULL,
	chunk      BIGINT NOT NULL,
	operation  TEXT NOT NULL,
	generation BIGINT NOT NULL,
	tasks      BIGINT NOT NULL,
	sent       BIGINT NOT NULL,
	PRIMARY KEY (run_id, chunk, operation),
	FOREIGN KEY (run_id, chunk) REFERENCES chunk (run_id, number) ON DELETE CASCADE
);
CREATE TABLE segment (
	id           INTEGER PRIMARY KEY,
	run_id       BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	first_file   BIGINT NOT NULL,
	first_record BIGINT NOT NULL,
	body         BLOB NOT NULL
);
CREATE INDEX segment_by_position ON segment (run_id, first_file, first_record);
CREATE TABLE stray (
	run_id  BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	task_id TEXT NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (run_id, task_id)
);
`}

// migrate brings the schema up to date, in one transaction.
func (l *Ledger) migrate(ctx context.Context) error {
	version, err := l.version(ctx)
	if err != nil || version == len(migrations) {
		return err
	}
	return l.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// Another process may have been faster.
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		for _, step := range migrations[version:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, len(migrations)))
		return err
	})
}

// version reads the ledger's version; 0 is an empty file.
func (l *Ledger) version(ctx context.Context) (int, error) {
	var version, application int
	if err := l.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, l.explain(err)
	}
	if err := l.db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return 0, l.explain(err)
	}
	switch {
	case foreign(application, version):
		return 0, &DamagedError{l.path, errForeign}
	case version > len(migrations):
		return 0, &NewerError{l.path, version, len(migrations)}
	}
	return version, nil
}

var errForeign = errors.New("it is a database of another program")

// foreign reports whether the marks of a database are another program's. An
// empty one has none.
func foreign(application, version int) bool {
	return application != applicationID && (application != 0 || version != 0)
}
