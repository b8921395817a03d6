package ledger

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A ledger whose process was killed has its latest transactions in the log beside its
// file. A bit that flips there is found, as long as another transaction follows it: the
// last one can't be told from one that a power cut has torn.
func TestAFlippedBitOfTheLogIsFound(t *testing.T) {
	source := t.TempDir()
	l := openIn(t, source)
	filled(t, l)
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(source, name))
		check(t, err)
		return content
	}
	file, log := read(FileName), read(FileName+"-wal")
	// One transaction more, which is the last.
	begin(t, l, "last")
	if longer := read(FileName + "-wal"); len(longer) <= len(log) {
		t.Fatal("the log doesn't grow")
	}
	whole := read(FileName + "-wal")

	killed := func(log []byte) (known, error) {
		return asked(t, file, func(path string) { check(t, os.WriteFile(path+"-wal", log, 0o600)) })
	}
	says, err := killed(whole)
	check(t, err)
	if len(says.Runs) != 4 {
		t.Fatalf("the log has %d runs", len(says.Runs))
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		bit := random.IntN(8 * len(log)) // before the last transaction
		damaged := append([]byte(nil), whole...)
		damaged[bit/8] ^= 1 << (bit % 8)
		got, err := killed(damaged)
		if isA[*DamagedError](err) {
			continue
		}
		check(t, err)
		if diff := cmp.Diff(says, got, withoutTimes()); diff != "" {
			t.Errorf("bit %d of byte %d: it says something else: %s", bit%8, bit/8, diff)
		}
	}
	// What a kill or a power cut leaves is no damage: the log ends anywhere.
	for range 50 {
		if _, err := killed(whole[:random.IntN(len(whole))]); isA[*DamagedError](err) {
			t.Errorf("a log that ends early: %v", err)
		}
		torn := append([]byte(nil), whole...)
		clear(torn[len(log)+random.IntN(len(whole)-len(log)-1):])
		if _, err := killed(torn); err != nil {
			t.Errorf("a transaction that was torn: %v", err)
		}
	}
}
