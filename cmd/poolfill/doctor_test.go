package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"poolfill/internal/state"
	"poolfill/uploader/toloka"
)

func TestWhatDoctorMakesOfWhatItFinds(t *testing.T) {
	open := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(open, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	account := toloka.Requester{ID: "7", Balance: "12.50", PublicName: map[string]string{"EN": "We"}}
	for name, test := range map[string]struct {
		got     finding
		verdict checkResult
		message string
	}{
		"a clock that is right":        {judgeClock(-9 * time.Second), right, "the same as the server's, within 10s"},
		"a clock that is a bit behind": {judgeClock(10 * time.Second), odd, "this computer's is 10s behind the server's"},
		"a clock that is far ahead":    {judgeClock(-5 * time.Minute), failed, "this computer's is 5m0s ahead of the server's"},
		"a quota with room":            {judgeQuota(1999, 2000), right, "1,999 of the day's 2,000 tasks are used from this machine"},
		"a quota without room":         {judgeQuota(2000, 2000), odd, "2,000 of the day's 2,000 tasks are used from this machine"},
		"no quota":                     {judgeQuota(5, 0), right, "5 tasks today from this machine; no quota is set"},
		"much room":                    {judgeDisk("disk", 1<<30, "state"), right, "1.0 GiB free for the state"},
		"little room":                  {judgeDisk("disk", 1<<29, "state"), odd, "512 MiB free for the state"},
		"no room":                      {judgeDisk("disk", 1<<20, "state"), failed, "1.0 MiB free for the state"},
		"a local disk":                 {judgeFolder("x", state.Disk{Kind: "ext4"}), right, "x (ext4)"},
		"a disk over a network":        {judgeFolder("x", state.Disk{Kind: "nfs"}), odd, "x (nfs)"},
		"a disk in memory":             {judgeFolder("x", state.Disk{Kind: "tmpfs"}), odd, "x (tmpfs)"},
		"a token":                      {judgeToken(account, ""), right, "accepted; account 7 (We), balance 12.50"},
		"a token for everybody": {
			judgeToken(account, open), odd,
			"accepted; account 7 (We), balance 12.50; but others on this machine can read " + open,
		},
	} {
		if test.got.Verdict != test.verdict || test.got.Message != test.message {
			t.Errorf("%s: %+v, want %s: %s", name, test.got, test.verdict, test.message)
		}
		if test.got.Verdict != right && test.got.Advice == "" {
			t.Errorf("%s: nothing says what to do", name)
		}
	}
}

func TestVariablesThatNoSettingHas(t *testing.T) {
	environment := []string{
		"POOLFILL_MODE=sync", "POOLFILL_MOD=sync", "POOLFILL_ZEBRA=1", "POOLFILL_EMPTY=", "HOME=/", "POOLFILL_A",
	}
	want := []string{"POOLFILL_MOD (did you mean POOLFILL_MODE?)", "POOLFILL_ZEBRA"}
	if got := unknownVariables(environment, []string{"POOLFILL_MODE", "POOLFILL_WORKERS"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
