package wire

import (
	"encoding/binary"

	"github.com/weir-stream/weir/internal/kafka"
)

// ShareFetchResponse is the answer to a ShareFetch of versions 1 and 2, whose records are parts as those of a FetchResponse. The
// encoded bytes are those of kmsg for the same contents.
type ShareFetchResponse struct {
	ThrottleMillis int32
	Err            kafka.Error
	Text           *string
	LockMillis     int32 // how long the records are held
	Topics         []ShareFetchTopic
	Brokers        []FetchBroker // where the leaders named in partitions are
}

// ShareFetchTopic holds the partitions of one topic.
type ShareFetchTopic struct {
	TopicID    kafka.TopicID
	Partitions []ShareFetchPartition
}

// ShareFetchPartition is the answer for one partition: what became of the fetch, and of the acknowledgements.
type ShareFetchPartition struct {
	Partition int32
	Err       kafka.Error
	Text      *string
	AckErr    kafka.Error
	AckText   *string
	Leader    CurrentLeader
	Records   []Part
	Acquired  []AcquiredRecords
}

// AcquiredRecords are records that the client holds now, both ends included.
type AcquiredRecords struct {
	First, Last   int64
	DeliveryCount int16
}

// EncodeShareFetchResponse encodes resp as the answer to h. The records' parts become parts of the response, which calls
// their Done; resp must not be used for another response.
func EncodeShareFetchResponse(h RequestHeader, resp *ShareFetchResponse) Response {
	partitions, parts := 0, 1
	for i := range resp.Topics {
		partitions += len(resp.Topics[i].Partitions)
		for j := range resp.Topics[i].Partitions {
			parts += 1 + len(resp.Topics[i].Partitions[j].Records)
		}
	}
	e := fetchEncoder{flexible: true, cuts: make([]int, 0, partitions), records: make([][]Part, 0, partitions)}
	buf := getBuffer(64*partitions + 256)
	e.b = appendResponseHeader(buf.b, h, true)
	e.shareBody(resp)
	return e.finish(buf, parts)
}

func (e *fetchEncoder) shareBody(resp *ShareFetchResponse) {
	e.int32(resp.ThrottleMillis)
	e.int16(int16(resp.Err))
	e.nullableString(resp.Text)
	e.int32(resp.LockMillis)
	e.arrayLen(len(resp.Topics))
	for i := range resp.Topics {
		topic := &resp.Topics[i]
		e.b = append(e.b, topic.TopicID[:]...)
		e.arrayLen(len(topic.Partitions))
		for j := range topic.Partitions {
			e.sharePartition(&topic.Partitions[j])
		}
		e.noTags()
	}
	e.arrayLen(len(resp.Brokers))
	for i := range resp.Brokers {
		e.broker(&resp.Brokers[i])
	}
	e.noTags()
}

func (e *fetchEncoder) sharePartition(p *ShareFetchPartition) {
	e.int32(p.Partition)
	e.int16(int16(p.Err))
	e.nullableString(p.Text)
	e.int16(int16(p.AckErr))
	e.nullableString(p.AckText)
	e.int32(p.Leader.LeaderID)
	e.int32(p.Leader.LeaderEpoch)
	e.noTags()
	size := int64(0)
	for _, part := range p.Records {
		size += part.Size()
	}
	e.b = binary.AppendUvarint(e.b, uint64(size)+1)
	e.cuts = append(e.cuts, len(e.b))
	e.records = append(e.records, p.Records)
	e.bytes += size
	e.arrayLen(len(p.Acquired))
	for _, a := range p.Acquired {
		e.int64(a.First)
		e.int64(a.Last)
		e.int16(a.DeliveryCount)
		e.noTags()
	}
	e.noTags()
}

func (e *fetchEncoder) nullableString(s *string) {
	if s == nil {
		e.b = append(e.b, 0)
		return
	}
	e.string(*s)
}
