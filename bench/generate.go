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

// shape is a kind of input. Its rows have 104 bytes on average.
type shape struct {
	name   string
	spec   string
	header []string
	row    func(rowMaker) []string
}

// plain returns the shape of url, title and golden label.
func plain() shape {
	return shape{"plain", plainSpec, []string{"INPUT:url", "INPUT:title", "GOLDEN:label"}, rowMaker.plain}
}

// typed returns the shape of ten fields of all types.
func typed() shape {
	return shape{"typed", typedSpec, []string{
		"INPUT:url", "INPUT:name", "INPUT:kind", "INPUT:code", "INPUT:count", "INPUT:weight",
		"INPUT:wanted", "INPUT:place", "INPUT:tags", "INPUT:extra",
	}, rowMaker.typed}
}

// plainSpec and typedSpec are the specs of the two shapes.
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

// generate writes an input and what belongs to it. The same flags make the same
// files.
func generate(args []string, log io.Writer) error {
	flags := flagSet("generate", log)
	rows := flags.Int("rows", 1_000_000, "how many rows")
	seed := flags.Uint64("seed", 1, "makes other rows")
	name := flags.String("shape", "plain", "plain for url, title and golden label, typed for ten typed fields")
	out := flags.String("out", "rows.tsv", "the TSV file")
	bodies := flags.String("bodies", "", "a file for the same plain rows as ready-made requests of 5,000 each, for floor")
	spec := flags.String("spec", "", "a file for the spec of the rows")
	if err := flags.Parse(args); err != nil {
		return err
	}
	of := plain()
	if *name == "typed" {
		of = typed()
	}
	if *name != of.name || *name == "typed" && *bodies != "" {
		return errors.New("the shape is plain or typed, and only plain rows become ready-made requests")
	}
	err := writeFile(*out, func(w *bufio.Writer) error { return of.write(w, newRowMaker(*seed), *rows) })
	if *spec != "" {
		err = errors.Join(err, os.WriteFile(*spec, []byte(of.spec), 0o644))
	}
	if *bodies != "" {
		err = errors.Join(err, writeFile(*bodies, func(w *bufio.Writer) error { return writeBodies(w, newRowMaker(*seed), *rows) }))
	}
	return err
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

// write writes a header and rows as TSV.
func (s shape) write(w *bufio.Writer, g rowMaker, rows int) error {
	err := writeCells(w, s.header)
	for n := 0; n < rows && err == nil; n++ {
		err = writeCells(w, s.row(g))
	}
	return err
}

// writeCells writes a row, with quotes around what needs them.
func writeCells(w *bufio.Writer, cells []string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = w.WriteByte('\t') // the last write returns the error of all
		}
		if strings.ContainsAny(cell, "\t\n\"") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		_, _ = w.WriteString(cell)
	}
	return w.WriteByte('\n')
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

// writeBodies writes plain rows as requests, each as a line that holds its length
// and then as it is sent.
func writeBodies(w io.Writer, g rowMaker, rows int) error {
	for ; rows > 0; rows -= bodyRows {
		tasks := make([]wireTask, min(rows, bodyRows))
		for i := range tasks {
			cells := g.plain()
			tasks[i] = wireTask{PoolID: "1", Input: map[string]string{"url": cells[0], "title": cells[1]}}
			if label := cells[2]; label != "" {
				tasks[i].Known, tasks[i].Forced = []wireSolution{{map[string]string{"label": label}}}, true
			}
		}
		body, err := json.Marshal(tasks)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%d\n%s", len(body), body); err != nil {
			return err
		}
	}
	return nil
}

// rowMaker makes up rows.
type rowMaker struct{ *rand.Rand }

func newRowMaker(seed uint64) rowMaker { return rowMaker{rand.New(rand.NewPCG(seed, 0))} }

func (g rowMaker) plain() []string {
	url := fmt.Sprintf("https://images.example.com/%02x/%016x/original.jpg", g.IntN(256), g.Uint64())
	title, label := g.title(), ""
	if g.IntN(quotedShare) == 0 {
		title = `"` + title[:8] + "\"\t" + title[8:20] + "\n" + title[20:]
	}
	if g.IntN(goldenShare) == 0 {
		label = g.kind()
	}
	return []string{url, title, label}
}

func (g rowMaker) typed() []string {
	return []string{
		fmt.Sprintf("https://example.com/%02x", g.IntN(1<<8)),
		g.word(), g.kind(),
		fmt.Sprintf("%c%c%04d", 'A'+g.IntN(26), 'A'+g.IntN(26), g.IntN(10000)),
		strconv.Itoa(g.IntN(1_000_000)),
		strconv.FormatFloat(float64(g.IntN(100_000))/100, 'f', 2, 64),
		strconv.FormatBool(g.IntN(2) == 0),
		fmt.Sprintf("%.4f,%.4f", 180*g.Float64()-90, 360*g.Float64()-180),
		g.word() + "," + g.word(),
		fmt.Sprintf(`{"n":%d}`, g.IntN(1000)),
	}
}

// title returns words of 36 to 48 bytes.
func (g rowMaker) title() string {
	least := 36 + g.IntN(7)
	title := g.word()
	for len(title) < least {
		title += " " + g.word()
	}
	return title
}

func (g rowMaker) word() string {
	return [...]string{"amber", "bench", "cliff", "dusk", "evening", "field", "garden", "harbour", "island", "lamp", "marble", "night", "orchard", "pier", "river", "stone"}[g.IntN(16)]
}

func (g rowMaker) kind() string { return [...]string{"cat", "dog", "owl", "other"}[g.IntN(4)] }
