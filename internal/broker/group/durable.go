package group

import (
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// durable is the layer of state that the records make: what a shard knows after replaying its log.
type durable struct {
	groups    map[string]*stored
	producers map[int64]*producer
	// offsets counts the records of offsets, so that of two for one partition it is known which stands later in the log.
	offsets uint64
}

// stored is one group of the durable layer; it exists as long as it has metadata or offsets.
type stored struct {
	// metadata is nil for a group that only ever had offsets committed by consumers that manage their partitions alone.
	metadata *offsetrecord.Metadata
	// consumer is the state of a group of the consumer protocol, nil for all others.
	consumer *consumerGroup
	offsets  offsets
	// open are the producers with a transaction in which offsets of the group wait; nil if there are none.
	open map[int64]struct{}
}

// offset is a committed offset, or one that waits for the end of its transaction. at tells which of two is newer.
type offset struct {
	*offsetrecord.Offset
	at uint64
}

// offsets are offsets by topic and partition; no topic has an empty map. Reading from nil is allowed.
type offsets map[string]map[int32]offset

func newDurable() durable {
	return durable{groups: map[string]*stored{}, producers: map[int64]*producer{}}
}

// apply is the only place that changes the durable layer, with endTransaction. The record's values are kept, not copied.
// in is the transaction that the record is part of, nil if none.
func (d *durable) apply(r Record, in *machine.Producer) {
	if r.Kind > offsetrecord.KindMetadata {
		d.applyConsumer(r)
		return
	}
	g := d.groups[r.Group]
	switch {
	case g == nil && r.Offset == nil && r.Metadata == nil:
		return
	case g == nil:
		g = &stored{}
		d.groups[r.Group] = g
	}
	switch {
	case r.Kind == offsetrecord.KindMetadata:
		g.metadata = r.Metadata
	case r.Offset != nil && in != nil:
		d.stage(g, r, *in)
	case r.Offset != nil:
		g.put(r.Topic, r.Partition, d.place(r.Offset))
	default:
		// It ends what waits too: a compaction of the log may drop the record that it waits by for this one.
		g.offsets.remove(r.Topic, r.Partition)
		d.unstage(g, r)
	}
	d.settle(r.Group, g)
}

// place gives an offset its place in the order of the log.
func (d *durable) place(o *offsetrecord.Offset) offset {
	d.offsets++
	return offset{o, d.offsets}
}

// settle forgets a group that has nothing left.
func (d *durable) settle(id string, g *stored) {
	if g.metadata == nil && g.consumer == nil && len(g.offsets) == 0 && len(g.open) == 0 {
		delete(d.groups, id)
	}
}

func (g *stored) put(topic string, partition int32, o offset) {
	if g.offsets == nil {
		g.offsets = offsets{}
	}
	g.offsets.put(topic, partition, o)
}

func (o offsets) put(topic string, partition int32, value offset) {
	if o[topic] == nil {
		o[topic] = map[int32]offset{}
	}
	o[topic][partition] = value
}

func (o offsets) remove(topic string, partition int32) {
	delete(o[topic], partition)
	if len(o[topic]) == 0 {
		delete(o, topic)
	}
}

// topics returns the topics in order.
func (o offsets) topics() []string { return slices.Sorted(maps.Keys(o)) }

// partitions returns the partitions of topic in order.
func (o offsets) partitions(topic string) []int32 { return slices.Sorted(maps.Keys(o[topic])) }

// offset returns what is committed, nil if nothing is. It may be called on a nil g.
func (g *stored) offset(topic string, partition int32) *offsetrecord.Offset {
	if g == nil {
		return nil
	}
	return g.offsets[topic][partition].Offset
}

// topics returns the topics with committed offsets in order. It may be called on a nil g.
func (g *stored) topics() []string {
	if g == nil {
		return nil
	}
	return g.offsets.topics()
}

// partitions returns the partitions of topic with committed offsets in order.
func (g *stored) partitions(topic string) []int32 {
	return g.offsets.partitions(topic)
}
