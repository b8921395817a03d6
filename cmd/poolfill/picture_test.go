package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestThePictureOfARun compares the README's pictures with what a run prints. With
// -update it draws them again; make pictures does that.
func TestThePictureOfARun(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := parsePage(string(text))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "me")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	steps := []step{
		{file: readme.steps[1].file, text: readme.steps[1].text},
		{text: "poolfill upload animals.csv --pool 1238218 --map label=GOLDEN:label\n"},
	}
	output := runShell(t, dir, documentedServer(t, readme.spec), script(steps))
	_, output, _ = strings.Cut(output, "\x011\n")
	output, _, _ = strings.Cut(output, "\x02")
	lines := append([]string{"$ " + strings.TrimSpace(steps[1].text)}, strings.Split(strings.TrimSpace(output), "\n")...)
	for file, dark := range map[string]bool{"run.svg": false, "run-dark.svg": true} {
		path := filepath.Join("../../docs", file)
		want := drawTerminal(lines, dark)
		got, err := os.ReadFile(path)
		if err == nil && alike(strings.Split(strings.TrimSuffix(want, "\n"), "\n"), string(got)) {
			continue
		}
		if !*update {
			t.Errorf("%s is out of date (%v): run make pictures", path, err)
			continue
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// drawTerminal draws lines as a terminal shows them, as SVG without scripts, fonts or
// anything else from elsewhere. The first line is the command.
func drawTerminal(lines []string, dark bool) string {
	const letter, height, edge, bar = 7.83, 19, 20, 34 // a letter of 13 px is 7.8 px wide, in all the fonts that are named
	background, frame, ink, faint, accent := "#f6f8fa", "#d0d7de", "#1f2328", "#57606a", "#0969da"
	if dark {
		background, frame, ink, faint, accent = "#161b22", "#30363d", "#e6edf3", "#8b949e", "#58a6ff"
	}
	longest := 0
	for _, line := range lines {
		longest = max(longest, utf8.RuneCountInString(line))
	}
	width, tall := int(float64(longest)*letter)+2*edge, len(lines)*height+bar+edge
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n", width, tall)
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%d" height="%d" rx="8" fill="%s" stroke="%s"/>`+"\n", width-1, tall-1, background, frame)
	for i := range 3 {
		fmt.Fprintf(&b, `<circle cx="%d" cy="18" r="5.5" fill="%s"/>`+"\n", edge+2+18*i, frame)
	}
	fmt.Fprintf(&b, `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" fill="%s">`+"\n", ink)
	for i, line := range lines {
		colour := ""
		switch {
		case i == 0:
			colour = fmt.Sprintf(` fill=%q font-weight="600"`, accent)
		case i == 1:
			colour = ` font-weight="600"`
		case strings.HasPrefix(line, "           ") && !strings.HasPrefix(line, "                "):
			colour = fmt.Sprintf(` fill=%q`, faint) // what stands below a kind of rejection
		}
		var escaped bytes.Buffer
		_ = xml.EscapeText(&escaped, []byte(line)) // a bytes.Buffer takes everything
		fmt.Fprintf(&b, `<text x="%d" y="%d" xml:space="preserve"%s>%s</text>`+"\n", edge, bar+(i+1)*height-5, colour, escaped.String())
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}
