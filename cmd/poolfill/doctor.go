package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/internal/quota"
	"poolfill/internal/spelling"
	"poolfill/internal/state"
	"poolfill/internal/visible"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/uploader/toloka"
)

// The bounds of what doctor finds right.
const (
	clockOdd   = 10 * time.Second // from here on it is worth a word
	clockWrong = 5 * time.Minute
	diskLow    = 1 << 30
	diskFull   = 64 << 20
)

// How long doctor tries to reach the server.
const (
	doctorTimeout  = 15 * time.Second
	doctorRetryFor = 3 * time.Second
)

// checkResult is what a check came to.
type checkResult string

// The verdicts.
const (
	right  checkResult = "ok"
	odd    checkResult = "warn"
	failed checkResult = "fail"
)

// finding is what a check found, and what to do about it.
type finding struct {
	Check   string      `json:"check"`
	Verdict checkResult `json:"verdict"`
	Message string      `json:"message"`
	// Advice is empty where there is nothing to do, or the message says it.
	Advice string `json:"advice,omitempty"`
}

func newDoctorCommand(std streams) *cobra.Command {
	var (
		api apiFlags
		f   lookFlags
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that uploads can work here: server, token, clock, quota, ledger, disk",
		Long: `Doctor tries out what an upload needs and changes nothing: the settings, whether
the server can be reached and takes the token, its clock against ours, what is
used up of the day's quota by this machine, the folder for the state, the ledger
and the room on the disk. Each line is ok, warn or fail, with what to do.

Exit codes: 0 nothing failed; 1 something failed; 2 the command or the settings
must change first.`,
		Example: `  poolfill doctor
  poolfill doctor --profile work --json
  poolfill doctor --sandbox`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := api.address(cmd.Flags())
			if err != nil {
				return &usageError{err}
			}
			if f.state.dir, err = f.state.folder(); err != nil {
				return err
			}
			d := doctor{api: api, address: address, at: f.state}
			d.settings(cmd)
			d.server(cmd.Context())
			if d.state() {
				d.ledger(cmd.Context())
			}
			d.disk(".", "out", "reports in this folder")
			return errors.Join(f.json.show(std.out, diagnosis{d.outcome() == nil, d.findings}), d.outcome())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	api.registerServer(flags)
	api.registerDay(flags)
	f.register(flags, stateOfLook)
	return cmd
}

// doctor collects findings.
type doctor struct {
	api     apiFlags
	address string
	at      stateFlags // with the folder in any case

	account  string // as the quota's book names it; empty until the server has told
	findings []finding
}

func (d *doctor) found(f finding) { d.findings = append(d.findings, f) }

// settings finds where settings come from, and names variables that no setting
// has.
func (d *doctor) settings(cmd *cobra.Command) {
	message := "no configuration file"
	if file, err := readConfig(cmd); err != nil {
		d.found(finding{"settings", failed, plainly(err), ""})
		return
	} else if file != nil {
		message = visible.Text(file.Path)
		if profile := cmp.Or(stringFlag(cmd, "profile"), file.Profile); profile != "" {
			message += ", profile " + visible.Text(profile)
		}
	}
	if unknown := unknownVariables(os.Environ(), variables(cmd.Root())); len(unknown) > 0 {
		d.found(finding{
			"settings", odd, message + "; but the environment has " + visible.Text(strings.Join(unknown, ", ")),
			"no setting has this name: correct it, or unset it",
		})
		return
	}
	d.found(finding{"settings", right, message, ""})
}

// variables lists the environment variables of all commands that take any, sorted.
func variables(cmd *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) { names = append(names, variable(f.Name)) }
	if cmd.Annotations[flagsOnly] == "" {
		cmd.LocalNonPersistentFlags().VisitAll(add)
		cmd.PersistentFlags().VisitAll(add)
	}
	for _, sub := range cmd.Commands() {
		names = append(names, variables(sub)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unknownVariables picks those of our variables that no setting has, with the
// name that was likely meant.
func unknownVariables(environment, known []string) []string {
	var unknown []string
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" || slices.Contains(known, name) {
			continue
		}
		if near := spelling.Nearest(name, known); near != "" {
			name += " (did you mean " + near + "?)"
		}
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	return unknown
}

// server asks the server for the account, which shows whether it can be reached,
// takes the token, and has the same time.
func (d *doctor) server(ctx context.Context) {
	from := d.api.from
	var took time.Duration
	cfg := toloka.Config{
		BaseURL: d.address, Token: "none", TokenFrom: from.place(), ActUnder: d.api.client.ActUnder, UserAgent: "poolfill",
		RetryFor: doctorRetryFor, RequestTimeout: doctorTimeout,
		Observe: func(e toloka.Exchange) { took = e.Took },
	}
	if err := cfg.Validate(); err != nil {
		d.found(finding{"server", failed, plainly(err), "fix --url, or leave it out"})
		return
	}
	token, tokenErr := from.token()
	if tokenErr == nil {
		cfg.Token = token
		tokenErr = cfg.Validate()
	}
	if tokenErr != nil {
		cfg.Token = "none" // shows all the same whether the server is there
	}
	client, err := toloka.NewClient(cfg)
	if err != nil {
		d.found(finding{"server", failed, plainly(err), ""})
		return
	}
	defer client.Close()
	requester, err := client.Requester(ctx)

	var api *toloka.Error
	refused := errors.As(err, &api) && api.Kind == toloka.KindAuth
	if err != nil && !refused {
		d.found(finding{"server", failed, plainly(err), "check --url, the network and the proxy (HTTPS_PROXY)"})
	} else {
		d.found(finding{"server", right, visible.Sprintf("%s answers in %v", d.address, took.Round(time.Millisecond)), ""})
	}
	switch {
	case tokenErr != nil:
		d.found(finding{"token", failed, plainly(tokenErr), ""})
	case refused:
		d.found(finding{"token", failed, plainly(err), ""})
	case err != nil:
		d.found(finding{"token", odd, "not tried, as the server gave no answer to it", "fix what the line above names"})
	default:
		d.account = pipeline.AccountName(cfg, requester.ID)
		d.found(judgeToken(requester, from.file))
	}
	if ahead, known := client.ClockAhead(); known {
		d.found(judgeClock(ahead))
	}
}

// judgeToken names the account of a token that the server took. file is where the
// token is kept, if it is in a file.
func judgeToken(r toloka.Requester, file string) finding {
	message := visible.Sprintf("accepted; account %s", r.ID)
	if name := r.PublicName["EN"]; name != "" {
		message += visible.Sprintf(" (%s)", name)
	}
	if r.Balance != "" {
		message += visible.Sprintf(", balance %s", r.Balance)
	}
	if file != "" && runtime.GOOS != "windows" {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return finding{"token", odd, message + "; but others on this machine can read " + visible.Text(file), "chmod 600 " + commandLine([]string{file})}
		}
	}
	return finding{"token", right, message, ""}
}

// judgeClock compares the clocks. The server's date has no fractions of a second.
func judgeClock(ahead time.Duration) finding {
	off := ahead.Abs().Round(time.Second)
	side := "behind"
	if ahead < 0 {
		side = "ahead of"
	}
	message := fmt.Sprintf("this computer's is %v %s the server's", off, side)
	const advice = "set the clock, best by NTP: the day's quota and the search for tasks after a lost answer go by it"
	switch {
	case off >= clockWrong:
		return finding{"clock", failed, message, advice}
	case off >= clockOdd:
		return finding{"clock", odd, message, advice}
	}
	return finding{"clock", right, "the same as the server's, within " + clockOdd.String(), ""}
}

// state checks the folder for the state, and whether it can be used. It leaves
// nothing behind.
func (d *doctor) state() (usable bool) {
	folder, err := existing(d.at.dir)
	if err == nil {
		err = tryToWrite(folder)
	}
	if err != nil {
		d.found(finding{"state", failed, visible.Sprintf("%s can't be written: %s", d.at.dir, plainly(err)), "name another folder with --state-dir, or let this user write it"})
		return false
	}
	message := visible.Sprintf("%s is writable", d.at.dir)
	if folder != d.at.dir {
		message = visible.Sprintf("%s can be made", d.at.dir)
	}
	disk, err := state.DiskOf(folder)
	if err != nil {
		d.found(finding{"state", odd, message + "; its file system can't be told: " + plainly(err), ""})
		return true
	}
	d.found(judgeFolder(message, disk))
	d.disk(folder, "disk", "state")
	return true
}

// judgeFolder reports whether a ledger is safe on a file system.
func judgeFolder(message string, disk state.Disk) finding {
	message += " (" + disk.Kind + ")"
	switch {
	case disk.Remote():
		return finding{"state", odd, message, "locks and the ledger are not safe on a network's file system: name a local folder with --state-dir"}
	case disk.Fleeting():
		return finding{"state", odd, message, "it is gone after a restart, and with it what was uploaded: name a folder on a disk with --state-dir"}
	}
	return finding{"state", right, message, ""}
}

// existing returns the nearest folder above a path, or itself, that is there.
func existing(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is no folder", dir)
		case err == nil:
			return dir, nil
		case filepath.Dir(dir) == dir:
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// tryToWrite makes a file in a folder, and removes it.
func tryToWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".poolfill-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// ledger opens the ledger where there is one, and looks up the day's use.
func (d *doctor) ledger(ctx context.Context) {
	known, err := d.at.hasLedger()
	if err != nil {
		d.found(finding{"ledger", failed, plainly(err), "name another folder with --state-dir"})
		return
	}
	if !known {
		d.found(finding{"ledger", right, "there is none yet; the first upload makes it", ""})
		d.found(judgeQuota(0, d.api.limits.TasksPerDay))
		return
	}
	l, err := openLedger(ctx, d.at.db, d.at.dir)
	if err != nil {
		d.found(finding{"ledger", failed, plainly(err), ""}) // says what to do
		return
	}
	defer func() {
		if err := l.Close(); err != nil {
			d.found(finding{"ledger", failed, "it can't be closed: " + plainly(err), "check the disk"})
		}
	}()
	runs, err := l.Runs(ctx, "", "")
	if err != nil {
		d.found(finding{"ledger", failed, plainly(err), ""})
		return
	}
	where := l.Path()
	if info, err := os.Stat(where); err == nil { // a database has no size to tell
		where += ", " + humanize.IBytes(uint64(info.Size()))
	}
	d.found(finding{"ledger", right, visible.Sprintf("%s, runs: %d", where, len(runs)), ""})
	if d.account == "" {
		d.found(finding{"quota", odd, "not looked up, as the account is not known", "fix what the lines above name"})
		return
	}
	used, err := d.usedToday(ctx, l)
	if err != nil {
		d.found(finding{"quota", failed, plainly(err), ""})
		return
	}
	d.found(judgeQuota(used, d.api.limits.TasksPerDay))
}

func (d *doctor) usedToday(ctx context.Context, l *ledger.Ledger) (int, error) {
	book, err := quota.New(ctx, l, d.account, d.api.limits.Day)
	if err != nil {
		return 0, err
	}
	return book.Today(ctx)
}

// judgeQuota compares the day's use with the quota; 0 is none.
func judgeQuota(used, quota int) finding {
	if quota <= 0 {
		return finding{"quota", right, fmt.Sprintf("%s tasks today from this machine; no quota is set", humanize.Comma(int64(used))), ""}
	}
	message := fmt.Sprintf("%s of the day's %s tasks are used from this machine", humanize.Comma(int64(used)), humanize.Comma(int64(quota)))
	if used >= quota {
		return finding{"quota", odd, message, "uploads wait, or park, until 00:00 UTC"}
	}
	return finding{"quota", right, message, ""}
}

// disk looks at the room for what is written to a folder.
func (d *doctor) disk(dir, check, what string) {
	disk, err := state.DiskOf(dir)
	if err != nil {
		d.found(finding{check, odd, plainly(err), ""})
		return
	}
	d.found(judgeDisk(check, disk.Free, what))
}

func judgeDisk(check string, free uint64, what string) finding {
	message := fmt.Sprintf("%s free for the %s", humanize.IBytes(free), what)
	switch {
	case free < diskFull:
		return finding{check, failed, message, "make space: a run ends when the disk is full"}
	case free < diskLow:
		return finding{check, odd, message, "a million rows take some 30 MB of the ledger and a few hundred of reports"}
	}
	return finding{check, right, message, ""}
}

// diagnosis is what doctor prints.
type diagnosis struct {
	OK     bool      `json:"ok"`
	Checks []finding `json:"checks"`
}

// Text prints the findings, a line each. It is part of ui.Result.
func (d diagnosis) Text(w io.Writer) error {
	palette := ui.PaletteOf(w)
	var b strings.Builder
	for _, f := range d.Checks {
		colour := map[checkResult]ui.Colour{right: ui.Green, odd: ui.Yellow, failed: ui.Red}[f.Verdict]
		b.WriteString(palette.Paint(colour, fmt.Sprintf("%-4s", f.Verdict)))
		visible.Fprintf(&b, "  %-8s  ", f.Check)
		b.WriteString(strings.ReplaceAll(f.Message, "\n", "\n                ") + "\n")
		if f.Advice != "" {
			visible.Fprintf(&b, "                → %s\n", f.Advice)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// outcome is an error where something failed.
func (d *doctor) outcome() error {
	n := 0
	for _, f := range d.findings {
		if f.Verdict == failed {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks failed", n, len(d.findings))
}
