package tail_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/rest/tail"
	"github.com/weir-stream/weir/weirtest"
)

// world is a broker, a hub before it, and a producer that chooses partitions itself.
type world struct {
	t        *testing.T
	hub      *tail.Hub
	end      context.CancelFunc // of the hub
	dial     tail.Dial
	producer *kgo.Client
}

func newWorld(t *testing.T, o tail.Options, opts ...weirtest.Option) *world {
	t.Helper()
	broker := weirtest.Start(t, opts...)
	w := &world{t: t, hub: tail.New(o)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.end = cancel
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		w.hub.Run(ctx, func() { close(ready) })
	}()
	<-ready
	w.dial = func(_ context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(broker.Addr())}, opts...)...)
	}
	var err error
	if w.producer, err = w.dial(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.producer.Close()
		cancel()
		<-done
	})
	return w
}

// produce writes the numbers [from, to) to a partition.
func (w *world) produce(topic string, partition int32, from, to int) {
	w.t.Helper()
	var records []*kgo.Record
	for i := range to - from {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%d", from+i)})
	}
	if err := w.producer.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open(r tail.Request) *tail.Reader {
	w.t.Helper()
	r.Principal, r.Dial = "User:a", w.dial
	reader, err := w.hub.Open(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(reader.Close)
	return reader
}

// take reads n records as partition/value.
func take(t *testing.T, r *tail.Reader, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []string
	for len(out) < n {
		records, err := r.Next(ctx, 100)
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		for _, record := range records {
			out = append(out, fmt.Sprintf("%d/%s", record.Partition, record.Value))
		}
	}
	return out
}

func numbered(partition, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%d/%d", partition, i))
	}
	return out
}

func TestReadersOfTheEndShareOneFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{}, weirtest.Topic("t", 1))
	w.produce("t", 0, 0, 5)
	var readers []*tail.Reader
	for range 50 {
		readers = append(readers, w.open(tail.Request{Topic: "t"}))
	}
	w.produce("t", 0, 5, 25)
	for i, r := range readers {
		if got, want := take(t, r, 20), numbered(0, 5, 25); !slices.Equal(got, want) {
			t.Fatalf("reader %d got %v, want %v", i, got, want)
		}
	}
	if w.hub.Feeds() != 1 || w.hub.Readers() != 50 {
		t.Errorf("%d feeds, %d readers", w.hub.Feeds(), w.hub.Readers())
	}
}

func TestAReaderBeginsWhereItWants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{}, weirtest.Topic("t", 1))
	w.produce("t", 0, 0, 10)
	for name, c := range map[string]struct {
		request tail.Request
		want    []string
	}{
		"start":      {tail.Request{From: tail.Start}, numbered(0, 0, 10)},
		"offset":     {tail.Request{From: tail.Offset(7)}, numbered(0, 7, 10)},
		"offsets":    {tail.Request{Offsets: map[int32]int64{0: 4}}, numbered(0, 4, 10)},
		"below":      {tail.Request{Offsets: map[int32]int64{0: -3}}, numbered(0, 0, 10)},
		"time":       {tail.Request{From: tail.At(1)}, numbered(0, 0, 10)},
		"partitions": {tail.Request{From: tail.Start, Partitions: []int32{0}}, numbered(0, 0, 10)},
	} {
		c.request.Topic = "t"
		if got := take(t, w.open(c.request), len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	// Beyond the end is the end.
	after := w.open(tail.Request{Topic: "t", Offsets: map[int32]int64{0: 99}})
	later := w.open(tail.Request{Topic: "t", From: tail.At(time.Now().Add(time.Hour).UnixMilli())})
	w.produce("t", 0, 10, 12)
	for _, r := range []*tail.Reader{after, later} {
		if got, want := take(t, r, 2), numbered(0, 10, 12); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// A reader that does not read falls out of the ring, and still gets every record once and in order.
func TestASlowReaderMissesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{RingBytes: 4 << 10}, weirtest.Topic("t", 2))
	slow, fast := w.open(tail.Request{Topic: "t"}), w.open(tail.Request{Topic: "t"})
	var want []string
	for round := range 5 {
		w.produce("t", 0, round*100, round*100+100)
		w.produce("t", 1, round*100, round*100+100)
		want = append(want, numbered(0, round*100, round*100+100)...)
		want = append(want, numbered(1, round*100, round*100+100)...)
		take(t, fast, 200)
	}
	slices.Sort(want)
	got := take(t, slow, 1000)
	for p := range 2 {
		var of []string
		for _, v := range got {
			if strings.HasPrefix(v, fmt.Sprintf("%d/", p)) {
				of = append(of, v)
			}
		}
		if !slices.Equal(of, numbered(p, 0, 500)) {
			t.Errorf("partition %d came as %v", p, of)
		}
	}
	w.produce("t", 0, 500, 501)
	if got := take(t, slow, 1); got[0] != "0/500" {
		t.Errorf("after it has caught up it got %v", got)
	}
}

func TestAbortedRecordsAreLeftOutAndPassed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{}, weirtest.Topic("t", 1))
	all, committed := w.open(tail.Request{Topic: "t"}), w.open(tail.Request{Topic: "t", Committed: true})
	txn, err := w.dial(t.Context(), kgo.TransactionalID("x"), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := txn.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := txn.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	w.produce("t", 0, 2, 3)
	if got := take(t, all, 3); !slices.Equal(got, []string{"0/0", "0/1", "0/2"}) {
		t.Errorf("uncommitted: %v", got)
	}
	if got := take(t, committed, 2); !slices.Equal(got, []string{"0/1", "0/2"}) {
		t.Errorf("committed: %v", got)
	}
	again := w.open(tail.Request{Topic: "t", Committed: true, From: tail.Start})
	if got := take(t, again, 2); !slices.Equal(got, []string{"0/1", "0/2"}) {
		t.Errorf("committed, from the start: %v", got)
	}
}

func TestNewPartitionsAreReadFromTheirBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{Partitions: 20 * time.Millisecond}, weirtest.Topic("t", 1))
	r := w.open(tail.Request{Topic: "t"})
	if _, err := kadm.NewClient(w.producer).CreatePartitions(t.Context(), 1, "t"); err != nil {
		t.Fatal(err)
	}
	w.producer.ForceMetadataRefresh()
	other, err := w.dial(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: 1, Value: []byte("0")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := take(t, r, 1); got[0] != "1/0" {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{Readers: 1}, weirtest.Topic("t", 1))
	open := func(r tail.Request) error {
		r.Principal, r.Dial = "User:a", w.dial
		reader, err := w.hub.Open(t.Context(), r)
		if err == nil {
			t.Cleanup(reader.Close)
		}
		return err
	}
	if err := open(tail.Request{Topic: "none"}); !errors.Is(err, tail.ErrUnknownTopic) {
		t.Errorf("topic: %v", err)
	}
	if err := open(tail.Request{Topic: "t", Partitions: []int32{1}}); !errors.Is(err, tail.ErrUnknownPartition) {
		t.Errorf("partition: %v", err)
	}
	if err := open(tail.Request{Topic: "t"}); err != nil {
		t.Errorf("a reader: %v", err)
	}
	if err := open(tail.Request{Topic: "t"}); !errors.Is(err, tail.ErrTooMany) {
		t.Errorf("one reader more than may be: %v", err)
	}
}

func TestReadersEndWithTheHubAndWithTheTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tail.Options{Partitions: 20 * time.Millisecond}, weirtest.Topic("t", 1), weirtest.Topic("gone", 1))
	r, gone := w.open(tail.Request{Topic: "t"}), w.open(tail.Request{Topic: "gone"})
	if _, err := kadm.NewClient(w.producer).DeleteTopics(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Next(t.Context(), 1); !errors.Is(err, tail.ErrUnknownTopic) {
		t.Errorf("the topic was deleted: %v", err)
	}
	w.end()
	if _, err := r.Next(t.Context(), 1); !errors.Is(err, tail.ErrClosed) {
		t.Errorf("the hub was closed: %v", err)
	}
}
