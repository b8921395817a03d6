package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"poolfill/internal/state"
)

func TestOneRunAtATimeHasAPool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := state.LockPool(dir, "https://toloka.dev", "7", "run r1")
	if err != nil {
		t.Fatal(err)
	}
	var held *state.HeldError
	if _, err := state.LockPool(dir, "https://toloka.dev/api/v1", "7", "run r2"); !errors.As(err, &held) || held.Owner != "run r1" || held.Pool != "7" {
		t.Errorf("a second run gets %v", err)
	}
	for _, other := range [][2]string{{"https://toloka.dev", "8"}, {"https://sandbox.toloka.dev", "7"}} {
		lock, err := state.LockPool(dir, other[0], other[1], "run r3")
		if err != nil {
			t.Fatalf("pool %s of %s: %v", other[1], other[0], err)
		}
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := state.LockPool(dir, "https://toloka.dev", "7", "run r4")
	if err != nil {
		t.Fatalf("after the first run's end: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatCannotBeUsedIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var folder *state.FolderError
	if _, err := state.LockPool(file, "https://toloka.dev", "7", "r"); !errors.As(err, &folder) || folder.Dir != file {
		t.Errorf("the error is %v", err)
	}
}

func TestTheDefaultFolderFollowsThePlatform(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // the others are the standard library's
	}
	t.Setenv("XDG_STATE_HOME", "/state")
	if dir, err := state.DefaultDir(); err != nil || dir != "/state/poolfill" {
		t.Errorf("%s, %v", dir, err)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/me")
	if dir, err := state.DefaultDir(); err != nil || dir != "/home/me/.local/state/poolfill" {
		t.Errorf("%s, %v", dir, err)
	}
}
