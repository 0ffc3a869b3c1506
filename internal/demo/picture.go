package demo

import (
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/cli/text"
)

// Picture is what a model shows: numbers, a line over time, and panels of rows, the most important first.
type Picture struct {
	Facts  []Fact
	Line   Timeline
	Panels []Panel
	Now    time.Time // the event time that has been reached; zero before the first event
}

// Fact is a number that is always shown.
type Fact struct {
	Value int64
	Label string
}

// Timeline is a number of events over time, one count for each column.
type Timeline struct {
	Title    string
	Counts   []int
	From, To time.Time
	Layout   string        // of the times below the line
	Bucket   time.Duration // that a column covers
}

// Panel is a titled list, with or without bars.
type Panel struct {
	Title string
	Rows  []Row
	Bars  bool
	Tone  tone
	Fixed bool // is of little use in part
}

// Row is a line of a panel. Value and Share are shown in panels with bars only; Share is 0 to 1.
type Row struct {
	Label string
	Value int64
	Share float64
}

// View is where and when a picture is drawn: the size in cells, and how the run goes.
type View struct {
	Width, Height int
	Name          string // of the scenario
	Where         string // the broker and topic
	Total         int64  // records to come
	Produced      int64
	Consumed      int64
	Elapsed       time.Duration
	P50, P99      time.Duration // from sending to counting; 0 while unknown
	Waiting       string        // what the run waits for before it starts; empty once it goes
	Done          bool
}

// tone chooses the colours of a panel's bars.
type tone int8

const (
	toneCool tone = iota
	toneWarm
)

// Style is how a span looks. The zero value is the terminal's own.
type Style struct {
	Color uint8 // of the 256-colour palette; 0 means the terminal's own
	Bold  bool
}

// Span is text in one style.
type Span struct {
	Text  string
	Style Style
}

// Line is one line of a drawing: spans from left to right.
type Line []Span

// Width returns the cells that the line takes.
func (d Line) Width() int {
	n := 0
	for _, s := range d {
		n += text.Width(s.Text)
	}
	return n
}

// fit cuts or fills the line so that it is exactly cells wide.
func (d Line) fit(cells int) Line {
	var out Line
	for _, s := range d {
		w := text.Width(s.Text)
		if w > cells {
			s.Text = text.Fit(s.Text, cells)
			return append(out, s)
		}
		out = append(out, s)
		cells -= w
	}
	if cells > 0 {
		out = append(out, Span{Text: strings.Repeat(" ", cells)})
	}
	return out
}

// Plain returns the line without styles and without spaces at its end.
func (d Line) Plain() string {
	var b strings.Builder
	for _, s := range d {
		b.WriteString(s.Text)
	}
	return strings.TrimRight(b.String(), " ")
}
