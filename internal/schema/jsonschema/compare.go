package jsonschema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Limits of one comparison. Comparing combinations takes each with each.
const (
	maxPairs       = 200_000
	maxDifferences = 500 // of one pair, with those of all below it
)

// Compare lists what keeps the reader from accepting all that the writer allows.
func (format) Compare(reader, writer schema.Schema, p schema.Policy) []schema.Difference {
	r, ok1 := reader.(*parsed)
	w, ok2 := writer.(*parsed)
	if !ok1 || !ok2 {
		return []schema.Difference{{Type: typeChanged, Path: "#/", Message: "one of the schemas is no JSON Schema"}}
	}
	var out []schema.Difference
	for _, d := range compareAll(w.root, r.root, p) {
		if !compatible(d.typ, p) {
			out = append(out, describe(d))
		}
	}
	return out
}

// diff is one difference, compatible or not. Path is relative to the pair it was found in.
type diff struct {
	typ  string
	path []string
	note string // what is behind it, for its message
}

func (d diff) at() string { return "#/" + strings.Join(d.path, "/") }

// compareAll lists all differences between an older schema and an update of it.
func compareAll(original, update *node, p schema.Policy) []diff {
	c := &comparison{policy: p, memo: map[pair][]diff{}, busy: map[pair]bool{}, digests: digests{}, from: shaper{map[*node]*shape{}}, to: shaper{map[*node]*shape{}}}
	return c.compare(c.from.of(original), c.to.of(update))
}

type pair struct{ original, update *shape }

// comparison is one run. A pair that is met again while it is being compared is a cycle and adds nothing; one that was compared
// before has its differences already.
type comparison struct {
	policy   schema.Policy
	memo     map[pair][]diff
	busy     map[pair]bool
	from, to shaper
	digests  digests
	pairs    int
	swapped  bool // below a not, original and update have changed places
}

// result collects the differences of one pair.
type result struct {
	c     *comparison
	diffs []diff
	bad   bool // one of them is not compatible
}

func (r *result) add(typ string, path ...string) {
	bad := !compatible(typ, r.c.policy)
	if len(r.diffs) < maxDifferences || bad && !r.bad {
		r.diffs = append(r.diffs, diff{typ: typ, path: path})
	}
	r.bad = r.bad || bad
}

// take adds differences from below.
func (r *result) take(list []diff, path ...string) {
	for _, d := range list {
		n := len(r.diffs)
		if r.add(d.typ, slices.Concat(path, d.path)...); len(r.diffs) > n {
			r.diffs[n].note = d.note
		}
	}
}

// below compares two nodes and adds what differs under a path.
func (r *result) below(original, update *node, path ...string) {
	r.take(r.c.nodes(original, update), path...)
}

func (c *comparison) nodes(original, update *node) []diff {
	if c.swapped {
		return c.compare(c.to.of(original), c.from.of(update))
	}
	return c.compare(c.from.of(original), c.to.of(update))
}

func (c *comparison) fine(list []diff) bool {
	for _, d := range list {
		if !compatible(d.typ, c.policy) {
			return false
		}
	}
	return true
}

func (c *comparison) compare(original, update *shape) []diff {
	switch {
	case original == nil && update == nil:
		return nil
	case original == nil:
		return []diff{{typ: schemaAdded}}
	case update == nil:
		return []diff{{typ: schemaRemoved}}
	}
	k := pair{original, update}
	if list, done := c.memo[k]; done {
		return list
	}
	if c.busy[k] {
		return nil
	}
	if c.pairs++; c.pairs > maxPairs {
		return []diff{{typ: tooLarge}}
	}
	c.busy[k] = true
	r := &result{c: c}
	c.pair(r, original, update)
	delete(c.busy, k)
	c.memo[k] = r.diffs
	return r.diffs
}

// pair compares two shapes: first as one with a combination, then by what they are.
func (c *comparison) pair(r *result, original, update *shape) {
	if original.kind != kindCombined && update.kind == kindCombined && c.intoCombined(r, original, update) {
		return
	}
	if original.kind == kindCombined && update.kind != kindCombined && c.outOfCombined(r, original, update) {
		return
	}
	if original.kind != update.kind {
		bytes := original.connectType() == "bytes" && update.connectType() == "bytes"
		if original.kind != kindNever && update.kind != kindEmpty && !bytes {
			r.add(typeChanged)
		}
		return
	}
	compareNotes(r, original.n, update.n)
	switch original.kind {
	case kindString:
		compareStrings(r, original.n, update.n)
	case kindNumber:
		compareNumbers(r, original, update)
	case kindArray:
		compareArrays(r, original.n, update.n)
	case kindObject:
		compareObjects(r, original.n, update.n)
	case kindEnum:
		compareEnums(r, original.n, update.n)
	case kindConst:
		if !same(*original.n.constant, *update.n.constant) {
			r.add(enumChanged, "const")
		}
	case kindNot:
		c.swapped = !c.swapped
		list := c.nodes(update.n.not, original.n.not)
		c.swapped = !c.swapped
		if c.fine(list) {
			r.add(notNarrowed, "not")
		} else {
			r.add(notExtended, "not")
		}
	case kindCombined:
		c.combinations(r, original, update)
	}
}

// intoCombined finds an alternative of the update that takes all the original allows.
func (c *comparison) intoCombined(r *result, original, update *shape) bool {
	if len(update.subs) > 1 && update.criterion == allOf {
		return false
	}
	for _, sub := range update.subs {
		if list := c.compare(original, sub); c.fine(list) {
			r.take(list)
			if len(update.subs) > 1 {
				r.add(sumExtended)
			}
			return true
		}
	}
	return false
}

// outOfCombined finds a factor of the original that is enough by itself.
func (c *comparison) outOfCombined(r *result, original, update *shape) bool {
	if len(original.subs) > 1 && original.criterion != allOf {
		return false
	}
	for _, sub := range original.subs {
		if list := c.compare(sub, update); c.fine(list) {
			r.take(list)
			if len(original.subs) > 1 {
				r.add(productNarrowed)
			}
			return true
		}
	}
	return false
}

// combinations compares two lists of schemas: each of the shorter list needs a partner of its own in the other.
func (c *comparison) combinations(r *result, original, update *shape) {
	if changed := criteria(original, update); changed != "" {
		r.add(changed)
		if changed == combinedChanged {
			return
		}
	}
	from, to := distinct(c.digests, original.subs), distinct(c.digests, update.subs)
	product := update.criterion == allOf
	switch {
	case len(from) < len(to) && product:
		r.add(productExtended)
	case len(from) < len(to):
		r.add(sumExtended)
	case len(from) > len(to) && product:
		r.add(productNarrowed)
	case len(from) > len(to):
		r.add(sumNarrowed)
	}
	fits := make([][]int, len(from))
	for i, a := range from {
		for j, b := range to {
			if c.fine(c.compare(a, b)) {
				fits[i] = append(fits[i], j)
			}
		}
	}
	partner := match(fits, len(to))
	pairs, placed := 0, make([]bool, len(from))
	for j, i := range partner {
		if i >= 0 {
			pairs++
			placed[i] = true
			r.take(c.compare(from[i], to[j]), original.criterion, strconv.Itoa(i))
		}
	}
	if pairs < min(len(from), len(to)) {
		n := len(r.diffs)
		if r.add(subschemasChanged); len(r.diffs) > n {
			r.diffs[n].note = c.whyAlone(original.criterion, from, to, placed)
		}
	}
}

// whyAlone tells what keeps the first schema without a partner from the one at its place.
func (c *comparison) whyAlone(criterion string, from, to []*shape, placed []bool) string {
	i := slices.Index(placed, false)
	if i < 0 || i >= len(to) {
		return ""
	}
	for _, d := range c.compare(from[i], to[i]) {
		if !compatible(d.typ, c.policy) {
			return fmt.Sprintf("; for %s/%d: %s at %s", criterion, i, d.typ, d.at())
		}
	}
	return ""
}

func criteria(original, update *shape) string {
	single := len(original.subs) == 1
	switch {
	case original.criterion == update.criterion:
		return ""
	case update.criterion == anyOf,
		update.criterion == oneOf && single,
		update.criterion == allOf && single && len(update.subs) == 1:
		return combinedExtended
	}
	return combinedChanged
}

func distinct(d digests, list []*shape) []*shape {
	var out []*shape
	have := map[key]bool{}
	for _, s := range list {
		if k := s.key(d); !have[k] {
			have[k] = true
			out = append(out, s)
		}
	}
	return out
}

// match pairs as many as possible: fits[i] are the partners that i can have. It returns for each partner who has it, or -1.
func match(fits [][]int, partners int) []int {
	holder := make([]int, partners)
	for j := range holder {
		holder[j] = -1
	}
	var place func(i int, tried []bool) bool
	place = func(i int, tried []bool) bool {
		for _, j := range fits[i] {
			if tried[j] {
				continue
			}
			tried[j] = true
			if holder[j] < 0 || place(holder[j], tried) {
				holder[j] = i
				return true
			}
		}
		return false
	}
	for i := range fits {
		place(i, make([]bool, partners))
	}
	return holder
}
