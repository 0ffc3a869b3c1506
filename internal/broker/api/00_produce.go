package api

// Produce (key 0), versions 3-13; 0-2 are advertised but not served, see table.go.
//
// Every partition's batch is checked and handed to its log before the handler returns; the reply waits until the last of
// them is durable. acks=1 and acks=all mean the same: synced. acks=0 is not answered; if one of its batches is refused
// the connection is closed, so that the client looks again who leads.
//
// 3: transactional id. 5: log start offset. 7: zstd allowed. 8: record errors and messages. 9: flexible.
// 10: leader hints. 11, 12: transactions without AddPartitionsToTxn. 13: topic ids instead of names.

import (
	"cmp"
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// produceVersionZstd and produceVersionIDs are the versions from which zstd is allowed and topics go by id.
const (
	produceVersionZstd = 7
	produceVersionIDs  = 13
)

func (s *Server) produce(ctx context.Context, c *Conn, h wire.RequestHeader, r kmsg.Request) (Reply, error) {
	req := r.(*kmsg.ProduceRequest)
	var total int64
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			total += int64(len(req.Topics[i].Partitions[j].Records))
		}
	}
	admitted := s.storage.Admit(ctx, total)
	res := &kmsg.ProduceResponse{Version: h.Version, Topics: make([]kmsg.ProduceResponseTopic, 0, len(req.Topics))}
	var last wal.Ticket
	refused := false
	view := s.topics.View()
	for i := range req.Topics {
		t := &req.Topics[i]
		topic, missing := s.produceTopic(view, h.Version, t)
		out := kmsg.ProduceResponseTopic{Topic: t.Topic, TopicID: t.TopicID, Partitions: make([]kmsg.ProduceResponseTopicPartition, 0, len(t.Partitions))}
		var records, bytes int64
		for j := range t.Partitions {
			p := &t.Partitions[j]
			a, err := partition.Appended{}, cmp.Or(missing, admitted)
			if err == nil {
				a, err = s.appendBatch(topic, req, p, h.Version)
			}
			out.Partitions = append(out.Partitions, produceAnswer(p.Partition, a, err))
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
					failProduce(&res.Topics[i].Partitions[j], err)
				}
			}
		}
		return wire.EncodeResponse(h, res), false, nil
	}, nil
}

// settle waits until the request's bytes are not needed any more, which is when they are durable.
func (s *Server) settle(ctx context.Context, t wal.Ticket) error {
	if t.IsZero() {
		return nil
	}
	// The bytes belong to the request's frame, which goes back to its pool after the reply: no early return on ctx.
	return t.Wait(context.WithoutCancel(ctx))
}

func (s *Server) produceTopic(view *topics.View, version int16, t *kmsg.ProduceRequestTopic) (*topics.Topic, error) {
	if version >= produceVersionIDs {
		if topic, ok := view.ByID(t.TopicID); ok {
			return topic, nil
		}
		return nil, kafka.UnknownTopicID
	}
	if topic, ok := view.ByName(t.Topic); ok {
		return topic, nil
	}
	return nil, kafka.UnknownTopicOrPartition
}

func (s *Server) appendBatch(topic *topics.Topic, req *kmsg.ProduceRequest, p *kmsg.ProduceRequestTopicPartition, version int16) (partition.Appended, error) {
	if req.Acks < -1 || req.Acks > 1 {
		return partition.Appended{}, kafka.InvalidRequiredAcks
	}
	log, err := s.log(topic, p.Partition)
	if err != nil {
		return partition.Appended{}, err
	}
	if kafka.IsInternalTopic(topic.Name) {
		return partition.Appended{}, kafka.InvalidTopicException
	}
	if len(p.Records) == 0 {
		return partition.Appended{}, kafka.Errorf(kafka.InvalidRecord, "partition %d of topic %s has no records", p.Partition, topic.Name)
	}
	if head, err := record.ParseHeader(p.Records); err == nil {
		switch {
		case head.Transactional() && req.TransactionID == nil:
			return partition.Appended{}, kafka.TransactionalIDAuthorizationFailed
		case head.Transactional():
			return partition.Appended{}, kafka.InvalidTxnState
		case head.Codec() == record.Zstd && version < produceVersionZstd:
			return partition.Appended{}, kafka.UnsupportedCompressionType
		}
	}
	return log.Append(p.Records)
}

func produceAnswer(index int32, a partition.Appended, err error) kmsg.ProduceResponseTopicPartition {
	p := kmsg.NewProduceResponseTopicPartition()
	p.Partition = index
	if err != nil {
		failProduce(&p, err)
		return p
	}
	p.BaseOffset, p.LogAppendTime, p.LogStartOffset = a.BaseOffset, a.LogAppendTime, a.LogStartOffset
	return p
}

func failProduce(p *kmsg.ProduceResponseTopicPartition, err error) {
	p.ErrorCode = codeOf(err).Code()
	p.BaseOffset, p.LogAppendTime, p.LogStartOffset = -1, -1, -1
	p.ErrorMessage = textOf(err)
	var bad *partition.RecordsError
	if errors.As(err, &bad) {
		p.ErrorMessage = &bad.Message
		for _, r := range bad.Records {
			e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			e.RelativeOffset, e.ErrorMessage = r.Index, kmsg.StringPtr(r.Message)
			p.ErrorRecords = append(p.ErrorRecords, e)
		}
	}
}
