package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
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

// send writes the answer. An error of the connection is nobody's to hear.
func (a reply) send(w http.ResponseWriter) {
	if a.stream == nil {
		a.sendFirst(w, len(a.body))
		return
	}
	a.begin(w)
	out := bufio.NewWriterSize(w, 64<<10)
	if err := a.stream(out); err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Flush()
}

// truncate sends half of the answer under the length of the whole.
func (a reply) truncate(w http.ResponseWriter) error {
	if a.stream != nil {
		var held bytes.Buffer
		out := bufio.NewWriter(&held)
		if err := a.stream(out); err != nil {
			return err
		}
		out.Flush()
		a.body = held.Bytes()
	}
	a.sendFirst(w, len(a.body)/2)
	return http.NewResponseController(w).Flush()
}

// sendFirst sends the first n bytes of the body.
func (a reply) sendFirst(w http.ResponseWriter, n int) {
	if a.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	a.begin(w)
	w.Write(a.body[:n])
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
