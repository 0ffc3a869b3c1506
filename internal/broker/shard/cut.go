package shard

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka/record"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that the bytes of a stretch are not what was written.
var errDamaged = errors.New("checksum mismatch")

// cut moves the shard's extents below end into one L1 object, sorted by topic, partition and offset. The object is
// durable before the logs are pointed at it; the checkpoint that follows makes it part of the shard.
func (s *Store) cut(ctx context.Context, sh *shardState, end wal.Position) error {
	var cuts []partition.Cut
	for _, l := range s.logsOf(sh.id) {
		if c := l.CutBelow(end); len(c.Extents) > 0 {
			cuts = append(cuts, c)
		}
	}
	if len(cuts) == 0 {
		return nil
	}
	object, footer, err := s.writeObject(ctx, sh, segment.L1, func(w *segment.Writer) error {
		for i := range cuts {
			if err := s.copyCut(ctx, sh, w, &cuts[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || object == nil {
		return err
	}
	sh.objects = append(sh.objects, object)
	sh.unpublished.Add(object.Data)
	runs := runsByLog(&footer)
	for _, c := range cuts {
		id := c.Log.Identity()
		if r, ok := runs[logKey{id.Topic, id.Partition}]; ok {
			c.Log.Install(object, r.RunInfo, r.abortedFrom, c.Unmarked)
		}
	}
	s.metrics.cuts.Inc()
	s.metrics.objectBytes.Add(float64(object.Bytes))
	return nil
}

// copyCut copies the extents of one log. A damaged one is left out: it stays in the WAL, whose file is kept for it, and
// the log answers its offsets with an error. Waiting for it would pin the WAL until the disk is full.
func (s *Store) copyCut(ctx context.Context, sh *shardState, w *segment.Writer, c *partition.Cut) error {
	id := c.Log.Identity()
	begun := false
	var buf []byte
	var copied int64
	for _, e := range c.Extents {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, release, err := s.readExtent(ctx, sh, &buf, e)
		if err != nil {
			if e.NextOffset <= c.Log.Offsets().LogStart {
				continue // DeleteRecords or retention has overtaken the cut
			}
			if errors.Is(err, wal.ErrTrimmed) || errors.Is(err, wal.ErrClosed) || s.o.Cluster != nil && !errors.Is(err, errDamaged) {
				return fmt.Errorf("read WAL position %d for %s: %w", e.Pos, id, err)
			}
			s.corrupt(fmt.Errorf("WAL position %d, offsets [%d, %d) of %s: %w", e.Pos, e.BaseOffset, e.NextOffset, id, err))
			c.Log.Quarantine(e.BaseOffset)
			continue
		}
		if !begun {
			err, begun = w.BeginRun(id.Topic, id.Partition), true
		}
		if err == nil {
			err = appendBatches(w, b, &c.Unmarked)
		}
		release()
		if err == nil {
			err = sh.pace.Did(ctx, e.Bytes)
		}
		if err != nil {
			return fmt.Errorf("copy offsets [%d, %d) of %s: %w", e.BaseOffset, e.NextOffset, id, err)
		}
		copied = e.NextOffset
	}
	// Those whose marker lies beyond what was copied stay with the log. A marker in a damaged extent counts all the same: its
	// records are here.
	for _, a := range c.Aborted {
		if a.LastOffset < copied {
			if err := w.Aborted(a); err != nil {
				return fmt.Errorf("list aborted transactions of %s: %w", id, err)
			}
		}
	}
	return nil
}

// readExtent returns the bytes of e, checked, in buf, which it makes larger, or in a cluster from where they are in memory: a request to the store costs more than
// the look at a disk, by which damage is found there. They stay valid until release. A device that fails, or gives other bytes than were written, is asked twice: a second time in a row is taken for damage.
func (s *Store) readExtent(ctx context.Context, sh *shardState, buf *[]byte, e partition.CutExtent) (b []byte, release func(), err error) {
	inMemory := false
	if sh.life.objects != nil {
		b, release, inMemory = sh.life.objects.Recent(e.Pos, e.Bytes)
	}
	if !inMemory {
		if need := vfs.RangeBytes(int(e.Bytes)); len(*buf) < need {
			*buf = vfs.AlignedBuffer(need)
		}
		release = func() {}
		b, err = sh.life.wal.Read(ctx, *buf, e.Pos, int(e.Bytes))
		if err != nil && !errors.Is(err, wal.ErrTrimmed) && !errors.Is(err, wal.ErrClosed) || err == nil && crc32.Checksum(b, castagnoli) != e.CRC {
			b, err = sh.life.wal.Read(ctx, *buf, e.Pos, int(e.Bytes))
		}
	}
	if err == nil && crc32.Checksum(b, castagnoli) != e.CRC {
		err = errDamaged
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return b, release, nil
}

// appendBatches appends batches to a run, and notes what they do to transactions.
func appendBatches(w *segment.Writer, b []byte, unmarked *partition.UnmarkedAt) error {
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			return err
		}
		if h.Size() > int64(len(b)) {
			return record.ErrTruncated
		}
		if err := w.AppendBatch(b[:h.Size()]); err != nil {
			return err
		}
		unmarked.Batch(&h)
		b = b[h.Size():]
	}
	return nil
}

// writeObject makes a new object of the shard and commits it. It returns nil without error if fill wrote nothing.
func (s *Store) writeObject(ctx context.Context, sh *shardState, level segment.Level, fill func(*segment.Writer) error) (*partition.Object, segment.Footer, error) {
	key := objectKey(objectPrefix, sh.id, sh.epoch, sh.nextObject.Add(1))
	out, err := s.o.Blob.Create(ctx, key)
	if err != nil {
		return nil, segment.Footer{}, fmt.Errorf("create %s: %w", key, err)
	}
	footer, err := s.fillObject(out, sh, level, fill)
	if err == nil && len(footer.Runs) > 0 {
		if err = out.Commit(ctx); noSpace(err) {
			s.discard(ctx, key) // it may have its name already, and nothing will ever use it
		}
	} else {
		err = errors.Join(err, out.Abort())
	}
	if err != nil {
		return nil, segment.Footer{}, fmt.Errorf("write %s: %w", key, err)
	}
	if len(footer.Runs) == 0 {
		return nil, footer, nil
	}
	o := &partition.Object{Key: key, Level: uint8(level), Bytes: footer.Bytes}
	for _, r := range footer.Runs {
		o.Data += r.Bytes
	}
	return o, footer, nil
}

func (s *Store) fillObject(out blob.Writer, sh *shardState, level segment.Level, fill func(*segment.Writer) error) (segment.Footer, error) {
	w := segment.NewWriter(out, segment.Options{Shard: sh.id, Level: level, Epoch: uint64(sh.epoch), CreatedAt: s.o.Now()})
	if err := fill(w); err != nil {
		return segment.Footer{}, err
	}
	return w.Finish()
}
