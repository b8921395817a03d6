// Package count writes numbers of things for people.
//
// What goes in: a number and what it counts. What comes out: both as English text.
package count

import "github.com/dustin/go-humanize/english"

// Of returns a number and what it counts, such as "1 row" or "2,000 rows". what is the
// word for one of them.
func Of[N int | int64](n N, what string) string { return english.Plural(int(n), what, "") }
