package explain

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
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
// wrong, and what to do. It is empty for a code that is not in the table, and where
// the message of the group says it all.
func Causes(groups []Group, rows int64) []string {
	if len(groups) == 0 {
		return nil
	}
	does := map[string]string{}
	for _, e := range All() {
		does[e.Code] = e.Do
	}
	causes := make([]string, len(groups))
	forms := compileForms()
	for i, g := range groups {
		if other, ok := renamed(groups, g); ok {
			causes[i] = renamedCause(g, other)
			continue
		}
		if causes[i] = forms.cause(g, rows); causes[i] == "" && !saysItAll(g) {
			causes[i] = does[g.Code]
		}
	}
	return causes
}

// saysItAll reports whether the message of a group names the remedy, and what the table
// says of the code in general would be of something else: characters that can't be
// seen are removed, whatever the rest of the URL is like.
func saysItAll(g Group) bool {
	return g.Code == "INVALID_URL_SYNTAX" && (g.Value != strings.TrimSpace(g.Value) || strings.ContainsFunc(g.Value, unicode.IsControl))
}

// The codes that come in pairs where a column has another name.
const (
	required   = "VALUE_REQUIRED"
	notAllowed = "VALUE_NOT_ALLOWED"
)

// renamed finds the group that stands for the other side of a renamed column: a
// field that is not known and one that is missing, in equally many rows. Where there
// are several of either, half of the name must be the same.
func renamed(groups []Group, g Group) (other Group, ok bool) {
	want := map[string]string{required: notAllowed, notAllowed: required}[g.Code]
	if want == "" || g.Field == "" {
		return other, false
	}
	best, candidates, rivals := -1, 0, 0
	for _, one := range groups {
		if one.Count != g.Count || prefixOf(one.Field) != prefixOf(g.Field) {
			continue
		}
		switch one.Code {
		case g.Code:
			rivals++ // g itself among them
		case want:
			candidates++
			if alike := commonLetters(nameOf(one.Field), nameOf(g.Field)); alike > best {
				best, other = alike, one
			}
		}
	}
	alone := candidates == 1 && rivals == 1
	return other, alone || candidates > 0 && best*2 >= min(len(nameOf(other.Field)), len(nameOf(g.Field)))
}

func renamedCause(a, b Group) string {
	unknown, missing := a, b
	if a.Code == required {
		unknown, missing = b, a
	}
	return fmt.Sprintf("The column %s seems to be %s under another name: rename it, or use --map %s=%s.",
		unknown.Field, missing.Field, unknown.Field, withPrefix(missing.Field))
}

// prefixOf returns what stands before the colon; a plain column is an input field.
func prefixOf(field string) string {
	prefix, _, ok := strings.Cut(field, ":")
	if !ok {
		return "INPUT"
	}
	return prefix
}

// nameOf returns what stands after the colon.
func nameOf(field string) string { return field[strings.Index(field, ":")+1:] }

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

// forms are those of values that tell what went wrong. Those of numbers have the whole
// part and the fraction as their groups.
type forms struct {
	decimalComma, oneSeparator, blankThousand, commaThousand, pointThousand, withUnit, wholeFraction *regexp.Regexp
	fourNumbers, domain, fewSlashes, otherScheme, yesOrNo                                            *regexp.Regexp
}

// compileForms is called where there is something to guess: most commands never need
// them, and would begin later for it.
func compileForms() *forms {
	return &forms{
		decimalComma:  regexp.MustCompile(`^([-+]?[0-9]+),([0-9]+)$`),
		oneSeparator:  regexp.MustCompile(`^[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}$`),
		blankThousand: regexp.MustCompile(`^([-+]?[1-9][0-9]{0,2}(?:[ '\x{A0}\x{202F}][0-9]{3})+)(?:[.,]([0-9]+))?$`),
		commaThousand: regexp.MustCompile(`^([-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.([0-9]+))?$`),
		pointThousand: regexp.MustCompile(`^([-+]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+)(?:,([0-9]+))?$`),
		withUnit:      regexp.MustCompile(`^([-+]?[0-9]+)(?:\.([0-9]+))?\s*(?:%|\pL[\pL0-9./]*)$`),
		wholeFraction: regexp.MustCompile(`^([-+]?[0-9]+)\.(0+)$`),
		fourNumbers:   regexp.MustCompile(`^\s*-?[0-9]+,[0-9]+\s*[,; ]\s*-?[0-9]+,[0-9]+\s*$`),
		domain:        regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}(/\S*)?$`),
		fewSlashes:    regexp.MustCompile(`(?i)^(https?):/?([^/\s]\S*)$`),
		otherScheme:   regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`),
		yesOrNo:       regexp.MustCompile(`(?i)^(yes|no|y|n|0|1|x|on|off)$`),
	}
}

// cause guesses from the value; empty where it is no hint.
func (f *forms) cause(g Group, rows int64) string {
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
		return f.numberCause(g.Code, value)
	case "INVALID_URL_SYNTAX":
		return f.urlCause(value)
	case "INVALID_COORDINATES_SYNTAX":
		if f.fourNumbers.MatchString(value) {
			return "The coordinates have decimal commas: write 55.75,37.61."
		}
	case "BOOLEAN_EXPECTED":
		if f.yesOrNo.MatchString(value) {
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
	case notAllowed:
		if g.Field != "" {
			return fmt.Sprintf("Rename the column, or leave it out with --ignore-column %s.", g.Field)
		}
	case required:
		if g.Count == rows && rows > 1 {
			return fmt.Sprintf("No row has it: perhaps another column holds it; name that with --map COLUMN=%s.", withPrefix(g.Field))
		}
		return "Fill the cells, or make the field optional in the project."
	}
	return ""
}

// numberCause says what is odd about a number, and how to write it where that is
// beyond doubt: 1,500 may have a decimal comma, or be a thousand and a half.
func (f *forms) numberCause(code, value string) string {
	const english = ", by exporting with English number formats."
	write := decimal
	if code == "INTEGER_EXPECTED" {
		write = integer
		if n, ok := write(f.wholeFraction, value); ok {
			return "A whole number was exported with decimals: write " + n + "."
		}
	}
	if f.oneSeparator.MatchString(value) {
		return "The number has a separator between its thousands, or a decimal comma: write digits and a decimal point only" + english
	}
	if n, ok := write(f.decimalComma, value); ok {
		return "Decimal commas: write " + n + english
	}
	for _, form := range []*regexp.Regexp{f.blankThousand, f.commaThousand, f.pointThousand} {
		if n, ok := write(form, value); ok {
			return "The number has separators between its thousands: write " + n + english
		}
	}
	if n, ok := write(f.withUnit, value); ok {
		return "The number has a unit or a percent sign: write the number alone, such as " + n + "."
	}
	return ""
}

// decimal writes a number of a form with digits and a decimal point.
func decimal(form *regexp.Regexp, value string) (number string, ok bool) {
	whole, fraction, ok := digits(form, value)
	if fraction != "" {
		whole += "." + fraction
	}
	return whole, ok
}

// integer writes a number of a form with digits alone. One with a fraction is none.
func integer(form *regexp.Regexp, value string) (number string, ok bool) {
	whole, fraction, ok := digits(form, value)
	return whole, ok && strings.Trim(fraction, "0") == ""
}

// digits returns the whole part of a number of a form, without what separates its
// digits, and its fraction.
func digits(form *regexp.Regexp, value string) (whole, fraction string, ok bool) {
	parts := form.FindStringSubmatch(value)
	if parts == nil {
		return "", "", false
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '-' || r == '+' {
			return r
		}
		return -1
	}, parts[1]), parts[2], true
}

func (f *forms) urlCause(value string) string {
	switch {
	case value == "":
		return ""
	case strings.Contains(value, ",http") || strings.Contains(value, " http"):
		return "The cell holds several URLs: the field takes one. Make it an array (array_url) in the project, or use a row for each."
	case strings.HasPrefix(value, "//"):
		return "The URL has no scheme: write https:" + value + "."
	case f.fewSlashes.MatchString(value):
		parts := f.fewSlashes.FindStringSubmatch(value)
		return fmt.Sprintf("The address has too few slashes: write %s://%s.", parts[1], parts[2])
	case strings.Contains(value, `\`) || strings.HasPrefix(value, "/") || strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "."):
		return "That is a file's path, which performers can't open: put the files on a server, and write their https:// addresses."
	case f.otherScheme.MatchString(value) && !strings.HasPrefix(strings.ToLower(value), "http"):
		return fmt.Sprintf("Performers' browsers don't open %s addresses: put the files on a web server, and write their https:// addresses.", f.otherScheme.FindString(value))
	case f.domain.MatchString(value):
		return "The URL has no scheme: write https:// before it."
	}
	return ""
}
