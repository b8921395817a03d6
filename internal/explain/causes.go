package explain

import (
	"fmt"
	"regexp"
	"strings"
)

// Group is rejections of one kind.
type Group struct {
	// Stage is parse, map, check or server, as in a report.
	Stage string
	// Field is the column, such as "INPUT:image"; empty where it is the row.
	Field string
	Code  string
	// Value is the beginning of the first one's cell; empty where it is unknown.
	Value string
	Count int64
}

// Causes says for each group of a run with so many rows what has probably gone
// wrong, and what to do. It is empty only for a code that is not in the table.
func Causes(groups []Group, rows int64) []string {
	does := map[string]string{}
	for _, e := range All() {
		does[e.Code] = e.Do
	}
	causes := make([]string, len(groups))
	for i, g := range groups {
		if other, ok := renamed(groups, g); ok {
			causes[i] = renamedCause(g, other)
			continue
		}
		if causes[i] = cause(g, rows); causes[i] == "" {
			causes[i] = does[g.Code]
		}
	}
	return causes
}

// The codes that come in pairs where a column has another name.
const (
	required   = "VALUE_REQUIRED"
	notAllowed = "VALUE_NOT_ALLOWED"
)

// renamed finds the group that stands for the other side of a renamed column: a
// field that is not known and one that is missing, in equally many rows.
func renamed(groups []Group, g Group) (other Group, ok bool) {
	want := map[string]string{required: notAllowed, notAllowed: required}[g.Code]
	if want == "" || g.Field == "" {
		return other, false
	}
	best := -1
	for _, candidate := range groups {
		if candidate.Code != want || candidate.Count != g.Count || prefixOf(candidate.Field) != prefixOf(g.Field) {
			continue
		}
		if alike := commonLetters(candidate.Field, g.Field); alike > best {
			best, other, ok = alike, candidate, true
		}
	}
	return other, ok
}

func renamedCause(a, b Group) string {
	unknown, missing := a, b
	if a.Code == required {
		unknown, missing = b, a
	}
	return fmt.Sprintf("The column %s seems to be %s under another name: rename it, or use --map %s=%s.",
		unknown.Field, missing.Field, unknown.Field, withPrefix(missing.Field))
}

// prefixOf gives what stands before the colon; a plain column is an input field.
func prefixOf(field string) string {
	prefix, _, ok := strings.Cut(field, ":")
	if !ok {
		return "INPUT"
	}
	return prefix
}

func withPrefix(field string) string {
	if strings.Contains(field, ":") {
		return field
	}
	return "INPUT:" + field
}

// commonLetters counts the letters that two names share at their beginnings and
// ends.
func commonLetters(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	a, b = a[n:], b[n:]
	for i := 1; i <= len(a) && i <= len(b) && a[len(a)-i] == b[len(b)-i]; i++ {
		n++
	}
	return n
}

// The forms of values that tell what went wrong.
var (
	decimalComma  = regexp.MustCompile(`^\s*[-+]?[0-9]+,[0-9]+\s*$`)
	thousands     = regexp.MustCompile(`^\s*[-+]?[0-9]{1,3}([, '\x{A0}\x{202F}][0-9]{3})+([.,][0-9]+)?\s*$`)
	fourNumbers   = regexp.MustCompile(`^\s*-?[0-9]+,[0-9]+\s*[,; ]\s*-?[0-9]+,[0-9]+\s*$`)
	domain        = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}(/\S*)?$`)
	wholeFraction = regexp.MustCompile(`^[-+]?[0-9]+\.0+$`)
	yesOrNo       = regexp.MustCompile(`(?i)^(yes|no|y|n|0|1|x|on|off)$`)
)

// cause guesses from the value; empty where it tells nothing.
func cause(g Group, rows int64) string {
	most := g.Count*2 > rows && g.Count > 1
	value := strings.TrimSpace(g.Value)
	if g.Stage == "server" && strings.HasSuffix(g.Code, "_EXPECTED") && g.Code != "STRING_EXPECTED" {
		return "The check before the upload didn't know the field's type: leave out --no-spec, --spec and --trust-server, so that the project's spec makes the values. " +
			"A pool also keeps the version of the project that it was made with."
	}
	switch g.Code {
	case "COLUMN_COUNT":
		if most {
			return "Most rows are concerned: perhaps the delimiter is another one than the header suggests; give it with --delimiter, or the quotes mean nothing (--quotes none)."
		}
		if value != "" {
			return `A cell probably holds the delimiter, such as a comma in a text or an array: put it in quotes, "like, this".`
		}
		return "Give each row as many cells as the header has, empty ones included. A line end within a cell needs quotes around the cell, too."
	case "INTEGER_EXPECTED", "FLOAT_EXPECTED":
		return numberCause(g.Code, value)
	case "INVALID_URL_SYNTAX":
		return urlCause(value)
	case "INVALID_COORDINATES_SYNTAX":
		if fourNumbers.MatchString(value) {
			return "The coordinates have decimal commas: write 55.75,37.61."
		}
	case "BOOLEAN_EXPECTED":
		if yesOrNo.MatchString(value) {
			return "Write true or false instead, such as by a formula or by replacing all in the spreadsheet."
		}
	case "ARRAY_SIZE_GREATER_THAN_MAX", "UNKNOWN_ENUM_VALUE", "PATTERN_MISMATCH", "ARRAY_EXPECTED":
		if strings.Contains(value, ",") {
			return `In an array each comma ends an element: an element that has a comma in its text must stand in quotes, cat,"white, mostly".`
		}
		if value != g.Value {
			return "There are blanks around the value, which count: remove them."
		}
	case "ENCODING":
		if most {
			return "Most rows are concerned: the file is in another charset. Name it, such as --encoding windows-1251, or save the file as UTF-8."
		}
	case required:
		if g.Count == rows && rows > 1 {
			return fmt.Sprintf("No row has it: perhaps another column holds it; name that with --map COLUMN=%s.", withPrefix(g.Field))
		}
		return "Fill the cells, or make the field optional in the project."
	}
	return ""
}

func numberCause(code, value string) string {
	switch {
	case thousands.MatchString(value):
		return "The number has separators between its thousands, or a decimal comma: write digits and a decimal point only, by exporting with English number formats."
	case decimalComma.MatchString(value):
		return fmt.Sprintf("Decimal commas: write %s, by exporting with English number formats.", strings.Replace(strings.TrimSpace(value), ",", ".", 1))
	case code == "INTEGER_EXPECTED" && wholeFraction.MatchString(value):
		whole, _, _ := strings.Cut(value, ".")
		return fmt.Sprintf("A whole number was exported with decimals: write %s.", whole)
	}
	return ""
}

func urlCause(value string) string {
	switch {
	case value == "":
		return ""
	case strings.Contains(value, ",http") || strings.Contains(value, " http"):
		return "The cell holds several URLs: the field takes one. Make it an array (array_url) in the project, or use a row for each."
	case strings.HasPrefix(value, "//"):
		return "The URL has no scheme: write https:" + value + "."
	case strings.Contains(value, `\`) || strings.HasPrefix(value, "/") || strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "."):
		return "That is a file's path, which performers can't open: put the files on a server, and write their https:// addresses."
	case domain.MatchString(value):
		return "The URL has no scheme: write https:// before it."
	}
	return ""
}
