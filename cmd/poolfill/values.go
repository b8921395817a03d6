package main

import (
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// values says what the value of a flag can be, for shells that complete it, for
// the check of what comes from the environment or a file, and for the list of
// settings.
type values struct {
	choices []string // the only values
	common  []string // some of many
	files   []string // it is a file, with one of these extensions; "" is any
	folder  bool
}

// valuesOf knows the flags whose values can be told; by name, as flags of the
// same name take the same values in all commands.
func valuesOf() map[string]values {
	anyFile := values{files: []string{""}}
	return map[string]values{
		"mode":            {choices: []string{"async", "sync"}},
		"on-invalid":      {choices: []string{"skip", "stop"}},
		"on-quota":        {choices: []string{"auto", "wait", "park"}},
		"verify":          {choices: []string{"auto", "always", "never"}},
		"dedupe":          {choices: []string{"ledger", "pool"}},
		"notify-on":       {choices: []string{notifyFailures, notifyAlways}},
		"quotes":          {choices: []string{"auto", "toloka", "none"}},
		"progress":        {choices: []string{"auto", "bar", "plain", "json", "none"}},
		"log-format":      {choices: []string{"console", "json"}},
		"log-level":       {choices: []string{"debug", "info", "warn", "error"}},
		"workers":         {common: []string{"auto"}},
		"delimiter":       {common: []string{"tab", "comma", "semicolon", "pipe"}},
		"control-overlap": {common: []string{"infinite", "pool"}},
		"url":             {common: []string{productionURL, sandboxURL, "http://127.0.0.1:8090"}},
		"encoding": {common: []string{
			"utf-8", "utf-16le", "utf-16be", "windows-1250", "windows-1251", "windows-1252", "iso-8859-1", "iso-8859-2",
			"koi8-r", "ibm866", "shift_jis", "euc-jp", "euc-kr", "gb18030", "gbk", "big5",
		}},
		"max-rejected": {common: []string{"0", "1%", "5%"}},
		"retry-for":    {common: []string{"5m", "15m", "1h"}},
		"older-than":   {common: []string{"720h", "2160h", "8760h"}},
		"faults":       {common: []string{"lost=0.1", "502html=0.05", "429=0.02", "slow=0.1:2s"}},
		"spec":         {files: []string{"json"}},
		"config":       {files: []string{"yaml", "yml"}},
		"token-file":   anyFile,
		"state":        anyFile,
		"cpuprofile":   anyFile,
		"memprofile":   anyFile,
		"out":          {folder: true},
		"state-dir":    {folder: true},
	}
}

// describeValues notes with all flags of a command, and of those below it, what
// their values can be.
func describeValues(cmd *cobra.Command, known map[string]values) error {
	var err error
	describe := func(f *pflag.Flag) {
		v, ok := known[f.Name]
		if !ok || err != nil {
			return
		}
		switch {
		case v.folder:
			annotate(f, cobra.BashCompSubdirsInDir)
		case v.files != nil:
			annotate(f, cobra.BashCompFilenameExt, strings.Fields(strings.Join(v.files, " "))...)
		default:
			if v.choices != nil {
				annotate(f, choicesKey, v.choices...)
			}
			shown := slices.Concat(v.choices, v.common)
			err = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(shown, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(describe)
	cmd.PersistentFlags().VisitAll(describe)
	for _, sub := range cmd.Commands() {
		if err == nil {
			err = describeValues(sub, known)
		}
	}
	return err
}

// The annotations of flags. originKey holds where the value comes from,
// choicesKey the only values that there are.
const (
	originKey  = "poolfill_origin"
	choicesKey = "poolfill_choices"
)

// annotate keeps something with a flag.
func annotate(f *pflag.Flag, key string, values ...string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[key] = values
}

// possible reports whether a flag can have a value, as far as its type doesn't say so.
// No number and no time is negative.
func possible(f *pflag.Flag, value string) bool {
	if choices := f.Annotations[choicesKey]; choices != nil {
		return slices.Contains(choices, value)
	}
	switch f.Value.Type() {
	case "int", "int64", "float64", "duration":
		return !strings.HasPrefix(value, "-")
	}
	return true
}

// orList returns "a, b or c".
func orList(words []string) string { return english.WordSeries(words, "or") }

// allowed says what a flag can be.
func allowed(f *pflag.Flag) string {
	if choices := f.Annotations[choicesKey]; choices != nil {
		return orList(choices)
	}
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "int", "int64", "uint64":
		return "a whole number from 0"
	case "float64":
		return "a number from 0"
	case "duration":
		return "a time such as 90s, 15m or 2h"
	case "stringToString":
		return "pairs such as picture=INPUT:image"
	}
	return "a value"
}
