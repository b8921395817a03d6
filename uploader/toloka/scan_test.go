package toloka

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"poolfill/reader/verdict"
)

// tree is a JSON value as encoding/json reads it: members in their order, names
// as often as they come.
type tree struct {
	kind    byte // '{', '[', '"' or 0 for all others
	text    string
	raw     []byte
	names   []string
	members []tree // or elements
}

// parse reads a whole text; it fails where encoding/json does.
func parse(text []byte) (tree, error) {
	if !json.Valid(text) {
		return tree{}, errors.New("no JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return parseValue(d, text)
}

func parseValue(d *json.Decoder, text []byte) (tree, error) {
	token, err := d.Token()
	if err != nil {
		return tree{}, err
	}
	start := d.InputOffset()
	var t tree
	switch token := token.(type) {
	case json.Delim:
		t.kind = byte(token)
		start--
		for d.More() {
			if token == '{' {
				name, err := d.Token()
				if err != nil {
					return tree{}, err
				}
				t.names = append(t.names, name.(string))
			}
			member, err := parseValue(d, text)
			if err != nil {
				return tree{}, err
			}
			t.members = append(t.members, member)
		}
		if _, err := d.Token(); err != nil {
			return tree{}, err
		}
		t.raw = text[start:d.InputOffset()]
	case string:
		t.kind, t.text = '"', token
		t.raw, err = json.Marshal(token)
	default: // a number, true, false or null
		t.raw, err = json.Marshal(token)
	}
	return t, err
}

// member gives the last member with a name.
func (t tree) member(name string) (tree, bool) {
	for i := len(t.names) - 1; i >= 0; i-- {
		if t.names[i] == name {
			return t.members[i], true
		}
	}
	return tree{}, false
}

// createdByTree reads the answer to a synchronous upload from its tree.
func createdByTree(t tree, n int) (ids map[int]string, refused map[int][]verdict.Finding, good bool) {
	ids, refused = map[int]string{}, map[int][]verdict.Finding{}
	var created []told
	if t.kind != '{' {
		return nil, nil, false
	}
	for i, section := range t.names {
		value := t.members[i]
		if section != "items" && section != "validation_errors" || value.kind != '{' {
			continue
		}
		good = true
		for k, key := range value.names {
			place, err := strconv.Atoi(key)
			if err != nil || place < 0 || place >= n {
				return nil, nil, false
			}
			item := value.members[k]
			if section == "validation_errors" {
				refused[place] = findings(item.raw)
				continue
			}
			if item.kind != '{' {
				return nil, nil, false
			}
			if id, ok := item.member("id"); ok && id.kind == '"' {
				created = append(created, told{created: true, index: place, id: id.text})
			}
		}
	}
	for _, one := range withoutDoubles(created) {
		ids[one.index] = one.id
	}
	return ids, refused, good
}

// withoutDoubles leaves out what has the id of something else, and what is told again.
func withoutDoubles(all []told) (rest []told) {
	for i, one := range all {
		keep := true
		for j, other := range all {
			if other.id == one.id && one.id != "" && (other.index != one.index || j < i) {
				keep = false
			}
		}
		if keep {
			rest = append(rest, one)
		}
	}
	return rest
}

// FuzzCreated holds that the scanner reads from every valid answer just what
// encoding/json does, wherever the answer is broken up on its way.
func FuzzCreated(f *testing.F) {
	for _, seed := range []string{
		itemsOf("t0", "t1"),
		`{"items":{"0":{"id":"a","input_values":{"id":"no","x":["id",{"id":"no"},"\"",""]}},"1":{"\u0069d":"b\n"}}}`,
		` { "items" : { "0" : { "a" : -1.5e+7 , "id" : "a\\" , "b" : "\\\"" } } , "validation_errors" : { "1" : { "f" : { "code" : "C" } } } } `,
		`{"items":{"0":{"id":"a","id":5},"0":{"id":"b","id":"c"},"1":{"id":{"id":"x"}}},"items":null,"more":[[],{},true,false,null,0]}`,
		`{"validation_errors":{"0":[],"1":"text"}}`, `{"items":{}}`, `{"items":[]}`, `[]`, `0`, `""`, `{"":{"":""}}`,
		`{"items":{"0":{"":"","id":"","i":"id","\"id":"no"}}}`,
		`{"\u0069tems":{"\u0030":{"id":"a"}}}`,
		`{"items":{"0":{` + echoedInputs + `,"id":"a"},"1":{"id":"b",` + echoedInputs + `,` + echoedInputs + `,"a":[{` + echoedInputs + `}]}}}`,
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(255))
	}
	f.Fuzz(func(t *testing.T, answer []byte, step uint8) {
		// What is cut off must never pass for whole, and nobody says what
		// invalid text means.
		value, err := parse(answer)
		if err != nil || !utf8.Valid(answer) || bytes.Contains(bytes.ToLower(answer), []byte(`\ud`)) {
			t.Skip()
		}
		var p decoders
		ids, refused, err := createdWith(&p, &steps{answer, int(step) + 1}, 2)
		wantIDs, wantRefused, good := createdByTree(value, 2)
		switch {
		case !good && err == nil:
			t.Fatalf("%q gives %v and %v, want an error", answer, ids, refused)
		case good && err != nil:
			t.Fatalf("%q fails: %v", answer, err)
		case good && (!maps.Equal(ids, wantIDs) || !sameErrors(refused, wantRefused)):
			t.Fatalf("%q gives %v and %v, want %v and %v", answer, ids, refused, wantIDs, wantRefused)
		}
		trimmed := bytes.TrimRight(answer, " \t\r\n")
		for cut := range trimmed[:min(len(trimmed), 1000)] {
			if _, _, err := createdWith(&p, bytes.NewReader(trimmed[:cut]), 2); err == nil {
				t.Fatalf("%q passes for whole", trimmed[:cut])
			}
		}
	})
}

func sameErrors(a, b map[int][]verdict.Finding) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// steps reads so many bytes at a time.
type steps struct {
	text []byte
	n    int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(s.n, len(s.text))])
	s.text = s.text[n:]
	return n, nil
}

// scannerOf gives a scanner with a small window.
func scannerOf(text string, window int) *scanner {
	s := &scanner{buf: make([]byte, window)}
	s.reset(strings.NewReader(text))
	return s
}

func TestTheScannerReadsThroughASmallWindow(t *testing.T) {
	long := strings.Repeat(`\\\"x`, 50)
	text := strings.ReplaceAll(`{"a":"YYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYY","b":["LONG",{"a":{}},12345678901234567890],"LONG":true,"a":"end"}`, "LONG", long)
	for window := 1; window < 40; window++ {
		s := scannerOf(text, window)
		if err := s.skip0(); err != nil || s.end() != nil {
			t.Fatalf("with a window of %d it fails: %v", window, err)
		}
		if len(s.buf) > 2*40 {
			t.Errorf("what is skipped makes a window of %d grow to %d bytes", window, len(s.buf))
		}
		s = scannerOf(" "+text, window)
		if _, err := s.peek(); err != nil {
			t.Fatal(err)
		}
		value, err := s.raw()
		if err != nil || string(value) != text {
			t.Fatalf("with a window of %d, the value is %q, %v", window, value, err)
		}
		s = scannerOf(text, window)
		var keys []string
		err = s.object(func(key []byte) error {
			keys = append(keys, string(key))
			return s.skip()
		})
		if want := []string{"a", "b", strings.ReplaceAll(strings.ReplaceAll(long, `\\`, `\`), `\"`, `"`), "a"}; err != nil || !reflect.DeepEqual(keys, want) {
			t.Fatalf("with a window of %d the keys are %q, %v", window, keys, err)
		}
	}
}

// skip0 takes the first value.
func (s *scanner) skip0() error {
	if _, err := s.peek(); err != nil {
		return err
	}
	return s.skip()
}

func TestWhatIsSkippedMustBeWhole(t *testing.T) {
	for _, bad := range []string{
		``, ` `, `{`, `[`, `{"a":[}`, `[{]`, `"`, `"\"`, `"\`, `]`, `}`, `,`, `:`, `[1`, `{"a":"}`, `[]]`, `[] []`, `{}x`,
	} {
		s := scannerOf(bad, 8)
		err := s.skip0()
		if err == nil {
			err = s.end()
		}
		if err == nil {
			t.Errorf("%.20q passes for whole", bad)
		}
	}
	for _, good := range []string{`[]`, ` {} `, `"\\"`, `[[{"a":[{}]}]]`, strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)} {
		s := scannerOf(good, 8)
		if err := s.skip0(); err != nil || s.end() != nil {
			t.Errorf("%.20q fails: %v", good, err)
		}
	}
}

func TestTheScannerGivesTheReadersErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, text := range []string{``, `[`, `["`, `{"a"`, `{"a":1`} {
		s := scannerOf("", 4)
		s.r = io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
		if err := s.skip0(); !errors.Is(err, broken) {
			t.Errorf("after %q the error is %v", text, err)
		}
		if err := scannerOf(text, 4).skip0(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the end after %q gives %v", text, err)
		}
	}
	s := scannerOf("", 4)
	s.r = iotest.ErrReader(nil)
	if err := s.skip0(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing makes the error %v", err)
	}
}
