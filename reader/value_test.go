package reader

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// typed reads one cell by a spec given as JSON.
func typed(t *testing.T, spec, cell string) (text string, ok bool, codes, notices []string, messages string) {
	t.Helper()
	var s FieldSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatalf("spec %s: %v", spec, err)
	}
	f, _, err := compileField(s)
	if err != nil {
		t.Fatalf("spec %s: %v", spec, err)
	}
	var v remarks
	out, ok := f.append([]byte("before"), []byte(cell), &v)
	var all []string
	for _, p := range v.problems {
		codes = append(codes, p.code)
		all = append(all, p.text)
	}
	for _, n := range v.notices {
		notices = append(notices, n.code)
	}
	return strings.TrimPrefix(string(out), "before"), ok, codes, notices, strings.Join(all, "\n")
}

func TestCellsBecomeValuesOfTheirFieldsType(t *testing.T) {
	for _, c := range []struct{ name, spec, cell, want string }{
		{"a string is never trimmed", `{"type":"string"}`, "  a b\t", `"  a b\t"`},
		{"a string keeps HTML characters", `{"type":"string"}`, `<a href="x">&</a>`, `"<a href=\"x\">&</a>"`},
		{"a string with a written escape keeps its two characters", `{"type":"string"}`, `a\nb`, `"a\\nb"`},
		{"a string keeps control characters escaped", `{"type":"string"}`, "a\x01\r\n", `"a\u0001\r\n"`},
		{"an unknown type is a string", `{"type":"wondrous"}`, `1`, `"1"`},
		{"an array of an unknown type is a string", `{"type":"array_wondrous"}`, `1,2`, `"1,2"`},

		{"an integer", `{"type":"integer"}`, "42", `42`},
		{"a number is an integer", `{"type":"number"}`, "42", `42`},
		{"an integer loses plus and leading zeros", `{"type":"integer"}`, "+0042", `42`},
		{"zeros are one zero", `{"type":"integer"}`, "000", `0`},
		{"a negative integer", `{"type":"integer"}`, "-007", `-7`},
		{"blanks around an integer are no part of it", `{"type":"integer"}`, " 5 ", `5`},
		{"the greatest integer", `{"type":"integer"}`, "9223372036854775807", `9223372036854775807`},
		{"the least integer", `{"type":"integer"}`, "-9223372036854775808", `-9223372036854775808`},
		{"many leading zeros don't count", `{"type":"integer"}`, strings.Repeat("0", 40) + "9", `9`},

		{"a float keeps its digits", `{"type":"float"}`, "12.50", `12.50`},
		{"a float keeps digits beyond its precision", `{"type":"float"}`, "0.1000000000000000055511151231257827", `0.1000000000000000055511151231257827`},
		{"a float without a whole part gets a zero", `{"type":"float"}`, ".5", `0.5`},
		{"a float without a fraction loses the point", `{"type":"float"}`, "5.", `5`},
		{"a negative float without a whole part", `{"type":"float"}`, "-.50", `-0.50`},
		{"an exponent is passed on", `{"type":"float"}`, "1e5", `1e5`},
		{"an exponent keeps its sign and zeros", `{"type":"float"}`, "+01.20E-05", `1.20E-05`},
		{"a float can be an integer", `{"type":"float"}`, "7", `7`},

		{"true", `{"type":"boolean"}`, "true", `true`},
		{"false with blanks around it", `{"type":"boolean"}`, " false\t", `false`},

		{"a URL with a scheme", `{"type":"url"}`, "http://e.com", `"http://e.com"`},
		{"a URL with an inner space", `{"type":"url"}`, "https://e.com/a b.mp4", `"https://e.com/a b.mp4"`},
		{"a URL that begins with www", `{"type":"url"}`, "www.e.com", `"www.e.com"`},
		{"a URL in capitals", `{"type":"url"}`, "HTTPS://E.COM", `"HTTPS://E.COM"`},
		{"a URL with letters of any alphabet", `{"type":"url"}`, "https://пример.рф/ü", `"https://пример.рф/ü"`},

		{"coordinates are passed on as written", `{"type":"coordinates"}`, "22.3341,32.32", `"22.3341,32.32"`},
		{"coordinates keep their blanks", `{"type":"coordinates"}`, "-90, 180.000", `"-90, 180.000"`},

		{"JSON loses only blanks between tokens", `{"type":"json"}`, " { \"b\" : 1.50 ,\n\"a\":[ 1e5, \"x y\" , null ] } ", `{"b":1.50,"a":[1e5,"x y",null]}`},
		{"JSON with escaped commas", `{"type":"json"}`, `{"a":1\,"b":[1\,2]}`, `{"a":1,"b":[1,2]}`},
		{"JSON with one key in two objects", `{"type":"json"}`, `{"x":{"a":1},"a":[{"a":2},{"a":3}]}`, `{"x":{"a":1},"a":[{"a":2},{"a":3}]}`},
		{"JSON keeps escapes", `{"type":"json"}`, `"\u00e9\/\ud83d\ude00"`, `"\u00e9\/\ud83d\ude00"`},
		{"JSON may be null where the field is optional", `{"type":"json"}`, `null`, `null`},

		{"an array of floats", `{"type":"array_float"}`, "1,2.3", `[1,2.3]`},
		{"an array with blanks around its elements", `{"type":"array_integer"}`, " 1 , 2,\n3 ", `[1,2,3]`},
		{"an array of one element", `{"type":"array_string"}`, "a", `["a"]`},
		{"a quoted element holds commas and quotes", `{"type":"array_string"}`, `"a, ""b""" , c`, `["a, \"b\"","c"]`},
		{"a quoted element keeps its blanks", `{"type":"array_string"}`, `" a "`, `[" a "]`},
		{"a quoted element keeps backslashes", `{"type":"array_string"}`, `"a\,b\\"`, `["a\\,b\\\\"]`},
		{"escapes in an element without quotes", `{"type":"array_string"}`, `a\,b,c\\,d\e`, `["a,b","c\\","d\\e"]`},
		{"a quote in the middle is a character", `{"type":"array_string"}`, `say "hi",b`, `["say \"hi\"","b"]`},
		{"an array of booleans", `{"type":"array_boolean"}`, "true,false,true", `[true,false,true]`},
		{"an array of URLs", `{"type":"array_url"}`, "https://a.com,www.b.com", `["https://a.com","www.b.com"]`},
		{"an array of coordinates", `{"type":"array_coordinates"}`, `"22.3,32.3",22.3\,32.3`, `["22.3,32.3","22.3,32.3"]`},

		{"an array of JSON, one after the other", `{"type":"array_json"}`, `{"a":[1,2]}, 5 ,"x,y"`, `[{"a":[1,2]},5,"x,y"]`},
		{"an array of JSON with escaped commas", `{"type":"array_json"}`, `{"a":1\,"b":2},{"c":3}`, `[{"a":1,"b":2},{"c":3}]`},
		{"an array of quoted JSON", `{"type":"array_json"}`, `"{""a"":1,""b"":2}","{""c"":3}"`, `[{"a":1,"b":2},{"c":3}]`},
		{"arrays in an array of JSON", `{"type":"array_json"}`, `[1,2],[3]`, `[[1,2],[3]]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok, codes, notices, _ := typed(t, c.spec, c.cell)
			if got != c.want || !ok || codes != nil || notices != nil {
				t.Errorf("%q as %s = %s, %v, codes %v, notices %v; want %s", c.cell, c.spec, got, ok, codes, notices, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("%q as %s = %s, which is no JSON", c.cell, c.spec, got)
			}
		})
	}
}

func TestCellsThatTheSpecRefusesAreNamedWithTolokasCodes(t *testing.T) {
	for _, c := range []struct{ name, spec, cell, codes, message string }{
		{"a short string", `{"type":"string","min_length":3}`, "éà", "STRING_LENGTH_LESS_THAN_MIN", "2 characters"},
		{"a long string", `{"type":"string","max_length":2}`, "日本語", "STRING_LENGTH_GREATER_THAN_MAX", "3 characters"},
		{"a pattern must match the whole value", `{"type":"string","pattern":"[a-z]+|x"}`, "abc1", "PATTERN_MISMATCH", "abc1"},
		{"a string that is not allowed", `{"type":"string","allowed_values":["cat","dog"]}`, "cow", "UNKNOWN_ENUM_VALUE", `"cat", "dog"`},
		{"all findings of a value", `{"type":"string","max_length":2,"pattern":"x*","allowed_values":["x"]}`, "cow", "STRING_LENGTH_GREATER_THAN_MAX PATTERN_MISMATCH UNKNOWN_ENUM_VALUE", ""},

		{"a word as an integer", `{"type":"integer"}`, "five", "INTEGER_EXPECTED", `"five"`},
		{"blanks as an integer", `{"type":"integer"}`, "  ", "INTEGER_EXPECTED", "only blanks"},
		{"a float as an integer", `{"type":"integer"}`, "3.5", "INTEGER_EXPECTED", "fraction"},
		{"a whole float as an integer", `{"type":"integer"}`, "3.0", "INTEGER_EXPECTED", "write 3"},
		{"an exponent as an integer", `{"type":"integer"}`, "1e3", "INTEGER_EXPECTED", "all its digits"},
		{"a comma in an integer", `{"type":"integer"}`, "1,000", "INTEGER_EXPECTED", "comma"},
		{"digits of another script", `{"type":"integer"}`, "５", "INTEGER_EXPECTED", "digits 0 to 9"},
		{"a blank inside", `{"type":"integer"}`, "1 000", "INTEGER_EXPECTED", "blank inside"},
		{"two signs", `{"type":"integer"}`, "+-5", "INTEGER_EXPECTED", ""},
		{"a sign alone", `{"type":"integer"}`, "-", "INTEGER_EXPECTED", ""},
		{"an integer beyond 64 bits", `{"type":"integer"}`, "9223372036854775808", "VALUE_OUT_OF_BOUNDS", "64-bit"},
		{"an integer far beyond 64 bits", `{"type":"integer"}`, "-" + strings.Repeat("9", 50), "VALUE_OUT_OF_BOUNDS", "64-bit"},
		{"a small integer", `{"type":"integer","min_value":2}`, "1", "VALUE_LESS_THAN_MIN", "less than 2"},
		{"a great integer", `{"type":"integer","max_value":9007199254740992}`, "9007199254740993", "VALUE_GREATER_THAN_MAX", "9007199254740992"},
		{"an integer that is not allowed", `{"type":"integer","allowed_values":[1,2]}`, "3", "UNKNOWN_ENUM_VALUE", "1, 2"},

		{"a decimal comma", `{"type":"float"}`, "3,14", "FLOAT_EXPECTED", "it has a comma, write 3.14"},
		{"several commas", `{"type":"float"}`, "1,000,000.5", "FLOAT_EXPECTED", "write it without"},
		{"points between thousands", `{"type":"float"}`, "1.234,5", "FLOAT_EXPECTED", "it has a comma"},
		{"a comma that may be of thousands", `{"type":"float"}`, "1,500", "FLOAT_EXPECTED", "it has a comma"},
		{"a path of Windows", `{"type":"url"}`, `C:\a.jpg`, "INVALID_URL_SYNTAX", "`C:\\a.jpg` is not a URL"},
		{"not a number", `{"type":"float"}`, "NaN", "FLOAT_EXPECTED", "leave the cell empty"},
		{"infinity", `{"type":"float"}`, "-Infinity", "FLOAT_EXPECTED", "leave the cell empty"},
		{"a point alone", `{"type":"float"}`, ".", "FLOAT_EXPECTED", ""},
		{"an exponent without digits", `{"type":"float"}`, "1e", "FLOAT_EXPECTED", ""},
		{"a hexadecimal number", `{"type":"float"}`, "0x10", "FLOAT_EXPECTED", ""},
		{"a float beyond its range", `{"type":"float"}`, "1e400", "VALUE_OUT_OF_BOUNDS", "64-bit"},
		{"a float just over its bound", `{"type":"float","max_value":0.1}`, "0.10000000000000000001", "VALUE_GREATER_THAN_MAX", "more than 0.1"},
		{"a float just under its bound", `{"type":"float","min_value":-1.5}`, "-1.50000000000000000001", "VALUE_LESS_THAN_MIN", ""},

		{"one as a boolean", `{"type":"boolean"}`, "1", "BOOLEAN_EXPECTED", "true or false"},
		{"yes as a boolean", `{"type":"boolean"}`, "yes", "BOOLEAN_EXPECTED", "true or false"},
		{"odd capitals as a boolean", `{"type":"boolean"}`, "tRUE", "BOOLEAN_EXPECTED", ""},
		{"a boolean that is not allowed", `{"type":"boolean","allowed_values":[true]}`, "false", "UNKNOWN_ENUM_VALUE", ""},

		{"a URL without a scheme", `{"type":"url"}`, "e.com/a.png", "INVALID_URL_SYNTAX", "http://"},
		{"a scheme alone", `{"type":"url"}`, "https://", "INVALID_URL_SYNTAX", ""},
		{"a URL with a line break", `{"type":"url"}`, "https://e.com/\na", "INVALID_URL_SYNTAX", "U+000A"},
		{"a URL with a C1 control character", `{"type":"url"}`, "https://e.com/\u0085a", "INVALID_URL_SYNTAX", "U+0085"},
		{"a URL with a blank before it", `{"type":"url"}`, " https://e.com", "INVALID_URL_SYNTAX", "blanks around"},

		{"one coordinate", `{"type":"coordinates"}`, "22.3", "INVALID_COORDINATES_SYNTAX", "latitude,longitude"},
		{"three coordinates", `{"type":"coordinates"}`, "1,2,3", "INVALID_COORDINATES_SYNTAX", ""},
		{"coordinates the wrong way round", `{"type":"coordinates"}`, "120.5,10", "INVALID_COORDINATES_SYNTAX", "latitude comes first"},
		{"coordinates just outside", `{"type":"coordinates"}`, "90.0000000000000000001,0", "INVALID_COORDINATES_SYNTAX", "-90 to 90"},
		{"a latitude a bit outside", `{"type":"coordinates"}`, "90.0001,0", "INVALID_COORDINATES_SYNTAX", "-90 to 90"},
		{"a longitude a bit outside", `{"type":"coordinates"}`, "0,-180.01", "INVALID_COORDINATES_SYNTAX", "-180 to 180"},
		{"coordinates with an exponent", `{"type":"coordinates"}`, "1e1,0", "INVALID_COORDINATES_SYNTAX", ""},

		{"a file can't be filled", `{"type":"file"}`, "a.png", "VALUE_NOT_ALLOWED", "leave its cells empty"},

		{"half a JSON text", `{"type":"json"}`, `{"a":`, "JSON_EXPECTED", "character 6"},
		{"a comma too much in JSON", `{"type":"json"}`, `{"é":1,}`, "JSON_EXPECTED", "character 8"},
		{"two JSON texts", `{"type":"json"}`, `{} {}`, "JSON_EXPECTED", "more text"},
		{"what Python prints", `{"type":"json"}`, `{'a': None}`, "JSON_EXPECTED", ""},
		{"a number with leading zeros in JSON", `{"type":"json"}`, `[01]`, "JSON_EXPECTED", "leading zeros"},
		{"a bare point in JSON", `{"type":"json"}`, `[1.]`, "JSON_EXPECTED", ""},
		{"a plus in JSON", `{"type":"json"}`, `[+1]`, "JSON_EXPECTED", ""},
		{"a line break in a JSON string", `{"type":"json"}`, "\"a\nb\"", "JSON_EXPECTED", `\n`},
		{"an unknown escape in JSON", `{"type":"json"}`, `"\x"`, "JSON_EXPECTED", "escape"},
		{"a lone high surrogate", `{"type":"json"}`, `"\ud800"`, "JSON_EXPECTED", "surrogate"},
		{"a lone low surrogate", `{"type":"json"}`, `"\udc00"`, "JSON_EXPECTED", "surrogate"},
		{"two high surrogates", `{"type":"json"}`, `"\ud800\ud800"`, "JSON_EXPECTED", "surrogate"},
		{"deep JSON", `{"type":"json"}`, strings.Repeat("[", 100_000), "JSON_EXPECTED", "512"},
		{"null for a required field", `{"type":"json","required":true}`, "null", "VALUE_REQUIRED", ""},

		{"an empty element", `{"type":"array_string"}`, "a,,b", "ARRAY_EXPECTED", "element 2"},
		{"an empty quoted element", `{"type":"array_string"}`, `a,""`, "ARRAY_EXPECTED", "element 2"},
		{"a comma at the end", `{"type":"array_integer"}`, "1,2,", "ARRAY_EXPECTED", "element 3"},
		{"an open quote in an array", `{"type":"array_string"}`, `a,"b`, "ARRAY_EXPECTED", "never closed"},
		{"text after a quoted element", `{"type":"array_string"}`, `"a"b,c`, "ARRAY_EXPECTED", "after its closing quote"},
		{"bad elements are named each", `{"type":"array_integer"}`, "x,2,y", "INTEGER_EXPECTED INTEGER_EXPECTED", "element 3"},
		{"brackets around an array", `{"type":"array_integer"}`, "[1,2]", "INTEGER_EXPECTED INTEGER_EXPECTED ARRAY_EXPECTED", "without brackets"},
		{"a small array", `{"type":"array_integer","min_size":2}`, "1", "ARRAY_SIZE_LESS_THAN_MIN", "1 elements"},
		{"a great array", `{"type":"array_integer","max_size":2}`, "1,2,3", "ARRAY_SIZE_GREATER_THAN_MAX", "3 elements"},
		{"elements are checked against the bounds", `{"type":"array_integer","max_value":2}`, "1,3", "VALUE_GREATER_THAN_MAX", "element 2"},
		{"bad JSON in an array", `{"type":"array_json"}`, `{"a":1},{"b"}`, "JSON_EXPECTED", "element 2"},
		{"bad JSON with escaped commas", `{"type":"array_json"}`, `{"a":1\,"b":2},{"c"\,}`, "JSON_EXPECTED", "element 2"},
		{"a JSON array has a size", `{"type":"array_json","max_size":1}`, `[1,[2,3]]`, "ARRAY_SIZE_GREATER_THAN_MAX", "2 elements"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, codes, _, message := typed(t, c.spec, c.cell)
			if got := strings.Join(codes, " "); got != c.codes || !strings.Contains(message, c.message) {
				t.Errorf("%q as %s: codes %q, message %q; want %q with %q", cutText(c.cell), c.spec, got, message, c.codes, c.message)
			}
		})
	}
}

func TestOddValuesAreReadWithANotice(t *testing.T) {
	for _, c := range []struct{ name, spec, cell, want, notices string }{
		{"a boolean in capitals", `{"type":"boolean"}`, "TRUE", `true`, "BOOLEAN_CASE"},
		{"a boolean as Python prints it", `{"type":"boolean"}`, "False", `false`, "BOOLEAN_CASE"},
		{"a key twice", `{"type":"json"}`, `{"a":1,"b":{"a":2},"a":3}`, `{"a":1,"b":{"a":2},"a":3}`, "DUPLICATE_KEY"},
		{"a key twice, once escaped", `{"type":"json"}`, `{"a":1,"\u0061":2}`, `{"a":1,"\u0061":2}`, "DUPLICATE_KEY"},
		{"a key twice among many", `{"type":"json"}`, manyKeys(100, 3), manyKeys(100, 3), "DUPLICATE_KEY"},
		{"one JSON array", `{"type":"array_json"}`, ` [1, {"a":2}] `, `[1,{"a":2}]`, "BRACKETED_ARRAY"},
		{"one empty JSON array", `{"type":"array_json"}`, `[]`, `[]`, "BRACKETED_ARRAY"},
		{"one JSON array with escaped commas", `{"type":"array_json"}`, `[{"a":1}\,{"b":2}]`, `[{"a":1},{"b":2}]`, "BRACKETED_ARRAY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok, codes, notices, _ := typed(t, c.spec, c.cell)
			if got != c.want || !ok || codes != nil || strings.Join(notices, " ") != c.notices {
				t.Errorf("%q as %s = %s, %v, codes %v, notices %v; want %s, %s", c.cell, c.spec, got, ok, codes, notices, c.want, c.notices)
			}
		})
	}
}

// manyKeys is an object with n keys of which one comes again at the end.
func manyKeys(n, again int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		b.WriteString(`"k` + string(rune('A'+i%26)) + strings.Repeat("x", i/26) + `":1,`)
	}
	b.WriteString(`"k` + string(rune('A'+again)) + `":2}`)
	return b.String()
}

func TestManyDistinctKeysAreNoDuplicates(t *testing.T) {
	cell := strings.Replace(manyKeys(100, 3), `"kD":2`, `"other":2`, 1)
	if _, _, _, notices, _ := typed(t, `{"type":"json"}`, cell); notices != nil {
		t.Errorf("%s: notices %v", cell, notices)
	}
}

func TestManyBadElementsAreCountedNotListed(t *testing.T) {
	_, _, codes, _, message := typed(t, `{"type":"array_integer"}`, strings.Repeat("x,", 999)+"x")
	if len(codes) != maxElementProblems+1 || !strings.Contains(message, "990 more elements") {
		t.Errorf("%d problems: %s", len(codes), message)
	}
}

func TestPatternsThatMeanSomethingElseInJavaAreLeftToTheServer(t *testing.T) {
	for pattern, checked := range map[string]bool{
		`[a-z]+`:               true,
		`\d{4}-\d{2}`:          true,
		`(?i)yes|no`:           true,
		`(a|b)\\b`:             true,
		`[\[\]b]`:              true,
		`(?=x)x`:               false, // lookahead
		`a++`:                  false, // possessive
		`[a-z&&[^b]]+`:         false, // intersection
		`[a-z&&b]`:             false,
		`[a[bc]]`:              false, // union
		`\bword\b`:             false, // borders between letters of any alphabet
		`(?U)\w+`:              false,
		`\p{IsCyrillic}+`:      false,
		`(`:                    false,
		`[^]]`:                 false,
		strings.Repeat("a", 9): true,
	} {
		re, notices := compilePattern(pattern)
		if (re != nil) != checked || (len(notices) == 0) != checked {
			t.Errorf("%s is checked here: %v, notices %v; want %v", pattern, re != nil, notices, checked)
		}
	}
}

func TestSpecsThatContradictThemselvesAreErrors(t *testing.T) {
	bound := json.Number("many")
	_, _, err := compileField(FieldSpec{Type: TypeInteger, MinValue: &bound, MaxValue: &bound})
	if err == nil || !strings.Contains(err.Error(), "min_value") || !strings.Contains(err.Error(), "max_value") {
		t.Errorf("error %v", err)
	}
}

func TestNumbersAreComparedExactly(t *testing.T) {
	sorted := []string{
		"-1e99999999999999999999", "-10", "-9.9999999999999999999999", "-1", "-0.1", "-1e-999999999999", "0", "1e-999999999999",
		"0.0000001", ".1", "0.10000000000000000000000001", "1", "1.5", "15e-1", "2", "9", "10", "0.0011e5", "1e99999999999999999999",
	}
	equal := map[string]string{"1.5": "15e-1", "15e-1": "1.5"}
	for i, a := range sorted {
		for j, b := range sorted {
			x, okX := parseNumber([]byte(a))
			y, okY := parseNumber([]byte(b))
			if !okX || !okY {
				t.Fatalf("%s or %s is no number", a, b)
			}
			want := 0
			if i != j && equal[a] != b {
				want = map[bool]int{true: -1, false: 1}[i < j]
			}
			if got := x.compare(&y); got != want {
				t.Errorf("compare %s with %s = %d, want %d", a, b, got, want)
			}
		}
	}
	for _, pair := range [][2]string{{"0", "-0.00e5"}, {"10", "1e1"}, {"0.50", ".5"}, {"00120", "1.2E+2"}} {
		x, _ := parseNumber([]byte(pair[0]))
		y, _ := parseNumber([]byte(pair[1]))
		if x.compare(&y) != 0 || y.compare(&x) != 0 {
			t.Errorf("%s and %s are not equal", pair[0], pair[1])
		}
	}
}

func TestTextsInMessagesAreCutAtACharacter(t *testing.T) {
	long := strings.Repeat("é", 100)
	cut := cutText("a" + long)
	if len(cut) != 79 || !utf8.ValidString(cut) {
		t.Errorf("%d bytes, %q", len(cut), cut)
	}
	if got := quoteText(long); got != `"`+strings.Repeat("é", 40)+`"…` {
		t.Error(got)
	}
	if got := quoteText(`say "hi"`); got != "`say \"hi\"`" {
		t.Error(got)
	}
	if got := cutText(strings.Repeat("\x80", 100)); len(got) > sampleBytes {
		t.Errorf("%d bytes", len(got))
	}
}

// fuzzSpecs are field specs for generated cells.
var fuzzSpecs = []string{
	`{"type":"string","max_length":5,"pattern":"[a-z]*"}`, `{"type":"integer","min_value":-3,"max_value":1e20}`, `{"type":"float","allowed_values":[1,2.50]}`,
	`{"type":"boolean"}`, `{"type":"url"}`, `{"type":"coordinates"}`, `{"type":"json","required":true}`, `{"type":"file"}`, `{"type":"other"}`,
	`{"type":"array_string","min_size":2}`, `{"type":"array_integer"}`, `{"type":"array_float"}`, `{"type":"array_boolean"}`, `{"type":"array_url"}`,
	`{"type":"array_coordinates"}`, `{"type":"array_json","max_size":3}`, `{"type":"array_file"}`,
}

func FuzzValue(f *testing.F) {
	for i := range fuzzSpecs {
		for _, cell := range []string{"a", "1", "-0.5e+3", "true", "https://e.com", "1,2", `{"a":[1,"x\u00e9"]}`, `"a, ""b""",c\,d`, `[1,2]`, "é\n\x00", "\xff"} {
			f.Add(i, cell)
		}
	}
	f.Fuzz(func(t *testing.T, i int, cell string) {
		if cell == "" {
			return // an empty cell is absent
		}
		spec := fuzzSpecs[uint(i)%uint(len(fuzzSpecs))]
		text, ok, codes, _, message := typed(t, spec, cell)
		if !ok && codes == nil {
			t.Errorf("%q as %s is refused without a reason", cell, spec)
		}
		if ok && (!json.Valid([]byte(text)) || strings.ContainsAny(text, "\n\r")) {
			t.Errorf("%q as %s = %q, which is not JSON on one line", cell, spec, text)
		}
		if !utf8.ValidString(message) && utf8.ValidString(cell) {
			t.Errorf("%q as %s: message %q", cell, spec, message)
		}
		switch {
		case strings.HasPrefix(spec, `{"type":"json"`):
			checkJSONValue(t, cell, text, ok)
		case strings.HasPrefix(spec, `{"type":"string"`), strings.HasPrefix(spec, `{"type":"url"`):
			var back string
			if utf8.ValidString(cell) && (json.Unmarshal([]byte(text), &back) != nil || back != cell) {
				t.Errorf("%q comes back as %q", cell, back)
			}
		}
	})
}

// checkJSONValue compares with encoding/json, which knows no surrogates alone
// and no depth of 512.
func checkJSONValue(t *testing.T, cell, text string, ok bool) {
	t.Helper()
	if ok && !strings.Contains(cell, `\,`) {
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(cell)); err != nil || want.String() != text {
			t.Errorf("%q becomes %q, want %q (%v)", cell, text, want.String(), err)
		}
	}
	if !ok && json.Valid([]byte(cell)) && !strings.Contains(strings.ToLower(cell), `\ud`) && strings.Count(cell, "[")+strings.Count(cell, "{") <= maxJSONDepth {
		t.Errorf("%q is refused", cell)
	}
}

func TestStringsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.String().Draw(t, "cell")
		var back string
		if err := json.Unmarshal(appendString(nil, []byte(cell)), &back); err != nil || back != cell {
			t.Fatalf("%q comes back as %q, %v", cell, back, err)
		}
	})
}

func TestArraysOfStringsComeBackAsTheyWere(t *testing.T) {
	array := &field{typ: typeString, array: true}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringN(1, -1, -1), 1, 8).Draw(t, "words")
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = `"` + strings.ReplaceAll(word, `"`, `""`) + `"`
		}
		var v remarks
		out, ok := array.append(nil, []byte(strings.Join(quoted, " , ")), &v)
		var back []string
		if err := json.Unmarshal(out, &back); err != nil || !ok || !slices.Equal(words, back) {
			t.Fatalf("%q comes back as %q, %v", words, back, err)
		}
	})
}

func TestADecimalCommaIsMendedOnlyWhereItIsSure(t *testing.T) {
	for text, want := range map[string]string{
		"1,5":     ": it has a comma, write 1.5",
		"1,500":   ": it has a comma",
		"1.234,5": ": it has a comma",
		"1,234.5": ": it has a comma before the decimal point, write it without",
		"12 %":    ": it has a blank inside",
	} {
		if got := floatAdvice([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
