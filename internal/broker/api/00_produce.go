package api

// Produce (key 0), versions 3-13; 0-2 are advertised but not served, see table.go.
//
// Every partition's batch is checked and handed to its log before the handler returns; the reply waits until the last of
// them is durable. acks=1 and acks=all mean the same: synced. acks=0 is not answered; if one of its batches is refused
// the connection is closed, so that the client looks again who leads.
//
// A refusal carries a text only where Kafka's does: for single records, and for bytes that are no batch. It carries the
// log start offset unless the request did not get as far as the log, or was too large or damaged for it.
//
// The first batch of a transaction in a partition is appended once the transaction's coordinator has said that the partition
// belongs to it, so that no transaction is open here that nobody will end: to version 11 the producer has told the coordinator,
// later ones leave that to the broker (KIP-890). The handler waits for it, since the order of effects is fixed here. A request with
// a transactional batch and without a transactional id is refused as a whole.
//
// Unlike Kafka's broker this one does not decompress batches unless the topic's configuration makes it: a producer that
// sends damaged compressed records under a right checksum is not told.
//
// A topic may have a contract that its records must obey (contract.go), which Kafka has not. What it refuses is INVALID_RECORD and names
// the records.
//
// 3: transactional id. 5: log start offset. 7: zstd allowed. 8: record errors and messages. 9: flexible.
// 10: who leads the partitions that this broker does not own. 11, 12: transactions without AddPartitionsToTxn. 13: topic ids instead of names.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/audit"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// Versions from which zstd is allowed, the answer may say who leads, and topics go by id.
const (
	produceVersionZstd    = 7
	produceVersionLeaders = 10
	produceVersionIDs     = 13
)

func (s *Server) produce(ctx context.Context, c *Conn, h wire.RequestHeader, r kmsg.Request) (Reply, error) {
	req := r.(*kmsg.ProduceRequest)
	if !s.mayProduceTransactions(c, req) {
		return refuseProduce(h, req, kafka.TransactionalIDAuthorizationFailed), nil
	}
	var total int64
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			total += int64(len(req.Topics[i].Partitions[j].Records))
		}
	}
	admitted := s.storage.Admit(ctx, total)
	res := &kmsg.ProduceResponse{Version: h.Version, Topics: make([]kmsg.ProduceResponseTopic, 0, len(req.Topics))}
	var last wal.Ticket
	var wait patience
	refused := false
	found := s.produceTargets(ctx, c, req)
	claims, err := s.claimPartitions(ctx, &wait, req, found)
	if err != nil {
		return refuseProduce(h, req, err), nil
	}
	ordinal, leaders := -1, s.hints(c, h.Version >= produceVersionLeaders)
	for i := range req.Topics {
		t := &req.Topics[i]
		topic, missing := found[i].topic, found[i].err
		out := kmsg.ProduceResponseTopic{Topic: t.Topic, TopicID: t.TopicID, Partitions: make([]kmsg.ProduceResponseTopicPartition, 0, len(t.Partitions))}
		var records, bytes int64
		for j := range t.Partitions {
			p := &t.Partitions[j]
			ordinal++
			a, err := notAppended, cmp.Or(missing, admitted)
			switch {
			case err != nil:
			case topic.Name == auditevent.Topic && c.isBroker():
				err = s.acceptEvents(ctx, topic, p)
			default:
				a, err = s.appendBatch(ctx, c, &wait, topic, req, p, claims[ordinal])
			}
			answer := produceAnswer(p.Partition, a, err)
			if l, ok := leaderHint(&leaders, topic, p.Partition, kafka.Error(answer.ErrorCode)); ok {
				answer.CurrentLeader.LeaderID, answer.CurrentLeader.LeaderEpoch = l.Broker, l.Epoch
			}
			out.Partitions = append(out.Partitions, answer)
			if err != nil {
				refused = true
				continue
			}
			if !a.Ticket.IsZero() {
				last = a.Ticket // groups complete in order, so the last ticket speaks for all
			}
			records, bytes = records+int64(a.Records), bytes+int64(len(p.Records))
		}
		if topic != nil {
			s.metrics.produced(topic.Name, records, bytes, missing != nil)
		}
		res.Topics = append(res.Topics, out)
	}
	res.Brokers = leaders.produceBrokers()
	c.hold(s.quotas.Record(quota.Produce, c.client(), float64(total), s.now()))
	res.ThrottleMillis = s.throttle(c)
	return func(ctx context.Context) (wire.Response, bool, error) {
		if req.Acks == 0 {
			if refused {
				return wire.Response{}, true, errors.New("a batch sent with acks=0 was refused")
			}
			return wire.Response{}, true, s.settle(ctx, last)
		}
		if err := s.settle(ctx, last); err != nil {
			for i := range res.Topics {
				for j := range res.Topics[i].Partitions {
					if p := &res.Topics[i].Partitions[j]; p.ErrorCode == 0 {
						*p = produceAnswer(p.Partition, notAppended, err)
					}
				}
			}
		}
		return wire.EncodeResponse(h, res), false, nil
	}, nil
}

// acceptEvents hands events of another broker to the audit log of this one, if it has the partition, and waits until they are durable.
func (s *Server) acceptEvents(ctx context.Context, topic *topics.Topic, p *kmsg.ProduceRequestTopicPartition) error {
	if _, err := s.log(topic, p.Partition); err != nil {
		return codeOf(err)
	}
	batch, err := soleBatch(p.Records)
	if err != nil {
		return err
	}
	it, err := record.NewIterator(batch, eventsBytesMax)
	if err != nil {
		return err
	}
	defer it.Close()
	var values [][]byte
	for r, ok := it.Next(); ok && len(values) <= eventsMax; r, ok = it.Next() {
		values = append(values, bytes.Clone(r.Value))
	}
	if err := it.Err(); err != nil {
		return err
	}
	return s.audit.Accept(ctx, values)
}

// Bounds of what another broker hands over to the audit log at once. More events than that are refused by it.
const (
	eventsMax      = 2 * audit.EventsPerWrite
	eventsBytesMax = 32 << 20
)

// mayProduceTransactions tells whether the client may use the transactional id of the request, if a batch is part of a
// transaction. One that names no id is no different from one whose id is forbidden.
func (s *Server) mayProduceTransactions(c *Conn, req *kmsg.ProduceRequest) bool {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			head, err := record.ParseHeader(req.Topics[i].Partitions[j].Records)
			if err == nil && head.Transactional() {
				return req.TransactionID != nil && s.allow(c, auth.Write, auth.TransactionalID, *req.TransactionID)
			}
		}
	}
	return true
}

// refuseProduce answers every partition with one error, before anything was written.
func refuseProduce(h wire.RequestHeader, req *kmsg.ProduceRequest, refusal error) Reply {
	res := &kmsg.ProduceResponse{Version: h.Version}
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.ProduceResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
		for j := range t.Partitions {
			out.Partitions = append(out.Partitions, produceAnswer(t.Partitions[j].Partition, notAppended, refusal))
		}
		res.Topics = append(res.Topics, out)
	}
	return func(context.Context) (wire.Response, bool, error) {
		if req.Acks == 0 {
			return wire.Response{}, true, fmt.Errorf("a produce with acks=0 was refused: %w", refusal)
		}
		return wire.EncodeResponse(h, res), false, nil
	}
}

// settle waits until the request's bytes are not needed any more, which is when they are durable.
func (s *Server) settle(ctx context.Context, t wal.Ticket) error {
	if t.IsZero() {
		return nil
	}
	// The bytes belong to the request's frame, which goes back to its pool after the reply: no early return on ctx.
	return t.Wait(context.WithoutCancel(ctx))
}

// produceTarget is a topic that a produce names, or why it gets nothing.
type produceTarget struct {
	topic *topics.Topic
	err   error
}

func (s *Server) produceTargets(ctx context.Context, c *Conn, req *kmsg.ProduceRequest) []produceTarget {
	view := s.topics.View()
	for i := range req.Topics {
		if t := &req.Topics[i]; topicOf(view, req.Version >= produceVersionIDs, t.Topic, t.TopicID) == nil {
			s.topics.LookAgain(ctx) // another broker may have made it just now
			view = s.topics.View()
			break
		}
	}
	found := make([]produceTarget, len(req.Topics))
	for i := range req.Topics {
		found[i].topic, found[i].err = s.produceTopic(c, view, req.Version, &req.Topics[i])
	}
	return found
}

func (s *Server) produceTopic(c *Conn, view *topics.View, version int16, t *kmsg.ProduceRequestTopic) (*topics.Topic, error) {
	byID := version >= produceVersionIDs
	topic := topicOf(view, byID, t.Topic, t.TopicID)
	switch {
	case byID && topic == nil:
		return nil, kafka.UnknownTopicID
	case byID && !s.allow(c, auth.Write, auth.Topic, topic.Name), !byID && !s.allow(c, auth.Write, auth.Topic, t.Topic):
		return nil, kafka.TopicAuthorizationFailed // before it is told whether there is such a topic
	case topic == nil:
		return nil, kafka.UnknownTopicOrPartition
	}
	return topic, nil
}

// notAppended is what the answer to a refused batch says of offsets.
var notAppended = partition.Appended{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}

func (s *Server) appendBatch(ctx context.Context, c *Conn, wait *patience, topic *topics.Topic, req *kmsg.ProduceRequest, p *kmsg.ProduceRequestTopicPartition, in claim) (partition.Appended, error) {
	if req.Acks < -1 || req.Acks > 1 {
		return notAppended, kafka.InvalidRequiredAcks
	}
	log := in.log
	if log == nil {
		var err error
		if log, err = s.logSoon(ctx, topic, p.Partition, wait); err != nil {
			return notAppended, codeOf(err)
		}
	}
	if kafka.IsInternalTopic(topic.Name) || topic.Name == auditevent.Topic { // the audit log is written by the broker alone
		return notAppended, kafka.InvalidTopicException
	}
	batch, err := soleBatch(p.Records)
	if err != nil {
		return notAppended, err
	}
	if head, err := record.ParseHeader(batch); err == nil && head.Codec() == record.Zstd && req.Version < produceVersionZstd {
		return notAppended, kafka.UnsupportedCompressionType
	}
	if in.err != nil {
		return notAppended, in.err
	}
	var a partition.Appended
	if topic.Terms == nil {
		a, err = log.AppendVerified(batch, in.verification)
	} else {
		a, err = s.appendJudged(ctx, c, log, batch, in, produced{topic, req, p.Partition})
	}
	if err == nil {
		return a, nil
	}
	a = notAppended
	code := codeOf(s.moved(topic.ID, err))
	switch code {
	case kafka.UnknownTopicOrPartition, kafka.NotLeaderOrFollower, kafka.MessageTooLarge, kafka.CorruptMessage, kafka.StorageError:
	default:
		a.LogStartOffset = log.Offsets().LogStart
	}
	if _, ok := errors.AsType[*partition.RecordsError](err); ok {
		return a, err
	}
	s.logger.Debug("batch refused", "topic", topic.Name, "partition", p.Partition, "err", err)
	return a, code
}

// soleBatch returns the one batch that records must hold. What follows it may be the beginning of another that was cut
// off, which is passed over as by Kafka.
func soleBatch(records []byte) ([]byte, error) {
	n, err := batchBytes(records)
	if err != nil {
		return nil, err
	}
	if n == 0 || records[magicAt] != 2 {
		return nil, kafka.InvalidRecord
	}
	more, err := batchBytes(records[n:])
	if err != nil {
		return nil, err
	}
	if more > 0 {
		return nil, kafka.InvalidRecord
	}
	return records[:n:n], nil
}

// Places in what all formats of batches have in common, and the least that a length may say.
const (
	lengthAt    = 8
	magicAt     = 16
	leastLength = 14
)

// batchBytes returns the size of the batch, of any format, at the start of b, or 0 if b ends before it does.
func batchBytes(b []byte) (int, error) {
	if len(b) < record.LogOverhead {
		return 0, nil
	}
	length := int64(int32(binary.BigEndian.Uint32(b[lengthAt:])))
	switch {
	case length < leastLength:
		return 0, kafka.Errorf(kafka.CorruptMessage, "a batch of %d bytes is smaller than any", length)
	case len(b) <= magicAt:
		return 0, nil
	case b[magicAt] > 2:
		return 0, kafka.Errorf(kafka.CorruptMessage, "there are no batches of format %d", int8(b[magicAt]))
	case length > int64(len(b)-record.LogOverhead):
		return 0, nil
	}
	return record.LogOverhead + int(length), nil
}

func produceAnswer(index int32, a partition.Appended, err error) kmsg.ProduceResponseTopicPartition {
	p := kmsg.NewProduceResponseTopicPartition()
	p.Partition, p.ErrorCode = index, codeOf(err).Code()
	p.BaseOffset, p.LogAppendTime, p.LogStartOffset = a.BaseOffset, a.LogAppendTime, a.LogStartOffset
	if d, ok := errors.AsType[*kafka.Detail](err); ok {
		p.ErrorMessage = &d.Text
	}
	if bad, ok := errors.AsType[*partition.RecordsError](err); ok {
		p.ErrorMessage = &bad.Message
		for _, r := range bad.Records {
			e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			e.RelativeOffset, e.ErrorMessage = r.Index, new(r.Message)
			p.ErrorRecords = append(p.ErrorRecords, e)
		}
	}
	return p
}
