package pipeline

import (
	"bytes"
	"slices"
	"sync"

	"poolfill/batcher"
	"poolfill/pipeline/ledger"
	"poolfill/reader/verdict"
)

// known counts the tasks that exist already. A row that claims one of them
// takes it out. It takes some 60 bytes for each task.
type known struct {
	entries []knownTask // by key once it is sorted
	ids     []byte
}

type knownTask struct {
	key  [16]byte
	at   uint32 // of the id
	size uint16
	used uint32 // how many of the entries with this key are claimed; kept in the first
}

func (k *known) add(key [16]byte, id string) {
	k.entries = append(k.entries, knownTask{key: key, at: uint32(len(k.ids)), size: uint16(len(id))})
	k.ids = append(k.ids, id...)
}

// take adds a stray.
func (k *known) take(s ledger.Stray) error {
	k.add(s.Content, s.TaskID)
	return nil
}

func (k *known) empty() bool { return len(k.entries) == 0 }

func (k *known) sort() {
	slices.SortStableFunc(k.entries, func(a, b knownTask) int { return bytes.Compare(a.key[:], b.key[:]) })
}

// claim takes out a task with the key, and returns its id.
func (k *known) claim(key [16]byte) (id string, ok bool) {
	first, found := slices.BinarySearchFunc(k.entries, key, func(t knownTask, key [16]byte) int { return bytes.Compare(t.key[:], key[:]) })
	if !found {
		return "", false
	}
	i := first + int(k.entries[first].used)
	if i >= len(k.entries) || k.entries[i].key != key {
		return "", false
	}
	k.entries[first].used++
	t := k.entries[i]
	return string(k.ids[t.at : t.at+uint32(t.size)]), true
}

// strays are tasks that a run has created for some of its rows, it is not known
// which. They are safe for concurrent use.
type strays struct {
	mu    sync.Mutex
	known known
}

// claim takes out those that rows of a chunk may be, in rows, which has what is known
// of them, or is empty. It returns the rows with them, and their ids.
func (s *strays) claim(c *batcher.Chunk, rows []verdict.Verdict) (all []verdict.Verdict, claimed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known.empty() {
		return rows, nil
	}
	if len(rows) == 0 {
		rows = make([]verdict.Verdict, c.Len())
	}
	for i := range rows {
		if rows[i].Status != verdict.Unsent {
			continue
		}
		if id, ok := s.known.claim(c.Keys()[i]); ok {
			rows[i] = verdict.Verdict{Status: verdict.Created, TaskID: id}
			claimed = append(claimed, id)
		}
	}
	return rows, claimed
}
