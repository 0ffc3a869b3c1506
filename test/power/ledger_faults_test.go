package power

import (
	"slices"
	"strings"
	"testing"
)

// sound returns a ledger and a view that agrees with it.
func sound() (*ledger, view) {
	l := newLedger()
	l.begin("t", 2).end = committed
	l.begin("t", 2).end = aborted
	l.begin("t", 1)
	l.plain[item{"p", 1, 0}], l.plain[item{"p", 2, 0}] = true, false
	l.keys["k"], l.groups["g"] = &number{2, 3}, &number{5, 6}
	l.seen[place{"a", 0, 0}] = item{"t", 1, 0}
	return l, view{
		items: map[place]item{{"a", 0, 0}: {"t", 1, 0}, {"a", 1, 0}: {"t", 1, 1}, {"b", 0, 7}: {"p", 1, 0}},
		keys:  map[string]int64{"t": 1, "k": 3}, offsets: map[string]int64{"t": 1, "g": 5},
	}
}

func TestASoundViewPasses(t *testing.T) {
	t.Parallel()
	l, v := sound()
	if wrong := l.check(v); len(wrong) > 0 {
		t.Errorf("found %q", wrong)
	}
	v.items[place{"a", 0, 9}] = item{"t", 3, 0} // it was not there before, so it was aborted
	if wrong := l.check(v); len(wrong) == 0 {
		t.Error("a transaction came up late and was not found")
	}
}

func TestEachFaultIsFound(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(view){
		"holds":                      func(v view) { v.items[place{"a", 0, 0}] = item{"t", 3, 0} },
		"there twice":                func(v view) { v.items[place{"b", 1, 0}] = item{"p", 1, 0} },
		"comes after":                func(v view) { v.items[place{"b", 0, 3}] = item{"p", 2, 0} },
		"was acknowledged":           func(v view) { delete(v.items, place{"b", 0, 7}) },
		"never sent":                 func(v view) { v.items[place{"b", 0, 9}] = item{"p", 9, 0} },
		"1 of 2 records":             func(v view) { delete(v.items, place{"a", 1, 0}) },
		"was committed and is not":   func(v view) { delete(v.items, place{"a", 0, 0}); delete(v.items, place{"a", 1, 0}) },
		"was aborted and is there":   func(v view) { v.items[place{"a", 0, 5}] = item{"t", 2, 0} },
		"committed offset 2":         func(v view) { v.offsets["t"] = 2 },
		"version 0 in the compacted": func(v view) { delete(v.keys, "t") },
		"version of k is 1":          func(v view) { v.keys["k"] = 1 },
		"offset of g is 7":           func(v view) { v.offsets["g"] = 7 },
	} {
		l, v := sound()
		spoil(v)
		if got := l.check(v); !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("found %q, not %q", got, want)
		}
	}
}
