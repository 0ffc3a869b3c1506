package txnrecord

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
)

// The bytes were read from the __transaction_state of a running Apache Kafka 4.3.1.
var fromKafka = []struct {
	name, id, value string
	want            Transaction
}{
	{
		"new", "m-44b50f06", "0001000000000000000a00000000ea600000000001a1fef28730ffffffffffffffff010008000000000000000a",
		Transaction{
			ProducerID: 10, TimeoutMillis: 60000, LastUpdate: 0x1a1fef28730, Start: None, PreviousProducerID: 10, NextProducerID: None,
			LastProducerEpoch: None,
		},
	},
	{
		"open, with an older client", "a-35c7af3b",
		"0001000000000000000500000000ea6001020b782d333563376166336203000000010000000000000001a1fef24771000001a1fef247710100080000000000000005",
		Transaction{
			ProducerID: 5, TimeoutMillis: 60000, State: Ongoing, Partitions: []kafka.TopicPartition{{Topic: "x-35c7af3b"}, {Topic: "x-35c7af3b", Partition: 1}},
			LastUpdate: 0x1a1fef24771, Start: 0x1a1fef24771, PreviousProducerID: 5, NextProducerID: None, LastProducerEpoch: None,
		},
	},
	{
		"prepared, with KIP-890", "m-9570d9d3",
		"0001000000000000000400010000ea6003020b782d3935373064396433020000000200000001a1fef211f3000001a1fef100ac020008000000000000000402020002",
		Transaction{
			ProducerID: 4, ProducerEpoch: 1, TimeoutMillis: 60000, State: PrepareAbort, Partitions: []kafka.TopicPartition{{Topic: "x-9570d9d3", Partition: 2}},
			LastUpdate: 0x1a1fef211f3, Start: 0x1a1fef100ac, PreviousProducerID: 4, NextProducerID: None, ClientVersion: 2, LastProducerEpoch: 0,
		},
	},
	{
		"complete, with KIP-890", "m-9570d9d3", "0001000000000000000400010000ea600501000001a1fef211f4000001a1fef100ac020008000000000000000402020002",
		Transaction{
			ProducerID: 4, ProducerEpoch: 1, TimeoutMillis: 60000, State: CompleteAbort,
			LastUpdate: 0x1a1fef211f4, Start: 0x1a1fef100ac, PreviousProducerID: 4, NextProducerID: None, ClientVersion: 2, LastProducerEpoch: 0,
		},
	},
}

func TestRecordsAreKafkasBytes(t *testing.T) {
	t.Parallel()
	for _, c := range fromKafka {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			value, err := hex.DecodeString(c.value)
			if err != nil {
				t.Fatal(err)
			}
			key := append([]byte{0, 0, 0, byte(len(c.id))}, c.id...)
			got, err := Decode(key, value)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Record{c.id, &c.want}); !reflect.DeepEqual(got, want) {
				t.Errorf("decoded %+v, want %+v", got.Transaction, want.Transaction)
			}
			if k := got.AppendKey(nil); !bytes.Equal(k, key) {
				t.Errorf("key %x, want %x", k, key)
			}
			// Kafka leaves the order of partitions to a hash table.
			if v := got.Value(); !bytes.Equal(v, value) && len(c.want.Partitions) < 2 {
				t.Errorf("value %x, want %x", v, value)
			}
		})
	}
}

func TestTheLastEpochOutlivesARestart(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]Transaction{
		"asked again":         {ProducerID: 3, ProducerEpoch: 5, LastProducerEpoch: 4},
		"not asked again":     {ProducerID: 3, ProducerEpoch: 5, LastProducerEpoch: None},
		"another producer id": {ProducerID: 4, PreviousProducerID: 3, ProducerEpoch: 0, LastProducerEpoch: 32766, State: CompleteCommit, ClientVersion: 2},
		"ended":               {ProducerID: 3, PreviousProducerID: 3, ProducerEpoch: 5, LastProducerEpoch: 4, State: CompleteCommit, ClientVersion: 2},
		"ended, and nothing":  {ProducerID: 3, PreviousProducerID: 3, ProducerEpoch: 5, LastProducerEpoch: None, State: CompleteCommit, ClientVersion: 2},
	} {
		r := Record{"id", &x}
		got, err := Decode(r.AppendKey(nil), r.Value())
		if err != nil || got.Transaction.LastProducerEpoch != x.LastProducerEpoch {
			t.Errorf("%s: last epoch %d, %v, want %d", name, got.Transaction.LastProducerEpoch, err, x.LastProducerEpoch)
		}
	}
}

func TestOldAndForeignRecords(t *testing.T) {
	t.Parallel()
	key := Record{TransactionalID: "id"}.AppendKey(nil)
	// Version 0: plain types, no tags.
	value, err := hex.DecodeString("0000" + "0000000000000007" + "0002" + "0000ea60" + "01" + "00000001" + "0001" + "74" + "00000002" + "00000001" + "00000000" + "0000000000000005" + "0000000000000004")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(key, value)
	want := Transaction{
		ProducerID: 7, ProducerEpoch: 2, TimeoutMillis: 60000, State: Ongoing, Partitions: []kafka.TopicPartition{{Topic: "t"}, {Topic: "t", Partition: 1}},
		LastUpdate: 5, Start: 4, PreviousProducerID: None, NextProducerID: None, LastProducerEpoch: None,
	}
	if err != nil || !reflect.DeepEqual(got.Transaction, &want) {
		t.Errorf("version 0: %+v, %v, want %+v", got.Transaction, err, want)
	}
	if got, err := Decode(key, nil); err != nil || got.Transaction != nil || got.TransactionalID != "id" || got.Value() != nil {
		t.Errorf("tombstone: %+v, %v", got, err)
	}
	if _, err := Decode([]byte{0, 1, 0, 0}, value); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("key version 1: %v, want ErrUnknownKind", err)
	}
	for name, bad := range map[string][]byte{"version 2": {0, 2, 0}, "short": {0}, "cut off": value[:20], "state 9": append(append(bytes.Clone(value[:16]), 9), value[17:]...)} {
		if _, err := Decode(key, bad); err == nil || errors.Is(err, ErrUnknownKind) {
			t.Errorf("%s: %v, want an error that says damage", name, err)
		}
	}
}

func TestStatesHaveKafkasNames(t *testing.T) {
	t.Parallel()
	for s := Empty; s <= PrepareEpochFence; s++ {
		if got, ok := ParseState(s.String()); !ok || got != s {
			t.Errorf("state %d is called %s, which is state %d", s, s, got)
		}
	}
	if _, ok := ParseState("nonsense"); ok {
		t.Error("there is a state nonsense")
	}
}

// FuzzDecode: any bytes decode or are refused, and what decodes is the same after a round trip.
func FuzzDecode(f *testing.F) {
	for _, c := range fromKafka {
		value, _ := hex.DecodeString(c.value)
		f.Add(append([]byte{0, 0, 0, byte(len(c.id))}, c.id...), value)
	}
	f.Add(Record{TransactionalID: "x"}.AppendKey(nil), Record{"x", &Transaction{LastProducerEpoch: 7}}.Value())
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := Decode(key, value)
		if err != nil {
			return
		}
		again, err := Decode(r.AppendKey(nil), r.Value())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
