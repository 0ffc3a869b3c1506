package demo

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Count is a name with its number of occurrences.
type Count struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// ranked returns the counts in descending order, equal ones by name, so that the order of arrival cannot be seen.
func ranked(counts map[string]int64) []Count {
	all := make([]Count, 0, len(counts))
	for name, n := range counts {
		all = append(all, Count{name, n})
	}
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// seriesStep is the resolution of a series.
const seriesStep = 10 * time.Minute

// series counts events over event time.
type series struct {
	steps       map[int64]int // by step number since 1970
	first, last time.Time
}

func (s *series) add(at time.Time) {
	if s.steps == nil {
		s.steps = map[int64]int{}
		s.first, s.last = at, at
	}
	s.steps[at.Unix()/int64(seriesStep/time.Second)]++
	if at.Before(s.first) {
		s.first = at
	}
	if at.After(s.last) {
		s.last = at
	}
}

// buckets counts the events of [from, from+n*width).
func (s *series) buckets(from time.Time, width time.Duration, n int) []int {
	counts := make([]int, n)
	if n == 0 || width <= 0 {
		return counts
	}
	for step, c := range s.steps {
		at := time.Unix(step*int64(seriesStep/time.Second), 0).Sub(from)
		if i := int(at / width); at >= 0 && i < n {
			counts[i] += c
		}
	}
	return counts
}

// top returns the first n counts as rows with bars relative to the largest.
func top(counts []Count, n int, label func(string) string) []Row {
	rows := make([]Row, 0, min(n, len(counts)))
	for _, c := range counts[:min(n, len(counts))] {
		rows = append(rows, Row{Label: label(c.Name), Value: c.Count, Share: float64(c.Count) / float64(counts[0].Count)})
	}
	return rows
}

func sum(counts map[string]int64) int64 {
	var total int64
	for n := range maps.Values(counts) {
		total += n
	}
	return total
}
