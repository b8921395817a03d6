package toloka

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-faster/jx"

	"poolfill/internal/contract"
	"poolfill/internal/visible"
)

// Kind is what a failed request means for its sender.
type Kind string

// The kinds of failure. Those marked with a star are tried again.
const (
	KindInvalid     Kind = "invalid"     // 400: the request can't be carried out as it is
	KindAuth        Kind = "auth"        // 401, 403: the token is wrong or may not do this
	KindNotFound    Kind = "not found"   // 404
	KindConflict    Kind = "conflict"    // 409: not in the state that things are in
	KindBusy        Kind = "busy"        // * 409: another operation holds the pool
	KindTooLarge    Kind = "too large"   // 413
	KindQuota       Kind = "quota"       // * 429; also tasks that never fit into the quota (Status 0)
	KindTransient   Kind = "transient"   // * 408, 5xx
	KindTimeout     Kind = "timeout"     // * no answer in time; 502, 504: the server may still be at work
	KindBroken      Kind = "broken"      // * the connection broke before the answer was whole
	KindMalformed   Kind = "malformed"   // * not what the API answers: a proxy's page, or a 2xx without its body
	KindUnreachable Kind = "unreachable" // * nothing was sent: no connection
	KindInsecure    Kind = "insecure"    // nothing was sent: TLS could not be verified (* once the API has answered)
	KindUnexpected  Kind = "unexpected"  // any other answer
	KindCanceled    Kind = "canceled"    // the context ended
	KindJournal     Kind = "journal"     // nothing was sent: the caller could not get ready
)

// codePoolLocked is a 409 that passes by itself.
const codePoolLocked = "POOL_LOCKED_BY_ANOTHER_OPERATION"

// Error is a request that failed. Its text is for people and never holds the token.
type Error struct {
	Kind Kind
	// What says what was asked for, such as "reading pool 12".
	What string
	// Host is the server's name.
	Host string
	// Status is the HTTP status; 0 where there was no answer.
	Status int
	// Code, Message, RequestID and Payload are the server's own words; empty
	// where it had none. All but the Payload are fit to be shown.
	Code      string
	Message   string
	RequestID string
	Payload   json.RawMessage
	// Interval is the payload's interval of a 429: MIN, HOUR or DAY.
	Interval string
	// RetryAfter is the header of that name.
	RetryAfter string
	// Attempts counts the requests that were sent for this.
	Attempts int
	// InDoubt says that one of the attempts may have been carried out
	// although there is no answer that says so.
	InDoubt bool

	// Cause is what Go or the system says, or the context's cause; nil where the
	// answer says everything.
	Cause error
	// Before is what went wrong before the context ended; nil for nothing.
	Before error

	tokenFrom string // as Config has it
	date      string // of the answer, by whose clock RetryAfter is meant
	spoken    bool   // the API has answered in this run, so that the address is right
	stale     bool   // the connection was kept too long
}

// Unwrap returns the causes, so that errors.Is finds context.Canceled.
func (e *Error) Unwrap() []error {
	return slices.DeleteFunc([]error{e.Cause, e.Before}, func(err error) bool { return err == nil })
}

// KindOf returns the kind of an error of a Client; empty where it is nil or another
// error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// Canceled says that a context ended while something was done; before is what had
// failed until then, or nil.
func Canceled(ctx context.Context, what string, before error) *Error {
	return &Error{Kind: KindCanceled, What: what, Cause: context.Cause(ctx), Before: before}
}

// Retryable reports whether the same request can succeed later.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case KindQuota:
		return e.Status != 0
	case KindBusy, KindTransient, KindTimeout, KindBroken, KindMalformed:
		return true
	case KindInsecure:
		return e.spoken
	case KindUnreachable:
		// A name that the DNS says doesn't exist is a typing mistake, and so is https
		// for http; but not where the API has answered before.
		var dns *net.DNSError
		return e.spoken || (!errors.As(e.Cause, &dns) || !dns.IsNotFound) && !errors.Is(e.Cause, http.ErrSchemeMismatch)
	}
	return false
}

// Error says what happened, for what request, and what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	var reason string
	var known bool // whether the cause is in the sentence
	switch e.Kind {
	case KindBroken, KindUnreachable, KindInsecure:
		reason, known = transportReason(e.Cause)
	}
	switch e.Kind {
	case KindInvalid:
		fmt.Fprintf(&b, "the server refused the request for %s%s", e.What, e.answer())
		if e.Code == contract.CodeMixerConfigRequired {
			b.WriteString(": the pool has no smart mixing; set up its mixer_config")
		}
	case KindAuth:
		if e.Status == http.StatusForbidden {
			fmt.Fprintf(&b, "access was denied while %s%s: check that the token's account may do this", e.What, e.answer())
			break
		}
		fmt.Fprintf(&b, "the token was refused while %s%s: check %s, and that it belongs to %s", e.What, e.answer(), cmp.Or(e.tokenFrom, "the token"), e.Host)
	case KindNotFound:
		fmt.Fprintf(&b, "not found while %s%s: check the id, and that it belongs to the token's account on %s", e.What, e.answer(), e.Host)
	case KindConflict:
		fmt.Fprintf(&b, "%s is not possible now%s%s", e.What, e.answer(), conflictHint(e.Code))
	case KindBusy:
		fmt.Fprintf(&b, "%s was not possible, as another operation holds the pool%s: try again when that has ended", e.What, e.answer())
	case KindTooLarge:
		fmt.Fprintf(&b, "the request for %s is too large%s: make the chunks smaller", e.What, e.answer())
	case KindQuota:
		if e.Status == 0 {
			fmt.Fprintf(&b, "%s is not possible: %v", e.What, e.Cause)
			return b.String()
		}
		fmt.Fprintf(&b, "the quota was used up while %s%s: try again later", e.What, e.answer())
	case KindTransient:
		fmt.Fprintf(&b, "the server has failed while %s%s: try again later", e.What, e.answer())
	case KindTimeout:
		if e.Status > 299 {
			fmt.Fprintf(&b, "something on the way to %s had no answer from it while %s%s: try again later", e.Host, e.What, e.answer())
			break
		}
		fmt.Fprintf(&b, "%s did not answer in time while %s: try again later, or allow a longer request timeout", e.Host, e.What)
	case KindBroken:
		fmt.Fprintf(&b, "the connection to %s broke while %s: %s", e.Host, e.What, reason)
	case KindMalformed:
		if e.Status > 299 {
			fmt.Fprintf(&b, "what answered for %s while %s is not the API%s: check the network and the proxy, and whether one has to log in there", e.Host, e.What, e.answer())
			break
		}
		fmt.Fprintf(&b, "the answer of %s makes no sense while %s%s: check that the address is that of the API", e.Host, e.What, e.answer())
	case KindUnreachable:
		fmt.Fprintf(&b, "%s can't be reached for %s: %s", e.Host, e.What, reason)
	case KindInsecure:
		if known {
			fmt.Fprintf(&b, "the connection to %s for %s is not safe: %s", e.Host, e.What, reason)
			break
		}
		fmt.Fprintf(&b, "the connection to %s for %s is not safe, as its certificate can't be verified: check the address, the clock and the proxy", e.Host, e.What)
	case KindJournal:
		fmt.Fprintf(&b, "%s did not begin, as it could not be recorded beforehand: check the disk and try again", e.What)
	case KindCanceled:
		fmt.Fprintf(&b, "stopped while %s", e.What)
	default:
		fmt.Fprintf(&b, "the server gave an unexpected answer while %s%s: check the address", e.What, e.answer())
	}
	if e.Attempts > 1 && e.Retryable() {
		fmt.Fprintf(&b, "; gave up after %d attempts", e.Attempts)
	}
	if e.Before != nil {
		fmt.Fprintf(&b, " (before that: %v)", e.Before)
	}
	if e.Cause != nil && !known {
		fmt.Fprintf(&b, " (%s)", e.cause())
	}
	return b.String()
}

// cause returns the words of Go and the system, which may quote what came over the
// network, in one line. Those of the caller stay as they are.
func (e *Error) cause() string {
	if e.Kind == KindJournal || e.Kind == KindCanceled {
		return e.Cause.Error()
	}
	return visible.Cut(strings.ReplaceAll(e.Cause.Error(), "\n", "; "), maxCause) // several have a line each
}

// answer returns the server's own words in brackets.
func (e *Error) answer() string {
	if e.Status == 0 {
		return ""
	}
	s := fmt.Sprintf(" (%d", e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.RequestID != "" {
		s += ", request " + e.RequestID
	}
	return s + ")"
}

func conflictHint(code string) string {
	switch code {
	case contract.CodeInappropriateStatus:
		return ": check that the pool is not archived"
	case contract.CodePoolTasksCountExceeded:
		return ": the pool is full; fill another one"
	case contract.CodeMixerConfigRequired:
		return ": the pool has no smart mixing; set up its mixer_config"
	}
	return ": check the state of the pool"
}

// transportReason returns why there is no answer, and what to do, where it is one of the
// common reasons: then nobody needs the words of Go and the system.
func transportReason(cause error) (reason string, known bool) {
	const onTheWay = "check the network, the address and the proxy"
	var (
		dns    *net.DNSError
		op     *net.OpError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(cause, &op) && op.Op == "proxyconnect":
		return "the proxy can't be reached; check HTTPS_PROXY and HTTP_PROXY", false
	case errors.As(cause, &dns) && dns.IsNotFound:
		return "no host has this name; check the address", true
	case errors.As(cause, &dns):
		return "its name can't be looked up; check the network", true
	case errors.Is(cause, syscall.ECONNREFUSED):
		return "nothing listens there; check the address and that the server runs", true
	case errors.Is(cause, syscall.EHOSTUNREACH), errors.Is(cause, syscall.ENETUNREACH):
		return "the network has no way to it; " + onTheWay, true
	case errors.Is(cause, http.ErrSchemeMismatch):
		return "it speaks http there and not https; write http:// in the address, or check the port", true
	case errors.As(cause, &record):
		return "what answers there doesn't speak TLS; " + onTheWay, true
	case errors.Is(cause, syscall.ECONNRESET), errors.Is(cause, syscall.EPIPE):
		return "the server, or something on the way, closed the connection; " + onTheWay + ", and try again", true
	case errors.Is(cause, io.ErrUnexpectedEOF), errors.Is(cause, io.EOF):
		return "it ended before the answer was whole; " + onTheWay + ", and try again", true
	}
	return onTheWay, false
}

// ofStatus returns what an answer that is not 2xx means.
func ofStatus(status int, code string) Kind {
	switch {
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return KindInvalid
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return KindAuth
	case status == http.StatusNotFound:
		return KindNotFound
	case status == http.StatusConflict && code == codePoolLocked:
		return KindBusy
	case status == http.StatusConflict:
		return KindConflict
	case status == http.StatusRequestEntityTooLarge:
		return KindTooLarge
	case status == http.StatusTooManyRequests:
		return KindQuota
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return KindTimeout
	case status == http.StatusRequestTimeout, status >= 500:
		return KindTransient
	}
	return KindUnexpected
}

// ofForeign returns what an answer means that has the status of a kind and is not the
// API's. Some statuses mean the same whoever sends them: wait, or send less at once.
func ofForeign(k Kind, tasks int) Kind {
	switch {
	case k == KindTransient, k == KindTimeout, k == KindQuota:
		return k
	case k == KindTooLarge && tasks > 1: // it can be sent in parts
		return k
	}
	return KindMalformed
}

// ofFailure returns what it means that there was no answer. noConnection reports
// that there was never a connection to send the request on.
func ofFailure(err error, noConnection bool) Kind {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		dns     *net.DNSError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &record):
		return KindInsecure
	case errors.As(err, &dns), errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"):
		return KindUnreachable
	case noConnection:
		return KindUnreachable
	case isTimeout(err):
		return KindTimeout
	}
	return KindBroken
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// maybeDone reports whether a request that failed so may have been carried out.
func maybeDone(k Kind) bool {
	switch k {
	case KindTransient, KindTimeout, KindBroken, KindMalformed:
		return true
	}
	return false
}

// statKey names a failure in Stats.
func statKey(e *Error) string {
	if e.Status > 299 && e.Kind != KindBroken || e.Status != 0 && e.Kind != KindMalformed && e.Kind != KindBroken {
		return strconv.Itoa(e.Status)
	}
	if e.Kind == KindBroken {
		if errors.Is(e.Cause, syscall.ECONNRESET) {
			return "reset"
		}
		if errors.Is(e.Cause, io.ErrUnexpectedEOF) || errors.Is(e.Cause, io.EOF) {
			return "truncated"
		}
	}
	return string(e.Kind)
}

// maxText bounds what is quoted of a server's message, in bytes, and maxCause what Go
// makes of it.
const (
	maxText  = 500
	maxCause = 1000
)

// errorAnswer reads the body of an answer that is not 2xx. Whatever isn't the
// API's JSON, such as a proxy's HTML, leaves everything empty.
func errorAnswer(body []byte) (code, message, requestID string, payload json.RawMessage) {
	d := jx.DecodeBytes(body)
	if d.Next() != jx.Object {
		return "", "", "", nil
	}
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		var err error
		switch {
		case string(key) == "payload":
			var raw jx.Raw
			if raw, err = d.Raw(); err == nil && raw.Type() != jx.Null {
				payload = append(payload, raw...)
			}
		case d.Next() != jx.String:
			return d.Skip()
		case string(key) == "code":
			code, err = d.Str()
		case string(key) == "message":
			message, err = d.Str()
		case string(key) == "request_id":
			requestID, err = d.Str()
		default:
			return d.Skip()
		}
		return err
	})
	if err != nil {
		payload = nil // cut off somewhere: what was read whole is good
	}
	return visible.Cut(code, maxText), visible.Cut(message, maxText), visible.Cut(requestID, maxText), payload
}

// intervalOf reads payload.interval of a 429.
func intervalOf(payload []byte) string {
	var p struct {
		Interval string `json:"interval"`
	}
	_ = json.Unmarshal(payload, &p) // what can't be read names no interval
	return p.Interval
}

// timeoutError is the cause of a request's own end.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.after) }
func (timeoutError) Timeout() bool   { return true }
