package pipeline

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// ChangedError ends a run whose input is not what it was when its reading began: a row of
// it may be half of one text and half of another. Nothing that was read since is sent.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("the file %s changed while it was read: no more of what was read of it is sent. Wait until it is whole, and run the same command again", e.Path)
}

// sights are what files looked like before their reading began. They are safe for
// concurrent use.
type sights struct {
	mu    sync.Mutex
	files map[string]sight // by the name of the input
}

type sight struct {
	path string
	info fs.FileInfo
}

// note looks at a file that is about to be read. What is no regular file is let pass.
func (s *sights) note(name, path string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return // opening it says why
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string]sight{}
	}
	s.files[name] = sight{path, info}
}

// changed returns the first of these inputs that isn't what it was; empty where all are. One
// that vanished is still read as it was.
func (s *sights) changed(names []string) string {
	for _, name := range names {
		s.mu.Lock()
		was, noted := s.files[name]
		s.mu.Unlock()
		if !noted {
			continue
		}
		now, err := os.Stat(was.path)
		if err == nil && (!os.SameFile(now, was.info) || now.Size() != was.info.Size() || !now.ModTime().Equal(was.info.ModTime())) {
			return name
		}
	}
	return ""
}
