package group

import (
	"errors"
	"fmt"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// Machine is a Shard in the shape that a coordinator runs: records are the bytes of the partition.
type Machine struct{ shard *Shard }

// NewMachine returns the machine of a partition that holds no group.
func NewMachine(options Options) *Machine { return &Machine{NewShard(options)} }

// Owns says whether event is one of this package's.
func (m *Machine) Owns(event any) bool {
	_, ok := event.(Event)
	return ok
}

// Has says whether there is a group of this kind by that name. One whose offsets alone are kept here is not.
func (m *Machine) Has(id string) bool {
	if m.shard.options.Guests.Has(id) {
		return false
	}
	return m.shard.live[id] != nil || m.shard.durable.groups[id] != nil
}

// Replay applies one record of the partition.
func (m *Machine) Replay(r machine.Record, in *machine.Producer) error {
	decoded, err := offsetrecord.Decode(r.Key, r.Value)
	if errors.Is(err, offsetrecord.ErrUnknownKind) {
		return fmt.Errorf("%w: %w", machine.ErrUnknownKind, err)
	}
	if err != nil {
		return err
	}
	m.shard.Replay(decoded, in)
	return nil
}

// ReplayMarker ends a transaction.
func (m *Machine) ReplayMarker(marker machine.Marker) { m.shard.ReplayMarker(marker) }

// Activate ends the replay.
func (m *Machine) Activate(now time.Time) machine.Decision { return encoded(m.shard.Activate(now)) }

// NextAlarm returns when a Tick is due.
func (m *Machine) NextAlarm() time.Time { return m.shard.NextAlarm() }

// Handle decides what event means at time now.
func (m *Machine) Handle(id machine.RequestID, event any, now time.Time) machine.Decision {
	if _, tick := event.(machine.Tick); tick {
		event = Tick{}
	}
	return encoded(m.shard.Handle(id, event.(Event), now))
}

// encoded turns the records of d into bytes.
func encoded(d Decision) machine.Decision {
	out := machine.Decision{Transaction: d.Transaction, Marker: d.Marker, Replies: d.Replies}
	if len(d.Records) > 0 {
		out.Records = make([]machine.Record, len(d.Records))
	}
	for i, r := range d.Records {
		out.Records[i] = machine.Record{Key: r.AppendKey(nil), Value: r.Value()}
	}
	for _, c := range d.Changes {
		out.Changes = append(out.Changes, machine.Change{Name: c.Group, State: c.State.String(), Epoch: c.Generation, Members: c.Members, Reason: c.Reason})
	}
	return out
}
