package topics

import (
	"bytes"
	"errors"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-stream/weir/internal/kafka"
)

func TestValuesSurviveEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.Int32Range(1, 1<<31-1).Draw(t, "shards")
		want := &Topic{
			Name: "x", Partitions: rapid.Int32Range(1, 1<<31-1).Draw(t, "partitions"), Shards: shards,
			FirstShard: rapid.Int32Range(0, shards-1).Draw(t, "first"),
			CreatedAt:  time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "created")).UTC(),
			Configs:    rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "configs"),
		}
		copy(want.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Filter(func(b []byte) bool { return !kafka.TopicID(b).IsZero() }).Draw(t, "id"))
		got, err := decodeTopic("x", encodeTopic(want))
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != want.ID || got.Partitions != want.Partitions || got.Shards != want.Shards || got.FirstShard != want.FirstShard ||
			!got.CreatedAt.Equal(want.CreatedAt) || !maps.Equal(got.Configs, want.Configs) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		configs, err := decodeConfigs(encodeConfigs(want.Configs))
		if err != nil || !maps.Equal(configs, want.Configs) {
			t.Fatalf("got %v, %v", configs, err)
		}
		next := rapid.Int64Range(0, 1<<63-1).Draw(t, "next")
		if got, err := decodeProducerBlock(encodeProducerBlock(next)); err != nil || got != next {
			t.Fatalf("got %d, %v, want %d", got, err, next)
		}
	})
}

func TestAnyFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	value := encodeTopic(&Topic{ID: kafka.TopicID{1}, Partitions: 3, Shards: 4, FirstShard: 1, Configs: map[string]string{"retention.ms": "5"}})
	for i := range len(value) * 8 {
		damaged := bytes.Clone(value)
		damaged[i/8] ^= 1 << (i % 8)
		if _, err := decodeTopic("x", damaged); !errors.Is(err, errBadValue) {
			t.Fatalf("bit %d: got %v", i, err)
		}
	}
}

// FuzzValues: no stored bytes make a decoder fall over or take much memory, and what it accepts encodes to the same value.
func FuzzValues(f *testing.F) {
	for _, seed := range [][]byte{
		nil, encodeConfigs(nil), encodeConfigs(map[string]string{"a": "b", "c": ""}), encodeProducerBlock(1000), encodeClusterID(kafka.TopicID{1, 2}),
		encodeTopic(&Topic{ID: kafka.TopicID{1}, Partitions: 3, Shards: 4, FirstShard: 1, Configs: map[string]string{"retention.ms": "5"}}),
		seal([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}),
	} {
		f.Add(seed)
		if len(seed) > valueHeaderBytes {
			f.Add(seed[valueHeaderBytes:]) // as a body: see below
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, value := range [][]byte{data, seal(data)} { // a random checksum is hardly ever right
			if topic, err := decodeTopic("x", value); err == nil {
				again, err := decodeTopic("x", encodeTopic(topic))
				if err != nil || again.ID != topic.ID || !maps.Equal(again.Configs, topic.Configs) {
					t.Errorf("got %+v, %v, want %+v", again, err, topic)
				}
			}
			if configs, err := decodeConfigs(value); err == nil {
				if again, err := decodeConfigs(encodeConfigs(configs)); err != nil || !maps.Equal(again, configs) {
					t.Errorf("got %v, %v, want %v", again, err, configs)
				}
			}
			if next, err := decodeProducerBlock(value); err == nil && next < 0 {
				t.Errorf("got %d", next)
			}
			_, _ = decodeClusterID(value) // must not panic
		}
	})
}
