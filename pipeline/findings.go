package pipeline

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader"
)

// inColumns completes what the uploader says of a chunk's rows: it names the
// findings of the server in the terms of the input's columns.
func inColumns(o uploader.Outcome, info func(file string) reader.Info) {
	for i := range o.Rows {
		switch row := &o.Rows[i]; {
		case row.Status == verdict.Rejected:
			row.Raw = o.Chunk.Raw(i)
			row.Findings = serverFindings(row, o.Chunk.Content(i), info(row.Position.File))
		case row.InDoubt:
			row.Reason += "; the server may have created it all the same"
		}
	}
}

// serverFindings completes the server's findings about a row, whose task is given by
// its JSON as reader.Task has it.
func serverFindings(row *verdict.Verdict, task []byte, info reader.Info) []verdict.Finding {
	findings := row.Findings
	if len(findings) == 0 {
		findings = []verdict.Finding{{Stage: verdict.StageServer, Code: "REJECTED", Message: "the server refused the row and gave no reason"}}
	}
	for i := range findings {
		f := &findings[i]
		if f.Line = row.Position.Line; f.Path != "" {
			f.Column, f.Field = info.Locate(f.Path, row.Raw)
			f.Value = sentValue(task, f.Path)
		}
	}
	// The server's errors are a JSON object: their order means nothing.
	slices.SortStableFunc(findings, func(a, b verdict.Finding) int {
		if a.Column != b.Column {
			return a.Column - b.Column
		}
		return strings.Compare(a.Code, b.Code)
	})
	return findings
}

// sentValue returns the beginning of what a task holds under a field of the API,
// such as "input_values.image"; empty where it holds nothing there.
func sentValue(task []byte, field string) string {
	value := json.RawMessage("{" + string(task) + "}")
	for key := range strings.SplitSeq(field, ".") {
		var object map[string]json.RawMessage
		var array []json.RawMessage
		switch i, err := strconv.Atoi(key); {
		case json.Unmarshal(value, &object) == nil:
			value = object[key]
		case err == nil && json.Unmarshal(value, &array) == nil && i >= 0 && i < len(array):
			value = array[i]
		default:
			return ""
		}
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return reader.Sample(text)
	}
	return reader.Sample(string(value))
}
