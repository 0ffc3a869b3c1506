//go:build fault

package fault

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareClient speaks of the share group "g" and the topic "shared" to a broker, request by request.
type shareClient struct {
	t      *testing.T
	broker *kgo.Broker
	topic  [16]byte
}

func newShareClient(t *testing.T, addr string) *shareClient {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	c := &shareClient{t: t, broker: cl.SeedBrokers()[0]}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKeys = []string{"g"}
	c.send(find)
	meta := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new("shared")
	meta.Topics, meta.AllowAutoTopicCreation = append(meta.Topics, topic), true
	for deadline := time.Now().Add(10 * time.Second); c.topic == [16]byte{} && time.Now().Before(deadline); {
		c.topic = c.send(meta).(*kmsg.MetadataResponse).Topics[0].TopicID
	}
	return c
}

func (c *shareClient) send(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	res, err := c.broker.Request(c.t.Context(), req)
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// begin lets the group begin at offset 0.
func (c *shareClient) begin() {
	c.t.Helper()
	req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	req.GroupID = "g"
	topic := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	topic.Topic, topic.Partitions = "shared", []kmsg.AlterShareGroupOffsetsRequestTopicPartition{kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()}
	req.Topics = append(req.Topics, topic)
	for {
		res := c.send(req).(*kmsg.AlterShareGroupOffsetsResponse)
		if res.ErrorCode == kerr.CoordinatorLoadInProgress.Code {
			continue
		}
		if res.ErrorCode != 0 || res.Topics[0].Partitions[0].ErrorCode != 0 {
			c.t.Fatalf("alter: %+v", res)
		}
		return
	}
}

// fetch returns how often each record was delivered that a new session gets. A state that is still being loaded is asked
// for again.
func (c *shareClient) fetch(member string) map[int64]int16 {
	c.t.Helper()
	req := kmsg.NewPtrShareFetchRequest()
	req.GroupID, req.MemberID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = new("g"), &member, 500, 1, 1<<20, 5000, 5000
	topic := kmsg.NewShareFetchRequestTopic()
	topic.TopicID, topic.Partitions = c.topic, []kmsg.ShareFetchRequestTopicPartition{kmsg.NewShareFetchRequestTopicPartition()}
	req.Topics = append(req.Topics, topic)
	got := map[int64]int16{}
	for deadline := time.Now().Add(15 * time.Second); len(got) == 0 && time.Now().Before(deadline); {
		res := c.send(req).(*kmsg.ShareFetchResponse)
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				for _, a := range p.AcquiredRecords {
					for o := a.FirstOffset; o <= a.LastOffset; o++ {
						got[o] = a.DeliveryCount
					}
				}
			}
		}
	}
	return got
}

// acknowledge says one thing of one record, and fails the test unless it is taken.
func (c *shareClient) acknowledge(member string, epoch int32, offset int64, kind int8) {
	c.t.Helper()
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = new("g"), &member, epoch
	b := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
	b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = offset, offset, []int8{kind}
	p := kmsg.NewShareAcknowledgeRequestTopicPartition()
	p.AcknowledgementBatches = append(p.AcknowledgementBatches, b)
	topic := kmsg.NewShareAcknowledgeRequestTopic()
	topic.TopicID, topic.Partitions = c.topic, append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	res := c.send(req).(*kmsg.ShareAcknowledgeResponse)
	if res.ErrorCode != 0 || res.Topics[0].Partitions[0].ErrorCode != 0 {
		c.t.Fatalf("acknowledge %d: %+v", offset, res)
	}
}

// What a share consumer was told to be acknowledged is so after a kill, and all else is delivered again.
func TestAcknowledgementsOfShareGroupsSurviveAKill(t *testing.T) {
	rng := random(t)
	dir := filepath.Join(t.TempDir(), "data")
	b := start(t, dir, "127.0.0.1:0")
	c := newShareClient(t, b.Kafka)
	const records = 200
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka), kgo.DefaultProduceTopic("shared"))
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	producer.Close()
	c.begin()
	done, released := map[int64]bool{}, map[int64]bool{}
	for life := range 3 {
		got := c.fetch("m")
		if len(got) != records-len(done) {
			t.Fatalf("life %d: %d records were delivered, want the %d that are not done with", life, len(got), records-len(done))
		}
		for o, count := range got {
			if done[o] {
				t.Errorf("life %d: offset %d was delivered again after it was accepted", life, o)
			}
			if released[o] && count < 2 {
				t.Errorf("life %d: offset %d was released before, and comes for the first time", life, o)
			}
		}
		epoch := int32(1)
		for range 30 {
			o := int64(rng.IntN(records))
			if _, held := got[o]; !held {
				continue
			}
			delete(got, o)
			if rng.IntN(3) == 0 {
				c.acknowledge("m", epoch, o, 2)
				released[o] = true
			} else {
				c.acknowledge("m", epoch, o, 1)
				done[o] = true
			}
			epoch++
		}
		b.Kill()
		b = start(t, dir, "127.0.0.1:0")
		c = newShareClient(t, b.Kafka)
	}
}
