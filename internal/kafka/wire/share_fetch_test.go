package wire

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

func randomText(rng *rand.Rand) *string {
	if rng.IntN(2) == 0 {
		return nil
	}
	return new(string(randomBody(rng, rng.IntN(200))))
}

func TestShareFetchResponseBytesEqualTheLibrarys(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 400 {
		var done, dones atomic.Int64
		ours := &ShareFetchResponse{ThrottleMillis: rng.Int32(), Err: kafka.Error(rng.IntN(9)), Text: randomText(rng), LockMillis: rng.Int32()}
		theirs := kmsg.NewPtrShareFetchResponse()
		theirs.Version = int16(1 + rng.IntN(2))
		theirs.ThrottleMillis, theirs.ErrorCode, theirs.ErrorMessage, theirs.AcquisitionLockTimeoutMillis = ours.ThrottleMillis, int16(ours.Err), ours.Text, ours.LockMillis
		for range rng.IntN(4) {
			topic, other := ShareFetchTopic{}, kmsg.NewShareFetchResponseTopic()
			copy(topic.TopicID[:], randomBody(rng, 16))
			other.TopicID = topic.TopicID
			for i := range int32(rng.IntN(4)) {
				p := ShareFetchPartition{
					Partition: i, Err: kafka.Error(rng.IntN(9)), Text: randomText(rng), AckErr: kafka.Error(rng.IntN(9)), AckText: randomText(rng),
					Leader: CurrentLeader{rng.Int32(), rng.Int32()},
				}
				o := kmsg.NewShareFetchResponseTopicPartition()
				o.Partition, o.ErrorCode, o.ErrorMessage, o.AcknowledgeErrorCode, o.AcknowledgeErrorMessage = i, int16(p.Err), p.Text, int16(p.AckErr), p.AckText
				o.CurrentLeader.LeaderID, o.CurrentLeader.LeaderEpoch = p.Leader.LeaderID, p.Leader.LeaderEpoch
				o.Records = []byte{}
				for range rng.IntN(3) {
					b := randomBody(rng, rng.IntN(300))
					p.Records = append(p.Records, Part{Bytes: b, Done: func() { done.Add(1) }})
					o.Records = append(o.Records, b...)
					dones.Add(1)
				}
				for range rng.IntN(3) {
					a := AcquiredRecords{rng.Int64(), rng.Int64(), int16(rng.IntN(9))}
					p.Acquired = append(p.Acquired, a)
					r := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
					r.FirstOffset, r.LastOffset, r.DeliveryCount = a.First, a.Last, a.DeliveryCount
					o.AcquiredRecords = append(o.AcquiredRecords, r)
				}
				topic.Partitions, other.Partitions = append(topic.Partitions, p), append(other.Partitions, o)
			}
			ours.Topics, theirs.Topics = append(ours.Topics, topic), append(theirs.Topics, other)
		}
		for range rng.IntN(3) {
			b := FetchBroker{NodeID: rng.Int32(), Host: string(randomBody(rng, 9)), Port: rng.Int32(), Rack: randomText(rng)}
			n := kmsg.NewShareFetchResponseNodeEndpoint()
			n.NodeID, n.Host, n.Port, n.Rack = b.NodeID, b.Host, b.Port, b.Rack
			ours.Brokers, theirs.NodeEndpoints = append(ours.Brokers, b), append(theirs.NodeEndpoints, n)
		}
		h := RequestHeader{Key: 78, Version: theirs.Version, CorrelationID: rng.Int32()}
		want, got := written(t, EncodeResponse(h, theirs)), written(t, EncodeShareFetchResponse(h, ours))
		if !bytes.Equal(got, want) {
			t.Fatalf("got  %x\nwant %x", got, want)
		}
		if done.Load() != dones.Load() {
			t.Fatalf("%d of %d parts done", done.Load(), dones.Load())
		}
	}
}
