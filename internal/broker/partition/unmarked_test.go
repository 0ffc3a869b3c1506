package partition

import (
	"reflect"
	"testing"

	"github.com/weir-stream/weir/internal/kafka/record"
)

func TestUnmarkedTransactionsFollowTheBatches(t *testing.T) {
	t.Parallel()
	data := func(offset, producer int64, epoch int16) record.Header {
		return record.Header{BaseOffset: offset, ProducerID: producer, ProducerEpoch: epoch, Attributes: record.AttributeTransactional}
	}
	marker := func(offset, producer int64) record.Header {
		return record.Header{BaseOffset: offset, ProducerID: producer, Attributes: record.AttributeTransactional | record.AttributeControl}
	}
	for name, row := range map[string]struct {
		batches []record.Header
		want    []Unmarked
	}{
		"plain batches are of none":            {[]record.Header{{BaseOffset: 0, ProducerID: 1}, {BaseOffset: 1, ProducerID: -1}}, nil},
		"open from the first batch on":         {[]record.Header{data(0, 1, 5), data(1, 1, 5), data(2, 2, 0)}, []Unmarked{{1, 5, 0, false}, {2, 0, 2, false}}},
		"a marker ends its producer's":         {[]record.Header{data(0, 1, 5), data(1, 2, 0), marker(2, 1)}, []Unmarked{{2, 0, 1, false}}},
		"the next one begins behind it":        {[]record.Header{data(0, 1, 5), marker(1, 1), data(2, 1, 6)}, []Unmarked{{1, 6, 2, false}}},
		"what was left out may hold a marker":  {[]record.Header{data(0, 1, 5), data(2, 1, 5), data(3, 2, 0)}, []Unmarked{{1, 5, 0, true}, {2, 0, 3, false}}},
		"a marker behind what was left out":    {[]record.Header{data(0, 1, 5), data(5, 2, 0), marker(6, 1)}, []Unmarked{{2, 0, 5, false}}},
		"what came before is not looked at":    {[]record.Header{data(0, 1, 5), marker(1, 1), data(0, 1, 5)}, nil},
		"a marker without a transaction, also": {[]record.Header{marker(0, 9)}, nil},
	} {
		var u UnmarkedAt
		for i := range row.batches {
			u.Batch(&row.batches[i])
		}
		if len(u.Open) == 0 {
			u.Open = nil
		}
		if !reflect.DeepEqual(u.Open, row.want) {
			t.Errorf("%s: got %+v, want %+v", name, u.Open, row.want)
		}
	}
}
