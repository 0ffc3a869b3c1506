//go:build clusterchaos && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// pulse produces a record to each partition of a topic every 20 ms, and notes when they are acknowledged.
type pulse struct {
	t      *testing.T
	client *kgo.Client
	topic  string
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	acks   [][]time.Time // by partition
	sent   int
	failed []error
}

// eager are options of a client that looks at once where a partition has gone, so that it is the cluster that is measured.
func eager() []kgo.Opt {
	return []kgo.Opt{
		kgo.MetadataMinAge(20 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.DialTimeout(time.Second),
	}
}

// beat begins a pulse in a new topic. It ends with the test, or by end.
func (c *nodes) beat(topic string, partitions int32, opts ...kgo.Opt) *pulse {
	c.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(c.bootstrap(), ",")...), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	if err := makeTopic(c.t.Context(), kadm.NewClient(cl), topic, partitions); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	p := &pulse{t: c.t, client: cl, topic: topic, stop: cancel, acks: make([][]time.Time, partitions)}
	p.wg.Go(func() {
		for n := 0; pause(ctx, 20*time.Millisecond) == nil; n++ {
			for i := range partitions {
				p.produce(&kgo.Record{Partition: i, Value: fmt.Appendf(nil, "%d-%d", i, n)})
			}
		}
	})
	c.t.Cleanup(func() {
		cancel()
		p.wg.Wait()
	})
	return p
}

func (p *pulse) produce(r *kgo.Record) {
	p.mu.Lock()
	p.sent++
	p.mu.Unlock()
	p.client.Produce(context.WithoutCancel(p.t.Context()), r, func(r *kgo.Record, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.failed = append(p.failed, err)
			return
		}
		p.acks[r.Partition] = append(p.acks[r.Partition], time.Now())
	})
}

// end ends the pulse, and returns how many records were sent and the errors of those that failed.
func (p *pulse) end() (sent int, failed []error) {
	p.stop()
	p.wg.Wait()
	limit, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := p.client.Flush(limit); err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.failed
}

// gap returns the longest time between two acknowledgements of one of the partitions that ended after since, and of which.
func (p *pulse) gap(since time.Time, partitions []int32) (longest time.Duration, of int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range partitions {
		before, now := since, time.Now()
		for _, at := range append(slices.Clone(p.acks[i]), now) {
			if at.After(since) && at.Sub(before) > longest {
				longest, of = at.Sub(before), i
			}
			before = at
		}
	}
	return longest, of
}

// flowing waits until every partition has had an acknowledgement after since.
func (p *pulse) flowing(since time.Time, limit time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	for {
		p.mu.Lock()
		silent := slices.IndexFunc(p.acks, func(a []time.Time) bool { return len(a) == 0 || a[len(a)-1].Before(since) })
		p.mu.Unlock()
		if silent < 0 {
			return
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			p.t.Fatalf("partition %d of %s is silent for %v", silent, p.topic, limit)
		}
	}
}

// led returns the partitions of the topic that a broker leads.
func (p *pulse) led(by int) []int32 {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	for {
		topics, err := kadm.NewClient(p.client).ListTopics(ctx, p.topic)
		if err = errors.Join(err, topics.Error()); err == nil {
			var mine []int32
			for _, x := range topics[p.topic].Partitions.Sorted() {
				if x.Leader == int32(by) {
					mine = append(mine, x.Partition)
				}
			}
			return mine
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			p.t.Fatal(err)
		}
	}
}

// makeTopic makes a topic and waits until each partition has a leader.
func makeTopic(ctx context.Context, adm *kadm.Client, topic string, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	for {
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err = errors.Join(err, ends.Error()); err == nil && len(ends[topic]) == int(partitions) {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}
