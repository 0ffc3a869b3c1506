package position

import (
	"testing"
	"time"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestParseUnderstandsEveryForm(t *testing.T) {
	t.Parallel()
	at := func(s string) int64 {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixMilli()
	}
	for in, want := range map[string]Point{
		"earliest":              {Kind: Earliest},
		"beginning":             {Kind: Earliest},
		"LATEST":                {Kind: Latest},
		"end":                   {Kind: Latest},
		"0":                     {Kind: Offset},
		"42":                    {Kind: Offset, Value: 42},
		"+7":                    {Kind: FromStart, Value: 7},
		"-10":                   {Kind: FromEnd, Value: 10},
		"@1772625600000":        {Kind: Time, Value: now.UnixMilli()},
		"s@1772625600000":       {Kind: Time, Value: now.UnixMilli()},
		"@1772625600":           {Kind: Time, Value: now.UnixMilli()},
		"@now":                  {Kind: Time, Value: now.UnixMilli()},
		"@10m":                  {Kind: Time, Value: at("2026-03-04T11:50:00Z")},
		"@-10m":                 {Kind: Time, Value: at("2026-03-04T11:50:00Z")},
		"@+10m":                 {Kind: Time, Value: at("2026-03-04T12:10:00Z")},
		"@1d12h":                {Kind: Time, Value: at("2026-03-03T00:00:00Z")},
		"@2w":                   {Kind: Time, Value: at("2026-02-18T12:00:00Z")},
		"@2026-01-02":           {Kind: Time, Value: at("2026-01-02T00:00:00Z")},
		"@2026-01-02 03:04":     {Kind: Time, Value: at("2026-01-02T03:04:00Z")},
		"@2026-01-02T03:04:05Z": {Kind: Time, Value: at("2026-01-02T03:04:05Z")},
	} {
		if got, err := Parse(in, now); err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestParseRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "x", "--1", "1.5", "@", "@x", "@123456789012", "9999999999999999999999", "@+-1m", "@1x", "@dw"} {
		if got, err := Parse(in, now); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, got)
		}
	}
}

func TestParseRangeDividesAtTheRightColon(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Range{
		"latest":   {From: Point{Kind: Latest}},
		"10:20":    {From: Point{Offset, 10}, To: Point{Offset, 20}, HasTo: true},
		":20":      {To: Point{Offset, 20}, HasTo: true},
		"10:":      {From: Point{Offset, 10}, To: Point{Kind: Latest}, HasTo: true},
		"-5:end":   {From: Point{FromEnd, 5}, To: Point{Kind: Latest}, HasTo: true},
		"@1h:@30m": {From: Point{Time, now.Add(-time.Hour).UnixMilli()}, To: Point{Time, now.Add(-30 * time.Minute).UnixMilli()}, HasTo: true},
		"@2026-03-04T11:00:00Z:@2026-03-04T11:30:00Z": {From: Point{Time, now.Add(-time.Hour).UnixMilli()}, To: Point{Time, now.Add(-30 * time.Minute).UnixMilli()}, HasTo: true},
	} {
		if got, err := ParseRange(in, now); err != nil || got != want {
			t.Errorf("ParseRange(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"a:b", "1:2:3", "x:"} {
		if got, err := ParseRange(in, now); err == nil {
			t.Errorf("ParseRange(%q) = %+v, want an error", in, got)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"earliest", "10:20", "@10m:", "-5:end", "@2026-03-04T11:00:00Z", "1w2d3h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s, now)
		if err == nil && (r.From.Kind == Offset && r.From.Value < 0 || r.From.Kind == FromEnd && r.From.Value < 0) {
			t.Fatalf("ParseRange(%q) gives a negative distance: %+v", s, r)
		}
	})
}
