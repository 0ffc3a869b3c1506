package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/compaction"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

const (
	// cleanReadBytes is how much of a log a cleaning reads at once.
	cleanReadBytes = 1 << 20
	// cleanGroupBytes is how much of a log is rewritten before the result takes its place: it bounds the space that a cleaning
	// needs, and what is lost if it is interrupted.
	cleanGroupBytes = 1 << 30
)

// errMoved says that a cut or a merge has changed the places between which a cleaning was to put its result.
var errMoved = errors.New("the log was moved meanwhile")

// cleaning is one cleaning of one log.
type cleaning struct {
	s    *Store
	l    *partition.Log
	plan partition.Cleanable
	o    CleanerOptions
	// aborted are the log's aborted transactions, by marker.
	aborted []segment.AbortedTxn
	pace    pace
	// segments are the first offsets of the log's segments, by which it counts what has gone.
	segments []int64
}

// clean compacts a log: it reads the dirty part for its keys, then the log from its start, and puts what stays into objects of
// its own, which take the place of the runs and extents that they were made of. Batches that are still in the write-ahead log
// need no cut before. A log so dirty that its keys do not fit the memory is cleaned as far as they do, and is soon due again.
func (s *Store) clean(ctx context.Context, l *partition.Log, plan partition.Cleanable, o CleanerOptions) (compaction.Stats, error) {
	aborted, err := l.AllAborted(ctx)
	if err != nil {
		return compaction.Stats{}, asUncleanable(ctx, err)
	}
	c := &cleaning{aborted: aborted, s: s, l: l, plan: plan, o: o, pace: pace{now: s.o.Now, rate: o.BytesPerSecond, began: s.o.Now()}, segments: l.Segments()}
	keys, end, err := c.index(ctx)
	if err != nil {
		return compaction.Stats{}, err
	}
	stretches := l.Stretches(end)
	if c.aborted, err = l.AllAborted(ctx); err != nil { // those whose marker lies in the stretches, too
		return compaction.Stats{}, asUncleanable(ctx, err)
	}
	config := l.Config()
	filter := compaction.NewFilter(compaction.Options{
		Keys: keys, End: end, NowMs: s.o.Now().UnixMilli(), DeleteRetentionMs: config.DeleteRetentionMs, LimitBytes: config.DecompressedBytesMax,
		Aborted:        abortedOf(c.aborted),
		LastOfProducer: l.LastOfProducer, Level: func(codec record.Codec) int {
			if codec == config.Codec {
				return config.Level
			}
			return record.DefaultLevel
		},
	})
	s.metrics.cleaner.mapFull(keys.Fullness())
	for _, g := range groupStretches(stretches, cleanGroupBytes) {
		g.Through = 0
		if g.End >= end {
			g.Through = end
		}
		if err := c.rewrite(ctx, filter, &g); err != nil {
			return filter.Stats(), err
		}
	}
	return filter.Stats(), nil
}

// index reads the dirty part of the log and returns its keys and where it ends.
func (c *cleaning) index(ctx context.Context) (*compaction.OffsetMap, int64, error) {
	keys := compaction.NewOffsetMap(c.o.MapBytes, c.o.MapFullness)
	index := compaction.NewIndex(keys, c.plan.FirstDirty, abortedOf(c.aborted), c.l.Config().DecompressedBytesMax)
	end := c.plan.FirstDirty
	err := c.each(ctx, c.plan.FirstDirty, c.plan.Uncleanable, func(b []byte, h *record.Header) (bool, error) {
		fits, err := index.Batch(b)
		if err != nil || !fits {
			return false, asUncleanable(ctx, err)
		}
		end = h.NextOffset()
		return true, nil
	})
	if err == nil && end == c.plan.FirstDirty {
		err = &uncleanableError{fmt.Errorf("the keys of the batch at offset %d take more memory than log.cleaner.dedupe.buffer.size", end)}
	}
	return keys, end, err
}

// each visits the batches of [from, to), of which the first may begin below from, until visit returns false.
func (c *cleaning) each(ctx context.Context, from, to int64, visit func(b []byte, h *record.Header) (bool, error)) error {
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, next, err := c.l.ReadBytes(ctx, from, cleanReadBytes)
		if err != nil {
			err = fmt.Errorf("read %s at offset %d: %w", c.l.Identity(), from, err)
			if c.s.o.Cluster != nil && !errors.Is(err, kafka.CorruptMessage) {
				return err // the object store may answer at the next look
			}
			return asUncleanable(ctx, err)
		}
		if next <= from {
			return fmt.Errorf("read %s at offset %d: %w", c.l.Identity(), from, errMoved)
		}
		c.pace.add(ctx, int64(len(b)))
		for from = next; len(b) > 0; {
			h, err := record.ParseHeader(b)
			if err != nil || h.Size() > int64(len(b)) {
				return &uncleanableError{fmt.Errorf("read %s below offset %d: %w", c.l.Identity(), from, errors.Join(err, errDamaged))}
			}
			if h.BaseOffset >= to {
				return nil
			}
			if more, err := visit(b[:h.Size():h.Size()], &h); err != nil || !more {
				return err
			}
			b = b[h.Size():]
		}
	}
	return nil
}

// groupStretches joins neighbouring stretches to groups of about maxBytes.
func groupStretches(all []partition.Stretch, maxBytes int64) []partition.Cleaned {
	var out []partition.Cleaned
	var size int64
	for _, st := range all {
		if n := len(out); n > 0 && size+st.Bytes <= maxBytes {
			out[n-1].End = st.NextOffset
			size += st.Bytes
			continue
		}
		out, size = append(out, partition.Cleaned{Start: st.BaseOffset, End: st.NextOffset}), st.Bytes
	}
	return out
}

// rewrite makes an object of what stays of [g.Start, g.End) and installs it. The last batch stays in any case, if only its
// offsets: the log's next offset must be known from what it keeps.
func (c *cleaning) rewrite(ctx context.Context, filter *compaction.Filter, g *partition.Cleaned) error {
	id := c.l.Identity()
	sh := c.s.shard(id.Shard)
	if sh == nil {
		return partition.ErrClosed
	}
	g.Removed, g.Unmarked = map[int64]int64{}, c.l.Unmarked()
	object, footer, err := c.s.writeObject(ctx, sh, segment.L2, func(w *segment.Writer) error {
		if err := w.BeginRun(id.Topic, id.Partition); err != nil {
			return err
		}
		err := c.each(ctx, max(g.Start, c.l.Offsets().LogStart), g.End, func(b []byte, h *record.Header) (bool, error) {
			g.Unmarked.Batch(h)
			out, err := filter.Batch(b, h.NextOffset() == g.End)
			if err != nil {
				return false, asUncleanable(ctx, err)
			}
			if len(out) != len(b) {
				g.Removed[c.segmentOf(h.BaseOffset)] += int64(len(b) - len(out))
			}
			if out == nil {
				return true, nil
			}
			c.pace.add(ctx, int64(len(out)))
			return true, w.AppendBatch(out)
		})
		return errors.Join(err, c.listAborted(w, filter, g))
	})
	if err != nil {
		return err
	}
	if object == nil {
		return fmt.Errorf("clean %s: %w", id, errMoved) // the log start has passed it
	}
	g.Object, g.Info, g.AbortedFrom = object, footer.Runs[0], runsByLog(&footer)[logKey{id.Topic, id.Partition}].abortedFrom
	installed := false
	err = c.s.inMaintenance(ctx, func(ctx context.Context) error {
		return c.s.onShard(ctx, sh, nil, func(ctx context.Context) error {
			var err error
			installed, err = c.s.installCleaned(ctx, sh, c.l, g)
			return err
		})
	})
	if installed || err != nil && ctx.Err() == nil {
		return err
	}
	c.s.discard(context.WithoutCancel(ctx), object.Key)
	return errors.Join(err, errMoved)
}

// listAborted gives w the aborted transactions whose marker lies in g and of which readers have to know.
func (c *cleaning) listAborted(w *segment.Writer, filter *compaction.Filter, g *partition.Cleaned) error {
	for _, a := range c.aborted {
		if a.LastOffset < g.Start || a.LastOffset >= g.End || !filter.Needs(abortedTxn(&a)) {
			continue
		}
		if err := w.Aborted(a); err != nil {
			return fmt.Errorf("list the aborted transaction that ends at %d of %s: %w", a.LastOffset, c.l.Identity(), err)
		}
	}
	return nil
}

func abortedOf(list []segment.AbortedTxn) []compaction.Aborted {
	out := make([]compaction.Aborted, len(list))
	for i := range list {
		out[i] = abortedTxn(&list[i])
	}
	return out
}

func abortedTxn(a *segment.AbortedTxn) compaction.Aborted {
	return compaction.Aborted{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset, LastOffset: a.LastOffset}
}

// segmentOf returns the first offset of the segment that holds offset.
func (c *cleaning) segmentOf(offset int64) int64 {
	i, found := slices.BinarySearch(c.segments, offset)
	if !found {
		i--
	}
	if i < 0 {
		return -1
	}
	return c.segments[i]
}

// installCleaned puts a cleaning's object in its place and publishes that. What it replaces is deleted once nothing published
// names it.
func (s *Store) installCleaned(ctx context.Context, sh *shardState, l *partition.Log, g *partition.Cleaned) (bool, error) {
	lost, ok := l.InstallCleaned(g)
	if !ok {
		return false, nil
	}
	sh.objects = slices.Insert(sh.objects, cleanedPlace(sh, l, g.Start), g.Object)
	in := s.mergeInputs(sh)
	next := make([]*partition.Object, 0, len(sh.objects))
	for i, o := range sh.objects {
		if in[i].live == 0 && slices.Contains(lost, o) {
			sh.unused = append(sh.unused, o.Key)
			continue
		}
		next = append(next, o)
	}
	sh.objects = next
	s.metrics.objectBytes.Add(float64(g.Object.Bytes))
	return true, s.checkpoint(ctx, sh, sh.lastMark())
}

// cleanedPlace returns where in the manifest an object belongs whose run of l begins at start: behind the objects of the runs
// before it. Objects that hold later runs of l stand behind these.
func cleanedPlace(sh *shardState, l *partition.Log, start int64) int {
	before := map[*partition.Object]bool{}
	l.RunsIn(func(*partition.Object) bool { return true }, func(o *partition.Object, r segment.RunInfo) {
		if r.NextOffset <= start {
			before[o] = true
		}
	})
	place := 0
	for i, o := range sh.objects {
		if before[o] {
			place = i + 1
		}
	}
	return place
}

// pace slows a cleaning down to a rate.
type pace struct {
	now   func() time.Time
	rate  float64 // bytes a second, 0 for any
	began time.Time
	bytes int64
}

// add counts n bytes and waits, if they came too soon.
func (p *pace) add(ctx context.Context, n int64) {
	p.bytes += n
	if p.rate <= 0 {
		return
	}
	ahead := time.Duration(float64(p.bytes)/p.rate*float64(time.Second)) - p.now().Sub(p.began)
	if ahead < 10*time.Millisecond {
		return
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
