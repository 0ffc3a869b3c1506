package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/wal"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// scripted is one log that a test writes transactions to, with what it wrote.
type scripted struct {
	t       *testing.T
	w       *world
	node    *simNode
	batches []*simBatch
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{t: t, w: newWorld(t)}
	s.w.topics[topicA] = 1
	s.start()
	t.Cleanup(func() {
		if err := s.node.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *scripted) start() {
	s.t.Helper()
	n, err := s.w.start(s.t.Context(), simSeams{}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.node = n
}

// restart takes the place of a node that was stopped or, with crash, that lost what was not durable.
func (s *scripted) restart(crash bool) {
	s.t.Helper()
	disk, metadata := s.w.disk.CrashClone(rand.New(rand.NewPCG(1, 2))), copyMeta(s.w.meta)
	if err := s.node.stop(); err != nil {
		s.t.Fatal(err)
	}
	if crash {
		s.w.disk, s.w.meta = disk, metadata
	}
	s.start()
}

func (s *scripted) log() *partition.Log {
	s.t.Helper()
	l, err := s.node.Log(topicA, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *scripted) do(f func(context.Context) error) {
	s.t.Helper()
	if err := s.node.do(s.t.Context(), f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scripted) admit() {
	s.t.Helper()
	if err := s.node.Admit(s.t.Context(), 1000); err != nil {
		s.t.Fatal(err)
	}
}

// txn appends a batch of the producer's transaction and waits for it.
func (s *scripted) txn(pid int64, epoch int16, seq int32) {
	s.t.Helper()
	build := record.NewBuilder(record.None, 0)
	build.Append(1, nil, fmt.Appendf(nil, "%d-%d", pid, seq), nil)
	b := build.Build(record.BuildOptions{Transactional: true, Producer: &record.Producer{ID: pid, Epoch: epoch, Sequence: seq}})
	s.admit()
	l := s.log()
	a, err := l.AppendVerified(b, l.BeginVerification(pid, epoch, seq, true))
	if err = errors.Join(err, a.Ticket.Wait(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	s.batches = append(s.batches, &simBatch{base: a.BaseOffset, next: a.BaseOffset + 1, bytes: b, ticket: a.Ticket, txn: pid})
}

// mark ends it and says whether the marker was there already.
func (s *scripted) mark(pid int64, epoch int16, commit bool) (again bool) {
	s.t.Helper()
	s.admit()
	a, err := s.log().AppendMarker(partition.Marker{ProducerID: pid, ProducerEpoch: epoch, Commit: commit, Version: 2})
	if err = errors.Join(err, a.Ticket.Wait(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	if !a.Duplicate {
		s.batches = append(s.batches, &simBatch{base: a.BaseOffset, next: a.BaseOffset + 1, ticket: a.Ticket, txn: pid, marker: &record.Marker{Commit: commit}})
	}
	return a.Duplicate
}

// check reads in pieces of one batch and of all.
func (s *scripted) check(when string) {
	s.t.Helper()
	for _, most := range []int64{1, 300, 1 << 20} {
		if err := checkCommitted(s.t.Context(), s.log(), s.batches, most); err != nil {
			s.t.Errorf("%s, %d bytes at a time: %v", when, most, err)
		}
	}
}

// mergeWhole makes one object of all objects of each shard.
func (n *simNode) mergeWhole(ctx context.Context) error {
	for _, sh := range n.shards {
		if len(sh.objects) > 0 {
			if err := n.merge(ctx, sh, nil, 0, len(sh.objects)); err != nil {
				return err
			}
		}
	}
	return nil
}

// redpanda#7043: data came from one tier and the list of aborted transactions from another, so that aborted records showed where they
// meet. Here the records of a transaction lie in an object while its marker is in the WAL, then in another object, then all in one.
func TestAbortedTransactionsAreKnownAcrossTheSeamsOfTheLevels(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	cut := func() { s.do(s.node.cutAll) }
	s.txn(1, 0, 0)
	s.txn(2, 0, 0)
	cut()
	s.check("both open, in an object")
	s.txn(1, 0, 1)
	s.mark(1, 1, false)
	s.check("aborted, the marker in the WAL")
	s.restart(true)
	s.check("after a crash")
	cut()
	s.check("the marker in the second object")
	s.restart(false)
	s.check("after a stop")
	s.txn(3, 0, 0)
	cut()
	s.mark(2, 1, true)
	s.mark(3, 1, false)
	s.check("one committed, one aborted")
	s.do(s.node.checkpointAll)
	s.restart(true)
	s.check("after a checkpoint and a crash")
	cut()
	s.do(s.node.mergeWhole)
	s.check("all in one object")
	s.restart(true)
	s.check("all in one object, after a crash")
	var levels []uint8
	s.log().RunsIn(func(*partition.Object) bool { return true }, func(o *partition.Object, _ segment.RunInfo) { levels = append(levels, o.Level) })
	if !slices.Equal(levels, []uint8{uint8(segment.L2)}) {
		t.Errorf("levels %v: the script does not do what it is for", levels)
	}
}

// What a reader gets is the same while cuts and merges move it.
func TestAbortedTransactionsAreKnownWhileTheirBytesMove(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	epochs, sequences := map[int64]int16{}, map[int64]int32{}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		pid := 1 + rng.Int64N(4)
		if sequences[pid] > 0 && rng.IntN(3) == 0 {
			epochs[pid]++
			sequences[pid] = 0
			s.mark(pid, epochs[pid], rng.IntN(2) == 0)
			continue
		}
		s.txn(pid, epochs[pid], sequences[pid])
		sequences[pid]++
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	l := s.log()
	for i := range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := checkCommitted(t.Context(), l, s.batches, []int64{1, 500, 1 << 20}[i]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	first, _ := l.OldestWAL()
	length := wal.Position(s.node.durable.Load()) - first
	for i := range wal.Position(8) {
		s.do(func(ctx context.Context) error { return s.node.cutBelow(ctx, nil, first+length*(i+1)/8) })
		if i%3 == 2 {
			s.do(s.node.mergeWhole)
		}
	}
	cancel()
	readers.Wait()
	s.check("at the end")
}

// A marker that a crash has swallowed leaves the transaction open: nothing of it is shown, and the coordinator's retry ends it. One
// that was durable is known, and the retry is answered.
func TestMarkerLostInACrashIsWrittenAgain(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.txn(1, 0, 0)
	s.restart(true)
	if o := s.log().Offsets(); !s.log().HasOpenTransaction(1, 0) || o.LastStable != 0 || o.HighWatermark != 1 {
		t.Errorf("recovered without the marker: %+v", o)
	}
	if s.mark(1, 1, true) {
		t.Error("the marker was there already")
	}
	s.restart(true)
	if o := s.log().Offsets(); s.log().HasOpenTransaction(1, 0) || o.LastStable != 2 {
		t.Errorf("recovered with the marker: %+v", o)
	}
	if !s.mark(1, 1, true) {
		t.Error("the retried marker was written again")
	}
	s.txn(1, 1, 0)
	s.restart(true)
	late := partition.Marker{ProducerID: 1, ProducerEpoch: 1, Commit: true, Version: 2}
	if _, err := s.log().AppendMarker(late); err == nil {
		t.Error("a stale marker has ended the next transaction, after a crash")
	}
	s.check("at the end")
}

// Aborted transactions are kept in memory only while their markers are in the WAL, and count towards the bound of what is.
func TestAbortedTransactionsInMemoryAreBoundedByCuts(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	for i := range int16(20) {
		s.txn(1, i, 0)
		s.mark(1, i+1, false)
	}
	before := s.node.present.Load().env.Extents()
	s.do(s.node.cutAll)
	if after := s.node.present.Load().env.Extents(); before < 40 || after != 0 {
		t.Errorf("%d extents and aborted transactions, %d after a cut; want 40 at least and none", before, after)
	}
	s.restart(false)
	if n := s.node.present.Load().env.Extents(); n != 0 {
		t.Errorf("%d after a restart", n)
	}
	s.check("after the cut")
	if _, ticket, err := s.log().DeleteRecords(21); errors.Join(err, ticket.Wait(t.Context())) != nil {
		t.Fatal(err)
	}
	s.do(s.node.mergeWhole)
	s.check("after a merge that dropped half of them")
}
