package api

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// askedCoordinator answers what it is told to, and remembers what it was asked.
type askedCoordinator struct {
	GroupTransactions // nobody asks about groups here

	asked  []TransactionClaim
	ending bool
	answer func(TransactionClaim) error
}

func (a *askedCoordinator) Ending(int64) bool { return a.ending }

func (a *askedCoordinator) AddPartitions(_ context.Context, c TransactionClaim) []error {
	a.asked = append(a.asked, c)
	errs := make([]error, len(c.Partitions))
	if a.answer != nil {
		for i := range errs {
			errs[i] = a.answer(c)
		}
	}
	return errs
}

// logTopics gives storage the topics of a test.
type logTopics struct{ store *topics.Store }

func (l logTopics) Sync(ctx context.Context) error { return l.store.Refresh(ctx) }

func (l logTopics) LogConfig(id kafka.TopicID) (*partition.Config, int32, bool) {
	t, ok := l.store.View().ByID(id)
	if !ok {
		return nil, 0, false
	}
	return &partition.Config{
		MaxMessageBytes: 1 << 20, TimestampBeforeMaxMs: 1 << 62, TimestampAfterMaxMs: 1 << 62, SegmentBytes: 1 << 30, SegmentMs: 1 << 62,
		RetentionMs: -1, RetentionBytes: -1, Delete: true, DecompressedBytesMax: 1 << 20,
	}, t.Partitions, true
}

func (l logTopics) Shard(id kafka.TopicID, p int32) int32 { return l.store.Shard(id, p) }

// dataServer is a server with storage in memory, and the topic "t" of two partitions.
type dataServer struct {
	*Server
	t           *testing.T
	topic       *topics.Topic
	coordinator *askedCoordinator
	meta        meta.Store // that other brokers may share
}

func newDataServer(t *testing.T) *dataServer { return newShardedServer(t, 1, 2) }

// newShardedServer is newDataServer with other numbers of shards and partitions. The broker, with id 1, owns all shards, in epoch 0.
func newShardedServer(t *testing.T, shards, partitions int32) *dataServer {
	t.Helper()
	schema, err := config.NewSchema(append(topics.Settings(), AddPartitionsBackoff, AddPartitionsBackoffMax, TransactionMaxTimeout, FetchMaxBytes, FetchSessionSlots)...)
	if err != nil {
		t.Fatal(err)
	}
	directory, shared := alone(1, shards), meta.NewMem(nil)
	store, err := topics.Open(t.Context(), shared, topics.Options{Values: schema.Defaults(), Shards: shards, Brokers: func() []int32 {
		return make([]int32, len(directory.View().Brokers))
	}})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := store.Create(t.Context(), topics.Spec{Name: "t", Partitions: partitions, ReplicationFactor: -1}, false)
	if err != nil {
		t.Fatal(err)
	}
	disk := vfs.NewMem()
	if err := vfs.MakeDirs(disk, "wal"); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	storage := shard.New(shard.Options{
		FS: disk, WALDir: "wal", Blob: blob.NewMem(), Meta: meta.NewMem(nil), Topics: logTopics{store}, Shards: shards, Now: time.Now,
		Nonce: func() [16]byte { return [16]byte{1} }, Logger: quiet, WALFileBytes: 256 << 10, ReserveBytes: 64 << 10,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- storage.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c := &askedCoordinator{}
	s := New(Options{Topics: store, Cluster: directory, Storage: storage, Transactions: c, Now: time.Now, Logger: quiet, Registerer: prometheus.NewRegistry()})
	return &dataServer{s, t, topic, c, shared}
}

func (d *dataServer) log(p int32) *partition.Log {
	d.t.Helper()
	l, err := d.Server.log(d.topic, p)
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

// answered runs a reply and decodes it.
func answered[T kmsg.Response](t *testing.T, reply Reply, err error, res T) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := reply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, p := range out.Parts {
		if p.From != nil {
			t.Fatal("the answer of a small read lies in a file")
		}
		b = append(b, p.Bytes...)
		if p.Done != nil {
			defer p.Done()
		}
	}
	head := 8
	if res.IsFlexible() {
		head++
	}
	if err := res.ReadFrom(b[head:]); err != nil {
		t.Fatal(err)
	}
	return res
}

// producing is a request with one batch for each given partition.
func (d *dataServer) producing(version int16, id *string, batches ...[]byte) *kmsg.ProduceResponse {
	d.t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.TransactionID, req.Acks = version, id, -1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID = "t", d.topic.ID
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), b
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	reply, err := d.produce(d.t.Context(), &Conn{}, wire.RequestHeader{Key: 0, Version: version}, req)
	res := kmsg.NewPtrProduceResponse()
	res.Version = version
	return answered(d.t, reply, err, res)
}

func (d *dataServer) wantCodes(what string, res *kmsg.ProduceResponse, want ...kafka.Error) {
	d.t.Helper()
	var got []kafka.Error
	for _, p := range res.Topics[0].Partitions {
		got = append(got, kafka.Error(p.ErrorCode))
		if p.ErrorCode != 0 && p.BaseOffset != -1 {
			d.t.Errorf("%s: partition %d failed and has the offset %d", what, p.Partition, p.BaseOffset)
		}
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func txnBatch(pid int64, epoch int16, seq int32) []byte {
	b := record.NewBuilder(record.None, 0)
	b.Append(time.Now().UnixMilli(), nil, []byte("value"), nil)
	return b.Build(record.BuildOptions{Transactional: true, Producer: &record.Producer{ID: pid, Epoch: epoch, Sequence: seq}})
}

func TestFirstBatchOfATransactionIsAskedForOnce(t *testing.T) {
	t.Parallel()
	for version, verify := range map[int16]bool{9: true, 11: true, 12: false, 13: false} {
		d := newDataServer(t)
		d.wantCodes("first", d.producing(version, new("id"), txnBatch(1, 0, 0), txnBatch(1, 0, 0)), kafka.None, kafka.None)
		d.wantCodes("second", d.producing(version, new("id"), txnBatch(1, 0, 1), txnBatch(1, 0, 1)), kafka.None, kafka.None)
		if n := len(d.coordinator.asked); n != 1 {
			t.Fatalf("version %d: asked %d times", version, n)
		}
		a := d.coordinator.asked[0]
		if a.TransactionalID != "id" || a.Producer.ID != 1 || a.VerifyOnly != verify || !slices.Equal(a.Partitions, []kafka.TopicPartition{{Topic: "t"}, {Topic: "t", Partition: 1}}) {
			t.Errorf("version %d: asked %+v", version, a)
		}
		if o := d.log(0).Offsets(); o.LastStable != 0 || o.HighWatermark != 2 {
			t.Errorf("version %d: offsets %+v", version, o)
		}
	}
}

func TestRefusalsOfTheCoordinatorReachTheProducerAsItKnowsThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version   int16
		err, want kafka.Error
	}{
		{9, kafka.ProducerFenced, kafka.InvalidProducerEpoch},
		{10, kafka.TransactionAbortable, kafka.InvalidTxnState},
		{11, kafka.TransactionAbortable, kafka.TransactionAbortable},
		{12, kafka.TransactionAbortable, kafka.TransactionAbortable},
		{11, kafka.ConcurrentTransactions, kafka.NotEnoughReplicas},
		{12, kafka.ConcurrentTransactions, kafka.ConcurrentTransactions},
		{12, kafka.CoordinatorNotAvailable, kafka.NotEnoughReplicas},
		{12, kafka.CoordinatorLoadInProgress, kafka.NotEnoughReplicas},
		{12, kafka.NotCoordinator, kafka.NotEnoughReplicas},
		{12, kafka.InvalidTxnState, kafka.InvalidTxnState},
		{12, kafka.InvalidProducerIDMapping, kafka.InvalidProducerIDMapping},
	} {
		d := newDataServer(t)
		d.coordinator.answer = func(TransactionClaim) error { return c.err }
		d.wantCodes(c.err.Name(), d.producing(c.version, new("id"), txnBatch(1, 0, 0), oneBatch(t)), c.want, kafka.None)
		if end := d.log(0).Offsets().LogEnd; end != 0 {
			t.Errorf("%s: log end %d after a refusal", c.err.Name(), end)
		}
	}
}

func TestProduceAsksAgainWhileTheTransactionBeforeIsBeingEnded(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.coordinator.answer = func(TransactionClaim) error {
		if len(d.coordinator.asked) < 3 {
			return kafka.ConcurrentTransactions
		}
		return nil
	}
	d.wantCodes("third time", d.producing(12, new("id"), txnBatch(1, 0, 0)), kafka.None)
}

func TestTransactionalBatchNeedsATransactionalID(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	const refused = kafka.TransactionalIDAuthorizationFailed
	d.wantCodes("no id", d.producing(12, nil, oneBatch(t), txnBatch(1, 0, 0)), refused, refused)
	d.wantCodes("two producers", d.producing(12, new("id"), txnBatch(1, 0, 0), txnBatch(2, 0, 0)), kafka.InvalidProducerIDMapping, kafka.InvalidProducerIDMapping)
	if len(d.coordinator.asked) != 0 || d.log(0).Offsets().LogEnd != 0 {
		t.Errorf("asked %v, log end %d", d.coordinator.asked, d.log(0).Offsets().LogEnd)
	}
	d.wantCodes("an id and no transaction", d.producing(12, new("id"), oneBatch(t)), kafka.None)
}

func TestWithoutACoordinatorNoTransactionBegins(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.transactions = nil
	d.wantCodes("no coordinator", d.producing(12, new("id"), txnBatch(1, 0, 0)), kafka.InvalidTxnState)
}

// The marker arrives while the coordinator's answer is on its way: the batch would open a transaction that is over.
func TestMarkerWhileTheCoordinatorAnswersRefusesTheBatch(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.coordinator.answer = func(c TransactionClaim) error {
		_, err := d.log(0).AppendMarker(partition.Marker{ProducerID: c.Producer.ID, ProducerEpoch: c.Producer.Epoch})
		return err
	}
	d.wantCodes("late batch", d.producing(11, new("id"), txnBatch(1, 0, 0)), kafka.InvalidTxnState)
	d.coordinator.answer = func(c TransactionClaim) error {
		_, err := d.log(0).AppendMarker(partition.Marker{ProducerID: c.Producer.ID, ProducerEpoch: c.Producer.Epoch + 1, Version: 2})
		return err
	}
	d.wantCodes("late batch, version 2", d.producing(12, new("id"), txnBatch(1, 0, 0)), kafka.InvalidProducerEpoch)
	if l := d.log(0); l.HasOpenTransaction(1, 0) {
		t.Error("the transaction hangs")
	}
}

// A client of transaction version 2 begins the next transaction at once, so the marker of the last may come while its first batch
// waits for the coordinator. That batch is not late.
func TestABatchThatWaitedForTheMarkerBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	asked := 0
	d.coordinator.answer = func(c TransactionClaim) error {
		if asked++; asked > 1 {
			return nil
		}
		if _, err := d.log(0).AppendMarker(partition.Marker{ProducerID: c.Producer.ID, ProducerEpoch: c.Producer.Epoch, Version: 2}); err != nil {
			return err
		}
		return kafka.ConcurrentTransactions
	}
	d.wantCodes("first batch", d.producing(12, new("id"), txnBatch(1, 1, 0)), kafka.None)
}

// Where the coordinator moves its answer is long on its way: by then the marker of the last transaction was written, and the next one has begun.
func TestABatchWhoseAnswerIsYoungerThanTheMarkerBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	for _, version := range []int16{11, 12} {
		d := newDataServer(t)
		asked := 0
		d.coordinator.answer = func(c TransactionClaim) error {
			if asked++; asked > 1 {
				return nil
			}
			_, err := d.log(0).AppendMarker(partition.Marker{ProducerID: c.Producer.ID, ProducerEpoch: c.Producer.Epoch, Version: 2})
			return err
		}
		d.wantCodes("first batch", d.producing(version, new("id"), txnBatch(1, 1, 0)), kafka.None)
		if asked != 2 {
			t.Errorf("version %d: the coordinator was asked %d times, want twice: the first answer may have been of the last transaction", version, asked)
		}
	}
}

// Once the outcome is fixed nothing joins the transaction, also where the marker is not written yet.
func TestABatchBetweenTheOutcomeAndTheMarkerIsRefused(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.wantCodes("first batch", d.producing(12, new("id"), txnBatch(1, 0, 0)), kafka.None)
	d.coordinator.ending = true
	end := d.log(0).Offsets().LogEnd
	d.wantCodes("late batch", d.producing(12, new("id"), txnBatch(1, 0, 1)), kafka.InvalidProducerEpoch)
	if got := d.log(0).Offsets().LogEnd; got != end {
		t.Errorf("log end %d after the refused batch, want %d", got, end)
	}
}

func (d *dataServer) fetching(offset int64, committed bool, wait int32) *kmsg.FetchResponse {
	d.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 12, wait, 1, 1<<20
	if committed {
		req.IsolationLevel = 1
	}
	topic, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = offset, 1<<20, -1, -1
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	reply, err := d.fetch(d.t.Context(), &Conn{}, wire.RequestHeader{Key: 1, Version: 12}, req)
	res := kmsg.NewPtrFetchResponse()
	res.Version = 12
	return answered(d.t, reply, err, res)
}

func TestFetchOfCommittedRecordsWaitsForTheMarkerAndNamesWhatWasAborted(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.wantCodes("transaction", d.producing(12, new("id"), txnBatch(1, 0, 0)), kafka.None)
	if p := d.fetching(0, false, 0).Topics[0].Partitions[0]; len(p.RecordBatches) == 0 || p.AbortedTransactions != nil || p.LastStableOffset != 0 || p.HighWatermark != 1 {
		t.Errorf("uncommitted: %d bytes, aborted %v, offsets %d, %d", len(p.RecordBatches), p.AbortedTransactions, p.LastStableOffset, p.HighWatermark)
	}
	if p := d.fetching(0, true, 0).Topics[0].Partitions[0]; len(p.RecordBatches) != 0 || p.AbortedTransactions == nil {
		t.Errorf("committed, before the marker: %d bytes, aborted %v", len(p.RecordBatches), p.AbortedTransactions)
	}
	got := make(chan *kmsg.FetchResponse, 1)
	go func() { got <- d.fetching(0, true, 60_000) }()
	_, err := d.log(0).AppendMarker(partition.Marker{ProducerID: 1, ProducerEpoch: 1, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	p := (<-got).Topics[0].Partitions[0]
	if len(p.RecordBatches) == 0 || len(p.AbortedTransactions) != 1 || p.AbortedTransactions[0].ProducerID != 1 || p.AbortedTransactions[0].FirstOffset != 0 || p.LastStableOffset != 2 {
		t.Errorf("committed: %d bytes, aborted %+v, last stable offset %d", len(p.RecordBatches), p.AbortedTransactions, p.LastStableOffset)
	}
}

func TestListOffsetsOfCommittedRecordsEndAtTheLastStableOffset(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.wantCodes("plain", d.producing(12, nil, oneBatch(t)), kafka.None) // at time 1
	d.wantCodes("transaction", d.producing(12, new("id"), txnBatch(1, 0, 0)), kafka.None)
	ask := func(ts int64, level int8) int64 {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.IsolationLevel = 7, level
		topic, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp, p.CurrentLeaderEpoch = ts, -1
		topic.Topic, topic.Partitions = "t", append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		res, err := d.listOffsets(t.Context(), &Conn{}, req)
		if err = errors.Join(err, kafkaError(res.Topics[0].Partitions[0].ErrorCode)); err != nil {
			t.Fatal(err)
		}
		return res.Topics[0].Partitions[0].Offset
	}
	for _, c := range []struct {
		ts                     int64
		uncommitted, committed int64
	}{{timeLatest, 2, 1}, {timeEarliest, 0, 0}, {timeMax, 1, -1}, {1, 0, 0}, {2, 1, -1}} {
		if u, r := ask(c.ts, 0), ask(c.ts, 1); u != c.uncommitted || r != c.committed {
			t.Errorf("time %d: offsets %d and, of committed records, %d; want %d and %d", c.ts, u, r, c.uncommitted, c.committed)
		}
	}
}

func kafkaError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafka.Error(code)
}

func TestDescribeProducersTellsOfTransactions(t *testing.T) {
	t.Parallel()
	d := newDataServer(t)
	d.wantCodes("plain", d.producing(12, nil, oneBatch(t)), kafka.None)
	d.wantCodes("transaction", d.producing(12, new("id"), txnBatch(1, 3, 0)), kafka.None)
	describe := func() kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
		req := kmsg.NewPtrDescribeProducersRequest()
		topic := kmsg.NewDescribeProducersRequestTopic()
		topic.Topic, topic.Partitions = "t", []int32{0}
		req.Topics = append(req.Topics, topic)
		res, err := d.describeProducers(t.Context(), &Conn{}, req)
		if err != nil {
			t.Fatal(err)
		}
		return res.Topics[0].Partitions[0].ActiveProducers[0]
	}
	if p := describe(); p.CurrentTxnStartOffset != 1 || p.CoordinatorEpoch != -1 || p.ProducerEpoch != 3 || p.LastSequence != 0 {
		t.Errorf("open: %+v", p)
	}
	if _, err := d.log(0).AppendMarker(partition.Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 9, Version: 2}); err != nil {
		t.Fatal(err)
	}
	if p := describe(); p.CurrentTxnStartOffset != -1 || p.CoordinatorEpoch != 9 || p.ProducerEpoch != 4 || p.LastSequence != -1 {
		t.Errorf("ended: %+v", p)
	}
}
