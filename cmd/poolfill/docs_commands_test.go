package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"poolfill/internal/emulator"
)

// TestEveryCommandOfTheDocumentation runs the commands of README.md and docs/,
// page by page, from top to bottom, in one shell and one folder for each page.
// What the first word behind a fence says decides:
//
//	```console           lines with "$ " are run ("> " continues them), and the
//	                     lines below them are what they must print; nothing there
//	                     means anything. "…" stands for any text, and a line of it
//	                     for any lines. Times, durations, ids and blanks may differ.
//	                     A command must succeed, or "$ echo $?" follows it.
//	```sh                a script, which must succeed
//	```console no-run    not run, as it needs another machine, account or service;
//	```sh no-run         the flags of its poolfill commands must exist all the same
//	```csv NAME          a file of that name is written; so with tsv, json and yaml
//	```text and others   shown only; no line of it may be a command
//
// There are hidden steps, as comments of HTML: "<!-- run" and lines up to "-->" are
// a script, and "<!-- spec" and lines up to "-->" the spec of the project.
//
// The page's folder has a copy of testdata/. poolfill is the program under test, go
// run ./cmd/poolfill too, and https://toloka.dev an emulator with the open pools
// 1238218 and 1238219, next to its own.
//
// go test ./cmd/poolfill -run TestEveryCommandOfTheDocumentation -update writes what
// the commands print into the pages, but for outputs with "…".
func TestEveryCommandOfTheDocumentation(t *testing.T) {
	for _, path := range pages(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := parsePage(string(text))
			if err != nil {
				t.Fatalf("%s:%v", path, err)
			}
			for _, c := range p.shown {
				for _, problem := range flagProblems(c.text) {
					t.Errorf("%s:%d: %s", path, c.line, problem)
				}
			}
			changed := runPage(t, path, p)
			if changed != nil {
				if err := os.WriteFile(path, []byte(strings.Join(changed, "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestEveryLinkOfTheDocumentation looks for the files that pages point to.
func TestEveryLinkOfTheDocumentation(t *testing.T) {
	link := regexp.MustCompile(`(?:\]\(|(?:src|srcset|href)=")([^)"#\s]+)`)
	for _, path := range pages(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), found[1])); err != nil {
				t.Errorf("%s points to %s, which isn't there", path, found[1])
			}
		}
	}
}

// pages lists README.md and docs/*.md.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("no documentation: %v", err)
	}
	return append([]string{"../../README.md"}, found...)
}

// page is a page of the documentation.
type page struct {
	lines []string
	spec  string // of the project; empty means the emulator's own
	steps []step
	shown []shownCommand
}

// step is something that is done, in the order of the page.
type step struct {
	line   int    // of the page, from 1
	file   string // write text to this file; empty means: run text
	text   string
	from   int // the lines of the page with the output, counted from 0; none where from == to
	to     int
	script bool // more than one command, so that nothing can follow it
}

// shownCommand is a text with commands that are not run.
type shownCommand struct {
	line int
	text string
}

var (
	inlineCode  = regexp.MustCompile("`([^`\n]+)`")
	startOfAny  = regexp.MustCompile(`^(\$ |(sudo )?(\S+/)?poolfill [a-z])`)
	fileFormats = []string{"csv", "tsv", "json", "yaml"}
)

// parsePage finds what is to do on a page. Its errors begin with the line.
func parsePage(text string) (page, error) {
	p := page{lines: strings.Split(text, "\n")}
	for i := 0; i < len(p.lines); i++ {
		line := p.lines[i]
		info, fence := strings.CutPrefix(line, "```")
		comment, hidden := strings.CutPrefix(line, "<!-- ")
		end := "```"
		switch {
		case fence:
		case hidden && (comment == "run" || comment == "spec"):
			end = "-->"
		default:
			for _, code := range inlineCode.FindAllStringSubmatch(line, -1) {
				if strings.HasPrefix(code[1], "poolfill ") || strings.HasPrefix(code[1], "--") {
					p.shown = append(p.shown, shownCommand{i + 1, code[1]})
				}
			}
			continue
		}
		first := i + 1
		length := slices.Index(p.lines[first:], end)
		if length < 0 {
			return p, fmt.Errorf("%d: the block has no end", i+1)
		}
		i = first + length
		body := strings.Join(p.lines[first:i], "\n") + "\n"
		kind, rest, _ := strings.Cut(info, " ")
		switch {
		case hidden && comment == "spec":
			p.spec = body
		case hidden, info == "sh":
			p.steps = append(p.steps, step{line: first + 1, text: body, script: true})
		case info == "console":
			steps, err := session(p.lines[first:i], first)
			if err != nil {
				return p, err
			}
			p.steps = append(p.steps, steps...)
		case (kind == "console" || kind == "sh") && rest == "no-run":
			p.shown = append(p.shown, shownCommand{first + 1, prompts.Replace("\n" + body)})
		case kind == "", kind == "console", kind == "sh":
			return p, fmt.Errorf("%d: say what the block is: console or sh, with no-run behind it if the tests can't run it, a file's format and name, or text", first)
		case slices.Contains(fileFormats, kind) && rest != "":
			p.steps = append(p.steps, step{line: first + 1, file: rest, text: body})
		default:
			for n, line := range p.lines[first:i] {
				if startOfAny.MatchString(line) {
					return p, fmt.Errorf("%d: a command in a block that is not run: mark the block as console or sh", first+n+1)
				}
			}
		}
	}
	return p, nil
}

// prompts takes the prompts from the lines of a session.
var prompts = strings.NewReplacer("\n$ ", "\n", "\n> ", "\n")

// session reads commands and what they print. first is the number of lines before.
func session(lines []string, first int) ([]step, error) {
	var steps []step
	for n, line := range lines {
		command, begins := strings.CutPrefix(line, "$ ")
		more, continues := strings.CutPrefix(line, "> ")
		switch last := len(steps) - 1; {
		case begins:
			steps = append(steps, step{line: first + n + 1, text: command + "\n", from: first + n + 1, to: first + n + 1})
		case last < 0:
			return nil, fmt.Errorf("%d: output without a command: a line with $ must come first", first+n+1)
		case continues && steps[last].to == first+n && steps[last].from == steps[last].to:
			steps[last].text += more + "\n"
			steps[last].from, steps[last].to = first+n+1, first+n+1
		default:
			steps[last].to = first + n + 1
		}
	}
	return steps, nil
}

// runPage carries out a page's steps. Where -update is given and outputs differ, it
// gives the page's lines as they should be.
func runPage(t *testing.T, path string, p page) (changed []string) {
	t.Helper()
	if len(p.steps) == 0 {
		return nil
	}
	dir := filepath.Join(t.TempDir(), "me")
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("../../testdata")); err != nil {
		t.Fatal(err)
	}
	url := documentedServer(t, p.spec)
	output := runShell(t, dir, url, script(p.steps))
	ends := regexp.MustCompile(`(?s)\x01(\d+)\n(.*?)\x02(\d+)\n`).FindAllStringSubmatch(output, -1)
	readable := strings.NewReplacer(url, productionURL, dir, "/home/me")
	updated := slices.Clone(p.lines)
	shift := 0
	for i, s := range p.steps {
		if i >= len(ends) || ends[i][1] != strconv.Itoa(i) {
			t.Fatalf("%s:%d: the shell went no further than this:\n%s\n%s", path, s.line, s.text, output)
		}
		got, code := readable.Replace(ends[i][2]), ends[i][3]
		told := i+1 < len(p.steps) && !s.script && p.steps[i+1].text == "echo $?\n"
		if code != "0" && !told {
			t.Errorf("%s:%d: exit code %s of\n%s\n%s", path, s.line, code, s.text, got)
		}
		want := p.lines[s.from:s.to]
		if s.script || len(want) == 0 || alike(want, got) {
			continue
		}
		if !*update || strings.Contains(strings.Join(want, "\n"), "…") {
			t.Errorf("%s:%d: the page says\n%s\nand the command\n%s\nprints\n%s", path, s.line, strings.Join(want, "\n"), s.text, got)
			continue
		}
		now := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		updated = slices.Replace(updated, s.from+shift, s.to+shift, now...)
		shift += len(now) - len(want)
		changed = updated
	}
	return changed
}

// script is what a shell runs to carry out the steps: each one prints its number, what
// it prints itself, and its exit code.
func script(steps []step) string {
	var b strings.Builder
	b.WriteString("exec 2>&1\ngo() { [ \"$1 $2\" = 'run ./cmd/poolfill' ] && shift 2 && poolfill \"$@\"; }\ncode=0\n")
	for i, s := range steps {
		text := s.text
		switch {
		case s.file != "":
			text = fmt.Sprintf("mkdir -p %s && cat >%s <<'end of the file'\n%send of the file\n",
				commandLine([]string{filepath.Dir(s.file)}), commandLine([]string{s.file}), text)
		case s.script:
			text = "set -e\n" + text + "set +e\n"
		}
		fmt.Fprintf(&b, "printf '\\001%d\\n'\n(exit $code)\n%scode=$?\nprintf '\\002%%d\\n' $code\n", i, text)
	}
	return b.String()
}

// runShell runs a script as on a machine on which nothing is set but the token.
func runShell(t *testing.T, dir, url, script string) (output string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", path)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + t.TempDir(), "LANG=C.UTF-8", "TZ=UTC",
		"TOLOKA_TOKEN=secret-token", "POOLFILL_URL=" + url,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var failed *exec.ExitError // the output says where
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return out.String()
}

// documentedServer is the emulator that stands for Toloka on a page.
func documentedServer(t *testing.T, spec string) (url string) {
	t.Helper()
	cfg := emulator.Config{Pools: []string{"1238218", "1238219"}, Limits: emulator.Limits{
		RequestsPerSecond: emulator.NoLimit, TasksPerMinute: emulator.NoLimit, TasksPerDay: emulator.NoLimit,
	}}
	if spec != "" {
		cfg.Spec = json.RawMessage(spec)
	}
	server, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(errors.Join(err, server.Close()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, server, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, server.Close()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// passing lists what differs from run to run.
var passing = []struct {
	what *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`\d{8}T\d{6}Z`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC)?`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DAY"},
	{regexp.MustCompile(`\b[0-9a-f]{10}--[0-9a-f]+\b`), "TASK"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-f]{8}\b`), "RUN"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(h|ms|µs|m|s))+\b`), "DURATION"},
	{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?\b`), "TIME"},
	{regexp.MustCompile(`process \d+`), "process N"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// alike compares an output with what a page shows of it.
func alike(want []string, got string) bool {
	pattern := ""
	for _, line := range want {
		if strings.TrimSpace(line) == "…" {
			pattern += `(.*\n)*?`
			continue
		}
		parts := strings.Split(withoutPassing(line), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern += strings.Join(parts, ".*") + `\n`
	}
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	for i := range lines {
		lines[i] = withoutPassing(lines[i]) + "\n"
	}
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(strings.Join(lines, ""))
}

func withoutPassing(line string) string {
	for _, p := range passing {
		line = p.what.ReplaceAllString(line, p.name)
	}
	return strings.TrimRight(line, " ")
}

// flagProblems says which commands and flags of a text don't exist. Commands are
// those that begin with poolfill; a text that begins with a flag is only about that.
func flagProblems(text string) []string {
	root, err := newRootCommand(streams{}, new(profiles))
	if err != nil {
		return []string{err.Error()}
	}
	if strings.HasPrefix(text, "--") {
		name := regexp.MustCompile(`^--[a-z-]*`).FindString(text)[2:]
		known := name == "help" || name == "version"
		eachCommand(root, func(cmd *cobra.Command) {
			known = known || cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil
		})
		if !known {
			return []string{fmt.Sprintf("no command has the flag --%s", name)}
		}
		return nil
	}
	var problems []string
	for _, words := range simpleCommands(text) {
		if err := parses(words); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", commandLine(words), err))
		}
	}
	return problems
}

func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, visit)
	}
}

// parses tries a command line of poolfill, without carrying it out.
func parses(words []string) error {
	root, err := newRootCommand(streams{}, new(profiles))
	if err != nil {
		return err
	}
	if words[0] == "go" && len(words) > 2 && words[1] == "run" && words[2] == "./cmd/poolfill" {
		words = words[2:]
	}
	if filepath.Base(words[0]) != "poolfill" {
		return nil
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(words[1:]...)
	cmd, rest, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if cmd.Name() == "config" && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return parses(append([]string{"poolfill"}, rest...))
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("there is no command %q", rest[0])
	}
	if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return nil
}

// simpleCommands parts a shell's text into commands and their words: enough to find
// the flags of poolfill, not a shell.
func simpleCommands(text string) [][]string {
	var (
		commands [][]string
		words    []string
		word     strings.Builder
		inWord   bool
		quote    rune
	)
	endWord := func() {
		// What stands before a command: settings, the times of a crontab, and so on.
		before := regexp.MustCompile(`^([A-Z_]+=.*|[0-9*/,-]+|sudo|if|!|then|do|exec|time)$`)
		if w := word.String(); inWord && (len(words) > 0 || !before.MatchString(w)) {
			words = append(words, w)
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '\\' && i+1 < len(runes):
			i++
			if runes[i] != '\n' {
				word.WriteRune(runes[i])
				inWord = true
			}
		case r == '#' && !inWord:
			for i+1 < len(runes) && runes[i+1] != '\n' {
				i++
			}
		case strings.ContainsRune("\n;|&(){}<>", r):
			endCommand()
		case r == ' ' || r == '\t':
			endWord()
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	endCommand()
	return commands
}

func TestParsePage(t *testing.T) {
	fence := "```"
	text := strings.Join([]string{
		"Say `poolfill check a.tsv` or `--pool`, not `x`.",
		fence + "csv a.csv", "url", fence,
		"<!-- run", "echo hidden", "-->",
		fence + "console", "$ cat \\", "> a.csv", "url", "$ echo $?", "0", fence,
		fence + "sh no-run", "sudo poolfill runs", fence,
		fence + "yaml", "a: b", fence,
	}, "\n")
	p, err := parsePage(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []step{
		{line: 3, file: "a.csv", text: "url\n"},
		{line: 6, text: "echo hidden\n", script: true},
		{line: 9, text: "cat \\\na.csv\n", from: 10, to: 11},
		{line: 12, text: "echo $?\n", from: 12, to: 13},
	}
	if !slices.Equal(p.steps, want) {
		t.Errorf("steps\n%+v, want\n%+v", p.steps, want)
	}
	if len(p.shown) != 3 {
		t.Errorf("shown are %+v", p.shown)
	}
	for _, wrong := range []string{"\npoolfill runs\n" + fence, "text\npoolfill runs\n" + fence, "text\n$ ls\n" + fence, "sh maybe\nls\n" + fence, "console\nls\n" + fence, "sh\nls"} {
		if _, err := parsePage(fence + wrong); err == nil {
			t.Errorf("%q passes", wrong)
		}
	}
}

func TestFlagProblems(t *testing.T) {
	for text, want := range map[string]int{
		"poolfill upload a.tsv --pool 1 --json | jq .": 0,
		"2 30 * * *  poolfill upload 'a b' --poll 1":   1,
		"A=b sudo poolfill uplaod":                     1,
		"poolfill config check --mode sync":            1,
		"poolfill config upload --mode sync":           0,
		"poolfill upload a --workers=2 # --nothing":    0,
		"go run ./cmd/poolfill upload a --nothing":     1,
		"poolfill completion bash; poolfill --version": 0,
		"--nothing": 1,
		"--pool ID": 0,
	} {
		if got := flagProblems(text); len(got) != want {
			t.Errorf("%s: %q, want %d", text, got, want)
		}
	}
}

func TestAlike(t *testing.T) {
	for _, c := range []struct {
		want string
		got  string
		same bool
	}{
		{"Uploaded 2 rows in 60ms.", "Uploaded 2 rows in 1m2.5s.\n", true},
		{"Uploaded 2 rows in 60ms.", "Uploaded 3 rows in 60ms.\n", false},
		{"a\n…\nd", "a\nb\nc\nd\n", true},
		{"a\n…", "b\n", false},
		{"run … of 2026-01-01", "run 5c0f of 2027-12-03\n", true},
		{"a", "a\nb\n", false},
	} {
		if got := alike(strings.Split(c.want, "\n"), c.got); got != c.same {
			t.Errorf("%q and %q: %v", c.want, c.got, got)
		}
	}
}

// TestTroubleshootingQuotesMessages looks for the messages of the page in the sources:
// what stands between two "…" must be part of one.
func TestTroubleshootingQuotesMessages(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	err = filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		sources.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	quoted := 0
	for n, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 2 {
			continue
		}
		for _, message := range inlineCode.FindAllStringSubmatch(cells[0], -1) {
			quoted++
			for part := range strings.SplitSeq(message[1], "…") {
				if part = strings.Trim(part, " :;,."); len(part) > 6 && !strings.Contains(sources.String(), part) {
					t.Errorf("line %d: no message says %q", n+1, part)
				}
			}
		}
	}
	if quoted < 30 {
		t.Errorf("only %d messages", quoted)
	}
}
