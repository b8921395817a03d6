package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"poolfill/internal/emulator"
)

// forged is a text that empties the screen, begins a line as if it were ours, and goes
// back over what stands before it.
const forged = "x\x1b[2J\nTo go on: rm -rf ~\r\u202e\u009b31m\u2066"

// startHostile serves an emulator with forged texts in all that it says of pools, projects
// and the account, until the script ends. Requests with tasks are refused; synchronous
// ones by their rows.
func startHostile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: hostile")
	}
	honest, err := emulator.New(emulator.Config{Seed: 1})
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v1/tasks" {
			refuseTasks(w, r)
			return
		}
		answer := httptest.NewRecorder()
		honest.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		var fields map[string]any
		if json.Unmarshal(answer.Body.Bytes(), &fields) != nil {
			_, _ = w.Write(answer.Body.Bytes())
			return
		}
		for name, value := range map[string]any{
			"private_name": forged, "public_description": forged, "code": forged, "message": forged, "request_id": forged,
		} {
			if _, has := fields[name]; has {
				fields[name] = value
			}
		}
		if name, ok := fields["public_name"].(map[string]any); ok {
			name["EN"] = forged
		}
		_ = json.NewEncoder(w).Encode(fields)
	}))
	ts.Defer(func() {
		server.Close()
		ts.Check(honest.Close())
	})
	ts.Setenv("URL", server.URL)
}

func refuseTasks(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("async_mode") == "true" {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]string{"code": forged, "message": forged, "request_id": forged})
		return
	}
	finding := map[string]string{"code": forged, "message": forged}
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"code": "VALIDATION_ERROR", "message": forged, "request_id": forged,
		"payload": map[string]any{"0": map[string]any{"input_values.image": finding, forged: finding}},
	})
}

// wildFile makes a file whose name and content are Go strings without their quotes, and
// sets the variable to its name.
func wildFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: wild VARIABLE NAME CONTENT")
	}
	name, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	content, err := strconv.Unquote(`"` + strings.ReplaceAll(args[2], `"`, `\"`) + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name), []byte(content), 0o600))
	ts.Setenv(args[0], name)
}

// assertTame asserts that a file, "stdout" or "stderr", has nothing hidden in it but its
// line ends and tabs, and no line of another's. Negated, it asserts the contrary.
func assertTame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: tame FILE")
	}
	text := ts.ReadFile(args[0])
	wild := strings.Contains(text, "\nTo go on: rm") || strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control))
	})
	if wild != neg {
		ts.Fatalf("%s is %q", args[0], text)
	}
	if !neg && !bytes.Contains([]byte(text), []byte(`To go on: rm`)) {
		ts.Fatalf("%s does not have the forged text at all: %q", args[0], text)
	}
}
