package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/shard/state"
)

// dropLog takes out of a checkpoint what lay in a log that is lost, and everything that followed from it. It returns the bytes of it.
func dropLog(c *state.Checkpoint) int64 {
	var dropped int64
	for i := range c.Partitions {
		p := &c.Partitions[i]
		end := p.LogStart
		if n := len(p.Runs); n > 0 {
			end = max(end, p.Runs[n-1].NextOffset)
		}
		if len(p.Extents) == 0 && p.NextOffset <= end {
			continue
		}
		for _, e := range p.Extents {
			dropped += e.Bytes
		}
		p.SizeBytes -= bytesOf(p.Extents)
		cutBack(p, end)
	}
	return dropped
}

func bytesOf(extents []state.Extent) (n int64) {
	for _, e := range extents {
		n += e.Bytes
	}
	return n
}

// cutBack makes end the log end offset of a partition.
func cutBack(p *state.Partition, end int64) {
	p.Extents = nil
	p.NextOffset, p.LastStableOffset, p.CleanedOffset = end, min(p.LastStableOffset, end), min(p.CleanedOffset, end)
	if p.MaxTimestampOffset >= end {
		p.MaxTimestamp, p.MaxTimestampOffset = -1, -1
		for _, r := range p.Runs {
			if r.MaxTimestamp > p.MaxTimestamp {
				p.MaxTimestamp, p.MaxTimestampOffset = r.MaxTimestamp, r.BaseOffset
			}
		}
	}
	p.Epochs = slices.DeleteFunc(p.Epochs, func(e state.EpochStart) bool { return e.Start >= end })
	if i := slices.IndexFunc(p.Segments, func(s state.Segment) bool { return s.BaseOffset >= end }); i > 0 {
		p.Segments = p.Segments[:i]
	}
	p.Aborted = slices.DeleteFunc(p.Aborted, func(a state.Aborted) bool { return a.LastOffset >= end })
	for i := range p.Producers {
		q := &p.Producers[i]
		q.Batches = slices.DeleteFunc(q.Batches, func(b state.ProducerBatch) bool { return b.LastOffset >= end })
	}
}

// writeShard writes the manifest and the checkpoint of a shard, cut back to what is there, with the markers of transactions that have lost theirs,
// and makes its pointer lead to them.
func writeShard(ctx context.Context, o *Options, objects blob.Store, id int32, ch *chosen, e *endings) error {
	m, c, p := ch.manifest, ch.checkpoint, &ch.pointer
	m.Epoch, m.Version, m.WALTrim = uint64(p.Epoch), 1, 0
	c.Epoch, c.WALPosition = uint64(p.Epoch), 0
	p.Version = 1
	p.Manifest, p.Checkpoint = fmt.Sprintf("m/%05d/%08x.%016x", id, p.Epoch, 1), fmt.Sprintf("c/%05d/%08x.%016x", id, p.Epoch, 1)
	if err := e.write(ctx, objects, id, ch, o.Now); err != nil {
		return err
	}
	mb, err := m.Encode()
	if err != nil {
		return err
	}
	cb, err := c.Encode()
	if err != nil {
		return err
	}
	return errors.Join(objects.Put(ctx, p.Manifest, mb), objects.Put(ctx, p.Checkpoint, cb))
}
