package sim

import (
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/placement"
)

// decide asks placement and begins the moves. Only a tick begins moves for balance.
func (c *cluster) decide(tick bool) {
	if c.controller == 0 || !c.brokers[c.controller-1].alive {
		return // it is dead, and nobody knows yet
	}
	s := placement.Snapshot{Now: epoch.Add(c.now), Shards: make([]placement.Shard, len(c.shards))}
	for _, b := range c.brokers {
		if b.known {
			s.Brokers = append(s.Brokers, b.Broker)
		}
	}
	for i := range c.shards {
		sh := &c.shards[i]
		s.Shards[i] = placement.Shard{ID: int32(i), Owner: sh.owner, Moving: sh.moving, MovedAt: sh.movedAt, Load: c.work.measured[i]}
		if c.brokers[sh.owner-1].life != sh.life {
			s.Shards[i].Owner = placement.None
		}
	}
	began := time.Now()
	d := placement.Decide(s, c.c.Placement)
	c.report.Decisions++
	c.report.deciding = append(c.report.deciding, time.Since(began))
	if tick {
		c.report.note(d)
	}
	urgent, sealed := 0, map[int32]time.Duration{}
	for _, m := range d.Moves {
		switch {
		case m.Urgent():
			c.takeOver(m, time.Duration(1+urgent/c.m.ShardsPerTxn)*c.m.Txn, sealed)
			urgent++
		case m.Kind == placement.Drain || tick:
			c.handOver(m)
		}
	}
	c.report.Txns += (urgent + c.m.ShardsPerTxn - 1) / c.m.ShardsPerTxn
}

// takeOver gives an orphan a new owner after the transaction that says so. sealed holds when the incarnations of
// this decision's dead owners are sealed.
func (c *cluster) takeOver(m placement.Move, txn time.Duration, sealed map[int32]time.Duration) {
	to := c.brokers[m.To-1]
	if _, ok := sealed[m.From]; !ok {
		sealed[m.From] = c.now + txn + c.between(c.m.Seal)
	}
	begin := sealed[m.From]
	slot := 0
	for i := range to.slots {
		if to.slots[i] < to.slots[slot] {
			slot = i
		}
	}
	end := max(begin, to.slots[slot]) + c.between(c.m.TakeOver)
	to.slots[slot] = end
	c.report.Moves[placement.Orphan]++
	c.begin(m.Shard, m.To, end-c.now)
}

// handOver moves a shard from a living broker to another.
func (c *cluster) handOver(m placement.Move) {
	sh := &c.shards[m.Shard]
	if !sh.serving {
		return // its owner has died, and the lease has not ended yet
	}
	sh.serving, sh.gapFrom, sh.cause = false, c.now, byMove
	sh.moving, sh.from = true, sh.owner
	c.report.Moves[m.Kind]++
	c.report.Txns++
	c.begin(m.Shard, m.To, c.m.Move)
}

// begin lets a shard be served by an owner after a while, unless that dies first or another one is named.
func (c *cluster) begin(id, to int32, after time.Duration) {
	sh := &c.shards[id]
	c.tasks++
	task, life := c.tasks, c.brokers[to-1].life
	sh.owner, sh.life, sh.task, sh.movedAt = to, life, task, epoch.Add(c.now)
	c.in(after, func() {
		if sh.task != task {
			return
		}
		sh.moving = false
		b := c.brokers[to-1]
		if !b.alive || b.life != life {
			return // an orphan, once the lease has ended
		}
		sh.serving = true
		c.report.gap(c.now, sh, c.work.partitions[id])
		c.afterMove()
	})
}

// afterMove goes on with drains as soon as there is room for them.
func (c *cluster) afterMove() {
	if c.soon || !slices.ContainsFunc(c.brokers, func(b *broker) bool { return b.Draining }) {
		return
	}
	c.soon = true
	c.in(c.m.Txn, func() { c.soon = false; c.drained(); c.decide(false) })
}

// drained lets brokers go that are empty.
func (c *cluster) drained() {
	has := make([]bool, len(c.brokers)+1)
	for i := range c.shards {
		has[c.shards[i].owner] = true
		if c.shards[i].moving {
			has[c.shards[i].from] = true
		}
	}
	for _, b := range c.brokers {
		if !b.alive || !b.Draining || has[b.ID] {
			continue
		}
		c.leave(b)
		if len(c.rolling) > 0 && c.rolling[0] == b.ID {
			c.in(c.c.RestartTakes, func() { c.join(b); c.roll() })
		}
	}
}

// roll goes on with a rolling restart: the next broker drains.
func (c *cluster) roll() {
	for c.rolling = c.rolling[1:]; len(c.rolling) > 0; c.rolling = c.rolling[1:] {
		if b := c.brokers[c.rolling[0]-1]; b.alive {
			b.Draining = true
			c.decide(false)
			return
		}
	}
}
