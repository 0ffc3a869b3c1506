package torture

import (
	"slices"
	"strings"
	"testing"
)

// sound returns a history in which nothing is wrong: two values, moved in one transaction; one that was aborted, and one
// of which nobody knows.
func sound() *History {
	h := NewHistory()
	h.Acked("a")
	h.Acked("b")
	h.Ended("t1", "out", 2, Committed)
	h.Ended("t2", "out", 2, Aborted)
	h.Ended("t3", "out", 1, Unknown)
	h.Ended("z1", "beside", 1, Committed)
	h.Final("in", map[Place]string{{"in", 0, 0}: "a", {"in", 1, 0}: "b"})
	h.Final("out", map[Place]string{{"out", 0, 0}: "a|t1|2", {"out", 1, 5}: "b|t1|2"})
	h.Final("beside", map[Place]string{{"beside", 0, 3}: "x|z1|1"})
	h.Live(Place{"out", 0, 0}, "a|t1|2")
	return h
}

func TestASoundHistoryPasses(t *testing.T) {
	t.Parallel()
	if got := sound().Check([]string{"in", "out"}, []string{"beside"}); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func TestEachFaultIsFound(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*History){
		"lost: \"b\" was acknowledged":                                  func(h *History) { delete(h.final["in"], Place{"in", 1, 0}) },
		"lost: values of in never came to out: 1 in partition 1, \"b\"": func(h *History) { delete(h.final["out"], Place{"out", 1, 5}) },
		"torn: 1 of 2":                 func(h *History) { delete(h.final["out"], Place{"out", 1, 5}) },
		"lost: z1 was committed":       func(h *History) { h.Final("beside", nil) },
		"duplicated: \"a\"":            func(h *History) { h.final["out"][Place{"out", 0, 9}] = "a|t3|1" },
		"duplicated: \"x\"":            func(h *History) { h.final["beside"][Place{"beside", 0, 9}] = "x|z1|1" },
		"invented: \"c\"":              func(h *History) { h.final["out"][Place{"out", 0, 9}] = "c|t3|1" },
		"aborted: t2":                  func(h *History) { h.final["out"][Place{"out", 0, 9}] = "a|t2|2" },
		"early: a live reader saw \"z": func(h *History) { h.Live(Place{"out", 3, 3}, "z|t2|1") },
		"early: a live reader saw \"q": func(h *History) { h.live[Place{"out", 0, 0}] = "q|t1|2" },
		"was seen as":                  func(h *History) { h.Live(Place{"out", 0, 0}, "other") },
		"a zombie":                     func(h *History) { h.Broke("a zombie wrote") },
		"invalid syntax":               func(h *History) { h.final["in"][Place{"in", 7, 7}] = "a|b|c" },
	} {
		h := sound()
		spoil(h)
		got := h.Check([]string{"in", "out"}, []string{"beside"})
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("found %q, not %q", got, want)
		}
	}
}
