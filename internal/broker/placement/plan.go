package placement

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Who is near a shard: partitions of a topic follow each other through the shards, in a circle.
const (
	brokerNeighbours = 8 // on either side should be on other brokers
	rackNeighbours   = 2 // on either side should be in other racks
)

// seat is a broker and what it owns, as the plan stands.
type seat struct {
	Broker

	capacity float64
	cost     float64 // use times capacity: base and shards
	base     float64
	shards   []int // indices of plan.shards
	rack     int
	settled  bool // balancing counts with it
	// hot is the shard that is more than a fair share alone, or -1.
	hot int
	// giving and taking say that balancing has begun with the broker and goes on to half of the tolerance.
	giving, taking bool
}

func (s *seat) use() float64 { return s.cost / s.capacity }

// item is a shard as the plan stands.
type item struct {
	Shard

	cost float64
	seat int // -1: orphan
	busy bool
}

// plan is a snapshot on which moves are tried.
type plan struct {
	now      time.Time
	settings Settings
	seats    []seat // by id
	shards   []item // by id
	racks    []string
	slack    float64 // cost that is not worth a crowd: half a shard's
	moves    []Move

	crowd, rackCrowd []int // of neighbours, by seat and rack: for receiver
}

func newPlan(s Snapshot, settings Settings) *plan {
	p := &plan{now: s.Now, settings: settings.withDefaults()}
	for _, b := range s.Brokers {
		p.racks = append(p.racks, b.Rack)
	}
	slices.Sort(p.racks)
	p.racks = slices.Compact(p.racks)
	for _, b := range s.Brokers {
		rack, _ := slices.BinarySearch(p.racks, b.Rack)
		base := p.settings.use(b.Base)
		p.seats = append(p.seats, seat{
			Broker: b, capacity: positive(b.Capacity, 1), base: base, cost: base, rack: rack, hot: -1,
			settled: !b.Draining && (b.Joined.IsZero() || s.Now.Sub(b.Joined) >= p.settings.Settle),
		})
	}
	slices.SortFunc(p.seats, func(a, b seat) int { return cmp.Compare(a.ID, b.ID) })
	total := 0.0
	for _, sh := range s.Shards {
		it := item{Shard: sh, cost: shardUse + p.settings.use(sh.Load), seat: p.seatOf(sh.Owner)}
		it.busy = sh.Moving || (!sh.MovedAt.IsZero() && s.Now.Sub(sh.MovedAt) < p.settings.Cooldown)
		total += it.cost
		p.shards = append(p.shards, it)
	}
	slices.SortFunc(p.shards, func(a, b item) int { return cmp.Compare(a.ID, b.ID) })
	for i := range p.shards {
		if k := p.shards[i].seat; k >= 0 {
			p.seats[k].shards = append(p.seats[k].shards, i)
			p.seats[k].cost += p.shards[i].cost
		}
	}
	p.slack = total / float64(max(len(p.shards), 1)) / 2
	p.crowd, p.rackCrowd = make([]int, len(p.seats)), make([]int, len(p.racks))
	return p
}

func (p *plan) seatOf(broker int32) int {
	k, ok := slices.BinarySearchFunc(p.seats, broker, func(s seat, id int32) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return -1
	}
	return k
}

// room is how many more moves may begin.
func (p *plan) room() int {
	left := p.settings.MaxMoves
	for i := range p.shards {
		if p.shards[i].Moving && p.shards[i].seat >= 0 {
			left--
		}
	}
	for _, m := range p.moves {
		if m.Kind != Orphan {
			left--
		}
	}
	return left
}

// move gives shard i to seat k.
func (p *plan) move(i, k int, kind Kind, reason string) {
	it := &p.shards[i]
	if it.seat >= 0 {
		from := &p.seats[it.seat]
		from.shards = slices.DeleteFunc(from.shards, func(j int) bool { return j == i })
		from.cost = p.sum(from)
	}
	to := &p.seats[k]
	p.moves = append(p.moves, Move{Shard: it.ID, From: it.Owner, To: to.ID, Kind: kind, Reason: reason})
	to.shards = append(to.shards, i)
	to.cost += it.cost
	it.seat, it.busy = k, true
}

// sum adds up what a seat carries. Taking one cost off would leave a rounding error behind.
func (p *plan) sum(s *seat) float64 {
	cost := s.base
	for _, i := range s.shards {
		cost += p.shards[i].cost
	}
	return cost
}

// receiver returns the seat that should take shard i, of those that do not drain and that fit accepts; -1 if there is
// none. It is the one with least use afterwards; of those that are within half a shard of it, the one with the
// fewest of the shard's neighbours.
func (p *plan) receiver(i int, fits func(k int) bool) int {
	p.countNeighbours(i)
	cost, least := p.shards[i].cost, math.Inf(1)
	for k := range p.seats {
		if s := &p.seats[k]; !s.Draining && fits(k) {
			least = min(least, (s.cost+cost)/s.capacity)
		}
	}
	best := -1
	for k := range p.seats {
		s := &p.seats[k]
		if s.Draining || (s.cost+cost-p.slack)/s.capacity > least || !fits(k) {
			continue
		}
		if best < 0 || cmp.Or(
			cmp.Compare(p.crowd[k], p.crowd[best]),
			cmp.Compare(p.rackCrowd[s.rack], p.rackCrowd[p.seats[best].rack]),
			cmp.Compare(s.use(), p.seats[best].use())) < 0 {
			best = k
		}
	}
	return best
}

// countNeighbours fills crowd and rackCrowd for shard i.
func (p *plan) countNeighbours(i int) {
	clear(p.crowd)
	clear(p.rackCrowd)
	n := len(p.shards)
	for d := 1; d <= min(brokerNeighbours, (n-1)/2); d++ {
		for _, j := range [2]int{(i + d) % n, (i - d + n) % n} {
			k := p.shards[j].seat
			if k < 0 {
				continue
			}
			p.crowd[k]++
			if d <= rackNeighbours {
				p.rackCrowd[p.seats[k].rack]++
			}
		}
	}
}
