package main

import (
	"io"

	"github.com/spf13/pflag"

	"poolfill/cmd/poolfill/internal/report"
	"poolfill/cmd/poolfill/internal/ui"
	"poolfill/pipeline"
)

// jsonFlag has a command print JSON for programs in place of a text for people.
type jsonFlag bool

func (j *jsonFlag) register(flags *pflag.FlagSet) {
	flags.BoolVar((*bool)(j), "json", false, "print JSON")
}

// show prints the result of a command.
func (j jsonFlag) show(w io.Writer, r ui.Result) error {
	if j {
		return ui.EncodeJSON(w, r)
	}
	return r.Text(w)
}

// report prints the report of a run.
func (j jsonFlag) report(w io.Writer, r pipeline.Report) error {
	report.AddHints(&r)
	if j {
		return report.Encode(w, r)
	}
	return ui.Summary(w, r)
}
