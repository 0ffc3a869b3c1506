package weirtest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/weirtest"
)

// startForShares starts a server whose share groups are quick to get going, with the group "g" that reads from the begin.
func startForShares(t *testing.T, opts ...weirtest.Option) *weirtest.Server {
	t.Helper()
	server := weirtest.Start(t, append([]weirtest.Option{
		weirtest.Topic("jobs", 2), weirtest.Setting("share.coordinator.state.topic.num.partitions", "2"),
		weirtest.Setting("group.share.min.heartbeat.interval.ms", "50"), weirtest.Setting("group.share.heartbeat.interval.ms", "50"),
		weirtest.Setting("group.share.assignment.interval.ms", "0"), weirtest.Setting("group.share.min.record.lock.duration.ms", "1000"),
	}, opts...)...)
	configureGroup(t, server, "share.auto.offset.reset", "earliest")
	return server
}

func configureGroup(t *testing.T, server *weirtest.Server, name, value string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = name, &value
	res.Configs = append(res.Configs, c)
	req.Resources = append(req.Resources, res)
	answer, err := req.RequestWith(t.Context(), newClient(t, kgo.SeedBrokers(server.Addr())))
	if err != nil || answer.Resources[0].ErrorCode != 0 {
		t.Fatalf("set %s: %v, %+v", name, err, answer)
	}
}

func produceJobs(t *testing.T, server *weirtest.Server, n int) {
	t.Helper()
	producer := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.DefaultProduceTopic("jobs"))
	var records []*kgo.Record
	for i := range n {
		records = append(records, kgo.StringRecord(fmt.Sprint(i)))
	}
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// Two consumers share a topic. What one of them gives back comes again, and nothing else does.
func TestAShareGroupDeliversEachRecordUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	server := startForShares(t)
	const jobs = 400
	produceJobs(t, server, jobs)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	accepted, deliveries := map[string]int{}, map[string]int32{}
	var consuming sync.WaitGroup
	for range 2 {
		cl := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.ShareGroup("g"), kgo.ConsumeTopics("jobs"), kgo.ShareMaxRecords(20))
		consuming.Go(func() {
			for ctx.Err() == nil {
				fetches := cl.PollRecords(ctx, 20)
				mu.Lock()
				for _, r := range fetches.Records() {
					v := string(r.Value)
					deliveries[v] = max(deliveries[v], r.DeliveryCount())
					if v[len(v)-1] == '7' && r.DeliveryCount() == 1 {
						r.Ack(kgo.AckRelease)
						continue
					}
					r.Ack(kgo.AckAccept)
					if accepted[v]++; len(accepted) == jobs {
						cancel()
					}
				}
				mu.Unlock()
			}
		})
	}
	consuming.Wait()
	if len(accepted) != jobs {
		t.Fatalf("%d of %d records were accepted", len(accepted), jobs)
	}
	for v, n := range accepted {
		want := int32(1)
		if v[len(v)-1] == '7' {
			want = 2
		}
		if n != 1 || deliveries[v] != want {
			t.Errorf("record %s was accepted %d times at delivery %d, want once at %d", v, n, deliveries[v], want)
		}
	}
}

// shares speaks of the group "g" to a server, request by request.
type shares struct {
	t      *testing.T
	broker *kgo.Broker
	topic  [16]byte
}

func newShares(t *testing.T, server *weirtest.Server) *shares {
	t.Helper()
	cl := newClient(t, kgo.SeedBrokers(server.Addr()))
	meta := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new("jobs")
	meta.Topics = append(meta.Topics, topic)
	answer, err := meta.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	s := &shares{t: t, broker: cl.SeedBrokers()[0], topic: answer.Topics[0].TopicID}
	alter := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	alter.GroupID = "g"
	jobs := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	jobs.Topic, jobs.Partitions = "jobs", []kmsg.AlterShareGroupOffsetsRequestTopicPartition{kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()}
	alter.Topics = append(alter.Topics, jobs)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKeys = []string{"g"}
	send(s, find, &kmsg.FindCoordinatorResponse{})
	for {
		res := send(s, alter, &kmsg.AlterShareGroupOffsetsResponse{})
		if res.ErrorCode == kerr.CoordinatorLoadInProgress.Code {
			continue // the topic of groups was just made
		}
		if res.ErrorCode != 0 || res.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("alter: %+v", res)
		}
		return s
	}
}

func send[Res kmsg.Response](s *shares, req kmsg.Request, _ Res) Res {
	s.t.Helper()
	res, err := s.broker.Request(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.(Res)
}

// fetch asks for records of partition 0, and returns how often each was delivered, by offset.
func (s *shares) fetch(member string, epoch int32, wait time.Duration) map[int64]int16 {
	s.t.Helper()
	req := kmsg.NewPtrShareFetchRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = new("g"), &member, epoch
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = int32(wait.Milliseconds()), 1, 1<<20, 1000, 1000
	if epoch == 0 {
		topic := kmsg.NewShareFetchRequestTopic()
		topic.TopicID, topic.Partitions = s.topic, []kmsg.ShareFetchRequestTopicPartition{kmsg.NewShareFetchRequestTopicPartition()}
		req.Topics = append(req.Topics, topic)
	}
	res := send(s, req, &kmsg.ShareFetchResponse{})
	if res.ErrorCode != 0 {
		s.t.Fatalf("fetch: %+v", res)
	}
	got := map[int64]int16{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			for _, a := range p.AcquiredRecords {
				for o := a.FirstOffset; o <= a.LastOffset; o++ {
					got[o] = a.DeliveryCount
				}
			}
		}
	}
	return got
}

func TestLocksEndAndRecordsComeToSomebodyElse(t *testing.T) {
	t.Parallel()
	server := startForShares(t)
	configureGroup(t, server, "share.record.lock.duration.ms", "1000")
	configureGroup(t, server, "share.delivery.count.limit", "2")
	s := newShares(t, server)
	producer := newClient(t, kgo.SeedBrokers(server.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "jobs", Value: []byte("x")}, &kgo.Record{Topic: "jobs", Value: []byte("y")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now() // before the locks are taken
	if got := s.fetch("first", 0, 30*time.Second); len(got) != 2 || got[0] != 1 {
		t.Fatalf("the first member got %v, want both records for the first time", got)
	}
	if got := s.fetch("second", 0, 30*time.Second); len(got) != 2 || got[0] != 2 {
		t.Errorf("the second member got %v, want both records for the second time", got)
	}
	if waited := time.Since(begun); waited < 900*time.Millisecond || waited > 25*time.Second {
		t.Errorf("that took %v, a lock lasts 1 s, and 30 s if nobody says otherwise", waited)
	}
	if got := s.fetch("third", 0, 2*time.Second); len(got) != 0 {
		t.Errorf("the third member got %v, records are delivered twice at most", got)
	}
}
