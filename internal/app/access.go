package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// openAuthorizer opens what decides who may do what, or returns nil where nobody is to be asked.
func openAuthorizer(ctx context.Context, store meta.Store, v *config.Values, logger *slog.Logger, r prometheus.Registerer) (*auth.Authorizer, error) {
	rules, on, err := auth.RulesOf(v)
	if err != nil || !on {
		return nil, err
	}
	a, err := auth.Open(ctx, auth.Options{Meta: store, Rules: rules, Logger: logger, Registerer: r})
	if err != nil {
		return nil, fmt.Errorf("open the authorizer: %w", err)
	}
	return a, nil
}

// newAudit returns the audit log, or nil where nothing is audited.
func (a *App) newAudit(store *topics.Store, storage *shard.Store, node int32, r prometheus.Registerer) *audit.Log {
	v := a.o.Values
	o, on := audit.OptionsOf(v)
	if !on {
		return nil
	}
	spec := topics.Spec{Name: auditevent.Topic, Partitions: 1, ReplicationFactor: -1, Configs: map[string]string{
		"cleanup.policy": "delete", "retention.ms": strconv.FormatInt(audit.Retention.Get(v).Milliseconds(), 10),
	}}
	topic := &auditTopic{internalTopic: internalTopic{store: store, storage: storage, spec: spec}, peers: a.peers, now: a.o.Now}
	o.Topic, o.Forward = topic, topic.Forward
	o.Source = fmt.Sprintf("weir://%s/broker/%d", store.ClusterID(), node)
	o.Scope, o.Now, o.Logger, o.Registerer = store.ClusterID(), a.o.Now, a.o.Logger, r
	return audit.New(o)
}

// auditTopic is the topic of audit events as the audit log uses it, from one goroutine.
type auditTopic struct {
	internalTopic
	peers *peers
	now   func() time.Time
	// at is the log whose end Last has read: each time that this broker comes to own the partition it is another one, and others
	// may have written before. nil: there was no topic.
	at *partition.Log
}

// Last reads the last batch of the partition.
func (t *auditTopic) Last(ctx context.Context) ([]byte, error) {
	t.at = nil
	if _, ok := t.Lookup(); !ok {
		return nil, nil
	}
	l, err := t.log()
	if err != nil {
		return nil, err
	}
	t.at = l
	o := l.Offsets()
	if o.HighWatermark == o.LogStart {
		return nil, nil
	}
	b, _, err := l.ReadBytes(ctx, o.HighWatermark-1, 1)
	if err != nil {
		return nil, fmt.Errorf("read the end of %s: %w", auditevent.Topic, err)
	}
	var last []byte
	err = eachBatch(b, func(batch []byte) error {
		it, err := record.NewIterator(batch, decompressedBytesMax)
		if err != nil {
			return err
		}
		defer it.Close()
		for r, ok := it.Next(); ok; r, ok = it.Next() {
			last = append(last[:0], r.Value...)
		}
		return it.Err()
	})
	return last, err
}

func (t *auditTopic) Append(ctx context.Context, values [][]byte) error {
	if _, err := t.Ensure(ctx); err != nil {
		return err
	}
	l, err := t.log()
	if err != nil {
		return err
	}
	if l != t.at && l.Offsets().LogEnd > 0 {
		return audit.ErrMoved
	}
	t.at = l
	appended, err := l.AppendInternal(t.batch(values))
	if errors.Is(err, partition.ErrClosed) {
		return fmt.Errorf("write %s: %w: %w", auditevent.Topic, audit.ErrMoved, err)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", auditevent.Topic, err)
	}
	// What was handed to the log will be durable, unless the log is lost or the server ends: to give up waiting would write
	// events twice. Of what was lost the end of the log tells, which is read again.
	if err := appended.Ticket.Wait(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("write %s: %w: %w", auditevent.Topic, audit.ErrMoved, err)
	}
	return nil
}

// Forward produces events to the broker that has the partition, on its listener for brokers, where they are chained before they are
// written.
func (t *auditTopic) Forward(ctx context.Context, values [][]byte) (sent bool, err error) {
	if _, err := t.Ensure(ctx); err != nil {
		return false, err
	}
	topic, ok := t.store.View().ByName(auditevent.Topic)
	if !ok {
		return false, kafka.UnknownTopicOrPartition
	}
	broker, remote, err := t.peers.owner(topic, 0)
	if err != nil || !remote {
		return false, err
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = eventsVersion, -1, 10_000
	in, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	p.Records = t.batch(values)
	in.Topic, in.Partitions = auditevent.Topic, append(in.Partitions, p)
	req.Topics = append(req.Topics, in)
	answer, err := t.peers.client.Do(ctx, broker, req)
	if err != nil {
		return false, err
	}
	res, ok := answer.(*kmsg.ProduceResponse)
	if !ok || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return false, errAnswer
	}
	if err := kafka.Error(res.Topics[0].Partitions[0].ErrorCode).Err(); err != nil {
		return false, fmt.Errorf("broker %d: %w", broker, err)
	}
	return true, nil
}

// eventsVersion is the version of Produce that events go to another broker by.
const eventsVersion = 9

// batch puts values into records.
func (t *auditTopic) batch(values [][]byte) []byte {
	b := record.NewBuilder(record.None, 0)
	for _, value := range values {
		b.Append(t.now().UnixMilli(), nil, value, nil)
	}
	return b.Build(record.BuildOptions{})
}

// log finds the partition anew each time: the topic may have been deleted and made again.
func (t *auditTopic) log() (*partition.Log, error) {
	topic, ok := t.store.View().ByName(auditevent.Topic)
	if !ok {
		return nil, kafka.UnknownTopicOrPartition
	}
	return t.storage.Log(topic.ID, 0)
}
