package streamsrecord

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

// The bytes were written by the classes of Apache Kafka 4.3.1.
var golden = []struct {
	record Record
	value  string
}{
	{
		Record{Kind: KindGroup, Group: "g", Value: &Group{Epoch: 3, MetadataHash: 77, ValidatedTopologyEpoch: 2, Configs: []KeyValue{{"num.standby.replicas", "1"}}}},
		"000000000003000000000000004d02000400000002011902156e756d2e7374616e6462792e7265706c69636173023100",
	},
	{Record{Kind: KindGroup, Group: "g", Value: &Group{Epoch: 3, MetadataHash: 77, ValidatedTopologyEpoch: -1}}, "000000000003000000000000004d00"},
	{
		Record{Kind: KindMember, Group: "g", Member: "m", Value: &Member{
			InstanceID: new("i"), ClientID: "c", ClientHost: "/h", RebalanceTimeoutMillis: 5, TopologyEpoch: 1, ProcessID: "p",
			Endpoint: &Endpoint{"e", 65000}, Tags: []KeyValue{{"k", "v"}},
		}},
		"00000269000263032f6800000005000000010270010265fde80002026b02760000",
	},
	{
		Record{Kind: KindMember, Group: "g", Member: "m", Value: &Member{InstanceID: new(""), RackID: new(""), ClientID: "c", ClientHost: "/h", RebalanceTimeoutMillis: 5, TopologyEpoch: 1, ProcessID: "p"}},
		"000001010263032f6800000005000000010270ff0100",
	},
	{Record{Kind: KindTargetEpoch, Group: "g", Value: &TargetEpoch{9, 5}}, "0000000000090100080000000000000005"},
	{
		Record{Kind: KindTarget, Group: "g", Member: "m", Value: &Tasks{Active: []TaskIDs{{Subtopology: "0", Partitions: []int32{1, 2}}}, Warmup: []TaskIDs{{Subtopology: "1", Partitions: []int32{3}}}}},
		"0000020230030000000100000002000102023102000000030000",
	},
	{
		Record{Kind: KindCurrent, Group: "g", Member: "m", Value: &Current{
			Epoch: 4, PreviousEpoch: 3, State: 2, Owned: Tasks{Active: []TaskIDs{{"0", []int32{1, 2}, []int32{3, 4}}}},
			Revoking: Tasks{Standby: []TaskIDs{{Subtopology: "0", Partitions: []int32{5}}}},
		}},
		"00000000000400000003020202300300000001000000020100090300000003000000040101010202300200000005000100",
	},
	{
		Record{Kind: KindTopology, Group: "g", Value: &Topology{Epoch: 1, Subtopologies: []Subtopology{{
			ID: "0", SourceTopics: []string{"in"}, SourceTopicRegex: []string{"x.*"},
			StateChangelogTopics: []TopicInfo{{"cl", 0, -1, []KeyValue{{"a", "b"}}}}, RepartitionSinkTopics: []string{"rp"},
			RepartitionSourceTopics: []TopicInfo{{"rs", 7, 1, nil}}, CopartitionGroups: []CopartitionGroup{{[]int16{0}, nil, []int16{0}}},
		}}}},
		"0000000000010202300203696e0204782e2a0203636c00000000ffff02026102620000020372700203727300000007000101000202000001020000000000",
	},
}

func TestRecordsAreThoseOfKafka(t *testing.T) {
	t.Parallel()
	for _, c := range golden {
		if got := hex.EncodeToString(c.record.ValueBytes()); got != c.value {
			t.Errorf("value of %T:\n got %s\nwant %s", c.record.Value, got, c.value)
		}
		key := c.record.AppendKey(nil)
		b, err := hex.DecodeString(c.value)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(key, b); err != nil || !reflect.DeepEqual(got, c.record) {
			t.Errorf("Decode of %T: %+v, %v", c.record.Value, got, err)
		}
		tombstone := c.record
		tombstone.Value = nil
		if got, err := Decode(key, nil); err != nil || !reflect.DeepEqual(got, tombstone) || got.ValueBytes() != nil {
			t.Errorf("Decode of a tombstone of %T: %+v, %v", c.record.Value, got, err)
		}
		for n := range b {
			if _, err := Decode(key, b[:n:n]); err == nil {
				t.Errorf("%T cut to %d of %d bytes is accepted", c.record.Value, n, len(b))
			}
		}
		for n := range key {
			if _, err := Decode(key[:n], b); err == nil {
				t.Errorf("key of %T cut to %d of %d bytes is accepted", c.record.Value, n, len(key))
			}
		}
	}
}

func TestRecordsOfOthersAreLeftToThem(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "00", "0002000167", "0012000167"} {
		b, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b, nil); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("key %s: %v, want ErrUnknownKind", key, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range golden {
		f.Add(c.record.AppendKey(nil), c.record.ValueBytes())
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := Decode(key, value)
		if err != nil {
			return
		}
		again, err := Decode(r.AppendKey(nil), r.ValueBytes())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
