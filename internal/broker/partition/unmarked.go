package partition

import (
	"slices"

	"github.com/weir-stream/weir/internal/kafka/record"
)

// Unmarked is a transaction that has records in objects and no marker there: it was open where the objects of the log end. Who has to go on from the
// objects alone must know of it, since its records would else pass for committed ones.
type Unmarked struct {
	ProducerID int64
	// Epoch is that of its records.
	Epoch int16
	// First is the offset of its first batch that was moved: those before it may have been deleted.
	First int64
	// Uncertain says that a stretch behind First was never seen, damaged or deleted, which may hold the marker.
	Uncertain bool
}

// UnmarkedAt are the unmarked transactions as of Next, the offset up to which batches were moved into objects. Batch moves both on. It is a value of
// the caller's: Clone it before it is changed.
type UnmarkedAt struct {
	Next int64
	// Open is in the order of first offsets.
	Open []Unmarked
}

// Clone returns a copy that shares nothing.
func (u *UnmarkedAt) Clone() UnmarkedAt { return UnmarkedAt{u.Next, slices.Clone(u.Open)} }

// Batch takes note of the batch that comes next. Batches below Next are passed over. Offsets of a write-ahead log have no holes, so
// one that is left out was damaged or deleted.
func (u *UnmarkedAt) Batch(h *record.Header) {
	if h.BaseOffset < u.Next {
		return
	}
	if h.BaseOffset > u.Next {
		for i := range u.Open {
			u.Open[i].Uncertain = true
		}
	}
	u.Next = h.NextOffset()
	if !h.Transactional() && !h.Control() {
		return
	}
	i := slices.IndexFunc(u.Open, func(t Unmarked) bool { return t.ProducerID == h.ProducerID })
	switch {
	case h.Control():
		if i >= 0 {
			u.Open = slices.Delete(u.Open, i, i+1)
		}
	case i < 0:
		u.Open = append(u.Open, Unmarked{ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, First: h.BaseOffset})
	}
}

// Unmarked returns the transactions that were open where the objects of the log end.
func (l *Log) Unmarked() UnmarkedAt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unmarked.Clone()
}
