//go:build clusterchaos && linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-stream/weir/test/fault"
)

// kind is a kind of fault. do does it to one broker, or to more than it, and returns when all is well again as far as this fault goes.
// bites, if it is not nil, counts what proxies of one broker have done of it.
type kind struct {
	name  string
	do    func(c *nodes, b *node)
	bites func(b *node) int64
}

// kinds are all faults.
var kinds = []kind{
	{"kill", (*nodes).kill, nil},
	{"stall", (*nodes).stall, nil},
	{"cut from etcd", func(c *nodes, b *node) { c.link(b, Cut) }, nil},
	{"frozen to etcd", func(c *nodes, b *node) { c.link(b, Frozen) }, nil},
	{"answers of etcd lost", func(c *nodes, b *node) { c.link(b, Mute) }, nil},
	{"cut from S3", func(c *nodes, b *node) { c.gateway(Trouble{Cut: true}, c.between(2, 12), b) }, nil},
	{"frozen to S3", func(c *nodes, b *node) { c.gateway(Trouble{Frozen: true}, c.between(2, 12), b) }, nil},
	{"answers of PUTs lost", func(c *nodes, b *node) { c.gateway(Trouble{Lose: 0.5}, c.between(3, 8), c.some(b)...) }, lost},
	{"PUTs late", func(c *nodes, b *node) { c.gateway(Trouble{Late: 0.3, Lose: 0.1}, c.between(3, 8), c.some(b)...) }, late},
	{"503 storm", func(c *nodes, b *node) {
		c.gateway(Trouble{Refuse: 0.5 + c.rng.Float64()/2}, c.between(3, 8), c.some(b)...)
	}, refused},
	{"S3 slow", func(c *nodes, b *node) {
		c.gateway(Trouble{Delay: 400 * time.Millisecond}, c.between(3, 8), c.some(b)...)
	}, nil},
	{"answers lost again", (*nodes).loseAgain, func(b *node) int64 { return b.s3.Counts.LostAgain.Load() }},
	{"answers of uploads lost", (*nodes).loseUploads, func(b *node) int64 { return b.s3.Counts.LostUploads.Load() }},
	{"bodies of GETs torn", (*nodes).tear, func(b *node) int64 { return b.s3.Counts.Torn.Load() }},
	{"403 for a while", (*nodes).deny, func(b *node) int64 { return b.s3.Counts.Denied.Load() }},
	{"429 storm", (*nodes).throttle, func(b *node) int64 { return b.s3.Counts.Throttled.Load() }},
	{"307 storm", (*nodes).redirect, func(b *node) int64 { return b.s3.Counts.Redirected.Load() }},
	{"stale listings", (*nodes).listStale, func(b *node) int64 { return b.s3.Counts.Hidden.Load() + b.s3.Counts.Ghosts.Load() }},
	{"listings in small pages", (*nodes).listPages, func(b *node) int64 { return b.s3.Counts.Paged.Load() }},
	{"etcd slow", (*nodes).etcdSlow, func(b *node) int64 { return b.gate.Slow.Load() }},
	{"events of etcd late", (*nodes).eventsLate, func(b *node) int64 { return b.gate.Held.Load() }},
	{"outcomes of etcd lost", (*nodes).outcomesLost, func(b *node) int64 { return b.gate.Lost.Load() }},
	{"rolling restart", func(c *nodes, _ *node) { c.roll() }, nil},
	{"duplicate broker", (*nodes).duplicate, nil},
	{"duplicate of a stalled broker", (*nodes).usurp, nil},
	{"etcd away", func(c *nodes, _ *node) { c.etcdAway() }, nil},
	{"S3 away", func(c *nodes, _ *node) { c.s3Away() }, nil},
	{"all killed", func(c *nodes, _ *node) { c.killAll() }, nil},
}

func lost(b *node) int64    { return b.s3.Counts.Lost.Load() }
func late(b *node) int64    { return b.s3.Counts.Late.Load() }
func refused(b *node) int64 { return b.s3.Counts.Refused.Load() }

// between draws a time of from to to seconds.
func (c *nodes) between(from, to float64) time.Duration {
	return time.Duration((from + c.rng.Float64()*(to-from)) * float64(time.Second))
}

// rest waits for d of a fault; the end of a run does not cut it short, for it is bounded.
func (c *nodes) rest(d time.Duration) { _ = pause(context.WithoutCancel(c.t.Context()), d) }

// some returns one broker, or at times all.
func (c *nodes) some(b *node) []*node {
	if c.rng.IntN(3) == 0 {
		return c.all
	}
	return []*node{b}
}

func (c *nodes) kill(b *node) {
	c.note("broker %d is killed", b.id)
	b.broker.Kill()
	c.rest(c.between(0, 8))
	c.restart(b)
}

func (c *nodes) killAll() {
	c.note("all brokers are killed")
	for _, b := range c.all {
		b.broker.Kill()
	}
	c.rest(c.between(0, 3))
	for _, b := range c.all {
		c.restart(b)
	}
}

func (c *nodes) stall(b *node) {
	d := lease + c.between(0.5, 6)
	c.note("broker %d stands still for %v", b.id, d)
	c.stop(b, true)
	c.rest(d)
	c.stop(b, false)
	c.note("broker %d goes on", b.id)
}

func (c *nodes) link(b *node, s State) {
	d := c.between(2, 12)
	c.note("broker %d to etcd: %s for %v", b.id, map[State]string{Cut: "cut", Frozen: "frozen", Mute: "mute"}[s], d)
	b.etcd.Set(s)
	c.rest(d)
	b.etcd.Set(Open)
	c.note("broker %d reaches etcd", b.id)
}

func (c *nodes) gateway(t Trouble, d time.Duration, who ...*node) {
	for _, b := range who {
		c.note("broker %d to S3: %+v for %v", b.id, t, d)
		b.s3.Set(t)
	}
	c.rest(d)
	for _, b := range who {
		b.s3.Set(Trouble{})
		n := &b.s3.Counts
		c.note("broker %d reaches S3; so far %d refused, %d answers lost, %d late", b.id, n.Refused.Load(), n.Lost.Load(), n.Late.Load())
	}
}

// roll stops and starts the brokers one after the other.
func (c *nodes) roll() {
	for _, b := range c.all {
		c.cycle(b)
	}
}

// cycle ends a broker by SIGTERM and starts it again.
func (c *nodes) cycle(b *node) {
	took, err := b.broker.Stop(stopLimit)
	if err != nil {
		c.t.Errorf("broker %d: %v", b.id, err)
	}
	c.note("broker %d has ended %v after SIGTERM", b.id, took)
	c.restart(b)
}

// second starts another process with a broker's id.
func (c *nodes) second(b *node) (*fault.Broker, error) {
	double := *b
	double.addr = c.freeAddress()
	name := fmt.Sprintf("broker-%d-double-%d", b.id, len(c.log))
	return fault.Start(context.WithoutCancel(c.t.Context()), os.Getenv("TEST_BINARY"), filepath.Join(c.dir, name), double.addr, c.arguments(&double)...)
}

// duplicate starts a second process with a broker's id. It must find that the id is taken, and end.
func (c *nodes) duplicate(b *node) {
	c.note("a second broker %d is started", b.id)
	double, err := c.second(b)
	if err == nil {
		c.t.Errorf("a second broker %d came up beside the first", b.id)
		double.Kill()
		return
	}
	c.note("the second broker %d has ended", b.id)
}

// usurp starts a second process with the id of a broker that stands still. It must get the id, and the first must end when it wakes up.
func (c *nodes) usurp(b *node) {
	c.note("broker %d stands still, and a second is started", b.id)
	c.stop(b, true)
	double, err := c.second(b)
	if err != nil {
		c.t.Errorf("a second broker %d did not come up after the lease of the first had ended: %v", b.id, err)
	}
	c.note("the second broker %d is up", b.id)
	c.rest(c.between(0, 3))
	c.stop(b, false)
	c.note("the first broker %d goes on", b.id)
	if err == nil {
		select {
		case <-b.broker.Exited():
			c.note("the first broker %d has ended", b.id)
		case <-time.After(3 * lease):
			c.t.Errorf("the first broker %d still runs %v after it woke up beside another with its id", b.id, 3*lease)
		}
		double.Kill()
	}
	b.broker.Kill()
	c.restart(b)
}

// awayTime is for how long etcd is away, less in a short run.
func (c *nodes) awayTime() time.Duration { return min(30*time.Second, c.length/4) }

func (c *nodes) etcdAway() {
	if d := c.awayTime(); c.rng.IntN(2) == 0 {
		c.note("etcd stands still for %v", d)
		c.etcd.Stop()
		c.rest(d)
		c.etcd.Continue()
	} else {
		c.note("etcd is killed for %v", d)
		c.etcd.Kill()
		c.rest(d)
		c.etcd.Restart()
	}
	c.note("etcd is back")
}

func (c *nodes) s3Away() {
	d := c.between(1, 8)
	c.note("the S3 server is killed for %v", d)
	c.s3.Kill()
	c.rest(d)
	c.s3.Restart()
	c.note("the S3 server is back")
}
