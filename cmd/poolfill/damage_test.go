package main

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"poolfill/pipeline/ledger"
)

// parked is a trial whose upload has ended in the middle, and is to go on by the same
// command.
func parked(t *testing.T, mode string, rows int, wrap func(http.Handler) http.Handler) (tr *trial, path string) {
	t.Helper()
	tr = newTrial(t, mode, rows, wrap)
	tr.setup = []string{"--tasks-per-day", "10", "--on-quota", "park"}
	if code, stderr := tr.run(tr.command("poolfill")); code != exitParked {
		t.Fatalf("exit code %d:\n%s", code, stderr)
	}
	tr.setup = []string{"--tasks-per-day", "1000", "--on-quota", "park"}
	path = tr.path("state/" + ledger.FileName)
	return tr, path
}

// A ledger in which something that decides about sending has changed ends the run
// before anything is sent, and runs check names it.
func TestADamagedLedgerSendsNothing(t *testing.T) {
	flips := map[string]string{
		"a key":       `UPDATE chunk_keys SET keys = CAST(x'55' || substr(keys, 2) AS BLOB) WHERE chunk = 0`,
		"an id":       `UPDATE chunk SET results = CAST(substr(results, 1, 8) || x'55' || substr(results, 10) AS BLOB) WHERE number = 1`,
		"a number":    `PRAGMA foreign_keys = OFF; UPDATE chunk SET number = 64 WHERE number = 0`,
		"a run":       `UPDATE run SET pool = '2'`,
		"a file":      `UPDATE file SET size = size + 1`,
		"a lost list": `DELETE FROM chunk_keys WHERE chunk = 1`,
	}
	for name, flip := range flips {
		for _, mode := range []string{"async", "sync"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				var posts atomic.Int64
				tr, path := parked(t, mode, 30, func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Method == http.MethodPost {
							posts.Add(1)
						}
						next.ServeHTTP(w, r)
					})
				})
				execSQL(t, path, flip)
				posts.Store(0)
				code, stderr := tr.run(tr.command("poolfill"))
				if code != exitUsage || !strings.Contains(stderr, path+" is damaged") || strings.Contains(stderr, "To go on") {
					t.Errorf("exit code %d:\n%s", code, stderr)
				}
				if n := posts.Load(); n != 0 || len(tr.pool()) != 10 {
					t.Errorf("%d requests to create tasks left, and the pool has %d", n, len(tr.pool()))
				}
				check := tr.command("poolfill")
				check.Args = []string{"poolfill", "runs", "check", "--state-dir", tr.path("state")}
				if code, stderr := tr.run(check); code != exitUsage || !strings.Contains(stderr, path+" is damaged in ") {
					t.Errorf("runs check: exit code %d:\n%s", code, stderr)
				}
			})
		}
	}
}

// A bit that flips anywhere in the ledger's file is found before anything is sent, or
// changes nothing.
func TestABitThatFlipsInTheFileDoublesNoRow(t *testing.T) {
	flips := 60
	if testing.Short() {
		flips = 10
	}
	for seed := range flips {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			tr, path := parked(t, []string{"sync", "async"}[seed%2], 20, nil)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bit := rand.New(rand.NewPCG(uint64(seed), 1)).IntN(8 * len(content))
			content[bit/8] ^= 1 << (bit % 8)
			tr.write("state/"+ledger.FileName, string(content))
			switch code, stderr := tr.run(tr.command("poolfill")); code {
			case exitOK:
				tr.verify()
			case exitUsage:
				if n := len(tr.pool()); n != 10 {
					t.Errorf("bit %d of byte %d: the pool has %d tasks, though %s", bit%8, bit/8, n, stderr)
				}
			default:
				t.Errorf("bit %d of byte %d: exit code %d:\n%s", bit%8, bit/8, code, stderr)
			}
		})
	}
}
