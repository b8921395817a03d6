package toloka

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"poolfill/internal/identity"
)

// numberedInputs are the inputs of tasks as they are sent: each one's are its own.
func numberedInputs(i int) []byte {
	if i < 0 {
		return nil
	}
	return fmt.Appendf(nil, `"input_values":{"id":"no %d","n":%d,"x":"\"}"}`, i, i)
}

// oddTexts are what strings may say, as they stand in JSON.
var oddTexts = []string{`a`, ``, `\"`, `\\`, `\\\"b`, `\u0041`, `id`, `TASK_CREATE`, `7`, `,`, `}`, `a long text, of more than eight letters`}

// template is how some objects are written: members with a name and a form each. There
// are several of a name, too.
type template [][2]string

func drawTemplate(t *rapid.T, members map[string][]string) template {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	names = rapid.Permutation(names).Draw(t, "names")
	if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
		names = rapid.SliceOfN(rapid.SampledFrom(names), 1, 8).Draw(t, "odd names")
	}
	var made template
	for _, name := range names {
		made = append(made, [2]string{name, rapid.SampledFrom(members[name]).Draw(t, "form")})
	}
	return made
}

// write writes an object by the template: TEXT stands for any text, INDEX for that of
// its task, ID for an id, NUMBER for a number, INPUTS for the inputs as they were sent.
func (m template) write(t *rapid.T, index int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, member := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		form := member[1]
		if form == "INPUTS" {
			b.Write(numberedInputs(index))
			continue
		}
		for strings.Contains(form, "TEXT") {
			form = strings.Replace(form, "TEXT", rapid.SampledFrom(oddTexts).Draw(t, "text"), 1)
		}
		form = strings.ReplaceAll(form, "INDEX", strconv.Itoa(index))
		form = strings.ReplaceAll(form, "INPUTS", string(numberedInputs(index)))
		form = strings.ReplaceAll(form, "NUMBER", strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "number")))
		id := fmt.Sprintf("%08d--%d", index, rapid.IntRange(0, 99_999).Draw(t, "id"))
		fmt.Fprintf(&b, "%q:%s", member[0], strings.ReplaceAll(form, "ID", id))
	}
	b.WriteByte('}')
	return b.String()
}

// objects writes a number of objects by a few templates.
func objects(t *rapid.T, n int, members map[string][]string) []string {
	templates := make([]template, rapid.SampledFrom([]int{1, 2, 2, 3, maxShapes + 2}).Draw(t, "templates"))
	for i := range templates {
		templates[i] = drawTemplate(t, members)
	}
	written := make([]string, n)
	for i := range written {
		written[i] = rapid.SampledFrom(templates).Draw(t, "template").write(t, i)
	}
	return written
}

// What has the shape of something before is read just as if it had not.
func TestItemsOfOneShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := objects(t, rapid.IntRange(1, 40).Draw(t, "items"), map[string][]string{
			"id":              {`"ID"`, `"ID"`, `"TEXT"`, ` "ID" `, `NUMBER`, `null`, `{"id":"TEXT"}`},
			"input_values":    {`INPUTS`, `INPUTS`, `{"id":"TEXT"}`, `{"n":NUMBER}`},
			"created":         {`"2026-11-29T12:00:00.NUMBER"`},
			"overlap":         {`NUMBER`},
			"known_solutions": {`[{"output_values":{"id":"TEXT","INDEX":"TEXT"}}]`, `[]`, `{INPUTS}`},
		})
		var b strings.Builder
		b.WriteString(`{"items":{`)
		for i, item := range items {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%d":%s`, i, item)
		}
		b.WriteString(`}}`)
		answer := []byte(b.String())

		value, err := parse(answer)
		if err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		want, _, _ := createdByTree(value, len(items))
		got := map[int]string{}
		var p decoders
		step := rapid.SampledFrom([]int{1, 500, 1 << 20, 1 << 20}).Draw(t, "step")
		if err := p.answer(&steps{answer, step}, len(items), numberedInputs, func(items iter.Seq[Item]) {
			for item := range items {
				got[item.Index] = item.ID
			}
		}); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s\ngives %v\n want %v", answer, got, want)
		}
	})
}

// told is what a log says of a task that has an index.
type told struct {
	created bool
	index   int
	id      string
}

// toldByTree reads a log from its tree: first the tasks that were created.
func toldByTree(t tree) []told {
	var created, others []told
	for _, entry := range t.members {
		kind, _ := entry.member("type")
		success, _ := entry.member("success")
		one := told{index: -1}
		if input, _ := entry.member("input"); input.kind == '{' {
			if index, ok := input.member(itemIndex); ok && index.kind != '{' && index.kind != '[' {
				one.index = indexOf(index.raw)
			}
		}
		if output, _ := entry.member("output"); output.kind == '{' {
			if id, _ := output.member("task_id"); id.kind == '"' {
				one.id = id.text
			}
		}
		good := string(success.raw) == "true"
		switch {
		case one.index < 0 || kind.kind != '"':
		case kind.text == Tasks().createEntry && good:
			one.created = true
			created = append(created, one)
		case kind.text == Tasks().createEntry || kind.text == Tasks().validateEntry && !good:
			one.id = ""
			others = append(others, one)
		}
	}
	return append(withoutDoubles(created), others...)
}

func TestEntriesOfOneShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := objects(t, rapid.IntRange(1, 40).Draw(t, "entries"), map[string][]string{
			"type":    {`"TASK_CREATE"`, `"TASK_CREATE"`, `"TASK_VALIDATE"`, `"TEXT"`, `null`},
			"success": {`true`, `true`, `false`, `"TEXT"`},
			"input": {
				`{"pool_id":"1","__item_idx":"INDEX",INPUTS}`, `{"__item_idx":INDEX,INPUTS,"created":"TEXT"}`,
				`{INPUTS,"__item_idx":"INDEX"}`, `{"__item_idx":"0INDEX",INPUTS}`, `{"__item_idx":"NUMBER",INPUTS}`,
				`{"__item_idx":"TEXT",INPUTS}`, `{"__item_idx":NUMBER.5,INPUTS}`, `null`, `{"__item_idx":{}}`,
				`{"__item_idx":"INDEX","input_values":{"id":"TEXT"},"__item_idx":"INDEX"}`,
			},
			"output": {`{"task_id":"ID"}`, `{"task_id":"ID"}`, `{"task_id":"TEXT"}`, `{"task_id":NUMBER}`, `{}`, `null`, `{"a":"TEXT","task_id":"ID"}`},
		})
		answer := []byte("[" + strings.Join(entries, ", ") + "]")
		value, err := parse(answer)
		if err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		want := toldByTree(value)
		var p decoders
		step := rapid.SampledFrom([]int{1, 500, 1 << 20, 1 << 20}).Draw(t, "step")
		got, err := readTold(t, &p, &steps{answer, step}, len(entries))
		if err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s\ngives %v\n want %v", answer, got, want)
		}
	})
}

// FuzzLog holds that from every valid log just that is read which its tree tells,
// wherever it is broken up on its way.
func FuzzLog(f *testing.F) {
	const create = `{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"0","input_values":{"id":"no 0","n":0,"x":"\"}"}},"output":{"task_id":"t0"}}`
	for _, seed := range []string{
		create, create + "," + strings.NewReplacer(`"0"`, `"1"`, "no 0", "no 1", `"n":0`, `"n":1`).Replace(create),
		strings.Repeat(create+",", 3) + strings.Replace(create, "CREATE", "VALIDATE", 1),
		`{"success":true,"type":"TASK_CREATE","input":{"__item_idx":5,"__item_idx":"6"},"output":{"task_id":"\u0041"}},{"type":"TASK_CREATE","type":null}`,
		`{"type":"TASK_CREATE","success":false,"input":{"__item_idx":"1"},"output":{"code":"C"}},{},{"input":[]},{"output":{"task_id":5}}`,
	} {
		f.Add([]byte("["+seed+"]"), uint8(0))
		f.Add([]byte("["+seed+"]"), uint8(255))
	}
	f.Fuzz(func(t *testing.T, answer []byte, step uint8) {
		value, err := parse(answer)
		if err != nil || !utf8.Valid(answer) || bytes.Contains(bytes.ToLower(answer), []byte(`\ud`)) {
			t.Skip() // as in FuzzCreated
		}
		good := string(value.raw) == "null" || value.kind == '[' && !slices.ContainsFunc(value.members, func(e tree) bool { return e.kind != '{' })
		var p decoders
		got, err := readTold(t, &p, &steps{answer, int(step) + 1}, len(value.members))
		switch want := toldByTree(value); {
		case good != (err == nil):
			t.Fatalf("%q gives %v, %v", answer, got, err)
		case good && !slices.Equal(got, want):
			t.Fatalf("%q gives %v, want %v", answer, got, want)
		}
	})
}

// readTold reads a log. Entries without an index must have a key instead.
func readTold(t interface{ Errorf(string, ...any) }, p *decoders, r io.Reader, n int) (all []told, err error) {
	err = p.log(r, Tasks(), n, numberedInputs, func(entries iter.Seq[Item]) {
		for e := range entries {
			switch {
			case e.Index >= 0:
				all = append(all, told{e.Created, e.Index, e.ID})
			case e.Key == (identity.Key{}):
				t.Errorf("%+v is about no task", e)
			}
		}
	})
	return all, err
}

// A shape must not say more than the entry does.
func TestEntriesThatAreNearlyOfOneShape(t *testing.T) {
	const (
		create   = `{"output":{"task_id":"t0"},"type":"TASK_CREATE","success":true,"input":{"__item_idx":"0"}}`
		validate = `{"output":{"task_id":"t1"},"type":"TASK_VALIDATE","success":true,"input":{"__item_idx":"1"}}`
	)
	for _, c := range []struct {
		name, log string
		want      []told
	}{
		{"what one shape has is not taken for another's", create + "," + validate + "," + validate, []told{{true, 0, "t0"}}},
		{"no index is none", create + "," + strings.Replace(create, `"0"`, `""`, 1), []told{{true, 0, "t0"}}},
		{"an item of a synchronous upload is no entry", `{"id":"t0"}`, nil},
		{"an id with escapes", create + "," + strings.Replace(create, `t0`, `t\u0030\"`, 1), []told{{true, 0, "t0"}, {true, 0, `t0"`}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p decoders
			if err := p.answer(strings.NewReader(`{"items":{"0":{"id":"t0"},"1":{"id":"t1"}}}`), 2, numberedInputs, func(iter.Seq[Item]) {}); err != nil {
				t.Fatal(err)
			}
			var got []told
			err := p.log(strings.NewReader("["+c.log+"]"), Tasks(), 2, numberedInputs, func(all iter.Seq[Item]) {
				for e := range all {
					got = append(got, told{e.Created, e.Index, e.ID})
				}
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s gives %v, %v; want %v", c.log, got, err, c.want)
			}
		})
	}
}

// Where objects are alike, few are walked through; where none is like the others, they
// are not compared in vain.
func TestShapesAreUsedWhereThereIsAPoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		item   func(i int) string
		walks  int
		useful bool
	}{
		{"to the letter", func(i int) string {
			return fmt.Sprintf(`{"id":"t%d","pool_id":"1",%s,"created":"%d"}`, i, numberedInputs(i), i*i)
		}, 1, true},
		{"written otherwise", func(i int) string {
			return fmt.Sprintf(`{"id":"t%d","input_values":{"x":"%d","id":"no"}}`, i, i)
		}, 1, true},
		{"two kinds of rows", func(i int) string {
			return fmt.Sprintf(`{%s,"known_solutions":[%s],"id":"t%d"}`, numberedInputs(i), strings.Repeat(`{"label":"a"}`, i%2), i)
		}, 2, true},
		{"too long to be compared", func(i int) string {
			return fmt.Sprintf(`{"id":"t%d","numbers":[%s0]}`, i, strings.Repeat("0,", maxShape))
		}, 1000, false},
		{"too many texts", func(i int) string {
			return fmt.Sprintf(`{"id":"t%d","texts":[%s0]}`, i, strings.Repeat(`"",`, maxHoles))
		}, 1000, false},
		{"each its own", func(i int) string {
			return fmt.Sprintf(`{"id":"t%d","input_values":{"x":%d}}`, i, i)
		}, 1000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d decoder
			for i := range 1000 {
				text := c.item(i)
				d.reset(strings.NewReader(text))
				if _, err := d.peek(); err != nil {
					t.Fatal(err)
				}
				if err := d.item(i, numberedInputs); err != nil {
					t.Fatal(err)
				}
				if d.base+d.head != len(text) {
					t.Fatalf("%s is taken up to %d", text, d.base+d.head)
				}
			}
			if got, want := string(d.ids[len(d.ids)-8:]), "t998t999"; got != want {
				t.Errorf("the last ids are %s", got)
			}
			if d.shapes.decoded != c.walks || d.shapes.useful() != c.useful {
				t.Errorf("%d were walked through, useful: %v", d.shapes.decoded, d.shapes.useful())
			}
		})
	}
}

// Only a window of an answer is in memory, however many of its entries are alike, even
// where each window ends with an entry.
func TestALongLogNeedsNoMoreThanItsWindow(t *testing.T) {
	const (
		entries = 10_000
		size    = 256 // of an entry with the bracket or comma before it; windows are a multiple
	)
	var b strings.Builder
	for i := range entries {
		entry := fmt.Sprintf(`{"type":"TASK_CREATE","success":true,"input":{"__item_idx":"%d",%s},"output":{"task_id":"t%d","more":""}}`, i, numberedInputs(i), i)
		b.WriteByte("[,"[min(i, 1)])
		b.WriteString(strings.Replace(entry, `""}}`, `"`+strings.Repeat("x", size-1-len(entry))+`"}}`, 1))
	}
	b.WriteByte(']')
	var d decoder
	var p decoders
	p.pool.New = func() any { return &d }
	n := 0
	err := p.log(strings.NewReader(b.String()), Tasks(), entries, numberedInputs, func(all iter.Seq[Item]) {
		for range all {
			n++
		}
	})
	if err != nil || n != entries {
		t.Fatalf("%d entries, %v", n, err)
	}
	if len(d.buf) > scanWindow {
		t.Errorf("the window has grown to %d bytes", len(d.buf))
	}
}
