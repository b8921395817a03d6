package reader

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAppendString compares with the standard library's encoder.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a", "12345678", "1234567\"", "\"2345678", "1\\345678\n", "ab\tcd\refgh\x00\x1F\x7F", "\u2028<&>", "слово и ещё\x01", "\U0001F600\U0001F600\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(text); err != nil {
			t.Fatal(err)
		}
		// The encoder has shorter escapes for two control characters, and
		// escapes two characters for the sake of JavaScript.
		want := strings.TrimSuffix(b.String(), "\n")
		if !strings.Contains(text, `\`) {
			want = strings.NewReplacer(`\b`, `\u0008`, `\f`, `\u000c`, `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(want)
		} else {
			want = ""
		}
		got := string(appendString([]byte("x"), []byte(text)))[1:]
		if want != "" && got != want {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != text {
			t.Errorf("%q gives %s, which is %q, %v", text, got, back, err)
		}
	})
}

func TestPlainPrefixEndsAtEachByteThatIsEscaped(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte("\xBFa"), 10)[:length]
				text[at] = byte(c)
				want := length
				if c < ' ' || c == '"' || c == '\\' {
					want = at
				}
				if got := plainPrefix(text); got != want {
					t.Fatalf("%q: %d, want %d", text, got, want)
				}
			}
		}
	}
}
