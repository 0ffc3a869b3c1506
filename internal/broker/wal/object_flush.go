package wal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blob"
)

// Run writes what is appended until ctx has ended and all of it is durable. It calls ready at once. An error means that the
// incarnation has ended: it wraps ErrFailed, and ErrSealed if a successor has ended it.
func (l *ObjectLog) Run(ctx context.Context, ready func()) error {
	l.mu.Lock()
	if l.state != stateNew {
		l.mu.Unlock()
		return errors.New("wal: Run called twice")
	}
	l.state = stateRunning
	l.mu.Unlock()
	ready()
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.state == stateRunning {
			l.state = stateDraining
			l.admit()
		}
		l.poke()
	})
	defer stop()
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var puts sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		g, wait, done := l.take(time.Now())
		if done {
			break
		}
		if g != nil {
			l.layOut(g)
			puts.Go(func() { l.write(writing, g) })
			continue
		}
		timer.Reset(min(wait, l.tidy(time.Now())))
		select {
		case <-l.kick:
		case <-timer.C:
		}
	}
	if l.isFailed() {
		cancel() // what is on its way is of no use any more
	}
	puts.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.end(ErrClosed)
	}
	return l.failed
}

func (l *ObjectLog) isFailed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed != nil
}

// take makes the oldest group the next frame if it is due, or else says how long there is nothing to do. done says that there
// will be nothing more.
func (l *ObjectLog) take(now time.Time) (g *group, wait time.Duration, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == stateEnded:
		return nil, 0, true
	case l.state == stateDraining && l.open.empty() && len(l.pending) == 0:
		return nil, time.Hour, len(l.inflight) == 0
	}
	if wait = l.due(now); wait > 0 {
		return nil, wait, false
	}
	if len(l.pending) == 0 {
		l.closeOpen()
	}
	g = l.pending[0]
	l.pending = slices.Delete(l.pending, 0, 1)
	l.inflight = append(l.inflight, g)
	l.tokens.take(now)
	g.header = frameHeader{
		Cluster: l.o.ClusterID, Incarnation: l.o.Incarnation, Seq: l.seq, Nonce: l.o.Nonce, Pos: l.place, LastSynced: l.durable - OwnStart, PrevChain: l.chain,
	}
	l.seq++
	g.block = l.ring.take(maxFrameBytes(g.body, g.footer))
	return g, 0, false
}

// tidyTime is how long memory of the ring waits to be used again: a checkpoint, which is what trims the ring, comes at least as often under load.
const tidyTime = time.Minute

// tidy gives memory back that the ring has not needed in a while, and says when it wants to look again.
func (l *ObjectLog) tidy(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ring.spares <= maxSpareBytes:
		l.tidied = time.Time{}
		return time.Hour
	case l.tidied.IsZero():
		l.tidied, l.ring.least = now, l.ring.spares
	case now.Sub(l.tidied) >= tidyTime:
		l.ring.shed()
		l.tidied = now
	}
	return l.tidied.Add(tidyTime).Sub(now)
}

// layOut makes the bytes of the frame. Only the flusher does, one frame after the other.
func (l *ObjectLog) layOut(g *group) {
	g.build()
	g.frame.move(OwnStart)
	g.block.pos = g.frame.Pos
	l.mu.Lock()
	defer l.mu.Unlock()
	l.place, l.chain = g.frame.End()-OwnStart, g.header.CRC
}

// due returns how long the flusher has to wait before it may write what there is: 0 if it is to be written now.
func (l *ObjectLog) due(now time.Time) time.Duration {
	switch {
	case len(l.inflight) >= l.o.InFlight:
		return time.Hour // a completed object wakes the flusher
	case len(l.pending) > 0:
		return 0
	case l.open.empty():
		return time.Hour
	case l.state == stateDraining:
		return 0
	}
	wait := l.tokens.wait(now)
	if len(l.inflight) > 0 {
		interval := l.o.Interval
		if l.urgent {
			interval = l.o.Urgent
		}
		wait = max(wait, l.since.Add(interval).Sub(now))
		if l.o.PutsPerSecond == 0 && l.open.body >= l.o.OverlapBytes {
			wait = min(wait, l.touched.Add(l.o.OverlapQuiet).Sub(now))
		}
	}
	return wait
}

// write puts the frame of g into the store, completes what can be completed, or ends the log.
func (l *ObjectLog) write(ctx context.Context, g *group) {
	begin := time.Now()
	if err := l.put(ctx, ObjectKey(l.o.Incarnation, g.header.Seq), g); err != nil {
		l.fail(err) //nolint:errcheck // Run returns it
		return
	}
	l.metrics.putSeconds.Observe(time.Since(begin).Seconds())
	l.metrics.objects.Inc()
	l.metrics.bytes.Add(float64(g.frame.Bytes))
	l.metrics.groupBytes.Observe(float64(g.body))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == stateEnded {
		return
	}
	g.written = true
	l.complete()
}

// complete finishes the frames that are written and have only finished ones before them. One goroutine at a time is at it.
func (l *ObjectLog) complete() {
	if l.completing {
		return
	}
	l.completing = true
	for len(l.inflight) > 0 && l.inflight[0].written {
		g := l.inflight[0]
		l.durable, l.next = g.frame.End(), g.header.Seq+1
		l.own = append(l.own, place{pos: g.frame.Pos, bytes: g.frame.Bytes, key: ObjectKey(l.o.Incarnation, g.header.Seq), seq: g.header.Seq})
		l.ring.add(g.block)
		l.mu.Unlock()
		if l.o.OnDurable != nil {
			l.o.OnDurable(&g.frame)
		}
		g.commit.finish(nil)
		l.mu.Lock()
		if l.state == stateEnded {
			break
		}
		l.inflight = slices.Delete(l.inflight, 0, 1)
		l.queuedBytes -= g.body
		l.admit()
		l.poke()
	}
	l.completing = false
}

// Pauses between two tries to write an object. The store has tried several times by itself before it gives an error.
const (
	firstPutPause = 50 * time.Millisecond
	lastPutPause  = 2 * time.Second
)

// put creates the object of g. It tries again until GiveUp: an error of the store does not tell whether the object is there.
func (l *ObjectLog) put(ctx context.Context, key string, g *group) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.o.GiveUp, errGivenUp)
	defer cancel()
	pause, crc := firstPutPause, g.checksum()
	for {
		err := blob.PutSummed(ctx, l.o.Blob, key, g.block.bytes, crc)
		if errors.Is(err, blob.ErrExists) {
			err = l.judge(ctx, key, g)
		}
		if err == nil || errors.Is(err, ErrSealed) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("write %s: %w: %w", key, context.Cause(ctx), err)
		}
		l.metrics.retries.Inc()
		l.o.Logger.Warn("object of the write-ahead log not written yet, trying again", "key", key, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPutPause)
	}
}

var errGivenUp = errors.New("given up")

// judge looks at the object that stands where ours was to be. If it is ours, from a try whose answer was lost, all is well.
func (l *ObjectLog) judge(ctx context.Context, key string, g *group) error {
	h, err := readObjectHeader(ctx, l.o.Blob, key)
	switch {
	case err != nil:
		return fmt.Errorf("look at %s: %w", key, err)
	case h.Flags&flagSeal == 0 && h.Nonce == l.o.Nonce && h.Incarnation == l.o.Incarnation && h.Seq == g.header.Seq && h.CRC == g.header.CRC:
		return nil
	}
	return fmt.Errorf("%w, at %s", ErrSealed, key)
}

// move shifts the positions of a frame.
func (f *Frame) move(by Position) {
	f.Pos += by
	for i := range f.Runs {
		f.Runs[i].Pos += by
	}
}

// bucket holds back what comes more often than rate times a second on average. It saves up for a minute.
type bucket struct {
	rate, tokens float64
	at           time.Time
}

const bucketSeconds = 60

func newBucket(rate float64) bucket { return bucket{rate: rate, tokens: rate * bucketSeconds} }

func (b *bucket) fill(now time.Time) {
	if !b.at.IsZero() {
		b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*b.rate, b.rate*bucketSeconds)
	}
	b.at = now
}

// wait returns how long there is no token.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	b.fill(now)
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration(math.Ceil((1 - b.tokens) / b.rate * float64(time.Second)))
}

// take takes a token. What is full is written without one, and is paid for later.
func (b *bucket) take(now time.Time) {
	if b.rate > 0 {
		b.fill(now)
		b.tokens = max(b.tokens-1, -b.rate*bucketSeconds)
	}
}

// ObjectMetrics are the figures of the ObjectLogs of a broker, one after the other.
type ObjectMetrics struct {
	bytes, objects, retries prometheus.Counter
	recalled                prometheus.Counter
	putSeconds, groupBytes  prometheus.Histogram
}

// NewObjectMetrics makes the metrics and registers them, unless reg is nil.
func NewObjectMetrics(reg prometheus.Registerer) *ObjectMetrics {
	m := &ObjectMetrics{
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_bytes_total",
			Help: "Bytes written to the write-ahead log, with headers, footers and padding.",
		}),
		objects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_frames_total",
			Help: "Frames made durable; each is one write and one sync.",
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_retries_total",
			Help: "Objects of the write-ahead log that had to be written again since the store gave an error.",
		}),
		recalled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_recalled_frames_total",
			Help: "Frames that were read back from the object store to make segments of them, since they had left memory.",
		}),
		putSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_wal_sync_seconds",
			Help: "Time to write and sync one frame.", Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}),
		groupBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_wal_group_bytes",
			Help: "Record batch bytes in one frame.", Buckets: prometheus.ExponentialBuckets(256, 4, 10),
		}),
	}
	if reg != nil {
		reg.MustRegister(m.bytes, m.objects, m.retries, m.recalled, m.putSeconds, m.groupBytes)
	}
	return m
}
