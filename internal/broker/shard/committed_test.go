package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// simTxn is a transaction as its log shows it. last is the offset of its marker, -1 while there is none.
type simTxn struct {
	producer    int64
	first, last int64
	aborted     bool
}

// undecided says whether a reader that sees the log up to hw cannot know how the transaction ends.
func (t *simTxn) undecided(hw int64) bool { return t.last < 0 || t.last >= hw }

// transactionsOf reads the transactions out of batches, which need not be durable.
func transactionsOf(batches []*simBatch) []simTxn {
	var all []simTxn
	for _, b := range batches {
		i := slices.IndexFunc(all, func(t simTxn) bool { return t.producer == b.txn && t.last < 0 })
		switch {
		case b.txn == 0:
		case b.marker != nil && i >= 0:
			all[i].last, all[i].aborted = b.base, !b.marker.Commit
		case b.marker == nil && i < 0:
			all = append(all, simTxn{producer: b.txn, first: b.base, last: -1})
		}
	}
	return all
}

// wantStable is the last stable offset of a log with these transactions, as the rest of o has it.
func wantStable(all []simTxn, o partition.Offsets) int64 {
	lso := o.HighWatermark
	for _, t := range all {
		if t.undecided(o.HighWatermark) {
			lso = min(lso, t.first)
		}
	}
	return max(lso, o.LogStart)
}

// delivered is what a read_committed consumer makes of an answer: the base offsets of the batches whose records it hands on.
func delivered(b []byte, aborted []partition.AbortedTxn) ([]int64, error) {
	aborted = slices.Clone(aborted)
	slices.SortFunc(aborted, func(a, b partition.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
	skipped := map[int64]bool{}
	var out []int64
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
			skipped[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		switch {
		case h.Control():
			m, err := record.ParseMarker(b[:h.Size()])
			if err != nil {
				return nil, err
			}
			if !m.Commit {
				delete(skipped, h.ProducerID)
			}
		case !h.Transactional() || !skipped[h.ProducerID]:
			out = append(out, h.BaseOffset)
		}
		b = b[h.Size():]
	}
	return out, nil
}

// checkCommitted reads the committed records of a log, in pieces, and checks each answer: it reaches no further than the last
// stable offset, it names the aborted transactions, and what a consumer makes of it are the records of plain producers and of
// committed transactions, all of them and no others.
func checkCommitted(ctx context.Context, l *partition.Log, batches []*simBatch, pieceBytes int64) error {
	all := transactionsOf(batches)
	if err := checkUnmarked(l, all); err != nil {
		return err
	}
	stable := int64(0)
	for offset := l.Offsets().LogStart; ; {
		r, err := l.Read(ctx, partition.ReadRequest{Offset: offset, MaxBytes: pieceBytes, AtLeastOne: true, Committed: true})
		if errors.Is(err, kafka.OffsetOutOfRange) && l.Offsets().LogStart > offset {
			offset = l.Offsets().LogStart // a deletion has come between
			continue
		}
		if err != nil {
			return fmt.Errorf("read committed records at %d: %w", offset, err)
		}
		if want := wantStable(all, r.Offsets); r.LastStable != want || r.LastStable < stable || r.NextOffset > max(want, offset) {
			r.Drop()
			return fmt.Errorf("read at %d up to %d: last stable offset %d, want %d, was %d; of %+v", offset, r.NextOffset, r.LastStable, want, stable, r.Offsets)
		}
		stable = r.LastStable
		if r.Bytes == 0 {
			r.Drop()
			if offset < r.LastStable {
				return fmt.Errorf("read at %d found nothing, last stable offset is %d", offset, r.LastStable)
			}
			return nil
		}
		if err := checkAnswer(l, &r, batches, all, offset); err != nil {
			return fmt.Errorf("read at %d up to %d: %w", offset, r.NextOffset, err)
		}
		offset = r.NextOffset
	}
}

// checkUnmarked compares the transactions that were open where the objects end with those of the log. Where stretches were passed over only what may be
// relied on then is asked for: that none with a record which can be read is left out, but for its first offset, and that those which are certain are right.
func checkUnmarked(l *partition.Log, all []simTxn) error {
	u, start := l.Unmarked(), l.Offsets().LogStart
	open := func(t *simTxn) bool { return t.first < u.Next && (t.last < 0 || t.last >= u.Next) }
	for i := range all {
		t := &all[i]
		if open(t) && t.first >= start && !slices.ContainsFunc(u.Open, func(o partition.Unmarked) bool { return o.ProducerID == t.producer && o.First <= t.first }) {
			return fmt.Errorf("objects end at %d: transaction of producer %d from %d to %d is open there, and is not among %+v", u.Next, t.producer, t.first, t.last, u.Open)
		}
	}
	for _, o := range u.Open {
		if !o.Uncertain && !slices.ContainsFunc(all, func(t simTxn) bool { return open(&t) && t.producer == o.ProducerID && t.first <= o.First }) {
			return fmt.Errorf("objects end at %d: %+v is not open there, transactions are %+v", u.Next, o, all)
		}
	}
	return nil
}

func checkAnswer(l *partition.Log, r *partition.ReadResult, batches []*simBatch, all []simTxn, offset int64) error {
	defer r.Drop()
	var want []partition.AbortedTxn
	ended := slices.Clone(all)
	slices.SortFunc(ended, func(a, b simTxn) int { return int(a.last - b.last) })
	for _, t := range ended {
		if t.aborted && t.last >= offset && t.first < r.NextOffset {
			want = append(want, partition.AbortedTxn{ProducerID: t.producer, FirstOffset: t.first})
		}
	}
	compact := l.Config().Compact // then some have gone with their records
	if !slices.Equal(r.Aborted, want) && !(compact && subset(r.Aborted, want)) {
		return fmt.Errorf("aborted transactions %v, want %v", r.Aborted, want)
	}
	var b []byte
	for i := range r.Chunks {
		var err error
		if b, err = r.Chunks[i].AppendTo(b); err != nil {
			return err
		}
	}
	got, err := delivered(b, r.Aborted)
	if err != nil {
		return err
	}
	var records, last []int64
	var lasting map[int64]bool
	if compact {
		lasting = lastOfKeys(batches, all)
	}
	for _, x := range batches {
		if x.next <= offset || x.base >= r.NextOffset || x.marker != nil || x.aborted(all) {
			continue
		}
		records = append(records, x.base)
		if lasting[x.base] {
			last = append(last, x.base)
		}
	}
	if !slices.Equal(got, records) && !(compact && subset(got, records) && subset(last, got)) {
		return fmt.Errorf("a consumer gets the batches at %v, want %v, or %v at least where the topic is compacted", got, records, last)
	}
	return nil
}

// aborted says whether b is part of a transaction that was aborted.
func (b *simBatch) aborted(all []simTxn) bool {
	return slices.ContainsFunc(all, func(t simTxn) bool { return t.producer == b.txn && t.first <= b.base && b.base < t.last && t.aborted })
}

// lastOfKeys returns the base offsets of the batches that hold the last record of a key that was not aborted.
func lastOfKeys(batches []*simBatch, all []simTxn) map[int64]bool {
	last := map[string]int64{}
	for _, b := range batches {
		if b.marker != nil || b.aborted(all) {
			continue
		}
		records, _, err := recordsOf(b.bytes)
		if err != nil {
			return nil
		}
		for _, r := range records {
			if last[r.key] = b.base; r.tombstone {
				delete(last, r.key)
			}
		}
	}
	out := map[int64]bool{}
	for _, base := range last {
		out[base] = true
	}
	return out
}

func subset[T comparable](a, b []T) bool {
	return !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}

// simProducers are the ids of the transactional producers of each log.
var simProducers = [...]int64{101, 102, 103}

// simProducer is a transactional producer as the simulation drives it.
type simProducer struct {
	epoch    int16
	sequence int32
	open     bool
}

// transact hands a batch of a transaction, or the marker that ends one, to a random log. Markers come with a new epoch, as in
// transaction version 2, or without one.
func (s *simulation) transact() error {
	if err := s.node.Admit(s.ctx, 10_000); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, l := s.pick()
	log, err := s.node.Log(k.topic, k.partition)
	if err != nil {
		return err
	}
	l.log = log
	pid := simProducers[s.rng.IntN(len(simProducers))]
	p := l.transactions[pid]
	if p == nil {
		p = &simProducer{}
		l.transactions[pid] = p
	}
	if p.open && s.rng.IntN(3) == 0 {
		return s.endTransaction(l, pid, p)
	}
	n := 1 + s.rng.IntN(3)
	build := record.NewBuilder(record.None, 0)
	for range n {
		var key []byte
		if s.w.compact {
			key = []byte{byte('a' + s.rng.IntN(8))}
		}
		build.Append(1_700_000_000_000+int64(s.rng.IntN(1000)), key, make([]byte, 1<<s.rng.IntN(11)), nil)
	}
	b := build.Build(record.BuildOptions{Transactional: true, Producer: &record.Producer{ID: pid, Epoch: p.epoch, Sequence: p.sequence}})
	v := log.BeginVerification(pid, p.epoch, p.sequence, true)
	if (v == nil) != p.open {
		return fmt.Errorf("%v: the log knows of a transaction of producer %d: %v, want %v", k, pid, v == nil, p.open)
	}
	a, err := log.AppendVerified(b, v)
	if err != nil {
		return err
	}
	p.open, p.sequence = true, p.sequence+int32(n)
	if want := l.end(); a.BaseOffset != want {
		return fmt.Errorf("%v: batch of a transaction at offset %d, want %d", k, a.BaseOffset, want)
	}
	l.batches = append(l.batches, &simBatch{base: a.BaseOffset, next: a.BaseOffset + int64(n), bytes: b, ticket: a.Ticket, producer: -1, txn: pid})
	return nil
}

// endTransaction is part of transact. mu is held.
func (s *simulation) endTransaction(l *simLog, pid int64, p *simProducer) error {
	m := record.Marker{Commit: s.rng.IntN(2) == 0, CoordinatorEpoch: 1}
	p.open = false
	if s.rng.IntN(3) > 0 {
		p.epoch, p.sequence = p.epoch+1, 0
	}
	b := record.BuildMarker(1_700_000_000_000+int64(s.rng.IntN(1000)), record.Producer{ID: pid, Epoch: p.epoch}, m)
	a, err := l.log.AppendInternal(b)
	if err != nil {
		return err
	}
	l.batches = append(l.batches, &simBatch{base: a.BaseOffset, next: a.BaseOffset + 1, bytes: b, ticket: a.Ticket, producer: -1, txn: pid, marker: &m})
	return nil
}

// readCommitted checks what is committed in a random log now, while batches and markers are on their way to the disk.
func (s *simulation) readCommitted() error {
	s.mu.Lock()
	k, l := s.pick()
	batches := slices.Clone(l.batches)
	s.mu.Unlock()
	if l.log == nil {
		return nil
	}
	if err := checkCommitted(s.ctx, l.log, batches, 1+s.rng.Int64N(10_000)); err != nil {
		return fmt.Errorf("%v: %w", k, err)
	}
	return nil
}

// verifyTransactions checks a recovered log's open transactions, and what a read_committed reader gets of it.
func verifyTransactions(ctx context.Context, l *partition.Log, kept []*simBatch, pieceBytes int64) error {
	open := map[int64]int64{}
	for _, t := range transactionsOf(kept) {
		if t.last < 0 {
			open[t.producer] = t.first
		}
	}
	for _, p := range l.Producers() {
		first, ok := open[p.ID]
		if !ok {
			first = -1
		}
		if p.TxnFirstOffset != first {
			return fmt.Errorf("producer %d has a transaction open since %d, want %d", p.ID, p.TxnFirstOffset, first)
		}
		delete(open, p.ID)
	}
	if len(open) != 0 {
		return fmt.Errorf("open transactions are forgotten: %v", open)
	}
	return checkCommitted(ctx, l, kept, pieceBytes)
}
