package report

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// However a number goes on, its text is that of the number.
func TestACounterIsWrittenAsItsNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c counter
		value := rapid.Int64Range(-20, 1200).Draw(t, "first")
		for range 150 {
			c.set(value)
			if want := strconv.FormatInt(value, 10); string(c.text) != want {
				t.Fatalf("got %s, want %s", c.text, want)
			}
			if rapid.IntRange(0, 20).Draw(t, "jumps") == 0 {
				value += rapid.Int64Range(-3, 1000).Draw(t, "by")
			} else {
				value++
			}
		}
	})
}
