package topics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// openStore opens a store of broker 1 on m, with settings as for --set.
func openStore(t testing.TB, m meta.Store, settings ...string) *Store {
	t.Helper()
	schema, err := config.NewSchema(Settings()...)
	if err != nil {
		t.Fatal(err)
	}
	if schema, err = schema.WithKnown(Known()...); err != nil {
		t.Fatal(err)
	}
	values, err := schema.Load(config.Sources{Set: settings})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), m, Options{Values: values, NodeID: 1, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newMeta(t testing.TB) *meta.Mem {
	m := meta.NewMem(meta.SystemClock())
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func mustCreate(t testing.TB, s *Store, spec Spec) *Topic {
	t.Helper()
	topic, err := s.Create(t.Context(), spec, false)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// told is an error as a client reads it.
func told(err error) string {
	if err == nil {
		return "ok"
	}
	if d, ok := errors.AsType[*kafka.Detail](err); ok {
		return d.Err.Name() + " " + d.Text
	}
	if e, ok := errors.AsType[kafka.Error](err); ok {
		return e.Name()
	}
	return err.Error()
}

func one(name string) Spec { return Spec{Name: name, Partitions: 1, ReplicationFactor: 1} }

func TestCreateRefusesInKafkasWords(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t), "max.partitions.per.broker=100")
	mustCreate(t, s, one("there"))
	mustCreate(t, s, one("co.l.x"))
	with := func(n, v string) Spec {
		return Spec{Name: "t", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{n: v}}
	}
	byHand := func(a ...Assignment) Spec {
		return Spec{Name: "t", Partitions: -1, ReplicationFactor: -1, Assignments: a}
	}
	long := strings.Repeat("x", 250)
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{one("there"), "TOPIC_ALREADY_EXISTS Topic 'there' already exists."},
		{one("co_l_x"), "INVALID_TOPIC_EXCEPTION Topic 'co_l_x' collides with existing topic: co.l.x"},
		{one("co.l_x"), "INVALID_TOPIC_EXCEPTION Topic 'co.l_x' collides with existing topic: co.l.x"},
		{one("co.l.xx"), "ok"},
		{one(""), "INVALID_TOPIC_EXCEPTION Topic name is invalid: the empty string is not allowed"},
		{one(".."), "INVALID_TOPIC_EXCEPTION Topic name is invalid: '..' is not allowed"},
		{one("a b"), "INVALID_TOPIC_EXCEPTION Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{one(long), "INVALID_TOPIC_EXCEPTION Topic name is invalid: the length of '" + long + "' is longer than the max allowed length 249"},
		{one("__cluster_metadata"), "INVALID_REQUEST Creation of internal topic __cluster_metadata is prohibited."},
		{one("__consumer_offsets"), "ok"},
		{Spec{Name: "t", Partitions: -1, ReplicationFactor: -1}, "ok"},
		{Spec{Name: "t", Partitions: 0, ReplicationFactor: 1}, "INVALID_PARTITIONS Number of partitions was set to an invalid non-positive value."},
		{Spec{Name: "t", Partitions: -2, ReplicationFactor: 1}, "INVALID_PARTITIONS Number of partitions was set to an invalid non-positive value."},
		{Spec{Name: "t", Partitions: 0, ReplicationFactor: 3}, "INVALID_PARTITIONS Number of partitions was set to an invalid non-positive value."},
		{Spec{Name: "t", Partitions: -2, ReplicationFactor: -2}, "INVALID_REPLICATION_FACTOR Replication factor must be larger than 0, or -1 to use the default value."},
		{Spec{Name: "t", Partitions: 1, ReplicationFactor: 2}, "INVALID_REPLICATION_FACTOR Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."},
		{Spec{Name: "t", Partitions: 1<<31 - 1, ReplicationFactor: 1}, "POLICY_VIOLATION Excessively large number of partitions: there would be 2147483649, and max.partitions.per.broker is 100."},
		{byHand(Assignment{1, []int32{1}}, Assignment{0, []int32{1}}), "ok"},
		{byHand(Assignment{0, []int32{7}}), "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes broker 7, but no such broker is registered."},
		{byHand(Assignment{0, []int32{1}}, Assignment{2, []int32{1}}), "INVALID_REPLICA_ASSIGNMENT partitions should be a consecutive 0-based integer sequence"},
		{byHand(Assignment{-1, []int32{1}}, Assignment{0, []int32{1}}), "INVALID_REPLICA_ASSIGNMENT partitions should be a consecutive 0-based integer sequence"},
		{byHand(Assignment{0, []int32{1}}, Assignment{0, []int32{1}}), "INVALID_REPLICA_ASSIGNMENT Found multiple manual partition assignments for partition 0"},
		{byHand(Assignment{0, nil}), "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes an empty replica list."},
		{byHand(Assignment{0, []int32{1, 1}}), "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes the broker 1 more than once."},
		{Spec{Name: "t", Partitions: 2, ReplicationFactor: 1, Assignments: []Assignment{{0, []int32{1}}}}, "INVALID_REQUEST A manual partition assignment was specified, but replication factor was not set to -1."},
		{Spec{Name: "t", Partitions: 2, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1}}}}, "INVALID_REQUEST A manual partition assignment was specified, but numPartitions was not set to -1."},
		{Spec{Name: "t", Partitions: 0, ReplicationFactor: 1, Configs: map[string]string{"nope": "1", "retention.ms": "x"}}, "INVALID_CONFIG Unknown topic config name: nope"},
		{Spec{Name: "t", Partitions: 1, ReplicationFactor: 1, NullConfigs: []string{"a", "b"}, Configs: map[string]string{"nope": "1"}}, "INVALID_CONFIG Null value not supported for topic configs: a,b"},
		{Spec{Name: "t", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"retention.ms": "x", "segment.bytes": "x"}}, "INVALID_CONFIG Invalid value x for configuration segment.bytes: Not a number of type INT"},
		{Spec{Name: "t", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}}, "INVALID_CONFIG conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{with("remote.storage.enable", "true"), "INVALID_CONFIG Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{with("message.format.version", "3.0"), "INVALID_CONFIG Unknown topic config name: message.format.version"},
		{with("message.downconversion.enable", "true"), "INVALID_CONFIG Unknown topic config name: message.downconversion.enable"},
		{with("segment.bytes", "5"), "INVALID_CONFIG Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"},
		{with("retention.ms", "-2"), "INVALID_CONFIG Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{with("retention.bytes", "-5"), "ok"},
		{with("cleanup.policy", ""), "ok"},
		{with("cleanup.policy", "delete,delete"), "ok"},
		{with("cleanup.policy", "delete,"), "INVALID_CONFIG Configuration 'cleanup.policy' values must not be empty."},
		{with("cleanup.policy", "DELETE"), "INVALID_CONFIG Invalid value DELETE for configuration cleanup.policy: String must be one of: compact, delete"},
		{with("compression.type", "GZIP"), "INVALID_CONFIG Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{with("compression.gzip.level", "0"), "INVALID_CONFIG Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{with("compression.zstd.level", "-131073"), "INVALID_CONFIG Invalid value -131073 for configuration compression.zstd.level: Value must be at least -131072"},
		{with("min.cleanable.dirty.ratio", "1.1"), "INVALID_CONFIG Invalid value 1.1 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{with("preallocate", "x"), "INVALID_CONFIG Invalid value x for configuration preallocate: Expected value to be either true or false"},
		{with("leader.replication.throttled.replicas", "*"), "ok"},
		{with("leader.replication.throttled.replicas", "0:1,1:1"), "ok"},
		{with("leader.replication.throttled.replicas", "0:x"), "INVALID_CONFIG Invalid value [0:x] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."},
		{with("leader.replication.throttled.replicas", strings.Repeat("0:1,", 20_000)+"0:1"), "INVALID_CONFIG The configs take 80040 bytes together; at most 65536 are kept."},
	} {
		_, err := s.Create(t.Context(), c.spec, true)
		if got := told(err); got != c.want {
			t.Errorf("%.60s %v: got %s, want %s", c.spec.Name, c.spec.Configs, got, c.want)
		}
	}
	if got := len(s.View().All()); got != 2 {
		t.Errorf("validation made topics: there are %d, want 2", got)
	}
}

func TestCreatedTopicsAreThereAndSurviveReopening(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	s := openStore(t, m, "num.partitions=3")
	changed := s.Changed()
	a := mustCreate(t, s, Spec{Name: "a", Partitions: -1, ReplicationFactor: -1, Configs: map[string]string{"retention.ms": " 5000 "}})
	select {
	case <-changed:
	default:
		t.Error("a change was not told")
	}
	mustCreate(t, s, one("b"))
	if _, err := s.AddPartitions(t.Context(), "b", 7, nil, false); err != nil {
		t.Fatal(err)
	}
	for i, s := range []*Store{s, openStore(t, m)} {
		v := s.View()
		got, ok := v.ByName("a")
		if !ok || got.ID != a.ID || got.Partitions != 3 || got.Configs["retention.ms"] != " 5000 " || !got.CreatedAt.Equal(a.CreatedAt.Truncate(time.Millisecond)) && i == 1 {
			t.Errorf("store %d: got %+v, want %+v", i, got, a)
		}
		if byID, ok := v.ByID(a.ID); !ok || byID != got {
			t.Errorf("store %d: by id: got %v", i, byID)
		}
		if b, _ := v.ByName("b"); b.Partitions != 7 || v.Partitions() != 10 {
			t.Errorf("store %d: b has %d partitions, all have %d", i, b.Partitions, v.Partitions())
		}
		for p := range int32(3) {
			if got, want := s.Shard(a.ID, p), (a.FirstShard+p)%4; got != want {
				t.Errorf("partition %d: shard %d, want %d", p, got, want)
			}
		}
		if l := s.LogConfig(got); l.RetentionMs != 5000 {
			t.Errorf("store %d: retention %d, want 5000", i, l.RetentionMs)
		}
	}
	if id := s.ClusterID(); len(id) != 22 || id != openStore(t, m).ClusterID() {
		t.Errorf("cluster id %q does not last", id)
	}
}

func TestDeletedTopicLeavesItsNameFreeAndGetsANewID(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	old := mustCreate(t, s, one("a"))
	shard := s.Shard(old.ID, 0)
	errs := s.Delete(t.Context(), Target{Name: "a", ID: kafka.TopicID{1}}, Target{Name: "a", ID: old.ID}, Target{Name: "a"}, Target{Name: "b"})
	var got []string
	for _, err := range errs {
		got = append(got, told(err))
	}
	const gone = "UNKNOWN_TOPIC_OR_PARTITION"
	if !slices.Equal(got, []string{gone, "ok", gone, gone}) {
		t.Errorf("got %q", got)
	}
	if _, ok := s.View().ByID(old.ID); ok || s.View().Partitions() != 0 {
		t.Error("the topic is still there")
	}
	if got := s.Shard(old.ID, 0); got != shard {
		t.Errorf("a deleted topic's shard became %d, was %d", got, shard)
	}
	if again := mustCreate(t, s, one("a")); again.ID == old.ID {
		t.Error("the new topic has the old id")
	}
}

func TestAddPartitionsRefusesInKafkasWords(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t), "max.partitions.per.broker=100")
	mustCreate(t, s, Spec{Name: "p", Partitions: 4, ReplicationFactor: 1})
	for _, c := range []struct {
		name        string
		count       int32
		assignments [][]int32
		want        string
	}{
		{"p", 4, nil, "INVALID_PARTITIONS Topic already has 4 partition(s)."},
		{"p", 3, nil, "INVALID_PARTITIONS The topic p currently has 4 partition(s); 3 would not be an increase."},
		{"p", -1, nil, "INVALID_PARTITIONS The topic p currently has 4 partition(s); -1 would not be an increase."},
		{"nope", 5, nil, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"p", 6, [][]int32{{1}}, "INVALID_REPLICA_ASSIGNMENT Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		{"p", 5, [][]int32{{9}}, "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes broker 9, but no such broker is registered."},
		{"p", 5, [][]int32{{}}, "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes an empty replica list."},
		{"p", 5, [][]int32{{1}}, "ok"},
		{"p", 1<<31 - 1, nil, "POLICY_VIOLATION Excessively large number of partitions: there would be 2147483647, and max.partitions.per.broker is 100."},
	} {
		_, err := s.AddPartitions(t.Context(), c.name, c.count, c.assignments, true)
		if got := told(err); got != c.want {
			t.Errorf("%s %d %v: got %s, want %s", c.name, c.count, c.assignments, got, c.want)
		}
	}
	if p, _ := s.View().ByName("p"); p.Partitions != 4 {
		t.Errorf("validation changed the topic: %d partitions", p.Partitions)
	}
}

func TestCreateAllWritesManyTopicsInFewTransactions(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	fault := meta.NewFault(m, nil)
	txns := 0
	var mu sync.Mutex
	s := openStore(t, fault)
	fault.Inject(func(meta.FaultOp) error {
		mu.Lock()
		defer mu.Unlock()
		txns++
		return nil
	})
	specs := make([]Spec, 1200)
	for i := range specs {
		specs[i] = one(fmt.Sprintf("t-%d", i))
	}
	specs[7].Name, specs[8].Partitions = "t-3", 0
	views := 0
	s.OnChange(func(old, next *View) { views++ })
	for i, c := range s.CreateAll(t.Context(), specs, false) {
		want := "ok"
		switch i {
		case 7:
			want = "TOPIC_ALREADY_EXISTS Topic 't-3' already exists."
		case 8:
			want = "INVALID_PARTITIONS Number of partitions was set to an invalid non-positive value."
		}
		if got := told(c.Err); got != want || (c.Err == nil) != (c.Topic != nil) {
			t.Errorf("%d: got %s, want %s", i, got, want)
		}
	}
	if all := s.View().All(); len(all) != 1198 || !slices.IsSortedFunc(all, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("got %d topics, want 1198 in order", len(all))
	}
	if txns > 12 || views > 12 { // of 100 topics each
		t.Errorf("took %d operations and %d views", txns, views)
	}
	if got := len(openStore(t, m).View().All()); got != 1198 {
		t.Errorf("after reopening: %d topics", got)
	}
}

func TestProducerIDsAreNeverGivenTwice(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	seen := map[int64]bool{}
	var mu sync.Mutex
	for range 3 {
		var wg sync.WaitGroup
		for range 2 { // two brokers at a time
			s := openStore(t, m)
			wg.Go(func() {
				for range 1500 {
					id, err := s.AllocateProducerID(t.Context())
					mu.Lock()
					if err != nil || seen[id] || id < 0 {
						t.Errorf("id %d, %v, given before: %t", id, err, seen[id])
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
}

func TestTwoBrokersSeeEachOthersChanges(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	a, b := openStore(t, m), openStore(t, m)
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.Run(ctx, func() { close(ready) }) }()
	<-ready
	wait := func(what string, done func(*View) bool) {
		t.Helper()
		for {
			changed := b.Changed()
			if done(b.View()) {
				return
			}
			select {
			case <-changed:
			case <-time.After(time.Minute):
				t.Fatal(what + " was not seen")
			}
		}
	}
	mustCreate(t, a, one("x"))
	wait("a new topic", func(v *View) bool { _, ok := v.ByName("x"); return ok })
	five := "5"
	if err := a.AlterConfigs(t.Context(), Resource{Broker, ""}, []Change{{Name: "log.retention.ms", Value: &five}}, false); err != nil {
		t.Fatal(err)
	}
	wait("a setting", func(v *View) bool { return LogRetentionMs.Get(v.Values()) == 5 })
	// b's view may be older than this change; its own must not undo it.
	if _, err := a.AddPartitions(t.Context(), "x", 4, nil, false); err != nil {
		t.Fatal(err)
	}
	if err := b.AlterConfigs(t.Context(), Resource{TopicResource, "x"}, []Change{{Name: "retention.ms", Value: &five}}, false); err != nil {
		t.Fatal(err)
	}
	wait("growth", func(v *View) bool {
		x, _ := v.ByName("x")
		return x.Partitions == 4 && x.Configs["retention.ms"] == "5"
	})
	if err := errors.Join(a.Delete(t.Context(), Target{Name: "x"})...); err != nil {
		t.Fatal(err)
	}
	wait("a deletion", func(v *View) bool { return len(v.All()) == 0 })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
}

func TestLostAnswerDoesNotLeaveAWrongView(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	fault := meta.NewFault(m, nil)
	s := openStore(t, fault)
	boom := errors.New("boom")
	fault.Inject(func(meta.FaultOp) error { return meta.Lost(boom) })
	if _, err := s.Create(t.Context(), one("a"), false); !errors.Is(err, boom) {
		t.Fatalf("got %v, want boom", err)
	}
	fault.Inject(nil)
	_, err := s.Create(t.Context(), one("a"), false)
	if got := told(err); got != "TOPIC_ALREADY_EXISTS Topic 'a' already exists." {
		t.Errorf("got %s", got)
	}
}

func TestDamagedMetadataIsRefusedAndNamed(t *testing.T) {
	t.Parallel()
	for key, value := range map[string][]byte{
		"t/a": []byte("nonsense"), "c/group/g": {1, 2}, "c/else/g": encodeConfigs(nil), "ids/cluster": {9, 0, 0, 0, 0}, "t/b": encodeConfigs(map[string]string{"a": "b"}),
	} {
		m := newMeta(t)
		if _, err := m.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: key, Value: value}}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), m, Options{}); !errors.Is(err, errBadValue) {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestConcurrentChangesAllHappen(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	var last *View
	s.OnChange(func(old, next *View) {
		if last != nil && old != last || next.Revision <= old.Revision {
			t.Errorf("views out of order: %d after %d", next.Revision, old.Revision)
		}
		last = next
	})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range 50 {
				name := fmt.Sprintf("t-%d-%d", w, i)
				mustCreateQuiet(t, s, name)
				if rng.IntN(2) == 0 {
					if err := errors.Join(s.Delete(t.Context(), Target{Name: name})...); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	var partitions int64
	for _, topic := range s.View().All() {
		if byID, ok := s.View().ByID(topic.ID); !ok || byID != topic {
			t.Errorf("%s is not found by its id", topic.Name)
		}
		partitions += int64(topic.Partitions)
	}
	if got := s.View().Partitions(); got != partitions {
		t.Errorf("got %d partitions, counted %d", got, partitions)
	}
}

func mustCreateQuiet(t *testing.T, s *Store, name string) {
	if _, err := s.Create(t.Context(), one(name), false); err != nil {
		t.Error(err)
	}
}

// BenchmarkCreate makes topics one by one in a store that has many.
func BenchmarkCreate(b *testing.B) {
	for _, there := range []int{0, 5000, 100_000} {
		b.Run(fmt.Sprintf("there=%d", there), func(b *testing.B) {
			s := openStore(b, newMeta(b), "max.partitions.per.broker=100000000")
			specs := make([]Spec, there)
			for i := range specs {
				specs[i] = one(fmt.Sprintf("t-%d", i))
			}
			s.CreateAll(b.Context(), specs, false)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				mustCreate(b, s, one(fmt.Sprintf("new-%d", i)))
				i++
			}
		})
	}
}

// BenchmarkOpen reads a store of many topics.
func BenchmarkOpen(b *testing.B) {
	m := newMeta(b)
	s := openStore(b, m, "max.partitions.per.broker=100000000")
	specs := make([]Spec, 5000)
	for i := range specs {
		specs[i] = one(fmt.Sprintf("t-%d", i))
	}
	s.CreateAll(b.Context(), specs, false)
	b.ReportAllocs()
	for b.Loop() {
		openStore(b, m)
	}
}
