package state_test

import (
	"path/filepath"
	"testing"

	"poolfill/internal/state"
)

func TestTheDiskOfAFolder(t *testing.T) {
	d, err := state.DiskOf(t.TempDir())
	if err != nil || d.Kind == "" || d.Free == 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := state.DiskOf(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that isn't there has a disk")
	}
	for kind, want := range map[string][2]bool{"ext4": {}, "nfs": {true, false}, "tmpfs": {false, true}, "network drive": {true, false}} {
		d := state.Disk{Kind: kind}
		if d.Remote() != want[0] || d.Fleeting() != want[1] {
			t.Errorf("%s: remote %v, fleeting %v", kind, d.Remote(), d.Fleeting())
		}
	}
}
