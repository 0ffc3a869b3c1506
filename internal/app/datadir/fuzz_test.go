package datadir

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"testing"
)

// sealed gives a body its version and checksum.
func sealed(body string) []byte {
	b := append([]byte{1, 0, 0, 0, 0}, body...)
	binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(b[5:], castagnoli))
	return b
}

// FuzzDecode decodes any value under any key: it may be refused, and nothing else.
func FuzzDecode(f *testing.F) {
	for key, value := range map[string][]byte{
		"shards": {0, 0, 0, 4}, "ids/cluster": sealed("0123456789abcdef"), "ids/pid": sealed("\x07"), "ids/incarnation": {0, 0, 0, 0, 0, 0, 0, 9},
		"t/orders":             sealed("0123456789abcdef\x02\x03\x01\x04\x01\x01a\x01b"),
		"c/broker/default":     sealed("\x00"),
		"c/group/a%2Fb":        sealed("\xff\xff\xff\xff\x0f"),
		"inc/0000000000000001": []byte(`{"v":1,"broker":1,"start":0,"sealed":-1}`),
		"s/00002":              []byte(`{"v":1,"epoch":3,"owner":4,"version":17,"replay":5,"history":[{"epoch":3,"inc":4}]}`),
	} {
		f.Add(key, value, false)
		f.Add(key, value, true)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte, seal bool) {
		if seal { // so that what lies behind the checksum is reached
			value = sealed(string(value))
		}
		d := &Dir{names: map[[16]byte]string{}, sealed: map[uint64]uint64{}, Pointers: map[int32]Pointer{}}
		if kind, _, _ := d.decode(key, value); kind == "" {
			t.Errorf("no kind for %q, %s", key, hex.EncodeToString(value))
		}
	})
}

func TestDecodeReadsWhatTheFormatDraws(t *testing.T) {
	t.Parallel()
	d := &Dir{names: map[[16]byte]string{}, sealed: map[uint64]uint64{}, Pointers: map[int32]Pointer{}}
	kind, v, err := d.decode("t/orders", sealed("0123456789abcdef\x02\x03\x01\x04\x01\x01a\x01b"))
	topic, ok := v.(Topic)
	if err != nil || !ok || kind != "topic" || topic.Name != "orders" || topic.Partitions != 3 || topic.FirstShard != 1 || topic.Shards != 4 || topic.Configs["a"] != "b" || topic.CreatedAt.UnixMilli() != 1 {
		t.Errorf("topic: got %q %+v, %v", kind, v, err)
	}
	for key, value := range map[string][]byte{
		"t/cut": sealed("0123"), "t/long": append(sealed(""), 1), "c/group/g": sealed("\x00\x00"), "shards": {1}, "inc/x": []byte("{}"), "s/00001": []byte("{"), "ids/pid": sealed(""),
	} {
		if _, _, err := d.decode(key, value); err == nil {
			t.Errorf("%s: a damaged value is not refused", key)
		}
	}
}
