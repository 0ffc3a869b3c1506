package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/platform/registry/state"
)

// Own implements Log: it takes the transactional id, which ends whatever its last owner had begun, and writes a record of its own. What
// was acknowledged to others stands before that record.
func (l *KafkaLog) Own(ctx context.Context) (int64, error) {
	l.mu.Lock()
	owns := l.write != nil
	l.mu.Unlock()
	if owns {
		return -1, nil
	}
	if err := l.create(ctx); err != nil {
		return 0, err
	}
	client, err := l.o.Connect(
		kgo.TransactionalID(l.o.TransactionalID), kgo.TransactionTimeout(transaction), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(transaction), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(32<<20), kgo.BrokerMaxWriteBytes(100<<20),
	)
	if err != nil {
		return 0, err
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return 0, fmt.Errorf("take transactional id %s: %w", l.o.TransactionalID, err)
	}
	offset, err := l.append(ctx, client, []state.Record{l.o.Noop})
	if err != nil {
		client.Close()
		return 0, err
	}
	l.mu.Lock()
	l.write = client
	l.mu.Unlock()
	return offset, nil
}

// create makes the topic if it is not there.
func (l *KafkaLog) create(ctx context.Context) error {
	if there, err := l.exists(ctx); err != nil || there {
		return err
	}
	client, err := l.asking()
	if err != nil {
		return err
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	topic, config := kmsg.NewCreateTopicsRequestTopic(), kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "cleanup.policy", new("compact")
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor, topic.Configs = l.o.Topic, 1, l.o.Replication, append(topic.Configs, config)
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), int32(transaction.Milliseconds())
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", l.o.Topic, err)
	}
	for _, t := range res.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", l.o.Topic, err)
		}
	}
	l.announce()
	return nil
}

// Append implements Log.
func (l *KafkaLog) Append(ctx context.Context, records []state.Record) (int64, error) {
	l.mu.Lock()
	client := l.write
	l.mu.Unlock()
	if client == nil {
		return 0, ErrLost
	}
	offset, err := l.append(ctx, client, records)
	if err != nil {
		// Whatever went wrong, nothing is known of the transaction until the id is taken anew.
		l.mu.Lock()
		l.write = nil
		l.mu.Unlock()
		client.Close()
	}
	return offset, err
}

func (l *KafkaLog) append(ctx context.Context, client *kgo.Client, records []state.Record) (int64, error) {
	if err := client.BeginTransaction(); err != nil {
		return 0, fmt.Errorf("begin: %w: %w", ErrLost, err)
	}
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		out[i] = &kgo.Record{Topic: l.o.Topic, Key: r.Key, Value: r.Value}
	}
	if err := client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		if abort := client.EndTransaction(ctx, kgo.TryAbort); abort != nil {
			l.o.Logger.Debug("a transaction of the registry was not aborted; its next writer does that", "err", abort)
		}
		if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
			return 0, err
		}
		return 0, fmt.Errorf("write %s: %w: %w", l.o.Topic, ErrLost, err)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, fmt.Errorf("commit to %s: %w: %w", l.o.Topic, ErrLost, err)
	}
	return out[len(out)-1].Offset, nil
}
