package app_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
)

// asked counts the fetches that brokers answered.
type asked struct {
	mu      sync.Mutex
	fetches map[int32]int
}

func (a *asked) OnBrokerE2E(b kgo.BrokerMetadata, key int16, _ kgo.BrokerE2E) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if key == 1 {
		a.fetches[b.NodeID]++
	}
}

func (a *asked) take() map[int32]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.fetches
	a.fetches = map[int32]int{}
	return was
}

// Consumers that name their rack are served by the broker in it, whoever owns the partitions, and by the owners when it is gone.
func TestConsumersReadWithinTheirRack(t *testing.T) {
	t.Parallel()
	const rackAware, topic, partitions = "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector", "t", 6
	store, objects := meta.NewMem(nil), blob.NewMem()
	one := startJoined(t, store, objects, "broker.rack=a", rackAware)
	two := startJoined(t, store, objects, "broker.rack=b", rackAware)
	one.until(t, "two brokers, all shards at the first", func(s app.ClusterStatus) bool {
		return len(s.Brokers) == 2 && s.Brokers[1].Ready && len(s.Unowned) == 0 && s.Moving == 0 && owned(s, 1) == 6
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := func(o ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(one.Addresses()["kafka"], two.Addresses()["kafka"]), kgo.MetadataMinAge(20 * time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner())}, o...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	producer := client(kgo.TransactionalID("x"))
	if _, err := kadm.NewClient(producer).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	produce := func(from, n int, commit bool) {
		t.Helper()
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := from; i < from+n; i++ {
			v := fmt.Sprint("v", i)
			wanted[v] = commit
			producer.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte(v)}, nil)
		}
		if err := producer.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
	}
	hooks := &asked{fetches: map[int32]int{}}
	at := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		at[p] = kgo.NewOffset().AtStart()
	}
	consumer := client(kgo.Rack("b"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.WithHooks(hooks), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.RecheckPreferredReplicaInterval(time.Second)) // this client asks the owner again only then, though the broker of its rack is gone
	seen := map[string]bool{}
	consume := func(n int) {
		t.Helper()
		for len(seen) < n {
			consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				v := string(r.Value)
				if seen[v] || !wanted[v] {
					t.Errorf("got %s, seen before: %t, committed: %t", v, seen[v], wanted[v])
				}
				seen[v] = true
			})
			if ctx.Err() != nil {
				t.Fatalf("got %d of %d records", len(seen), n)
			}
		}
	}
	produce(0, 60, true)
	produce(60, 30, false)
	produce(90, 60, true)
	consume(120)
	hooks.take()
	produce(150, 60, true) // while the consumer waits
	consume(180)
	// The client asks the owner once a second, which sends it back.
	if n := hooks.take(); n[2] == 0 || n[1] > 2*n[2] {
		t.Errorf("fetches by broker: %v, want most at broker 2", n)
	}
	two.stop()
	two.done <- <-two.done // it serves for a while yet
	produce(210, 60, true)
	consume(240)
	if n := hooks.take(); n[1] == 0 {
		t.Errorf("fetches by broker after the end of broker 2: %v", n)
	}
}
