package explain

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

// codesIn gives the values of all constants of a package whose names begin with
// Code or code.
func codesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	codes := map[string]string{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != len(spec.Names) {
				return true
			}
			for i, name := range spec.Names {
				value, ok := spec.Values[i].(*ast.BasicLit)
				if !ok || value.Kind != token.STRING || !strings.HasPrefix(strings.ToLower(name.Name), "code") {
					continue
				}
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[text] = path + ": " + name.Name
			}
			return true
		})
	}
	return codes
}

func TestEveryCodeIsExplained(t *testing.T) {
	for dir, least := range map[string]int{
		"../../../../reader": 19, "../../../../reader/table": 14, "../../../../internal/contract": 27, "../plan": 6, "../../../../pipeline": 3, "../../../../uploader/toloka": 1,
	} {
		codes := codesIn(t, dir)
		if len(codes) < least {
			t.Errorf("%s: only %d codes were found", dir, len(codes))
		}
		for code, name := range codes {
			if _, ok := Find(code); !ok {
				t.Errorf("%s (%s) is not explained", code, name)
			}
		}
	}
	// These stand in the code without a constant.
	for _, code := range []string{"REJECTED", "REQUEST_TOO_LARGE", "AUTHENTICATION_ERROR", "ACCESS_DENIED", "TOO_MANY_REQUESTS"} {
		if _, ok := Find(code); !ok {
			t.Errorf("%s is not explained", code)
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	if lines := strings.Count(table, "\n"); len(All()) != lines-1 {
		t.Errorf("%d of the %d lines below the header are read", len(All()), lines-1)
	}
	seen := map[string]bool{}
	var subjects []Where
	for _, e := range All() {
		switch {
		case seen[e.Code]:
			t.Errorf("%s stands there twice", e.Code)
		case e.Code == "" || e.Code != normal(e.Code):
			t.Errorf("%q is no code", e.Code)
		case e.Example == "":
			t.Errorf("%s has no example", e.Code)
		}
		for _, text := range []string{e.Means, e.Do} {
			if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, `".`) {
				t.Errorf("%s: %q is no sentence", e.Code, text)
			}
		}
		if len(subjects) == 0 || subjects[len(subjects)-1] != e.Where {
			subjects = append(subjects, e.Where)
		}
		seen[e.Code] = true
	}
	if want := []Where{File, Header, Row, Warning, Value, Plan, Request}; !slices.Equal(subjects, want) {
		t.Errorf("the subjects are %v, want %v, each in one piece", subjects, want)
	}
}

func TestCodesAreFoundAsPeopleWriteThem(t *testing.T) {
	for _, code := range []string{"COLUMN_COUNT", "column_count", "Column-Count", " column count "} {
		if e, ok := Find(code); !ok || e.Code != "COLUMN_COUNT" {
			t.Errorf("%q: %+v", code, e)
		}
	}
	if e, ok := Find("COLUMNS"); ok {
		t.Errorf("found %+v", e)
	}
	for code, want := range map[string]string{
		"COLUMN_COUNTS": "COLUMN_COUNT", "INVALID_URL": "INVALID_URL_SYNTAX INVALID_COORDINATES_SYNTAX", "quote": "UNCLOSED_QUOTE LITERAL_QUOTE", "xyz": "", "": "",
	} {
		near := Near(code)
		for _, w := range strings.Fields(want) {
			if !slices.Contains(near, w) {
				t.Errorf("near %q are %v, want %s among them", code, near, w)
			}
		}
		if want == "" && near != nil {
			t.Errorf("near %q are %v", code, near)
		}
	}
}

func TestCauses(t *testing.T) {
	for _, c := range []struct {
		name   string
		groups []Group
		rows   int64
		want   string // part of the first group's
	}{
		{
			"a renamed column",
			[]Group{{"", "INPUT:image", "VALUE_REQUIRED", "", 9}, {"", "INPUT:imagis", "VALUE_NOT_ALLOWED", "x", 9}},
			20,
			"The column INPUT:imagis seems to be INPUT:image under another name: rename it, or use --map INPUT:imagis=INPUT:image.",
		},
		{
			"from the other side, in a plain file",
			[]Group{{"", "imagis", "VALUE_NOT_ALLOWED", "x", 9}, {"", "INPUT:image", "VALUE_REQUIRED", "", 9}},
			9,
			"The column imagis seems to be INPUT:image under another name: rename it, or use --map imagis=INPUT:image.",
		},
		{
			"of several the one that is most alike", []Group{
				{"", "INPUT:imagis", "VALUE_NOT_ALLOWED", "x", 9}, {"", "INPUT:title", "VALUE_REQUIRED", "", 9}, {"", "INPUT:image", "VALUE_REQUIRED", "", 9},
			}, 9, "seems to be INPUT:image",
		},
		{
			"of several in a plain file, too", []Group{
				{"", "imagis", "VALUE_NOT_ALLOWED", "x", 9}, {"", "title", "VALUE_NOT_ALLOWED", "x", 9}, {"", "INPUT:image", "VALUE_REQUIRED", "", 9},
			}, 9, "seems to be INPUT:image",
		},
		{
			"a column that is none of the missing ones", []Group{
				{"", "title", "VALUE_NOT_ALLOWED", "x", 9}, {"", "imagis", "VALUE_NOT_ALLOWED", "x", 9}, {"", "INPUT:image", "VALUE_REQUIRED", "", 9},
			}, 9, "Rename the column, or leave it out with --ignore-column title.",
		},
		{"an unknown column and empty cells", []Group{{"", "INPUT:x", "VALUE_NOT_ALLOWED", "x", 9}, {"", "INPUT:image", "VALUE_REQUIRED", "", 2}}, 9, "Rename the column, or leave it out with --ignore-column INPUT:x."},
		{"an unknown answer and a missing input", []Group{{"", "GOLDEN:x", "VALUE_NOT_ALLOWED", "x", 9}, {"", "INPUT:image", "VALUE_REQUIRED", "", 9}}, 9, "--ignore-column GOLDEN:x."},
		{"a column that no row has", []Group{{"", "INPUT:image", "VALUE_REQUIRED", "", 9}}, 9, "--map COLUMN=INPUT:image"},
		{"some empty cells", []Group{{"", "INPUT:image", "VALUE_REQUIRED", "", 2}}, 9, "Fill the cells"},
		{"a URL without a scheme", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "example.com/1.jpg", 1}}, 9, "write https:// before it"},
		{"half a scheme", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "//example.com/1.jpg", 1}}, 9, "write https://example.com/1.jpg"},
		{"blanks around a URL", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", " https://e.com/a.jpg", 1}}, 9, ""},
		{"a line end in a URL", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "https://e.com/\na.jpg", 1}}, 9, ""},
		{"another scheme", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "ftp://x/y", 1}}, 9, "don't open ftp:// addresses"},
		{"a slash too few", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "https:/e.com", 1}}, 9, "write https://e.com."},
		{"several URLs", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "x://a.b/1.jpg,https://a.b/2.jpg", 1}}, 9, "several URLs"},
		{"a path of Windows", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", `C:\cats\1.jpg`, 1}}, 9, "file's path"},
		{"another path", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "./cats/1.jpg", 1}}, 9, "file's path"},
		{"no URL at all", []Group{{"", "INPUT:image", "INVALID_URL_SYNTAX", "n/a", 1}}, 9, "Write the whole address, from https:// on."},
		{"a decimal comma", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "7,50", 1}}, 9, "Decimal commas: write 7.50"},
		{"separated thousands", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "1,500.20", 1}}, 9, "thousands: write 1500.20,"},
		{"separated thousands and a decimal comma", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "1.234,5", 1}}, 9, "thousands: write 1234.5,"},
		{"a comma that may be either", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "1,500", 1}}, 9, "between its thousands, or a decimal comma: write digits"},
		{"a comma that can't be of thousands", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "0,500", 1}}, 9, "Decimal commas: write 0.500,"},
		{"a percent sign", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "12 %", 1}}, 9, "write the number alone, such as 12."},
		{"a unit", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "-7.5 km/h", 1}}, 9, "write the number alone, such as -7.5."},
		{"a unit after what is no whole number", []Group{{"", "INPUT:w", "INTEGER_EXPECTED", "7.5 cm", 1}}, 9, "Write digits only"},
		{"a decimal comma in a whole number", []Group{{"", "INPUT:w", "INTEGER_EXPECTED", "1,0", 1}}, 9, "Decimal commas: write 1,"},
		{"a fraction where a whole number is wanted", []Group{{"", "INPUT:w", "INTEGER_EXPECTED", "1,5", 1}}, 9, "Write digits only"},
		{"with blanks of a spreadsheet", []Group{{"", "INPUT:w", "INTEGER_EXPECTED", "1\u00a0500\u202f000", 1}}, 9, "thousands: write 1500000,"},
		{"a whole number with decimals", []Group{{"", "INPUT:w", "INTEGER_EXPECTED", "12.0", 1}}, 9, "write 12."},
		{"a number sent as a text", []Group{{"server", "INPUT:w", "FLOAT_EXPECTED", "7.50", 1}}, 9, "--no-spec"},
		{"an array sent as a text", []Group{{"server", "INPUT:w", "ARRAY_EXPECTED", "a,b", 1}}, 9, "--no-spec"},
		{"another value", []Group{{"", "INPUT:w", "FLOAT_EXPECTED", "heavy", 1}}, 9, "Write digits and a decimal point only"},
		{"coordinates with decimal commas", []Group{{"", "INPUT:at", "INVALID_COORDINATES_SYNTAX", "55,75, 37,61", 1}}, 9, "decimal commas"},
		{"yes", []Group{{"", "INPUT:ok", "BOOLEAN_EXPECTED", "Yes", 1}}, 9, "Write true or false instead"},
		{"a comma in an array", []Group{{"", "INPUT:tags", "ARRAY_SIZE_GREATER_THAN_MAX", "cat,white, mostly", 1}}, 9, "each comma ends an element"},
		{"blanks around a value", []Group{{"", "GOLDEN:r", "UNKNOWN_ENUM_VALUE", "cat ", 1}}, 9, "blanks around"},
		{"another charset", []Group{{"", "title", "ENCODING", "caf?", 8}}, 9, "--encoding windows-1251"},
		{"one bad character", []Group{{"", "title", "ENCODING", "caf?", 1}}, 9, "Name the charset"},
		{"another delimiter", []Group{{"", "", "COLUMN_COUNT", "", 8}}, 9, "--delimiter"},
		{"a comma outside of quotes", []Group{{"", "", "COLUMN_COUNT", "asleep", 1}}, 9, `in quotes, "like, this"`},
		{"a short row", []Group{{"", "", "COLUMN_COUNT", "", 1}}, 9, "as many cells as the header"},
		{"a code of the future", []Group{{"", "", "NEW_CODE", "", 1}}, 9, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			causes := Causes(c.groups, c.rows)
			if len(causes) != len(c.groups) {
				t.Fatalf("%d causes for %d groups", len(causes), len(c.groups))
			}
			if got := causes[0]; !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("the cause is %q, want %q", got, c.want)
			}
		})
	}
}

func TestFlagsAreNamedOnce(t *testing.T) {
	for _, err := range []error{
		pipeline.ErrNoPool, pipeline.ErrNoSpec, pipeline.ErrTwoSpecs, &pipeline.InvalidRowError{}, &pipeline.TooManyRejectedError{}, &pipeline.AllRefusedError{},
		&toloka.StalledError{Tasks: 2}, &toloka.Error{Kind: toloka.KindTooLarge}, &ratelimit.TooManyTasksError{},
		&ledger.OlderError{}, &ledger.DamagedError{Err: errors.New("torn")}, &ledger.NewerError{},
	} {
		once := WithFlags(err.Error())
		if strings.Contains(err.Error(), "--") || !strings.Contains(once, "--") || WithFlags(once) != once {
			t.Errorf("%v is %s", err, once)
		}
	}
}
