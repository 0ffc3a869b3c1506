// Package table lays out rows of text in aligned columns, as the command line prints them to a terminal.
//
// Columns are as wide as their widest cell, counted in terminal cells, and separated by two spaces; nothing is cut, so
// that names can be copied. Columns marked Wide are left out unless asked for. Cells are made harmless (text.Safe)
// because much of what is shown was named by strangers.
//
// A Table is a plain value: it is filled by one goroutine and written once.
package table

import (
	"bufio"
	"io"
	"strings"

	"github.com/weir-stream/weir/internal/cli/text"
)

// Column describes one column. Right aligns numbers; Wide columns appear only in wide output.
type Column struct {
	Title string
	Right bool
	Wide  bool
}

// Table is a list of rows, each with as many cells as there are columns. Missing cells are empty, further ones ignored.
type Table struct {
	Columns []Column
	Rows    [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Write prints the table with its titles, or nothing at all when there are no columns to show.
func (t *Table) Write(w io.Writer, wide bool) error {
	var shown, widths []int
	for i, c := range t.Columns {
		if c.Wide && !wide {
			continue
		}
		cells := text.Width(c.Title)
		for _, row := range t.Rows {
			cells = max(cells, text.Width(cell(row, i)))
		}
		shown, widths = append(shown, i), append(widths, cells)
	}
	if len(shown) == 0 {
		return nil
	}
	titles := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		titles[i] = c.Title
	}
	out := bufio.NewWriter(w)
	t.writeRow(out, titles, shown, widths)
	for _, row := range t.Rows {
		t.writeRow(out, row, shown, widths)
	}
	return out.Flush()
}

func (t *Table) writeRow(out *bufio.Writer, row []string, shown, widths []int) {
	var line strings.Builder
	for n, i := range shown {
		if n > 0 {
			line.WriteString("  ")
		}
		if t.Columns[i].Right {
			line.WriteString(text.PadLeft(cell(row, i), widths[n]))
		} else {
			line.WriteString(text.PadRight(cell(row, i), widths[n]))
		}
	}
	// The writer keeps its first error, which Flush returns.
	_, _ = out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

func cell(row []string, i int) string {
	if i >= len(row) {
		return ""
	}
	return text.Safe(row[i])
}
