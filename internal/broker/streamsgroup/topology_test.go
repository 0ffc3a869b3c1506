package streamsgroup

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

func infos(names ...string) (out []streamsrecord.TopicInfo) {
	for _, n := range names {
		out = append(out, streamsrecord.TopicInfo{Name: n})
	}
	return out
}

func TestTopologiesMeetTheirTopics(t *testing.T) {
	t.Parallel()
	// A stream is repartitioned, joined with another, and the result counted after another repartition.
	chain := Topology{Subtopologies: []streamsrecord.Subtopology{
		{ID: "0", SourceTopics: []string{"a"}, RepartitionSinkTopics: []string{"r1"}},
		{
			ID: "1", SourceTopics: []string{"b"}, RepartitionSourceTopics: infos("r1"), RepartitionSinkTopics: []string{"r2"}, StateChangelogTopics: infos("c1"),
			CopartitionGroups: []streamsrecord.CopartitionGroup{{SourceTopics: []int16{0}, RepartitionSourceTopics: []int16{0}}},
		},
		{ID: "2", RepartitionSourceTopics: infos("r2"), StateChangelogTopics: infos("c2")},
	}}
	enforced := Topology{Subtopologies: []streamsrecord.Subtopology{{
		ID: "0", SourceTopics: []string{"a"}, RepartitionSourceTopics: []streamsrecord.TopicInfo{{Name: "r", Partitions: 5}},
		CopartitionGroups: []streamsrecord.CopartitionGroup{{SourceTopics: []int16{0}, RepartitionSourceTopics: []int16{0}}},
	}}}
	pair := Topology{Subtopologies: []streamsrecord.Subtopology{{ID: "0", SourceTopics: []string{"a", "b"}, CopartitionGroups: []streamsrecord.CopartitionGroup{{SourceTopics: []int16{0, 1}}}}}}
	loop := Topology{Subtopologies: []streamsrecord.Subtopology{{ID: "0", RepartitionSourceTopics: infos("r"), RepartitionSinkTopics: []string{"r"}}}}
	pattern := Topology{Subtopologies: []streamsrecord.Subtopology{{ID: "0", SourceTopicRegex: []string{"x-.*"}}}}
	table := Topology{Subtopologies: []streamsrecord.Subtopology{{ID: "0", SourceTopics: []string{"a"}, StateChangelogTopics: infos("a")}}}
	for _, c := range []struct {
		name     string
		topology Topology
		topics   map[string]int32
		tasks    map[string]int32
		problem  string
		create   map[string]int32
	}{
		{"nothing is there", chain, nil, nil, "1 Source topics a, b are missing.", nil},
		{
			"internal topics are missing", chain,
			map[string]int32{"a": 7, "b": 3},
			nil, "3 Internal topics are missing: c1, c2, r1, r2",
			map[string]int32{"r1": 3, "c1": 3, "r2": 7, "c2": 7},
		},
		{"an internal topic has other partitions", chain, map[string]int32{"a": 7, "b": 3, "r1": 2}, nil, "2 Existing topic r1 has 2 partitions", nil},
		{"enforced partitions fit", enforced, map[string]int32{"a": 5, "r": 5}, map[string]int32{"0": 5}, "", nil},
		{"enforced partitions do not fit", enforced, map[string]int32{"a": 4}, nil, "2 Following topics do not have the same number of partitions: [{a=4, r=5}]", nil},
		{"copartitioned sources differ", pair, map[string]int32{"a": 4, "b": 3}, nil, "2 Following topics", nil},
		{"copartitioned sources agree", pair, map[string]int32{"a": 4, "b": 4}, map[string]int32{"0": 4}, "", nil},
		{"a repartition topic feeds itself alone", loop, nil, nil, "1 Failed to compute", nil},
		{"a pattern finds nothing", pattern, map[string]int32{"x": 1, "yx-1": 2}, nil, "1 Source topics x-.* are missing.", nil},
		{"a pattern finds topics", pattern, map[string]int32{"x-1": 1, "x-2": 6}, map[string]int32{"0": 6}, "", nil},
		{"the source is the changelog", table, map[string]int32{"a": 2}, map[string]int32{"0": 2}, "", nil},
	} {
		got := configure(&c.topology, &topicMap{1, c.topics})
		problem := ""
		if got.problem != nil {
			problem = statuses(HeartbeatReply{Statuses: []Status{*got.problem}})
		}
		var create map[string]int32
		for _, n := range got.create {
			if create == nil {
				create = map[string]int32{}
			}
			create[n.Name] = n.Partitions
		}
		if !reflect.DeepEqual(got.tasks, c.tasks) || !reflect.DeepEqual(create, c.create) || !strings.HasPrefix(problem, c.problem) || (c.problem == "") != (problem == "") {
			t.Errorf("%s: tasks %v, create %v, problem %q; want %v, %v, %q", c.name, got.tasks, create, problem, c.tasks, c.create, c.problem)
		}
	}
}

func TestTopologiesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, s := range map[string][]streamsrecord.Subtopology{
		"twice":   {{ID: "0"}, {ID: "0"}},
		"pattern": {{ID: "0", SourceTopicRegex: []string{"("}}},
		"long":    {{ID: "0", SourceTopicRegex: []string{strings.Repeat("x", maxPatternBytes+1)}}},
		"index":   {{ID: "0", SourceTopics: []string{"a"}, CopartitionGroups: []streamsrecord.CopartitionGroup{{SourceTopics: []int16{1}}}}},
		"below":   {{ID: "0", CopartitionGroups: []streamsrecord.CopartitionGroup{{RepartitionSourceTopics: []int16{-1}}}}},
	} {
		if checkTopology(&Topology{Subtopologies: s}) == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}
