package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
)

// fill gives every field of a message a random value, so that the encoder's bytes exercise the whole shape.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if tags, ok := reflect.TypeAssert[*kmsg.Tags](v.Addr()); ok {
			for range rng.IntN(3) {
				tags.Set(uint32(100+rng.IntN(50)), make([]byte, rng.IntN(5)))
			}
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" {
				fill(rng, v.Field(i))
			}
		}
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rng, v.Elem())
		}
	case reflect.Slice:
		if rng.IntN(4) == 0 {
			return
		}
		n := rng.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.String:
		v.SetString("abcdefghij"[:rng.IntN(10)])
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 1)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rng.Int64N(100))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(rng.IntN(100)))
	}
}

func eachRequest(f func(req kmsg.Request)) {
	for key := range int16(len(requestShapes)) {
		newest := kmsg.RequestForKey(key)
		for version := range newest.MaxVersion() + 1 {
			req := kmsg.RequestForKey(key)
			req.SetVersion(version)
			f(req)
		}
	}
}

func TestShapesCoverEveryRequestOfTheLibrary(t *testing.T) {
	t.Parallel()
	if kmsg.RequestForKey(int16(len(requestShapes))) != nil {
		t.Errorf("the library knows key %d; run go generate", len(requestShapes))
	}
	eachRequest(func(req kmsg.Request) {
		if got, want := FlexibleRequest(req.Key(), req.GetVersion()), req.IsFlexible(); got != want {
			t.Errorf("%s version %d: flexible %t, want %t", RequestName(req.Key()), req.GetVersion(), got, want)
		}
		if got, want := RequestName(req.Key()), kmsg.NameForKey(req.Key()); got != want {
			t.Errorf("key %d is %s, want %s", req.Key(), got, want)
		}
		if got, atLeast := int(requestShapes[req.Key()].structBytes), int(reflect.TypeOf(req).Elem().Size()); got < atLeast {
			t.Errorf("%s is said to take %d bytes, takes %d", RequestName(req.Key()), got, atLeast)
		}
	})
}

func TestEveryRequestDecodesAsItWasEncoded(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	eachRequest(func(req kmsg.Request) {
		for range 5 {
			fill(rng, reflect.ValueOf(req).Elem())
			body := req.AppendTo(nil)
			h := RequestHeader{Key: req.Key(), Version: req.GetVersion()}
			got, err := DecodeRequest(h, append(bytes.Clone(body), 1, 2, 3)) // Trailing bytes do not matter.
			if err != nil {
				t.Fatalf("%s version %d: %v", RequestName(h.Key), h.Version, err)
			}
			// Unknown tags are kept in a map, so that only their order may change.
			if again := got.AppendTo(nil); len(again) != len(body) || !req.IsFlexible() && !bytes.Equal(again, body) {
				t.Fatalf("%s version %d: encoded %x, decoded and encoded again %x", RequestName(h.Key), h.Version, body, again)
			}
			// The walk ends where the request ends: one byte less is an error, in every place.
			for cut := range body {
				if _, err := MeasureRequest(h.Key, h.Version, body[:cut]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s version %d: cut at %d of %d: %v", RequestName(h.Key), h.Version, cut, len(body), err)
				}
			}
		}
	})
}

func TestRequestsOfUnknownKeyOrVersionAreRefused(t *testing.T) {
	t.Parallel()
	for _, h := range []RequestHeader{{Key: -1}, {Key: 999}, {Key: 0, Version: 99}, {Key: 18, Version: 100}, {Key: 3, Version: -1}} {
		if _, err := DecodeRequest(h, make([]byte, 100)); !errors.Is(err, ErrUnknownRequest) || kafka.CodeOf(err) != kafka.UnsupportedVersion {
			t.Errorf("%+v: got %v", h, err)
		}
	}
	if _, err := DecodeRequest(RequestHeader{Key: 3, Version: 1}, make([]byte, MaxControlRequestBytes+1)); !errors.Is(err, ErrRequestTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestRequestHeaderForms(t *testing.T) {
	t.Parallel()
	name := "client"
	for _, version := range []int16{1, 12} {
		req := kmsg.NewPtrMetadataRequest()
		req.SetVersion(version)
		frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(name)).AppendRequest(nil, req, 77)
		h, body, err := ParseRequestHeader(frame[4:])
		if err != nil {
			t.Fatal(err)
		}
		if want := (RequestHeader{3, version, 77, name, true}); h != want {
			t.Errorf("got %+v, want %+v", h, want)
		}
		if !bytes.Equal(body, req.AppendTo(nil)) {
			t.Errorf("version %d: wrong body %x", version, body)
		}
	}
	null := []byte{0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 7}
	h, body, err := ParseRequestHeader(null)
	if err != nil || h.HasClientID || h.CorrelationID != 9 || !bytes.Equal(body, []byte{7}) {
		t.Errorf("null client id: %+v, %x, %v", h, body, err)
	}
	for _, bad := range [][]byte{nil, null[:7], null[:9], {0, 3, 0, 1, 0, 0, 0, 9, 0, 5, 'a'}, {0, 3, 0, 12, 0, 0, 0, 9, 0xff, 0xff}, {0, 3, 0, 12, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}} {
		if _, _, err := ParseRequestHeader(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: got %v", bad, err)
		}
	}
}

type worstFrame struct {
	h    RequestHeader
	body []byte
}

// worstFrames are bodies that would make the library alone take far more memory, or time, than they have bytes.
func worstFrames(size int) map[string]worstFrame {
	manyTopics := binary.AppendUvarint(nil, uint64(size/3))
	for range size / 3 {
		manyTopics = append(manyTopics, 1, 1, 0) // no name, no partitions, no tags
	}
	lie := binary.AppendUvarint([]byte{0}, uint64(size)) // nearly as many topics as bytes
	lie = append(lie, make([]byte, size)...)
	strings := binary.AppendUvarint(nil, uint64(size+1))
	strings = append(strings, bytes.Repeat([]byte{1}, size)...)
	tags := []byte{0, 0, 1, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}
	manyTags := binary.AppendUvarint([]byte{0, 0, 1, 0, 0, 0, 0, 1}, uint64(size/4))
	for i := range size / 4 {
		manyTags = append(manyTags, byte(i)|0x80, byte(i>>7)|0x80, byte(i>>14)&0x7f, 0)
	}
	return map[string]worstFrame{
		"honest empty topics":   {RequestHeader{Key: 21, Version: 2}, manyTopics},
		"topic count that lies": {RequestHeader{Key: 0, Version: 9}, append([]byte{0, 0, 1, 0, 0, 0}, lie...)},
		"empty strings":         {RequestHeader{Key: 15, Version: 5}, strings},
		"four billion tags":     {RequestHeader{Key: 0, Version: 9}, tags},
		"many tags":             {RequestHeader{Key: 0, Version: 9}, manyTags},
	}
}

func TestWorstFramesKeepTheHeapSmall(t *testing.T) {
	// Together, and without a budget, these take far more than the test allows; bigger ones are refused one by one.
	frames := slices.Collect(maps.Values(worstFrames(300 << 10)))
	decoder := NewDecoder(NewBudget(MaxDecodedBytes))
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	var peak uint64
	var decoded atomic.Int64
	var watch, work sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
		}
	})
	for i := range 64 {
		work.Go(func() {
			f := frames[i%len(frames)]
			if _, charge, err := decoder.Decode(t.Context(), f.h, f.body); err == nil {
				decoded.Add(1)
				charge.Release()
			}
		})
	}
	work.Wait()
	close(stop)
	watch.Wait()
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 150<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if decoded.Load() == 0 {
		t.Error("no frame was decoded, so nothing was measured")
	}
	if used := decoder.budget.Used(); used != 0 {
		t.Errorf("%d bytes of budget are not given back", used)
	}
}

func TestMeasureIsNeverBelowWhatDecodingTakes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	eachRequest(func(req kmsg.Request) {
		fill(rng, reflect.ValueOf(req).Elem())
		body := req.AppendTo(nil)
		h := RequestHeader{Key: req.Key(), Version: req.GetVersion()}
		measured, err := MeasureRequest(h.Key, h.Version, body)
		if err != nil {
			t.Fatal(err)
		}
		// What the process allocates is counted, so others, such as the runtime itself, may have their part in a try, but not in each.
		took := int64(math.MaxInt64)
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := decode(h, body); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			took = min(took, int64(after.TotalAlloc-before.TotalAlloc))
		}
		// Small things are rounded up by the allocator, and maps have their own minimum.
		if took > 3*measured+4096 {
			t.Errorf("%s version %d: measured %d, took %d", RequestName(h.Key), h.Version, measured, took)
		}
	})
}

func TestMeasureAllocatesNothing(t *testing.T) {
	body := produceBody(10, 1024)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := MeasureRequest(0, 9, body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func produceBody(partitions, recordBytes int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version = 9
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	for i := range partitions {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition = int32(i)
		p.Records = make([]byte, recordBytes)
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	return req.AppendTo(nil)
}

func TestDecodeWaitsForItsBudgetAsLongAsTheContextAllows(t *testing.T) {
	t.Parallel()
	budget := NewBudget(1000)
	if err := budget.Acquire(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := NewDecoder(budget).Decode(ctx, RequestHeader{Key: 0, Version: 9}, produceBody(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	budget.Release(1000)
	_, charge, err := NewDecoder(budget).Decode(t.Context(), RequestHeader{Key: 0, Version: 9}, produceBody(1, 1))
	if err != nil || budget.Used() == 0 {
		t.Errorf("got %v, %d used", err, budget.Used())
	}
	charge.Release()
	if budget.Used() != 0 {
		t.Errorf("%d used", budget.Used())
	}
}

func FuzzRequestHeader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 7})
	f.Add([]byte{0, 3, 0, 12, 0, 0, 0, 9, 0, 1, 'a', 1, 0, 1, 5, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := ParseRequestHeader(b)
		if err == nil && len(body)+len(h.ClientID) > len(b) {
			t.Fatal("the header has more bytes than the frame")
		}
	})
}

func FuzzDecodeRequest(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	eachRequest(func(req kmsg.Request) {
		fill(rng, reflect.ValueOf(req).Elem())
		f.Add(req.Key(), req.GetVersion(), req.AppendTo(nil))
	})
	for _, w := range worstFrames(100) {
		if len(w.body) < 1<<10 {
			f.Add(w.h.Key, w.h.Version, w.body)
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req, err := DecodeRequest(RequestHeader{Key: key, Version: version}, body)
		if err != nil {
			if kafka.CodeOf(err) == kafka.UnknownServerError {
				t.Fatalf("error without a code: %v", err)
			}
			// What the walk accepts, the library has to accept as well: else the two read different things.
			known := kmsg.RequestForKey(key)
			if _, measureErr := MeasureRequest(key, version, body); measureErr == nil && known != nil && version <= known.MaxVersion() && !errors.Is(err, ErrRequestTooLarge) {
				t.Fatalf("%s version %d: walked but not decoded: %v", RequestName(key), version, err)
			}
			return
		}
		again, err := DecodeRequest(RequestHeader{Key: key, Version: version}, req.AppendTo(nil))
		if err != nil {
			t.Fatalf("%s version %d: encoded again, it does not decode: %v", RequestName(key), version, err)
		}
		if !reflect.DeepEqual(again, req) {
			t.Fatalf("%s version %d: %+v became %+v", RequestName(key), version, req, again)
		}
	})
}

func BenchmarkProduceDecode(b *testing.B) {
	for name, body := range map[string][]byte{"partitions=1": produceBody(1, 1<<20), "partitions=100": produceBody(100, 10<<10)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeRequest(RequestHeader{Key: 0, Version: 9}, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
