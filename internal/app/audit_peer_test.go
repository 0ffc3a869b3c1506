package app_test

import (
	"encoding/json"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// TestEventsOfOtherBrokersAreChainedByTheOneThatHasThePartition hands over events as broker 1 of a cluster does, between
// those of the broker itself, and reads the chain.
func TestEventsOfOtherBrokersAreChainedByTheOneThatHasThePartition(t *testing.T) {
	t.Parallel()
	o := startOther(t, nil, "audit.enable=true")
	cl := o.server.client(t)
	create := func(name string) {
		req := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, topic)
		if _, err := req.RequestWith(t.Context(), cl); err != nil {
			t.Fatal(err)
		}
	}
	hand := func(events ...auditevent.Event) kafka.Error {
		b := record.NewBuilder(record.None, 0)
		for _, e := range events {
			value, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			b.Append(1, nil, value, nil)
		}
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
		topic, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		p.Records = b.Build(record.BuildOptions{})
		topic.Topic, topic.Partitions = auditevent.Topic, append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		res, err := o.client.Do(t.Context(), 2, req)
		if err != nil {
			t.Fatal(err)
		}
		return kafka.Error(res.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	}
	create("first")
	// The broker's own event makes the topic.
	reader := o.server.client(t, kgo.ConsumeTopics(auditevent.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var v auditevent.Verifier
	sources := map[bool]int{} // how many events are of the other broker, or not
	read := func(other bool, n int) {
		for sources[other] < n {
			fetches := reader.PollFetches(t.Context())
			if err := fetches.Err0(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				e, err := v.Check(r.Value)
				if err != nil {
					t.Errorf("offset %d: %v", r.Offset, err)
				}
				sources[e.Source == "other"]++
			})
		}
	}
	read(false, 1)
	if code := hand(auditevent.Event{Source: "other", Type: auditevent.TypeLost}, auditevent.Event{Source: "other", Type: auditevent.TypeLost}); code != 0 {
		t.Fatalf("events of another broker: %v", code)
	}
	read(true, 2)
	before := sources[false]
	create("second")
	read(false, before+1)
	if sources[true] != 2 {
		t.Errorf("%d events of the other broker, want 2", sources[true])
	}
}
