package coordinator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// stage commits offset for group g in the transaction of p; asked counts how often the transaction was looked up.
func stage(t *testing.T, g *Groups, p machine.Producer, offset int64, asked *int) (group.CommitReply, error) {
	t.Helper()
	e := group.TxnCommit{Group: "g", Producer: p, Generation: -1, Offsets: []group.CommitOffset{{Topic: "t", Offset: offset}}}
	return g.TxnCommit(t.Context(), e, func(context.Context) error { *asked++; return nil })
}

func fetchStable(t *testing.T, g *Groups) group.FetchedOffset {
	t.Helper()
	reply, err := g.Fetch(t.Context(), group.Fetch{Group: "g", RequireStable: true, Topics: []group.FetchTopic{{Topic: "t", Partitions: []int32{0}}}})
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	return reply.Topics[0].Partitions[0]
}

func TestOffsetsOfATransactionOutliveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topics := newMemTopics(1)
		p, asked := machine.Producer{ID: 7, Epoch: 1}, 0
		g, stop := ready(t, topics, nil)
		for offset := range int64(2) {
			if reply, err := stage(t, g, p, 10+offset, &asked); err != nil || reply.Err != kafka.None || reply.Offsets[0] != kafka.None {
				t.Fatalf("TxnCommit: %+v, %v", reply, err)
			}
		}
		if asked != 1 {
			t.Errorf("the transaction was looked up %d times, want once: then it is known to be open", asked)
		}
		stop()
		g, stop = ready(t, topics, nil)
		if got := fetchStable(t, g); got.Err != kafka.UnstableOffsetCommit {
			t.Fatalf("fetched %+v in an open transaction, want UNSTABLE_OFFSET_COMMIT", got)
		}
		m := machine.Marker{Producer: p, CoordinatorEpoch: 3, Commit: true}
		for range 2 {
			if err := g.CompleteTransaction(t.Context(), 0, m); err != nil {
				t.Fatalf("CompleteTransaction: %v", err)
			}
		}
		if err := g.CompleteTransaction(t.Context(), 0, machine.Marker{Producer: machine.Producer{ID: 7}}); !errors.Is(err, kafka.InvalidProducerEpoch) {
			t.Errorf("marker of an old epoch: %v, want INVALID_PRODUCER_EPOCH", err)
		}
		if got := fetchStable(t, g); got.Offset != 11 {
			t.Errorf("fetched %+v after the commit, want 11", got)
		}
		stop()
		g, _ = ready(t, topics, nil)
		if got := fetchStable(t, g); got.Offset != 11 {
			t.Errorf("fetched %+v after another restart, want 11", got)
		}
		checkTransactionBatches(t, topics.log(0).batches, p)
	})
}

// checkTransactionBatches looks at what other readers of the topic go by: two batches of the transaction and one marker.
func checkTransactionBatches(t *testing.T, batches [][]byte, p machine.Producer) {
	t.Helper()
	var data, markers int
	for _, b := range batches {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Transactional() || h.ProducerID != p.ID || h.ProducerEpoch != p.Epoch || h.BaseSequence != kafka.NoSequence {
			t.Errorf("batch of producer %d epoch %d sequence %d, transactional %v", h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Transactional())
		}
		if !h.Control() {
			data++
			continue
		}
		markers++
		if m, err := record.ParseMarker(b); err != nil || !m.Commit || m.CoordinatorEpoch != 3 {
			t.Errorf("marker %+v, %v", m, err)
		}
	}
	if data != 2 || markers != 1 {
		t.Errorf("%d batches of data and %d markers, want 2 and 1", data, markers)
	}
}

func TestCommitThatMarkersOvertakeIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := ready(t, newMemTopics(1), nil)
		p := machine.Producer{ID: 7, Epoch: 1}
		e := group.TxnCommit{Group: "g", Producer: p, Generation: -1, Offsets: []group.CommitOffset{{Topic: "t", Offset: 1}}}
		coordinator := int32(0)
		reply, err := g.TxnCommit(t.Context(), e, func(ctx context.Context) error {
			coordinator++
			return g.CompleteTransaction(ctx, 0, machine.Marker{Producer: p, CoordinatorEpoch: coordinator})
		})
		if err != nil || reply.Err != kafka.InvalidTxnState {
			t.Errorf("TxnCommit: %+v, %v, want INVALID_TXN_STATE", reply, err)
		}
		refused := errors.New("not part of it")
		if _, err := g.TxnCommit(t.Context(), e, func(context.Context) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("TxnCommit: %v, want what the lookup said", err)
		}
		if got := fetchStable(t, g); got.Err != kafka.None || got.Offset != group.NoOffset {
			t.Errorf("fetched %+v, want nothing", got)
		}
	})
}

// A producer of transaction version 2 begins the next transaction at once. Where the coordinator moves, its answer may take until after the marker of
// the last one: what it says is of the next, and has to be asked for again, since it might as well be of one that the marker has ended.
func TestCommitWhoseAnswerIsYoungerThanAMarkerIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := ready(t, newMemTopics(1), nil)
		p := machine.Producer{ID: 7, Epoch: 2}
		e := group.TxnCommit{Group: "g", Producer: p, Generation: -1, Offsets: []group.CommitOffset{{Topic: "t", Offset: 5}}}
		asked := 0
		verify := func(ctx context.Context) error {
			if asked++; asked > 1 {
				return nil
			}
			return g.CompleteTransaction(ctx, 0, machine.Marker{Producer: p, CoordinatorEpoch: 1, Commit: true})
		}
		reply, err := g.TxnCommit(t.Context(), e, verify)
		if err != nil || reply.Err != kafka.None || reply.Offsets[0] != kafka.None || asked != 2 {
			t.Errorf("TxnCommit: %+v, %v after %d questions, want two", reply, err, asked)
		}
		over := kafka.InvalidProducerEpoch
		asked, p.Epoch = 0, 3
		e.Producer = p
		_, err = g.TxnCommit(t.Context(), e, func(ctx context.Context) error {
			if asked++; asked > 1 {
				return over
			}
			return g.CompleteTransaction(ctx, 0, machine.Marker{Producer: p, CoordinatorEpoch: 1, Commit: true})
		})
		if !errors.Is(err, over) {
			t.Errorf("TxnCommit of a transaction that has ended: %v, want %v", err, over)
		}
		if got := fetchStable(t, g); got.Err != kafka.None || got.Offset != 5 {
			t.Errorf("fetched %+v, want 5", got)
		}
	})
}
