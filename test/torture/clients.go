package torture

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// transactionTimeout is how long a transaction may be open. What its producer does not end, the coordinator does.
const transactionTimeout = 6 * time.Second

// partitions of every topic.
const partitions = 4

// options of clients that come back quickly after a restart of the broker. Old ones speak the protocol of before KIP-890. addr
// may name several brokers, with commas between them.
func options(addr string, old bool, more ...kgo.Opt) []kgo.Opt {
	o := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(addr, ",")...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(time.Second), kgo.RetryTimeout(20 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 30 * time.Millisecond }), kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1),
		kgo.TransactionTimeout(transactionTimeout), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	if old {
		o = append(o, kgo.MaxVersions(kversion.V3_6_0()))
	}
	return append(o, more...)
}

// partitionOf spreads values over partitions.
func partitionOf(value string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(value)) // never fails
	return int32(h.Sum32() % partitions)
}

// feed produces unique values to topic until ctx ends, and waits until the last is acknowledged or given up.
func feed(ctx context.Context, addr, topic, name string, perTick int, h *History) error {
	cl, err := kgo.NewClient(options(addr, false, kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(2000), kgo.RetryTimeout(time.Minute))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	after := context.WithoutCancel(ctx)
	for n := 0; ctx.Err() == nil; {
		for range perTick {
			value := fmt.Sprintf("%s-%d", name, n)
			n++
			cl.Produce(after, &kgo.Record{Partition: partitionOf(value), Value: []byte(value)}, func(_ *kgo.Record, err error) {
				if err == nil {
					h.Acked(value)
				}
			})
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
	limit, cancel := context.WithTimeout(after, time.Minute)
	defer cancel()
	return cl.Flush(limit)
}

// mover takes values from one topic to the next.
type mover struct {
	addr, from, to, group, name string
	old                         bool
	rng                         *rand.Rand
	history                     *History
	made                        int // transactions
}

// run moves until ctx ends. A session that breaks, as when it was fenced, is made anew.
func (m *mover) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := m.session(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *mover) session(ctx context.Context) error {
	s, err := kgo.NewGroupTransactSession(options(m.addr, m.old,
		kgo.TransactionalID(m.name), kgo.ConsumerGroup(m.group), kgo.ConsumeTopics(m.from), kgo.DefaultProduceTopic(m.to),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
	)...)
	if err != nil {
		return err
	}
	defer s.Close()
	for ctx.Err() == nil {
		if err := m.move(ctx, s); err != nil {
			return nil //nolint:nilerr // the session is of no use any more, and the next one finds out what became of its work
		}
	}
	return nil
}

// move moves what one poll brings, in one transaction.
func (m *mover) move(ctx context.Context, s *kgo.GroupTransactSession) error {
	poll, cancel := context.WithTimeout(ctx, time.Second)
	fetches := s.PollRecords(poll, 1+m.rng.IntN(200))
	cancel()
	records := fetches.Records()
	if len(records) == 0 {
		return nil
	}
	if err := s.Begin(); err != nil {
		return err
	}
	m.made++
	txn := fmt.Sprintf("%s-%d", m.name, m.made)
	if m.old {
		txn += "-old"
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			m.history.Took(txn, Place{p.Topic, p.Partition, p.Records[0].Offset}, p.Records[n-1].Offset)
		}
	})
	first := kgo.AbortingFirstErrPromise(s.Client())
	for _, r := range records {
		in, err := Decode(r.Value)
		if err != nil {
			return err
		}
		out := Record{Value: in.Value, Txn: txn, Of: len(records)}
		s.Produce(ctx, &kgo.Record{Partition: partitionOf(in.Value), Value: out.Encode()}, first.Promise())
	}
	// What could not be produced must not be committed: the client leaves that to its user.
	failed := first.Err()
	if failed != nil {
		m.history.Failed(txn, failed)
	}
	wanted := kgo.TransactionEndTry(failed == nil && m.rng.IntN(10) > 0)
	// Whatever was begun is ended, so that the end of the run leaves nothing undecided.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	committed, err := s.End(limit, wanted)
	switch {
	case err != nil:
		m.history.Ended(txn, m.to, len(records), Unknown)
	case committed:
		m.history.Ended(txn, m.to, len(records), Committed)
	default:
		m.history.Ended(txn, m.to, len(records), Aborted)
	}
	return err
}

// watch reads a topic with read_committed from the start, across restarts, until ctx ends.
func watch(ctx context.Context, addr, topic string, h *History) error {
	cl, err := kgo.NewClient(options(addr, false, kgo.ConsumePartitions(everyPartition(topic)))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { h.Live(Place{r.Topic, r.Partition, r.Offset}, string(r.Value)) })
	}
	return nil
}

func everyPartition(topic string) map[string]map[int32]kgo.Offset {
	m := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		m[p] = kgo.NewOffset().AtStart()
	}
	return map[string]map[int32]kgo.Offset{topic: m}
}

// read returns what a reader with read_committed sees of a topic up to its end as of now, control records aside.
func read(ctx context.Context, addr, topic string) (map[Place]string, error) {
	cl, err := kgo.NewClient(options(addr, false, kgo.ConsumePartitions(everyPartition(topic)), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	got := map[Place]string{}
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read %s, with %v to go: %w", topic, left, ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				got[Place{topic, r.Partition, r.Offset}] = string(r.Value)
			}
		})
		// Aborted records are not handed out, so the position says more than the last record.
		for p, o := range cl.UncommittedOffsets()[topic] {
			if o.Offset >= left[p] {
				delete(left, p)
			}
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 && p.Records[n-1].Offset+1 >= left[p.Partition] {
				delete(left, p.Partition)
			}
		})
	}
	return got, nil
}

// hanging returns the partitions with a transaction that has not ended.
func hanging(ctx context.Context, addr string, topics ...string) ([]string, error) {
	cl, err := kgo.NewClient(options(addr, false)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	stable, err := adm.ListCommittedOffsets(ctx, topics...)
	if err = errors.Join(err, stable.Error()); err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, err
	}
	var open []string
	ends.Each(func(o kadm.ListedOffset) {
		if s, ok := stable.Lookup(o.Topic, o.Partition); !ok || s.Offset != o.Offset {
			open = append(open, fmt.Sprintf("%s-%d is stable to %d of %d", o.Topic, o.Partition, s.Offset, o.Offset))
		}
	})
	return open, nil
}

// createTopics creates topics and waits until every partition has a leader.
func createTopics(ctx context.Context, addr string, topics ...string) error {
	cl, err := kgo.NewClient(options(addr, false)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for _, topic := range topics {
		if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	for {
		ends, err := adm.ListEndOffsets(ctx, topics...)
		if err == nil && ends.Error() == nil {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
