package backup

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/segment"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// Transactions are what became of transactions whose markers are lost.
type Transactions struct {
	// Aborted are those of which nothing says that they were committed, Committed the others.
	Aborted   int `json:"aborted"`
	Committed int `json:"committed"`
	// AbortedList names those aborted, the first of them if they are many.
	AbortedList []EndedTransaction `json:"aborted_list"`
}

// EndedTransaction is a transaction that the restore has ended.
type EndedTransaction struct {
	// TransactionalID is empty if the coordinator's state, as far as it is there, does not know the producer.
	TransactionalID string `json:"transactional_id"`
	ProducerID      int64  `json:"producer_id"`
	ProducerEpoch   int16  `json:"producer_epoch"`
}

// listedTransactions bounds AbortedList.
const listedTransactions = 20

// transaction is what a coordinator and partitions have in common of one. Of clients that take an epoch with each transaction (KIP-890) it
// names one, of others all of a producer's epoch.
type transaction struct {
	producer int64
	epoch    int16
}

// ending is a transaction that is open where the log of a partition ends.
type ending struct {
	topic     kafka.TopicID
	partition int32
	transaction
	first  int64
	commit bool
	// open says that the partition itself does not know how it ended.
	open bool
}

// endings ends the transactions of logs that are cut back, as far as their markers are lost. The log that is left has records of them and would show these as
// committed, or never again let its last stable offset go on. How one ended is told, in this order, by
//   - the partition's checkpoint, which knew of a marker that is lost: it was durable, so the outcome was decided;
//   - the records of transactional ids: a commit of that very epoch, of a client that takes an epoch with each transaction. The same epoch of an older client
//     may have had many transactions, and the state be that of an earlier one.
//
// What nothing says to be committed is aborted.
//
// The states of transactional ids are as of another moment than partitions, possibly an earlier one: a coordinator that went on from them would end
// transactions that it does not know of, and give out producer epochs again that were in use. So none is kept: a producer that comes again gets a producer id
// that nobody has had.
type endings struct {
	all    []ending
	states kafka.TopicID // the topic of transactional ids, zero if there is none
	names  map[int64]string
}

// find adds the transactions of the partitions of a checkpoint that is about to be cut back to its runs.
func (e *endings) find(c *state.Checkpoint) {
	for i := range c.Partitions {
		p := &c.Partitions[i]
		n := len(p.Runs)
		if n == 0 || p.Runs[n-1].NextOffset <= p.LogStart {
			continue // there is no record left
		}
		known := map[int64]bool{}
		for _, u := range p.Unmarked {
			known[u.ProducerID] = true
			x := ending{topic: p.Topic, partition: p.Partition, transaction: transaction{u.ProducerID, u.Epoch}, first: u.FirstOffset}
			x.commit, x.open = outcomeOf(p, &u)
			e.all = append(e.all, x)
		}
		for _, q := range p.Producers {
			if q.TxnFirstOffset >= 0 && q.TxnFirstOffset < p.Runs[n-1].NextOffset && !known[q.ID] {
				e.all = append(e.all, ending{topic: p.Topic, partition: p.Partition, transaction: transaction{q.ID, q.Epoch}, first: q.TxnFirstOffset, open: true})
			}
		}
	}
}

// outcomeOf says how a transaction ended behind the runs of a partition, as its checkpoint knew.
func outcomeOf(p *state.Partition, u *state.Unmarked) (commit, open bool) {
	if u.Uncertain {
		return false, false // whatever was seen of the producer later may be of another transaction
	}
	// Its first batch may have been deleted before anything was moved, so what is known is an offset in it.
	if slices.ContainsFunc(p.Aborted, func(a state.Aborted) bool {
		return a.ProducerID == u.ProducerID && a.FirstOffset <= u.FirstOffset && a.LastOffset > u.FirstOffset
	}) {
		return false, false
	}
	i, ok := slices.BinarySearchFunc(p.Producers, u.ProducerID, func(q state.Producer, id int64) int { return cmp.Compare(q.ID, id) })
	if ok && p.Producers[i].TxnFirstOffset >= 0 && p.Producers[i].TxnFirstOffset <= u.FirstOffset {
		return false, true
	}
	return true, false
}

// decide finds out how those ended of which partitions do not know.
func (e *endings) decide(ctx context.Context, store meta.Store, objects blob.Store, shards map[int32]*chosen) error {
	id, err := topics.ReadTopicID(ctx, store, kafka.TransactionStateTopic)
	if errors.Is(err, meta.ErrNotFound) {
		return nil
	}
	if err != nil || len(e.all) == 0 {
		e.states = id
		return err
	}
	e.states, e.names = id, map[int64]string{}
	for i := range e.all {
		e.names[e.all[i].producer] = ""
	}
	committed := map[transaction]bool{} // false: an older client's, there may be several
	for shard, ch := range shards {
		m, c := ch.manifest, ch.checkpoint
		if c == nil && ch.pointer.Manifest != "" {
			if m, c, err = readPair(ctx, objects, ch.pointer.Manifest, ch.pointer.Checkpoint); err != nil {
				return err
			}
		}
		if c == nil {
			continue
		}
		for i := range c.Partitions {
			if p := &c.Partitions[i]; p.Topic == e.states {
				if err := eachTransaction(ctx, objects, m, p, func(name string, t *txnrecord.Transaction) { e.note(committed, name, t) }); err != nil {
					return fmt.Errorf("read %s-%d in shard %d: %w", kafka.TransactionStateTopic, p.Partition, shard, err)
				}
			}
		}
	}
	for i := range e.all {
		if x := &e.all[i]; x.open {
			x.commit = committed[x.transaction]
		}
	}
	return nil
}

// bumping is the transaction version of clients that take an epoch with each transaction: an end carries the epoch after that of the records.
const bumping = 2

// note takes what a record of a transactional id says of the transactions in question.
func (e *endings) note(committed map[transaction]bool, name string, t *txnrecord.Transaction) {
	if _, wanted := e.names[t.ProducerID]; !wanted {
		return
	}
	e.names[t.ProducerID] = name
	ended := t.State.Prepared() || t.State == txnrecord.CompleteCommit || t.State == txnrecord.CompleteAbort
	switch {
	case !ended:
	case t.ClientVersion < bumping:
		committed[transaction{t.ProducerID, t.ProducerEpoch}] = false
	case t.State == txnrecord.PrepareCommit || t.State == txnrecord.CompleteCommit:
		key := transaction{t.ProducerID, t.ProducerEpoch - 1}
		if _, ambiguous := committed[key]; !ambiguous {
			committed[key] = true
		}
	}
}

// eachTransaction visits the records of a partition of transactional ids, in the runs of its checkpoint.
func eachTransaction(ctx context.Context, objects blob.Store, m *state.Manifest, p *state.Partition, visit func(name string, t *txnrecord.Transaction)) error {
	for _, run := range p.Runs {
		if run.NextOffset <= p.LogStart {
			continue
		}
		if run.Object < 0 || run.Object >= len(m.Objects) {
			return fmt.Errorf("checkpoint names object %d of a manifest of %d", run.Object, len(m.Objects))
		}
		if err := eachOfRun(ctx, objects, m.Objects[run.Object].Key, run, visit); err != nil {
			return err
		}
	}
	return nil
}

func eachOfRun(ctx context.Context, objects blob.Store, key string, run state.Run, visit func(name string, t *txnrecord.Transaction)) (err error) {
	object, err := objects.Open(ctx, key)
	if err != nil {
		return fmt.Errorf("open %s: %w", key, err)
	}
	reader, err := segment.Open(key, object)
	if err != nil {
		return errors.Join(err, object.Close())
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	in := bufio.NewReaderSize(io.NewSectionReader(reader, run.Pos, run.Bytes), 1<<20)
	for left := run.Bytes; left > 0; {
		head, err := in.Peek(record.HeaderBytes)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		h, err := record.ParseHeader(head)
		if err == nil && (h.Size() > left || h.Size() < record.HeaderBytes || h.Size() > bodyMax) {
			err = record.ErrTruncated
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		batch := make([]byte, h.Size())
		if _, err := io.ReadFull(in, batch); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		left -= h.Size()
		if err := eachOfBatch(batch, visit); err != nil {
			return fmt.Errorf("read %s, offset %d: %w", key, h.BaseOffset, err)
		}
	}
	return nil
}

func eachOfBatch(batch []byte, visit func(name string, t *txnrecord.Transaction)) error {
	it, err := record.NewIterator(batch, bodyMax)
	if err != nil {
		return err
	}
	defer it.Close()
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		decoded, err := txnrecord.Decode(r.Key, r.Value)
		if errors.Is(err, txnrecord.ErrUnknownKind) {
			continue
		}
		if err != nil {
			return err
		}
		if decoded.Transaction != nil {
			visit(decoded.TransactionalID, decoded.Transaction)
		}
	}
	return it.Err()
}

// report counts each transaction once, in however many partitions it was ended; where one is aborted, it is.
func (e *endings) report() Transactions {
	r := Transactions{AbortedList: []EndedTransaction{}}
	aborted := map[transaction]bool{}
	for i := range e.all {
		x := &e.all[i]
		aborted[x.transaction] = aborted[x.transaction] || !x.commit
	}
	for t, a := range aborted {
		if !a {
			r.Committed++
			continue
		}
		r.Aborted++
		r.AbortedList = append(r.AbortedList, EndedTransaction{e.names[t.producer], t.producer, t.epoch})
	}
	slices.SortFunc(r.AbortedList, func(a, b EndedTransaction) int {
		return cmp.Or(cmp.Compare(a.ProducerID, b.ProducerID), cmp.Compare(a.ProducerEpoch, b.ProducerEpoch))
	})
	r.AbortedList = r.AbortedList[:min(len(r.AbortedList), listedTransactions)]
	return r
}

// write brings the partitions of a shard's checkpoint into the state after the endings: an object with the markers, the oldest transaction's first, and no
// transaction open. It becomes part of manifest and checkpoint.
func (e *endings) write(ctx context.Context, objects blob.Store, id int32, ch *chosen, now time.Time) error {
	for i := range ch.checkpoint.Partitions {
		p := &ch.checkpoint.Partitions[i]
		p.Unmarked, p.LastStableOffset = nil, p.NextOffset
		for j := range p.Producers {
			p.Producers[j].TxnFirstOffset = -1
		}
		if p.Topic == e.states && !e.states.IsZero() {
			p.LogStart = p.NextOffset
		}
	}
	if !slices.ContainsFunc(ch.checkpoint.Partitions, func(p state.Partition) bool { return len(e.of(&p)) > 0 }) {
		return nil
	}
	key := fmt.Sprintf("l/%05d/%08x.%016x", id, ch.pointer.Epoch, 1)
	out, err := objects.Create(ctx, key)
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	w := segment.NewWriter(out, segment.Options{Shard: id, Level: segment.L1, Epoch: uint64(ch.pointer.Epoch), CreatedAt: now})
	footer, err := e.fill(w, ch, now)
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", key, err), out.Abort())
	}
	if err := out.Commit(ctx); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	object := state.Object{Key: key, Level: uint8(segment.L1), Bytes: footer.Bytes, CreatorEpoch: uint64(ch.pointer.Epoch)}
	for i, run := range footer.Runs {
		object.LiveBytes += run.Bytes
		j := slices.IndexFunc(ch.checkpoint.Partitions, func(p state.Partition) bool { return p.Topic == run.Topic && p.Partition == run.Partition })
		appendRun(&ch.checkpoint.Partitions[j], run, footer.AbortedFrom[i], len(ch.manifest.Objects), ch.pointer.Epoch, now)
	}
	ch.manifest.Objects = append(ch.manifest.Objects, object)
	return nil
}

// of returns the endings of a partition, by first offset.
func (e *endings) of(p *state.Partition) (all []ending) {
	for i := range e.all {
		if x := &e.all[i]; x.topic == p.Topic && x.partition == p.Partition {
			all = append(all, *x)
		}
	}
	slices.SortFunc(all, func(a, b ending) int { return cmp.Compare(a.first, b.first) })
	return all
}

// fill writes the markers of a shard.
func (e *endings) fill(w *segment.Writer, ch *chosen, now time.Time) (segment.Footer, error) {
	for i := range ch.checkpoint.Partitions {
		p := &ch.checkpoint.Partitions[i]
		all := e.of(p)
		if len(all) == 0 {
			continue
		}
		if err := w.BeginRun(p.Topic, p.Partition); err != nil {
			return segment.Footer{}, err
		}
		for j, x := range all {
			offset, stable := p.NextOffset+int64(j), p.NextOffset+int64(j)+1
			if j+1 < len(all) {
				stable = all[j+1].first
			}
			b := record.BuildMarker(now.UnixMilli(), record.Producer{ID: x.producer, Epoch: x.epoch}, record.Marker{Commit: x.commit})
			record.PatchOffset(b, offset, ch.pointer.Epoch)
			if err := w.AppendBatch(b); err != nil {
				return segment.Footer{}, err
			}
			if x.commit {
				continue
			}
			if err := w.Aborted(segment.AbortedTxn{ProducerID: x.producer, FirstOffset: x.first, LastOffset: offset, LastStableOffset: stable}); err != nil {
				return segment.Footer{}, err
			}
		}
	}
	return w.Finish()
}

// appendRun adds a run of markers at the end of a partition.
func appendRun(p *state.Partition, run segment.RunInfo, abortedFrom int64, object int, epoch int32, now time.Time) {
	p.Runs = append(p.Runs, state.Run{
		Object: object, Pos: run.Pos, Bytes: run.Bytes, BaseOffset: run.BaseOffset, NextOffset: run.NextOffset, RecordCount: run.RecordCount,
		MinTimestamp: run.MinTimestamp, MaxTimestamp: run.MaxTimestamp, AbortedFrom: abortedFrom,
	})
	p.Epochs = append(p.Epochs, state.EpochStart{Epoch: epoch, Start: run.BaseOffset})
	p.NextOffset, p.LastStableOffset = run.NextOffset, run.NextOffset
	p.SizeBytes += run.Bytes
	if run.MaxTimestamp > p.MaxTimestamp {
		p.MaxTimestamp, p.MaxTimestampOffset = run.MaxTimestamp, run.BaseOffset
	}
	if len(p.Segments) == 0 {
		p.Segments = append(p.Segments, state.Segment{BaseOffset: run.BaseOffset, MaxTimestamp: -1, CreatedAt: now.UnixMilli()})
	}
	s := &p.Segments[len(p.Segments)-1]
	s.Bytes += run.Bytes
	s.MaxTimestamp = max(s.MaxTimestamp, run.MaxTimestamp)
}
