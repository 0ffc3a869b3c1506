package text

import (
	"testing"
	"time"
	"unicode/utf8"
)

func TestWidthCountsTerminalCells(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{
		"": 0, "rstats": 6, "原神": 4, "위버스": 6, "é": 1, "e\u0301": 1, "สวัสดี": 4, "🎉": 2, "ｆｕｌｌ": 8, "a\x1bb": 2, "…█▏": 3,
	} {
		if got := Width(s); got != want {
			t.Errorf("Width(%q) = %d, want %d", s, got, want)
		}
	}
}

func TestTruncateNeverExceedsItsCells(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		cells int
		want  string
	}{
		{"hashtags", 8, "hashtags"},
		{"hashtags", 5, "hash…"},
		{"原神原神", 5, "原神…"},
		{"原神原神", 4, "原…"},
		{"ab", 1, "…"},
		{"ab", 0, ""},
	} {
		if got := Truncate(c.in, c.cells); got != c.want {
			t.Errorf("Truncate(%q, %d) = %q, want %q", c.in, c.cells, got, c.want)
		}
	}
}

func TestFitIsExactlyAsWideAsAsked(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "abc", "原神原神", "推特账号购买 and more"} {
		for cells := range 12 {
			if got := Width(Fit(s, cells)); got != cells {
				t.Errorf("Width(Fit(%q, %d)) = %d", s, cells, got)
			}
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"},
		{Count(999), "999"},
		{Count(1000), "1,000"},
		{Count(-1234567), "-1,234,567"},
		{Bytes(0), "0 B"},
		{Bytes(1023), "1023 B"},
		{Bytes(1536), "1.50 KiB"},
		{Bytes(20 << 20), "20.0 MiB"},
		{Bytes(1023 << 20), "1.00 GiB"},
		{Duration(0), "0 s"},
		{Duration(850 * time.Nanosecond), "850 ns"},
		{Duration(850 * time.Microsecond), "850 µs"},
		{Duration(1250 * time.Microsecond), "1.25 ms"},
		{Duration(3200 * time.Millisecond), "3.20 s"},
		{Duration(150 * time.Second), "2m30s"},
		{Duration(90 * time.Minute), "1h30m"},
		{Duration(76 * time.Hour), "3d4h"},
		{Duration(-time.Second), "-1.00 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestSafeLeavesNothingThatDrivesATerminal(t *testing.T) {
	t.Parallel()
	if got, want := Safe("a\x1b[2Jb\nc\u202ed\xff"), "a␛[2Jb␊c\ufffdd\ufffd"; got != want {
		t.Errorf("Safe = %q, want %q", got, want)
	}
	if got := Safe("原神 #tag"); got != "原神 #tag" {
		t.Errorf("Safe changed a harmless text to %q", got)
	}
}

func FuzzTruncate(f *testing.F) {
	f.Add("原神 hashtags", 7)
	f.Add("\u200d\u0301", 1)
	f.Fuzz(func(t *testing.T, s string, cells int) {
		cells %= 1000
		safe := Safe(s)
		if !utf8.ValidString(safe) {
			t.Fatalf("Safe(%q) is not UTF-8", s)
		}
		if got := Width(Truncate(safe, cells)); got > max(cells, 0) {
			t.Fatalf("Truncate(%q, %d) is %d wide", safe, cells, got)
		}
	})
}
