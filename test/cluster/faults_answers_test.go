//go:build clusterchaos && linux

package cluster

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Faults of answers that come, and are not what was hoped for.

// biteMax is how much longer than it was to last a trouble waits for something that it can do.
const biteMax = 15 * time.Second

// troubled makes trouble for some brokers for d, and until something of it was done, with one more thing on top.
func (c *nodes) troubled(t Trouble, d time.Duration, who []*node, bites func(*node) int64, more func()) {
	before, end := int64(0), time.Now().Add(d)
	for _, b := range who {
		before += bites(b)
		c.note("broker %d to S3: %+v", b.id, t)
		b.s3.Set(t)
	}
	if more != nil {
		more()
	}
	c.rest(time.Until(end))
	for {
		now := int64(0)
		for _, b := range who {
			now += bites(b)
		}
		if now > before || time.Since(end) > biteMax {
			break
		}
		c.rest(100 * time.Millisecond)
	}
	for _, b := range who {
		b.s3.Set(Trouble{})
	}
	c.note("no more trouble with S3")
}

func (c *nodes) loseAgain(b *node) {
	t := Trouble{Lose: 0.3 + c.rng.Float64()/3, Again: 1 + c.rng.IntN(3)}
	c.troubled(t, c.between(4, 9), c.some(b), func(b *node) int64 { return b.s3.Counts.LostAgain.Load() }, nil)
}

func (c *nodes) tear(b *node) {
	torn := func(b *node) int64 { return b.s3.Counts.Torn.Load() }
	c.troubled(Trouble{Tear: 0.2 + c.rng.Float64()/2}, c.between(4, 9), c.all, torn, func() { c.kill(b) })
}

// denials are the codes with which S3 refuses keys that are not valid any more, or not yet.
var denials = []string{"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"}

func (c *nodes) deny(b *node) {
	t := Trouble{Deny: denials[c.rng.IntN(len(denials))]}
	c.troubled(t, c.between(3, min(45, c.length.Seconds()/4)), c.some(b), func(b *node) int64 { return b.s3.Counts.Denied.Load() }, nil)
}

func (c *nodes) throttle(b *node) {
	t := Trouble{Throttle: 0.3 + c.rng.Float64()/2}
	c.troubled(t, c.between(4, 9), c.some(b), func(b *node) int64 { return b.s3.Counts.Throttled.Load() }, nil)
}

func (c *nodes) redirect(b *node) {
	t := Trouble{Redirect: 0.3 + c.rng.Float64()/2}
	c.troubled(t, c.between(4, 9), c.some(b), func(b *node) int64 { return b.s3.Counts.Redirected.Load() }, nil)
}

// listStale has a broker killed while listings are old: others must find where its log ends, and delete nothing that lives. Brokers that
// start would find out that listings are old, and refuse the bucket, so it starts when that is over.
func (c *nodes) listStale(b *node) {
	stale := func(b *node) int64 { return b.s3.Counts.Hidden.Load() + b.s3.Counts.Ghosts.Load() }
	c.troubled(Trouble{Stale: c.between(3, 15)}, c.between(6, 12), c.all, stale, func() {
		c.note("broker %d is killed", b.id)
		b.broker.Kill()
	})
	c.restart(b)
}

func (c *nodes) listPages(b *node) {
	paged := func(b *node) int64 { return b.s3.Counts.Paged.Load() }
	c.troubled(Trouble{Page: 1 + c.rng.IntN(3)}, c.between(4, 9), c.all, paged, func() { c.kill(b) })
}

const (
	ballastTopic = "ballast"
	ballastBytes = 40 << 20 // more than goes into one request
	ballastTries = 3
)

// loseUploads writes so much at once that a segment of it is uploaded in parts, and loses the answers to them.
func (c *nodes) loseUploads(_ *node) {
	uploads := func(b *node) int64 { return b.s3.Counts.LostUploads.Load() }
	before := c.sum(uploads)
	for range ballastTries {
		if err := c.ballast(ballastBytes); err != nil {
			c.note("ballast: %v", err)
		}
		// A checkpoint cuts it, within some seconds.
		c.troubled(Trouble{LoseUploads: 0.8, Again: 1 + c.rng.IntN(2)}, c.between(6, 9), c.all, uploads, nil)
		if c.sum(uploads) > before {
			return
		}
	}
}

// sum is a count of all brokers.
func (c *nodes) sum(of func(*node) int64) (n int64) {
	for _, b := range c.all {
		n += of(b)
	}
	return n
}

// ballast writes n bytes that cannot be compressed into one partition.
func (c *nodes) ballast(n int) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1<<20))
	if err != nil {
		return err
	}
	defer cl.Close()
	soon := "1"
	if _, err := kadm.NewClient(cl).CreateTopics(ctx, 1, 1, map[string]*string{"retention.bytes": &soon}, ballastTopic); err != nil {
		return err
	}
	value := make([]byte, 512<<10)
	var records []*kgo.Record
	for range n / len(value) {
		_, _ = rand.Read(value) // never fails
		records = append(records, &kgo.Record{Topic: ballastTopic, Value: slices.Clone(value)})
	}
	return cl.ProduceSync(ctx, records...).FirstErr()
}

// passGate has the brokers reach etcd by their gates, which do what s says, while more runs.
func (c *nodes) passGate(s Slowness, who []*node, more func()) {
	etcd := map[*node]string{}
	for _, b := range who {
		c.note("broker %d to etcd: %+v", b.id, s)
		etcd[b] = b.etcd.Target()
		b.gate.Set(s)
		b.etcd.To(b.gate.Address())
	}
	more()
	for _, b := range who {
		b.gate.Set(Slowness{})
		b.etcd.To(etcd[b])
	}
	c.note("no more trouble with etcd")
}

func (c *nodes) etcdSlow(b *node) {
	c.passGate(Slowness{From: 300 * time.Millisecond, To: 2 * time.Second}, c.some(b), func() { c.rest(c.between(5, 12)) })
}

// eventsLate has ownership change while nobody hears of it in time.
func (c *nodes) eventsLate(b *node) {
	c.passGate(Slowness{Events: c.between(0.5, 3)}, c.all, func() {
		c.rest(c.between(0, 2))
		if c.rng.IntN(2) == 0 {
			c.kill(b)
		} else {
			c.cycle(b)
		}
		c.rest(c.between(1, 4))
	})
}

func (c *nodes) outcomesLost(b *node) {
	c.passGate(Slowness{Lose: 0.1 + c.rng.Float64()/2}, c.some(b), func() { c.rest(c.between(5, 10)) })
}
