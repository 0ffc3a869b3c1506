package topics

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/kafka/terms"
)

func TestTermsFollowTheConfigs(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	value := func(m terms.Mode, l terms.Level) *terms.Terms {
		return &terms.Terms{Mode: m, Level: l, Value: true, DeadLetters: "t.dlq"}
	}
	for _, c := range []struct {
		configs string
		want    *terms.Terms
	}{
		{"", nil},
		{"weir.contract.mode=off", nil},
		{"weir.contract.level=id", nil},
		{"weir.contract.mode=reject", value(terms.Reject, terms.Rules)},
		{"weir.contract.mode=observe weir.contract.level=id", value(terms.Observe, terms.ID)},
		{"weir.contract.mode=mark weir.contract.level=schema", value(terms.Mark, terms.Schema)},
		{"weir.contract.mode=reject weir.contract.value=false", nil},
		{"weir.contract.mode=dlq weir.contract.dlq.topic=t", value(terms.DeadLetter, terms.Rules)}, // not to itself
		{"weir.contract.mode=dlq weir.contract.dlq.topic=bin", &terms.Terms{Mode: terms.DeadLetter, Level: terms.Rules, Value: true, DeadLetters: "bin"}},
		{"weir.contract.mode=reject weir.contract.key=true weir.contract.key.subject.name.strategy=RecordName weir.contract.value.subject.name.strategy=TopicRecordName", &terms.Terms{
			Mode: terms.Reject, Level: terms.Rules, Key: true, Value: true, KeyStrategy: terms.RecordName, ValueStrategy: terms.TopicRecordName, DeadLetters: "t.dlq",
		}},
		{"confluent.value.schema.validation=true", value(terms.Reject, terms.ID)},
		{"confluent.key.schema.validation=true confluent.key.subject.name.strategy=io.confluent.kafka.serializers.subject.RecordNameStrategy", &terms.Terms{
			Mode: terms.Reject, Level: terms.ID, Key: true, KeyStrategy: terms.RecordName, DeadLetters: "t.dlq",
		}},
		{"confluent.value.schema.validation=true weir.contract.mode=off", nil}, // ours goes before theirs
		{"confluent.value.schema.validation=true weir.contract.mode=mark", value(terms.Mark, terms.Rules)},
	} {
		configs := map[string]string{}
		for pair := range strings.FieldsSeq(c.configs) {
			name, text, _ := strings.Cut(pair, "=")
			configs[name] = text
		}
		topic, err := s.Create(t.Context(), Spec{Name: "t", Partitions: 1, ReplicationFactor: 1, Configs: configs}, true)
		if err != nil {
			t.Errorf("%s: %v", c.configs, err)
			continue
		}
		if got := topic.Terms; (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: got %+v, want %+v", c.configs, got, c.want)
		}
	}
}

func TestTermsChangeWithTheTopicAndAreRecovered(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	s := openStore(t, m)
	mustCreate(t, s, one("t"))
	mustCreate(t, s, one("_schemas"))
	for _, name := range []string{"t", "_schemas"} {
		if err := s.AlterConfigs(t.Context(), topicR(name), []Change{set("weir.contract.mode", "reject")}, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{s, openStore(t, m)} {
		if x, _ := s.View().ByName("t"); x.Terms == nil || x.Terms.Mode != terms.Reject {
			t.Errorf("terms are %+v", x.Terms)
		}
		if x, _ := s.View().ByName("_schemas"); x.Terms != nil {
			t.Errorf("the registry's topic has terms: %+v", x.Terms)
		}
	}
}

func TestConfigsOfContractsAreCheckedAndToldWhereSetOrAskedFor(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	mustCreate(t, s, one("t"))
	for _, c := range []struct{ name, value, want string }{
		{"weir.contract.mode", "Reject", "INVALID_CONFIG Invalid value Reject for configuration weir.contract.mode: String must be one of: off, observe, mark, dlq, reject"},
		{"weir.contract.dlq.topic", "a b", "INVALID_CONFIG Invalid value a b for configuration weir.contract.dlq.topic: it is no name of a topic"},
		{"weir.contract.dlq.topic", "__consumer_offsets", "INVALID_CONFIG Invalid value __consumer_offsets for configuration weir.contract.dlq.topic: nobody writes to an internal topic by hand"},
		{"weir.contract.dlq.topic", "_schemas", "INVALID_CONFIG Invalid value _schemas for configuration weir.contract.dlq.topic: nobody writes to an internal topic by hand"},
		{"weir.contract.mode", "mark", "ok"},
	} {
		if got := told(s.AlterConfigs(t.Context(), topicR("t"), []Change{set(c.name, c.value)}, false)); got != c.want {
			t.Errorf("%s=%s: got %s, want %s", c.name, c.value, got, c.want)
		}
	}
	ours := slices.DeleteFunc(describe(t, s, topicR("t")), func(c string) bool { return !strings.Contains(c, "contract") && !strings.Contains(c, "confluent") })
	if want := []string{"weir.contract.mode=mark 1 {weir.contract.mode=mark 1}"}; !slices.Equal(ours, want) {
		t.Errorf("told unasked: %q, want %q", ours, want)
	}
	if got := describe(t, s, topicR("t"), "weir.contract.level"); !slices.Equal(got, []string{"weir.contract.level=rules 5 {}"}) {
		t.Errorf("told when asked: %q", got)
	}
}

func TestATopicBesideAnotherSharesItsShards(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), newMeta(t), Options{NodeID: 1, Shards: 64})
	if err != nil {
		t.Fatal(err)
	}
	from := mustCreate(t, s, one("t"))
	for _, name := range []string{"a", "b", "c", "d"} {
		made, err := s.Create(t.Context(), Spec{Name: name, Partitions: 8, ReplicationFactor: -1, Beside: from}, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int32(8) {
			if made.Shard(i) != from.Shard(i) {
				t.Errorf("partition %d of %s is in shard %d, want %d", i, name, made.Shard(i), from.Shard(i))
			}
		}
	}
}
