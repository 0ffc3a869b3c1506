package app_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/internal/kafka/terms"
	"github.com/weir-stream/weir/internal/schema/wireformat"
)

// plainRecord is a record as the model of the test knows it.
type plainRecord struct {
	offset     int64
	key, value []byte
	time       int64
	headers    []string
}

// fetchAll returns the batches of a partition as they are stored, without the two fields that the broker fills in.
func fetchAll(t testing.TB, cl *kgo.Client, topic string) [][]byte {
	t.Helper()
	var out [][]byte
	for next := int64(0); ; {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 0, 64<<20
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = next, 64<<20
		x := kmsg.NewFetchRequestTopic()
		x.Topic, x.Partitions = topic, []kmsg.FetchRequestTopicPartition{p}
		req.Topics = append(req.Topics, x)
		res, err := cl.Broker(1).Request(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got := res.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
			t.Fatalf("fetch %s at %d: %v", topic, next, err)
		}
		b := got.RecordBatches
		if len(b) == 0 {
			return out
		}
		for len(b) > 0 {
			h, err := record.ParseHeader(b)
			if err != nil || h.Size() > int64(len(b)) {
				break // cut off
			}
			out, next, b = append(out, b[:h.Size()]), h.NextOffset(), b[h.Size():]
		}
	}
}

func plainRecords(t testing.TB, batch []byte) []plainRecord {
	t.Helper()
	if !record.CheckCRC(batch) {
		t.Fatal("a batch does not fit its checksum")
	}
	h, _ := record.ParseHeader(batch)
	it, err := record.NewIterator(batch, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var out []plainRecord
	for r, ok := it.Next(); ok; r, ok = it.Next() {
		p := plainRecord{h.BaseOffset + int64(r.OffsetDelta), bytes.Clone(r.Key), bytes.Clone(r.Value), h.BaseTimestamp + r.TimestampDelta, nil}
		for _, x := range r.Headers {
			p.headers = append(p.headers, fmt.Sprintf("%s=%s", x.Key, x.Value))
		}
		out = append(out, p)
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return out
}

// judgedTopic is the model of a topic with a contract: what was sent, and what must be there.
type judgedTopic struct {
	name          string
	mode          terms.Mode
	producer      record.Producer
	next          int64
	sequence      int32
	untouched     map[int64][]byte // batches that must be as they were sent, by their offset
	want, letters []plainRecord
	sent          []sentBefore
}

type sentBefore struct {
	batch []byte
	base  int64
}

// send makes a random batch, sends it, and notes what must come of it.
func (j *judgedTopic) send(t *testing.T, cl *kgo.Client, rng *rand.Rand) {
	t.Helper()
	if len(j.sent) > 0 && rng.IntN(5) == 0 { // a producer repeats itself
		again := j.sent[max(0, len(j.sent)-1-rng.IntN(5))]
		if res := rawProduce(t, cl, j.name, bytes.Clone(again.batch)); res.ErrorCode != 0 || res.BaseOffset != again.base {
			t.Errorf("%s: a repetition is answered %d at %d, want 0 at %d", j.name, res.ErrorCode, res.BaseOffset, again.base)
		}
		return
	}
	b := record.NewBuilder(record.Codec(rng.IntN(5)), record.DefaultLevel)
	badShare, bad := rng.IntN(4), []int{}
	n := 1 + rng.IntN(12)
	now := time.Now().UnixMilli()
	for i := range n {
		value := order(fmt.Sprint(rng.IntN(1000)), rng.IntN(60))
		switch {
		case rng.IntN(4) < badShare:
			value = [][]byte{[]byte("hello"), {}, wireformat.Append(nil, wireformat.ID{Number: 9}), value[:7]}[rng.IntN(4)]
			bad = append(bad, i)
		case rng.IntN(10) == 0:
			value = nil
		}
		b.Append(now-int64(rng.IntN(1000)), fmt.Append(nil, rng.IntN(5)), value, []record.RecordHeader{{Key: "own", Value: []byte("h")}}[:rng.IntN(2)])
	}
	o := record.BuildOptions{}
	if j.producer.ID >= 0 {
		o.Producer = &record.Producer{ID: j.producer.ID, Epoch: j.producer.Epoch, Sequence: j.sequence}
	}
	batch := b.Build(o)
	res := rawProduce(t, cl, j.name, bytes.Clone(batch))
	if j.mode == terms.Reject && len(bad) > 0 {
		var named []int
		for _, r := range res.ErrorRecords {
			named = append(named, int(r.RelativeOffset))
		}
		if res.ErrorCode != kerr.InvalidRecord.Code || !slices.Equal(named, bad) {
			t.Errorf("%s: answered %d for records %v, want %v", j.name, res.ErrorCode, named, bad)
		}
		return
	}
	if res.ErrorCode != 0 || res.BaseOffset != j.next {
		t.Fatalf("%s: answered %d at %d, want 0 at %d", j.name, res.ErrorCode, res.BaseOffset, j.next)
	}
	if j.producer.ID >= 0 {
		j.sent = append(j.sent, sentBefore{bytes.Clone(batch), j.next})
	}
	record.PatchOffset(batch, j.next, 0)
	if len(bad) == 0 || j.mode == terms.Observe {
		j.untouched[j.next] = batch
	}
	for i, r := range plainRecords(t, batch) {
		broken := slices.Contains(bad, i)
		if broken && j.mode == terms.DeadLetter {
			j.letters = append(j.letters, r)
			continue
		}
		if broken && j.mode == terms.Mark {
			r.headers = append(r.headers, "MARK")
		}
		j.want = append(j.want, r)
	}
	j.next, j.sequence = j.next+int64(n), j.sequence+int32(n)
}

// check compares what is stored with the model.
func (j *judgedTopic) check(t *testing.T, cl *kgo.Client) {
	t.Helper()
	var got []plainRecord
	end := int64(0)
	for _, b := range fetchAll(t, cl, j.name) {
		h, _ := record.ParseHeader(b)
		record.PatchOffset(b, h.BaseOffset, 0)
		if want := j.untouched[h.BaseOffset]; want != nil && !bytes.Equal(b, want) {
			t.Errorf("%s: the batch at %d was changed", j.name, h.BaseOffset)
		}
		got, end = append(got, unmarked(plainRecords(t, b))...), h.NextOffset()
	}
	if end != j.next || !reflect.DeepEqual(got, j.want) {
		t.Errorf("%s ends at %d, want %d; has\n%v\nwant\n%v", j.name, end, j.next, got, j.want)
	}
	if j.mode != terms.DeadLetter {
		return
	}
	var letters []plainRecord
	for _, b := range fetchAll(t, cl, j.name+".dlq") {
		letters = append(letters, plainRecords(t, b)...)
	}
	for i := range letters { // of a dead letter the offset and the headers that were added do not come from the producer
		if i < len(j.letters) {
			letters[i].offset, letters[i].headers = j.letters[i].offset, j.letters[i].headers
		}
	}
	if !reflect.DeepEqual(letters, j.letters) {
		t.Errorf("%s: dead letters are\n%v\nwant\n%v", j.name, letters, j.letters)
	}
}

// unmarked has one word for all headers that the broker adds.
func unmarked(all []plainRecord) []plainRecord {
	for i := range all {
		own := slices.DeleteFunc(slices.Clone(all[i].headers), func(h string) bool {
			return len(h) > len(terms.HeaderPrefix) && h[:len(terms.HeaderPrefix)] == terms.HeaderPrefix
		})
		if len(own) < len(all[i].headers) {
			all[i].headers = append(own, "MARK")
		}
	}
	return all
}

// Whatever batches come in, what passes is byte for byte what was sent, what is changed has the same offsets and sequences, and
// nothing is lost.
func TestContractsChangeNothingButWhatTheyMust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustStart(t, dir)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	var all []*judgedTopic
	for mode := terms.Observe; mode <= terms.Reject; mode++ {
		for _, idempotent := range []bool{false, true} {
			j := &judgedTopic{name: fmt.Sprintf("%s-%v", mode, idempotent), mode: mode, producer: record.Producer{ID: -1}, untouched: map[int64][]byte{}}
			contractTopic(t, s, j.name, mode.String())
			if idempotent {
				res, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(t.Context(), s.client(t))
				if err != nil {
					t.Fatal(err)
				}
				j.producer = record.Producer{ID: res.ProducerID, Epoch: res.ProducerEpoch}
			}
			registerSchemas(t, s, j.name+"-value", nil, orderSchema)
			all = append(all, j)
		}
	}
	producing := s.client(t, kgo.MaxVersions(producedByName()))
	for range 40 {
		for _, j := range all {
			j.send(t, producing, rng)
		}
	}
	check := func(s *server) {
		t.Helper()
		cl := s.client(t, kgo.MaxVersions(producedByName()))
		for _, j := range all {
			j.check(t, cl)
		}
	}
	check(s)
	s.end(t)
	check(mustStart(t, dir))
}
