package record

import (
	"encoding/hex"
	"testing"
)

// What org.apache.kafka:kafka-clients 4.3.1 makes of MemoryRecords.withEndTransactionMarker with these values, up to the leader
// epoch, which the log sets.
func TestTransactionMarkersAreKafkas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind ControlType
		want string
	}{
		{ControlCommit, "0000000000000000000000420000000302ee933d490030000000000000018bcfe5687b0000018bcfe5687b0000000000000fa10009ffffffff000000012000000008000000010c00000000000700"},
		{ControlAbort, "00000000000000000000004200000003021aadeb010030000000000000018bcfe5687b0000018bcfe5687b0000000000000fa10009ffffffff000000012000000008000000000c00000000000700"},
	} {
		b := BuildEndTransaction(1_700_000_000_123, Producer{ID: 4001, Epoch: 9}, EndTransaction{c.kind, 7})
		PatchOffset(b, 0, 3)
		if got := hex.EncodeToString(b); got != c.want {
			t.Errorf("type %d: got\n%s, want\n%s", c.kind, got, c.want)
		}
		if e, err := ParseControl(b); err != nil || e != (EndTransaction{c.kind, 7}) {
			t.Errorf("parsed %+v, %v", e, err)
		}
	}
}

func TestControlRecordsOfOtherKindsEndNothing(t *testing.T) {
	t.Parallel()
	build := func(key, value []byte) []byte {
		b := NewBuilder(None, 0)
		b.Append(1, key, value, nil)
		return b.Build(BuildOptions{Control: true})
	}
	if e, err := ParseControl(build([]byte{0, 0, 0, 2}, nil)); err != nil || e.Type == ControlAbort || e.Type == ControlCommit {
		t.Errorf("leader change: %+v, %v", e, err)
	}
	for _, bad := range [][]byte{build(nil, nil), build([]byte{0, 0, 0}, nil), build([]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0})} {
		if e, err := ParseControl(bad); err == nil {
			t.Errorf("%x passed for %+v", bad, e)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(BuildEndTransaction(1, Producer{ID: 1}, EndTransaction{ControlCommit, 1}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseControl(b); err != nil && e != (EndTransaction{}) {
			t.Fatalf("%+v with %v", e, err)
		}
	})
}
