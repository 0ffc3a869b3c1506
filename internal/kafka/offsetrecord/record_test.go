package offsetrecord

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
)

// The bytes were read from the __consumer_offsets of a running Apache Kafka 4.3.1.
var fromKafka = []struct {
	name, key, value string
	want             Record
}{
	{
		"offset with topic id",
		"0001000267310002743100000000", "0004000000000000000500000003056d657461000001a1fe492c35010010e8a702a3cdd941049de8771b42a0ecae",
		Record{Kind: KindOffset, Group: "g1", Topic: "t1", Partition: 0, Offset: &Offset{
			Offset: 5, LeaderEpoch: 3, Metadata: "meta", CommitTimestamp: 0x1a1fe492c35, ExpireTimestamp: NoTimestamp,
			TopicID: kafka.TopicID(unhex("e8a702a3cdd941049de8771b42a0ecae")),
		}},
	},
	{
		"offset with its own retention",
		"000100037265740002743100000000", "000100000000000000110000000001a1fe492c89000001a1fe801b09",
		Record{Kind: KindOffset, Group: "ret", Topic: "t1", Offset: &Offset{
			Offset: 17, LeaderEpoch: -1, CommitTimestamp: 0x1a1fe492c89, ExpireTimestamp: 0x1a1fe801b09,
		}},
	},
	{
		"offset tombstone", "000100000002743100000000", "",
		Record{Kind: KindOffset, Topic: "t1"},
	},
	{
		"metadata of an empty group",
		"000200026731", "00030008636f6e73756d657200000002ffffffff000001a1fe4939e100000000",
		Record{Kind: KindMetadata, Group: "g1", Metadata: &Metadata{ProtocolType: "consumer", Generation: 2, StateTimestamp: 0x1a1fe4939e1}},
	},
	{
		"metadata with a static member",
		"000200026773", "00030008636f6e73756d657200000001000572616e6765002a696e7374312d61653936643638312d653966362d343630382d613366652d363232333261336134313962000001a1fe4939a800000001002a696e7374312d61653936643638312d653966362d343630382d613366652d3632323332613361343139620005696e73743100036b676f000a2f3132372e302e302e3100004e20000027100000000e00000000000100027431ffffffff000000024131",
		Record{Kind: KindMetadata, Group: "gs", Metadata: &Metadata{
			ProtocolType: "consumer", Generation: 1, Protocol: "range", Leader: "inst1-ae96d681-e9f6-4608-a3fe-62232a3a419b",
			StateTimestamp: 0x1a1fe4939a8,
			Members: []Member{{
				ID: "inst1-ae96d681-e9f6-4608-a3fe-62232a3a419b", InstanceID: "inst1", ClientID: "kgo", ClientHost: "/127.0.0.1",
				RebalanceTimeoutMillis: 20000, SessionTimeoutMillis: 10000,
				Subscription: unhex("00000000000100027431ffffffff"), Assignment: []byte("A1"),
			}},
		}},
	},
	{
		"metadata tombstone", "000200026731", "",
		Record{Kind: KindMetadata, Group: "g1"},
	},
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func value(s string) []byte {
	if s == "" {
		return nil
	}
	return unhex(s)
}

func TestBytesAreThoseOfKafka(t *testing.T) {
	t.Parallel()
	for _, c := range fromKafka {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Decode(unhex(c.key), value(c.value))
			if err != nil {
				t.Fatalf("Decode: %v", err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("Decode\n got %+v\nwant %+v", got, c.want)
			}
			if key := c.want.AppendKey(nil); !bytes.Equal(key, unhex(c.key)) {
				t.Errorf("key\n got %x\nwant %s", key, c.key)
			}
			if v := c.want.Value(); !bytes.Equal(v, value(c.value)) || (v == nil) != (c.value == "") {
				t.Errorf("value\n got %x\nwant %s", v, c.value)
			}
		})
	}
}

func TestDecodeKeepsNothingOfItsArguments(t *testing.T) {
	t.Parallel()
	for _, c := range fromKafka {
		k, v := unhex(c.key), value(c.value)
		got, err := Decode(k, v)
		if err != nil {
			t.Fatalf("Decode: %v", err)
		}
		clear(k)
		clear(v)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s changed with its bytes: %+v", c.name, got)
		}
	}
}

func TestDecodeReadsOlderVersions(t *testing.T) {
	t.Parallel()
	// Version 0 of the metadata value has neither a rebalance timeout nor a state timestamp nor instance ids.
	got, err := Decode(unhex("000200026731"), unhex("00000001630000000700017200016d00000001"+"00016d000163000168"+"00002710"+"00000000"+"0000000161"))
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	want := &Metadata{ProtocolType: "c", Generation: 7, Protocol: "r", Leader: "m", StateTimestamp: NoTimestamp, Members: []Member{{
		ID: "m", ClientID: "c", ClientHost: "h", RebalanceTimeoutMillis: 10000, SessionTimeoutMillis: 10000, Subscription: []byte{}, Assignment: []byte("a"),
	}}}
	if !reflect.DeepEqual(got.Metadata, want) {
		t.Errorf("metadata v0\n got %+v\nwant %+v", got.Metadata, want)
	}
	got, err = Decode(unhex("0000000267310002743100000003"), unhex("0002"+"0000000000000009"+"0000"+"0000000000000064"))
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if o := got.Offset; o == nil || o.Offset != 9 || o.LeaderEpoch != -1 || o.ExpireTimestamp != NoTimestamp || o.CommitTimestamp != 100 {
		t.Errorf("offset v2 = %+v", o)
	}
}

func TestDecodeRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	if _, err := Decode(unhex("000900026731"), nil); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("key version 9: got %v, want ErrUnknownKind", err)
	}
	for _, c := range []struct{ key, value string }{
		{"00", "00"},
		{"0001", "0003"},
		{"0002000267", ""},
		{"000200026731", "00"},
		{"000200026731", "0005"},
		{"000200026731", "0003ffff"},
		{"0001000267310002743100000000", "0004"},
		{"0001000267310002743100000000", "ffff"},
	} {
		if r, err := Decode(unhex(c.key), unhex(c.value)); err == nil || errors.Is(err, ErrUnknownKind) {
			t.Errorf("Decode(%s, %s) = %+v, %v; want an error of damage", c.key, c.value, r, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range fromKafka {
		f.Add(unhex(c.key), unhex(c.value), c.value == "")
	}
	f.Fuzz(func(t *testing.T, key, val []byte, tombstone bool) {
		if tombstone {
			val = nil
		} else if val == nil {
			val = []byte{}
		}
		r, err := Decode(key, val)
		if err != nil {
			return
		}
		// What was decoded keeps its meaning when it is written and read again.
		again, err := Decode(r.AppendKey(nil), r.Value())
		if err != nil {
			t.Fatalf("Decode of %+v written again: %v", r, err)
		}
		if r.Offset != nil && r.Offset.ExpireTimestamp != NoTimestamp {
			// Version 1 has room for neither.
			r.Offset.LeaderEpoch, r.Offset.TopicID = -1, kafka.TopicID{}
		}
		if !reflect.DeepEqual(normal(r), normal(again)) {
			t.Fatalf("written again\n got %+v\nwant %+v", again, r)
		}
	})
}

// normal makes null and empty bytes alike: version 3 cannot tell them apart in a subscription.
func normal(r Record) Record {
	if r.Metadata == nil {
		return r
	}
	m := *r.Metadata
	m.Members = nil
	for _, member := range r.Metadata.Members {
		member.Subscription = append([]byte{}, member.Subscription...)
		member.Assignment = append([]byte{}, member.Assignment...)
		m.Members = append(m.Members, member)
	}
	r.Metadata = &m
	return r
}
