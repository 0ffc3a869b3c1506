package internalrecord

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// segments is where TestDocumentsEqualThoseOfKafkasTool leaves the records as segments of Kafka's, for its tool to print; see testdata/README.md.
var segments = flag.String("segments", "", "folder to write the samples to, as log segments")

type sample struct{ key, value []byte }

var (
	topicA = kafka.TopicID{0xe8, 0xa7, 0x02, 0xa3, 0xcd, 0xd9, 0x41, 0x04, 0x9d, 0xe8, 0x77, 0x1b, 0x42, 0xa0, 0xec, 0xae}
	topicB = kafka.TopicID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
)

// samples are records of every kind, each with everything in it, with as little as there can be, and as a tombstone.
func samples() map[string][]sample {
	all := map[string][]sample{}
	offset := func(rs ...offsetrecord.Record) {
		for _, r := range rs {
			all[kafka.GroupMetadataTopic] = append(all[kafka.GroupMetadataTopic], sample{r.AppendKey(nil), r.Value()})
		}
	}
	offset(
		offsetrecord.Record{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t", Partition: 3, Offset: &offsetrecord.Offset{Offset: 5, LeaderEpoch: 2, Metadata: "meta", CommitTimestamp: 1795000000000, ExpireTimestamp: offsetrecord.NoTimestamp, TopicID: topicA}},
		offsetrecord.Record{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t", Offset: &offsetrecord.Offset{Offset: 6, LeaderEpoch: -1, CommitTimestamp: 1795000000000, ExpireTimestamp: offsetrecord.NoTimestamp}},
		offsetrecord.Record{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t", Offset: &offsetrecord.Offset{Offset: 7, LeaderEpoch: -1, CommitTimestamp: 1795000000000, ExpireTimestamp: 1795000000009}},
		offsetrecord.Record{Kind: offsetrecord.KindOffset, Group: "g", Topic: "t", Partition: 3},
		offsetrecord.Record{Kind: offsetrecord.KindMetadata, Group: "g", Metadata: &offsetrecord.Metadata{ProtocolType: "consumer", Generation: 2, StateTimestamp: 1795000000001}},
		offsetrecord.Record{Kind: offsetrecord.KindMetadata, Group: "g", Metadata: &offsetrecord.Metadata{
			ProtocolType: "consumer", Generation: 3, Protocol: "range", Leader: "m1", StateTimestamp: 1795000000001,
			Members: []offsetrecord.Member{
				{ID: "m1", InstanceID: "i1", ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 20000, SessionTimeoutMillis: 10000, Subscription: []byte{0, 1, 0, 0}, Assignment: []byte("A1")},
				{ID: "m2", ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 20000, SessionTimeoutMillis: 10000},
			},
		}},
		offsetrecord.Record{Kind: offsetrecord.KindMetadata, Group: "g"},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerGroup, Group: "g", Body: &offsetrecord.ConsumerGroup{Epoch: 4, MetadataHash: -77}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerGroup, Group: "g", Body: &offsetrecord.ConsumerGroup{Epoch: 4}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerGroup, Group: "g"},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerPartitions, Group: "g"},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerMember, Group: "g", Member: "m1", Body: &offsetrecord.ConsumerMember{
			InstanceID: "i1", RackID: "r1", ClientID: "c", ClientHost: "/127.0.0.1", Topics: []string{"t", "u"}, Regex: "t.*", RebalanceTimeoutMillis: 300000, Assignor: "uniform",
			Classic: &offsetrecord.ClassicMember{SessionTimeoutMillis: 45000, Protocols: []offsetrecord.ClassicProtocol{{Name: "range", Metadata: []byte{0, 1}}}},
		}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerMember, Group: "g", Member: "m1", Body: &offsetrecord.ConsumerMember{ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: -1}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerMember, Group: "g", Member: "m1"},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerTarget, Group: "g", Body: &offsetrecord.ConsumerTarget{Epoch: 4, Timestamp: 1795000000002}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerTarget, Group: "g", Body: &offsetrecord.ConsumerTarget{Epoch: 4}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerTargetMember, Group: "g", Member: "m1", Body: &offsetrecord.ConsumerAssignment{Topics: []offsetrecord.TopicPartitions{{ID: topicA, Partitions: []int32{0, 2}}, {ID: topicB, Partitions: []int32{1}}}}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerTargetMember, Group: "g", Member: "m1", Body: &offsetrecord.ConsumerAssignment{}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerCurrent, Group: "g", Member: "m1", Body: &offsetrecord.ConsumerCurrent{
			Epoch: 4, PreviousEpoch: 3, State: 1, Assigned: []offsetrecord.TopicPartitions{{ID: topicA, Partitions: []int32{0, 2}, Epochs: []int32{3, 4}}}, Revoking: []offsetrecord.TopicPartitions{{ID: topicB, Partitions: []int32{1}}},
		}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerRegex, Group: "g", Regex: "t.*", Body: &offsetrecord.ConsumerRegex{Topics: []string{"t"}, Version: 9, Timestamp: 1795000000003}},
		offsetrecord.Record{Kind: offsetrecord.KindConsumerRegex, Group: "g", Regex: "t.*"},
	)
	share := func(rs ...sharerecord.GroupRecord) {
		for _, r := range rs {
			all[kafka.GroupMetadataTopic] = append(all[kafka.GroupMetadataTopic], sample{r.AppendKey(nil), r.EncodeValue()})
		}
	}
	share(
		sharerecord.GroupRecord{Kind: sharerecord.KindMember, Group: "s", Member: "m1", Value: &sharerecord.Member{RackID: new("r1"), ClientID: "c", ClientHost: "/127.0.0.1", SubscribedTopics: []string{"t"}}},
		sharerecord.GroupRecord{Kind: sharerecord.KindMember, Group: "s", Member: "m1", Value: &sharerecord.Member{ClientID: "c", ClientHost: "/127.0.0.1"}},
		sharerecord.GroupRecord{Kind: sharerecord.KindMember, Group: "s", Member: "m1"},
		sharerecord.GroupRecord{Kind: sharerecord.KindEpoch, Group: "s", Value: &sharerecord.Epoch{Epoch: 2, MetadataHash: 5}},
		sharerecord.GroupRecord{Kind: sharerecord.KindAssignmentEpoch, Group: "s", Value: &sharerecord.AssignmentEpoch{Epoch: 2, Timestamp: 1795000000004}},
		sharerecord.GroupRecord{Kind: sharerecord.KindAssignmentEpoch, Group: "s", Value: &sharerecord.AssignmentEpoch{Epoch: 2}},
		sharerecord.GroupRecord{Kind: sharerecord.KindTarget, Group: "s", Member: "m1", Value: &sharerecord.Assignment{Topics: []sharerecord.TopicPartitions{{ID: topicA, Partitions: []int32{0, 1}}}}},
		sharerecord.GroupRecord{Kind: sharerecord.KindCurrent, Group: "s", Member: "m1", Value: &sharerecord.Current{Epoch: 2, Previous: 1, Topics: []sharerecord.TopicPartitions{{ID: topicA, Partitions: []int32{0, 1}}}}},
		sharerecord.GroupRecord{Kind: sharerecord.KindPartitions, Group: "s", Value: &sharerecord.Partitions{
			Initializing: []sharerecord.NamedPartitions{{ID: topicA, Name: "t", Partitions: []int32{0}}}, Initialized: []sharerecord.NamedPartitions{{ID: topicB, Name: "u", Partitions: []int32{1}}},
			Deleting: []sharerecord.NamedTopic{{ID: topicB, Name: "v"}},
		}},
	)
	streams := func(rs ...streamsrecord.Record) {
		for _, r := range rs {
			all[kafka.GroupMetadataTopic] = append(all[kafka.GroupMetadataTopic], sample{r.AppendKey(nil), r.ValueBytes()})
		}
	}
	tasks := streamsrecord.Tasks{
		Active: []streamsrecord.TaskIDs{{Subtopology: "0", Partitions: []int32{0, 1}}}, Standby: []streamsrecord.TaskIDs{{Subtopology: "1", Partitions: []int32{2}}},
		Warmup: []streamsrecord.TaskIDs{{Subtopology: "1", Partitions: []int32{3}}},
	}
	owned := tasks
	owned.Active = []streamsrecord.TaskIDs{{Subtopology: "0", Partitions: []int32{0, 1}, Epochs: []int32{1, 2}}}
	streams(
		streamsrecord.Record{Kind: streamsrecord.KindGroup, Group: "w", Value: &streamsrecord.Group{Epoch: 2, MetadataHash: 5, ValidatedTopologyEpoch: 1, Configs: []streamsrecord.KeyValue{{Key: "num.standby.replicas", Value: "1"}}}},
		streamsrecord.Record{Kind: streamsrecord.KindGroup, Group: "w", Value: &streamsrecord.Group{Epoch: 2, ValidatedTopologyEpoch: -1}},
		streamsrecord.Record{Kind: streamsrecord.KindMember, Group: "w", Member: "m1", Value: &streamsrecord.Member{
			InstanceID: new("i1"), RackID: new("r1"), ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 300000, TopologyEpoch: 1, ProcessID: "p",
			Endpoint: &streamsrecord.Endpoint{Host: "h", Port: 8080}, Tags: []streamsrecord.KeyValue{{Key: "zone", Value: "a"}},
		}},
		streamsrecord.Record{Kind: streamsrecord.KindMember, Group: "w", Member: "m1", Value: &streamsrecord.Member{ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 300000, ProcessID: "p"}},
		streamsrecord.Record{Kind: streamsrecord.KindMember, Group: "w", Member: "m1"},
		streamsrecord.Record{Kind: streamsrecord.KindTargetEpoch, Group: "w", Value: &streamsrecord.TargetEpoch{Epoch: 2, TimestampMillis: 1795000000005}},
		streamsrecord.Record{Kind: streamsrecord.KindTargetEpoch, Group: "w", Value: &streamsrecord.TargetEpoch{Epoch: 2}},
		streamsrecord.Record{Kind: streamsrecord.KindTarget, Group: "w", Member: "m1", Value: &tasks},
		streamsrecord.Record{Kind: streamsrecord.KindCurrent, Group: "w", Member: "m1", Value: &streamsrecord.Current{Epoch: 2, PreviousEpoch: 1, State: 1, Owned: owned, Revoking: streamsrecord.Tasks{}}},
		streamsrecord.Record{Kind: streamsrecord.KindTopology, Group: "w", Value: &streamsrecord.Topology{Epoch: 1, Subtopologies: []streamsrecord.Subtopology{{
			ID: "0", SourceTopics: []string{"t"}, SourceTopicRegex: []string{"u.*"}, StateChangelogTopics: []streamsrecord.TopicInfo{{Name: "log", Replication: 1, Configs: []streamsrecord.KeyValue{{Key: "a", Value: "b"}}}},
			RepartitionSinkTopics: []string{"sink"}, RepartitionSourceTopics: []streamsrecord.TopicInfo{{Name: "re", Partitions: 4}},
			CopartitionGroups: []streamsrecord.CopartitionGroup{{SourceTopics: []int16{0}, RepartitionSourceTopics: []int16{0}}},
		}}}},
	)
	for _, r := range []txnrecord.Record{
		{TransactionalID: "tx", Transaction: &txnrecord.Transaction{
			ProducerID: 4000, ProducerEpoch: 2, TimeoutMillis: 60000, State: txnrecord.PrepareCommit, Partitions: []kafka.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 2}, {Topic: "u", Partition: 1}},
			LastUpdate: 1795000000006, Start: 1795000000005, PreviousProducerID: 4000, NextProducerID: 4001, ClientVersion: 2, LastProducerEpoch: 1,
		}},
		{TransactionalID: "tx", Transaction: &txnrecord.Transaction{ProducerID: 4000, TimeoutMillis: 60000, LastUpdate: 1795000000006, Start: txnrecord.None, PreviousProducerID: txnrecord.None, NextProducerID: txnrecord.None, LastProducerEpoch: txnrecord.None}},
		{TransactionalID: "tx", Transaction: &txnrecord.Transaction{
			ProducerID: 4000, ProducerEpoch: 7, TimeoutMillis: 60000, State: txnrecord.Ongoing, Partitions: []kafka.TopicPartition{{Topic: "t", Partition: 0}},
			LastUpdate: 1795000000006, Start: 1795000000005, PreviousProducerID: 4000, NextProducerID: txnrecord.None, ClientVersion: 2, LastProducerEpoch: 6,
		}},
		{TransactionalID: "tx"},
	} {
		all[kafka.TransactionStateTopic] = append(all[kafka.TransactionStateTopic], sample{r.AppendKey(nil), r.Value()})
	}
	share1 := sharerecord.Key{Group: "s", Topic: topicA, Partition: 1}
	for _, r := range []sharerecord.StateRecord{
		{Key: share1, Snapshot: &sharerecord.Snapshot{SnapshotEpoch: 3, StateEpoch: 1, LeaderEpoch: 2, Start: 10, DeliveryComplete: 4, Created: 1795000000007, Written: 1795000000008, Batches: []sharerecord.Batch{{First: 10, Last: 12, State: sharerecord.StateAcknowledged, DeliveryCount: 1}}}},
		{Key: share1, Snapshot: &sharerecord.Snapshot{SnapshotEpoch: 3, StateEpoch: 1, LeaderEpoch: 2, Start: -1, DeliveryComplete: sharerecord.NoCount, Created: 1795000000007, Written: 1795000000008}},
		{Key: share1, IsUpdate: true, Update: &sharerecord.Update{SnapshotEpoch: 3, LeaderEpoch: 2, Start: -1, DeliveryComplete: 5, Batches: []sharerecord.Batch{{First: 13, Last: 13, State: sharerecord.StateArchived, DeliveryCount: 5}}}},
		{Key: share1},
	} {
		all[kafka.ShareGroupStateTopic] = append(all[kafka.ShareGroupStateTopic], sample{r.AppendKey(nil), r.EncodeValue()})
	}
	return all
}

func writeSegments(t *testing.T, dir string) {
	t.Helper()
	for topic, records := range samples() {
		b := record.NewBuilder(record.None, 0)
		for _, s := range records {
			b.Append(1795000000000, s.key, s.value, nil)
		}
		path := filepath.Join(dir, topic+"-0")
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "00000000000000000000.log"), b.Build(record.BuildOptions{}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDocumentsEqualThoseOfKafkasTool(t *testing.T) {
	t.Parallel()
	if *segments != "" {
		writeSegments(t, *segments)
	}
	for topic, records := range samples() {
		printed, err := os.ReadFile(filepath.Join("testdata", topic+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSpace(string(printed)), "\n")
		if len(want) != len(records) {
			t.Fatalf("%s: %d records, and %d lines of the tool", topic, len(records), len(want))
		}
		for i, s := range records {
			key, value, ok := Document(topic, s.key, s.value)
			if !ok {
				t.Errorf("%s: record %d is not known; want %s", topic, i, want[i])
				continue
			}
			if value == nil {
				value = []byte("<DELETE>")
			}
			if got := fmt.Sprintf("key: %s payload: %s", key, value); got != want[i] {
				t.Errorf("%s: record %d\n got %s\nwant %s", topic, i, got, want[i])
			}
		}
	}
}

func TestWhatIsNotKnownIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	known := samples()[kafka.TransactionStateTopic][0]
	for name, c := range map[string]struct {
		topic      string
		key, value []byte
	}{
		"a topic of users":    {"orders", known.key, known.value},
		"no key":              {kafka.TransactionStateTopic, nil, known.value},
		"a key of one byte":   {kafka.TransactionStateTopic, []byte{0}, known.value},
		"a value of one byte": {kafka.TransactionStateTopic, known.key, []byte{0}},
		"another kind of key": {kafka.GroupMetadataTopic, []byte{0, 99, 0, 1, 'g'}, nil},
		"a torn value":        {kafka.TransactionStateTopic, known.key, known.value[:9]},
	} {
		if key, value, ok := Document(c.topic, c.key, c.value); ok {
			t.Errorf("%s: got %s and %s", name, key, value)
		}
	}
}

func FuzzDocumentIsJSONOrNothing(f *testing.F) {
	for topic, records := range samples() {
		for _, s := range records {
			f.Add(topic, s.key, s.value)
		}
	}
	f.Fuzz(func(t *testing.T, topic string, key, value []byte) {
		k, v, ok := Document(topic, key, value)
		if ok && (!json.Valid(k) || v != nil && !json.Valid(v)) {
			t.Errorf("got %s and %s", k, v)
		}
	})
}
