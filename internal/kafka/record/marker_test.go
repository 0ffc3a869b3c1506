package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func TestMarkersAreThoseOfKafka(t *testing.T) {
	t.Parallel()
	b := BuildMarker(1700000000000, Producer{ID: 7, Epoch: 3, Sequence: 9}, Marker{Commit: true, CoordinatorEpoch: 5})
	h, err := ParseHeader(b)
	if err != nil || !h.Control() || !h.Transactional() || h.ProducerID != 7 || h.ProducerEpoch != 3 || h.BaseSequence != -1 || !CheckCRC(b) {
		t.Fatalf("header %+v, %v", h, err)
	}
	// The record: length, attributes, deltas, key 0000 0001, value 0000 00000005, no headers.
	if got, want := hex.EncodeToString(b[HeaderBytes:]), "20"+"00"+"00"+"00"+"08"+"00000001"+"0c"+"000000000005"+"00"; got != want {
		t.Errorf("record %s, want %s", got, want)
	}
	for _, m := range []Marker{{}, {Commit: true}, {CoordinatorEpoch: -1}, {Commit: true, CoordinatorEpoch: 1 << 30}} {
		got, err := ParseMarker(BuildMarker(0, Producer{ID: 1}, m))
		if err != nil || got != m {
			t.Errorf("ParseMarker = %+v, %v, want %+v", got, err, m)
		}
	}
}

// What kafka-clients 4.3.1 makes of MemoryRecords.withEndTransactionMarker, at offset 0 of leader epoch 3.
func TestMarkersAreByteForByteThoseOfKafka(t *testing.T) {
	t.Parallel()
	for commit, want := range map[bool]string{
		true:  "0000000000000000000000420000000302ee933d490030000000000000018bcfe5687b0000018bcfe5687b0000000000000fa10009ffffffff000000012000000008000000010c00000000000700",
		false: "00000000000000000000004200000003021aadeb010030000000000000018bcfe5687b0000018bcfe5687b0000000000000fa10009ffffffff000000012000000008000000000c00000000000700",
	} {
		b := BuildMarker(1_700_000_000_123, Producer{ID: 4001, Epoch: 9}, Marker{commit, 7})
		PatchOffset(b, 0, 3)
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("commit %v: got\n%s, want\n%s", commit, got, want)
		}
	}
}

func TestParseMarkerRefusesOtherControlBatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, value []byte }{
		{[]byte{0, 0, 0, 2}, []byte{0, 0, 0, 0, 0, 0}},
		{[]byte{0, 0, 0}, []byte{0, 0, 0, 0, 0, 0}},
		{[]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0}},
		{nil, nil},
	} {
		b := NewBuilder(None, 0)
		b.Append(0, c.key, c.value, nil)
		if _, err := ParseMarker(b.Build(BuildOptions{Control: true})); !errors.Is(err, ErrNotMarker) {
			t.Errorf("key %x, value %x: %v, want ErrNotMarker", c.key, c.value, err)
		}
	}
}

func FuzzParseMarker(f *testing.F) {
	f.Add(BuildMarker(0, Producer{ID: 1}, Marker{Commit: true, CoordinatorEpoch: 2}))
	f.Add(bytes.Repeat([]byte{0}, HeaderBytes))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if _, err := ParseHeader(b); err == nil {
			_, _ = ParseMarker(b) // must not panic
		}
	})
}
