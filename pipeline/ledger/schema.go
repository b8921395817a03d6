package ledger

import (
	"context"
	"database/sql"
)

// dialect is what sets one kind of database apart from the other.
type dialect interface {
	// path is where the database is, without a secret.
	path() string
	// shared reports whether other machines may have it open.
	shared() bool
	// text returns a text as the database can keep it.
	text(s string) string
	// translate returns a step of the migrations in the database's words.
	translate(sql string) string
	// forUpdate ends a SELECT of rows that nobody else is to change until the transaction's
	// end.
	forUpdate() string
	// oneMoment is the isolation of a transaction that sees all as of one moment.
	oneMoment() sql.IsolationLevel
	// transact is Ledger.Transact, but for the words of its errors.
	transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error
	// long is the same, but takes as long as it takes.
	long(ctx context.Context, do func(context.Context, *sql.Tx) error) error
	// try is the same as long, but is not done again, and leaves nothing of its own
	// in a database that may be another program's.
	try(ctx context.Context, do func(context.Context, *sql.Tx) error) error
	// lock keeps others from changing the schema until the transaction's end.
	lock(ctx context.Context, tx *sql.Tx) error
	// version reads the schema's version; 0 is an empty database.
	version(ctx context.Context, q querier) (int, error)
	setVersion(ctx context.Context, tx *sql.Tx, version int) error
	// hold keeps others from a name, see Ledger.HoldPool.
	hold(ctx context.Context, name string) (h holder, held bool, err error)
	// inspect reads the database's own structures for damage.
	inspect(ctx context.Context) error
	// tidy returns the space of what was deleted.
	tidy(ctx context.Context) error
	// lost reports whether the same may succeed later, see postgres.Lost.
	lost(err error) bool
	// explain returns errors in words for people.
	explain(err error) error
}

// holder has a name for itself, as *postgres.Hold does.
type holder interface {
	// Keep takes it again where it was lost; held is false where another has it.
	Keep(ctx context.Context) (held bool, err error)
	Release() error
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// migrations bring a ledger from one version to the next. The first makes it.
// What is here is never changed, only added to. Its words are SQLite's, as far as
// dialect.translate knows PostgreSQL's.
var migrations = [...]string{
	`
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
`,
	// The schema is as it was. Rows have keys of another kind from here on, which
	// can't be made of those that are kept, see OlderError.
	"",
	// The schema is as it was. Rows have their offsets from here on.
	"",
	// Each block has a checksum from here on, which stands before what is long. No run
	// was kept before, see OlderError.
	`
DROP TABLE stray;
DROP TABLE segment;
DROP TABLE attempt;
DROP TABLE chunk_keys;
DROP TABLE chunk;
DROP TABLE file;
DROP TABLE run;
CREATE TABLE census (
	id       INTEGER PRIMARY KEY,
	runs     BIGINT NOT NULL,
	sum      BIGINT NOT NULL,
	checksum BIGINT NOT NULL
);
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
	created  BIGINT NOT NULL,
	rejected BIGINT NOT NULL,
	chunks   BIGINT NOT NULL,
	tallies  BLOB NOT NULL,
	checksum BIGINT NOT NULL
);
CREATE TABLE report (
	run_id   BIGINT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
	checksum BIGINT NOT NULL,
	body     BLOB NOT NULL
);
CREATE TABLE file (
	run_id   BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	number   BIGINT NOT NULL,
	path     TEXT NOT NULL,
	size     BIGINT NOT NULL,
	modified BIGINT NOT NULL,
	ends     BLOB NOT NULL,
	sha256   TEXT NOT NULL,
	info     TEXT NOT NULL,
	checksum BIGINT NOT NULL,
	PRIMARY KEY (run_id, number)
);
CREATE TABLE chunk (
	run_id       BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	number       BIGINT NOT NULL,
	checksum     BIGINT NOT NULL,
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
	run_id   BIGINT NOT NULL,
	chunk    BIGINT NOT NULL,
	checksum BIGINT NOT NULL,
	keys     BLOB NOT NULL,
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
	checksum   BIGINT NOT NULL,
	PRIMARY KEY (run_id, chunk, operation),
	FOREIGN KEY (run_id, chunk) REFERENCES chunk (run_id, number) ON DELETE CASCADE
);
CREATE TABLE segment (
	id           INTEGER PRIMARY KEY,
	run_id       BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	first_file   BIGINT NOT NULL,
	first_record BIGINT NOT NULL,
	checksum     BIGINT NOT NULL,
	body         BLOB NOT NULL
);
CREATE INDEX segment_by_position ON segment (run_id, first_file, first_record);
CREATE TABLE stray (
	run_id   BIGINT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
	task_id  TEXT NOT NULL,
	content  BLOB NOT NULL,
	checksum BIGINT NOT NULL,
	PRIMARY KEY (run_id, task_id)
);
`,
}

// readable is the version from which on the rows of runs can be read.
const readable = 4

// migrate brings the schema up to date, in one transaction.
func (s *store) migrate(ctx context.Context) error {
	version, err := s.dialect.version(ctx, s.db)
	if err != nil || version == len(migrations) {
		return s.explain(err)
	}
	return s.explain(s.dialect.try(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.dialect.lock(ctx, tx); err != nil {
			return err
		}
		// Another process may have been faster.
		version, err := s.dialect.version(ctx, tx)
		if err != nil || version == len(migrations) {
			return err
		}
		if 0 < version && version < readable {
			var runs int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM run").Scan(&runs); err != nil {
				return err
			}
			if runs > 0 {
				return &OlderError{s.dialect.path(), version}
			}
		}
		for _, step := range migrations[version:] {
			if _, err := tx.ExecContext(ctx, s.dialect.translate(step)); err != nil {
				return err
			}
		}
		if err := s.verifier.take(ctx, tx); err != nil {
			return err
		}
		return s.dialect.setVersion(ctx, tx, len(migrations))
	}))
}
