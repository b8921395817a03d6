package pipeline

import (
	"time"

	"poolfill/batcher"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
)

// past is which run this is, and what those before it have left. It is settled
// before the first row, and only its rows are taken out after that.
type past struct {
	keeper keeper
	// name and key are the run's, which its first attempt had too, at begun.
	name, key string
	begun     time.Time
	// retry says that an attempt at the run has ended before, and told of its refused
	// rows: they are tried again.
	retry bool
	// finished is the run of a part that is finished: there is nothing to do.
	finished *ledger.Run
	// unchanged has the finished runs that have uploaded a file as it is, by the
	// file's number.
	unchanged map[int]string
	// identities are those of the files when the run began.
	identities []reader.Identity
	// sent has the sums of chunks that other runs have sent. Without another name, such a
	// chunk would be taken for theirs.
	sent map[batcher.Key]bool
	// present has what earlier runs have made of the bytes of a file, by its number.
	present map[int][]*former
	// guard knows the tasks whose rows are not sent again, wherever they stand.
	guard guard
	// nameless says that an earlier run found rows created whose tasks have no known ids,
	// so that guard may have them.
	nameless bool
	// again notes what is sent again.
	again repeats
	// strays are tasks of this run whose rows are not known.
	strays strays
}

// identity returns a file's as it was when the run began; the zero value is unknown.
func (p *past) identity(number int) reader.Identity {
	if number < len(p.identities) {
		return p.identities[number]
	}
	return reader.Identity{}
}

// idle reports whether there is nothing to do.
func (p *past) idle() bool { return len(p.unchanged) > 0 && len(p.unchanged) == len(p.identities) }

// withoutLedger is the past of a run of which none before it is known.
func withoutLedger(set *settings) *past {
	return &past{keeper: memoryKeeper{set.Recorder}, name: set.RunID, key: set.firstKey(), begun: time.Now()}
}
