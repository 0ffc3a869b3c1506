package sharepartition

import (
	"cmp"
	"slices"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// aborts tells which batches of a read belong to aborted transactions, batch by batch in the order of the log. A
// transaction's batches begin at its first offset and end with its marker.
type aborts struct {
	coming []partition.AbortedTxn // by first offset
	open   map[int64]bool         // producers in an aborted transaction
}

func newAborts(list []partition.AbortedTxn) *aborts {
	if len(list) == 0 {
		return &aborts{}
	}
	a := &aborts{coming: slices.Clone(list), open: map[int64]bool{}}
	slices.SortFunc(a.coming, func(x, y partition.AbortedTxn) int { return cmp.Compare(x.FirstOffset, y.FirstOffset) })
	return a
}

// drops tells whether the records of a batch are nobody's.
func (a *aborts) drops(h *record.Header) bool {
	for len(a.coming) > 0 && a.coming[0].FirstOffset <= h.LastOffset() {
		a.open[a.coming[0].ProducerID] = true
		a.coming = a.coming[1:]
	}
	if !h.Transactional() || !a.open[h.ProducerID] {
		return false
	}
	if h.Control() {
		delete(a.open, h.ProducerID) // its marker: the next transaction of the producer is another one
		return false
	}
	return true
}
