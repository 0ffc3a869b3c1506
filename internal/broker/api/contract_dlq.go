package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
)

// Dead letters: the records that mode dlq takes out of a batch. They are written by the broker itself, to a partition that it owns, so
// in the same write-ahead log as the batch and before it. That is why a topic for dead letters that the broker makes lies beside the
// topic they come from, shard by shard. If the batch is part of a transaction, so are its dead letters: readers of committed records
// see both or neither. Outside of one they have no producer, and a batch that its producer has to send again may leave them twice.

// deadLetterBatchBytes is about what a batch of dead letters takes before compression. One record may be larger.
const deadLetterBatchBytes = 1 << 20

// takeOut writes the records with that fate to the topic for dead letters, and returns the batch without them.
func (in *inspection) takeOut(ctx context.Context, b []byte, limitBytes, level int) ([]byte, error) {
	head, err := record.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	letters, err := in.letters(b, limitBytes, level, head)
	if err != nil {
		return nil, err
	}
	if err := in.post(ctx, letters, head); err != nil {
		return nil, fmt.Errorf("dead letters of %s: %w", in.topic.Name, err)
	}
	fate := in.fates()
	i := int32(-1)
	kept, err := record.Retain(b, record.RetainOptions{LimitBytes: limitBytes, Level: level, Horizon: record.NoHorizon}, func(*record.Record) bool {
		i++
		return fate(i) == nil
	})
	if err != nil {
		return nil, err
	}
	if kept.Kept == 0 {
		return record.Empty(head), nil
	}
	return kept.Batch, nil
}

// fates returns a function that is to be asked for each record in its order, and returns the violation of those to be taken out.
func (in *inspection) fates() func(i int32) *terms.Violation {
	rest := in.judged.Violations
	return func(i int32) *terms.Violation {
		for len(rest) > 0 && rest[0].Index < i {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0].Index != i || in.fate(&rest[0]) != terms.DeadLetter {
			return nil
		}
		return &rest[0]
	}
}

// letters builds the batches of dead letters: the records with their times, keys, values and headers, and what is wrong with them.
func (in *inspection) letters(b []byte, limitBytes, level int, head record.Header) ([][]byte, error) {
	it, err := record.NewIterator(b, limitBytes)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	o := record.BuildOptions{}
	if head.Transactional() {
		o.Transactional, o.Producer = true, &record.Producer{ID: head.ProducerID, Epoch: head.ProducerEpoch, Sequence: kafka.NoSequence}
	}
	from := []record.RecordHeader{
		{Key: terms.HeaderTopic, Value: []byte(in.topic.Name)},
		{Key: terms.HeaderPartition, Value: strconv.AppendInt(nil, int64(in.judged.Partition), 10)},
	}
	if in.conn.ClientID != "" {
		from = append(from, record.RecordHeader{Key: terms.HeaderClient, Value: []byte(in.conn.ClientID)})
	}
	builder := record.NewBuilder(head.Codec(), level)
	fate := in.fates()
	var out [][]byte
	var headers []record.RecordHeader
	for i := int32(0); ; i++ {
		r, ok := it.Next()
		if !ok {
			break
		}
		v := fate(i)
		if v == nil {
			continue
		}
		headers = append(append(append(headers[:0], r.Headers...), v.Headers()...), from...)
		time := head.BaseTimestamp + r.TimestampDelta
		if head.LogAppendTime() {
			time = head.MaxTimestamp
		}
		builder.Append(time, r.Key, r.Value, headers)
		if builder.Len() >= deadLetterBatchBytes {
			out = append(out, builder.Build(o))
		}
	}
	if it.Err() != nil {
		return nil, it.Err()
	}
	if last := builder.Build(o); last != nil {
		out = append(out, last)
	}
	return out, nil
}

// post appends dead letters. Nobody waits for them here: the batch that follows in the same write-ahead log is waited for.
func (in *inspection) post(ctx context.Context, letters [][]byte, head record.Header) error {
	s := in.server
	topic, err := s.deadLetterTopic(ctx, in.topic)
	if err != nil {
		return err
	}
	log, index, err := s.deadLetterLog(topic, in.judged.Partition)
	if err != nil {
		return err
	}
	var v *partition.Verification
	if head.Transactional() {
		if v, err = in.joinTransaction(ctx, log, topic.Name, index, head); err != nil {
			return err
		}
	}
	records := 0
	for _, b := range letters {
		a, err := log.AppendInternalVerified(b, v)
		if err != nil {
			return codeOf(s.moved(topic.ID, err))
		}
		v = nil // the first one opened the transaction
		records += int(a.Records)
	}
	s.metrics.produced(topic.Name, int64(records), 0, false)
	return nil
}

// joinTransaction makes the partition for dead letters part of the producer's transaction.
func (in *inspection) joinTransaction(ctx context.Context, log *partition.Log, topic string, index int32, head record.Header) (*partition.Verification, error) {
	// The producer may write to that partition itself, with sequences of its own: those stay the lowest.
	begin := func() *partition.Verification {
		return log.BeginVerification(head.ProducerID, head.ProducerEpoch, math.MaxInt32, false)
	}
	v := begin()
	if v == nil {
		return nil, nil // it is open there already
	}
	claim := TransactionClaim{
		TransactionalID: *in.req.TransactionID, Producer: machine.Producer{ID: head.ProducerID, Epoch: head.ProducerEpoch},
		Partitions: []kafka.TopicPartition{{Topic: topic, Partition: index}},
	}
	q := question{
		ask: claim, begin: func() { v = begin() },
		overtaken: func() bool { return v != nil && !log.Verifying(head.ProducerID, v) },
	}
	if err := in.server.askCoordinator(ctx, q)[0]; err != nil {
		return nil, claimError(err, in.req.Version)
	}
	return v, nil
}

// deadLetterTopic returns the topic for dead letters, which is made beside the one that they come from if it is not there.
func (s *Server) deadLetterTopic(ctx context.Context, from *topics.Topic) (*topics.Topic, error) {
	name := from.Terms.DeadLetters
	if t, ok := s.topics.View().ByName(name); ok {
		return t, nil
	}
	s.topics.LookAgain(ctx)
	if t, ok := s.topics.View().ByName(name); ok {
		return t, nil
	}
	t, err := s.topics.Create(ctx, topics.Spec{Name: name, Partitions: from.Partitions, ReplicationFactor: -1, Beside: from}, false)
	if errors.Is(err, kafka.TopicAlreadyExists) {
		if t, ok := s.topics.View().ByName(name); ok {
			return t, nil
		}
	}
	return t, err
}

// deadLetterLog returns a partition that this broker owns: the one with the same number, or else the first of those that it owns.
func (s *Server) deadLetterLog(t *topics.Topic, index int32) (*partition.Log, int32, error) {
	if log, err := s.log(t, index); err == nil {
		return log, index, nil
	}
	for i := range t.Partitions {
		if log, err := s.log(t, i); err == nil {
			return log, i, nil
		}
	}
	return nil, 0, kafka.Errorf(kafka.NotEnoughReplicas, "this broker owns no partition of topic %s; one that the broker makes lies beside the topic it is for", t.Name)
}

// refuseDeadLetters is the error for a client that has a topic's dead letters written to where it may not write itself.
func (s *Server) refuseDeadLetters(c *Conn, config string, value *string) error {
	if config != terms.DeadLettersConfig || value == nil || *value == "" || s.allow(c, auth.Write, auth.Topic, *value) {
		return nil
	}
	return kafka.TopicAuthorizationFailed
}
