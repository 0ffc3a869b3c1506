package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/placement"
)

// What an operator can ask of any broker of a cluster.

// Errors of RequestDrain.
var (
	// ErrNoSuchBroker says that no live broker has the id.
	ErrNoSuchBroker = errors.New("no such broker is alive")
	// ErrNoTaker says that nobody would be left to take the broker's shards.
	ErrNoTaker = errors.New("no other broker is there to take its shards")
)

// Balance is how load lies on the brokers, and what the controller would move.
type Balance struct {
	placement.Decision
	Loads map[int32]placement.Load // by shard, as their owners have reported them, or those before them
}

// Balance decides as the controller would, from what this broker knows; it moves nothing. On the controller it is the last decision that was
// acted on, at most a few seconds old. Elsewhere it does not know which shards moved within their cooldown, so that it may name moves that the
// controller still puts off. Nothing is known, and false returned, before the first view.
func (m *Member) Balance() (Balance, bool) {
	v, k := m.directory.View(), m.known.Load()
	if k == nil {
		return Balance{}, false
	}
	if d := m.last.Load(); d != nil && v.Controller == v.Self {
		return Balance{*d, k.loads}, true
	}
	return Balance{placement.Decide(m.snapshot(v, k, nil), m.placement()), k.loads}, true
}

// Decision is the controller's last look at the balance, nil if this broker has not been the controller.
func (m *Member) Decision() *placement.Decision { return m.last.Load() }

// Drains returns the brokers that an operator has asked to give their shards away, alive or not, ascending.
func (m *Member) Drains() []int32 {
	k := m.known.Load()
	if k == nil {
		return nil
	}
	return slices.Clone(k.drains)
}

// RequestDrain asks for a broker's shards to be given to others, and for it to get none, until UndoDrain; also when it starts anew. It
// returns when that is written, long before the shards have moved. ErrNoSuchBroker, ErrNoTaker: nothing was written.
func (m *Member) RequestDrain(ctx context.Context, id int32) error {
	v := m.directory.View()
	if _, ok := v.Broker(id); !ok {
		return fmt.Errorf("drain broker %d: %w", id, ErrNoSuchBroker)
	}
	if !slices.ContainsFunc(v.Brokers, func(b Broker) bool { return b.ID != id && !b.Draining && len(b.Endpoints) > 0 }) {
		return fmt.Errorf("drain broker %d: %w", id, ErrNoTaker)
	}
	return m.writeDrain(ctx, meta.Op{Kind: meta.Put, Key: DrainKey(id), Value: encode(true)})
}

// UndoDrain takes RequestDrain back. A broker that was not asked to drain is no error.
func (m *Member) UndoDrain(ctx context.Context, id int32) error {
	return m.writeDrain(ctx, meta.Op{Kind: meta.Delete, Key: DrainKey(id)})
}

func (m *Member) writeDrain(ctx context.Context, op meta.Op) error {
	if _, err := m.o.Meta.Txn(ctx, nil, []meta.Op{op}); err != nil {
		return fmt.Errorf("write %s: %w", op.Key, err)
	}
	return nil
}

func (m *Member) placement() placement.Settings {
	if m.o.Placement == nil {
		return placement.Settings{}
	}
	return m.o.Placement()
}
