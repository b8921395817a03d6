package visible

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"plain: \"é\" \\n 猫 👍":           "plain: \"é\" \\n 猫 👍",
		"a\nTo go on: rm -rf ~":          `a\nTo go on: rm -rf ~`,
		"\x1b[2J\x00\x7f\t\r":            `\x1b[2J\x00\x7f\t\r`,
		"\u009b2J\u0085":                 `\x9b2J\x85`,
		"\u202egpj.exe\u2066\u200f":      `\u202egpj.exe\u2066\u200f`,
		"\u2028\u2029\ufeff":             `\u2028\u2029\ufeff`,
		"\xff\xc3":                       `\xff\xc3`,
		"\ufffd":                         "\ufffd",
		"hidden \U000e0041":              `hidden \U000e0041`,
		"family 👨\u200d👩\u200d👧 joined":  "family 👨\u200d👩\u200d👧 joined",
		"zero\u200cwidth non\u00a0break": "zero\u200cwidth non\u00a0break",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		in   string
		most int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"aé", 2, "a…"}, {"\n\n\n", 2, `\n\n…`}, {"é", 0, "…"}, {"", 0, ""},
	} {
		if got := Cut(tc.in, tc.most); got != tc.want {
			t.Errorf("%d of %q are %q, want %q", tc.most, tc.in, got, tc.want)
		}
	}
}

func TestWhateverComesIsOneLineThatCanBeSeen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")) + rapid.String().Draw(rt, "text")
		got := Text(in)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsAny(got, "\u2028\u2029\u202e") {
			rt.Errorf("%q is shown as %q", in, got)
		}
		if Text(got) != got {
			rt.Errorf("%q is no more itself when it is shown again", got)
		}
	})
}
