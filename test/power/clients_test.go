package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Topics: of transactions, of plain producers, of versions of keys, which is compacted.
const (
	transactional = "transactional"
	plain         = "plain"
	compacted     = "compacted"
	partitions    = 3
)

// ballast makes small work fill segments, so that there is something to compact.
var ballast = strings.Repeat("-", 3000)

// longID gives records of __transaction_state some weight.
func longID(worker string) string { return worker + ballast[:1500] }

func options(addr string, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.MetadataMinAge(20 * time.Millisecond), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }), kgo.UnknownTopicRetries(-1), kgo.TransactionTimeout(time.Minute),
	}, more...)
}

// newClient returns a client that is closed when ctx ends, with all that waits in it, or before that.
func newClient(ctx context.Context, o ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(o...)
	if err == nil {
		context.AfterFunc(ctx, cl.Close)
	}
	return cl, err
}

// work runs all clients until ctx ends.
func work(ctx context.Context, addr string, l *ledger, rng *rand.Rand) {
	var wg sync.WaitGroup
	for i := range 3 {
		w := transactor{name: fmt.Sprint("t", i), old: i == 2, ledger: l, rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
		wg.Go(func() { w.run(ctx, addr) })
	}
	for i := range 2 {
		wg.Go(func() { produce(ctx, addr, l, fmt.Sprint("p", i)) })
	}
	wg.Go(func() { update(ctx, addr, l) })
	for i := range 2 {
		wg.Go(func() { commit(ctx, addr, l, fmt.Sprint("g", i)) })
	}
	wg.Go(func() { belong(ctx, addr, l) })
	wg.Wait()
}

// transactor writes records, a version of its key and an offset in each transaction.
type transactor struct {
	name   string
	old    bool // speaks the protocol of before KIP-890
	ledger *ledger
	rng    *rand.Rand
}

func (w *transactor) client(ctx context.Context, addr string) (*kgo.Client, error) {
	o := options(addr, kgo.TransactionalID(longID(w.name)))
	if w.old {
		o = append(o, kgo.MaxVersions(kversion.V3_6_0()))
	}
	return newClient(ctx, o...)
}

func (w *transactor) run(ctx context.Context, addr string) {
	cl, err := w.client(ctx, addr)
	if err != nil {
		return
	}
	defer cl.Close()
	for ctx.Err() == nil && w.transact(ctx, cl) == nil {
	}
}

func (w *transactor) transact(ctx context.Context, cl *kgo.Client) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	t := w.ledger.begin(w.name, 1+w.rng.IntN(5))
	version := &kgo.Record{Topic: compacted, Key: []byte(w.name), Value: fmt.Appendf(nil, "%d %s", t.n, ballast)}
	records := []*kgo.Record{version}
	for i := range t.records {
		records = append(records, &kgo.Record{Topic: transactional, Partition: w.rng.Int32N(partitions), Value: []byte(item{w.name, t.n, i}.String())})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	if err := w.commitOffset(ctx, cl, int64(t.n)); err != nil {
		return err
	}
	if w.rng.IntN(5) == 0 {
		if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
			return err
		}
		w.ledger.told(func() { t.end = aborted })
		return nil
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	w.ledger.told(func() { t.end = committed })
	return nil
}

// commitOffset commits an offset of a group with the name of the worker in the open transaction.
func (w *transactor) commitOffset(ctx context.Context, cl *kgo.Client, offset int64) error {
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	if w.old {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = longID(w.name), id, epoch, w.name
		res, err := add.RequestWith(ctx, cl)
		if err = errors.Join(err, codeOf(res)); err != nil {
			return err
		}
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = longID(w.name), id, epoch, w.name, -1
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = transactional
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	for {
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

func codeOf(res *kmsg.AddOffsetsToTxnResponse) error {
	if res == nil {
		return nil
	}
	return kerr.ErrorForCode(res.ErrorCode)
}

// produce writes records, a few at a time.
func produce(ctx context.Context, addr string, l *ledger, name string) {
	cl, err := newClient(ctx, options(addr, kgo.DefaultProduceTopic(plain))...)
	if err != nil {
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		var sent sync.WaitGroup
		for range 5 {
			it := item{name, int(l.next(l.sent, name)), 0}
			l.with(func() { l.plain[it] = false })
			sent.Add(1)
			cl.Produce(ctx, &kgo.Record{Partition: int32(it.n % 2), Value: []byte(it.String())}, func(_ *kgo.Record, err error) {
				if err == nil {
					l.told(func() { l.plain[it] = true })
				}
				sent.Done()
			})
		}
		sent.Wait()
	}
}

// update writes versions of a few keys.
func update(ctx context.Context, addr string, l *ledger) {
	cl, err := newClient(ctx, options(addr, kgo.DefaultProduceTopic(compacted))...)
	if err != nil {
		return
	}
	defer cl.Close()
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprint("k", i%5)
		version := l.next(l.keys, key)
		if cl.ProduceSync(ctx, &kgo.Record{Key: []byte(key), Value: fmt.Appendf(nil, "%d %s", version, ballast)}).FirstErr() != nil {
			return
		}
		l.told(func() { l.keys[key].told = version })
	}
}

// commit commits offsets of a group without members.
func commit(ctx context.Context, addr string, l *ledger, group string) {
	cl, err := newClient(ctx, options(addr)...)
	if err != nil {
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		if commitOne(ctx, cl, l, group, "", -1) != nil {
			return
		}
	}
}

// commitOne commits the next offset of a group, for a member if it has an id.
func commitOne(ctx context.Context, cl *kgo.Client, l *ledger, group, memberID string, epoch int32) error {
	offset := l.next(l.groups, group)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, memberID, epoch
	id, err := topicID(ctx, cl)
	if err != nil {
		return err
	}
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = transactional, id
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = offset, &ballast
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode); err != nil {
		if kerr.IsRetriable(err) {
			return pause(ctx, 5*time.Millisecond)
		}
		return err
	}
	l.told(func() { l.groups[group].told = offset })
	return nil
}

// topicID returns the id of the topic that offsets are committed for.
func topicID(ctx context.Context, cl *kgo.Client) ([16]byte, error) {
	details, err := kadm.NewClient(cl).ListTopics(ctx, transactional)
	if err = errors.Join(err, details.Error()); err != nil {
		return [16]byte{}, err
	}
	return details[transactional].ID, nil
}

// heartbeat sends a full heartbeat of the member of the group "m": it owns all partitions, or with the epoch 0 none.
func heartbeat(ctx context.Context, cl *kgo.Client, id string, epoch int32) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	topic, err := topicID(ctx, cl)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = "m", id, epoch, 60_000
	req.SubscribedTopicNames = []string{transactional}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if epoch > 0 {
		owned := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		owned.TopicID = topic
		for p := range int32(partitions) {
			owned.Partitions = append(owned.Partitions, p)
		}
		req.Topics = append(req.Topics, owned)
	}
	for {
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			return nil, err
		}
		err = kerr.ErrorForCode(res.ErrorCode)
		if err == nil || !kerr.IsRetriable(err) {
			return res, err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// belong is the member of the group "m", which it joins once, and commits for it.
func belong(ctx context.Context, addr string, l *ledger) {
	cl, err := newClient(ctx, options(addr)...)
	if err != nil {
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		var m member
		l.with(func() {
			if l.member.id == "" {
				l.member.asked++
			}
			m = l.member
		})
		id := m.id
		if id == "" {
			id = fmt.Sprint("member-", m.asked)
		}
		res, err := heartbeat(ctx, cl, id, m.epoch)
		if err != nil {
			return
		}
		// It counts as one that owns its partitions when it was told of them, which is at once: there is no other.
		l.told(func() { l.member.id, l.member.epoch = id, res.MemberEpoch })
		for range 20 {
			if commitOne(ctx, cl, l, "m", id, res.MemberEpoch) != nil {
				return
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
