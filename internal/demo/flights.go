package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// flightsSpan is the time that the line of flights covers: the month of the data.
	flightsSpan = 28 * 24 * time.Hour
	// lateFrom is how many minutes after its time a flight counts as late, as the airlines' own statistics have it.
	lateFrom = 15
	// delaysKept is how many of the longest delays are known.
	delaysKept = 20
)

// flights counts departures by destination and delays by airline, and keeps the longest delays.
type flights struct {
	airports map[string]string // names by code

	flights, cancelled, late, miles int64
	destinations                    map[string]int64
	airlines                        map[string]*airline // by code
	trouble                         series              // of what was cancelled or late
	first, last                     time.Time
	delays                          []delay // longest first
}

// airline is what an airline's flights add up to.
type airline struct {
	flights, cancelled int64
	lateMinutes        int64 // of all flights that left; those that left early count against it
}

// average is how many minutes late a flight that left did so, rounded to the nearest; negative if early.
func (a *airline) average() int64 {
	left := a.flights - a.cancelled
	if left == 0 {
		return 0
	}
	if a.lateMinutes < 0 {
		return -((-a.lateMinutes + left/2) / left)
	}
	return (a.lateMinutes + left/2) / left
}

// delay is one of the longest delays.
type delay struct {
	Minutes int    `json:"minutes"`
	Time    string `json:"time"`
	Flight  string `json:"flight"`
	From    string `json:"from"`
	To      string `json:"to"`

	at time.Time
}

func newFlights() *flights {
	m := &flights{airports: map[string]string{}, destinations: map[string]int64{}, airlines: map[string]*airline{}}
	for line := range strings.Lines(airportNames) {
		code, name, _ := strings.Cut(strings.TrimSpace(line), ",")
		m.airports[code] = name
	}
	return m
}

func (m *flights) Add(value []byte) error {
	var f flight
	if err := json.Unmarshal(value, &f); err != nil {
		return fmt.Errorf("count a flight: %w", err)
	}
	at, err := f.at()
	if err != nil {
		return fmt.Errorf("count a flight: %w", err)
	}
	if m.flights == 0 || at.Before(m.first) {
		m.first = at
	}
	if at.After(m.last) {
		m.last = at
	}
	m.flights++
	m.destinations[f.To]++
	a := m.airlines[f.Carrier]
	if a == nil {
		a = &airline{}
		m.airlines[f.Carrier] = a
	}
	a.flights++
	if f.DepartedLate == nil {
		m.cancelled++
		a.cancelled++
		m.trouble.add(at)
		return nil
	}
	m.miles += f.Miles
	a.lateMinutes += int64(*f.DepartedLate)
	if *f.DepartedLate >= lateFrom {
		m.late++
		m.trouble.add(at)
		m.keep(delay{*f.DepartedLate, at.Format(time.RFC3339), fmt.Sprintf("%s %d", airlineName(f.Carrier), f.Number), f.From, f.To, at})
	}
	return nil
}

// keep takes a delay in among the longest if it is one. Partitions are read in any order: equal delays go by time and flight.
func (m *flights) keep(d delay) {
	order := func(a, b delay) int {
		return cmp.Or(cmp.Compare(b.Minutes, a.Minutes), a.at.Compare(b.at), cmp.Compare(a.Flight, b.Flight), cmp.Compare(a.From, b.From))
	}
	i, _ := slices.BinarySearchFunc(m.delays, d, order)
	if i >= delaysKept {
		return
	}
	m.delays = slices.Insert(m.delays, i, d)
	m.delays = m.delays[:min(len(m.delays), delaysKept)]
}

func (m *flights) Picture(columns int) Picture {
	width := flightsSpan / time.Duration(max(columns, 1))
	from := m.first.UTC().Truncate(seriesStep)
	longest := make([]Row, 0, len(m.delays))
	for _, d := range m.delays {
		longest = append(longest, Row{Label: fmt.Sprintf("%d min  %s  %s to %s", d.Minutes, d.at.Format("01-02 15:04"), d.Flight, m.airport(d.To))})
	}
	return Picture{
		Facts: []Fact{{m.flights, "flights"}, {m.cancelled, "cancelled"}, {m.late, "late"}, {int64(len(m.destinations)), "destinations"}, {m.miles, "miles"}},
		Line: Timeline{
			Title: "cancelled, or 15 minutes late and more", Counts: m.trouble.buckets(from, width, columns), From: from, To: from.Add(flightsSpan),
			Layout: "2006-01-02 15:04", Bucket: width,
		},
		Now: m.last,
		Panels: []Panel{
			{Title: "top destinations", Bars: true, Tone: toneCool, Rows: top(ranked(m.destinations), 40, m.airport)},
			m.averages(),
			{Title: "longest delays", Rows: longest},
		},
	}
}

// averages draws how late each airline is, the latest first.
func (m *flights) averages() Panel {
	late := map[string]int64{}
	for code, a := range m.airlines {
		late[airlineName(code)] = a.average()
	}
	p := Panel{Title: "minutes late on average", Bars: true, Tone: toneWarm}
	all := ranked(late)
	for _, c := range all {
		p.Rows = append(p.Rows, Row{Label: c.Name, Value: c.Count, Share: float64(max(c.Count, 0)) / float64(max(all[0].Count, 1))})
	}
	return p
}

// airport is a code with the name that belongs to it.
func (m *flights) airport(code string) string {
	if name, ok := m.airports[code]; ok {
		return code + " " + name
	}
	return code
}

// AirlineCount is what the flights scenario knows of an airline.
type AirlineCount struct {
	Name        string `json:"name"`
	Flights     int64  `json:"flights"`
	Cancelled   int64  `json:"cancelled"`
	AverageLate int64  `json:"average_minutes_late"`
}

// FlightTotals is what the flights scenario counts.
type FlightTotals struct {
	Flights         int64          `json:"flights"`
	Cancelled       int64          `json:"cancelled"`
	Late            int64          `json:"late"`
	Miles           int64          `json:"miles"` // of flights that left
	Destinations    int            `json:"destinations"`
	From            string         `json:"from"`
	To              string         `json:"to"`
	TopDestinations []Count        `json:"top_destinations"`
	Airlines        []AirlineCount `json:"airlines"`
	LongestDelays   []delay        `json:"longest_delays"`
}

func (m *flights) Totals() any {
	t := FlightTotals{
		Flights: m.flights, Cancelled: m.cancelled, Late: m.late, Miles: m.miles, Destinations: len(m.destinations), Airlines: []AirlineCount{},
		From: m.first.UTC().Format(time.RFC3339), To: m.last.UTC().Format(time.RFC3339), LongestDelays: m.delays[:min(10, len(m.delays))],
	}
	destinations := ranked(m.destinations)
	t.TopDestinations = destinations[:min(20, len(destinations))]
	for code, a := range m.airlines {
		t.Airlines = append(t.Airlines, AirlineCount{airlineName(code), a.flights, a.cancelled, a.average()})
	}
	slices.SortFunc(t.Airlines, func(a, b AirlineCount) int {
		return cmp.Or(cmp.Compare(b.Flights, a.Flights), cmp.Compare(a.Name, b.Name))
	})
	return t
}

// airlineNames names the carriers of the data by their codes.
var airlineNames = map[string]string{
	"9E": "Endeavor", "AA": "American", "AS": "Alaska", "B6": "JetBlue", "DL": "Delta", "EV": "ExpressJet", "F9": "Frontier", "FL": "AirTran",
	"HA": "Hawaiian", "MQ": "Envoy", "OO": "SkyWest", "UA": "United", "US": "US Airways", "VX": "Virgin America", "WN": "Southwest", "YV": "Mesa",
}

func airlineName(code string) string {
	if name, ok := airlineNames[code]; ok {
		return name
	}
	return code
}
