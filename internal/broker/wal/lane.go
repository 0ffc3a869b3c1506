package wal

import (
	"slices"
	"time"
)

// lanes is how many frames may be written and synced at the same time: while one waits for the device, the next is on its way.
const lanes = 2

// markDelay is how long the last frame stays without a later one that vouches for it. Until then damage to it looks like a torn tail.
const markDelay = time.Second

// startable reports whether a lane should take a group now. With nothing in flight whatever is there goes out at once; behind
// one frame in flight only a group that is as good as full.
func (l *Log) startable() bool {
	if l.building || l.writing == lanes || l.state == stateNew || l.state == stateEnded {
		return false
	}
	if l.writing > 0 {
		return len(l.pending) > 0 || l.open.body >= int64(l.o.GroupBytes-l.o.GroupBytes/8)
	}
	return len(l.pending) > 0 || !l.open.empty() || l.markDue || l.closable()
}

// closable reports whether all is written that there will be, but for the frame that says so.
func (l *Log) closable() bool {
	return l.state == stateDraining && !l.closing && l.seq > 0 && len(l.inflight) == 0 && len(l.pending) == 0 && l.open.empty()
}

// drained reports whether a lane has nothing left to do, ever.
func (l *Log) drained() bool {
	return l.state == stateEnded ||
		l.state == stateDraining && len(l.pending) == 0 && l.open.empty() && len(l.inflight) == 0 && !l.closable()
}

// lane takes groups, writes and completes them until the log has ended.
func (l *Log) lane() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.drained() {
		if !l.startable() {
			l.work.Wait()
			continue
		}
		g := l.take()
		if g == nil {
			continue
		}
		g.block = l.ring.take(maxFrameBytes(g.body, g.footer))
		l.mu.Unlock()
		g.build()
		l.mu.Lock()
		l.built(g)
		f := l.fileAt(g.frame.Pos)
		l.mu.Unlock()
		err := l.write(f, g)
		l.mu.Lock()
		if l.state == stateEnded {
			return
		}
		l.writing--
		if err != nil {
			l.mu.Unlock()
			l.fail(err) //nolint:errcheck // Run returns it
			l.mu.Lock()
			return
		}
		g.written = true
		l.wake()
		l.complete()
	}
	l.work.Broadcast()
}

// take makes the oldest group the next frame and gives it its place. It returns nil if it was to be a frame without content
// and there is no room for one. markDue is set only while nothing is in flight, so the header of a mark vouches for all frames before it.
func (l *Log) take() *group {
	l.markDue = false // any frame vouches for those before it
	var flags uint16
	if len(l.pending) == 0 {
		if l.open.empty() {
			flags = flagMark
			if l.closable() {
				flags, l.closing = flagClose, true
			}
			size := maxFrameBytes(0, 0)
			if l.fit(l.reserved, size)+Position(size) > l.prepared {
				return nil
			}
		}
		l.closeOpen()
	}
	g := l.pending[0]
	l.pending = slices.Delete(l.pending, 0, 1)
	l.inflight = append(l.inflight, g)
	l.building = true
	l.writing++
	l.unproven = l.unproven || flags == 0
	g.flags = flags
	g.header = frameHeader{
		Flags: flags, Cluster: l.o.ClusterID, Incarnation: l.o.Incarnation, Seq: l.seq, Nonce: l.o.Nonce,
		Pos: l.fit(l.place, maxFrameBytes(g.body, g.footer)), LastSynced: l.durable, PrevChain: l.chain,
	}
	l.seq++
	return g
}

// built notes where the frame of g ends and lets the next one be laid out.
func (l *Log) built(g *group) {
	l.building = false
	l.place, l.chain = g.frame.End(), g.header.CRC
	// What was reserved for g at its largest has become what it takes. A frame that is smaller than its reservation never
	// makes a later one end further on, so what was promised to the pending groups still holds.
	l.reserved = l.place
	for _, p := range l.pending {
		size := maxFrameBytes(p.body, p.footer)
		l.reserved = l.fit(l.reserved, size) + Position(size)
	}
	l.wake()
}

func (l *Log) write(f *file, g *group) error {
	begin := time.Now()
	if _, err := f.f.WriteDirectAt(g.block.bytes, int64(g.frame.Pos-f.base)); err != nil {
		return err
	}
	if err := f.f.SyncData(); err != nil {
		return err
	}
	l.metrics.syncSeconds.Observe(time.Since(begin).Seconds())
	l.metrics.frames.Inc()
	l.metrics.bytes.Add(float64(g.frame.Bytes))
	if g.flags == 0 {
		l.metrics.groupBytes.Observe(float64(g.body))
	}
	return nil
}

// complete finishes the frames that are written and have only finished ones before them. One lane at a time is at it.
func (l *Log) complete() {
	if l.completing {
		return
	}
	l.completing = true
	for len(l.inflight) > 0 && l.inflight[0].written {
		g := l.inflight[0]
		l.durable = g.frame.End()
		l.ring.add(g.block)
		l.mu.Unlock()
		if l.o.OnDurable != nil && !g.empty() {
			l.o.OnDurable(&g.frame)
		}
		g.commit.finish(nil)
		l.mu.Lock()
		if l.state == stateEnded {
			break
		}
		l.inflight = slices.Delete(l.inflight, 0, 1)
		l.queuedBytes -= g.body
		if g.flags != 0 && len(l.inflight) == 0 {
			l.unproven = false
		}
		l.recycle(g)
		l.admit()
	}
	l.completing = false
	l.armMark()
	if l.state == stateDraining {
		l.work.Broadcast()
	}
}

// maxFreeGroups bounds the groups kept for reuse: those in use when the disk keeps up.
const maxFreeGroups = lanes + 2

// maxKeptBytes bounds the buffers that a group keeps for its next use.
const maxKeptBytes = 4 << 20

func (l *Log) recycle(g *group) {
	if len(l.free) < maxFreeGroups && cap(g.tail) <= maxKeptBytes {
		g.release()
		l.free = append(l.free, g)
	}
}

// armMark sets the timer that has a mark written when the log has been idle for a while.
func (l *Log) armMark() {
	if l.markArmed || !l.unproven || len(l.inflight) > 0 || l.state != stateRunning {
		return
	}
	l.markArmed, l.markSeq = true, l.seq
	if l.markTimer == nil {
		l.markTimer = time.AfterFunc(markDelay, l.markFired)
		return
	}
	l.markTimer.Reset(markDelay)
}

func (l *Log) markFired() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.markArmed = false
	if l.seq != l.markSeq {
		l.armMark()
		return
	}
	l.markDue = l.unproven && len(l.inflight) == 0 && l.state == stateRunning
	l.wake()
}
