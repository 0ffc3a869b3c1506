package api

import (
	"testing"

	"github.com/weir-stream/weir/internal/kafka/record"
)

func TestTimeAtIsThatOfTheRecordNotOfItsBatch(t *testing.T) {
	t.Parallel()
	for _, codec := range []record.Codec{record.None, record.LZ4} {
		b := record.NewBuilder(codec, 0)
		for _, ts := range []int64{1000, 3000, 2000} {
			b.Append(ts, nil, []byte("v"), nil)
		}
		batch := b.Build(record.BuildOptions{})
		record.PatchOffset(batch, 10, 0)
		for offset, want := range map[int64]int64{9: 1000, 10: 1000, 11: 3000, 12: 2000} {
			if got, ok := timeAt(batch, offset); !ok || got.millis != want || got.offset != offset {
				t.Errorf("%v: offset %d has time %+v, %v, want %d", codec, offset, got, ok, want)
			}
		}
		if _, ok := timeAt(batch[:len(batch)-1], 10); ok {
			t.Errorf("%v: a torn batch has a time", codec)
		}
	}
}
