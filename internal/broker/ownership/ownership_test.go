package ownership

import (
	"reflect"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
)

func TestPointerPassesFromOwnerToOwner(t *testing.T) {
	t.Parallel()
	p := None()
	p = p.Take(7, 3, 0)
	want := []Tenure{{Epoch: 0, Incarnation: 7, From: 3}}
	if p.Epoch != 0 || p.Owner != 7 || !reflect.DeepEqual(p.History, want) {
		t.Fatalf("first taken: %+v", p)
	}
	if inc, open := p.Open(); !open || inc != 7 {
		t.Errorf("open tenure of %d, %v", inc, open)
	}
	p = p.Publish(1, "m", "c", 9)
	if from, ok := p.Needs(7); !ok || from != 9 || p.Manifest != "m" || p.Checkpoint != "c" || p.Version != 1 {
		t.Errorf("published: %+v", p)
	}
	released := p.Release(12)
	if _, open := released.Open(); open || released.Owner != 0 || released.Epoch != 0 || released.History[0].To != 12 {
		t.Errorf("released: %+v", released)
	}
	if len(p.History) != 1 || p.History[0].To != 0 {
		t.Errorf("a release changed the pointer that it was made from: %+v", p)
	}
	taken := released.Take(8, 0, 99) // where the owner before was sealed means nothing once it has released
	want = []Tenure{{Epoch: 0, Incarnation: 7, From: 9, To: 12}, {Epoch: 1, Incarnation: 8}}
	if taken.Epoch != 1 || taken.Owner != 8 || taken.Manifest != "m" || !reflect.DeepEqual(taken.History, want) {
		t.Errorf("taken after a release: %+v", taken)
	}
	sealed := taken.Take(9, 5, 4)
	want = []Tenure{{Epoch: 0, Incarnation: 7, From: 9, To: 12}, {Epoch: 1, Incarnation: 8, To: 4}, {Epoch: 2, Incarnation: 9, From: 5}}
	if !reflect.DeepEqual(sealed.History, want) {
		t.Errorf("taken after a seal: %+v", sealed)
	}
	again := sealed.Take(10, 0, 5) // incarnation 9 wrote nothing
	want = []Tenure{{Epoch: 0, Incarnation: 7, From: 9, To: 12}, {Epoch: 1, Incarnation: 8, To: 4}, {Epoch: 3, Incarnation: 10}}
	if !reflect.DeepEqual(again.History, want) {
		t.Errorf("a tenure without frames stays: %+v", again)
	}
	if empty := p.Release(9); len(empty.History) != 0 {
		t.Errorf("released with nothing to replay: %+v", empty)
	}
}

func TestValuesSurviveTheirEncoding(t *testing.T) {
	t.Parallel()
	first := None()
	p := first.Take(7, 3, 0)
	got, err := DecodePointer(meta.Entry{Key: ShardKey(4), Value: p.Encode()})
	got.Format = 0
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v became %+v, %v", p, got, err)
	}
	l := Life{Broker: 3, Sealed: -1, Trim: 8}
	n, life, err := DecodeLife(meta.Entry{Key: IncarnationKey(0xabc), Value: l.Encode()})
	life.Format = 0
	if err != nil || n != 0xabc || life != l {
		t.Errorf("%+v became %d %+v, %v", l, n, life, err)
	}
	if id, ok := ParseShardKey(ShardKey(65_535)); !ok || id != 65_535 {
		t.Errorf("shard key became %d, %v", id, ok)
	}
	for _, bad := range []meta.Entry{{Key: "s/00001", Value: []byte("{")}, {Key: "s/00001", Value: []byte(`{"v":2}`)}, {Key: "s/00001"}} {
		if _, err := DecodePointer(bad); err == nil {
			t.Errorf("pointer %q was taken", bad.Value)
		}
	}
	for _, bad := range []meta.Entry{{Key: "inc/x", Value: l.Encode()}, {Key: "inc/1", Value: []byte(`{"v":9}`)}, {Key: "inc/1", Value: []byte("[")}} {
		if _, _, err := DecodeLife(bad); err == nil {
			t.Errorf("incarnation %s %q was taken", bad.Key, bad.Value)
		}
	}
	for _, bad := range []string{"s/", "s/-1", "t/1", "s/x"} {
		if _, ok := ParseShardKey(bad); ok {
			t.Errorf("%s is no key of a shard", bad)
		}
	}
}
