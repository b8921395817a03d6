package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// table is a table in Markdown.
type table struct {
	title string
	rows  [][]string
}

func newTable(title string, columns ...string) *table {
	rule := make([]string, len(columns))
	for i := range rule {
		rule[i] = "---"
	}
	return &table{title, [][]string{columns, rule}}
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

func (t *table) print(w io.Writer) error {
	text := t.title + "\n\n"
	for _, row := range t.rows {
		text += "| " + strings.Join(row, " | ") + " |\n"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }

// microseconds returns the share of each of n.
func microseconds(d time.Duration, n int) string {
	return fmt.Sprintf("%.2f", float64(d)/1e3/float64(n))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) }

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}
