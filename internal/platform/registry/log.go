package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// LogOptions of a KafkaLog. Connect and Topic are required.
type LogOptions struct {
	// Connect makes a client that may read and write the topic and use the transactional id.
	Connect func(more ...kgo.Opt) (*kgo.Client, error)
	Topic   string
	// TransactionalID is the same for all instances that share the topic.
	TransactionalID string
	// Replication of the topic, when it is made; -1 is the cluster's default.
	Replication int16
	// Noop changes nothing and is written by who becomes the writer; without a key it is that of the registry's own topic.
	Noop   state.Record
	Logger *slog.Logger
}

// KafkaLog is the topic on a Kafka cluster. The topic is made with the first record that is written.
type KafkaLog struct {
	o    LogOptions
	made chan struct{} // tells the reader that the topic may be there now

	there atomic.Bool // the topic has been seen

	mu    sync.Mutex
	asks  *kgo.Client // for requests without records
	write *kgo.Client // nil: not the writer
}

// NewKafkaLog returns a log that is connected to nothing.
func NewKafkaLog(o LogOptions) *KafkaLog {
	if o.Noop.Key == nil {
		o.Noop = state.Noop()
	}
	return &KafkaLog{o: o, made: make(chan struct{}, 1)}
}

// Times of the log.
const (
	lookInterval = 2 * time.Second // while the cluster cannot be reached
	quietLoad    = 3 * time.Second // without a record, before what is left of the end is taken for transactions' marks that are gone
	transaction  = 10 * time.Second
	fetchWait    = 500 * time.Millisecond
	fetchBytes   = 256 << 10 // of batches, which may unfold into ten times as much and are held twice
)

// Run implements Log.
func (l *KafkaLog) Run(ctx context.Context, apply func(state.Record, int64, int64), restart, loaded func()) error {
	defer l.close()
	if !l.await(ctx, l.exists, loaded) {
		return nil
	}
	end, err := l.settle(ctx)
	if err != nil {
		return err
	}
	client, err := l.o.Connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.o.Topic: {0: kgo.NewOffset().AtStart()}}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.MaxConcurrentFetches(1), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	if end == 0 {
		loaded()
	}
	next, heard := int64(0), time.Now()
	for {
		poll, cancel := context.WithTimeout(ctx, quietLoad)
		fetches := client.PollFetches(poll)
		cancel()
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				l.o.Logger.Warn("the registry's topic cannot be read, it is tried again", "topic", l.o.Topic, "err", err)
			}
		})
		fetches.EachRecord(func(rec *kgo.Record) {
			if rec.Offset < next {
				restart()
			}
			next, heard = rec.Offset+1, time.Now()
			if rec.Attrs.IsControl() {
				apply(state.Record{}, rec.Offset, 0)
				return
			}
			apply(state.Record{Key: notNil(rec.Key), Value: rec.Value}, rec.Offset, rec.Timestamp.UnixMilli())
		})
		if next >= end || time.Since(heard) >= quietLoad {
			loaded()
		}
	}
}

// notNil keeps a record without a key apart from a mark of a transaction.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// await waits until the topic is there, or ctx ends: then it returns false. Without it the registry is empty, and that is known at once. A cluster without the topic is
// left in peace after that: it comes by what this instance writes, or is found by the next request, which asks for its end, and both announce it.
func (l *KafkaLog) await(ctx context.Context, exists func(context.Context) (bool, error), loaded func()) bool {
	announced := time.Duration(0) // since it was: the wait before the next look, as brokers hear of a topic one after the other
	for {
		there, err := exists(ctx)
		if there {
			return true
		}
		var again <-chan time.Time // never, if the cluster has answered and nobody has seen the topic
		if err == nil {
			loaded()
		} else if ctx.Err() == nil {
			l.o.Logger.Warn("the registry cannot reach its cluster, it tries again", "topic", l.o.Topic, "err", err)
		}
		switch {
		case err != nil:
			again = time.After(lookInterval)
		case announced > 0:
			again = time.After(announced)
			announced = min(2*announced, lookInterval)
		}
		select {
		case <-ctx.Done():
			return false
		case <-l.made:
			announced = lookInterval / 64
		case <-again:
		}
	}
}

// settle asks for the end until there is an answer.
func (l *KafkaLog) settle(ctx context.Context) (int64, error) {
	for {
		end, err := l.End(ctx)
		if err == nil || ctx.Err() != nil {
			return end, nil //nolint:nilerr // the server stops
		}
		l.o.Logger.Warn("the end of the registry's topic is not known, it is asked again", "topic", l.o.Topic, "err", err)
		pause := time.NewTimer(lookInterval / 4)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return 0, nil
		}
	}
}

func (l *KafkaLog) exists(ctx context.Context) (bool, error) {
	client, err := l.asking()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, transaction)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &l.o.Topic
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return false, fmt.Errorf("ask for topic %s: %w", l.o.Topic, err)
	}
	if len(res.Topics) != 1 {
		return false, errors.New("the answer is about no topic")
	}
	switch err := kerr.ErrorForCode(res.Topics[0].ErrorCode); {
	case err == nil:
		if !l.there.Swap(true) {
			l.announce()
		}
		return true, nil
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return false, nil
	default:
		return false, fmt.Errorf("topic %s: %w", l.o.Topic, err)
	}
}

// announce wakes who waits for the topic.
func (l *KafkaLog) announce() {
	select {
	case l.made <- struct{}{}:
	default:
	}
}

// asking is the client for requests without records.
func (l *KafkaLog) asking() (*kgo.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asks == nil {
		client, err := l.o.Connect(kgo.MetadataMinAge(100 * time.Millisecond))
		if err != nil {
			return nil, err
		}
		l.asks = client
	}
	return l.asks, nil
}

// End implements Log. A topic that is not there ends at 0.
func (l *KafkaLog) End(ctx context.Context) (int64, error) {
	if !l.there.Load() { // to ask for offsets of a topic that is not there takes a client some tries
		if there, err := l.exists(ctx); err != nil || !there {
			return 0, err
		}
	}
	client, err := l.asking()
	if err != nil {
		return 0, err
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, 1
	topic, partition := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	partition.Timestamp = -1
	topic.Topic, topic.Partitions = l.o.Topic, append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("ask for the end of %s: %w", l.o.Topic, err)
	}
	if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return 0, errors.New("the answer is about no partition")
	}
	p := res.Topics[0].Partitions[0]
	switch err := kerr.ErrorForCode(p.ErrorCode); {
	case err == nil:
		return p.Offset, nil
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return 0, nil
	default:
		return 0, fmt.Errorf("end of %s: %w", l.o.Topic, err)
	}
}

func (l *KafkaLog) close() {
	l.mu.Lock()
	asks, write := l.asks, l.write
	l.asks, l.write = nil, nil
	l.mu.Unlock()
	for _, c := range []*kgo.Client{asks, write} {
		if c != nil {
			c.Close()
		}
	}
}
