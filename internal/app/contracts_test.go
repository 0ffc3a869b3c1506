package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// contractTopic makes a topic of one partition with a contract: the mode, and other configs as name=value.
func contractTopic(t testing.TB, s *server, name, mode string, configs ...string) {
	t.Helper()
	all := map[string]*string{"weir.contract.mode": &mode}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		all[k] = &v
	}
	if _, err := kadm.NewClient(s.client(t)).CreateTopic(t.Context(), 1, 1, all, name); err != nil {
		t.Fatal(err)
	}
}

// registerSchemas writes versions into the registry's topic, as a registry would. Ids and versions count from 1.
func registerSchemas(t testing.TB, s *server, subject string, rules *schema.RuleSet, texts ...string) {
	t.Helper()
	cl := s.client(t, kgo.DefaultProduceTopic("_schemas"), kgo.AllowAutoTopicCreation())
	for i, text := range texts {
		key := fmt.Sprintf(`{"keytype":"SCHEMA","subject":%q,"version":%d,"magic":1}`, subject, i+1)
		value, err := json.Marshal(map[string]any{"subject": subject, "version": i + 1, "id": i + 1, "schema": text, "ruleSet": rules})
		if err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Key: []byte(key), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

const orderSchema = `{"type":"record","name":"Order","fields":[{"name":"item","type":"string"},{"name":"count","type":"int"}]}`

// order is a value of orderSchema with id 1: a string and a small number.
func order(item string, count int) []byte {
	b := wireformat.Append(nil, wireformat.ID{Number: 1})
	b = append(b, byte(2*len(item)))
	b = append(b, item...)
	return append(b, byte(2*count))
}

func mustProduce(t testing.TB, cl *kgo.Client, records ...*kgo.Record) []int64 {
	t.Helper()
	var offsets []int64
	for _, r := range cl.ProduceSync(t.Context(), records...) {
		if r.Err != nil {
			t.Fatalf("produce %s: %v", r.Record.Value, r.Err)
		}
		offsets = append(offsets, r.Record.Offset)
	}
	return offsets
}

// consumeAll returns what is committed in a topic.
func consumeAll(t testing.TB, s *server, topic string) []*kgo.Record {
	t.Helper()
	ends, err := kadm.NewClient(s.client(t)).ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	cl := s.client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []*kgo.Record
	for next := int64(0); next < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("consume %s, at %d of %d: %v", topic, next, end.Offset, err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				next = r.Offset + 1
				if !r.Attrs.IsControl() {
					out = append(out, r)
				}
			}
		})
	}
	return out
}

// consumeSome returns the first n committed records of a topic, and waits for them.
func consumeSome(t testing.TB, s *server, topic string, n int) []*kgo.Record {
	t.Helper()
	cl := s.client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n && ctx.Err() == nil {
		out = append(out, cl.PollFetches(ctx).Records()...)
	}
	return out
}

func valuesOf(records []*kgo.Record) string {
	var out []string
	for _, r := range records {
		out = append(out, fmt.Sprintf("%d:%q", r.Offset, r.Value))
	}
	return strings.Join(out, " ")
}

func header(r *kgo.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func TestAContractRefusesWhatBreaksIt(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	contractTopic(t, s, "orders", "reject")
	small := schema.Rule{Name: "few", Doc: "at most ten", Kind: "CONDITION", Mode: "WRITE", Type: "CEL", Expr: "message.count <= 10"}
	registerSchemas(t, s, "orders-value", &schema.RuleSet{DomainRules: []schema.Rule{small}}, orderSchema)
	cl := s.client(t, kgo.DefaultProduceTopic("orders"))
	good := func() []int64 { return mustProduce(t, cl, &kgo.Record{Value: order("tea", 3)}) }
	good()
	mustProduce(t, cl, &kgo.Record{Key: []byte("k")}) // a tombstone
	for name, value := range map[string][]byte{
		"no schema": []byte("tea"), "unknown id": wireformat.Append(nil, wireformat.ID{Number: 77}), "cut short": order("tea", 3)[:7], "rule": order("tea", 11),
	} {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: value}).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
			t.Errorf("%s: %v", name, err)
		}
		good() // the same producer goes on
	}
	if got := len(consumeAll(t, s, "orders")); got != 6 {
		t.Errorf("%d records, want 6", got)
	}
	res := rawProduce(t, s.client(t, kgo.MaxVersions(producedByName())), "orders", batchOf(record.None, order("a", 1), []byte("x"), order("b", 1), order("c", 11)))
	if res.ErrorCode != kerr.InvalidRecord.Code || len(res.ErrorRecords) != 2 || res.ErrorRecords[0].RelativeOffset != 1 || res.ErrorRecords[1].RelativeOffset != 3 {
		t.Fatalf("got %+v", res)
	}
	for _, c := range []struct {
		text *string
		want string
	}{
		{res.ErrorMessage, "Contract of topic orders: 2 records of the batch break it, the first: the value names no schema; subject orders-value has one (no-schema)"},
		{res.ErrorRecords[1].ErrorMessage, `the value does not obey rule few of schema 1, subject orders-value: rule "few": at most ten: condition is false (rule-failed)`},
	} {
		if c.text == nil || *c.text != c.want {
			t.Errorf("got %q, want %q", *c.text, c.want)
		}
	}
}

// batchOf builds a batch without a producer.
func batchOf(codec record.Codec, values ...[]byte) []byte {
	b := record.NewBuilder(codec, record.DefaultLevel)
	for i, v := range values {
		b.Append(time.Now().UnixMilli(), fmt.Appendf(nil, "key %d", i), v, []record.RecordHeader{{Key: "own", Value: []byte{byte(i)}}})
	}
	return b.Build(record.BuildOptions{})
}

func rawProduce(t testing.TB, cl *kgo.Client, topic string, batch []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	x := kmsg.NewProduceRequestTopic()
	x.Topic, x.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	req.Topics = append(req.Topics, x)
	res, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	return res.Topics[0].Partitions[0]
}

func TestDeadLettersLeaveTheRestOfTheBatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustStart(t, dir)
	contractTopic(t, s, "orders", "dlq")
	registerSchemas(t, s, "orders-value", nil, orderSchema)
	cl := s.client(t, kgo.DefaultProduceTopic("orders"), kgo.ProducerLinger(20*time.Millisecond), kgo.ClientID("shop"))
	var want, letters []string
	for i := range 60 {
		r := &kgo.Record{Key: fmt.Append(nil, i), Value: order(fmt.Sprint(i), 1)}
		if i%3 == 0 || i >= 50 { // the last batches have nothing else
			r.Value = fmt.Append(nil, "bad ", i)
			letters = append(letters, string(r.Value))
		} else {
			want = append(want, fmt.Sprintf("%d:%q", i, r.Value))
		}
		if i >= 50 {
			mustProduce(t, cl, r)
			continue
		}
		cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		if i == 49 {
			if err := cl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(s *server) {
		t.Helper()
		if got := valuesOf(consumeAll(t, s, "orders")); got != strings.Join(want, " ") {
			t.Errorf("the topic has %s, want %s", got, want)
		}
		var got []string
		for i, r := range consumeAll(t, s, "orders.dlq") {
			got = append(got, string(r.Value))
			h := map[string]string{}
			for _, x := range r.Headers {
				h[x.Key] = string(x.Value)
			}
			if i == 0 && (h[terms.HeaderReason] != "no-schema" || h[terms.HeaderTopic] != "orders" || h[terms.HeaderPartition] != "0" || h[terms.HeaderClient] != "shop" || h[terms.HeaderSubject] != "orders-value" || string(r.Key) != "0") {
				t.Errorf("headers are %v", h)
			}
		}
		if !slices.Equal(got, letters) {
			t.Errorf("dead letters are %q, want %q", got, letters)
		}
	}
	if next := mustProduce(t, cl, &kgo.Record{Value: order("last", 1)})[0]; next != 60 {
		t.Errorf("the next record is at %d, want 60", next)
	}
	want = append(want, fmt.Sprintf("60:%q", order("last", 1)))
	check(s)
	cl.Close()
	s.end(t)
	check(mustStart(t, dir))
}

func TestDeadLettersArePartOfTheTransaction(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir(), "transaction.state.log.num.partitions=2")
	contractTopic(t, s, "orders", "dlq")
	registerSchemas(t, s, "orders-value", nil, orderSchema)
	cl := s.client(t, kgo.DefaultProduceTopic("orders"), kgo.TransactionalID("shop"))
	for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprint("commit ", bool(commit))
		for range 2 {
			mustProduce(t, cl, &kgo.Record{Value: order(what, 1)})
			mustProduce(t, cl, &kgo.Record{Value: []byte("bad " + what)})
		}
		if got := len(consumeAll(t, s, "orders.dlq")); got != 0 {
			t.Errorf("%d dead letters can be read before the transaction ends", got)
		}
		if err := cl.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	for topic, want := range map[string]string{"orders": string(order("commit true", 1)), "orders.dlq": "bad commit true"} {
		got := consumeSome(t, s, topic, 2) // the markers are written after the answer
		if len(got) != 2 || string(got[0].Value) != want || string(got[1].Value) != want {
			t.Errorf("%s has %s", topic, valuesOf(got))
		}
	}
}

func TestMarkedRecordsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := mustStart(t, t.TempDir())
	contractTopic(t, s, "orders", "mark", "weir.contract.key=true")
	registerSchemas(t, s, "orders-value", nil, orderSchema)
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl := s.client(t, kgo.DefaultProduceTopic("orders"), kgo.ProducerBatchCompression(codec))
		mustProduce(t, cl, &kgo.Record{Value: order("tea", 1)}, &kgo.Record{Value: []byte("bad"), Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("1")}}}, &kgo.Record{Key: []byte("k"), Value: order("milk", 1)})
	}
	got := consumeAll(t, s, "orders")
	if len(got) != 15 {
		t.Fatalf("%d records, want 15", len(got))
	}
	for i, want := range []string{"", "no-schema", "no-schema"} {
		for n := i; n < 15; n += 3 {
			if got := header(got[n], terms.HeaderReason); got != want {
				t.Errorf("record %d is marked %q, want %q", n, got, want)
			}
		}
	}
	if header(got[1], "own") != "1" || header(got[1], terms.HeaderPart) != "value" || header(got[2], terms.HeaderPart) != "key" {
		t.Errorf("headers are %v and %v", got[1].Headers, got[2].Headers)
	}
}

// producedByName keeps Produce and Fetch below the versions that name topics by id.
func producedByName() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 12)
	v.SetMaxKeyVersion(int16(kmsg.Fetch), 12)
	return v
}
