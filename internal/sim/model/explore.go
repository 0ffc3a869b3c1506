package model

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// ErrTooLarge is returned when there are more states than a caller allows.
var ErrTooLarge = errors.New("more states than allowed")

// Result tells what an exploration saw.
type Result struct {
	States    int    // distinct ones
	Steps     int    // transitions
	Depth     int    // of the longest shortest schedule
	Violation string // empty, or the invariant that does not hold
	// Schedule is the way to the violation, a line for each step: the shortest one from Explore.
	Schedule []string
	// Taken counts the steps of each kind, by name: what never happened was not explored.
	Taken map[string]int
}

// Explore visits every state of the protocol without the given rules, breadth first, up to the first in which an invariant does
// not hold. It holds about 30 bytes for each state, and 800 for each of the two widest levels. statesMax 0 means no limit;
// ErrTooLarge comes with what was seen until then.
func Explore(b Bounds, without Mutation, statesMax int) (Result, error) {
	if err := b.validate(); err != nil {
		return Result{}, err
	}
	e := explorer{p: protocol{Bounds: b, without: without}, statesMax: statesMax}
	err := e.run()
	return e.result(), err
}

// explorer is one breadth-first search. A state found is known by its hash, the index of the state that it was reached from,
// and the step: schedules are made by taking the steps again.
type explorer struct {
	p         protocol
	statesMax int

	found   hashSet
	parents []uint32
	steps   []step
	taken   [stepKinds]int
	depth   int
	problem violation
	last    uint32 // index of the state with the problem
	list    []step
}

type node struct {
	state state
	index uint32
}

// queue is a level of the search in pieces, which the next level reuses as this one is worked off.
type queue struct {
	pieces [][]node
}

const pieceNodes = 1 << 10

func (q *queue) push(n *node, spare *queue) {
	last := len(q.pieces) - 1
	if last < 0 || len(q.pieces[last]) == pieceNodes {
		piece := spare.pop()
		if piece == nil {
			piece = make([]node, 0, pieceNodes)
		}
		q.pieces = append(q.pieces, piece[:0])
		last++
	}
	q.pieces[last] = append(q.pieces[last], *n)
}

// pop returns nil if nothing is left.
func (q *queue) pop() []node {
	last := len(q.pieces) - 1
	if last < 0 {
		return nil
	}
	piece := q.pieces[last]
	q.pieces[last] = nil
	q.pieces = q.pieces[:last]
	return piece
}

func (e *explorer) run() error {
	var level, next, spare queue
	first := node{state: initial(&e.p)}
	e.add(&first.state, 0, step{})
	level.push(&first, &spare)
	for {
		for piece := level.pop(); piece != nil; piece = level.pop() {
			for i := range piece {
				if e.expand(&piece[i], &next, &spare); e.problem != "" {
					return nil
				}
			}
			spare.pieces = append(spare.pieces, piece)
			if e.statesMax > 0 && len(e.parents) > e.statesMax {
				return fmt.Errorf("%d states at depth %d: %w", len(e.parents), e.depth, ErrTooLarge)
			}
		}
		if len(next.pieces) == 0 {
			return nil
		}
		level, next = next, level
		e.depth++
	}
}

// expand takes every step that a state allows.
func (e *explorer) expand(n *node, next, spare *queue) {
	var after node
	e.list = e.p.steps(&n.state, e.list[:0])
	for _, st := range e.list {
		e.taken[st.kind]++
		after.state = n.state
		problem := e.p.take(&after.state, st)
		if !e.add(&after.state, n.index, st) {
			continue
		}
		after.index = uint32(len(e.parents) - 1)
		if problem == "" {
			problem = e.p.check(&after.state)
		}
		if problem != "" {
			e.problem, e.last = problem, after.index
			return
		}
		next.push(&after, spare)
	}
}

// add keeps a state that was not seen before, and says whether that was so.
func (e *explorer) add(s *state, parent uint32, st step) bool {
	if !e.found.add(s.hash(e.p.Incarnations)) {
		return false
	}
	e.parents = append(e.parents, parent)
	e.steps = append(e.steps, st)
	return true
}

func (e *explorer) result() Result {
	r := Result{States: len(e.parents), Depth: e.depth, Violation: string(e.problem), Taken: byName(e.taken)}
	for _, n := range e.taken {
		r.Steps += n
	}
	if e.problem == "" {
		return r
	}
	var way []step
	for i := e.last; i != 0; i = e.parents[i] {
		way = append(way, e.steps[i])
	}
	slices.Reverse(way)
	r.Schedule = e.p.schedule(way)
	return r
}

// schedule tells steps from the start in words.
func (p *protocol) schedule(way []step) []string {
	s := initial(p)
	var lines []string
	for _, st := range way {
		lines = append(lines, p.describe(&s, st))
		p.take(&s, st)
	}
	return lines
}

// Walk takes random steps from the start again and again, until it has taken the given number of them or an invariant
// does not hold. The kind of a step is drawn before the step, so that rare kinds are not drowned. The same generator
// gives the same walk.
func Walk(b Bounds, without Mutation, rng *rand.Rand, stepsMax int) (r Result, err error) {
	if err := b.validate(); err != nil {
		return Result{}, err
	}
	p := protocol{Bounds: b, without: without}
	var taken [stepKinds]int
	var list, way []step
	defer func() { r.Taken = byName(taken) }()
	for r.Steps < stepsMax {
		s := initial(&p)
		way = way[:0]
		for r.Steps < stepsMax {
			if list = p.steps(&s, list[:0]); len(list) == 0 {
				break
			}
			st := draw(list, rng)
			r.Steps++
			taken[st.kind]++
			way = append(way, st)
			problem := p.take(&s, st)
			if problem == "" {
				problem = p.check(&s)
			}
			if problem != "" {
				r.Violation, r.Schedule = string(problem), p.schedule(way)
				return r, nil
			}
		}
		r.Depth = max(r.Depth, len(way))
	}
	return r, nil
}

func byName(taken [stepKinds]int) map[string]int {
	m := map[string]int{}
	for kind, n := range taken {
		if n > 0 {
			m[stepNames[kind]] = n
		}
	}
	return m
}

// draw picks a kind, then a step of it.
func draw(list []step, rng *rand.Rand) step {
	var of [stepKinds]int
	kinds := 0
	for _, st := range list {
		if of[st.kind]++; of[st.kind] == 1 {
			kinds++
		}
	}
	nth := rng.IntN(kinds)
	kind := stepKind(0)
	for ; of[kind] == 0 || nth > 0; kind++ {
		if of[kind] > 0 {
			nth--
		}
	}
	nth = rng.IntN(of[kind])
	i := slices.IndexFunc(list, func(st step) bool {
		if st.kind == kind {
			nth--
		}
		return nth < 0
	})
	return list[i]
}

// hashSet is a set of hashes, of which 0 stands for 1.
type hashSet struct {
	slots []uint64
	count int
}

// add returns false if h is there already.
func (t *hashSet) add(h uint64) bool {
	if h == 0 {
		h = 1
	}
	if 2*t.count >= len(t.slots) {
		old := t.slots
		t.slots = make([]uint64, max(1<<12, 2*len(old)))
		for _, o := range old {
			if o != 0 {
				t.slots[t.slot(o)] = o
			}
		}
	}
	i := t.slot(h)
	if t.slots[i] == h {
		return false
	}
	t.slots[i] = h
	t.count++
	return true
}

// slot is where h is, or would be.
func (t *hashSet) slot(h uint64) int {
	mask := len(t.slots) - 1
	i := int(h) & mask
	for t.slots[i] != 0 && t.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}
