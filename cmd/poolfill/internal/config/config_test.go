package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poolfill/cmd/poolfill/internal/config"
)

// known are the settings of these tests, sorted.
func known() []string {
	return []string{"ignore-column", "map", "mode", "pool", "sandbox", "token-file", "url", "workers"}
}

const sample = `# Our accounts.
pool: 0123
profile: work
map:
  picture: INPUT:image
  a,b: INPUT:c
ignore-column: [note, "a, b"]
profiles:
  work:
    url: https://example.com
    workers: 4
  play: {sandbox: true}
  bare: {}
`

func TestAFileIsReadInLayers(t *testing.T) {
	own := []config.Setting{
		{Name: "pool", Values: []string{"0123"}, Where: "c.yaml:2"},
		{Name: "map", Form: config.Mapping, Values: []string{"picture=INPUT:image", "a,b=INPUT:c"}, Where: "c.yaml:4"},
		{Name: "ignore-column", Form: config.List, Values: []string{"note", "a, b"}, Where: "c.yaml:7"},
	}
	file, err := config.Parse("c.yaml", []byte(sample), known())
	if err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string][]config.Setting{
		"": {
			{Name: "url", Values: []string{"https://example.com"}, Where: "c.yaml:10"},
			{Name: "workers", Values: []string{"4"}, Where: "c.yaml:11"},
		},
		"play": {{Name: "sandbox", Values: []string{"true"}, Where: "c.yaml:12"}},
		"bare": {},
	} {
		got, err := file.Layers(profile)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([][]config.Setting{want, own}, got); diff != "" {
			t.Errorf("profile %q: %s", profile, diff)
		}
	}
	if _, err := file.Layers("home"); err == nil || !strings.Contains(err.Error(), "it has bare, play, work") {
		t.Errorf("a profile that isn't there: %v", err)
	}
}

func TestWhatIsWrongIsNamedWithItsLine(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a typing mistake":           {"mod: sync", `c.yaml:1: there is no setting "mod": did you mean mode?`},
		"an underscore":              {"token_file: x", `c.yaml:1: there is no setting "token_file": did you mean token-file?`},
		"nothing like it":            {"\nzebra: 1", `c.yaml:2: there is no setting "zebra": docs/`},
		"a token":                    {"token: abc", "c.yaml:1: the token may not stand in this file: keep it in"},
		"a token in a profile":       {"profiles:\n  a:\n    TOLOKA_TOKEN: abc", "c.yaml:3: the token may not stand"},
		"twice":                      {"pool: 1\nmode: sync\npool: 2", "c.yaml:3: pool is there already, in line 1"},
		"no value":                   {"pool:", "c.yaml:1: pool has no value"},
		"a list in a list":           {"ignore-column: [[a]]", "c.yaml:1: the parts of ignore-column are single values"},
		"no settings":                {"- pool", "c.yaml:1: settings are written as name: value"},
		"no YAML":                    {"pool: [", "c.yaml is no YAML: line 1"},
		"two documents":              {"pool: 1\n---\nmode: sync", "more than one document"},
		"profiles as a list":         {"profiles: [a]", "c.yaml:1: profiles are names with settings below them"},
		"an empty profile":           {"profiles: {a: }", "c.yaml:1: the profile a has settings below it"},
		"a profile within a profile": {"profiles: {a: {profile: b}}", `there is no setting "profile" within a profile`},
		"profile as a list":          {"profile: [a]", "c.yaml:1: profile is the name of one"},
		"merge keys":                 {"<<: {pool: 1}", "merge keys are not read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("c.yaml", []byte(test.text), known())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "abc") {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
	_, err := config.Parse("c.yaml", []byte("zebra: 1\nlion: 2\ntoken: x"), known())
	if got := strings.Count(err.Error(), "c.yaml:"); got != 3 {
		t.Errorf("%d mistakes are named, want all 3: %v", got, err)
	}
}

func TestAFileThatSaysNothingIsFine(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "\xEF\xBB\xBF", "{}", "null"} {
		file, err := config.Parse("c.yaml", []byte(text), known())
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if layers, err := file.Layers(""); err != nil || len(layers) != 1 || len(layers[0]) > 0 {
			t.Errorf("%q: %v, %v", text, layers, err)
		}
	}
	file, err := config.Read(os.DevNull, known())
	if err != nil || len(file.Profiles()) > 0 {
		t.Errorf("%v, %v", file, err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := config.Read(filepath.Join(dir, "none.yaml"), known()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	long := filepath.Join(dir, "long.yaml")
	if err := os.WriteFile(long, []byte(strings.Repeat("#\n", config.MaxBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Read(long, known()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a file that is too long: %v", err)
	}
}

// FuzzParse finds files that can't be read without a fault of the parser's.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("a: &a {pool: 1}\nprofiles: {x: *a, y: *a}")
	f.Add("profiles: &p {x: *p}")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := config.Parse("c.yaml", []byte(text), known())
		if err != nil {
			return
		}
		for _, profile := range file.Profiles() {
			if _, err := file.Layers(profile); err != nil && profile != "" {
				t.Error(err)
			}
		}
	})
}
