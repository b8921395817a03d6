package reader

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestArgumentsBecomePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"b.tsv", "a.tsv", "c[1].tsv", "notes.txt"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("old.tsv", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.tsv", "link.tsv"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args, want []string
		says       []string
	}{
		"nothing":                         {nil, nil, nil},
		"files as they are named":         {[]string{"b.tsv", "./a.tsv", "-"}, []string{"b.tsv", "./a.tsv", "-"}, nil},
		"a pattern, sorted, without dirs": {[]string{"?.tsv"}, []string{"a.tsv", "b.tsv"}, nil},
		"an existing path is no pattern":  {[]string{"c[1].tsv"}, []string{"c[1].tsv"}, nil},
		"a missing file is told later":    {[]string{"none.tsv"}, []string{"none.tsv"}, nil},
		"a file twice":                    {[]string{"b.tsv", "*.tsv", "./b.tsv", "-", "-"}, []string{"b.tsv", "a.tsv", "c[1].tsv", "-"}, nil},
		"every mistake":                   {[]string{"*.csv", "old.tsv", "[", "a.tsv"}, []string{"a.tsv"}, []string{"*.csv: no file matches", "old.tsv: this is a directory", filepath.Join("old.tsv", "*.tsv"), "[: the pattern"}},
		"only directories match":          {[]string{"old*"}, nil, []string{"no file matches"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Expand(c.args)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if (err != nil) != (len(c.says) > 0) {
				t.Errorf("got the error %v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't say %q", err, part)
				}
			}
		})
	}
}
