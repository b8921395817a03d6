package count_test

import (
	"testing"

	"poolfill/cmd/poolfill/internal/count"
)

func TestOneIsNotSeveral(t *testing.T) {
	for n, want := range map[int64]string{0: "0 days", 1: "1 day", 2: "2 days", 1_234_567: "1,234,567 days"} {
		if got := count.Of(n, "day"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
