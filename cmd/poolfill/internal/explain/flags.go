package explain

import "strings"

// flagWords are phrases of the libraries, which know of no command line, and what
// they are where there is one.
var flagWords = strings.NewReplacer(
	"no pool is named", "no pool: name it with --pool",
	"nothing to check against: name a pool or a spec, or do without", "nothing to check against: give --pool, --spec FILE or --no-spec",
	"a spec and no spec exclude each other", "--spec and --no-spec exclude each other",
	"make the chunks smaller, or raise the limit", "give a smaller --chunk-size, or raise the limit",
	"upload everything again on purpose", "give --again, which uploads every row once more",
	"or have it go on all the same", "or use --keep-going",
	"or have invalid rows skipped", "or use --on-invalid skip",
	"stopped: more rows were rejected than the bound of ", "stopped: more rows were rejected than --max-rejected ",
	"or take another pool", "or name another pool with --pool",
	"Take another pool", "Name another pool with --pool",
	"or take another folder", "or another --state-dir",
	"or take another database", "or another --db",
	"take another folder", "name another with --state-dir",
	"make the chunks smaller", "lower --chunk-size",
	"such a server can only be used synchronously", "such a server can only be used with --mode sync",
	"another ledger, guarded by the pool", "another ledger and --dedupe=pool",
	"a guard by the pool finds", "--dedupe=pool finds",
)

// WithFlags returns a text with the names of flags in place of what the libraries
// say without them. A text that has them already stays as it is.
func WithFlags(text string) string { return flagWords.Replace(text) }
