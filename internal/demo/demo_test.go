package demo

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/cli/text"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func scenario(t *testing.T, name string) (Scenario, []Event) {
	t.Helper()
	for _, s := range Scenarios() {
		if s.Name == name {
			events, err := s.Events()
			if err != nil {
				t.Fatal(err)
			}
			return s, events
		}
	}
	t.Fatalf("no scenario %q", name)
	return Scenario{}, nil
}

func counted(t *testing.T, s Scenario, events []Event) Model {
	t.Helper()
	m := s.NewModel()
	for _, e := range events {
		if err := m.Add(e.Value); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestHashtagTotalsEqualAPlainCount(t *testing.T) {
	t.Parallel()
	s, events := scenario(t, "hashtags")
	got := counted(t, s, events).Totals().(HashtagTotals)
	if got.Posts != 2369 || got.WithHashtags != 752 || got.Hashtags != 726 || got.Uses != 2516 {
		t.Errorf("got %d posts, %d with hashtags, %d hashtags, %d uses; want 2369, 752, 726, 2516", got.Posts, got.WithHashtags, got.Hashtags, got.Uses)
	}
	if want := []Count{{"rstats", 207}, {"python", 72}, {"bigdata", 70}, {"datascience", 70}}; !slices.Equal(got.TopHashtags[:4], want) {
		t.Errorf("top hashtags %v, want %v", got.TopHashtags[:4], want)
	}
	if want := []Count{{"en", 1879}, {"es", 102}, {"ja", 97}}; !slices.Equal(got.Languages[:3], want) {
		t.Errorf("languages %v, want %v", got.Languages[:3], want)
	}
}

func TestEarthquakeTotalsEqualAPlainCount(t *testing.T) {
	t.Parallel()
	s, events := scenario(t, "earthquakes")
	got := counted(t, s, events).Totals().(EarthquakeTotals)
	if got.Quakes != 1707 || got.Blasts != 28 {
		t.Errorf("got %d quakes, %d blasts; want 1707, 28", got.Quakes, got.Blasts)
	}
	want := []Count{{"6 to 7", 5}, {"5 to 6", 34}, {"4 to 5", 89}, {"3 to 4", 89}, {"2 to 3", 229}, {"1 to 2", 550}, {"0 to 1", 667}, {"below 0", 44}}
	if !slices.Equal(got.Magnitudes, want) {
		t.Errorf("magnitudes %v, want %v", got.Magnitudes, want)
	}
	if want := []Count{{"California", 825}, {"Alaska", 311}, {"Nevada", 183}}; !slices.Equal(got.TopRegions[:3], want) {
		t.Errorf("regions %v, want %v", got.TopRegions[:3], want)
	}
	if big := got.Largest[0]; big.Magnitude != 6.4 || big.Place != "22km NNE of Hualian, Taiwan" {
		t.Errorf("largest is %+v", big)
	}
}

func TestFlightTotalsEqualAPlainCount(t *testing.T) {
	t.Parallel()
	s, events := scenario(t, "flights")
	got := counted(t, s, events).Totals().(FlightTotals)
	if got.Flights != 24951 || got.Cancelled != 1261 || got.Late != 4961 || got.Destinations != 92 {
		t.Errorf("got %d flights, %d cancelled, %d late, %d destinations; want 24951, 1261, 4961, 92", got.Flights, got.Cancelled, got.Late, got.Destinations)
	}
	if want := []Count{{"ATL", 1267}, {"ORD", 1197}, {"BOS", 1182}}; !slices.Equal(got.TopDestinations[:3], want) {
		t.Errorf("destinations %v, want %v", got.TopDestinations[:3], want)
	}
	if a := got.Airlines[0]; len(got.Airlines) != 15 || a.Name != "United" || a.Flights != 4346 {
		t.Errorf("%d airlines, first %+v; want 15, United with 4346", len(got.Airlines), a)
	}
	if d := got.LongestDelays[0]; d.Minutes != 853 || d.Flight != "Frontier 835" || d.To != "DEN" {
		t.Errorf("longest delay %+v", d)
	}
	m := newFlights()
	for _, c := range got.TopDestinations {
		if m.airport(c.Name) == c.Name {
			t.Errorf("%s has no name", c.Name)
		}
	}
}

func TestPictureDoesNotDependOnTheOrderOfRecords(t *testing.T) {
	t.Parallel()
	for _, s := range Scenarios() {
		_, events := scenario(t, s.Name)
		want := golden(Draw(counted(t, s, events).Picture(100), View{Width: 100, Height: 40}))
		r := rand.New(rand.NewPCG(7, 7))
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		if got := golden(Draw(counted(t, s, events).Picture(100), View{Width: 100, Height: 40})); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", s.Name, got, want)
		}
	}
}

func golden(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Plain() + "\n")
	}
	return b.String()
}

func TestDrawingsAreAsTheGoldenFilesHaveThem(t *testing.T) {
	t.Parallel()
	sizes := []struct {
		name          string
		width, height int
	}{{"100x30", 100, 30}, {"60x20", 60, 20}, {"40x24", 40, 24}, {"30x6", 30, 6}, {"10x3", 10, 3}}
	for _, s := range Scenarios() {
		_, events := scenario(t, s.Name)
		for part, n := range map[string]int{"start": 0, "half": len(events) / 2, "end": len(events)} {
			m := counted(t, s, events[:n])
			for _, size := range sizes {
				v := View{Width: size.width, Height: size.height, Name: s.Name, Where: "topic posts at 127.0.0.1:9092", Total: int64(len(events)), Produced: int64(n), Consumed: int64(n), Elapsed: time.Duration(n) * 12 * time.Millisecond}
				switch part {
				case "start":
					v.Waiting = "joining the group"
				case "end":
					v.Done = true
					fallthrough
				default:
					v.P50, v.P99 = 1234*time.Microsecond, 5678*time.Microsecond
				}
				compare(t, s.Name+"_"+size.name+"_"+part+".txt", golden(Draw(m.Picture(size.width), v)))
			}
		}
	}
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestDrawNeverExceedsItsSize(t *testing.T) {
	t.Parallel()
	for _, s := range Scenarios() {
		_, events := scenario(t, s.Name)
		m := counted(t, s, events)
		for width := range 130 {
			p := m.Picture(width)
			for _, height := range []int{0, 1, 4, 5, 6, 9, 12, 17, 25, 60} {
				lines := Draw(p, View{Width: width, Height: height, Name: s.Name, Where: "topic 原神 at host", Total: 10, Consumed: 5})
				if len(lines) > height {
					t.Fatalf("%s at %dx%d: %d lines", s.Name, width, height, len(lines))
				}
				for _, l := range lines {
					if l.Width() > width {
						t.Fatalf("%s at %dx%d: line %q is %d wide", s.Name, width, height, l.Plain(), l.Width())
					}
				}
			}
		}
	}
}

func TestStrangeNamesCannotDriveTheTerminal(t *testing.T) {
	t.Parallel()
	m := newHashtags()
	for _, tag := range []string{"\x1b[2J", "原神", "🎉🎉", "สวัสดี", "a\nb"} {
		value, err := json.Marshal(post{CreatedAt: time.Unix(1e9, 0), Lang: "\x1b]0;x\a", Hashtags: []string{tag}})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(value); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range Draw(m.Picture(80), View{Width: 80, Height: 24}) {
		if plain := l.Plain(); text.Safe(plain) != plain || l.Width() != 80 {
			t.Errorf("line %q is %d wide", plain, l.Width())
		}
	}
}

func TestModelsRefuseWhatIsNoRow(t *testing.T) {
	t.Parallel()
	for _, s := range Scenarios() {
		if err := s.NewModel().Add([]byte("no json")); err == nil {
			t.Errorf("%s counts what it cannot read", s.Name)
		}
	}
}

func TestScheduleShortensQuietStretchesAndKeepsOrder(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	events := []Event{{At: start}, {At: start.Add(time.Minute)}, {At: start.Add(100 * time.Hour)}, {At: start.Add(100*time.Hour + time.Minute)}}
	at, _ := Schedule(events, time.Hour, 60)
	if want := []time.Duration{0, time.Second, 61 * time.Second, 62 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("got %v, want %v", at, want)
	}
	if at, _ := Schedule(events, time.Hour, MaxSpeed); at[3] != 0 {
		t.Errorf("at full speed the last is due after %v", at[3])
	}
	for _, s := range Scenarios() {
		_, events := scenario(t, s.Name)
		at, speed := Schedule(events, s.Longest, 0)
		if last := at[len(at)-1]; last < DefaultDuration*99/100 || last > DefaultDuration || speed < 1 || !slices.IsSorted(at) {
			t.Errorf("%s lasts %v at speed %g", s.Name, last, speed)
		}
	}
}

func TestScreenGivesTheTerminalBackAndHonoursNoColor(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s, err := NewScreen(&b, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Show([]Line{{{"a", styleTitle}}, {{"b", styleDim}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Leave(); err != nil {
		t.Fatal(err)
	}
	want := enterScreen + beginFrame + "a" + endOfLine + "\r\n" + "b" + endOfLine + endFrame + leaveScreen
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	if err := Print(&b, []Line{{{"a", styleTitle}}}, true); err != nil || b.String() != "\x1b[1m\x1b[38;5;45ma\x1b[0m\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}

func TestPlainOutcomeTellsTheTotals(t *testing.T) {
	t.Parallel()
	s, events := scenario(t, "hashtags")
	v := View{Total: 2369, Produced: 2369, Consumed: 2369, Elapsed: 30 * time.Second, P50: time.Millisecond, P99: 2 * time.Millisecond}
	p := counted(t, s, events).Picture(1)
	all := strings.Join(TotalLines(p, v), "\n") + "\n" + PlainLine(p, v) + "\n"
	compare(t, "hashtags_totals.txt", all)
}
