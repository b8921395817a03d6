// Package spelling finds what a mistyped name was meant to be.
//
// What goes in: the name, and those that exist. What comes out: the nearest of
// them, or nothing where none is near. The memory is one number for each byte of
// the name that is compared.
package spelling

import "strings"

// Nearest returns the candidate that a mistyped name was most likely meant to
// be, or "". Candidates must be sorted, so that a draw always ends alike.
func Nearest(name string, candidates []string) string {
	limit := 2 // distances below it are near
	switch n := len(name); {
	case n > 8:
		limit = 4
	case n > 3:
		limit = 3
	}
	best, bestDistance := "", limit
	for _, candidate := range candidates {
		d := Distance(strings.ToLower(name), strings.ToLower(candidate), bestDistance)
		if d < bestDistance && d < len(candidate) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// Distance counts the insertions, deletions and replacements of bytes that
// make a into b. It stops counting at limit.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		best := row[0]
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
			best = min(best, row[j+1])
		}
		if best >= limit {
			return limit
		}
	}
	return min(row[len(b)], limit)
}
