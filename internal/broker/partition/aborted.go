package partition

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/weir-stream/weir/internal/broker/segment"
)

// AbortedTxn is an aborted transaction as a read_committed consumer needs to know it: the producer's records from FirstOffset to
// its next marker are to be skipped.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

// noAborted marks a run without aborted transactions.
const noAborted = -1

// abortedView says where the aborted transactions are listed that may overlap a read, as of the moment when the places of its
// batches were taken: a transaction is listed in the run that holds its marker, or in the log while its marker is in none.
type abortedView struct {
	runs   []run
	listed []segment.AbortedTxn
}

// abortedLocked returns the view for the offsets [from, to). to must not lie above the last stable offset: what begins below it
// and was aborted has its marker in the log already.
func (l *Log) abortedLocked(from, to int64) abortedView {
	var v abortedView
	for i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].info.NextOffset > from }); i < len(l.runs); i++ {
		if r := &l.runs[i]; r.abortedFrom != noAborted && r.abortedFrom < to {
			v.runs = append(v.runs, *r)
		}
	}
	for i := sort.Search(len(l.aborted), func(i int) bool { return l.aborted[i].LastOffset >= from }); i < len(l.aborted); i++ {
		a := &l.aborted[i]
		if a.FirstOffset < to {
			v.listed = append(v.listed, *a)
		}
		if a.LastStableOffset >= to {
			break // those that ended later began there or beyond
		}
	}
	return v
}

// find returns the aborted transactions that overlap [from, to), in the order of their markers. It is never nil.
func (v *abortedView) find(ctx context.Context, l *Log, from, to int64) ([]AbortedTxn, error) {
	out := make([]AbortedTxn, 0, len(v.listed))
	err := v.each(ctx, l, from, to, func(a segment.AbortedTxn) { out = append(out, AbortedTxn{a.ProducerID, a.FirstOffset}) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// each visits the aborted transactions of the view that overlap [from, to), in the order of their markers.
func (v *abortedView) each(ctx context.Context, l *Log, from, to int64, visit func(segment.AbortedTxn)) error {
	take := func(list []segment.AbortedTxn) {
		for _, a := range list {
			if a.LastOffset >= from && a.FirstOffset < to {
				visit(a)
			}
		}
	}
	for i := range v.runs {
		r := &v.runs[i]
		reader, release, err := l.env.Segments.Get(ctx, r.object.Key)
		if err != nil {
			return l.damage(fmt.Errorf("open %s: %w", r.object.Key, err))
		}
		list, err := reader.Aborted(r.info, from, to)
		release()
		if err != nil {
			return l.damage(err)
		}
		take(list)
	}
	take(v.listed)
	return nil
}

// AllAborted returns every aborted transaction that is listed anywhere, in the order of their markers: all whose records or
// whose marker are still part of the log and below the high watermark, and some of later ones.
func (l *Log) AllAborted(ctx context.Context) ([]segment.AbortedTxn, error) {
	return retryMoved(l, func() ([]segment.AbortedTxn, error) {
		l.mu.Lock()
		v := abortedView{listed: slices.Clone(l.aborted)}
		for i := range l.runs {
			if l.runs[i].abortedFrom != noAborted {
				v.runs = append(v.runs, l.runs[i])
			}
		}
		l.mu.Unlock()
		var out []segment.AbortedTxn
		err := v.each(ctx, l, 0, math.MaxInt64, func(a segment.AbortedTxn) { out = append(out, a) })
		return out, err
	})
}

// abortedBelowLocked returns the transactions listed in the log whose marker lies below offset.
func (l *Log) abortedBelowLocked(offset int64) []segment.AbortedTxn {
	return l.aborted[:sort.Search(len(l.aborted), func(i int) bool { return l.aborted[i].LastOffset >= offset })]
}

// dropAbortedLocked forgets them: their run lists them, or nobody can read that far back.
func (l *Log) dropAbortedLocked(offset int64) {
	n := len(l.abortedBelowLocked(offset))
	l.aborted = slices.Delete(l.aborted, 0, n)
	if !l.closed {
		l.env.extents.Add(-int64(n))
	}
}
