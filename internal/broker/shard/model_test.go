package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// modelLog is a partition as Kafka defines it, as simply as it can be written down.
type modelLog struct {
	start, end int64
	batches    []modelBatch
	producers  map[int64][]modelBatch // the last five of each
	epochs     []partition.EpochStart
	segments   []modelSegment
	// transactions in the order of their first batches, and what their producers have reached.
	transactions []simTxn
	transactors  map[int64]*simProducer
}

type modelBatch struct {
	base, next int64
	bytes      []byte
	times      []int64
	sequence   int32
}

type modelSegment struct{ base, bytes int64 }

const modelSegmentBytes = 6000

// operation is one step of a script. Its numbers mean the same to every node and to the model.
type operation struct {
	kind     string
	log      logKey
	a, b     int64
	producer int64
	records  int
	size     int
}

func randomScript(rng *rand.Rand, steps int) []operation {
	logs := []logKey{{topicA, 0}, {topicA, 1}, {topicB, 0}}
	kinds := []string{"append", "append", "append", "append", "read", "read", "time", "most", "delete", "retain", "epoch", "offsets", "txn", "txn", "txn", "end", "committed", "committed"}
	var out []operation
	for i := range steps {
		o := operation{
			kind: kinds[rng.IntN(len(kinds))], log: logs[rng.IntN(len(logs))], a: rng.Int64N(1000), b: rng.Int64N(1000),
			producer: int64(rng.IntN(3)) - 1, records: 1 + rng.IntN(4), size: rng.IntN(1200),
		}
		if i%30 == 29 {
			o.kind = "restart"
		}
		out = append(out, o)
	}
	return out
}

// sequenceOf is the sequence that an append uses: most often the right one, else that of a retry or one too high.
func (o *operation) sequenceOf(sent []modelBatch) (sequence int32, retried int) {
	next := int32(0)
	if n := len(sent); n > 0 {
		next = sent[n-1].sequence + int32(len(sent[n-1].times))
	}
	switch {
	case o.a < 150 && len(sent) > 0:
		return 0, 1 + int(o.b)%len(sent)
	case o.a < 200 && len(sent) > 0:
		return next + 3, 0
	}
	return next, 0
}

// answer is what the model says to an operation. For an append it also gives the batch.
func (m *modelLog) answer(o *operation, epoch int32) (string, []byte) {
	at := m.start + (m.end-m.start)*o.a/1000
	switch o.kind {
	case "append":
		return m.append(o, epoch)
	case "txn":
		return m.transact(o, epoch)
	case "end":
		return m.finish(o, epoch)
	case "committed":
		return m.committed(at, o.b*20), nil
	case "read":
		if o.b%10 == 0 {
			at = m.end + 1
		}
		return m.read(at, o.b*20, o.a%2 == 0), nil
	case "time":
		for _, b := range m.batches {
			for i, t := range b.times {
				if t >= o.a*10 && b.base+int64(i) >= m.start {
					return fmt.Sprint(b.base+int64(i), " at ", t), nil
				}
			}
		}
		return "-1 at -1", nil
	case "most":
		offset, most := int64(-1), int64(-1)
		for _, b := range m.batches {
			for i, t := range b.times {
				if t > most && b.base+int64(i) >= m.start {
					offset, most = b.base+int64(i), t
				}
			}
		}
		return fmt.Sprint(offset, " at ", most), nil
	case "delete":
		m.raise(m.start + (m.end-m.start)*(o.a%300)/1000)
	case "retain":
		m.retain(o.b * 40)
	case "epoch":
		return m.epochEnd(int32(o.a%6), epoch), nil
	}
	return fmt.Sprintf("[%d, %d)", m.start, m.end), nil
}

func (m *modelLog) append(o *operation, epoch int32) (string, []byte) {
	sent := m.producers[o.producer]
	b := modelBatch{base: m.end, next: m.end + int64(o.records)}
	build := record.NewBuilder(record.None, 0)
	for i := range o.records {
		t := (o.a*7 + int64(i)*o.b) % 10_000
		b.times = append(b.times, t)
		build.Append(t, nil, bytes.Repeat([]byte{'a' + byte(i)}, o.size), nil)
	}
	options := record.BuildOptions{}
	if o.producer >= 0 {
		sequence, retried := o.sequenceOf(sent)
		if retried > 0 {
			old := sent[retried-1]
			again := bytes.Clone(old.bytes)
			record.PatchOffset(again, 0, -1)
			return fmt.Sprintf("offset %d again", old.base), again
		}
		b.sequence = sequence
		options.Producer = &record.Producer{ID: o.producer, Sequence: sequence}
	}
	raw := build.Build(options)
	if n := len(sent); o.producer >= 0 && n > 0 && b.sequence != sent[n-1].sequence+int32(len(sent[n-1].times)) {
		return kafka.OutOfOrderSequenceNumber.Name(), raw
	}
	b = m.write(b, raw, epoch)
	if o.producer >= 0 {
		sent = append(sent, b)
		m.producers[o.producer] = sent[max(0, len(sent)-5):]
	}
	return fmt.Sprintf("offset %d", b.base), raw
}

// write puts a batch at the end of the log.
func (m *modelLog) write(b modelBatch, raw []byte, epoch int32) modelBatch {
	b.bytes = bytes.Clone(raw)
	record.PatchOffset(b.bytes, b.base, epoch)
	m.batches = append(m.batches, b)
	m.end = b.next
	if n := len(m.epochs); n == 0 || m.epochs[n-1].Epoch < epoch {
		m.epochs = append(m.epochs, partition.EpochStart{Epoch: epoch, Start: b.base})
	}
	if n := len(m.segments); n > 0 && m.segments[n-1].bytes+int64(len(raw)) <= modelSegmentBytes {
		m.segments[n-1].bytes += int64(len(raw))
	} else {
		m.segments = append(m.segments, modelSegment{b.base, int64(len(raw))})
	}
	return b
}

// transactor returns one of two transactional producers.
func (m *modelLog) transactor(o *operation) (int64, *simProducer) {
	pid := 100 + o.a%2
	p := m.transactors[pid]
	if p == nil {
		p = &simProducer{}
		m.transactors[pid] = p
	}
	return pid, p
}

// transact appends to a transaction, most often: else it is a plain batch of its producer, or one of an epoch that is over.
func (m *modelLog) transact(o *operation, epoch int32) (string, []byte) {
	pid, p := m.transactor(o)
	b := modelBatch{base: m.end, next: m.end + int64(o.records)}
	build := record.NewBuilder(record.None, 0)
	for i := range o.records {
		t := (o.b*7 + int64(i)*o.a) % 10_000
		b.times = append(b.times, t)
		build.Append(t, nil, bytes.Repeat([]byte{'t'}, o.size), nil)
	}
	options := record.BuildOptions{Transactional: true, Producer: &record.Producer{ID: pid, Epoch: p.epoch, Sequence: p.sequence}}
	switch {
	case o.b < 100 && p.open:
		options.Transactional = false
		return kafka.InvalidTxnState.Name(), build.Build(options)
	case o.b < 200 && p.epoch > 0:
		options.Producer.Epoch--
		return kafka.InvalidProducerEpoch.Name(), build.Build(options)
	}
	raw := build.Build(options)
	if !p.open {
		m.transactions = append(m.transactions, simTxn{producer: pid, first: b.base, last: -1})
	}
	p.open, p.sequence = true, p.sequence+int32(o.records)
	m.write(b, raw, epoch)
	return fmt.Sprintf("offset %d", b.base), raw
}

// finish writes a marker, of the next epoch as a rule, whether there is a transaction to end or not.
func (m *modelLog) finish(o *operation, epoch int32) (string, []byte) {
	pid, p := m.transactor(o)
	if o.b%3 > 0 {
		p.epoch, p.sequence = p.epoch+1, 0
	}
	if i := len(m.transactions) - 1; p.open {
		for m.transactions[i].producer != pid {
			i--
		}
		m.transactions[i].last, m.transactions[i].aborted = m.end, o.b%2 == 0
	}
	p.open = false
	raw := record.BuildMarker(o.a, record.Producer{ID: pid, Epoch: p.epoch}, record.Marker{Commit: o.b%2 == 1, CoordinatorEpoch: 3})
	b := m.write(modelBatch{base: m.end, next: m.end + 1, times: []int64{o.a}}, raw, epoch)
	return fmt.Sprintf("offset %d", b.base), raw
}

func (m *modelLog) committed(at, most int64) string {
	stable := wantStable(m.transactions, partition.Offsets{LogStart: m.start, HighWatermark: m.end})
	var out []byte
	next := at
	for _, b := range m.batches {
		if b.next <= at {
			continue
		}
		if at >= stable || b.base >= stable || int64(len(out)+len(b.bytes)) > most {
			break
		}
		out, next = append(out, b.bytes...), b.next
	}
	ended := slices.Clone(m.transactions)
	slices.SortFunc(ended, func(a, b simTxn) int { return int(a.last - b.last) })
	aborted := []partition.AbortedTxn{}
	for _, t := range ended {
		if len(out) > 0 && t.aborted && t.last >= at && t.first < next {
			aborted = append(aborted, partition.AbortedTxn{ProducerID: t.producer, FirstOffset: t.first})
		}
	}
	return fmt.Sprint(describeRead(out, next), ", stable below ", stable, ", aborted ", aborted)
}

func (m *modelLog) read(at, most int64, atLeastOne bool) string {
	if at > m.end {
		return kafka.OffsetOutOfRange.Name()
	}
	var out []byte
	next := at
	for _, b := range m.batches {
		if b.next <= at {
			continue
		}
		if int64(len(out)+len(b.bytes)) > most && !(atLeastOne && len(out) == 0) {
			break
		}
		out, next = append(out, b.bytes...), b.next
	}
	return describeRead(out, next)
}

func describeRead(b []byte, next int64) string {
	return fmt.Sprintf("%d bytes %08x up to %d", len(b), crc32.Checksum(b, castagnoli), next)
}

func (m *modelLog) raise(start int64) {
	if start <= m.start {
		return
	}
	m.start = start
	for len(m.segments) > 0 {
		end := m.end
		if len(m.segments) > 1 {
			end = m.segments[1].base
		}
		if end > start {
			break
		}
		m.segments = m.segments[1:]
	}
	for len(m.epochs) > 1 && m.epochs[1].Start <= start {
		m.epochs = m.epochs[1:]
	}
	if len(m.epochs) > 0 {
		m.epochs[0].Start = max(m.epochs[0].Start, start)
	}
}

func (m *modelLog) retain(most int64) {
	var total int64
	for _, s := range m.segments {
		total += s.bytes
	}
	start := m.start
	for i := 0; i+1 < len(m.segments) && total-m.segments[i].bytes >= most; i++ {
		total -= m.segments[i].bytes
		start = m.segments[i+1].base
	}
	m.raise(start)
}

func (m *modelLog) epochEnd(ask, now int32) string {
	switch {
	case ask > now:
		return "-1 ends at -1"
	case ask == now || len(m.epochs) == 0:
		return fmt.Sprint(ask, " ends at ", m.end)
	case ask < m.epochs[0].Epoch:
		return fmt.Sprint(ask, " ends at ", m.epochs[0].Start)
	}
	for i := len(m.epochs) - 1; ; i-- {
		if m.epochs[i].Epoch > ask {
			continue
		}
		end := m.end
		if i+1 < len(m.epochs) {
			end = m.epochs[i+1].Start
		}
		return fmt.Sprint(m.epochs[i].Epoch, " ends at ", end)
	}
}

// nodeAnswer is what a node says to an operation; raw is the batch of an append.
func nodeAnswer(ctx context.Context, n *simNode, o *operation, m *modelLog, raw []byte) string {
	l, err := n.Log(o.log.topic, o.log.partition)
	if err != nil {
		return err.Error()
	}
	of := l.Offsets()
	at := of.LogStart + (of.HighWatermark-of.LogStart)*o.a/1000
	switch o.kind {
	case "append", "txn", "end":
		a, err := nodeAppend(l, o, raw)
		if err != nil {
			return kafka.CodeOf(err).Name()
		}
		if err := a.Ticket.Wait(ctx); err != nil {
			return err.Error()
		}
		if a.Duplicate {
			return fmt.Sprintf("offset %d again", a.BaseOffset)
		}
		return fmt.Sprintf("offset %d", a.BaseOffset)
	case "read":
		if o.b%10 == 0 {
			at = of.HighWatermark + 1
		}
		return nodeRead(ctx, l, partition.ReadRequest{Offset: at, MaxBytes: o.b * 20, AtLeastOne: o.a%2 == 0})
	case "committed":
		return nodeRead(ctx, l, partition.ReadRequest{Offset: at, MaxBytes: o.b * 20, Committed: true})
	case "time", "most":
		f, err := l.MaxTimestamp(ctx, false)
		if o.kind == "time" {
			f, err = l.OffsetForTime(ctx, o.a*10, false)
		}
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(f.Offset, " at ", f.Timestamp)
	case "delete":
		_, t, err := l.DeleteRecords(of.LogStart + (of.HighWatermark-of.LogStart)*(o.a%300)/1000)
		if err = errors.Join(err, t.Wait(ctx)); err != nil {
			return err.Error()
		}
	case "retain":
		c := *l.Config()
		c.RetentionBytes = o.b * 40
		l.SetConfig(&c)
		n.retain(n.Store.o.Now())
		c.RetentionBytes = -1
		l.SetConfig(&c)
		if err := n.present.Load().wal.Barrier().Wait(ctx); err != nil {
			return err.Error()
		}
	case "epoch":
		e, end := l.EpochEnd(int32(o.a % 6))
		return fmt.Sprint(e, " ends at ", end)
	}
	of = l.Offsets()
	return fmt.Sprintf("[%d, %d)", of.LogStart, of.HighWatermark)
}

func nodeAppend(l *partition.Log, o *operation, raw []byte) (partition.Appended, error) {
	switch o.kind {
	case "txn":
		h, err := record.ParseHeader(raw)
		if err != nil {
			return partition.Appended{}, err
		}
		return l.AppendVerified(raw, l.BeginVerification(h.ProducerID, h.ProducerEpoch, h.BaseSequence, true))
	case "end":
		return l.AppendInternal(raw)
	}
	return l.Append(raw)
}

func nodeRead(ctx context.Context, l *partition.Log, req partition.ReadRequest) string {
	r, err := l.Read(ctx, req)
	if err != nil {
		return kafka.CodeOf(err).Name()
	}
	defer r.Drop()
	var out []byte
	for i := range r.Chunks {
		if out, err = r.Chunks[i].AppendTo(out); err != nil {
			return err.Error()
		}
	}
	if req.Committed {
		return fmt.Sprint(describeRead(out, r.NextOffset), ", stable below ", r.LastStable, ", aborted ", r.Aborted)
	}
	return describeRead(out, r.NextOffset)
}

// layout is a way to keep the same records.
type layout struct {
	shards      int32
	fileBytes   int64
	groupBytes  int
	maintenance int // one in how many operations is followed by some maintenance; 0: none
	crash       bool
}

// However bytes are laid out, moved, checkpointed and recovered: every answer is that of the model.
func TestEveryLayoutAnswersLikeTheModel(t *testing.T) {
	t.Parallel()
	for i, lay := range []layout{
		{1, 1 << 20, 64 << 10, 0, false},
		{1, 64 << 10, 4 << 10, 2, true},
		{2, 256 << 10, 16 << 10, 5, true},
		{4, 128 << 10, 64 << 10, 1, false},
		{4, 64 << 10, 16 << 10, 9, true},
	} {
		t.Run(fmt.Sprintf("%+v", lay), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				lay.run(t, seed, rand.New(rand.NewPCG(seed, uint64(i))))
			}
		})
	}
}

func (lay layout) run(t *testing.T, seed uint64, rng *rand.Rand) {
	t.Helper()
	ctx := t.Context()
	w := newWorld(t)
	w.topics[topicA], w.topics[topicB] = 2, 1
	models := map[logKey]*modelLog{}
	var n *simNode
	start := func() {
		var err error
		n, err = w.start(ctx, simSeams{}, func(o *Options) {
			o.Shards, o.WALFileBytes, o.WALGroupBytes = lay.shards, lay.fileBytes, lay.groupBytes
			f := o.Topics.(*fakeTopics)
			f.shards, f.config.SegmentBytes = lay.shards, modelSegmentBytes
		})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	start()
	epoch := int32(0)
	for i, o := range randomScript(rand.New(rand.NewPCG(seed, 99)), 250) {
		if o.kind == "restart" {
			crashed := w.disk.CrashClone(rng)
			metadata := copyMeta(w.meta)
			if err := n.stop(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if lay.crash {
				w.disk, w.meta = crashed, metadata
			}
			start()
			epoch++
			continue
		}
		m := models[o.log]
		if m == nil {
			m = &modelLog{producers: map[int64][]modelBatch{}, transactors: map[int64]*simProducer{}}
			models[o.log] = m
		}
		want, raw := m.answer(&o, epoch)
		if got := nodeAnswer(ctx, n, &o, m, raw); got != want {
			t.Fatalf("seed %d, step %d, %+v: got %s, want %s", seed, i, o, got, want)
		}
		if lay.maintenance > 0 && rng.IntN(lay.maintenance) == 0 {
			jobs := []func(context.Context) error{n.cutAll, n.checkpointAll, n.mergeIfDue}
			if err := n.do(ctx, jobs[rng.IntN(len(jobs))]); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
		}
	}
	if err := n.stop(); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
}
