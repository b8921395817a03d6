// Package config reads the settings that a user keeps in a file.
//
// What goes in: the text of the file, in YAML, and the names of the settings
// that there are. What comes out: the settings that it makes, each with its
// line, in layers by how much they count: those of a profile first, then those
// of the file itself. It knows no flags and no values: what a setting may be is
// for others to say. A file is held whole; one above MaxBytes is refused.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"poolfill/internal/spelling"
)

// MaxBytes is the longest file that is read.
const MaxBytes = 1 << 20

// The keys that are no settings of a command.
const (
	keyProfile  = "profile"
	keyProfiles = "profiles"
)

// Form is how a value is written.
type Form int

// The forms of a value.
const (
	Scalar  Form = iota // a text, a number, true or false
	List                // several of them
	Mapping             // pairs of them
)

// Setting is one setting that a file makes.
type Setting struct {
	Name string
	Form Form
	// Values has one element for a Scalar, each element of a List, and
	// "key=value" for each pair of a Mapping; as they are written, without quotes.
	Values []string
	// Where is the setting's place, as file:line.
	Where string
}

// File is a file of settings.
type File struct {
	// Path is the file's name, for messages.
	Path string
	// Profile is the profile that the file itself chooses; empty for none.
	Profile string

	settings []Setting
	profiles map[string][]Setting
}

// DefaultPath is where the file is by the convention of the platform, such as
// ~/.config/poolfill/config.yaml on Linux. It is empty where the user has no
// folder for settings.
func DefaultPath() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "poolfill", "config.yaml")
}

// Read reads the file at path. known are the names of all settings, sorted.
// Where the file doesn't exist, the error is fs.ErrNotExist.
func Read(path string, known []string) (_ *File, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration file can't be read: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("the configuration file can't be read: %w", err)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the configuration file %s is longer than %d bytes: is it the right one?", path, MaxBytes)
	}
	return Parse(path, data, known)
}

// Parse reads the text of a file. The error names everything that is wrong with
// it, a line each. known is as in Read; path is for messages only.
func Parse(path string, data []byte, known []string) (*File, error) {
	p := parser{path: path, known: known}
	file := &File{Path: path, profiles: make(map[string][]Setting)}
	root, err := p.document(data)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return file, nil
	}
	p.pairs(root, "", func(key, value *yaml.Node) {
		switch key.Value {
		case keyProfile:
			if value.Kind != yaml.ScalarNode || value.Tag == "!!null" || value.Value == "" {
				p.wrong(value, "%s is the name of one of the profiles", keyProfile)
				return
			}
			file.Profile = value.Value
		case keyProfiles:
			p.pairs(value, keyProfiles+" are names with settings below them, such as {work: {pool: 1238218}}", func(name, settings *yaml.Node) {
				profile := []Setting{}
				p.pairs(settings, "the profile "+name.Value+" has settings below it, such as {pool: 1238218}", func(key, value *yaml.Node) {
					profile = p.setting(profile, key, value)
				})
				file.profiles[name.Value] = profile
			})
		default:
			file.settings = p.setting(file.settings, key, value)
		}
	})
	return file, errors.Join(p.errs...)
}

// Layers returns the settings in force: first those of the profile, then those of
// the file itself, which a profile's of the same name overrule. An empty name
// means the profile that the file chooses, or none.
func (f *File) Layers(profile string) ([][]Setting, error) {
	if profile == "" {
		profile = f.Profile
	}
	if profile == "" {
		return [][]Setting{f.settings}, nil
	}
	settings, ok := f.profiles[profile]
	if !ok {
		names := f.Profiles()
		if len(names) == 0 {
			return nil, fmt.Errorf("there is no profile %q: %s has no %s", profile, f.Path, keyProfiles)
		}
		return nil, fmt.Errorf("there is no profile %q in %s: it has %s", profile, f.Path, strings.Join(names, ", "))
	}
	return [][]Setting{settings, f.settings}, nil
}

// Profiles lists the names of the profiles, sorted.
func (f *File) Profiles() []string { return slices.Sorted(maps.Keys(f.profiles)) }

// parser collects what is wrong with a file.
type parser struct {
	path  string
	known []string
	errs  []error
}

func (p *parser) where(n *yaml.Node) string { return fmt.Sprintf("%s:%d", p.path, n.Line) }

func (p *parser) wrong(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s", p.where(n), fmt.Sprintf(format, args...)))
}

// document returns the top of the only document; nil where the file is empty.
func (p *parser) document(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s is no YAML: %s", p.path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more than one document: a line --- begins another, which would not be read", p.path)
	}
	root := document.Content[0]
	if root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: settings are written as name: value, a line each, such as pool: 1238218", p.where(root))
	}
	return root, nil
}

// pairs visits the pairs of a mapping, each key once. shape says what the node
// should have been where it is none.
func (p *parser) pairs(n *yaml.Node, shape string, visit func(key, value *yaml.Node)) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.wrong(n, "%s", shape)
		return
	}
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if line, again := first[key.Value]; again {
			p.wrong(key, "%s is there already, in line %d", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		visit(key, resolve(n.Content[i+1]))
	}
}

// resolve returns what an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// setting appends the setting of a key, or notes what is wrong with it.
func (p *parser) setting(to []Setting, key, value *yaml.Node) []Setting {
	name := key.Value
	if isSecret(name) {
		p.wrong(key, "the token may not stand in this file: keep it in a file that only you can read and name that one with token-file, "+
			"or in the system's keyring (poolfill token set NAME) and name it with token-keyring")
		return to
	}
	if _, ok := slices.BinarySearch(p.known, name); !ok {
		p.wrong(key, "there is no setting %q%s", name, p.hint(name))
		return to
	}
	s := Setting{Name: name, Where: p.where(key)}
	switch value.Kind {
	case yaml.ScalarNode:
		if value.Tag == "!!null" {
			p.wrong(key, "%s has no value: give it one, or leave the line out", name)
			return to
		}
		s.Values = []string{value.Value}
	case yaml.SequenceNode:
		s.Form = List
		for _, element := range value.Content {
			s.Values = append(s.Values, p.scalar(name, element))
		}
	case yaml.MappingNode:
		s.Form = Mapping
		p.pairs(value, "", func(k, v *yaml.Node) {
			s.Values = append(s.Values, p.scalar(name, k)+"="+p.scalar(name, v))
		})
	}
	return append(to, s)
}

// scalar returns the text of a part of a list or mapping.
func (p *parser) scalar(name string, n *yaml.Node) string {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		p.wrong(n, "the parts of %s are single values", name)
	}
	return n.Value
}

// isSecret knows the names under which people would write their token.
func isSecret(name string) bool {
	switch strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name)) {
	case "token", "tolokatoken", "poolfilltoken", "apitoken", "apikey", "oauthtoken", "password", "secret":
		return true
	}
	return false
}

// hint names the setting that was likely meant.
func (p *parser) hint(name string) string {
	if name == "<<" {
		return ": YAML's merge keys are not read; profiles are for that"
	}
	if name == keyProfile || name == keyProfiles {
		return " within a profile"
	}
	if near := spelling.Nearest(strings.ReplaceAll(name, "_", "-"), p.known); near != "" {
		return ": did you mean " + near + "?"
	}
	return ": docs/configuration.md lists them, and so does 'poolfill config upload'"
}
