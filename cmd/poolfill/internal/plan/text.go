package plan

import (
	"fmt"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// count writes a number as 1,234,567.
func count(n int64) string { return message.NewPrinter(language.English).Sprintf("%d", n) }

func plural(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return count(n) + " " + what
}

// percent writes a share with as many digits as mean something.
func percent(share float64) string { return fmt.Sprintf("%.3g%%", share*100) }
