package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

// job is a command as a schedule runs it.
type job struct {
	env   []string // NAME=VALUE
	shell string   // for sh
}

// schedules reads what the files of examples/ run, by their endings.
var schedules = map[string]func([]byte) ([]job, error){
	".crontab": crontabJobs,
	".service": serviceJobs,
	".yaml":    cronJobs,
}

// runSchedule runs all commands of a file of examples/. Paths from the root and
// the numbers of the pools become those of the script.
func runSchedule(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schedule FILE")
	}
	text, err := os.ReadFile(filepath.Join(ts.Getenv("EXAMPLES"), args[0]))
	ts.Check(err)
	jobs, err := schedules[filepath.Ext(args[0])](text)
	ts.Check(err)
	if len(jobs) == 0 {
		ts.Fatalf("%s runs nothing", args[0])
	}
	root := ts.Getenv("WORK")
	here := strings.NewReplacer(
		"/usr/bin/poolfill", "poolfill",
		"/srv/", root+"/srv/", "/etc/", root+"/etc/", "/var/", root+"/var/",
		"1238218", "1", "1238219", "5",
	)
	for _, j := range jobs {
		script := ""
		for _, variable := range j.env {
			name, value, _ := strings.Cut(variable, "=")
			if name != "PATH" {
				script += "export " + name + "=" + commandLine([]string{here.Replace(value)}) + "\n"
			}
		}
		ts.Check(ts.Exec("sh", "-c", script+here.Replace(j.shell)))
	}
}

// crontabJobs reads a user's crontab: settings, comments and lines of five times
// and a command.
func crontabJobs(text []byte) ([]job, error) {
	var (
		jobs      []job
		env       []string
		setting   = regexp.MustCompile(`^[A-Z_]+=`)
		line      = regexp.MustCompile(`^(?:[0-9*/,-]+\s+){5}(.+)$`)
		bare      = regexp.MustCompile(`(^|[^\\])%`)
		unescaped = strings.NewReplacer(`\%`, `%`)
	)
	for entry := range strings.SplitSeq(string(text), "\n") {
		switch found := line.FindStringSubmatch(entry); {
		case entry == "" || entry[0] == '#':
		case setting.MatchString(entry):
			name, value, _ := strings.Cut(entry, "=")
			env = append(env, name+"="+strings.Trim(value, `"`))
		case found == nil:
			return nil, fmt.Errorf("no line of a crontab: %s", entry)
		case bare.MatchString(found[1]):
			return nil, fmt.Errorf("cron ends the command at a %%: %s", entry)
		default:
			jobs = append(jobs, job{env, unescaped.Replace(found[1])})
		}
	}
	return jobs, nil
}

// serviceJobs reads the command of a systemd unit. systemd expands no wildcards.
func serviceJobs(text []byte) ([]job, error) {
	var j job
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "Environment":
			j.env = append(j.env, value)
		case "WorkingDirectory":
			j.shell = "cd " + value + " && set -f && " + j.shell
		case "ExecStart":
			j.shell += strings.ReplaceAll(value, "%d", "/etc/poolfill")
		}
	}
	return []job{j}, nil
}

// cronJobs reads the containers of the CronJobs in a file of manifests.
func cronJobs(text []byte) ([]job, error) {
	var jobs []job
	for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var manifest struct {
			Kind string
			Spec struct {
				JobTemplate struct {
					Spec struct {
						Template struct {
							Spec struct {
								Containers []struct {
									Args       []string
									Env        []struct{ Name, Value string }
									WorkingDir string `yaml:"workingDir"`
								}
							}
						}
					}
				} `yaml:"jobTemplate"`
			}
		}
		err := documents.Decode(&manifest)
		if errors.Is(err, io.EOF) {
			return jobs, nil
		}
		if err != nil {
			return nil, err
		}
		for _, c := range manifest.Spec.JobTemplate.Spec.Template.Spec.Containers {
			j := job{shell: "cd " + c.WorkingDir + " && poolfill " + commandLine(c.Args)}
			for _, variable := range c.Env {
				j.env = append(j.env, variable.Name+"="+variable.Value)
			}
			jobs = append(jobs, j)
		}
	}
}

// Each file that schedules something is run by examples.txtar.
func TestEveryScheduleIsRun(t *testing.T) {
	script, err := os.ReadFile("testdata/script/examples.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../examples/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		_, runs := schedules[filepath.Ext(file)]
		if runs && !strings.Contains(string(script), "\nschedule "+filepath.Base(file)+"\n") {
			t.Errorf("%s is not run", file)
		}
	}
}

func TestCrontabJobs(t *testing.T) {
	jobs, err := crontabJobs([]byte("# nightly\nPATH=/bin\nMAILTO=\"\"\n\n5 0 * * 1-5  poolfill upload 'a b' --max-rejected 1\\%\n"))
	if err != nil || len(jobs) != 1 || jobs[0].shell != "poolfill upload 'a b' --max-rejected 1%" || len(jobs[0].env) != 2 || jobs[0].env[1] != "MAILTO=" {
		t.Errorf("got %q, %v", jobs, err)
	}
	for _, wrong := range []string{"5 0 * * poolfill upload a", "5 0 * * * poolfill upload a --max-rejected 1%"} {
		if _, err := crontabJobs([]byte(wrong)); err == nil {
			t.Errorf("%q passes", wrong)
		}
	}
}
