package tail

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reader reads the records of a topic from a position on. See the package comment.
type Reader struct {
	hub     *Hub
	feed    *feed
	request Request
	// positions are the offsets of the next record, by partition.
	positions map[int32]int64
	// own is the consumer of what is older than the feed's rings, with the partitions that it has; held says that it counts
	// against the bound.
	own           *kgo.Client
	ownPartitions map[int32]int64
	held          bool
	closed        bool
}

// begin finds out where to start.
func (r *Reader) begin(ctx context.Context) error {
	select {
	case <-r.feed.ready:
	case <-r.feed.done:
		return r.feed.err
	case <-ctx.Done():
		return ctx.Err()
	}
	r.feed.mu.Lock()
	ends := map[int32]int64{}
	for p, ring := range r.feed.rings {
		ends[p] = ring.next
	}
	r.feed.mu.Unlock()
	for _, p := range r.request.Partitions {
		if _, ok := ends[p]; !ok {
			return fmt.Errorf("partition %d of topic %s: %w", p, r.request.Topic, ErrUnknownPartition)
		}
	}
	maps.DeleteFunc(ends, func(p int32, _ int64) bool { return !r.wants(p) })
	if r.request.From == End && len(r.request.Offsets) == 0 {
		r.positions = ends
		return nil
	}
	return r.find(ctx, ends)
}

// find sets the positions where they are not the ends that the feed knows.
func (r *Reader) find(ctx context.Context, ends map[int32]int64) error {
	cl, err := r.request.Dial(ctx, kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()
	starts, err := r.feed.listWith(ctx, cl, Start)
	if err != nil {
		return err
	}
	latest, err := r.feed.listWith(ctx, cl, End)
	if err != nil {
		return err
	}
	from := ends
	switch r.request.From.kind {
	case fromStart:
		from = starts
	case fromTime:
		if from, err = r.feed.listWith(ctx, cl, r.request.From); err != nil {
			return err
		}
	}
	for p := range ends {
		at, ok := r.request.Offsets[p]
		if !ok && r.request.From.kind == fromOffset {
			at, ok = r.request.From.at, true
		}
		if !ok {
			if at, ok = from[p]; !ok || at < 0 {
				at = ends[p]
			}
		}
		r.positions[p] = min(max(at, starts[p]), max(latest[p], ends[p]))
	}
	return nil
}

func (r *Reader) wants(p int32) bool {
	return len(r.request.Partitions) == 0 || slices.Contains(r.request.Partitions, p)
}

// Positions returns the offset of the next record of each partition that is read.
func (r *Reader) Positions() map[int32]int64 { return maps.Clone(r.positions) }

// Next waits until there are records at the reader's position, and returns at most limit of them; ctx ends the wait. The records
// are shared: they must not be changed. After an error that is not ctx's the reader is of no more use.
func (r *Reader) Next(ctx context.Context, limit int) ([]*Record, error) {
	for {
		records, behind, changed := r.take(limit)
		if len(records) > 0 {
			return records, nil
		}
		if len(behind) > 0 {
			records, err := r.catchUp(ctx, behind, limit)
			if err != nil || len(records) > 0 {
				return records, err
			}
			continue
		}
		r.release()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.feed.done:
			return nil, r.feed.err
		}
	}
}

// take returns what the rings have at the positions, or else the partitions whose ring begins later.
func (r *Reader) take(limit int) (records []*Record, behind map[int32]int64, changed <-chan struct{}) {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	partitions := slices.Sorted(maps.Keys(r.feed.rings))
	for _, p := range partitions {
		ring := r.feed.rings[p]
		at, known := r.positions[p]
		if !known {
			if !r.wants(p) {
				continue
			}
			at = ring.start // a new partition
			r.positions[p] = at
		}
		if at < ring.start {
			if behind == nil {
				behind = map[int32]int64{}
			}
			behind[p] = at
		}
	}
	if behind != nil {
		return nil, behind, nil
	}
	share := max(limit/max(len(partitions), 1), 1)
	for _, p := range partitions {
		ring, at := r.feed.rings[p], r.positions[p]
		if !r.wants(p) || at >= ring.next {
			continue
		}
		i := sort.Search(len(ring.records), func(i int) bool { return ring.records[i].Offset >= at })
		n := max(min(len(ring.records)-i, share, limit-len(records)), 0)
		records = append(records, ring.records[i:i+n]...)
		switch {
		case i+n < len(ring.records):
			r.positions[p] = ring.records[i+n].Offset
		default:
			r.positions[p] = ring.next
		}
	}
	return records, nil, r.feed.changed
}

// catchUp reads what is older than the rings by a consumer of the reader's own. It returns without records when positions moved
// over what is no record.
func (r *Reader) catchUp(ctx context.Context, behind map[int32]int64, limit int) ([]*Record, error) {
	if !r.held {
		select {
		case r.hub.catchUps <- struct{}{}:
			r.held = true
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.feed.done:
			return nil, r.feed.err
		}
	}
	for p := range behind {
		if _, ok := r.ownPartitions[p]; !ok && r.own != nil {
			r.own.Close()
			r.own = nil
		}
	}
	if r.own == nil {
		// It reads all partitions, not only those behind: the others would wait for them, and fall behind in turn.
		r.ownPartitions = maps.Clone(r.positions)
		cl, err := r.request.Dial(ctx, r.feed.options(r.ownPartitions)...)
		if err != nil {
			return nil, err
		}
		r.own = cl
	}
	fetches := r.own.PollRecords(ctx, limit)
	select {
	case <-r.feed.done: // what ended it ends this reader
		return nil, r.feed.err
	default:
	}
	if err := fatal(fetches); err != nil {
		return nil, err
	}
	var records []*Record
	fetches.EachRecord(func(record *kgo.Record) {
		if at, ok := r.positions[record.Partition]; !ok || record.Offset < at {
			return
		}
		r.positions[record.Partition] = record.Offset + 1
		if !record.Attrs.IsControl() {
			records = append(records, &Record{Record: record})
		}
	})
	if len(records) > 0 {
		return records, nil
	}
	return nil, ctx.Err()
}

// release gives up the reader's own consumer.
func (r *Reader) release() {
	if r.own != nil {
		r.own.Close()
		r.own = nil
	}
	if r.held {
		<-r.hub.catchUps
		r.held = false
	}
}

// Close gives the reader up. It may be called more than once, by whoever calls Next.
func (r *Reader) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.release()
	r.hub.leave(r.feed)
}
