package wire

import (
	"encoding/binary"

	"github.com/weir-stream/weir/internal/kafka"
)

// FetchResponse is the answer to a Fetch of versions 4 to 18. It is apart from kmsg's type because its records are parts,
// which may lie in files: nothing copies them. The encoded bytes are those of kmsg for the same contents.
type FetchResponse struct {
	Version        int16
	ThrottleMillis int32
	Err            kafka.Error // of the whole fetch, which only sessions have; v7+
	SessionID      int32       // v7+
	Topics         []FetchTopic
	Brokers        []FetchBroker // where the leaders named in partitions are; v16+ clients look at it
}

// FetchTopic holds the partitions of one topic: by name to version 12, by id from 13.
type FetchTopic struct {
	Topic      string
	TopicID    kafka.TopicID
	Partitions []FetchPartition
}

// FetchPartition is the answer for one partition. PreferredReadReplica is -1 unless the client shall fetch elsewhere
// (v11+); NewFetchPartition sets it and the unknown offsets.
type FetchPartition struct {
	Partition            int32
	Err                  kafka.Error
	HighWatermark        int64
	LastStableOffset     int64
	LogStartOffset       int64                // v5+
	Aborted              []AbortedTransaction // nil is null: none
	PreferredReadReplica int32
	Records              []Part // whole batches; none is an empty set, never null

	DivergingEpoch *EpochEnd      // v12+
	CurrentLeader  *CurrentLeader // v12+
	SnapshotID     *EpochEnd      // v12+
}

// NewFetchPartition returns a partition with an error and nothing else: offsets -1, no replica, no records.
func NewFetchPartition(partition int32, err kafka.Error) FetchPartition {
	return FetchPartition{Partition: partition, Err: err, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1}
}

// AbortedTransaction tells a read_committed consumer to skip the producer's records from FirstOffset to its next marker.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEnd is a leader epoch with the offset at which it ends.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// CurrentLeader names the leader that a client should turn to (KIP-951).
type CurrentLeader struct {
	LeaderID    int32
	LeaderEpoch int32
}

// FetchBroker is the address of a broker that CurrentLeader names.
type FetchBroker struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   *string
}

const (
	fetchFlexible  = 12
	fetchTopicByID = 13
)

// fetchEncoder writes everything but records into one buffer, and remembers where records belong.
type fetchEncoder struct {
	b        []byte
	version  int16
	flexible bool
	cuts     []int    // ends of the stretches of b, one before each set of records
	records  [][]Part // the set after each stretch
	bytes    int64    // of all records
}

// EncodeFetchResponse encodes resp as the answer to h. The records' parts become parts of the response, which calls their
// Done; resp must not be used for another response.
func EncodeFetchResponse(h RequestHeader, resp *FetchResponse) Response {
	partitions, parts := 0, 1
	for i := range resp.Topics {
		partitions += len(resp.Topics[i].Partitions)
		for j := range resp.Topics[i].Partitions {
			parts += 1 + len(resp.Topics[i].Partitions[j].Records)
		}
	}
	e := fetchEncoder{
		version:  resp.Version,
		flexible: resp.Version >= fetchFlexible,
		cuts:     make([]int, 0, partitions),
		records:  make([][]Part, 0, partitions),
	}
	buf := getBuffer(64*partitions + 256)
	e.b = appendResponseHeader(buf.b, h, e.flexible)
	e.body(resp)
	return e.finish(buf, parts)
}

// finish puts what was encoded and the records together. It takes room for so many parts.
func (e *fetchEncoder) finish(buf *buffer, parts int) Response {
	buf.b = e.b
	binary.BigEndian.PutUint32(e.b, uint32(int64(len(e.b)-4)+e.bytes))

	out := make([]Part, 0, parts)
	from := 0
	for i, cut := range e.cuts {
		out = append(out, Part{Bytes: e.b[from:cut:cut]})
		out = append(out, e.records[i]...)
		from = cut
	}
	// The last stretch may be empty, but it comes after all others of the buffer and so can give it back.
	out = append(out, Part{Bytes: e.b[from:], Done: buf.put})
	return Response{Parts: out}
}

func (e *fetchEncoder) body(resp *FetchResponse) {
	e.int32(resp.ThrottleMillis)
	if e.version >= 7 {
		e.int16(int16(resp.Err))
		e.int32(resp.SessionID)
	}
	e.arrayLen(len(resp.Topics))
	for i := range resp.Topics {
		topic := &resp.Topics[i]
		if e.version < fetchTopicByID {
			e.string(topic.Topic)
		} else {
			e.b = append(e.b, topic.TopicID[:]...)
		}
		e.arrayLen(len(topic.Partitions))
		for j := range topic.Partitions {
			e.partition(&topic.Partitions[j])
		}
		e.noTags()
	}
	if !e.flexible {
		return
	}
	if len(resp.Brokers) == 0 {
		e.b = append(e.b, 0)
		return
	}
	e.b = append(e.b, 1)
	e.tagged(0, func() {
		e.arrayLen(len(resp.Brokers))
		for i := range resp.Brokers {
			e.broker(&resp.Brokers[i])
		}
	})
}

// broker writes where a broker is, for versions whose texts are compact.
func (e *fetchEncoder) broker(b *FetchBroker) {
	e.int32(b.NodeID)
	e.string(b.Host)
	e.int32(b.Port)
	e.nullableString(b.Rack)
	e.noTags()
}

func (e *fetchEncoder) partition(p *FetchPartition) {
	e.int32(p.Partition)
	e.int16(int16(p.Err))
	e.int64(p.HighWatermark)
	e.int64(p.LastStableOffset)
	if e.version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if p.Aborted == nil {
		e.nullArray()
	} else {
		e.arrayLen(len(p.Aborted))
		for _, a := range p.Aborted {
			e.int64(a.ProducerID)
			e.int64(a.FirstOffset)
			e.noTags()
		}
	}
	if e.version >= 11 {
		e.int32(p.PreferredReadReplica)
	}
	size := int64(0)
	for _, part := range p.Records {
		size += part.Size()
	}
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(size)+1)
	} else {
		e.int32(int32(size))
	}
	e.cuts = append(e.cuts, len(e.b))
	e.records = append(e.records, p.Records)
	e.bytes += size
	if e.flexible {
		e.partitionTags(p)
	}
}

func (e *fetchEncoder) partitionTags(p *FetchPartition) {
	count := byte(0)
	for _, set := range [...]bool{p.DivergingEpoch != nil, p.CurrentLeader != nil, p.SnapshotID != nil} {
		if set {
			count++
		}
	}
	e.b = append(e.b, count)
	if d := p.DivergingEpoch; d != nil {
		e.tagged(0, func() { e.int32(d.Epoch); e.int64(d.EndOffset); e.noTags() })
	}
	if l := p.CurrentLeader; l != nil {
		e.tagged(1, func() { e.int32(l.LeaderID); e.int32(l.LeaderEpoch); e.noTags() })
	}
	if s := p.SnapshotID; s != nil {
		e.tagged(2, func() { e.int64(s.EndOffset); e.int32(s.Epoch); e.noTags() })
	}
}

// tagged writes tag, length and what content writes. The length comes first but is known last, so the content is moved
// by the few bytes that the length takes.
func (e *fetchEncoder) tagged(tag byte, content func()) {
	e.b = append(e.b, tag)
	start := len(e.b)
	content()
	size := len(e.b) - start
	var prefix [binary.MaxVarintLen32]byte
	n := binary.PutUvarint(prefix[:], uint64(size))
	e.b = append(e.b, prefix[:n]...)
	copy(e.b[start+n:], e.b[start:start+size])
	copy(e.b[start:], prefix[:n])
}

func (e *fetchEncoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *fetchEncoder) arrayLen(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) nullArray() {
	if e.flexible {
		e.b = append(e.b, 0)
	} else {
		e.int32(-1)
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(len(s))+1)
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

func (e *fetchEncoder) noTags() {
	if e.flexible {
		e.b = append(e.b, 0)
	}
}
