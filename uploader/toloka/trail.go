package toloka

import (
	"net/http/httptrace"
	"sync/atomic"
)

// trail is how far an attempt came on its way, as Go's transport tells: its own
// goroutines write it. A transport of another make tells nothing, and nothing is
// certain then.
type trail struct {
	asked     atomic.Bool // for a connection
	connected atomic.Bool
	reused    atomic.Bool // the connection had answers before
	cut       atomic.Bool // the request could not be written to its end
	answered  atomic.Bool // a byte of an answer came
}

func (t *trail) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { // again where the transport takes another connection by itself
			t.asked.Store(true)
			t.connected.Store(false)
			t.cut.Store(false)
		},
		GotConn: func(c httptrace.GotConnInfo) {
			t.reused.Store(c.Reused)
			t.connected.Store(true)
		},
		WroteRequest:         func(w httptrace.WroteRequestInfo) { t.cut.Store(w.Err != nil) },
		GotFirstResponseByte: func() { t.answered.Store(true) },
	}
}

// noConnection reports whether there was none to send the request on.
func (t *trail) noConnection() bool { return t.asked.Load() && !t.connected.Load() }

// closedIdle is what Go's transport says, with an error that has no name, where the
// server closed a connection before it could know that a request comes.
const closedIdle = "http: server closed idle connection"

// unsent reports whether it is certain, of an attempt that failed so, that the server
// can't carry it out: no connection; one that the server had closed before; or a body
// that lacks its end, which is no JSON.
func (t *trail) unsent(err error) bool {
	return t.noConnection() || t.cut.Load() || err.Error() == closedIdle
}

// stale reports whether an attempt failed since its connection was kept too long: then
// another one, made at once, has better luck.
func (t *trail) stale() bool {
	return t.connected.Load() && t.reused.Load() && !t.answered.Load()
}
