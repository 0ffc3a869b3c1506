// Package text measures, cuts and writes short texts for a terminal: widths in cells, padding, numbers with separators,
// byte counts, durations, and data made harmless.
//
// Width counts the cells that a terminal gives to a text: two for East Asian wide characters and most emoji, none for
// combining marks and joiners. Terminals disagree about joined emoji; Width then counts every visible part, so that a
// padded column is at worst too narrow and never overflows its line.
//
// Everything here is a pure function of its arguments, safe for use by any goroutine. It knows neither colours nor
// files: package demo draws with it, package table lays out columns with it.
package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// Ellipsis ends a text that Truncate has cut.
const Ellipsis = "…"

// Width returns the number of terminal cells that s takes. Control characters count none: pass data through Safe first.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x20 || r >= 0x7f && r < 0xa0:
		return 0
	case r < 0x300:
		return 1
	case r >= 0x1160 && r <= 0x11ff: // medial and final Hangul letters join the letter before them
		return 0
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Truncate returns s if it fits into cells, and otherwise its beginning with an ellipsis, together at most cells wide.
func Truncate(s string, cells int) string {
	if Width(s) <= cells {
		return s
	}
	if cells <= 0 {
		return ""
	}
	n := 0
	for i, r := range s {
		w := runeWidth(r)
		if n+w > cells-1 {
			return s[:i] + Ellipsis
		}
		n += w
	}
	return s
}

// PadRight fills s with spaces on its right up to cells; a wider s stays as it is.
func PadRight(s string, cells int) string {
	return s + strings.Repeat(" ", max(0, cells-Width(s)))
}

// PadLeft fills s with spaces on its left up to cells; a wider s stays as it is.
func PadLeft(s string, cells int) string {
	return strings.Repeat(" ", max(0, cells-Width(s))) + s
}

// Fit cuts or fills s so that it is exactly cells wide.
func Fit(s string, cells int) string {
	return PadRight(Truncate(s, cells), cells)
}

// Count writes n with a comma between groups of three digits.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Bytes writes a number of bytes with a binary unit and three significant digits: 0 B, 1023 B, 1.50 KiB, 20.0 MiB.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 999.5 && unit < 5 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%s %ciB", significant(value), "KMGTPE"[unit])
}

// Duration writes d with three significant digits in the unit that suits it: 850 µs, 1.25 ms, 3.20 s, 2m30s, 3d4h.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d == 0:
		return "0 s"
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return significant(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return significant(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute:
		return significant(d.Seconds()) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

func significant(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// Safe replaces what could drive a terminal or break a line (control characters, direction marks, invalid UTF-8) by
// visible stand-ins, so that data can be shown as it is met.
func Safe(s string) string {
	clean := true
	for _, r := range s {
		if unsafeRune(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case r < 0x20:
			b.WriteRune(0x2400 + r) // the control pictures block
		case unsafeRune(r):
			b.WriteRune(unicode.ReplacementChar)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == unicode.ReplacementChar ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
