package sharerecord

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
)

// The bytes below were written by Apache Kafka 4.3.1.
const (
	memberKey   = "000a000b73672d303434636534313500026d31"
	memberValue = "0000037231056d61696e0b2f3132372e302e302e31030e6e6f70652d30343463653431350b732d303434636534313500"
)

func id(t *testing.T, s string) (id kafka.TopicID) {
	t.Helper()
	copy(id[:], unhex(t, s))
	return id
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGroupRecordsAreKafkasBytes(t *testing.T) {
	t.Parallel()
	s := id(t, "dfb776561023495e88e11ee5521fdaa2")
	u := id(t, "41742525f1854dd3a37d02f86dfa7cfa")
	rack := "r1"
	for _, c := range []struct {
		r     GroupRecord
		value string
	}{
		{GroupRecord{KindMember, "sg-044ce415", "m1", &Member{&rack, "main", "/127.0.0.1", []string{"nope-044ce415", "s-044ce415"}}}, memberValue},
		{GroupRecord{KindEpoch, "sg-044ce415", "", &Epoch{2, 0x69fb67c7c6a14469}}, "00000000000269fb67c7c6a1446900"},
		{GroupRecord{KindAssignmentEpoch, "sg-044ce415", "", &AssignmentEpoch{2, 0x1a1feeee69b}}, "000000000002010008000001a1feeee69b"},
		{GroupRecord{KindTarget, "sg-044ce415", "m1", &Assignment{}}, "00000100"},
		{GroupRecord{KindTarget, "sg-044ce415", "m1", &Assignment{[]TopicPartitions{{s, []int32{0, 1}}}}}, "000002dfb776561023495e88e11ee5521fdaa20300000000000000010000"},
		{GroupRecord{KindCurrent, "sg-044ce415", "m1", &Current{3, 2, 0, []TopicPartitions{{s, []int32{0, 1}}}}}, "000000000003000000020002dfb776561023495e88e11ee5521fdaa20300000000000000010000"},
		{
			GroupRecord{KindPartitions, "sg-044ce415", "", &Partitions{
				Initializing: []NamedPartitions{{u, "u-044ce415", []int32{0}}}, Initialized: []NamedPartitions{{s, "s-044ce415", []int32{0, 1}}},
			}},
			"00000241742525f1854dd3a37d02f86dfa7cfa0b752d303434636534313502000000000002dfb776561023495e88e11ee5521fdaa20b732d3034346365343135030000000000000001000100",
		},
		{
			GroupRecord{KindPartitions, "sg-044ce415", "", &Partitions{
				Initialized: []NamedPartitions{{s, "s-044ce415", []int32{0, 1}}}, Deleting: []NamedTopic{{u, "u-044ce415"}},
			}},
			"00000102dfb776561023495e88e11ee5521fdaa20b732d3034346365343135030000000000000001000241742525f1854dd3a37d02f86dfa7cfa0b752d30343463653431350000",
		},
		{GroupRecord{Kind: KindEpoch, Group: "sg-044ce415"}, ""},
	} {
		if got := hex.EncodeToString(c.r.EncodeValue()); got != c.value {
			t.Errorf("value of %+v is\n%s, want\n%s", c.r, got, c.value)
		}
		got, err := DecodeGroup(c.r.AppendKey(nil), c.r.EncodeValue())
		if err != nil || !reflect.DeepEqual(got, c.r) {
			t.Errorf("decoded %+v, %v, want %+v", got, err, c.r)
		}
	}
	r := GroupRecord{Kind: KindMember, Group: "sg-044ce415", Member: "m1"}
	if got := hex.EncodeToString(r.AppendKey(nil)); got != memberKey {
		t.Errorf("key is %s, want %s", got, memberKey)
	}
}

func TestStateRecordsAreKafkasBytes(t *testing.T) {
	t.Parallel()
	key := Key{"g-10f82597", id(t, "915fbf14c23d4474a1088e69e55801ac"), 0}
	for _, c := range []struct {
		r     StateRecord
		value string
	}{
		{
			StateRecord{Key: key, Snapshot: &Snapshot{StateEpoch: 2, Start: -1, DeliveryComplete: NoCount, Created: 0x1a1feef594f, Written: 0x1a1feef594f}},
			"0000000000000000000200000000ffffffffffffffff000001a1feef594f000001a1feef594f0100",
		},
		{
			StateRecord{Key: key, Snapshot: &Snapshot{SnapshotEpoch: 1, StateEpoch: 6, Created: 0x1a1feef42ab, Written: 0x1a1feef42ab}},
			"00000000000100000006000000000000000000000000000001a1feef42ab000001a1feef42ab0101000400000000",
		},
		{
			StateRecord{Key: key, IsUpdate: true, Update: &Update{Start: 1, DeliveryComplete: 1, Batches: []Batch{{1, 1, StateAvailable, 1}, {2, 2, StateArchived, 1}}}},
			"000000000000000000000000000000000001030000000000000001000000000000000100000100000000000000000200000000000000020400010001000400000001",
		},
		{StateRecord{Key: key, IsUpdate: true}, ""},
	} {
		if got := hex.EncodeToString(c.r.EncodeValue()); got != c.value {
			t.Errorf("value of %+v is\n%s, want\n%s", c.r, got, c.value)
		}
		got, err := DecodeState(c.r.AppendKey(nil), c.r.EncodeValue())
		if err != nil || !reflect.DeepEqual(got, c.r) {
			t.Errorf("decoded %+v, %v, want %+v", got, err, c.r)
		}
	}
	if got, want := key.String(), "g-10f82597:kV-_FMI9RHShCI5p5VgBrA:0"; got != want {
		t.Errorf("key is %s, want %s", got, want)
	}
}

func TestDecodersTellOtherKindsFromDamage(t *testing.T) {
	t.Parallel()
	if _, err := DecodeGroup([]byte{0, 2, 0, 1, 'g'}, nil); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("a classic group's key gives %v, want ErrUnknownKind", err)
	}
	if _, err := DecodeState([]byte{0, 7}, nil); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("a key of kind 7 gives %v, want ErrUnknownKind", err)
	}
	for _, b := range []string{"", "00", "000b0009ff", "000b000161ff"} {
		if _, err := DecodeGroup(unhex(t, b), nil); err == nil || errors.Is(err, ErrUnknownKind) {
			t.Errorf("key %s gives %v, want an error of damage", b, err)
		}
	}
	for _, v := range []string{"0001", "0000", "000000000002", "0000ffffffff0f"} {
		if _, err := DecodeGroup(unhex(t, "000d00016700016d"), unhex(t, v)); err == nil || errors.Is(err, ErrUnknownKind) {
			t.Errorf("value %s gives %v, want an error of damage", v, err)
		}
	}
}

func FuzzDecodeGroup(f *testing.F) {
	for _, r := range []GroupRecord{
		{KindMember, "g", "m", &Member{ClientID: "c", SubscribedTopics: []string{"t"}}},
		{KindEpoch, "g", "", &Epoch{1, 2}},
		{KindAssignmentEpoch, "g", "", &AssignmentEpoch{1, 2}},
		{KindTarget, "g", "m", &Assignment{[]TopicPartitions{{Partitions: []int32{1}}}}},
		{KindCurrent, "g", "m", &Current{1, 0, 0, []TopicPartitions{{Partitions: []int32{1}}}}},
		{KindPartitions, "g", "", &Partitions{Initialized: []NamedPartitions{{Name: "t", Partitions: []int32{0}}}, Deleting: []NamedTopic{{Name: "d"}}}},
	} {
		f.Add(r.AppendKey(nil), r.EncodeValue())
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := DecodeGroup(key, value)
		if err != nil {
			return
		}
		again, err := DecodeGroup(r.AppendKey(nil), r.EncodeValue())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("decoded %+v, and after encoding it %+v, %v", r, again, err)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	for _, r := range []StateRecord{
		{Key: Key{Group: "g"}, Snapshot: &Snapshot{Start: 4, Batches: []Batch{{4, 5, 2, 1}}}},
		{Key: Key{Group: "g"}, IsUpdate: true, Update: &Update{Start: -1, DeliveryComplete: 3, Batches: []Batch{{4, 5, 2, 1}}}},
	} {
		f.Add(r.AppendKey(nil), r.EncodeValue())
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := DecodeState(key, value)
		if err != nil {
			return
		}
		again, err := DecodeState(r.AppendKey(nil), r.EncodeValue())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("decoded %+v, and after encoding it %+v, %v", r, again, err)
		}
	})
}
