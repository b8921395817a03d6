package visible

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// written returns what comes of parts that are written one after the other.
func written(t rapid.TB, parts ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, part := range parts {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("writing %q: %d, %v", part, n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAWriterPassesOnlyWhatIsOurs(t *testing.T) {
	for in, want := range map[string]string{
		"a line\n\twith a tab\n":          "a line\n\twith a tab\n",
		"of Windows\r\n":                  "of Windows\r\n",
		"\x1b[32mok\x1b[0m é 猫":           "\x1b[32mok\x1b[0m é 猫",
		"back\rover it":                   `back\u000dover it`,
		"\x1b[2J\x1b]0;title\x07":         `\u001b[2J\u001b]0;title\u0007`,
		"\x1b[1;31mbold \x1b[8mhidden":    `\u001b[1;31mbold \u001b[8mhidden`,
		"\x7f\u0085\u009b2J":              `\u007f\u0085\u009b2J`,
		"\u202eback\u2069\ufeff\u2028":    `\u202eback\u2069\ufeff\u2028`,
		"\U000e0041":                      `\udb40\udc41`,
		"\xff and \xc3":                   `\xff and \xc3`,
		"a replacement \ufffd":            "a replacement \ufffd",
		"poolfill: \x00\x08 no more \x1b": `poolfill: \u0000\u0008 no more \u001b`,
	} {
		if got := written(t, in); got != want {
			t.Errorf("%q is written as %q, want %q", in, got, want)
		}
	}
}

func TestAWriterKeepsACharacterThatIsCutInTwo(t *testing.T) {
	if got := written(t, "caf\xc3", "\xa9 \xf0\x9f", "\x90", "\xb1 \xe2\x80", "\xae!", "\xe2"); got != `café 🐱 \u202e!\xe2` {
		t.Errorf("got %q", got)
	}
}

func TestJSONMeansTheSameOnATerminal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.StringOf(rapid.RuneFrom([]rune("a\"\\\n\t\r\x00\x1b\x7f\u0085\u009b\u200f\u202e\u2028\ufeff\ufffd\U000e0041é🐱"))).Draw(rt, "text")
		text, err := json.Marshal(map[string]string{want: want})
		if err != nil {
			rt.Fatal(err)
		}
		cut := rapid.IntRange(0, len(text)).Draw(rt, "cut")
		shown := written(rt, string(text[:cut]), string(text[cut:]))
		if strings.ContainsFunc(shown, func(r rune) bool { return r != '\ufffd' && hidden(r) }) {
			rt.Errorf("something is hidden in %q", shown)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(shown), &got); err != nil || got[want] != want {
			rt.Errorf("%q has become %q (%v)", want, got, err)
		}
	})
}

func TestWhatFillsInAFormatHasNoLines(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{Sprintf("%s:\n\t%s", "a\nb", "c\td"), "a\\nb:\n\tc\\td"},
		{Sprintf("%q is %5d, %v, %.1f", "a\nb", 7, []string{"\x1b"}, 1.25), `"a\nb" is     7, [\x1b], 1.2`},
		{Sprintf("%-4s|%4s", "é", "\n"), `é   |   \n`},
		{Sprintf("none"), "none"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}
