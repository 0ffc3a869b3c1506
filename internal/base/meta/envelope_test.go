package meta

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func FuzzParseRecord(f *testing.F) {
	for _, r := range []record{
		{revision: 1},
		{revision: math.MaxInt64, lease: math.MaxInt64, value: []byte("v")},
		{revision: 300, lease: 1, value: bytes.Repeat([]byte{0xff}, 20)},
	} {
		f.Add(appendRecord(nil, r))
	}
	f.Add([]byte{})
	f.Add([]byte{envelopeVersion, 0, 0})
	f.Add([]byte{envelopeVersion, 0x80})
	f.Add([]byte{envelopeVersion + 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v, want it to be %v", err, ErrCorrupt)
			}
			return
		}
		if r.revision <= 0 || r.lease < 0 {
			t.Errorf("parsed revision %d, lease %d", r.revision, r.lease)
		}
		again, err := parseRecord(appendRecord(nil, r))
		if err != nil || again.revision != r.revision || again.lease != r.lease || !bytes.Equal(again.value, r.value) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestSuccessorEndsAPrefix(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\xff": "b", "k\x00": "k\x01", "\xff": "", "": ""} {
		if got := string(successor([]byte(prefix))); got != want {
			t.Errorf("successor of %q: got %q, want %q", prefix, got, want)
		}
	}
}
