package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/cli/text"
)

// The colours, of the 256-colour palette.
var (
	styleTitle  = Style{Color: 45, Bold: true}
	styleNumber = Style{Bold: true}
	styleDim    = Style{Color: 245}
	styleHead   = Style{Color: 252, Bold: true}
	styleDone   = Style{Color: 78, Bold: true}
	coolBars    = []uint8{51, 45, 45, 39, 39, 38, 38, 32, 32, 31}
	warmBars    = []uint8{221, 215, 215, 209, 209, 203, 203, 168, 168, 132}
	lineColors  = []uint8{25, 26, 32, 38, 44, 50, 86, 122} // from the bottom up
)

const (
	twoColumns  = 56 // cells from which two panels stand side by side
	columnGap   = 3
	leastCells  = 20
	leastHeight = 5
)

// Draw lays a picture out in v.Width by v.Height cells. It returns at most v.Height lines, none wider than v.Width.
func Draw(p Picture, v View) []Line {
	if v.Width < leastCells || v.Height < leastHeight {
		return tooSmall(p, v)
	}
	lines := []Line{header(p, v), facts(p.Facts, v.Width)}
	foot := footer(v)
	room := v.Height - len(lines) - len(foot)
	lineHeight := 0
	if room >= 9 {
		lineHeight = min(max((room-4)*2/5, 2), 10)
		lines = append(lines, nil)
		lines = append(lines, timeline(p.Line, v.Width, lineHeight)...)
		room -= lineHeight + 3
	}
	if room >= 3 {
		lines = append(lines, nil)
		body := panels(p.Panels, v.Width, room-2)
		lines = append(lines, body...)
		// The footer stays at the bottom while the panels fill up.
		for range room - 1 - len(body) {
			lines = append(lines, nil)
		}
	}
	lines = append(lines, foot...)
	for i := range lines {
		lines[i] = lines[i].fit(v.Width)
	}
	return lines[:min(len(lines), v.Height)]
}

func tooSmall(p Picture, v View) []Line {
	var lines []Line
	for _, f := range p.Facts {
		lines = append(lines, Line{{Text: text.Truncate(text.Count(f.Value)+" "+f.Label, max(v.Width, 0))}})
	}
	return lines[:min(len(lines), max(v.Height, 0))]
}

func header(p Picture, v View) Line {
	left, right := Line{{"weir demo", styleTitle}, {"  " + v.Name, styleHead}}, Line{}
	switch {
	case v.Waiting != "":
		right = Line{{v.Waiting, styleDim}}
	case !p.Now.IsZero():
		right = Line{{p.Now.UTC().Format("2006-01-02 15:04"), styleHead}}
	}
	if where := append(slices.Clone(left), Span{"  " + v.Where, styleDim}); where.Width()+right.Width()+2 <= v.Width {
		left = where
	}
	return spread(left, right, v.Width)
}

// spread puts left and right at the two ends of a line; right goes where there is no room for both.
func spread(left, right Line, cells int) Line {
	gap := cells - left.Width() - right.Width()
	if gap < 1 {
		return left
	}
	return append(append(slices.Clone(left), Span{Text: strings.Repeat(" ", gap)}), right...)
}

func facts(all []Fact, cells int) Line {
	var line Line
	for i, f := range all {
		next := Line{{text.Count(f.Value), styleNumber}, {" " + f.Label, styleDim}}
		if i > 0 {
			next = append(Line{{Text: "   "}}, next...)
		}
		if line.Width()+next.Width() > cells {
			break
		}
		line = append(line, next...)
	}
	return line
}

// eighths are bars of one to eight eighths of a cell, from the left and from below.
var (
	eighthsRight = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"}
	eighthsUp    = []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}
)

// timeline draws a title, a block chart of the given height, and an axis with its times.
func timeline(t Timeline, cells, height int) []Line {
	most := 0
	for _, n := range t.Counts {
		most = max(most, n)
	}
	peak := Line{}
	if most > 0 {
		peak = Line{{"peak ", styleDim}, {text.Count(int64(most)), styleNumber}, {" in " + bucketName(t.Bucket), styleDim}}
	}
	lines := []Line{spread(Line{{t.Title, styleHead}}, peak, cells)}
	for row := height - 1; row >= 0; row-- {
		lines = append(lines, Line{{chartRow(t.Counts, most, row, height, cells), Style{Color: lineColors[row*len(lineColors)/height]}}})
	}
	from, to := t.From.UTC().Format(t.Layout), t.To.UTC().Format(t.Layout)
	if t.From.IsZero() {
		from, to = "", ""
	}
	rule := max(0, cells-text.Width(from)-text.Width(to)-2)
	return append(lines, Line{{from + " " + strings.Repeat("─", rule) + " " + to, styleDim}})
}

// chartRow returns one row of a block chart, row 0 being the lowest. What is not zero shows at least a trace.
func chartRow(counts []int, most, row, height, cells int) string {
	var b strings.Builder
	for _, n := range counts[:min(len(counts), cells)] {
		level := 0
		if most > 0 && n > 0 {
			level = max(1, n*height*8/most)
		}
		b.WriteString(eighthsUp[min(max(level-row*8, 0), 8)])
	}
	return b.String()
}

func bucketName(d time.Duration) string {
	if d == 24*time.Hour {
		return "a day"
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// panels lays panels out: the first on the left and the others below each other on the right, or all below each other
// where the terminal is narrow.
func panels(all []Panel, cells, height int) []Line {
	if cells < twoColumns || len(all) < 2 {
		return stack(all, cells, height)
	}
	left := (cells - columnGap) / 2
	right := cells - columnGap - left
	a, b := stack(all[:1], left, height), stack(all[1:], right, height)
	lines := make([]Line, 0, height)
	for i := range max(len(a), len(b)) {
		var line Line
		if i < len(a) {
			line = a[i]
		}
		line = append(line.fit(left), Span{Text: strings.Repeat(" ", columnGap)})
		if i < len(b) {
			line = append(line, b[i]...)
		}
		lines = append(lines, line)
	}
	return lines
}

// stack draws panels below each other, with an empty line between, in at most height lines. They share what there is,
// but a fixed panel is drawn whole if it can be, even if that leaves nothing to the ones below it.
func stack(all []Panel, cells, height int) []Line {
	var lines []Line
	for i, p := range all {
		left := height - len(lines)
		if i > 0 {
			left--
		}
		further := len(all) - i - 1
		share := left
		if further > 0 {
			share = (left + 1) / (further + 1)
			if p.Fixed {
				share = min(len(p.Rows)+1, left)
			}
		}
		if share < 2 {
			continue
		}
		if i > 0 && len(lines) > 0 {
			lines = append(lines, nil)
		}
		before := len(lines)
		lines = append(lines, p.draw(cells, share)...)
		// A panel keeps its place while it fills up, so that the ones below do not move.
		for further > 0 && len(lines) < before+share && !p.Fixed {
			lines = append(lines, nil)
		}
	}
	return lines
}

func (p Panel) draw(cells, height int) []Line {
	lines := []Line{{{p.Title, styleHead}}}
	rows := p.Rows[:min(len(p.Rows), height-1)]
	if !p.Bars {
		for _, r := range rows {
			lines = append(lines, Line{{text.Truncate(text.Safe(r.Label), cells), styleDim}})
		}
		return lines
	}
	labels, values := 0, 1
	for _, r := range rows {
		labels, values = max(labels, text.Width(text.Safe(r.Label))), max(values, len(text.Count(r.Value)))
	}
	labels = min(max(labels, 9), max(8, (cells-values-2)/2))
	bar := max(0, cells-labels-values-2)
	colors := coolBars
	if p.Tone == toneWarm {
		colors = warmBars
	}
	for i, r := range rows {
		lines = append(lines, Line{
			{text.Fit(text.Safe(r.Label), labels) + " ", Style{}},
			{text.PadLeft(text.Count(r.Value), values) + " ", styleNumber},
			{horizontalBar(r.Share, bar), Style{Color: colors[min(i, len(colors)-1)]}},
		})
	}
	return lines
}

// horizontalBar returns a bar of at most cells cells; what is not zero shows at least a trace.
func horizontalBar(share float64, cells int) string {
	if share <= 0 || cells <= 0 {
		return ""
	}
	n := max(1, int(min(share, 1)*float64(cells*8)+0.5))
	return strings.Repeat("█", n/8) + eighthsRight[n%8]
}

// footer tells how the run goes.
func footer(v View) []Line {
	const barCells = 16
	share := 0.0
	if v.Total > 0 {
		share = float64(v.Consumed) / float64(v.Total)
	}
	full := int(share * barCells)
	bar := Line{
		{strings.Repeat("━", full), Style{Color: 45}},
		{strings.Repeat("━", barCells-full), Style{Color: 238}},
		{fmt.Sprintf(" %3.0f%%", share*100), styleNumber},
	}
	if v.Done {
		bar = Line{{"done", styleDone}, {" in " + text.Duration(v.Elapsed), styleDim}}
	}
	parts := []Line{bar, {{"sent ", styleDim}, {text.Count(v.Produced), styleNumber}}, {{"counted ", styleDim}, {text.Count(v.Consumed), styleNumber}}}
	if v.P99 > 0 {
		parts = append(parts, Line{{"end to end p50 ", styleDim}, {text.Duration(v.P50), styleNumber}, {"  p99 ", styleDim}, {text.Duration(v.P99), styleNumber}})
	}
	var line Line
	for i, part := range parts {
		if i > 0 {
			part = append(Line{{Text: "   "}}, part...)
		}
		if line.Width()+part.Width() > v.Width {
			break
		}
		line = append(line, part...)
	}
	return []Line{line}
}
