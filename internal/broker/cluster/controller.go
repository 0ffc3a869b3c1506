package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/placement"
)

// known is what the controller knows beside the view.
type known struct {
	loads                                  map[int32]placement.Load // by shard, as its owner told last, or the one before it
	joined                                 map[int32]joining        // by broker
	drains                                 []int32                  // brokers that an operator drains, there or not, ascending
	assignmentRevision, controllerRevision int64
	selfRevision                           int64 // of this broker's record
}

// joining is when the process of a broker came.
type joining struct {
	process string
	at      time.Time
}

// decideInterval is how often the controller looks at the balance if nothing happens.
const decideInterval = 5 * time.Second

// control decides who is to have which shard, while this broker holds the controller's key. Whoever finds the key gone takes it. Two
// that both believe to be the controller cannot both write: an assignment compares the key of who decides and the one before it.
func (m *Member) control(ctx context.Context) {
	tick := time.NewTicker(decideInterval)
	defer tick.Stop()
	moved := map[int32]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.decide:
		case <-tick.C:
		}
		v, k := m.directory.View(), m.known.Load()
		if k == nil {
			continue
		}
		var err error
		switch v.Controller {
		case v.Self:
			err = m.assign(ctx, v, k, moved)
		case Nobody:
			clear(moved)
			// Whoever was expelled is not to take what it was just deprived of.
			_, err = m.o.Meta.Txn(ctx, []meta.Compare{{Key: controllerKey}, {Key: brokerKey(m.o.ID), Revision: k.selfRevision}}, []meta.Op{{Kind: meta.Put, Key: controllerKey, Value: encode(v.Self), Lease: m.lease.Load().ID()}})
		}
		if err != nil && ctx.Err() == nil {
			m.o.Logger.Warn("the controller could not decide", "err", err)
		}
	}
}

// snapshot is what the placement of shards is decided from. A broker without endpoints is not ready, and left out unless it has something.
func (m *Member) snapshot(v *View, k *known, moved map[int32]time.Time) placement.Snapshot {
	s := placement.Snapshot{Now: m.o.Now()}
	for i := range v.Brokers {
		b := &v.Brokers[i]
		if b.serves() {
			s.Brokers = append(s.Brokers, placement.Broker{ID: b.ID, Rack: b.Rack, Draining: b.Draining, Joined: k.joined[b.ID].at})
		}
	}
	for id := range m.o.Shards {
		wanted, owner := v.Wanted(id), v.Owner(id).Broker
		s.Shards = append(s.Shards, placement.Shard{ID: id, Owner: wanted, Moving: owner != wanted && owner != Nobody, MovedAt: moved[id], Load: k.loads[id]})
	}
	return s
}

// assign writes a new assignment if the placement of shards is to change.
func (m *Member) assign(ctx context.Context, v *View, k *known, moved map[int32]time.Time) error {
	d := placement.Decide(m.snapshot(v, k, moved), m.placement())
	m.last.Store(&d)
	if len(d.Moves) == 0 {
		return nil
	}
	next := assignment{Format: format, Brokers: slices.Clone(v.Assigned)}
	for int32(len(next.Brokers)) < m.o.Shards {
		next.Brokers = append(next.Brokers, Nobody)
	}
	for _, move := range d.Moves {
		next.Brokers[move.Shard] = move.To
	}
	r, err := m.o.Meta.Txn(ctx, []meta.Compare{{Key: assignmentKey, Revision: k.assignmentRevision}, {Key: controllerKey, Revision: k.controllerRevision}},
		[]meta.Op{{Kind: meta.Put, Key: assignmentKey, Value: encode(next)}})
	if err != nil || !r.Succeeded {
		return err
	}
	for _, move := range d.Moves {
		if move.From != Nobody { // what nobody had yet has no load that would have to follow it
			moved[move.Shard] = m.o.Now()
		}
		m.o.Logger.Info("shard assigned", "shard", move.Shard, "from", move.From, "to", move.To, "kind", move.Kind.String(), "reason", move.Reason)
	}
	return nil
}
