//go:build sweep

package simulation

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

var histories = flag.Uint64("sweep", 50, "how many histories to play for each kind alone")

// TestEachFault says which kinds break what: alone, and where answers are lost and
// processes killed besides. It fails for nothing.
func TestEachFault(t *testing.T) {
	for _, besides := range [][]string{
		nil,
		{"lost-after", "kill"},
		{"lost-after", "users", "equal-rows", "refused-rows", "control-rows", "append", "change", "insert"},
	} {
		for _, kind := range allKinds() {
			if *someKinds != "holding" && !slices.Contains(strings.Split(*someKinds, ","), kind) {
				continue
			}
			kinds := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(besides), kind))))
			found := map[string][]uint64{}
			for seed := range *histories {
				h := simulate(t, seed+1, kinds, false, false)
				for _, violation := range h.auditor.violations {
					found[fmt.Sprintf("%s, %s", mode(h.began.sync), violation)] = append(found[fmt.Sprintf("%s, %s", mode(h.began.sync), violation)], seed+1)
				}
			}
			for _, what := range slices.Sorted(maps.Keys(found)) {
				t.Logf("| %s | %s | %d of %d | -seed %d |", strings.Join(kinds, ","), what, len(found[what]), *histories, found[what][0])
			}
		}
	}
}

func mode(sync bool) string {
	if sync {
		return "sync"
	}
	return "async"
}
