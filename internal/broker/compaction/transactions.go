package compaction

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// Aborted is an aborted transaction: the batches of the producer from FirstOffset to LastOffset, where its marker is.
type Aborted struct {
	ProducerID              int64
	FirstOffset, LastOffset int64
}

// transactions follows the transactions of a log from batch to batch.
type transactions struct {
	// coming are the aborted transactions that have not begun, the next one last.
	coming []Aborted
	// aborted are those that have begun, by producer.
	aborted map[int64]*abortedState
	// committed are the producers of whose transactions a batch was met.
	committed map[int64]struct{}
	// met are the aborted transactions of which a batch was met.
	met map[Aborted]struct{}
}

type abortedState struct {
	Aborted
	met bool // a batch of it was met
}

func newTransactions(aborted []Aborted) *transactions {
	coming := slices.Clone(aborted)
	slices.SortFunc(coming, func(a, b Aborted) int { return cmp.Compare(b.FirstOffset, a.FirstOffset) })
	return &transactions{coming: coming, aborted: map[int64]*abortedState{}, committed: map[int64]struct{}{}, met: map[Aborted]struct{}{}}
}

func (t *transactions) reach(offset int64) {
	for n := len(t.coming); n > 0 && t.coming[n-1].FirstOffset <= offset; n-- {
		t.aborted[t.coming[n-1].ProducerID] = &abortedState{Aborted: t.coming[n-1]}
		t.coming = t.coming[:n-1]
	}
}

// data tells whether a data batch belongs to an aborted transaction.
func (t *transactions) data(h *record.Header) bool {
	t.reach(h.LastOffset())
	if !h.Transactional() {
		return false
	}
	if a := t.aborted[h.ProducerID]; a != nil && h.BaseOffset < a.LastOffset {
		a.met = true
		t.met[a.Aborted] = struct{}{}
		return true
	}
	t.committed[h.ProducerID] = struct{}{}
	return false
}

// Types of control records.
const (
	controlAbort  = 0
	controlCommit = 1
)

// control tells whether a control batch is of no more use: no batch of its transaction was met. Control records that are no
// markers always are of use.
func (t *transactions) control(h *record.Header, key []byte) bool {
	t.reach(h.LastOffset())
	if h.RecordCount == 0 {
		return true
	}
	if len(key) < 4 {
		return false
	}
	switch binary.BigEndian.Uint16(key[2:]) {
	case controlAbort:
		a := t.aborted[h.ProducerID]
		delete(t.aborted, h.ProducerID)
		return a == nil || !a.met
	case controlCommit:
		_, met := t.committed[h.ProducerID]
		delete(t.committed, h.ProducerID)
		return !met
	}
	return false
}

// controlKey returns the key of a control batch's record, nil if there is none.
func controlKey(b []byte, limitBytes int) ([]byte, error) {
	it, err := record.NewIterator(b, limitBytes)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	r, ok := it.Next()
	if !ok {
		return nil, it.Err()
	}
	return slices.Clone(r.Key), nil
}
