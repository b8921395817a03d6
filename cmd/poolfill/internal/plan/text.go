package plan

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// plural writes a number of things as 1,234 tasks.
func plural(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return humanize.Comma(n) + " " + what
}

// percent writes a share with as many digits as mean something.
func percent(share float64) string { return fmt.Sprintf("%.3g%%", share*100) }
