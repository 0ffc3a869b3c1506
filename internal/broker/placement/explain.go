package placement

import (
	"fmt"
	"time"
)

// Decision is what should move, and why that and no more.
type Decision struct {
	Moves []Move // in the order in which they should begin: orphans, drains, balance
	// Target is the use that balancing aims at for every broker that has no shard above it.
	Target float64
	// Why says, in a sentence without a full stop, why no more moves for balance.
	Why     string
	Brokers []BrokerReport // by id
	Racks   []RackReport   // by name
	// Unplaced is how many shards stay without an owner, since there is nobody to take them.
	Unplaced int
}

// BrokerReport says how a broker stands. Use is a share of its own capacity, before the moves and after them.
type BrokerReport struct {
	ID                      int32
	Rack                    string
	ShardsBefore, ShardsNow int
	UseBefore, UseNow       float64
	// HotShard is the shard that is more than the target alone, or None. Target is not meant for its broker.
	HotShard int32
	Settled  bool // balancing counts with it
	// Note says what is special about the broker, or is empty.
	Note string
}

// RackReport says how a rack stands after the moves.
type RackReport struct {
	Name    string
	Brokers int
	Shards  int
	Use     float64 // a share of the capacity of its brokers
	// WithoutIt is the use of all brokers of other racks that do not drain, if the rack is lost: above 1 they cannot carry it. It
	// is 0 if there are none.
	WithoutIt float64
}

// before reports how brokers stand before anything is decided.
func (p *plan) before() Decision {
	d := Decision{Brokers: make([]BrokerReport, len(p.seats))}
	for k := range p.seats {
		s := &p.seats[k]
		d.Brokers[k] = BrokerReport{ID: s.ID, Rack: s.Rack, ShardsBefore: len(s.shards), UseBefore: s.use()}
	}
	return d
}

// after completes the report.
func (p *plan) after(d *Decision, why string) {
	d.Moves, d.Why = p.moves, why
	for i := range p.shards {
		if p.shards[i].seat < 0 {
			d.Unplaced++
		}
	}
	t := &target{}
	for k := range p.seats {
		if p.seats[k].settled {
			t = p.targets() // anew: drains and orphans moved it
			break
		}
	}
	d.Target = t.use
	for k := range p.seats {
		r := &d.Brokers[k]
		r.ShardsNow, r.UseNow, r.Note = len(p.seats[k].shards), p.seats[k].use(), p.note(&p.seats[k], t)
		r.Settled, r.HotShard = p.seats[k].settled, None
		if hot := p.seats[k].hot; hot >= 0 {
			r.HotShard = p.shards[hot].ID
		}
	}
	d.Racks = p.reportRacks()
}

// note says what keeps a broker from what one would expect.
func (p *plan) note(s *seat, t *target) string {
	switch {
	case s.Draining && len(s.shards) == 0:
		return "drained"
	case s.Draining:
		return fmt.Sprintf("draining, %d shards to go", len(s.shards))
	case !s.settled:
		return fmt.Sprintf("joined %s ago, is balanced from %s on", p.now.Sub(s.Joined).Round(time.Second), p.settings.Settle)
	case s.hot >= 0:
		hot := &p.shards[s.hot]
		return fmt.Sprintf("shard %d alone is %s of its capacity: more partitions for its busiest topic would spread it", hot.ID, percent(hot.cost/s.capacity))
	case s.use() <= t.use*(1+p.settings.Tolerance) || len(s.shards) == 0:
		return ""
	}
	busy := 0
	for _, i := range s.shards {
		if p.shards[i].busy {
			busy++
		}
	}
	if busy > 0 {
		return fmt.Sprintf("above the target; %d of its %d shards move, or moved less than %s ago", busy, len(s.shards), p.settings.Cooldown)
	}
	return "above the target"
}

func (p *plan) reportRacks() []RackReport {
	racks := make([]RackReport, len(p.racks))
	costs, all, staying := make([]float64, len(p.racks)), make([]float64, len(p.racks)), make([]float64, len(p.racks))
	cost, capacity := 0.0, 0.0
	for k := range p.seats {
		s := &p.seats[k]
		r := &racks[s.rack]
		r.Name = s.Rack
		r.Brokers++
		r.Shards += len(s.shards)
		costs[s.rack] += s.cost
		cost += s.cost
		all[s.rack] += s.capacity
		if !s.Draining {
			staying[s.rack] += s.capacity
			capacity += s.capacity
		}
	}
	for i := range racks {
		racks[i].Use = costs[i] / all[i]
		if others := capacity - staying[i]; others > 0 {
			racks[i].WithoutIt = cost / others
		}
	}
	return racks
}
