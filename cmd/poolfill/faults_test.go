package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // the driver of the ledger

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
)

// A ledger that can't be used ends the run before anything is sent, says where
// it is and what to do, and is left as it is.
func TestALedgerThatCannotBeUsedIsLeftAsItIs(t *testing.T) {
	tests := map[string]struct {
		harm func(tr *trial, path string)
		want string
		code int
	}{
		"not a database": {func(tr *trial, _ string) {
			tr.write("state/ledger.db", strings.Repeat("what was here is gone\n", 500))
		}, "is damaged", exitUsage},
		"pages overwritten": {func(tr *trial, path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				tr.t.Fatal(err)
			}
			for i := 4096; i < len(text); i++ {
				text[i] = 0xa5
			}
			tr.write("state/ledger.db", string(text))
		}, "is damaged", exitUsage},
		"cut off": {func(tr *trial, path string) {
			if err := os.Truncate(path, 6000); err != nil {
				tr.t.Fatal(err)
			}
		}, "is damaged", exitUsage},
		"of a newer version": {func(tr *trial, path string) {
			execSQL(tr.t, path, "PRAGMA user_version = 99")
		}, "was written by a newer poolfill", exitUsage},
		"of a version from before the first": {func(tr *trial, path string) {
			execSQL(tr.t, path, "PRAGMA user_version = 1")
		}, "was written by a poolfill from before the first release", exitUsage},
		"of another program": {func(tr *trial, path string) {
			if err := os.Remove(path); err != nil {
				tr.t.Fatal(err)
			}
			execSQL(tr.t, path, "CREATE TABLE theirs (x TEXT); PRAGMA application_id = 5")
		}, "is a database of another program", exitUsage},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, "async", 10, nil)
			tr.finish()
			path := tr.path("state/" + ledger.FileName)
			tt.harm(tr, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tr.write("input.tsv", trialHeader+trialRow(77))
			code, stderr := tr.run(tr.command("poolfill"))
			if code != tt.code || !strings.Contains(stderr, tt.want) || !strings.Contains(stderr, path) {
				t.Errorf("exit code %d:\n%s", code, stderr)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the ledger was changed (%v)", err)
			}
			if n := len(tr.pool()); n != 10 {
				t.Errorf("the pool has %d tasks, want the 10 from before", n)
			}
		})
	}
}

// execSQL changes a database so that the change is in the file itself.
func execSQL(t *testing.T, path, command string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{command, "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.ExecContext(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// atFirstPost calls do when the first request to create tasks arrives, at which
// most of a trial's input is still unread.
func atFirstPost(do func()) func(http.Handler) http.Handler {
	var once sync.Once
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				once.Do(do)
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestAnInputThatChangesWhileItIsReadIsNamed(t *testing.T) {
	tests := map[string]struct {
		change  func(tr *trial) error
		message string
		added   int
	}{
		"appended to": {func(tr *trial) error {
			f, err := os.OpenFile(tr.path("input.tsv"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if _, err := f.WriteString(trialRow(1000) + trialRow(1001)); err != nil {
				return err
			}
			return f.Close()
		}, "changed while it was read", 2},
		"removed": {func(tr *trial) error { return os.Remove(tr.path("input.tsv")) }, "the file vanished while it was read", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ready, failed := make(chan *trial, 1), make(chan error, 1)
			tr := newTrial(t, "async", 200, atFirstPost(func() { failed <- tt.change(<-ready) }))
			ready <- tr
			if tt.added > 0 {
				if code, stderr := tr.run(tr.command("poolfill")); code != exitFailed || !strings.Contains(stderr, tt.message) {
					t.Errorf("exit code %d: %s", code, stderr)
				}
			} else {
				tr.finish()
			}
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(tr.path("out/report.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r pipeline.Report
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			if tt.added == 0 && (len(r.Warnings) != 1 || r.Warnings[0].Code != pipeline.CodeChanged || !strings.Contains(r.Warnings[0].Message, tt.message)) {
				t.Errorf("the warnings are %+v", r.Warnings)
			}
			if tt.added > 0 { // the same command goes on, as the message says
				tr.finish()
			}
			if n := len(tr.pool()); n != len(tr.rows)+tt.added {
				t.Errorf("the pool has %d tasks, want %d and %d", n, len(tr.rows), tt.added)
			}
		})
	}
}
