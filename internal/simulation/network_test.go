package simulation

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"poolfill/internal/referee"
)

const server = "http://toloka.test"

// network holds every request until the whole bubble is at rest, when the generator
// picks one and its fate.
type network struct {
	mu   sync.Mutex
	held []*call
	seen map[string]int
	wake chan struct{}
}

func newNetwork() *network { return &network{seen: map[string]int{}, wake: make(chan struct{}, 1)} }

// call is a request that is held.
type call struct {
	process int
	kind    string
	key     string // its content
	again   bool   // something of the same content was sent before
	request *http.Request
	answer  chan delivery
	// gone says that nobody waits for the answer any more.
	gone bool
}

// delivery is an answer, and how long it is on its way.
type delivery struct {
	response *http.Response
	err      error
	after    time.Duration
}

// line is the connection of one process.
type line struct {
	*network
	process int
	mu      sync.Mutex
	dead    bool
}

// cut ends the connection: nothing goes out any more.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
}

func (l *line) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// RoundTrip is part of http.RoundTripper.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.isDead() {
		return nil, io.ErrClosedPipe
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	sent := r.Clone(r.Context())
	sent.Body = io.NopCloser(bytes.NewReader(body))
	c := &call{process: l.process, kind: referee.KindOf(r), request: sent, answer: make(chan delivery, 1)}
	h := fnv.New64a()
	h.Write(body)
	c.key = fmt.Sprintf("%s %s?%s %x", r.Method, r.URL.Path, r.URL.Query().Encode(), h.Sum64())
	l.hold(c)
	select {
	case d := <-c.answer:
		if d.after > 0 {
			late := time.NewTimer(d.after)
			defer late.Stop()
			select {
			case <-late.C:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		return d.response, d.err
	case <-r.Context().Done():
		l.leave(c)
		return nil, r.Context().Err()
	}
}

func (n *network) hold(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.again = n.seen[c.key] > 0
	n.seen[c.key]++
	n.held = append(n.held, c)
	n.rouse()
}

func (n *network) leave(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.gone = true
	n.rouse()
}

// rouse wakes the generator.
func (n *network) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// calm forgets that the generator was to be woken.
func (n *network) calm() {
	select {
	case <-n.wake:
	default:
	}
}

// waiting are the requests that are held, in an order that depends on nothing but them.
func (n *network) waiting() []*call {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortStableFunc(n.held, func(a, b *call) int {
		if a.process != b.process {
			return a.process - b.process
		}
		return strings.Compare(a.key, b.key)
	})
	return slices.Clone(n.held)
}

// release takes a request out.
func (n *network) release(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = slices.DeleteFunc(n.held, func(other *call) bool { return other == c })
}
