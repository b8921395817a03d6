package pipeline

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"poolfill/batcher"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/reader/verdict"
)

// lines are physical lines of a file; until is not one of them.
type lines struct{ from, until int64 }

// covered are the lines of a file whose rows an earlier run has created, or found
// created. Rows that stand together are one entry, so that it is small however many
// rows there are.
type covered struct {
	stretches []lines
	last      verdict.Position // of the row that was added last
	created   bool             // that row was
}

// add adds the row that comes next in the file. A row has all lines up to the next one.
// Where rows between the two may not have been kept, it has its first.
func (c *covered) add(v *verdict.Verdict) {
	if v.Position.Record == c.last.Record+1 {
		c.end(v.Position.Line)
	} else {
		c.end(c.last.Line + 1)
	}
	c.last, c.created = v.Position, v.Status == verdict.Created || v.Status == verdict.Duplicate
}

// end says where the row that was added last ends.
func (c *covered) end(until int64) {
	from := c.last.Line
	if !c.created || from >= until {
		return
	}
	if n := len(c.stretches); n > 0 && c.stretches[n-1].until == from {
		c.stretches[n-1].until = until
		return
	}
	c.stretches = append(c.stretches, lines{from, until})
}

// has reports whether a row that begins at a line is one that was created.
func (c *covered) has(line int64) bool {
	i := sort.Search(len(c.stretches), func(i int) bool { return c.stretches[i].until > line })
	return i < len(c.stretches) && c.stretches[i].from <= line
}

// former is what an earlier run has made of the same bytes as a file of this one.
type former struct {
	ledger *ledger.Ledger
	run    ledger.Run
	file   int // its number in that run
	covered
	// alike says that the run has read the file as this one does; grown that more
	// stands behind what it has read, which may belong to its last row.
	alike, grown bool

	chunks []ledger.Place // those that are still to be looked at
	now    []sent         // rows of the file in one of them
	ahead  []sent         // in the one behind it
}

// sent is a row that was in a chunk.
type sent struct {
	verdict.Verdict
	key batcher.Key
}

// row returns the row that was in a chunk and begins at a line; nil where there is none.
// The lines must rise from call to call.
func (e *former) row(ctx context.Context, line int64) (*sent, error) {
	for {
		for len(e.ahead) == 0 && len(e.chunks) > 0 {
			var err error
			if e.ahead, err = e.load(ctx, e.chunks[0].Number); err != nil {
				return nil, err
			}
			e.chunks = e.chunks[1:]
		}
		if len(e.ahead) == 0 || e.ahead[0].Position.Line > line {
			break
		}
		e.now, e.ahead = e.ahead, nil
	}
	i, found := slices.BinarySearchFunc(e.now, line, func(s sent, line int64) int { return cmp.Compare(s.Position.Line, line) })
	if !found {
		return nil, nil //nolint:nilnil // there is none
	}
	return &e.now[i], nil
}

// load returns the rows of the file that a chunk has.
func (e *former) load(ctx context.Context, number int) ([]sent, error) {
	c, found, err := e.ledger.Entry(e.run).Chunk(ctx, number)
	if err != nil || !found {
		return nil, err
	}
	var rows []sent
	for i := range c.Rows {
		if c.Rows[i].Position.File == e.run.Names[e.file] {
			rows = append(rows, sent{c.Rows[i], c.Keys[i]})
		}
	}
	slices.SortFunc(rows, func(a, b sent) int { return cmp.Compare(a.Position.Line, b.Position.Line) })
	return rows, nil
}

// places knows the rows of one file by where they stand. One goroutine uses it, and asks
// in the order of the lines.
type places struct {
	runs []*former // the latest first
	// other counts the rows that are read as other tasks than they were created as, and
	// has the lines of the first ones.
	other reader.Warning
}

// CodeCreatedOtherwise marks rows that were created before from the same lines as other
// tasks than they are read as now.
const CodeCreatedOtherwise = "CREATED_OTHERWISE"

// claim reports whether a row was created already, and its task's id where that is known.
// key is empty where the row can't be a task now.
func (p *places) claim(ctx context.Context, line int64, key batcher.Key) (id string, found bool, err error) {
	otherwise := false
	for _, e := range p.runs {
		if !e.has(line) {
			continue
		}
		row, err := e.row(ctx, line)
		if err != nil {
			return "", false, err
		}
		if row == nil || row.Status != verdict.Created {
			found, otherwise = true, otherwise || !e.alike
			continue
		}
		if e.grown && e.alike && line == e.last.Line && row.key != key {
			continue // what was appended belongs to it: it is another row now
		}
		id, found, otherwise = row.TaskID, true, row.key != key
		break
	}
	if found && otherwise && key != (batcher.Key{}) {
		if p.other.Count++; len(p.other.Lines) < maxSamples {
			p.other.Lines = append(p.other.Lines, line)
		}
	}
	return id, found, nil
}

// warning says how many rows would be other tasks now; its Count is 0 where none is.
func (p *places) warning() reader.Warning {
	w := p.other
	w.Code = CodeCreatedOtherwise
	w.Message = "these rows were created before, and would be other tasks as they are read now. They were left as they are: to have them created anew as well, upload everything again on purpose"
	return w
}
