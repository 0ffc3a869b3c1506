package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// quakesSpan is the time that the line of quakes covers: the week of the data.
const quakesSpan = 7 * 24 * time.Hour

// earthquakes counts quakes by magnitude and region and keeps the largest.
type earthquakes struct {
	quakes, blasts int64
	magnitudes     map[int]int64 // by whole magnitude, rounded down
	regions        map[string]int64
	over           series
	largest        []bigQuake
}

// bigQuake is one of the largest quakes.
type bigQuake struct {
	Magnitude float64 `json:"magnitude"`
	Place     string  `json:"place"`
	Time      string  `json:"time"`

	at time.Time
}

const largestKept = 20

func newEarthquakes() *earthquakes {
	return &earthquakes{magnitudes: map[int]int64{}, regions: map[string]int64{}}
}

func (m *earthquakes) Add(value []byte) error {
	var q quake
	if err := json.Unmarshal(value, &q); err != nil {
		return fmt.Errorf("count an earthquake: %w", err)
	}
	at := time.UnixMilli(q.TimeMs).UTC()
	m.quakes++
	if q.Kind != "earthquake" {
		m.blasts++
	}
	m.over.add(at)
	m.regions[region(q.Place)]++
	if q.Magnitude == nil {
		return nil
	}
	m.magnitudes[int(math.Floor(*q.Magnitude))]++
	m.largest = append(m.largest, bigQuake{*q.Magnitude, q.Place, at.Format(time.RFC3339), at})
	slices.SortFunc(m.largest, func(a, b bigQuake) int {
		return cmp.Or(cmp.Compare(b.Magnitude, a.Magnitude), a.at.Compare(b.at), cmp.Compare(a.Place, b.Place))
	})
	m.largest = m.largest[:min(len(m.largest), largestKept)]
	return nil
}

// region returns the country or state that a place text ends in, or the whole text where it names a sea or a ridge.
func region(place string) string {
	_, after, ok := strings.Cut(place, ", ")
	for ok {
		place = after
		_, after, ok = strings.Cut(place, ", ")
	}
	switch place {
	case "CA":
		return "California"
	case "MX":
		return "Mexico"
	case "":
		return "unknown"
	}
	return place
}

func (m *earthquakes) Picture(columns int) Picture {
	width := quakesSpan / time.Duration(max(columns, 1))
	from := m.over.first.UTC().Truncate(seriesStep)
	largest := make([]Row, 0, len(m.largest))
	for _, q := range m.largest {
		largest = append(largest, Row{Label: fmt.Sprintf("%.1f  %s  %s", q.Magnitude, q.at.Format("Mon 15:04"), q.Place)})
	}
	return Picture{
		Facts:  []Fact{{m.quakes, "quakes"}, {m.blasts, "of them blasts"}, {m.atLeast(4), "of magnitude 4 and more"}, {int64(len(m.regions)), "regions"}},
		Line:   Timeline{Title: "quakes over the week", Counts: m.over.buckets(from, width, columns), From: from, To: from.Add(quakesSpan), Layout: "Mon 2006-01-02 15:04", Bucket: width},
		Now:    m.over.last,
		Panels: []Panel{{Title: "top regions", Bars: true, Tone: toneCool, Rows: top(ranked(m.regions), 40, func(s string) string { return s })}, m.histogram(), {Title: "largest", Rows: largest}},
	}
}

func (m *earthquakes) atLeast(magnitude int) int64 {
	var n int64
	for whole, count := range m.magnitudes {
		if whole >= magnitude {
			n += count
		}
	}
	return n
}

// histogram draws every whole magnitude between the least and the greatest, the greatest first.
func (m *earthquakes) histogram() Panel {
	p := Panel{Title: "magnitudes", Bars: true, Tone: toneWarm, Fixed: true}
	if len(m.magnitudes) == 0 {
		return p
	}
	low, high, most := math.MaxInt, math.MinInt, int64(1)
	for whole, n := range m.magnitudes {
		low, high, most = min(low, whole), max(high, whole), max(most, n)
	}
	for whole := high; whole >= low; whole-- {
		n := m.magnitudes[whole]
		label := fmt.Sprintf("%d to %d", whole, whole+1)
		if whole < 0 {
			label = fmt.Sprintf("below %d", whole+1)
		}
		p.Rows = append(p.Rows, Row{Label: label, Value: n, Share: float64(n) / float64(most)})
	}
	return p
}

// EarthquakeTotals is what the earthquakes scenario counts.
type EarthquakeTotals struct {
	Quakes     int64      `json:"quakes"`
	Blasts     int64      `json:"blasts"`
	Regions    int        `json:"regions"`
	From       string     `json:"from"`
	To         string     `json:"to"`
	Magnitudes []Count    `json:"magnitudes"`
	TopRegions []Count    `json:"top_regions"`
	Largest    []bigQuake `json:"largest"`
}

func (m *earthquakes) Totals() any {
	t := EarthquakeTotals{
		Quakes: m.quakes, Blasts: m.blasts, Regions: len(m.regions), Magnitudes: []Count{}, Largest: m.largest[:min(10, len(m.largest))],
		From: m.over.first.UTC().Format(time.RFC3339), To: m.over.last.UTC().Format(time.RFC3339),
	}
	regions := ranked(m.regions)
	t.TopRegions = regions[:min(20, len(regions))]
	for _, r := range m.histogram().Rows {
		t.Magnitudes = append(t.Magnitudes, Count{r.Label, r.Value})
	}
	return t
}
