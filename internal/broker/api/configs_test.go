package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// adminServer is a server that has topics and nothing else.
func adminServer(t *testing.T, settings ...string) *Server {
	t.Helper()
	schema, err := config.NewSchema(topics.Settings()...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := schema.Load(config.Sources{Set: settings})
	if err != nil {
		t.Fatal(err)
	}
	m := meta.NewMem(meta.SystemClock())
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	store, err := topics.Open(t.Context(), m, topics.Options{Values: values, NodeID: 1, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	return &Server{topics: store, cluster: alone(1, 4)}
}

// line is a code and its text as the tests write them.
func line(code int16, text *string) string {
	out := kafka.Error(code).Name()
	if text != nil {
		out += " " + *text
	}
	return out
}

func createRequest(names ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, n := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = n, -1, -1
		req.Topics = append(req.Topics, t)
	}
	return req
}

func mustCreateTopics(t *testing.T, s *Server, names ...string) map[string]kafka.TopicID {
	t.Helper()
	res, err := s.createTopics(t.Context(), &Conn{}, createRequest(names...))
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]kafka.TopicID)
	for _, x := range res.Topics {
		if x.ErrorCode != 0 {
			t.Fatalf("create %s: %s", x.Topic, line(x.ErrorCode, x.ErrorMessage))
		}
		ids[x.Topic] = x.TopicID
	}
	return ids
}

func TestCreateTopicsAnswersEachTopicAndCarriesConfigs(t *testing.T) {
	t.Parallel()
	s := adminServer(t, "log.retention.hours=1")
	req := createRequest("a", "twice", "twice", "null", "last", "a b")
	value := func(s string) *string { return &s }
	add := func(i int, name string, v *string) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, v
		req.Topics[i].Configs = append(req.Topics[i].Configs, c)
	}
	add(0, "segment.bytes", value(" 2000000 "))
	add(3, "retention.ms", nil)
	add(4, "retention.ms", value("1"))
	add(4, "retention.ms", value("2"))
	res, err := s.createTopics(t.Context(), &Conn{}, req)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range res.Topics {
		got = append(got, fmt.Sprintf("%s %d %d %t %s", x.Topic, x.NumPartitions, x.ReplicationFactor, x.TopicID == [16]byte{}, line(x.ErrorCode, x.ErrorMessage)))
		if want := 33; x.ErrorCode == 0 && len(x.Configs) != want || x.Configs == nil {
			t.Errorf("%s: got %d configs, want %d", x.Topic, len(x.Configs), want)
		}
		for _, c := range x.Configs {
			shown := fmt.Sprintf("%s %s=%s %d", x.Topic, c.Name, *c.Value, c.Source)
			switch c.Name {
			case "segment.bytes", "retention.ms", "segment.ms":
				got = append(got, shown)
			}
		}
	}
	want := []string{
		"a 1 1 false NONE", "a retention.ms=3600000 4", "a segment.bytes= 2000000  1", "a segment.ms=604800000 5",
		"null -1 -1 true INVALID_CONFIG Null value not supported for topic configs: retention.ms",
		"last 1 1 false NONE", "last retention.ms=2 1", "last segment.bytes=1073741824 5", "last segment.ms=604800000 5",
		"a b -1 -1 true INVALID_TOPIC_EXCEPTION Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"twice -1 -1 true INVALID_REQUEST Duplicate topic name.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCreateTopicsOnlyValidates(t *testing.T) {
	t.Parallel()
	s := adminServer(t)
	req := createRequest("v")
	req.ValidateOnly = true
	res, err := s.createTopics(t.Context(), &Conn{}, req)
	if err != nil || res.Topics[0].ErrorCode != 0 || len(res.Topics[0].Configs) != 33 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if _, ok := s.topics.View().ByName("v"); ok {
		t.Error("validation made the topic")
	}
}

func TestDeleteTopicsByNameAndByID(t *testing.T) {
	t.Parallel()
	s := adminServer(t)
	ids := mustCreateTopics(t, s, "x1", "x2", "x3", "x4", "x5", "x6")
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version = 6
	ask := func(name string, id kafka.TopicID) {
		a := kmsg.NewDeleteTopicsRequestTopic()
		a.TopicID = id
		if name != "" {
			a.Topic = &name
		}
		req.Topics = append(req.Topics, a)
	}
	none := kafka.TopicID{}
	ask("x1", none)
	ask("x2", ids["x2"])
	ask("", none)
	ask("", ids["x3"])
	ask("", kafka.TopicID{9})
	ask("x4", none)
	ask("x4", none)
	ask("", ids["x5"])
	ask("", ids["x5"])
	ask("x6", none)
	ask("", ids["x6"])
	ask("gone", none)
	res, err := s.deleteTopics(t.Context(), &Conn{}, req)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range res.Topics {
		name := "-"
		if x.Topic != nil {
			name = *x.Topic
		}
		text := line(x.ErrorCode, x.ErrorMessage)
		if x.ErrorCode == kafka.UnknownTopicID.Code() || x.ErrorCode == kafka.UnknownTopicOrPartition.Code() {
			text = kafka.Error(x.ErrorCode).Name()
		}
		got = append(got, fmt.Sprintf("%s %t %s", name, x.TopicID == [16]byte{}, text))
	}
	want := []string{
		"x2 false INVALID_REQUEST You may not specify both topic name and topic id.",
		"- true INVALID_REQUEST Neither topic name nor id were specified.",
		"- false UNKNOWN_TOPIC_ID",
		"- false INVALID_REQUEST Duplicate topic id.",
		"x4 true INVALID_REQUEST Duplicate topic name.",
		"x6 false INVALID_REQUEST The provided topic name maps to an ID that was already supplied.",
		"gone true UNKNOWN_TOPIC_OR_PARTITION",
		"x3 false NONE", "x1 false NONE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var left []string
	for _, topic := range s.topics.View().All() {
		left = append(left, topic.Name)
	}
	if !slices.Equal(left, []string{"x2", "x4", "x5", "x6"}) {
		t.Errorf("left are %q", left)
	}
}

func TestDeleteTopicsOfOldVersionsAndWhereItIsOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version int16
		setting string
		want    string
	}{
		{1, "delete.topic.enable=true", "NONE"},
		{5, "delete.topic.enable=true", "NONE"},
		{1, "delete.topic.enable=false", "INVALID_REQUEST"},
		{5, "delete.topic.enable=false", "TOPIC_DELETION_DISABLED"},
	} {
		s := adminServer(t, c.setting)
		mustCreateTopics(t, s, "a")
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames = c.version, []string{"a"}
		res, err := s.deleteTopics(t.Context(), &Conn{}, req)
		if err != nil {
			t.Fatal(err)
		}
		if got := line(res.Topics[0].ErrorCode, res.Topics[0].ErrorMessage); got != c.want {
			t.Errorf("version %d, %s: got %s, want %s", c.version, c.setting, got, c.want)
		}
	}
}

func TestCreatePartitionsAnswersEachTopic(t *testing.T) {
	t.Parallel()
	s := adminServer(t)
	mustCreateTopics(t, s, "p", "q")
	req := kmsg.NewPtrCreatePartitionsRequest()
	for _, x := range []struct {
		name  string
		count int32
	}{{"p", 4}, {"twice", 2}, {"twice", 3}, {"nope", 2}, {"q", 1}} {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = x.name, x.count
		req.Topics = append(req.Topics, t)
	}
	res, err := s.createPartitions(t.Context(), &Conn{}, req)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range res.Topics {
		got = append(got, x.Topic+" "+line(x.ErrorCode, x.ErrorMessage))
	}
	want := []string{"p NONE", "twice INVALID_REQUEST Duplicate topic name.", "nope UNKNOWN_TOPIC_OR_PARTITION", "q INVALID_PARTITIONS Topic already has 1 partition(s)."}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p, _ := s.topics.View().ByName("p"); p.Partitions != 4 {
		t.Errorf("got %d partitions, want 4", p.Partitions)
	}
}

func TestResourcesGivenTwiceAreRefusedAndOthersServed(t *testing.T) {
	t.Parallel()
	s := adminServer(t)
	mustCreateTopics(t, s, "a", "b")
	incremental, whole := kmsg.NewPtrIncrementalAlterConfigsRequest(), kmsg.NewPtrAlterConfigsRequest()
	for _, name := range []string{"a", "a", "b", "nope"} {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = "retention.ms", new("77")
		r.Configs = append(r.Configs, c)
		incremental.Resources = append(incremental.Resources, r)
		w := kmsg.NewAlterConfigsRequestResource()
		w.ResourceType, w.ResourceName = kmsg.ConfigResourceTypeTopic, name
		x := kmsg.NewAlterConfigsRequestResourceConfig()
		x.Name, x.Value = "segment.ms", new("88")
		w.Configs = append(w.Configs, x)
		whole.Resources = append(whole.Resources, w)
	}
	const twice = "INVALID_REQUEST Each resource must appear at most once."
	want := []string{"a " + twice, "a " + twice, "b NONE", "nope UNKNOWN_TOPIC_OR_PARTITION The topic 'nope' does not exist."}
	check := func(what, config, value string, got []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
		b, _ := s.topics.View().ByName("b")
		if a, _ := s.topics.View().ByName("a"); len(a.Configs) != 0 || len(b.Configs) != 1 || b.Configs[config] != value {
			t.Errorf("%s: got %v and %v", what, a.Configs, b.Configs)
		}
	}
	first, err := s.incrementalAlterConfigs(t.Context(), &Conn{}, incremental)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range first.Resources {
		got = append(got, r.ResourceName+" "+line(r.ErrorCode, r.ErrorMessage))
	}
	check("incremental", "retention.ms", "77", got)
	second, err := s.alterConfigs(t.Context(), &Conn{}, whole)
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, r := range second.Resources {
		got = append(got, r.ResourceName+" "+line(r.ErrorCode, r.ErrorMessage))
	}
	check("whole", "segment.ms", "88", got)
}

func TestDescribeConfigsShowsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := adminServer(t)
	mustCreateTopics(t, s, "a")
	for _, all := range []bool{false, true} {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms, req.IncludeDocumentation = all, all
		for _, x := range []struct {
			kind  kmsg.ConfigResourceType
			name  string
			names []string
		}{{2, "a", []string{"max.message.bytes", "nope"}}, {2, "nope", nil}, {3, "a", nil}, {4, "1", []string{"ssl.key.password", "num.partitions"}}, {2, "a", []string{}}} {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName, r.ConfigNames = x.kind, x.name, x.names
			req.Resources = append(req.Resources, r)
		}
		res, err := s.describeConfigs(t.Context(), &Conn{}, req)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range res.Resources[:4] {
			got = append(got, fmt.Sprintf("%s %s %d", r.ResourceName, kafka.Error(r.ErrorCode).Name(), len(r.Configs)))
			for _, c := range r.Configs {
				value := "null"
				if c.Value != nil {
					value = *c.Value
				}
				got = append(got, fmt.Sprintf("%s=%s %s %s ro=%t secret=%t", c.Name, value, c.Source, c.ConfigType, c.ReadOnly, c.IsSensitive))
				if (c.Documentation != nil) != all || (len(c.ConfigSynonyms) > 0) != (all && c.Name != "ssl.key.password") {
					t.Errorf("%s: documentation %v, synonyms %v, asked %t", c.Name, c.Documentation, c.ConfigSynonyms, all)
				}
			}
		}
		want := []string{
			"a NONE 1", "max.message.bytes=1048588 DEFAULT_CONFIG INT ro=false secret=false", "nope UNKNOWN_TOPIC_OR_PARTITION 0", "a INVALID_REQUEST 0",
			"1 NONE 2", "num.partitions=1 DEFAULT_CONFIG INT ro=true secret=false", "ssl.key.password=null DEFAULT_CONFIG PASSWORD ro=false secret=true",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if n := len(res.Resources[4].Configs); n != 33 {
			t.Errorf("no names: got %d configs, want 33", n)
		}
	}
}

func TestListConfigResourcesByVersion(t *testing.T) {
	t.Parallel()
	s := adminServer(t)
	mustCreateTopics(t, s, "a")
	for _, c := range []struct {
		version int16
		types   []int8
		want    string
	}{
		{0, nil, "NONE []"}, {1, nil, "NONE [8:1 4:1 2:a]"}, {1, []int8{2}, "NONE [2:a]"}, {1, []int8{64}, "UNSUPPORTED_VERSION []"},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = c.version, c.types
		res, err := s.listConfigResources(t.Context(), &Conn{}, req)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, r := range res.ConfigResources {
			names = append(names, fmt.Sprintf("%d:%s", r.Type, r.Name))
		}
		if got := fmt.Sprintf("%s %v", kafka.Error(res.ErrorCode).Name(), names); got != c.want {
			t.Errorf("version %d, types %v: got %s, want %s", c.version, c.types, got, c.want)
		}
	}
}
