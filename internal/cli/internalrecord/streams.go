package internalrecord

import (
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

// streamsGroupRecord decodes a record of a streams group in __consumer_offsets.
func streamsGroupRecord(key, value []byte) (k, v any, ok bool) {
	r, err := streamsrecord.Decode(key, value)
	if err != nil {
		return nil, nil, false
	}
	k = groupKey{r.Group}
	switch r.Kind {
	case streamsrecord.KindMember, streamsrecord.KindTarget, streamsrecord.KindCurrent:
		k = memberKey{r.Group, r.Member}
	}
	switch body := r.Value.(type) {
	case *streamsrecord.Group:
		v = streamsGroup{body.Epoch, body.MetadataHash, tagged(body.ValidatedTopologyEpoch, -1), each(body.Configs, keyValueOf)}
	case *streamsrecord.Member:
		m := streamsMember{body.InstanceID, body.RackID, body.ClientID, body.ClientHost, body.RebalanceTimeoutMillis, body.TopologyEpoch, body.ProcessID, nil, each(body.Tags, keyValueOf)}
		if e := body.Endpoint; e != nil {
			m.Endpoint = &endpoint{e.Host, e.Port}
		}
		v = m
	case *streamsrecord.TargetEpoch:
		v = epochValue{body.Epoch, tagged(body.TimestampMillis, 0)}
	case *streamsrecord.Tasks:
		v = tasksOf(*body)
	case *streamsrecord.Current:
		revoking := tasksOf(body.Revoking)
		v = streamsCurrent{body.Epoch, body.PreviousEpoch, body.State, tasksOf(body.Owned), revoking.Active, revoking.Standby, revoking.Warmup}
	case *streamsrecord.Topology:
		v = topology{body.Epoch, each(body.Subtopologies, subtopologyOf)}
	}
	return k, v, true
}

func keyValueOf(kv streamsrecord.KeyValue) keyValue { return keyValue{kv.Key, kv.Value} }

type streamsGroup struct {
	Epoch                  int32      `json:"epoch"`
	Hash                   int64      `json:"metadataHash"`
	ValidatedTopologyEpoch *int32     `json:"validatedTopologyEpoch,omitempty"`
	Configs                []keyValue `json:"lastAssignmentConfigs,omitempty"`
}

type streamsMember struct {
	InstanceID       *string    `json:"instanceId"`
	RackID           *string    `json:"rackId"`
	ClientID         string     `json:"clientId"`
	ClientHost       string     `json:"clientHost"`
	RebalanceTimeout int32      `json:"rebalanceTimeoutMs"`
	TopologyEpoch    int32      `json:"topologyEpoch"`
	ProcessID        string     `json:"processId"`
	Endpoint         *endpoint  `json:"userEndpoint"`
	Tags             []keyValue `json:"clientTags"`
}

type endpoint struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

type tasks struct {
	Active  []taskIDs `json:"activeTasks"`
	Standby []taskIDs `json:"standbyTasks"`
	Warmup  []taskIDs `json:"warmupTasks"`
}

type taskIDs struct {
	Subtopology string  `json:"subtopologyId"`
	Partitions  []int32 `json:"partitions"`
	Epochs      []int32 `json:"assignmentEpochs,omitempty"`
}

func tasksOf(t streamsrecord.Tasks) tasks {
	one := func(t streamsrecord.TaskIDs) taskIDs { return taskIDs{t.Subtopology, list(t.Partitions), t.Epochs} }
	return tasks{each(t.Active, one), each(t.Standby, one), each(t.Warmup, one)}
}

type streamsCurrent struct {
	Epoch         int32 `json:"memberEpoch"`
	PreviousEpoch int32 `json:"previousMemberEpoch"`
	State         int8  `json:"state"`
	tasks
	RevokingActive  []taskIDs `json:"activeTasksPendingRevocation"`
	RevokingStandby []taskIDs `json:"standbyTasksPendingRevocation"`
	RevokingWarmup  []taskIDs `json:"warmupTasksPendingRevocation"`
}

type topology struct {
	Epoch         int32         `json:"epoch"`
	Subtopologies []subtopology `json:"subtopologies"`
}

type subtopology struct {
	ID                 string        `json:"subtopologyId"`
	SourceTopics       []string      `json:"sourceTopics"`
	SourceTopicRegex   []string      `json:"sourceTopicRegex"`
	Changelogs         []topicInfo   `json:"stateChangelogTopics"`
	RepartitionSinks   []string      `json:"repartitionSinkTopics"`
	RepartitionSources []topicInfo   `json:"repartitionSourceTopics"`
	Copartitions       []copartition `json:"copartitionGroups"`
}

type topicInfo struct {
	Name        string     `json:"name"`
	Partitions  int32      `json:"partitions"`
	Replication int16      `json:"replicationFactor"`
	Configs     []keyValue `json:"topicConfigs"`
}

type copartition struct {
	SourceTopics       []int16 `json:"sourceTopics"`
	SourceTopicRegex   []int16 `json:"sourceTopicRegex"`
	RepartitionSources []int16 `json:"repartitionSourceTopics"`
}

func subtopologyOf(s streamsrecord.Subtopology) subtopology {
	info := func(t streamsrecord.TopicInfo) topicInfo {
		return topicInfo{t.Name, t.Partitions, t.Replication, each(t.Configs, keyValueOf)}
	}
	return subtopology{
		s.ID, list(s.SourceTopics), list(s.SourceTopicRegex), each(s.StateChangelogTopics, info), list(s.RepartitionSinkTopics), each(s.RepartitionSourceTopics, info),
		each(s.CopartitionGroups, func(g streamsrecord.CopartitionGroup) copartition {
			return copartition{list(g.SourceTopics), list(g.SourceTopicRegex), list(g.RepartitionSourceTopics)}
		}),
	}
}
