package backup

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/shard/state"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// producing is a server of which the disk will be lost: one topic of data in shard 1, and the states of transactional ids in shard 0.
type producing struct {
	t      *testing.T
	s      *shard.Store
	states kafka.TopicID
	bucket blob.Store
	meta   meta.Store
	stop   func()
}

// twoTopics are the topic of data and that of the states.
type twoTopics struct {
	config partition.Config
	states kafka.TopicID
}

func (o *twoTopics) LogConfig(id kafka.TopicID) (*partition.Config, int32, bool) {
	return &o.config, 1, id == topicID || id == o.states
}
func (o *twoTopics) Sync(context.Context) error { return nil }
func (o *twoTopics) Shard(id kafka.TopicID, _ int32) int32 {
	if id == topicID {
		return 1
	}
	return 0
}

func newProducing(t *testing.T) *producing {
	t.Helper()
	p := &producing{t: t, bucket: blob.NewMem(), meta: meta.NewMem(meta.SystemClock())}
	store, err := topics.Open(t.Context(), p.meta, topics.Options{})
	if err != nil {
		t.Fatal(err)
	}
	created, err := store.Create(t.Context(), topics.Spec{Name: kafka.TransactionStateTopic, Partitions: 1, ReplicationFactor: 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	p.states = created.ID
	p.start(p.meta)
	return p
}

// start runs storage on an empty disk.
func (p *producing) start(metadata meta.Store) {
	p.t.Helper()
	disk := vfs.NewMem()
	if err := vfs.MakeDirs(disk, "wal"); err != nil {
		p.t.Fatal(err)
	}
	p.s = shard.New(shard.Options{
		FS: disk, WALDir: "wal", Blob: p.bucket, Meta: metadata, Topics: &twoTopics{plainConfig(), p.states}, Shards: 2, Now: time.Now,
		Nonce: func() [16]byte { return [16]byte{1} }, Logger: slog.New(slog.DiscardHandler), WALFileBytes: 1 << 20, Remote: true, UploadMaxAge: time.Minute,
	})
	p.stop = running(p.t, p.s)
}

// loseDisk stops the server, which takes a last checkpoint, and starts another from the bucket alone.
func (p *producing) loseDisk() Restored {
	p.t.Helper()
	p.stop()
	ctx := p.t.Context()
	if _, err := Create(ctx, p.meta, p.bucket, time.Now(), 2); err != nil {
		p.t.Fatal(err)
	}
	p.meta = meta.NewMem(meta.SystemClock())
	r, err := Restore(ctx, Options{
		Store: p.meta, Objects: p.bucket, Now: time.Now(), Open: func() (meta.Store, blob.Store, error) { return p.meta, p.bucket, nil },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.start(p.meta)
	return r
}

func (p *producing) log(id kafka.TopicID) *partition.Log {
	p.t.Helper()
	l, err := p.s.Log(id, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

func (p *producing) wait(a partition.Appended, err error) {
	p.t.Helper()
	if err == nil {
		err = a.Ticket.Wait(p.t.Context())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// data appends a record of a transaction of producer id in epoch 5.
func (p *producing) data(id int64, sequence int32, value string) {
	p.t.Helper()
	l := p.log(topicID)
	b := record.NewBuilder(record.None, 0)
	b.Append(time.Now().UnixMilli(), nil, []byte(value), nil)
	v := l.BeginVerification(id, 5, sequence, false)
	p.wait(l.AppendVerified(b.Build(record.BuildOptions{Producer: &record.Producer{ID: id, Epoch: 5, Sequence: sequence}, Transactional: true}), v))
}

// marker ends the transaction of a producer, as the coordinator does.
func (p *producing) marker(id int64, commit bool) {
	p.t.Helper()
	p.wait(p.log(topicID).AppendMarker(partition.Marker{ProducerID: id, ProducerEpoch: 5, Commit: commit}))
}

// state writes what the coordinator notes of the producer's transactional id.
func (p *producing) state(id int64, epoch int16, s txnrecord.State, version int16) {
	p.t.Helper()
	r := txnrecord.Record{TransactionalID: fmt.Sprintf("app-%d", id), Transaction: &txnrecord.Transaction{
		ProducerID: id, ProducerEpoch: epoch, State: s, ClientVersion: version, TimeoutMillis: 60_000, LastUpdate: time.Now().UnixMilli(), Start: time.Now().UnixMilli(),
		PreviousProducerID: id, NextProducerID: txnrecord.None, LastProducerEpoch: txnrecord.None,
	}}
	b := record.NewBuilder(record.None, 0)
	b.Append(time.Now().UnixMilli(), r.AppendKey(nil), r.Value(), nil)
	p.wait(p.log(p.states).AppendInternal(b.Build(record.BuildOptions{})))
}

// committed returns the values that a reader of committed records gets, as Kafka's consumers make them out.
func (p *producing) committed() (values []string) {
	p.t.Helper()
	l := p.log(topicID)
	for offset := int64(0); ; {
		r, err := l.Read(p.t.Context(), partition.ReadRequest{Offset: offset, MaxBytes: 1 << 20, AtLeastOne: true, Committed: true})
		if err != nil {
			p.t.Fatal(err)
		}
		if r.Bytes == 0 {
			if r.LastStable != r.HighWatermark {
				p.t.Errorf("the last stable offset is %d, the high watermark %d: a transaction is open", r.LastStable, r.HighWatermark)
			}
			return values
		}
		var b []byte
		for i := range r.Chunks {
			if b, err = r.Chunks[i].AppendTo(b); err != nil {
				p.t.Fatal(err)
			}
		}
		values = append(values, visible(p.t, b, r.Aborted)...)
		offset = r.NextOffset
		r.Drop()
	}
}

func visible(t *testing.T, b []byte, aborted []partition.AbortedTxn) (values []string) {
	t.Helper()
	slices.SortFunc(aborted, func(a, b partition.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
	skipped := map[int64]bool{}
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
			skipped[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if h.Control() {
			if m, err := record.ParseMarker(b[:h.Size()]); err != nil {
				t.Fatal(err)
			} else if !m.Commit {
				delete(skipped, h.ProducerID)
			}
		} else if !h.Transactional() || !skipped[h.ProducerID] {
			it, err := record.NewIterator(b[:h.Size()], 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for r, ok := it.Next(); ok; r, ok = it.Next() {
				values = append(values, string(bytes.Clone(r.Value)))
			}
			it.Close()
		}
		b = b[h.Size():]
	}
	return values
}

// Transactions whose markers went with the disk: those of which anything in the bucket says that they were committed are, all others are aborted.
func TestRestoreEndsTransactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProducing(t)
		write(t, p.s, "plain")
		for id, value := range []string{
			1: "ended before: committed", 2: "ended before: aborted", 3: "committed, as the checkpoint knows", 4: "aborted, as the checkpoint knows", 5: "nothing says how it ends",
			6: "committed, as the coordinator says", 7: "the coordinator says it goes on", 8: "committed, then another", 9: "an older client's, by its coordinator committed",
			10: "the coordinator says aborted",
		} {
			if value != "" {
				p.data(int64(id), 0, value)
			}
		}
		p.marker(1, true)
		p.marker(2, false)
		p.state(5, 5, txnrecord.Empty, 2)
		p.state(6, 6, txnrecord.PrepareCommit, 2)
		p.state(7, 5, txnrecord.Ongoing, 2)
		p.state(9, 5, txnrecord.CompleteCommit, 0) // it may be the transaction before that is meant
		p.state(10, 6, txnrecord.PrepareAbort, 2)
		<-time.After(5 * time.Minute)
		if pending, _ := p.s.Pending(); pending != 0 {
			t.Fatalf("%d bytes are not uploaded", pending)
		}
		p.marker(3, true)
		p.marker(4, false)
		p.marker(8, true)
		p.data(8, 1, "the next one of 8, lost")
		p.data(7, 1, "more of 7, lost")
		write(t, p.s, "plain, lost")
		<-time.After(30 * time.Second)
		r := p.loseDisk()
		defer func() { p.stop() }()
		want := []string{"plain", "ended before: committed", "committed, as the checkpoint knows", "committed, as the coordinator says", "committed, then another"}
		if got := p.committed(); !slices.Equal(got, want) {
			t.Errorf("a reader of committed records gets\n%q, want\n%q", got, want)
		}
		if r.Transactions.Committed != 3 || r.Transactions.Aborted != 5 {
			t.Errorf("restored %+v, want 3 transactions committed and 5 aborted", r.Transactions)
		}
		var names []string
		for _, e := range r.Transactions.AbortedList {
			names = append(names, fmt.Sprintf("%s/%d", e.TransactionalID, e.ProducerID))
		}
		if got := strings.Join(names, " "); got != "/4 app-5/5 app-7/7 app-9/9 app-10/10" {
			t.Errorf("those aborted are %q", got)
		}
		if o := p.log(p.states).Offsets(); o.LogStart != o.LogEnd || o.LogEnd == 0 {
			t.Errorf("the states of transactional ids are in [%d, %d), want none: they are older than what partitions know", o.LogStart, o.LogEnd)
		}
		// Everything works on: another transaction, and a second loss.
		p.data(11, 0, "a new one")
		p.marker(11, true)
		<-time.After(5 * time.Minute)
		if r := p.loseDisk(); r.Transactions.Aborted+r.Transactions.Committed != 0 {
			t.Errorf("the second restore ended %+v, want nothing", r.Transactions)
		}
		if got := p.committed(); !slices.Equal(got, append(want, "a new one")) {
			t.Errorf("after the second restore a reader gets\n%q, want\n%q", got, want)
		}
	})
}

// The first batches of a transaction may have been deleted before any was uploaded: what the checkpoint lists of it begins behind the transaction.
func TestOutcomeOfATransactionWhoseStartIsGone(t *testing.T) {
	t.Parallel()
	u := &state.Unmarked{ProducerID: 7, FirstOffset: 10}
	for name, row := range map[string]struct {
		p            state.Partition
		commit, open bool
	}{
		"still open":                {state.Partition{Producers: []state.Producer{{ID: 7, TxnFirstOffset: 8}}}, false, true},
		"aborted":                   {state.Partition{Aborted: []state.Aborted{{ProducerID: 7, FirstOffset: 8, LastOffset: 30}}}, false, false},
		"another's was aborted":     {state.Partition{Aborted: []state.Aborted{{ProducerID: 8, FirstOffset: 8, LastOffset: 30}}}, true, false},
		"the next one was aborted":  {state.Partition{Aborted: []state.Aborted{{ProducerID: 7, FirstOffset: 20, LastOffset: 30}}}, true, false},
		"the next one is open":      {state.Partition{Producers: []state.Producer{{ID: 7, TxnFirstOffset: 20}}}, true, false},
		"nothing of it any more":    {state.Partition{Producers: []state.Producer{{ID: 7, TxnFirstOffset: -1}}}, true, false},
		"the producer is forgotten": {state.Partition{}, true, false},
	} {
		if commit, open := outcomeOf(&row.p, u); commit != row.commit || open != row.open {
			t.Errorf("%s: committed %v, open %v, want %v, %v", name, commit, open, row.commit, row.open)
		}
	}
	if commit, open := outcomeOf(&state.Partition{}, &state.Unmarked{ProducerID: 7, Uncertain: true}); commit || open {
		t.Error("what is uncertain is taken for committed")
	}
}
