package demo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"time"
)

//go:embed data/posts.ndjson.gz data/earthquakes.ndjson.gz data/flights.ndjson.gz
var files embed.FS

//go:embed data/airports.csv
var airportNames string

// Event is one row of a scenario's data: the record to be, and the time it tells of.
type Event struct {
	At    time.Time
	Key   []byte
	Value []byte // one line of JSON
}

// Model counts one scenario's records.
type Model interface {
	// Add counts the value of one record. It refuses what it cannot read.
	Add(value []byte) error
	// Picture returns the counts as they are to be drawn, with at most columns points in the line over time.
	Picture(columns int) Picture
	// Totals returns the counts as a document for programs.
	Totals() any
}

// Scenario is a set of data and the way to count it.
type Scenario struct {
	Name    string
	Short   string
	Topic   string        // base name of its topic
	Unit    string        // what a record is, in the plural
	Longest time.Duration // quiet stretches of the data are shortened to this; 0 means never

	file     string
	read     func(line []byte) (Event, error)
	newModel func() Model
}

// Scenarios returns all scenarios; the first is the default.
func Scenarios() []Scenario {
	return []Scenario{
		{
			Name: "hashtags", Short: "hashtags and languages of posts", Topic: "posts", Unit: "posts", Longest: 15 * time.Minute,
			file: "data/posts.ndjson.gz", read: readPost, newModel: func() Model { return newHashtags() },
		},
		{
			Name: "earthquakes", Short: "a week of earthquakes", Topic: "earthquakes", Unit: "quakes",
			file: "data/earthquakes.ndjson.gz", read: readQuake, newModel: func() Model { return newEarthquakes() },
		},
		{
			Name: "flights", Short: "a month of departures from New York, with a blizzard in it", Topic: "flights", Unit: "flights",
			file: "data/flights.ndjson.gz", read: readFlight, newModel: func() Model { return newFlights() },
		},
	}
}

// NewModel returns an empty model.
func (s Scenario) NewModel() Model { return s.newModel() }

// Events reads the scenario's data, in the order of event time.
func (s Scenario) Events() ([]Event, error) {
	packed, err := files.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("read the data of %s: %w", s.Name, err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the data of %s: %w", s.Name, err)
	}
	var events []Event
	lines := bufio.NewScanner(zr)
	for lines.Scan() {
		e, err := s.read(bytes.Clone(lines.Bytes()))
		if err != nil {
			return nil, fmt.Errorf("row %d of %s: %w", len(events)+1, s.Name, err)
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("unpack the data of %s: %w", s.Name, err)
	}
	return events, nil
}

// post is a row of the hashtags scenario.
type post struct {
	Number    int64     `json:"post"`
	CreatedAt time.Time `json:"created_at"`
	Lang      string    `json:"lang"`
	Hashtags  []string  `json:"hashtags"`
}

func readPost(line []byte) (Event, error) {
	var p post
	if err := json.Unmarshal(line, &p); err != nil {
		return Event{}, fmt.Errorf("post: %w", err)
	}
	return Event{At: p.CreatedAt, Key: fmt.Appendf(nil, "%d", p.Number), Value: line}, nil
}

// quake is a row of the earthquakes scenario.
type quake struct {
	ID        string   `json:"id"`
	TimeMs    int64    `json:"time"`
	Place     string   `json:"place"`
	Magnitude *float64 `json:"magnitude"`
	Kind      string   `json:"type"`
	DepthKm   float64  `json:"depth_km"`
}

func readQuake(line []byte) (Event, error) {
	var q quake
	if err := json.Unmarshal(line, &q); err != nil {
		return Event{}, fmt.Errorf("earthquake: %w", err)
	}
	return Event{At: time.UnixMilli(q.TimeMs).UTC(), Key: []byte(q.ID), Value: line}, nil
}

// flight is a row of the flights scenario: a departure from one of New York's airports.
type flight struct {
	Time         string `json:"time"` // it was planned for, to the minute
	Carrier      string `json:"carrier"`
	Number       int    `json:"flight"`
	From         string `json:"from"`
	To           string `json:"to"`
	Miles        int64  `json:"miles"`
	DepartedLate *int   `json:"departed_late"` // minutes, negative if early; nil if it was cancelled
}

func (f flight) at() (time.Time, error) { return time.Parse("2006-01-02T15:04Z07:00", f.Time) }

func readFlight(line []byte) (Event, error) {
	var f flight
	if err := json.Unmarshal(line, &f); err != nil {
		return Event{}, fmt.Errorf("flight: %w", err)
	}
	at, err := f.at()
	if err != nil {
		return Event{}, fmt.Errorf("flight: %w", err)
	}
	return Event{At: at, Key: fmt.Appendf(nil, "%s%d", f.Carrier, f.Number), Value: line}, nil
}
