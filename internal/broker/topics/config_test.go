package topics

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func set(name, value string) Change { return Change{Name: name, Op: Set, Value: &value} }

func do(name string, op Op, value string) Change { return Change{Name: name, Op: op, Value: &value} }

func topicR(name string) Resource { return Resource{TopicResource, name} }

// shown prints a config as "name=value source {synonym=value source; ...}".
func shown(c Config) string {
	value := func(v *string) string {
		if v == nil {
			return "null"
		}
		return *v
	}
	var synonyms []string
	for _, s := range c.Synonyms {
		synonyms = append(synonyms, fmt.Sprintf("%s=%s %d", s.Name, value(s.Value), s.Source))
	}
	return fmt.Sprintf("%s=%s %d {%s}", c.Name, value(c.Value), c.Source, strings.Join(synonyms, "; "))
}

func describe(t *testing.T, s *Store, r Resource, names ...string) []string {
	t.Helper()
	configs, err := s.Describe(r, names)
	if err != nil {
		t.Fatalf("describe %v: %v", r, err)
	}
	var out []string
	for _, c := range configs {
		out = append(out, shown(c))
	}
	return out
}

func TestAlterConfigsAnswersAsKafka(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	mustCreate(t, s, one("i"))
	broker, all, group, metrics := Resource{Broker, "1"}, Resource{Broker, ""}, Resource{Group, "g"}, Resource{ClientMetrics, "m"}
	const security = "INVALID_REQUEST These security configs can be dynamically updated only per-listener using the listener prefix: "
	reset := func(v string) string {
		return "INVALID_CONFIG Invalid value " + v + " for configuration share.auto.offset.reset: Invalid value `" + v +
			"` for configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
	}
	for _, c := range []struct {
		r       Resource
		changes []Change
		want    string
	}{
		{topicR("i"), []Change{set("retention.ms", "5000"), set("cleanup.policy", "compact")}, "ok"},
		{topicR("i"), nil, "ok"},
		{topicR("i"), []Change{set("nope", "1")}, "INVALID_CONFIG Unknown topic config name: nope"},
		{topicR("i"), []Change{set("", "1")}, "INVALID_CONFIG Unknown topic config name: "},
		{topicR("i"), []Change{set("retention.ms", "1.5")}, "INVALID_CONFIG Invalid value 1.5 for configuration retention.ms: Not a number of type LONG"},
		{topicR("i"), []Change{do("cleanup.policy", Append, "nope")}, "INVALID_CONFIG Invalid value nope for configuration cleanup.policy: String must be one of: compact, delete"},
		{topicR("i"), []Change{do("retention.ms", Append, "1")}, "INVALID_CONFIG Can't APPEND to key retention.ms because its type is not LIST."},
		{topicR("i"), []Change{do("nope", Subtract, "1")}, "INVALID_CONFIG Can't SUBTRACT to key nope because its type is not LIST."},
		{topicR("i"), []Change{{Name: "cleanup.policy", Op: Append}}, "INVALID_REQUEST Null value not supported for : cleanup.policy"},
		{topicR("i"), []Change{{Name: "retention.ms"}, {Name: "segment.ms"}}, "INVALID_REQUEST Null value not supported for : retention.ms, segment.ms"},
		{topicR("i"), []Change{{Name: "nope", Op: Delete}}, "ok"},
		{topicR("i"), []Change{do("retention.ms", Delete, "5")}, "ok"},
		{topicR("i"), []Change{do("retention.ms", 9, "5")}, "INVALID_REQUEST Unknown operation 9 for retention.ms"},
		{topicR("i"), []Change{set("retention.ms", "1"), set("retention.ms", "2")}, "INVALID_REQUEST Error due to duplicate config keys"},
		{topicR("nope"), []Change{set("retention.ms", "1")}, "UNKNOWN_TOPIC_OR_PARTITION The topic 'nope' does not exist."},
		{topicR("nope"), []Change{set("retention.ms", "x")}, "INVALID_CONFIG Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{topicR("a b"), []Change{set("retention.ms", "x")}, "INVALID_TOPIC_EXCEPTION Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{topicR(""), nil, "INVALID_REQUEST Default topic resources are not allowed."},
		{Resource{3, "x"}, nil, "INVALID_REQUEST Unknown resource type 3"},
		{broker, []Change{set("log.cleaner.threads", "2")}, "ok"},
		{broker, []Change{set("num.partitions", "2"), set("auto.create.topics.enable", "x")}, "INVALID_REQUEST Cannot update these configs dynamically: [num.partitions, auto.create.topics.enable]"},
		{broker, []Change{{Name: "num.partitions", Op: Delete}}, "ok"},
		{broker, []Change{set("ssl.keystore.type", "JKS"), set("ssl.keystore.location", "x")}, security + "[ssl.keystore.type, ssl.keystore.location]"},
		{all, []Change{set("listeners", "x"), set("cordoned.log.dirs", "x")}, "INVALID_REQUEST Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs, listeners]"},
		{broker, []Change{set("log.cleaner.threads", "x")}, "INVALID_REQUEST Invalid value x for configuration log.cleaner.threads: Not a number of type INT"},
		{broker, []Change{set("log.segment.bytes", "5")}, "INVALID_REQUEST Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576"},
		{broker, []Change{do("log.cleaner.threads", Append, "1")}, "INVALID_CONFIG Config value append is not allowed for config key: log.cleaner.threads"},
		{broker, []Change{do("log.cleaner.threads", Subtract, "1")}, "INVALID_CONFIG Config value subtract is not allowed for config key: log.cleaner.threads"},
		{broker, []Change{do("nope.x", Append, "1")}, "INVALID_CONFIG Unknown config name: nope.x"},
		{Resource{Broker, "+01"}, []Change{set("leader.replication.throttled.rate", "5")}, "ok"},
		{Resource{Broker, "2"}, []Change{set("log.cleaner.threads", "2")}, "INVALID_REQUEST Unexpected broker id, expected 1, but received 2"},
		{Resource{Broker, "x"}, []Change{set("log.cleaner.threads", "2")}, "INVALID_REQUEST Node id must be an integer, but it is: x"},
		{group, []Change{set("nope", "1")}, "INVALID_CONFIG Unknown group config name: nope"},
		{group, []Change{set("consumer.session.timeout.ms", "x")}, "INVALID_CONFIG Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT"},
		{group, []Change{set("consumer.session.timeout.ms", "1000")}, "INVALID_CONFIG consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{group, []Change{set("consumer.heartbeat.interval.ms", "16000")}, "INVALID_CONFIG consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		{group, []Change{set("streams.num.standby.replicas", "3")}, "INVALID_CONFIG streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"},
		{group, []Change{set("share.delivery.count.limit", "11")}, "INVALID_CONFIG share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"},
		{group, []Change{set("share.partition.max.record.locks", "99")}, "INVALID_CONFIG Invalid value 99 for configuration share.partition.max.record.locks: Value must be at least 100"},
		{group, []Change{set("share.auto.offset.reset", "LATEST")}, reset("LATEST")},
		{group, []Change{set("share.auto.offset.reset", "by_duration:")}, reset("by_duration:")},
		{group, []Change{set("share.auto.offset.reset", "by_duration:-PT1H")}, reset("by_duration:-PT1H")},
		{group, []Change{set("share.auto.offset.reset", "by_duration:PT")}, reset("by_duration:PT")},
		{group, []Change{set("share.auto.offset.reset", "by_duration:P1DT2H3M4.5S")}, "ok"},
		{group, []Change{do("consumer.session.timeout.ms", Append, "1")}, "INVALID_CONFIG Can't APPEND to key consumer.session.timeout.ms because its type is not LIST."},
		{Resource{Group, ""}, nil, "INVALID_REQUEST Default group resources are not allowed."},
		{Resource{Group, "a b/ü"}, []Change{set("consumer.session.timeout.ms", "50000")}, "ok"},
		{Resource{Group, strings.Repeat("x", 2000)}, []Change{set("consumer.session.timeout.ms", "50000")}, "INVALID_REQUEST The name of the resource is too long."},
		{metrics, []Change{set("nope", "1")}, "INVALID_REQUEST Unknown client metrics configuration: nope"},
		{metrics, []Change{set("interval.ms", "x")}, "INVALID_CONFIG Invalid value x for configuration interval.ms: Not a number of type INT"},
		{metrics, []Change{set("interval.ms", "99")}, "INVALID_REQUEST Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
		{metrics, []Change{set("match", "client_id=(")}, "INVALID_CONFIG Illegal client matching pattern: client_id=("},
		{metrics, []Change{set("match", "client_id=a=b")}, "INVALID_CONFIG Illegal client matching pattern: client_id=a=b"},
		{metrics, []Change{set("match", "client_id=")}, "INVALID_CONFIG Illegal client matching pattern: client_id="},
		{metrics, []Change{set("match", "nope=a")}, "INVALID_CONFIG Illegal client matching pattern: nope=a"},
		{metrics, []Change{set("match", "client_id = a,client_source_port=2")}, "ok"},
		{metrics, []Change{do("metrics", Append, "x")}, "INVALID_CONFIG Can't APPEND to key metrics because its type is not LIST."},
		{Resource{ClientMetrics, ""}, []Change{set("interval.ms", "1000")}, "INVALID_REQUEST Subscription name can't be empty"},
		{Resource{BrokerLogger, "1"}, []Change{set("root", "INFO")}, "INVALID_CONFIG Logger root does not exist!"},
	} {
		if got := told(s.AlterConfigs(t.Context(), c.r, c.changes, false)); got != c.want {
			t.Errorf("%v %v: got %s, want %s", c.r, c.changes, got, c.want)
		}
	}
}

func TestListsAreAppendedToAndSubtractedFrom(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	mustCreate(t, s, one("l"))
	policy := func(r Resource, name string, change Change, want string) {
		t.Helper()
		if err := s.AlterConfigs(t.Context(), r, []Change{change}, false); err != nil {
			t.Fatal(err)
		}
		if got := describe(t, s, r, name)[0]; !strings.HasPrefix(got, want+" ") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	l := topicR("l")
	policy(l, "cleanup.policy", do("cleanup.policy", Append, "compact,delete,compact"), "cleanup.policy=delete,compact")
	policy(l, "cleanup.policy", do("cleanup.policy", Subtract, "delete"), "cleanup.policy=compact")
	policy(l, "cleanup.policy", do("cleanup.policy", Subtract, "delete"), "cleanup.policy=compact")
	policy(l, "cleanup.policy", do("cleanup.policy", Subtract, "compact"), "cleanup.policy=")
	policy(l, "cleanup.policy", Change{Name: "cleanup.policy", Op: Delete}, "cleanup.policy=delete")
	policy(Resource{Broker, "1"}, "log.cleanup.policy", do("log.cleanup.policy", Append, "compact"), "log.cleanup.policy=delete,compact")
	policy(l, "cleanup.policy", do("cleanup.policy", Subtract, "delete"), "cleanup.policy=compact")
}

func TestReplaceConfigsForgetsWhatIsNotNamed(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	mustCreate(t, s, Spec{Name: "a", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"retention.ms": "5", "segment.ms": "7"}})
	if err := s.ReplaceConfigs(t.Context(), topicR("a"), []Change{set("retention.bytes", "55")}, true); err != nil {
		t.Fatal(err)
	}
	if a, _ := s.View().ByName("a"); len(a.Configs) != 2 {
		t.Errorf("validation changed the topic: %v", a.Configs)
	}
	if err := s.ReplaceConfigs(t.Context(), topicR("a"), []Change{set("retention.bytes", "55")}, false); err != nil {
		t.Fatal(err)
	}
	got := describe(t, s, topicR("a"), "retention.ms", "segment.ms", "retention.bytes")
	want := []string{
		"retention.bytes=55 1 {retention.bytes=55 1; log.retention.bytes=-1 5}",
		"retention.ms=604800000 5 {}", "segment.ms=604800000 5 {}",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for r, want := range map[Resource]string{{BrokerLogger, "1"}: "INVALID_REQUEST Unknown resource type 8", {0, "x"}: "INVALID_REQUEST Unknown resource type 0"} {
		if got := told(s.ReplaceConfigs(t.Context(), r, nil, false)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDescribeShowsWhereValuesComeFrom(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t), "log.retention.hours=100", "log.segment.bytes=2000000", "ssl.key.password=secret")
	mustCreate(t, s, Spec{Name: "d", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{
		"max.message.bytes": " 100 ", "min.cleanable.dirty.ratio": "1", "cleanup.policy": "compact , delete",
	}})
	for r, changes := range map[Resource][]Change{
		{Broker, "1"}:        {set("log.retention.ms", "100000000"), set("nope", "x"), set("listener.name.a.ssl.keystore.type", "JKS")},
		{Broker, ""}:         {set("log.retention.ms", "200000000"), set("message.max.bytes", "2000000")},
		{Group, "g"}:         {set("consumer.session.timeout.ms", "050000")},
		{ClientMetrics, "m"}: {set("interval.ms", "1000")},
	} {
		if err := s.AlterConfigs(t.Context(), r, changes, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		r     Resource
		names []string
		want  []string
	}{
		{topicR("d"), []string{"retention.ms", "max.message.bytes", "segment.bytes", "min.cleanable.dirty.ratio", "cleanup.policy", "flush.ms", "nope"}, []string{
			"cleanup.policy=compact,delete 1 {cleanup.policy=compact,delete 1; log.cleanup.policy=delete 5}",
			"flush.ms=9223372036854775807 5 {}",
			"max.message.bytes=100 1 {max.message.bytes=100 1; message.max.bytes=2000000 3; message.max.bytes=1048588 5}",
			"min.cleanable.dirty.ratio=1.0 1 {min.cleanable.dirty.ratio=1.0 1; log.cleaner.min.cleanable.ratio=0.5 5}",
			"retention.ms=100000000 2 {log.retention.ms=100000000 2; log.retention.ms=200000000 3; log.retention.hours=100 4; log.retention.hours=168 5}",
			"segment.bytes=2000000 4 {log.segment.bytes=2000000 4; log.segment.bytes=1073741824 5}",
		}},
		{Resource{Broker, "1"}, []string{"log.retention.hours", "log.retention.minutes", "ssl.key.password", "nope", "listener.name.a.ssl.keystore.type"}, []string{
			"listener.name.a.ssl.keystore.type=JKS 2 {listener.name.a.ssl.keystore.type=JKS 2}",
			"log.retention.hours=100 4 {log.retention.hours=100 4; log.retention.hours=168 5}",
			"log.retention.minutes=null 5 {}",
			"nope=null 2 {nope=null 2}",
			"ssl.key.password=null 4 {ssl.key.password=null 4}",
		}},
		{Resource{Broker, ""}, nil, []string{
			"log.retention.ms=200000000 3 {log.retention.ms=200000000 3}",
			"message.max.bytes=2000000 3 {message.max.bytes=2000000 3}",
			"min.insync.replicas=1 3 {min.insync.replicas=1 3}",
		}},
		{Resource{Group, "g"}, []string{"consumer.session.timeout.ms", "share.isolation.level"}, []string{
			"consumer.session.timeout.ms=50000 8 {consumer.session.timeout.ms=50000 8; group.consumer.session.timeout.ms=45000 5}",
			"share.isolation.level=read_uncommitted 5 {share.isolation.level=read_uncommitted 5}",
		}},
		{Resource{ClientMetrics, "m"}, nil, []string{"interval.ms=1000 7 {interval.ms=1000 7}", "match= 5 {}", "metrics= 5 {}"}},
	} {
		if got := describe(t, s, c.r, c.names...); !slices.Equal(got, c.want) {
			t.Errorf("%v: got\n%s\nwant\n%s", c.r, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	for r, want := range map[Resource]int{topicR("d"): 33, {Group, "nosuch"}: 17, {ClientMetrics, "nosuch"}: 3} {
		if got := describe(t, s, r); len(got) != want {
			t.Errorf("%v: got %d configs, want %d", r, len(got), want)
		}
	}
	for r, want := range map[Resource]string{
		topicR("nope"): "UNKNOWN_TOPIC_OR_PARTITION ", topicR(""): "INVALID_TOPIC_EXCEPTION Topic name is invalid: the empty string is not allowed",
		{Broker, "2"}: "INVALID_REQUEST Unexpected broker id, expected 1 or empty string, but received 2", {Broker, "x"}: "INVALID_REQUEST Broker id must be an integer, but it is: x",
		{BrokerLogger, ""}: "INVALID_REQUEST Broker id must not be empty", {BrokerLogger, "2"}: "INVALID_REQUEST Unexpected broker id, expected 1 but received 2",
		{Group, ""}: "INVALID_REQUEST Group name must not be empty", {ClientMetrics, ""}: "INVALID_REQUEST Client metrics subscription name must not be empty",
		{3, "x"}: "INVALID_REQUEST",
	} {
		_, err := s.Describe(r, nil)
		if got := told(err); got != want {
			t.Errorf("%v: got %q, want %q", r, got, want)
		}
	}
}

func TestResourcesAreListed(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	mustCreate(t, s, one("b"))
	mustCreate(t, s, one("a"))
	for _, r := range []Resource{{Group, "g/1"}, {Group, "g2"}, {ClientMetrics, "m"}} {
		change := set("interval.ms", "1000")
		if r.Type == Group {
			change = set("consumer.session.timeout.ms", "50000")
		}
		if err := s.AlterConfigs(t.Context(), r, []Change{change}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AlterConfigs(t.Context(), Resource{Group, "g2"}, []Change{{Name: "consumer.session.timeout.ms", Op: Delete}}, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		types []ResourceType
		want  string
	}{
		{nil, "[{32 g/1} {16 m} {8 1} {4 1} {2 a} {2 b}] <nil>"},
		{[]ResourceType{TopicResource}, "[{2 a} {2 b}] <nil>"},
		{[]ResourceType{ClientMetrics, ClientMetrics, Group}, "[{32 g/1} {16 m}] <nil>"},
		{[]ResourceType{ClientMetrics, 3}, "[] UNSUPPORTED_VERSION"},
	} {
		got, err := s.Resources(c.types...)
		if text := fmt.Sprintf("%v %v", got, err); !strings.HasPrefix(text, c.want) {
			t.Errorf("%v: got %s, want %s", c.types, text, c.want)
		}
	}
}

func TestLogConfigFollowsTopicThenBroker(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	s := openStore(t, m, "log.retention.minutes=2", "log.roll.hours=3", "compression.type=zstd")
	mustCreate(t, s, one("plain"))
	mustCreate(t, s, Spec{Name: "own", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{
		"retention.ms": "-1", "cleanup.policy": "compact", "compression.type": "producer", "message.timestamp.type": "LogAppendTime", "compression.zstd.level": "9",
	}})
	if err := s.AlterConfigs(t.Context(), Resource{Broker, ""}, []Change{set("log.segment.bytes", "1048576")}, false); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{s, openStore(t, m, "log.retention.minutes=2", "log.roll.hours=3", "compression.type=zstd")} {
		plain, _ := s.View().ByName("plain")
		want := LogConfig{
			RetentionMs: 120_000, RetentionBytes: -1, SegmentBytes: 1 << 20, SegmentMs: 3 * 3_600_000, MaxMessageBytes: 1048588,
			TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3_600_000, Compression: record.Zstd, Levels: Levels{-1, 9, 3},
			CleanupPolicy: CleanupPolicy{Delete: true}, DeleteRetentionMs: 86_400_000, MaxCompactionLagMs: math.MaxInt64,
			MinCleanableDirtyRatio: 0.5, FileDeleteDelayMs: 60_000, MinInsyncReplicas: 1,
		}
		if got := s.LogConfig(plain); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		own, _ := s.View().ByName("own")
		want.RetentionMs, want.CleanupPolicy, want.KeepCompression, want.Compression = -1, CleanupPolicy{Compact: true}, true, record.None
		want.LogAppendTime, want.Levels.Zstd = true, 9
		if got := s.LogConfig(own); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestGroupConfigStaysWithinTheBrokersLimits(t *testing.T) {
	t.Parallel()
	m := newMeta(t)
	s := openStore(t, m, "group.consumer.heartbeat.interval.ms=7000")
	if err := s.AlterConfigs(t.Context(), Resource{Group, "g"}, []Change{set("consumer.session.timeout.ms", "60000")}, false); err != nil {
		t.Fatal(err)
	}
	tighter := openStore(t, m, "group.consumer.max.session.timeout.ms=50000")
	for _, c := range []struct {
		s          *Store
		group      string
		key        config.Key[time.Duration]
		wantMillis int64
	}{
		{s, "g", GroupConsumerSessionTimeout, 60_000},
		{s, "other", GroupConsumerSessionTimeout, 45_000},
		{s, "g", GroupConsumerHeartbeatInterval, 7_000},
		{tighter, "g", GroupConsumerSessionTimeout, 50_000},
	} {
		if got := c.key.Get(c.s.View().GroupConfig(c.group)).Milliseconds(); got != c.wantMillis {
			t.Errorf("%s of %s: got %d, want %d", c.key.Name(), c.group, got, c.wantMillis)
		}
	}
}

func TestRootLoggerLevelCanBeSeenAndSet(t *testing.T) {
	t.Parallel()
	level := new(slog.LevelVar)
	s, err := Open(t.Context(), newMeta(t), Options{NodeID: 1, Level: level})
	if err != nil {
		t.Fatal(err)
	}
	logger := Resource{BrokerLogger, "1"}
	for _, c := range []struct {
		r      Resource
		change Change
		want   string
	}{
		{logger, set("root", "LOUD"), "INVALID_CONFIG Cannot set the log level of root to LOUD as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"},
		{logger, set("no.such", "INFO"), "INVALID_CONFIG Logger no.such does not exist!"},
		{logger, Change{Name: "root", Op: Delete}, "INVALID_REQUEST Removing the log level of the root logger is not allowed"},
		{logger, do("root", Append, "INFO"), "INVALID_REQUEST APPEND operation is not allowed for the BROKER_LOGGER resource"},
		{Resource{BrokerLogger, "2"}, set("root", "INFO"), "INVALID_REQUEST Unexpected node id. Expected 1, but received 2"},
		{Resource{BrokerLogger, ""}, set("root", "INFO"), "INVALID_REQUEST Node id must be an integer, but it is: "},
		{logger, set("root", "WARN"), "ok"},
	} {
		if got := told(s.AlterConfigs(t.Context(), c.r, []Change{c.change}, false)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if level.Level() != slog.LevelWarn {
		t.Errorf("got %v", level.Level())
	}
	if got := describe(t, s, logger); !slices.Equal(got, []string{"root=WARN 6 {}"}) {
		t.Errorf("got %q", got)
	}
}

func TestAllSettingsOfKafkaAreKnown(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	schema := s.Values().Schema()
	if got := len(Known()); got != 343 {
		t.Errorf("got %d known settings, want 343", got)
	}
	declared := map[string]bool{}
	for _, d := range Settings() {
		declared[d.Setting().Name()] = true
	}
	for _, d := range Known() {
		k := d.Setting()
		x, ok := schema.Lookup(k.Name())
		if !ok {
			t.Fatalf("%s is missing", k.Name())
		}
		wantDefault, wantOK := k.Default()
		gotDefault, gotOK := x.Default()
		if x.Type() != k.Type() || gotDefault != wantDefault || gotOK != wantOK || x.Mode() != k.Mode() || x.Allowed() != k.Allowed() || x.Inert() == declared[k.Name()] {
			t.Errorf("%s: declared %s %q %s %s, Kafka has %s %q %s %s", k.Name(), x.Type(), gotDefault, x.Mode(), x.Allowed(), k.Type(), wantDefault, k.Mode(), k.Allowed())
		}
	}
	for _, c := range newTopicConfigs() {
		for _, synonym := range c.synonyms {
			if _, ok := schema.Lookup(synonym.name); !ok {
				t.Errorf("%s: no setting %s", c.setting.Name(), synonym.name)
			}
		}
	}
	for _, g := range newGroupConfigs() {
		for _, n := range []string{g.synonym, g.lower, g.higher} {
			if _, ok := schema.Lookup(n); n != "" && !ok {
				t.Errorf("%s: no setting %s", g.setting.Name(), n)
			}
		}
	}
}
