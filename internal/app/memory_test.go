package app

import (
	"math"
	"testing"
)

func TestTheEndOfTheLogTakesAShareOfTheMemory(t *testing.T) {
	t.Parallel()
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct{ setting, memory, want int64 }{
		{0, 0, 128 * mib},
		{0, gib, 128 * mib},
		{0, 4 * gib, 256 * mib},
		{0, 64 * gib, gib},
		{5 * mib, 64 * gib, 5 * mib},
	} {
		if got := ringBytes(c.setting, c.memory); got != c.want {
			t.Errorf("setting %d, memory %d: got %d, want %d", c.setting, c.memory, got, c.want)
		}
	}
}

func TestMemTotal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"MemFree: 1 kB\nMemTotal:       16374872 kB\n": 16374872 << 10,
		"MemTotal: much\n": math.MaxInt64,
		"":                 math.MaxInt64,
	} {
		if got := memTotal(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}
