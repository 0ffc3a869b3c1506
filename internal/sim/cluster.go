package sim

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/weir-stream/weir/internal/broker/placement"
)

// Model is how long things take. Spans are drawn evenly from [Least, Most).
type Model struct {
	Lease         time.Duration // of a broker and of the controller; renewed each third of it
	LeaseCheck    time.Duration // how late the metadata store may notice the end of a lease
	Election      time.Duration // from the end of the controller's lease to its successor's first decision
	Txn           time.Duration // a metadata transaction
	ShardsPerTxn  int
	Seal          [2]time.Duration // finding the first gap of a dead incarnation and sealing it, once
	TakeOver      [2]time.Duration // manifest, checkpoint and footers of one shard
	TakeOvers     int              // that a broker does at once
	Move          time.Duration    // a planned hand-off, as long as nobody serves the shard
	DecideEvery   time.Duration    // the controller's tick
	ReportEvery   time.Duration    // loads
	ReportedFresh float64          // weight of the newest minute in a reported load
}

// defaultModel has the times that the design promises for a store like S3 and a metadata store of three members.
func defaultModel() Model {
	return Model{
		Lease: 5 * time.Second, LeaseCheck: 500 * time.Millisecond, Election: 200 * time.Millisecond, Txn: 10 * time.Millisecond, ShardsPerTxn: 100,
		Seal: [2]time.Duration{100 * time.Millisecond, 300 * time.Millisecond}, TakeOver: [2]time.Duration{200 * time.Millisecond, 500 * time.Millisecond}, TakeOvers: 32,
		Move: 500 * time.Millisecond, DecideEvery: 10 * time.Second, ReportEvery: time.Minute, ReportedFresh: 0.4,
	}
}

type broker struct {
	placement.Broker

	alive bool // runs
	known bool // has a lease, as the metadata store sees it
	life  int
	// slots are when each of its parallel take-overs is free again.
	slots []time.Duration
}

type shard struct {
	owner   int32
	life    int // of the owner: another one has no claim
	from    int32
	serving bool
	moving  bool // from a living broker
	movedAt time.Time
	task    int // of the last assignment: a later one voids what is under way

	gapFrom time.Duration
	cause   cause
}

// cause is why a shard is not served.
type cause uint8

const (
	byMove cause = iota
	byDeath
	byRack
	causes
)

// cluster is the model's state.
type cluster struct {
	c       Config
	m       Model
	r       *rand.Rand
	now     time.Duration
	queue   queue
	brokers []*broker // by id, from 1 on
	shards  []shard
	work    *workload
	report  *Report

	controller int32 // 0: being elected
	tasks      int
	rolling    []int32 // brokers that are still to be restarted, the first one being in it
	soon       bool    // a decision is on its way
}

// epoch is time 0 of simulations.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *cluster) between(span [2]time.Duration) time.Duration {
	return span[0] + time.Duration(c.r.Int64N(int64(span[1]-span[0])))
}

// event is something that happens at a time; seq keeps the order of those at the same time.
type event struct {
	at  time.Duration
	seq int
	do  func()
}

type queue struct {
	events []event
	seq    int
}

func (q *queue) Len() int { return len(q.events) }
func (q *queue) Less(i, j int) bool {
	a, b := q.events[i], q.events[j]
	return a.at < b.at || (a.at == b.at && a.seq < b.seq)
}
func (q *queue) Swap(i, j int) { q.events[i], q.events[j] = q.events[j], q.events[i] }
func (q *queue) Push(x any)    { q.events = append(q.events, x.(event)) }
func (q *queue) Pop() any {
	last := q.events[len(q.events)-1]
	q.events = q.events[:len(q.events)-1]
	return last
}

// in does something after a while.
func (c *cluster) in(d time.Duration, do func()) {
	c.queue.seq++
	heap.Push(&c.queue, event{c.now + d, c.queue.seq, do})
}

// every does something again and again.
func (c *cluster) every(d time.Duration, do func()) {
	c.in(d, func() { do(); c.every(d, do) })
}

// run works until a time.
func (c *cluster) run(until time.Duration) {
	for c.queue.Len() > 0 && c.queue.events[0].at <= until {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
	c.now = until
}

// join starts a broker, or starts it again.
func (c *cluster) join(b *broker) {
	b.alive, b.known, b.Draining = true, true, false
	b.life++
	b.Joined = epoch.Add(c.now)
	b.slots = make([]time.Duration, c.m.TakeOvers)
	if c.controller == 0 {
		c.elect()
	}
}

// kill ends a broker without warning; the store notices when its lease ends.
func (c *cluster) kill(b *broker, why cause) {
	if !b.alive {
		return
	}
	b.alive = false
	if len(c.rolling) > 0 && c.rolling[0] == b.ID {
		c.in(0, c.roll)
	}
	for i := range c.shards {
		if s := &c.shards[i]; s.owner == b.ID && s.serving {
			s.serving, s.gapFrom, s.cause = false, c.now, why
		}
	}
	life := b.life
	left := c.m.Lease - time.Duration(c.r.Int64N(int64(c.m.Lease/3))) + time.Duration(c.r.Int64N(int64(c.m.LeaseCheck)))
	c.in(left, func() {
		if b.life != life {
			return // it is back already
		}
		b.known = false
		if c.controller == b.ID {
			c.controller = 0
			c.in(c.m.Election, c.elect)
			return
		}
		c.decide(false)
	})
}

// leave ends a drained broker in order: its lease is given back.
func (c *cluster) leave(b *broker) {
	b.alive, b.known, b.Draining = false, false, false
	if c.controller == b.ID {
		c.controller = 0
		c.in(c.m.Txn, c.elect)
	}
}

func (c *cluster) elect() {
	for _, b := range c.brokers {
		if c.controller == 0 && b.alive {
			c.controller = b.ID
		}
	}
	c.decide(false)
}
