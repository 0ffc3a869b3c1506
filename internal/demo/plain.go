package demo

import (
	"fmt"
	"strings"

	"github.com/weir-stream/weir/internal/cli/text"
)

// PlainLine tells how a run goes in one line, for where there is no terminal.
func PlainLine(p Picture, v View) string {
	if v.Waiting != "" {
		return v.Waiting
	}
	parts := []string{fmt.Sprintf("%3.0f s", v.Elapsed.Seconds())}
	if !p.Now.IsZero() {
		parts = append(parts, p.Now.UTC().Format("2006-01-02 15:04"))
	}
	for _, f := range p.Facts {
		parts = append(parts, text.Count(f.Value)+" "+f.Label)
	}
	if len(p.Panels) > 0 {
		parts = append(parts, strings.Join(leaders(p.Panels[0], 3), ", "))
	}
	return strings.Join(parts, "  ")
}

// leaders returns the first n rows of a panel as text.
func leaders(p Panel, n int) []string {
	var words []string
	for _, r := range p.Rows[:min(n, len(p.Rows))] {
		words = append(words, text.Safe(r.Label)+" "+text.Count(r.Value))
	}
	return words
}

// TotalLines tells the outcome of a run: the totals, the leaders of each panel with bars, and how the run went.
func TotalLines(p Picture, v View) []string {
	var lines []string
	for _, f := range p.Facts {
		lines = append(lines, fmt.Sprintf("%9s %s", text.Count(f.Value), f.Label))
	}
	lines = append(lines, "")
	for _, panel := range p.Panels {
		if panel.Bars {
			lines = append(lines, panel.Title+": "+strings.Join(leaders(panel, 10), ", "))
		}
	}
	went := fmt.Sprintf("sent %s, counted %s in %s", text.Count(v.Produced), text.Count(v.Consumed), text.Duration(v.Elapsed))
	if v.P99 > 0 {
		went += fmt.Sprintf("; from sending to counting p50 %s, p99 %s", text.Duration(v.P50), text.Duration(v.P99))
	}
	return append(lines, went)
}
