package simulation

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// This file is the protocol on a page: what a program keeps, what it sends, and what it
// takes for proof. Nothing of the module runs here. The rules that it is made of:
//
//   - A row is its identity and its number among the equal ones of its file, so n equal rows
//     are n tasks, and an edit makes new only what is more than before.
//   - What is about to be sent is kept before (the intent), under a name that comes of the
//     rows and a generation alone: no flag, clock or machine changes it.
//   - An asynchronous request is repeated under its name until the server knows it. Only what
//     is known of each row ends an operation: half a log is read again, an archived one
//     leaves the rows in doubt. The rows that it refused, and those that it neither refused
//     nor created, are sent again as two operations of the next generation: together, a
//     machine that knows of the refusals and one that doesn't would send the others twice.
//   - Before a process sends, and only if it is in doubt of nothing, it notes the newest id
//     of the pool. Rows of a synchronous request whose answer was lost are looked for among
//     the tasks since then that no row has, once nothing of ours is under way any more. If
//     one of these tasks is nobody's, no row is sent again: the rows are in doubt, and named.
//   - A process says that all is well if each row is created and, where it sent anything
//     again without an operation's name, the pool has it once.
//   - Pruning forgets what reports are made of, never which rows were created.

// key is a row: what it is, and its number among equal ones.
type key struct {
	identity string
	n        int
}

// chunk is what is sent together, and what a program keeps of it.
type chunk struct {
	keys       []key
	sync       bool
	generation int
	asked      bool // this process waits for an answer; a kill forgets it
	accepted   bool // the server is known to have the operation
}

func (c *chunk) name() string { return fmt.Sprint(c.keys, c.generation) }

// fateOf is how a row ended: at a task, rejected, or in doubt.
type fateOf struct {
	task     int // its id; 0 is none, and -1 one whose id was pruned
	rejected bool
	doubt    bool
}

// machine is a program and its ledger.
type machine struct {
	fates   map[key]fateOf
	intents []*chunk
	// left are the rows that operations which ended did not create, and generations what
	// rows are sent under next: no name is ever used, or asked for, again.
	left        [][]key
	generations map[key]int
	mark        int
	running     bool
	again       bool // it sent something again without a name; a kill does not forget it
}

// doubts reports whether a row is in doubt.
func (m *machine) doubts() bool {
	for _, f := range m.fates {
		if f.doubt {
			return true
		}
	}
	return false
}

// poolTask is a task: of what row it was sent for, and what the server made of it.
type poolTask struct {
	id         int
	sent, kept string
	ours       bool
}

// batchOperation is an operation at the server.
type batchOperation struct {
	keys    []key
	status  string // pending, success, fail
	created map[key]int
	refused map[key]bool
}

// message is a request that is on its way.
type message struct {
	chunk *chunk
	from  *machine
	name  string
	keys  []key
	sync  bool
	heard bool // the sender still waits
}

// protocol is the whole world.
type protocol struct {
	file       []string // a file's rows, by identity
	most       map[string]int
	size       int // of chunks
	sync       bool
	normalises bool
	late       bool // requests may be carried out after anybody waits for that
	refusing   bool // rows called "bad"
	ids        int
	pool       []poolTask
	operations map[string]*batchOperation
	wire       []*message
	machines   []*machine
}

func newMachine() *machine { return &machine{fates: map[key]fateOf{}, generations: map[key]int{}} }

// rows are the keys of the file as it is.
func (p *protocol) rows() []key {
	seen := map[string]int{}
	var keys []key
	for _, identity := range p.file {
		seen[identity]++
		keys = append(keys, key{identity, seen[identity]})
	}
	return keys
}

// fresh are the chunks that a machine may send: what operations have left, and the rest of
// the file, whose borders come of the file and the size alone.
func (p *protocol) fresh(m *machine) []*chunk {
	rows := p.rows()
	var taken []key
	for _, c := range m.intents {
		taken = append(taken, c.keys...)
	}
	var chunks []*chunk
	add := func(keys []key) {
		c := &chunk{sync: p.sync}
		for _, k := range keys {
			if _, ended := m.fates[k]; !ended && slices.Contains(rows, k) && !slices.Contains(taken, k) {
				c.keys = append(c.keys, k)
				c.generation = max(c.generation, m.generations[k])
			}
		}
		if len(c.keys) > 0 {
			chunks = append(chunks, c)
		}
	}
	for _, keys := range m.left {
		add(keys)
	}
	taken = append(taken, slices.Concat(m.left...)...)
	for keys := range slices.Chunk(rows, p.size) {
		add(keys)
	}
	return chunks
}

// add makes a task.
func (p *protocol) add(identity string, ours bool) int {
	p.ids++
	kept := identity
	if p.normalises {
		kept = "normal " + identity
	}
	p.pool = append(p.pool, poolTask{p.ids, identity, kept, ours})
	return p.ids
}

// settleOperation ends an operation: all of it, none, or every second row.
func (p *protocol) settleOperation(o *batchOperation, how string) {
	o.created, o.refused, o.status = map[key]int{}, map[key]bool{}, "success"
	if how != "all" {
		o.status = "fail"
	}
	for i, k := range o.keys {
		switch {
		case how == "none" || how == "half" && i%2 == 1:
		case p.refusing && k.identity == "bad":
			o.refused[k] = true
		default:
			o.created[k] = p.add(k.identity, true)
		}
	}
}

// arrive is a request at the server, and its answer if it is heard.
func (p *protocol) arrive(msg *message, heard bool) {
	p.wire = slices.DeleteFunc(p.wire, func(other *message) bool { return other == msg })
	heard = heard && msg.heard
	if msg.heard {
		msg.chunk.asked = false
	}
	if !msg.sync {
		if p.operations[msg.name] == nil {
			p.operations[msg.name] = &batchOperation{keys: msg.keys, status: "pending"}
		}
		msg.chunk.accepted = msg.chunk.accepted || heard
		return
	}
	ends := map[key]fateOf{}
	for _, k := range msg.keys {
		if p.refusing && k.identity == "bad" {
			ends[k] = fateOf{rejected: true}
		} else {
			ends[k] = fateOf{task: p.add(k.identity, true)}
		}
	}
	if heard {
		maps.Copy(msg.from.fates, ends)
		msg.from.end(msg.chunk)
	}
}

// end forgets an intent, whose rows have their ends or are to be sent anew.
func (m *machine) end(c *chunk) {
	m.intents = slices.DeleteFunc(m.intents, func(other *chunk) bool { return other == c })
}

// send keeps the intent of a chunk, and sends it.
func (p *protocol) send(m *machine, c *chunk) {
	if !slices.Contains(m.intents, c) {
		m.intents = append(m.intents, c)
		for i, keys := range m.left {
			m.left[i] = slices.DeleteFunc(keys, func(k key) bool { return slices.Contains(c.keys, k) })
		}
	}
	c.asked = true
	p.wire = append(p.wire, &message{c, m, c.name(), c.keys, c.sync, true})
}

// start begins a process. What earlier ones rejected or were in doubt of is tried again.
func (p *protocol) start(m *machine) {
	m.running = true
	maps.DeleteFunc(m.fates, func(_ key, f fateOf) bool { return f.rejected })
	for k, f := range m.fates {
		if f.doubt { // looked for again, as the window since the mark is the same
			m.intents = append(m.intents, &chunk{keys: []key{k}, sync: true})
			delete(m.fates, k)
		}
	}
	slices.SortFunc(m.intents, func(a, b *chunk) int { return slices.Compare(names(a.keys), names(b.keys)) })
	if len(m.intents) == 0 && !m.again {
		m.mark = p.ids
	}
}

func names(keys []key) []string {
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprint(k))
	}
	return all
}

// poll asks for a chunk's operation, and reads as much of its log as there is.
func (p *protocol) poll(m *machine, c *chunk, log string) {
	o := p.operations[c.name()]
	switch {
	case o == nil:
		p.send(m, c) // under the same name
		return
	case o.status == "pending":
		return
	case log == "archived":
		for _, k := range c.keys {
			m.fates[k], m.generations[k] = fateOf{doubt: true}, c.generation+1
		}
		m.end(c)
		return
	}
	var refused, unborn []key
	for i, k := range c.keys {
		switch id := o.created[k]; {
		case log == "half" && i%2 == 0: // it is read again
		case id > 0:
			m.fates[k] = fateOf{task: id}
		case o.refused[k]:
			m.fates[k] = fateOf{rejected: true}
			refused = append(refused, k)
		default:
			unborn = append(unborn, k)
		}
	}
	if log == "whole" {
		m.left = append(m.left, refused, unborn)
		for _, k := range slices.Concat(refused, unborn) {
			m.generations[k] = c.generation + 1
		}
		m.end(c)
	}
}

// search looks for the tasks of all chunks whose answers were lost.
func (p *protocol) search(m *machine) {
	owned := map[int]bool{}
	for _, f := range m.fates {
		owned[f.task] = true
	}
	unclaimed := slices.DeleteFunc(slices.Clone(p.pool), func(t poolTask) bool { return t.id <= m.mark || owned[t.id] })
	var missing []key
	for _, c := range m.intents {
		for _, k := range c.keys {
			i := slices.IndexFunc(unclaimed, func(t poolTask) bool { return t.kept == k.identity })
			if i < 0 {
				missing = append(missing, k)
				continue
			}
			m.fates[k] = fateOf{task: unclaimed[i].id}
			unclaimed = slices.Delete(unclaimed, i, i+1)
		}
	}
	m.intents = nil
	for _, k := range missing {
		if len(unclaimed) > 0 {
			m.fates[k] = fateOf{doubt: true}
		}
	}
	m.again = m.again || len(missing) > 0 && len(unclaimed) == 0
}

// quiet reports whether nothing of a machine is under way: no request, not even one that
// nobody waits for any more, and no operation.
func (p *protocol) quiet(m *machine) bool {
	return !slices.ContainsFunc(p.wire, func(msg *message) bool { return msg.from == m && (msg.heard || !p.late) }) &&
		!slices.ContainsFunc(m.intents, func(c *chunk) bool { return !c.sync })
}

// counts are the tasks that were sent for each identity.
func (p *protocol) counts() map[string]int {
	n := map[string]int{}
	for _, t := range p.pool {
		if t.ours {
			n[t.sent]++
		}
	}
	return n
}

// finish ends a process that has nothing left to do, and says whether all is well.
func (p *protocol) finish(m *machine) (well bool) {
	m.running = false
	kept := map[string]int{}
	for _, t := range p.pool {
		if t.id > m.mark {
			kept[t.kept]++
		}
	}
	well = true
	mine := map[string]int{}
	for k, f := range m.fates {
		well = well && !f.doubt
		if f.task > m.mark {
			mine[k.identity]++
		}
	}
	for identity := range p.most {
		well = well && (!m.again || kept[identity] <= mine[identity])
	}
	m.again = false
	return well
}

// done reports whether a process has nothing left to do.
func (p *protocol) done(m *machine) bool {
	return m.running && len(m.intents) == 0 && len(p.fresh(m)) == 0
}

// version takes in the file as it is now.
func (p *protocol) version() {
	for _, k := range p.rows() {
		p.most[k.identity] = max(p.most[k.identity], k.n)
	}
}

// check holds at every moment.
func (p *protocol) check(t *rapid.T) {
	for identity, n := range p.counts() {
		if n > p.most[identity] && !p.late {
			t.Fatalf("%d tasks of %q, of which the file had %d: %+v", n, identity, p.most[identity], p.pool)
		}
	}
	for _, m := range p.machines {
		owners := map[int]key{}
		for k, f := range m.fates {
			if f.task <= 0 {
				continue
			}
			i := slices.IndexFunc(p.pool, func(t poolTask) bool { return t.id == f.task })
			if i < 0 || p.pool[i].sent != k.identity || !p.pool[i].ours {
				t.Fatalf("%v is said to be task %d of %+v", k, f.task, p.pool)
			}
			if other, twice := owners[f.task]; twice {
				t.Fatalf("%v and %v are both said to be task %d", k, other, f.task)
			}
			owners[f.task] = k
		}
	}
}

// conclude ends a process, and compares what it says with the pool.
func (p *protocol) conclude(t *rapid.T, m *machine) bool {
	again := m.again
	if !p.finish(m) {
		return false
	}
	have := p.counts()
	for identity, n := range have {
		if n > p.most[identity] && (again || !p.late) { // later than that nobody looks
			t.Fatalf("all is said to be well, and %q is there %d times: %+v", identity, n, p.pool)
		}
	}
	for _, k := range p.rows() {
		if m.fates[k].rejected {
			continue
		}
		if have[k.identity]--; have[k.identity] < 0 {
			t.Fatalf("all is said to be well, and %v is not in %+v: %+v", k, p.pool, m.fates)
		}
	}
	return true
}

// The worlds that the model is checked in. Two machines without a common ledger share the
// file and the size of chunks, and use operations, as that is all that is promised.
//
// Where requests are carried out later than anybody waits for, a row that was sent again
// can be there twice. Then the process that sent it says so, as long as it comes in time.
func TestModelOfTheProtocol(t *testing.T) {
	for name, world := range map[string]protocol{
		"one machine":             {machines: []*machine{newMachine()}},
		"a server that rewrites":  {machines: []*machine{newMachine()}, normalises: true},
		"a server that is late":   {machines: []*machine{newMachine()}, late: true},
		"two machines, no ledger": {machines: []*machine{newMachine(), newMachine()}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 30 { // the rarest of the mistakes that it was tried with takes 3,000
				rapid.Check(t, func(t *rapid.T) { model(t, len(world.machines) == 2, world.normalises, world.late) })
			}
		})
	}
}

func model(t *rapid.T, two, normalises, late bool) {
	identity := rapid.SampledFrom([]string{"a", "b", "c", "d", "bad"})
	p := &protocol{
		file: rapid.SliceOfN(identity, 1, 6).Draw(t, "file"), most: map[string]int{}, size: rapid.IntRange(1, 3).Draw(t, "size"),
		sync: !two && rapid.Bool().Draw(t, "sync"), normalises: normalises, late: late, refusing: true,
		operations: map[string]*batchOperation{}, machines: []*machine{newMachine()},
	}
	if two {
		p.machines = append(p.machines, newMachine())
	}
	for range rapid.IntRange(0, 2).Draw(t, "foreign tasks") {
		p.add("a", false)
	}
	p.version()
	one := func() *machine { return p.machines[rapid.IntRange(0, len(p.machines)-1).Draw(t, "machine")] }
	running := func() *machine {
		m := one()
		if !m.running {
			t.Skip()
		}
		return m
	}
	asynchronous := func(m *machine) *chunk {
		var waiting []*chunk
		for _, c := range m.intents {
			if !c.sync && !c.asked {
				waiting = append(waiting, c)
			}
		}
		return sample(t, waiting)
	}
	operation := func() *batchOperation {
		var pending []*batchOperation
		for _, name := range slices.Sorted(maps.Keys(p.operations)) {
			if o := p.operations[name]; o.status == "pending" {
				pending = append(pending, o)
			}
		}
		return sample(t, pending)
	}
	t.Repeat(map[string]func(*rapid.T){
		"": p.check,
		"start": func(t *rapid.T) {
			m := one()
			if m.running {
				t.Skip()
			}
			p.start(m)
		},
		"post": func(t *rapid.T) {
			m := running()
			if slices.ContainsFunc(m.intents, func(c *chunk) bool { return c.sync && !c.asked }) {
				t.Skip() // doubts are settled first
			}
			p.send(m, sample(t, p.fresh(m)))
		},
		"answer":          func(t *rapid.T) { p.arrive(sample(t, p.wire), true) },
		"lose the answer": func(t *rapid.T) { p.arrive(sample(t, p.wire), false) },
		"lose the request": func(t *rapid.T) {
			msg := sample(t, p.wire)
			p.wire = slices.DeleteFunc(p.wire, func(other *message) bool { return other == msg })
			if msg.heard {
				msg.chunk.asked = false
			}
		},
		"time out": func(t *rapid.T) { // and it may still arrive
			if msg := sample(t, p.wire); msg.heard {
				msg.heard, msg.chunk.asked = false, false
			}
		},
		"operation ends":       func(*rapid.T) { p.settleOperation(operation(), "all") },
		"operation fails":      func(*rapid.T) { p.settleOperation(operation(), "none") },
		"operation fails half": func(*rapid.T) { p.settleOperation(operation(), "half") },
		"poll":                 func(*rapid.T) { m := running(); p.poll(m, asynchronous(m), "whole") },
		"poll, half a log":     func(*rapid.T) { m := running(); p.poll(m, asynchronous(m), "half") },
		"poll, archived": func(t *rapid.T) {
			if two {
				t.Skip() // a search knows less than the log that the other has read
			}
			m := running()
			p.poll(m, asynchronous(m), "archived")
		},
		"search": func(t *rapid.T) {
			m := running()
			if !p.quiet(m) || len(m.intents) == 0 {
				t.Skip()
			}
			p.search(m)
		},
		"finish": func(t *rapid.T) {
			m := running()
			if !p.done(m) {
				t.Skip()
			}
			p.conclude(t, m)
		},
		"kill": func(*rapid.T) {
			m := running()
			m.running = false
			for _, c := range m.intents {
				c.asked = false
			}
			for _, msg := range p.wire {
				msg.heard = msg.heard && msg.from != m
			}
		},
		"edit": func(t *rapid.T) {
			if two || p.machines[0].running {
				t.Skip()
			}
			at := rapid.IntRange(0, len(p.file)).Draw(t, "at")
			if at < len(p.file) && rapid.Bool().Draw(t, "change") {
				p.file[at] = identity.Draw(t, "row")
			} else if len(p.file) < 8 {
				p.file = slices.Insert(p.file, at, identity.Draw(t, "row"))
			}
			p.version()
		},
		"change a flag": func(t *rapid.T) {
			if two || p.machines[0].running {
				t.Skip()
			}
			p.size, p.sync = rapid.IntRange(1, 3).Draw(t, "size"), rapid.Bool().Draw(t, "sync")
		},
		"prune": func(t *rapid.T) {
			m := one()
			if m.running || len(m.intents) > 0 || m.doubts() {
				t.Skip() // the window of a doubt is read with the ids of all others
			}
			for k, f := range m.fates {
				if f.task > 0 {
					m.fates[k] = fateOf{task: -1}
				}
			}
		},
		"the server is put right": func(*rapid.T) { p.refusing = false },
		"somebody adds a task":    func(*rapid.T) { p.add("z", false) },
	})
	p.atLast(t)
}

// sample draws one of what there is.
func sample[T any](t *rapid.T, from []T) (one T) {
	if len(from) == 0 {
		t.Skip()
		return one
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, "which")]
}

// atLast lets everything happen that is under way, in a fair world: every row must end.
func (p *protocol) atLast(t *rapid.T) {
	for _, m := range p.machines {
		if !m.running {
			p.start(m)
		}
		for step := 0; !p.done(m); step++ {
			if step > 200 {
				t.Fatalf("a row has no end: %+v", m)
			}
			for len(p.wire) > 0 {
				p.arrive(p.wire[0], true)
			}
			for _, o := range p.operations {
				if o.status == "pending" {
					p.settleOperation(o, "all")
				}
			}
			for _, c := range slices.Clone(m.intents) {
				if !c.sync && !c.asked {
					p.poll(m, c, "whole")
				}
			}
			if len(m.intents) > 0 && p.quiet(m) {
				p.search(m)
			} else if fresh := p.fresh(m); len(fresh) > 0 && len(m.intents) == 0 {
				p.send(m, fresh[0])
			}
			p.check(t)
		}
		p.conclude(t, m)
	}
}
