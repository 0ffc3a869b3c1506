package wal

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/weir-stream/weir/internal/base/blob"
)

// recallReads is how many frames are read back at the same time.
const recallReads = 4

// Recalled are frames that stay in memory for whoever reads a stretch of the log in another order than it was written in: Recent finds them until Release.
type Recalled struct {
	// End is the end of the last frame of the stretch.
	End     Mark
	log     *ObjectLog
	pinned  []*ringBlock // of the ring, which they may leave meanwhile
	fetched []*ringBlock // pinned too, and not of the ring
}

// Recall holds the log's own frames from position from on in memory, up to to or as many as may be held (RecallBytes; one at least), and reads back, whole, those that
// are there no more: a request for a frame and not for each stretch of a partition. A frame that cannot be read is left out, and whoever wants it reads it by itself and
// learns why. hold, if there is one, may hold each of these requests up; it is told how many bytes were asked for before. One goroutine at a time does this.
func (l *ObjectLog) Recall(ctx context.Context, from Position, to Mark, hold func(ctx context.Context, bytes int64) error) *Recalled {
	r := &Recalled{End: to, log: l}
	var missing []place
	l.mu.Lock()
	first, _ := slices.BinarySearchFunc(l.own, from, func(p place, at Position) int { return cmp.Compare(p.pos, at) })
	// What is more than can be held is divided evenly: each stretch makes segments of its own, and small ones are of no use.
	total := max(1, int64(to.Pos-from))
	stretches := (total + l.o.RecallBytes - 1) / l.o.RecallBytes
	share := (total + stretches - 1) / stretches
	held := int64(0)
	for _, p := range l.own[first:] {
		if p.pos >= to.Pos {
			break
		}
		if held > 0 && held+p.bytes > l.o.RecallBytes || held >= share {
			r.End = Mark{Pos: p.pos, Seq: p.seq}
			break
		}
		held += p.bytes
		if b := l.ring.find(p.pos, p.bytes); b != nil {
			b.pins++
			r.pinned = append(r.pinned, b)
		} else {
			missing = append(missing, p)
		}
	}
	l.mu.Unlock()
	r.fetch(ctx, missing, hold)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recalled = r
	return r
}

// fetch reads frames back, several at a time, until one cannot be read.
func (r *Recalled) fetch(ctx context.Context, missing []place, hold func(ctx context.Context, bytes int64) error) {
	asked := int64(0)
	blocks := make([]*ringBlock, len(missing))
	var reading sync.WaitGroup
	slots := make(chan struct{}, recallReads)
	failed := make(chan struct{}, len(missing))
	for i, p := range missing {
		slots <- struct{}{}
		if len(failed) > 0 || hold != nil && hold(ctx, asked) != nil {
			break
		}
		asked += p.bytes
		reading.Go(func() {
			defer func() { <-slots }()
			b, err := r.log.readBack(ctx, p)
			if err != nil {
				failed <- struct{}{}
				return
			}
			blocks[i] = b
		})
	}
	reading.Wait()
	for _, b := range blocks {
		if b != nil {
			r.fetched = append(r.fetched, b)
		}
	}
}

// readBack returns a frame in memory of the ring.
func (l *ObjectLog) readBack(ctx context.Context, p place) (*ringBlock, error) {
	l.mu.Lock()
	b := l.ring.take(p.bytes)
	l.ring.lent += int64(cap(b.bytes))
	l.mu.Unlock()
	b.pos, b.bytes, b.out, b.pins = p.pos, b.bytes[:p.bytes], true, 1
	o, err := l.openObject(ctx, p)
	if err == nil {
		err = blob.ReadVector(o, [][]byte{b.bytes}, 0)
		l.closeObject(p.key, o)
	}
	if err != nil {
		l.o.Logger.Debug("frame not read back", "key", p.key, "err", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ring.lent -= int64(cap(b.bytes))
		l.ring.unpin(b)
		return nil, err
	}
	l.metrics.recalled.Inc()
	return b, nil
}

// find returns the block of the stretch that holds [pos, pos+n), or nil.
func (r *Recalled) find(pos Position, n int64) *ringBlock {
	if r == nil {
		return nil
	}
	if b := findBlock(r.pinned, pos, n); b != nil {
		return b
	}
	return findBlock(r.fetched, pos, n)
}

// Release gives the memory back, at the latest when nobody reads it any more.
func (r *Recalled) Release() {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recalled = nil
	for _, b := range r.pinned {
		l.ring.unpin(b)
	}
	for _, b := range r.fetched {
		l.ring.lent -= int64(cap(b.bytes))
		l.ring.unpin(b)
	}
	r.pinned, r.fetched = nil, nil
}
