// Package position reads how people name places in a partition: earliest, latest, 42, -10, +10, @time, and ranges of
// them. Times may be absolute (2026-01-02T15:04:05Z, 2026-01-02, unix seconds or milliseconds) or relative (10m, -10m,
// 3d, now).
//
//	earliest, oldest, beginning, start    the log start offset
//	latest, newest, end                   the log end offset
//	42                                    offset 42
//	+10                                   10 after the start
//	-10                                   10 before the end
//	@TIME, s@TIME                         the first record not older than TIME
//	FROM:TO, FROM:, :TO                   a range, [FROM, TO)
//
// Parsing is pure: the present comes in as a value. Resolving a Point against a partition is left to who knows the
// partition's start and end.
package position

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind tells how a Point is to be resolved.
type Kind int8

// The kinds. The zero value is Earliest.
const (
	Earliest  Kind = iota
	Latest         // the log end offset
	Offset         // Value is the offset
	FromStart      // Value records after the log start offset
	FromEnd        // Value records before the log end offset
	Time           // Value is a time in Unix milliseconds
)

// Point is a place in a partition.
type Point struct {
	Kind  Kind
	Value int64
}

// Range is [From, To); HasTo tells whether there is an end at all.
type Range struct {
	From, To Point
	HasTo    bool
}

var errHelp = errors.New("use earliest, latest, an offset (42), +N after the start, -N before the end, or @time (@2026-01-02T15:04:05Z, @10m)")

// Parse reads one Point. Relative times count from now; times without a zone are in now's location.
func Parse(s string, now time.Time) (Point, error) {
	switch strings.ToLower(s) {
	case "earliest", "oldest", "beginning", "start":
		return Point{Kind: Earliest}, nil
	case "latest", "newest", "end":
		return Point{Kind: Latest}, nil
	}
	if rest, ok := strings.CutPrefix(strings.TrimPrefix(s, "s"), "@"); ok {
		t, err := ParseTime(rest, now)
		if err != nil {
			return Point{}, err
		}
		return Point{Kind: Time, Value: t.UnixMilli()}, nil
	}
	digits := strings.TrimLeft(s, "+-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || len(s)-len(digits) > 1 {
		return Point{}, fmt.Errorf("position %q: %w", s, errHelp)
	}
	switch s[0] {
	case '+':
		return Point{Kind: FromStart, Value: n}, nil
	case '-':
		return Point{Kind: FromEnd, Value: n}, nil
	}
	return Point{Kind: Offset, Value: n}, nil
}

// ParseRange reads a Point or a range FROM:TO of two. An empty FROM is earliest, an empty TO latest. Times may hold
// colons themselves: the first colon that leaves two valid points divides.
func ParseRange(s string, now time.Time) (Range, error) {
	p, err := Parse(s, now)
	if err == nil {
		return Range{From: p}, nil
	}
	for i := range len(s) {
		if s[i] != ':' {
			continue
		}
		from, errFrom := orDefault(s[:i], Point{Kind: Earliest}, now)
		to, errTo := orDefault(s[i+1:], Point{Kind: Latest}, now)
		if errFrom == nil && errTo == nil {
			return Range{From: from, To: to, HasTo: true}, nil
		}
	}
	return Range{}, err
}

func orDefault(s string, empty Point, now time.Time) (Point, error) {
	if s == "" {
		return empty, nil
	}
	return Parse(s, now)
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
}

// ParseTime reads a time: RFC 3339 or a part of it, Unix seconds (up to 10 digits), milliseconds (13), microseconds
// (16) or nanoseconds (19), "now", or a duration before now (10m, -10m, 1h30m, 7d). A "+" before a duration means
// after now.
func ParseTime(s string, now time.Time) (time.Time, error) {
	s = strings.TrimPrefix(s, "@")
	if s == "now" {
		return now, nil
	}
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		switch digits := len(s); {
		case digits <= 10:
			return time.Unix(int64(n), 0), nil
		case digits == 13:
			return time.UnixMilli(int64(n)), nil
		case digits == 16:
			return time.UnixMicro(int64(n)), nil
		case digits == 19:
			return time.Unix(0, int64(n)), nil
		}
		return time.Time{}, fmt.Errorf("time %q: a number of %d digits is neither seconds (10), milliseconds (13), microseconds (16) nor nanoseconds (19)", s, len(s))
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	ahead := strings.HasPrefix(s, "+")
	d, err := ParseDuration(strings.TrimLeft(s, "+-"))
	if err != nil || len(s)-len(strings.TrimLeft(s, "+-")) > 1 {
		return time.Time{}, fmt.Errorf("time %q: use 2026-01-02T15:04:05Z, 2026-01-02, unix seconds or milliseconds, now, or a duration before now such as 10m or 7d", s)
	}
	if ahead {
		return now.Add(d), nil
	}
	return now.Add(-d), nil
}

// ParseDuration reads what time.ParseDuration does and also days and weeks in front: 7d, 2w, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	var days time.Duration
	for _, unit := range []struct {
		mark string
		d    time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		head, rest, ok := strings.Cut(s, unit.mark)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("duration %q: use 90s, 10m, 1h30m, 7d or 2w", s)
		}
		days += time.Duration(n) * unit.d
		if s = rest; s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("duration %q: use 90s, 10m, 1h30m, 7d or 2w", s)
	}
	return days + d, nil
}
