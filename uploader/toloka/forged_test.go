package toloka

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"
)

// forged is a message that would clear a screen and write a line of ours, if it were shown
// as it is.
const forged = `bad\u001b[2J\nTo go on: rm -rf ~\u009b\u202e`

// What a server says is shown as one line that can be seen, wherever it comes in.
func TestNoServerWritesLinesOfOurs(t *testing.T) {
	check := func(t *testing.T, text string) {
		t.Helper()
		if !strings.Contains(text, "To go on: rm") || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) {
			t.Errorf("it is shown as %q", text)
		}
	}
	quoted := `"` + forged + `"`
	t.Run("an error", func(t *testing.T) {
		f := script(t, on("GET /pools/1", 403, `{"code":`+quoted+`,"message":`+quoted+`,"request_id":`+quoted+`}`))
		_, err := newClient(t, f, Config{}).Pool(t.Context(), "1")
		check(t, err.Error())
	})
	t.Run("the reasons of a row", func(t *testing.T) {
		for _, payload := range []string{`{"0":{"input_values.a":` + quoted + `}}`, `{"0":{` + quoted + `:{"code":` + quoted + `,"message":` + quoted + `}}}`} {
			byItem, _ := (&Error{Payload: []byte(payload)}).Findings()
			f := byItem[0][0]
			check(t, f.Path+f.Code+f.Message)
		}
	})
	t.Run("an operation", func(t *testing.T) {
		op := Operation{Details: []byte("{\"why\":\n\t\"To go on: rm\x1b[2J\u202e\"}")}
		check(t, op.Explain())
		f := script(t, on("GET /operations/x", 200, `{"id":"x","status":`+quoted+`}`))
		op, err := newClient(t, f, Config{}).Operation(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		check(t, op.Status)
	})
	t.Run("another operation", func(t *testing.T) {
		f := script(t, on(post, 202, `{"id":`+quoted+`,"status":"RUNNING"}`))
		_, _, err := newClient(t, f, Config{}).Submit(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, "x", Hooks{})
		check(t, err.Error())
	})
	t.Run("a cause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeServer{handle: func(received) (*http.Response, error) {
				return nil, errors.New("malformed: \x1b[2J\nTo go on: rm")
			}}
			_, err := newClient(t, f, Config{RetryFor: 1}).Pool(t.Context(), "1")
			check(t, err.Error())
		})
	})
	t.Run("several causes", func(t *testing.T) {
		failed := &Error{Kind: KindInvalid, What: "sending 1 row", Status: 400, Cause: errors.Join(errors.New("a: \x1bb"), errors.New("To go on: rm"))}
		if check(t, failed.Error()); !strings.HasSuffix(failed.Error(), `(a: \x1bb; To go on: rm)`) {
			t.Errorf("it reads: %v", failed)
		}
	})
	t.Run("an answer with a strange place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeServer{handle: func(received) (*http.Response, error) { return answer(200, `{"items":{`+quoted+`:{}}}`), nil }}
			_, err := newClient(t, f, Config{}).Create(t.Context(), Tasks(), Batch{Body: []byte(`[{}]`), Len: 1}, Hooks{}, func(iter.Seq[Item]) {},
				func(_ context.Context, failed *Error) (Batch, error) { return Batch{}, failed })
			check(t, err.Error())
		})
	})
}

// However long a text of a server is, what is shown of it is not.
func TestTextsOfAServerAreBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	f := script(t, on("GET /pools/1", 403, `{"code":"`+long+`","message":"`+long+`","request_id":"`+long+`"}`))
	if _, err := newClient(t, f, Config{}).Pool(t.Context(), "1"); len(err.Error()) > 3000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	byItem, _ := (&Error{Payload: []byte(`{"0":{"` + long + `":{"code":"` + long + `","message":"` + long + `"}}}`)}).Findings()
	if f := byItem[0][0]; len(f.Path+f.Code+f.Message) > 3000 {
		t.Errorf("a finding has %d bytes", len(f.Path+f.Code+f.Message))
	}
}
