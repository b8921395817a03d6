package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"poolfill/internal/visible"
	"poolfill/pipeline"
	"poolfill/reader"
	"poolfill/uploader"
)

func newUploadCommand(std streams) *cobra.Command {
	var (
		f           runFlags
		telling     notifyFlags
		mode        string
		chunkSize   int
		workers     string
		onInvalid   string
		keepGoing   bool
		maxRejected string
		verify      string
		openPool    bool
		before      beforeFlags
		onQuota     string
	)
	upload := func(cmd *cobra.Command, args []string) (pipeline.Report, error) {
		cfg := pipeline.Config{
			Sending: pipeline.Sending{Mode: uploader.Mode(mode), ChunkSize: chunkSize},
			Rules:   pipeline.Rules{OnInvalid: pipeline.OnInvalid(onInvalid), KeepGoing: keepGoing, Verify: pipeline.VerifyMode(verify)},
			Keeping: pipeline.Keeping{Command: commandLine(withoutQueries(withoutPassword(withoutNotify(os.Args))))},
		}
		job := pipeline.Upload{OpenPool: openPool}
		var err error
		if cfg.MaxRejected, err = parseMaxRejected(maxRejected); err != nil {
			return pipeline.Report{}, &usageError{err}
		}
		if cfg.Workers, err = parseWorkers(workers); err != nil {
			return pipeline.Report{}, &usageError{err}
		}
		if job.Guard, err = before.guard(); err == nil {
			err = before.detached(args)
		}
		if err != nil {
			return pipeline.Report{}, &usageError{err}
		}
		cfg.Job = job
		f.api.limits.Park = onQuota == "park" || onQuota == "auto" && !isTerminal(std.err)
		return f.execute(cmd, std, args, cfg)
	}
	cmd := &cobra.Command{
		Use:   "upload FILE...",
		Short: "Read, check and upload files, and report on every row",
		Long: `Upload reads CSV or TSV files (plain, gzip, zstd, bzip2 or xz), checks each row
against the spec of the pool's project, and uploads the valid ones in chunks. A
file is a path, a glob in quotes, a URL (http:// or https://), or - for standard
input.

The same command again goes on where a run was stopped, killed or cut off. Rows
that were uploaded from the same file are not uploaded again: a file that grew
has its new rows uploaded, one that was edited the new and changed ones, and an
unchanged one none. --again uploads all rows once more.

At the end, or when it is interrupted, it writes report.json, report.html (the
same, to look at), results.tsv (one line for each row) and rejected.tsv (the
rejected rows as they stood, with what is wrong with them; fix them there and
upload that file).

Exit codes: 0 every row is uploaded; 1 the run could not finish, left rows
unsent, or found at its end that the pool holds rows twice; 2 nothing was sent, because the command, its settings or its input must
change first; 3 finished, some rows rejected; 4 the day's quota is used up, says
when to go on; 5 another run on this machine is uploading to this pool; 130
interrupted, can be continued.`,
		Example: `  poolfill upload tasks.tsv --emulator
  poolfill upload tasks.tsv --pool 1238218
  poolfill upload 'exports/*.csv.gz' --pool 1238218 --max-rejected 1% --open-pool
  poolfill upload https://files.example.com/tasks.tsv.gz --pool 1238218
  zcat dump.gz | poolfill upload - --pool 1238218 --sandbox --json`,
		Args: needInputs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := telling.validate(); err != nil {
				return err
			}
			report, err := upload(cmd, args)
			telling.tell(std.err, report, f.api.pool, err)
			if std.reported != nil {
				std.reported(report)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.api.register(flags)
	flags.StringVar(&mode, "mode", "async", "async, or sync for small uploads that should be there at once")
	flags.IntVar(&chunkSize, "chunk-size", 0, "the most tasks in a request (default: 2000)")
	flags.StringVar(&workers, "workers", "auto", `how many chunks are uploaded at once: a number, or auto (more while that gets
more done, fewer where the server is overloaded)`)
	flags.StringVar(&onInvalid, "on-invalid", string(pipeline.SkipInvalid), `what an invalid row does: skip (the valid ones are uploaded), or stop
(nothing is created after the first one)`)
	flags.StringVar(&maxRejected, "max-rejected", "", "stop when more rows than this are rejected: a number, or a share such as 2%")
	flags.BoolVar(&keepGoing, "keep-going", false, "go on even if the server refuses all rows of a request for the same reason")
	flags.BoolVar(&openPool, "open-pool", false, "open the pool at the end")
	flags.StringVar(&verify, "verify", string(pipeline.VerifyAuto), `list the pool at the end, and see that it holds each row once: always, never, or
auto (after a synchronous upload that sent something again)`)
	flags.BoolVar(&before.again, "again", false, "upload the rows once more, even if they were uploaded before")
	flags.StringVar(&before.dedupe, "dedupe", "", `skip rows whose tasks the pool has already: --dedupe by what this machine has
uploaded, --dedupe=pool by the pool's own tasks (rows that were uploaded from
the same file are always skipped)`)
	flags.Lookup("dedupe").NoOptDefVal = string(pipeline.GuardLedger)
	flags.StringVar(&onQuota, "on-quota", "auto", `what a run does when the day's quota is used up: wait until the next day, or
park (end with exit code 4 and say when to go on); auto waits on a terminal and
parks elsewhere`)
	flags.DurationVar(&f.output.grace, "grace", defaultGrace, "how long a run that is told to stop may take to finish what is in flight")
	f.reading.register(flags)
	f.output.register(flags)
	telling.register(flags)
	f.output.live.register(flags)
	return cmd
}

// parseWorkers reads the value of --workers; 0 is auto.
func parseWorkers(s string) (int, error) {
	if s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("--workers is auto or a number from 1, not %q", s)
	}
	return n, nil
}

// beforeFlags say which rows count as uploaded before.
type beforeFlags struct {
	dedupe string
	again  bool
}

func (f beforeFlags) guard() (pipeline.Guard, error) {
	switch {
	case f.again && f.dedupe != "":
		return "", errors.New("--again and --dedupe exclude each other")
	case f.again:
		return pipeline.GuardNone, nil
	case f.dedupe == "":
		return pipeline.GuardFile, nil
	}
	return pipeline.Guard(f.dedupe), nil
}

// detached finds a value of --dedupe that stands after a blank, where it is
// taken for a file: "--dedupe pool".
func (f beforeFlags) detached(files []string) error {
	for _, file := range files {
		guard := pipeline.Guard(file)
		if f.dedupe == "" || guard != pipeline.GuardLedger && guard != pipeline.GuardPool {
			continue
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no such file; if it is the value of --dedupe, write --dedupe=%s, with = between them", file, file)
		}
	}
	return nil
}

// commandLine returns a command as a shell takes it, on one line. Arguments hold no secret.
func commandLine(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if visible.Text(arg) != arg {
			words[i] = "$'" + escaped(arg) + "'"
		} else if arg == "" || strings.ContainsFunc(arg, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./=:,+@%", r)
		}) {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// escaped returns an argument as bash and zsh take it between $' and ', with an escape for
// each byte that can't be seen.
func escaped(arg string) string {
	var b strings.Builder
	for i, size := 0, 0; i < len(arg); i += size {
		_, size = utf8.DecodeRuneInString(arg[i:])
		char := arg[i : i+size]
		switch {
		case char == `\` || char == "'":
			b.WriteString(`\` + char)
		case visible.Text(char) != char:
			for _, c := range []byte(char) {
				b.WriteString(`\x` + hex.EncodeToString([]byte{c}))
			}
		default:
			b.WriteString(char)
		}
	}
	return b.String()
}

// withoutQueries leaves the queries of URLs out of a command line, since command
// lines are kept and printed, and shows that there were some.
func withoutQueries(args []string) []string {
	kept := append([]string(nil), args...)
	for i, arg := range kept {
		if name := reader.Name(arg); name != arg {
			kept[i] = name + "?…"
		}
	}
	return kept
}
