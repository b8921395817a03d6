package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

const (
	// bodyRows is how many rows a ready-made request holds.
	bodyRows = 5000
	// quotedShare and goldenShare are one in so many rows: with a tab, a line
	// end and quotes in the title; with a known solution.
	quotedShare = 50
	goldenShare = 10
)

// plainSpec and typedSpec are the specs of the two shapes of input.
const (
	plainSpec = `{"input_spec":{"url":{"type":"string","required":true},"title":{"type":"string"}},"output_spec":{"label":{"type":"string"}}}`
	typedSpec = `{
  "input_spec": {
    "url": {"type": "url", "required": true},
    "name": {"type": "string", "required": true, "max_length": 100},
    "kind": {"type": "string", "allowed_values": ["cat", "dog", "owl", "other"]},
    "code": {"type": "string", "pattern": "[A-Z]{2}[0-9]{4}"},
    "count": {"type": "integer", "min_value": 0, "max_value": 1000000},
    "weight": {"type": "float", "min_value": 0},
    "wanted": {"type": "boolean"},
    "place": {"type": "coordinates"},
    "tags": {"type": "array_string", "max_size": 10},
    "extra": {"type": "json"}
  },
  "output_spec": {"label": {"type": "string"}}
}
`
)

// generate writes an input and what belongs to it. The same flags give the same
// files.
func generate(args []string, log io.Writer) error {
	flags := flagSet("generate", log)
	rows := flags.Int("rows", 1_000_000, "how many rows")
	seed := flags.Uint64("seed", 1, "gives other rows")
	typed := flags.Bool("typed", false, "ten typed fields instead of url, title and golden")
	out := flags.String("out", "rows.tsv", "the TSV file")
	bodies := flags.String("bodies", "", "a file for the same rows as ready-made requests of 5,000 each, for floor; not with -typed")
	spec := flags.String("spec", "", "a file for the spec of the rows")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *typed && *bodies != "" {
		return errors.New("there are no ready-made requests of typed rows: leave out -bodies")
	}
	text := plainSpec
	if *typed {
		text = typedSpec
	}
	if *spec != "" {
		if err := os.WriteFile(*spec, []byte(text), 0o644); err != nil {
			return err
		}
	}
	g := rowMaker{rand.New(rand.NewPCG(*seed, 0))}
	if *typed {
		return writeFile(*out, func(w *bufio.Writer) error { return g.writeTyped(w, *rows) })
	}
	if *bodies == "" {
		return writeFile(*out, func(w *bufio.Writer) error { return g.writePlain(w, nil, *rows) })
	}
	return writeFile(*out, func(w *bufio.Writer) error {
		return writeFile(*bodies, func(b *bufio.Writer) error { return g.writePlain(w, &bodyWriter{w: b}, *rows) })
	})
}

// writeFile writes a file through a buffer.
func writeFile(path string, write func(*bufio.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(w), w.Flush(), f.Close())
}

// rowMaker makes up rows.
type rowMaker struct{ *rand.Rand }

// writePlain writes rows of url, title and golden, 104 bytes each on average,
// and the same rows as requests where bodies is not nil.
func (g rowMaker) writePlain(w *bufio.Writer, bodies *bodyWriter, rows int) error {
	if _, err := w.WriteString("INPUT:url\tINPUT:title\tGOLDEN:label\n"); err != nil {
		return err
	}
	for range rows {
		url := fmt.Sprintf("https://images.example.com/%02x/%016x/original.jpg", g.IntN(256), g.Uint64())
		title, label := g.title(), ""
		if g.IntN(quotedShare) == 0 {
			title = `"` + title[:8] + "\"\t" + title[8:20] + "\n" + title[20:]
		}
		if g.IntN(goldenShare) == 0 {
			label = g.kind()
		}
		if err := writeCells(w, url, title, label); err != nil {
			return err
		}
		if bodies != nil {
			if err := bodies.add(url, title, label); err != nil {
				return err
			}
		}
	}
	if bodies != nil {
		return bodies.flush()
	}
	return nil
}

// writeTyped writes rows of ten fields, 104 bytes each on average.
func (g rowMaker) writeTyped(w *bufio.Writer, rows int) error {
	if err := writeCells(w, "INPUT:url", "INPUT:name", "INPUT:kind", "INPUT:code", "INPUT:count", "INPUT:weight",
		"INPUT:wanted", "INPUT:place", "INPUT:tags", "INPUT:extra"); err != nil {
		return err
	}
	for range rows {
		if err := writeCells(w,
			fmt.Sprintf("https://example.com/%02x", g.IntN(1<<8)),
			g.word(), g.kind(),
			fmt.Sprintf("%c%c%04d", 'A'+g.IntN(26), 'A'+g.IntN(26), g.IntN(10000)),
			strconv.Itoa(g.IntN(1_000_000)),
			strconv.FormatFloat(float64(g.IntN(100_000))/100, 'f', 2, 64),
			strconv.FormatBool(g.IntN(2) == 0),
			fmt.Sprintf("%.4f,%.4f", 180*g.Float64()-90, 360*g.Float64()-180),
			g.word()+","+g.word(),
			fmt.Sprintf(`{"n":%d}`, g.IntN(1000)),
		); err != nil {
			return err
		}
	}
	return nil
}

// writeCells writes a row, with quotes around what needs them.
func writeCells(w *bufio.Writer, cells ...string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = w.WriteByte('\t') // the last write gives the error of all
		}
		if strings.ContainsAny(cell, "\t\n\"") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		_, _ = w.WriteString(cell)
	}
	return w.WriteByte('\n')
}

// title gives words of 36 to 48 bytes.
func (g rowMaker) title() string {
	least := 36 + g.IntN(7)
	title := make([]byte, 0, 48)
	for len(title) < least {
		if len(title) > 0 {
			title = append(title, ' ')
		}
		title = append(title, g.word()...)
	}
	return string(title)
}

func (g rowMaker) word() string {
	return [...]string{"amber", "bench", "cliff", "dusk", "evening", "field", "garden", "harbour", "island", "lamp", "marble", "night", "orchard", "pier", "river", "stone"}[g.IntN(16)]
}

func (g rowMaker) kind() string { return [...]string{"cat", "dog", "owl", "other"}[g.IntN(4)] }

// bodyWriter writes rows as requests, each as a line that holds its length and
// then as it is sent.
type bodyWriter struct {
	w    *bufio.Writer
	body []byte
	rows int
}

// wireTask is a task as it is sent.
type wireTask struct {
	PoolID string            `json:"pool_id"`
	Input  map[string]string `json:"input_values"`
	Known  []wireSolution    `json:"known_solutions,omitempty"`
	Forced bool              `json:"infinite_overlap,omitempty"`
}

type wireSolution struct {
	Output map[string]string `json:"output_values"`
}

func (b *bodyWriter) add(url, title, label string) error {
	task := wireTask{PoolID: "1", Input: map[string]string{"url": url, "title": title}}
	if label != "" {
		task.Known, task.Forced = []wireSolution{{map[string]string{"label": label}}}, true
	}
	raw, err := json.Marshal(task)
	if err != nil {
		return err
	}
	separator := byte(',')
	if b.rows == 0 {
		separator = '['
	}
	b.body = append(append(b.body, separator), raw...)
	if b.rows++; b.rows == bodyRows {
		return b.flush()
	}
	return nil
}

func (b *bodyWriter) flush() error {
	if b.rows == 0 {
		return nil
	}
	b.body = append(b.body, ']')
	_, err := fmt.Fprintf(b.w, "%d\n%s", len(b.body), b.body)
	b.body, b.rows = b.body[:0], 0
	return err
}
