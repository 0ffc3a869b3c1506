package sharepartition

import (
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func TestBatchesOfAbortedTransactionsAreNobodys(t *testing.T) {
	t.Parallel()
	header := func(base, producer int64, transactional, control bool) record.Header {
		h := record.Header{BaseOffset: base, LastOffsetDelta: 1, ProducerID: producer}
		if transactional {
			h.Attributes |= 1 << 4
		}
		if control {
			h.Attributes |= 1 << 5
		}
		return h
	}
	// Producer 1 aborts at 4 and commits what it begins at 6; producer 2 commits; 3 has no transactions.
	log := []record.Header{
		header(0, 1, true, false), header(2, 2, true, false), header(4, 1, true, true), header(6, 1, true, false), header(8, 3, false, false), header(10, 2, true, true),
	}
	a := newAborts([]partition.AbortedTxn{{ProducerID: 1, FirstOffset: 0}})
	var dropped []int64
	for i := range log {
		if a.drops(&log[i]) {
			dropped = append(dropped, log[i].BaseOffset)
		}
	}
	if want := []int64{0}; !slices.Equal(dropped, want) {
		t.Errorf("dropped the batches at %v, want %v", dropped, want)
	}
}
