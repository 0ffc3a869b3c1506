package weirtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/weirtest"
)

// committedValues are the values that a reader with read_committed sees in a topic, up to the value "end", in the order of
// partitions.
func committedValues(t *testing.T, addr, topic string) []string {
	t.Helper()
	marker := newClient(t, kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := marker.ProduceSync(t.Context(), kgo.StringRecord("end"), &kgo.Record{Partition: 1, Value: []byte("end")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	reader := newClient(t, kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for ends := 0; ends < 2; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) == "end" {
				ends++
				return
			}
			got = append(got, string(r.Value))
		})
	}
	slices.Sort(got)
	return got
}

// transact produces values, one to each partition in turn, in a transaction.
func transact(ctx context.Context, cl *kgo.Client, how kgo.TransactionEndTry, values ...string) error {
	if err := cl.BeginTransaction(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	var records []*kgo.Record
	for i, v := range values {
		records = append(records, &kgo.Record{Partition: int32(i % 2), Value: []byte(v)})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if err := cl.EndTransaction(ctx, how); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

func TestReadersSeeAllOrNothingOfATransaction(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Topic("t", 2))
	cl := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.TransactionalID("x"), kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var want []string
	for i := range 10 {
		how := kgo.TransactionEndTry(i%2 == 0)
		a, b := fmt.Sprintf("%d-a", i), fmt.Sprintf("%d-b", i)
		if err := transact(t.Context(), cl, how, a, b); err != nil {
			t.Fatal(err)
		}
		if how == kgo.TryCommit {
			want = append(want, a, b)
		}
	}
	if got := committedValues(t, server.Addr(), "t"); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestAProducerThatWasReplacedIsFenced(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Topic("t", 2))
	options := []kgo.Opt{kgo.SeedBrokers(server.Addr()), kgo.TransactionalID("x"), kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	zombie, successor := newClient(t, options...), newClient(t, options...)
	if err := zombie.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := zombie.ProduceSync(t.Context(), kgo.StringRecord("of the zombie")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := transact(t.Context(), successor, kgo.TryCommit, "of the successor"); err != nil {
		t.Fatal(err)
	}
	if err := zombie.EndTransaction(t.Context(), kgo.TryCommit); !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("the zombie's commit: %v, want PRODUCER_FENCED", err)
	}
	if got := committedValues(t, server.Addr(), "t"); !slices.Equal(got, []string{"of the successor"}) {
		t.Errorf("read %q", got)
	}
}

// A group's offsets and the records that came of them are committed together.
func TestOffsetsAndRecordsAreCommittedTogether(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Topic("in", 1), weirtest.Topic("out", 2), weirtest.Setting("group.initial.rebalance.delay.ms", "0"))
	producer := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.DefaultProduceTopic("in"))
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("%02d", i))
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord(want[i])).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	moved, round := 0, 0
	for moved < len(want) {
		moved += move(ctx, t, server.Addr(), round%3 != 1)
		round++
	}
	if got := committedValues(t, server.Addr(), "out"); !slices.Equal(got, want) {
		t.Errorf("moved %q, want %q", got, want)
	}
}

// move moves some records from in to out in one transaction of a session of its own, which it aborts if it is told to.
func move(ctx context.Context, t *testing.T, addr string, commit bool) int {
	t.Helper()
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(addr), kgo.TransactionalID("mover"), kgo.ConsumerGroup("movers"), kgo.ConsumeTopics("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DefaultProduceTopic("out"),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	fetches := session.PollRecords(ctx, 17)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	if err := session.Begin(); err != nil {
		t.Fatal(err)
	}
	n := 0
	fetches.EachRecord(func(r *kgo.Record) {
		n++
		session.Produce(ctx, &kgo.Record{Value: r.Value}, func(_ *kgo.Record, err error) {
			if err != nil && (commit || !errors.Is(err, kgo.ErrAborting)) {
				t.Errorf("produce: %v", err)
			}
		})
	})
	committed, err := session.End(ctx, kgo.TransactionEndTry(commit))
	if err != nil || committed != commit {
		t.Errorf("end: committed %t, %v, want %t", committed, err, commit)
	}
	if !commit {
		return 0
	}
	return n
}
