package group

import (
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// durable is the layer of state that the records make: what a shard knows after replaying its log.
type durable struct {
	groups map[string]*stored
}

// stored is one group of the durable layer; it exists as long as it has metadata or offsets.
type stored struct {
	// metadata is nil for a group that only ever had offsets committed by consumers that manage their partitions alone.
	metadata *offsetrecord.Metadata
	// offsets by topic and partition; no topic has an empty map.
	offsets map[string]map[int32]*offsetrecord.Offset
}

func newDurable() durable { return durable{groups: map[string]*stored{}} }

// apply is the only place that changes the durable layer. The record's values are kept, not copied.
func (d *durable) apply(r Record) {
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
	case r.Offset != nil:
		if g.offsets == nil {
			g.offsets = map[string]map[int32]*offsetrecord.Offset{}
		}
		if g.offsets[r.Topic] == nil {
			g.offsets[r.Topic] = map[int32]*offsetrecord.Offset{}
		}
		g.offsets[r.Topic][r.Partition] = r.Offset
	default:
		delete(g.offsets[r.Topic], r.Partition)
		if len(g.offsets[r.Topic]) == 0 {
			delete(g.offsets, r.Topic)
		}
		if len(g.offsets) == 0 {
			g.offsets = nil
		}
	}
	if g.metadata == nil && g.offsets == nil {
		delete(d.groups, r.Group)
	}
}

// offset returns what is committed, nil if nothing is. It may be called on a nil g.
func (g *stored) offset(topic string, partition int32) *offsetrecord.Offset {
	if g == nil {
		return nil
	}
	return g.offsets[topic][partition]
}

// topics returns the topics with committed offsets in order. It may be called on a nil g.
func (g *stored) topics() []string {
	if g == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(g.offsets))
}

// partitions returns the partitions of topic with committed offsets in order.
func (g *stored) partitions(topic string) []int32 {
	return slices.Sorted(maps.Keys(g.offsets[topic]))
}
