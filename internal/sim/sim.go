package sim

import (
	"math/rand/v2"
	"time"

	"github.com/weir-stream/weir/internal/broker/placement"
)

// Config says what is simulated. Defaults are in Standard.
type Config struct {
	Seed                               uint64
	Brokers, Racks, Shards, Partitions int
	BytesPerSecond                     float64
	Duration                           time.Duration

	Model     Model
	Placement placement.Settings

	DeathEvery    time.Duration // a broker is killed, and back two to eight minutes later
	BurstEvery    time.Duration // a topic becomes busy
	RackLost      time.Duration // when a rack is lost, for fifteen minutes
	JoinAt        time.Duration // when a tenth more brokers join, at once
	DrainAt       time.Duration // when as many are drained and go
	RollAt        time.Duration // when all brokers are restarted, one after the other
	RestartTakes  time.Duration
	OnlyBalancing bool // no deaths: what balancing does alone
}

// Standard is the cluster of the docs for some hours: 100 brokers in three racks, 2,048 shards, 200,000 partitions, 1 GB/s.
func Standard(seed uint64, duration time.Duration) Config {
	return Config{
		Seed: seed, Brokers: 100, Racks: 3, Shards: 2048, Partitions: 200_000, BytesPerSecond: 1e9, Duration: duration,
		Model: defaultModel(), DeathEvery: 10 * time.Minute, BurstEvery: 10 * time.Minute, RestartTakes: 15 * time.Second,
		RackLost: duration / 10, JoinAt: duration / 4, DrainAt: duration * 2 / 5, RollAt: duration / 2,
	}
}

// Run simulates a cluster.
func Run(c Config) *Report {
	r := rand.New(rand.NewPCG(c.Seed, 0))
	s := &cluster{c: c, m: c.Model, r: r, shards: make([]shard, c.Shards), report: &Report{Config: c}, controller: 1}
	s.work = newWorkload(r, c.Shards, c.Partitions, c.BytesPerSecond)
	s.start()
	s.every(s.m.DecideEvery, func() { s.drained(); s.decide(true) })
	s.every(s.m.ReportEvery, func() { s.work.step(s.now, s.m.ReportedFresh) })
	s.every(c.BurstEvery, func() { s.work.startBurst(s.now) })
	if !c.OnlyBalancing {
		s.every(c.DeathEvery, s.killOne)
		s.in(c.RackLost, s.loseRack)
	}
	s.in(c.JoinAt, func() {
		for range c.Brokers / 10 {
			s.join(s.add())
		}
	})
	s.in(c.DrainAt, func() {
		for _, b := range s.brokers[:c.Brokers/10] {
			b.Draining = b.alive
		}
	})
	s.in(c.RollAt, func() {
		s.rolling = []int32{0}
		for _, b := range s.brokers {
			s.rolling = append(s.rolling, b.ID)
		}
		s.roll()
	})
	s.run(c.Duration)
	s.report.finish(s)
	return s.report
}

// start brings up the cluster in one step; what that takes is not measured.
func (c *cluster) start() {
	var first placement.Snapshot
	for range c.c.Brokers {
		b := c.add()
		b.alive, b.known, b.slots = true, true, make([]time.Duration, c.m.TakeOvers)
		first.Brokers = append(first.Brokers, b.Broker)
	}
	first.Now = epoch
	for i := range c.shards {
		first.Shards = append(first.Shards, placement.Shard{ID: int32(i), Owner: placement.None, Load: c.work.measured[i]})
	}
	for _, m := range placement.Assign(first, c.c.Placement) {
		c.shards[m.Shard].owner, c.shards[m.Shard].serving = m.To, true
	}
}

// add makes a broker that does not run yet, in the racks in turn.
func (c *cluster) add() *broker {
	n := len(c.brokers)
	b := &broker{Broker: placement.Broker{ID: int32(n + 1), Rack: string(rune('a' + n%c.c.Racks))}}
	c.brokers = append(c.brokers, b)
	return b
}

// back starts a dead broker again after some minutes.
func (c *cluster) back(b *broker, after time.Duration) {
	life := b.life
	c.in(after, func() {
		if !b.alive && b.life == life {
			c.join(b)
		}
	})
}

func (c *cluster) killOne() {
	b := c.brokers[c.r.IntN(len(c.brokers))]
	if b.alive && !b.Draining {
		c.kill(b, byDeath)
		c.back(b, c.between([2]time.Duration{2 * time.Minute, 8 * time.Minute}))
	}
}

func (c *cluster) loseRack() {
	for _, b := range c.brokers {
		if b.Rack == "b" && b.alive {
			c.kill(b, byRack)
			c.back(b, 15*time.Minute+time.Duration(c.r.Int64N(int64(2*time.Minute))))
		}
	}
}
