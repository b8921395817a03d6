package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
)

// reply is the answer to a request.
type reply struct {
	status      int
	contentType string
	retryAfter  string
	body        []byte
	// stream writes a long body in place of body. Its first error breaks the
	// answer off.
	stream func(out *bufio.Writer) error
}

const jsonType = "application/json;charset=UTF-8"

// jsonReply returns a small answer.
func jsonReply(status int, body any) (reply, error) {
	raw, err := json.Marshal(body)
	return reply{status: status, contentType: jsonType, body: raw}, err
}

// streamReply returns an answer that is written piece by piece.
func streamReply(status int, stream func(out *bufio.Writer) error) reply {
	return reply{status: status, contentType: jsonType, stream: stream}
}

// htmlReply returns a page such as a proxy's.
func htmlReply(status int) reply {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return reply{status: status, contentType: "text/html", body: fmt.Appendf(nil, "<html>\r\n<head><title>%s</title></head>\r\n"+
		"<body>\r\n<center><h1>%s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", title, title)}
}

// send writes the answer. After an error it is not whole.
func (a reply) send(w http.ResponseWriter) error {
	if a.stream == nil {
		return a.sendFirst(w, len(a.body))
	}
	a.begin(w)
	out := bufio.NewWriterSize(w, 64<<10)
	return errors.Join(a.stream(out), out.Flush())
}

// truncate sends half of the answer under the length of the whole.
func (a reply) truncate(w http.ResponseWriter) error {
	if a.stream != nil {
		var held bytes.Buffer
		out := bufio.NewWriter(&held)
		if err := errors.Join(a.stream(out), out.Flush()); err != nil {
			return err
		}
		a.body = held.Bytes()
	}
	return errors.Join(a.sendFirst(w, len(a.body)/2), http.NewResponseController(w).Flush())
}

// sendFirst sends the first n bytes of the body.
func (a reply) sendFirst(w http.ResponseWriter, n int) error {
	if a.status == http.StatusNoContent {
		a.begin(w)
		return nil
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	a.begin(w)
	_, err := w.Write(a.body[:n])
	return err
}

func (a reply) begin(w http.ResponseWriter) {
	for name, value := range map[string]string{"Content-Type": a.contentType, "Retry-After": a.retryAfter} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(a.status)
}

// writeArray writes a JSON array of items, up to the first error.
func writeArray(out *bufio.Writer, items iter.Seq2[[]byte, error]) error {
	separator := byte('[')
	for item, err := range items {
		if err != nil {
			return err
		}
		out.WriteByte(separator)
		out.Write(item)
		separator = ','
	}
	if separator == '[' {
		out.WriteByte(separator)
	}
	return out.WriteByte(']')
}
