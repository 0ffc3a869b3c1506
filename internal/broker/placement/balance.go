package placement

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// balance moves shards from the busy to the idle as far as settings allow. It returns why there are no more moves.
func (p *plan) balance() string {
	for _, m := range p.moves {
		if m.Kind == Orphan {
			return "shards without an owner came first"
		}
	}
	settled := 0
	for k := range p.seats {
		if p.seats[k].settled {
			settled++
		}
	}
	if settled < 2 {
		return "there are no two brokers to balance"
	}
	for room := p.room(); ; room-- {
		t := p.targets()
		moved := p.step(t, room > 0)
		switch {
		case !moved && t.wanted:
			return "some broker is outside of the tolerance, but no shard that may move now would make it better"
		case !moved:
			return fmt.Sprintf("all brokers are within %s of the target", percent(p.settings.Tolerance))
		case room <= 0:
			return fmt.Sprintf("%d moves may be under way at once", p.settings.MaxMoves)
		}
	}
}

// target is what balancing aims at.
type target struct {
	use float64 // of all brokers without a hot shard
	// margin of use by which a move must better the pair; above 0 whatever the target is, or two brokers could swap forever.
	margin float64
	wanted bool // somebody is outside of the tolerance
}

// targets computes the target and marks the shards that are more than it alone. Such a shard and its broker are taken
// out, and the target falls for the rest, until nobody is above it.
func (p *plan) targets() *target {
	order := make([]int, 0, len(p.seats))
	cost, capacity := 0.0, 0.0
	fixed := make([]float64, len(p.seats))
	largest := make([]int, len(p.seats))
	for k := range p.seats {
		s := &p.seats[k]
		s.hot, largest[k] = -1, -1
		if !s.settled {
			continue
		}
		order = append(order, k)
		cost += s.cost
		capacity += s.capacity
		fixed[k] = s.base
		for _, i := range s.shards {
			if largest[k] < 0 || p.shards[i].cost > p.shards[largest[k]].cost {
				largest[k] = i
			}
		}
		if largest[k] >= 0 {
			fixed[k] += p.shards[largest[k]].cost
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(fixed[b]/p.seats[b].capacity, fixed[a]/p.seats[a].capacity)
	})
	t := &target{use: cost / capacity, margin: p.settings.Tolerance / 4 * cost / capacity}
	for _, k := range order[:len(order)-1] {
		if fixed[k]/p.seats[k].capacity <= t.use*(1+p.settings.Tolerance/2) {
			break
		}
		p.seats[k].hot = largest[k]
		cost -= fixed[k]
		capacity -= p.seats[k].capacity
		t.use = max(cost, 0) / capacity
	}
	return t
}

// step finds the next move and makes it, if it may. It returns whether there was one.
func (p *plan) step(t *target, may bool) bool {
	var order []int
	for k := range p.seats {
		if p.seats[k].settled {
			order = append(order, k)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.seats[b].use(), p.seats[a].use()) })
	for _, h := range order {
		for _, l := range slices.Backward(order) {
			if p.seats[h].use()-p.seats[l].use() <= 2*t.margin {
				break
			}
			give, take := p.outside(h, l, t)
			if !give && !take {
				continue
			}
			t.wanted = true
			i, fits := p.choose(h, l, t)
			if i < 0 {
				continue
			}
			if !may {
				return true
			}
			p.seats[h].giving = p.seats[h].giving || give
			p.seats[l].taking = p.seats[l].taking || take
			p.give(i, p.receiver(i, fits), t, "")
			return true
		}
		if i, l := p.exchange(h, t); i >= 0 {
			t.wanted = true
			if may {
				p.seats[l].giving = true
				p.give(i, l, t, ", and its large shards do not fit together: the other will give small ones away")
			}
			return true
		}
	}
	return false
}

// give makes a move for balance.
func (p *plan) give(i, k int, t *target, more string) {
	h := p.shards[i].seat
	p.move(i, k, Balance, fmt.Sprintf("broker %d is at %s of its capacity, broker %d at %s, and the target is %s; the shard makes %s%s",
		p.seats[h].ID, percent(p.seats[h].use()), p.seats[k].ID, percent(p.seats[k].use()), percent(t.use), percent(p.shards[i].cost/p.seats[h].capacity), more))
}

// exchange finds a way out where large shards lie on one broker and every other is too full for any of them: h gives one to a
// broker that gets below the target again by giving small ones away, as it then does by the rule for all. Alone of all moves
// this one does not better its pair. It cannot go round in a circle: large shards that do not fit together become
// fewer with each. It returns the shard, -1 for none, and the taker.
func (p *plan) exchange(h int, t *target) (shard, taker int) {
	from := &p.seats[h]
	high := t.use * (1 + p.settings.Tolerance/2)
	small := t.use * p.settings.Tolerance / 2
	shard, taker = -1, -1
	large := from.base
	for _, i := range from.shards {
		it := &p.shards[i]
		if it.cost/from.capacity <= small {
			continue
		}
		large += it.cost
		if !it.busy && i != from.hot && (shard < 0 || it.cost < p.shards[shard].cost || (it.cost == p.shards[shard].cost && i < shard)) {
			shard = i
		}
	}
	if shard < 0 || large/from.capacity <= high || from.use() <= t.use*(1+p.settings.Tolerance) {
		return -1, -1
	}
	for l := range p.seats {
		to := &p.seats[l]
		if !to.settled || l == h {
			continue
		}
		stays := to.cost
		for _, i := range to.shards {
			if it := &p.shards[i]; !it.busy && it.cost/to.capacity <= small {
				stays -= it.cost
			}
		}
		if (stays+p.shards[shard].cost)/to.capacity <= high && (taker < 0 || to.use() < p.seats[taker].use()) {
			taker = l
		}
	}
	if taker < 0 {
		return -1, -1
	}
	return shard, taker
}

// spread returns the shard that h should give to l among those that fit and are as large as most, but for what is not worth a crowd: the
// one that leaves most of its neighbours behind and finds fewest.
func (p *plan) spread(h, l int, most float64, fits func(cost float64) bool) int {
	best, bestScore := -1, 0
	for _, i := range p.seats[h].shards {
		it := &p.shards[i]
		if it.busy || i == p.seats[h].hot || it.cost < most-p.slack || !fits(it.cost) {
			continue
		}
		p.countNeighbours(i)
		score := p.crowd[h] - p.crowd[l]
		if best < 0 || score > bestScore || score == bestScore && i < best {
			best, bestScore = i, score
		}
	}
	return best
}

// outside says whether h has too much and whether l has too little.
func (p *plan) outside(h, l int, t *target) (give, take bool) {
	band := func(begun bool) float64 {
		if begun {
			return p.settings.Tolerance / 2
		}
		return p.settings.Tolerance
	}
	give = p.seats[h].use() > t.use*(1+band(p.seats[h].giving)) && len(p.seats[h].shards) > 1
	take = p.seats[l].use() < t.use*(1-band(p.seats[l].taking))
	return give, take
}

// choose returns the shard that h should give to l, or -1, and which other brokers would do as well as l. It is the largest that
// brings neither beyond half of the tolerance. Where shards are too coarse for that, it is the one that makes the
// higher of the two lowest; a hot shard stays where it is.
func (p *plan) choose(h, l int, t *target) (int, func(k int) bool) {
	from := &p.seats[h]
	low, high := t.use*(1-p.settings.Tolerance/2), t.use*(1+p.settings.Tolerance/2)
	better := func(cost float64, k int) bool {
		to := &p.seats[k]
		return to.settled && k != h && (to.cost+cost)/to.capacity <= from.use()-t.margin && (from.cost-cost)/from.capacity >= to.use()+t.margin
	}
	smooth := func(cost float64, k int) bool {
		to := &p.seats[k]
		return better(cost, k) && (to.cost+cost)/to.capacity <= high && (from.cost-cost)/from.capacity >= low
	}
	fine, coarse, peak := -1, -1, math.Inf(1)
	for _, i := range from.shards {
		it := &p.shards[i]
		if it.busy || i == from.hot {
			continue
		}
		if smooth(it.cost, l) && (fine < 0 || it.cost > p.shards[fine].cost || (it.cost == p.shards[fine].cost && i < fine)) {
			fine = i
		}
		top := max((p.seats[l].cost+it.cost)/p.seats[l].capacity, (from.cost-it.cost)/from.capacity)
		if better(it.cost, l) && (top < peak || (top == peak && i < coarse)) {
			coarse, peak = i, top
		}
	}
	if fine >= 0 {
		fine = p.spread(h, l, p.shards[fine].cost, func(cost float64) bool { return smooth(cost, l) })
		cost := p.shards[fine].cost
		return fine, func(k int) bool { return smooth(cost, k) }
	}
	if coarse >= 0 {
		cost := p.shards[coarse].cost
		return coarse, func(k int) bool { return better(cost, k) }
	}
	return -1, nil
}
