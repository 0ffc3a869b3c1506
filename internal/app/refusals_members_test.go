package app_test

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// Share groups and streams groups of the matrix.
const (
	sharersName = "sharers"       // a share group with a member that was assigned the watched topic
	heardShare  = "sh-heard"      // one that is joined
	quietShare  = "sh-quiet"      // one without members
	flowName    = "flow"          // a streams group with a member
	heardFlow   = "fl-heard"      // one that is joined
	flowLog     = "made-of-flows" // its internal topic, which cannot be made
)

func shareHeartbeat(group string) kmsg.Request {
	return req(1, func(r *kmsg.ShareGroupHeartbeatRequest) {
		r.GroupID, r.MemberID, r.SubscribedTopicNames = group, "m-1", []string{watchedTopic}
	})
}

// streamsHeartbeat joins a group whose internal topic cannot be made, so that each heartbeat tries again.
func streamsHeartbeat(group string) kmsg.Request {
	return req(0, func(r *kmsg.StreamsGroupHeartbeatRequest) {
		r.Group, r.MemberID, r.RebalanceTimeoutMillis, r.ProcessID = group, "m-1", 60_000, new("p")
		r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
		t := kmsg.NewStreamsGroupHeartbeatRequestTopology()
		sub := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
		sub.SubtopologyID, sub.SourceTopics = "0", []string{watchedTopic}
		info := kmsg.NewTopicInfo()
		info.Topic = flowLog
		wrong := kmsg.NewTopicInfoConfig()
		wrong.Key, wrong.Value = "cleanup.policy", "none at all"
		info.Configs = append(info.Configs, wrong)
		sub.StateChangelogTopics = append(sub.StateChangelogTopics, info)
		t.Subtopologies = append(t.Subtopologies, sub)
		r.Topology = &t
	})
}

func streamsRefusals(add adder) (created []refusal) {
	group, source, log := right{acl.Read, acl.Group, heardFlow}, right{acl.Describe, acl.Topic, watchedTopic}, right{acl.Describe, acl.Topic, flowLog}
	heartbeat := streamsHeartbeat(heardFlow)
	create := right{acl.Create, acl.Topic, flowLog}
	add(group, groupDenied, heartbeat, source, log, create)
	add(source, topicDenied, heartbeat, group, log, create)
	add(log, topicDenied, heartbeat, group, source, create)
	described := right{acl.Describe, acl.Group, flowName}
	describe := req(0, func(r *kmsg.StreamsGroupDescribeRequest) { r.Groups = []string{flowName} })
	add(described, groupDenied, describe, source, log)
	add(source, topicDenied, describe, described, log)
	add(log, topicDenied, describe, described, source)
	tried := func(res kmsg.Response) bool {
		r := res.(*kmsg.StreamsGroupHeartbeatResponse)
		for _, st := range r.Status {
			if strings.Contains(st.StatusDetail, "Unauthorized to CREATE") {
				return false
			}
		}
		return r.ErrorCode == 0
	}
	for _, needs := range []right{create, onCluster(acl.Create)} {
		created = append(created, refusal{request: heartbeat, needs: needs, also: []right{group, source, log}, loud: true, seen: tried})
	}
	return created
}

func shareRefusals(add adder, sees seer, watched [16]byte) (acknowledged refusal) {
	topic := right{acl.Describe, acl.Topic, watchedTopic}
	heard, sharers := right{acl.Read, acl.Group, heardShare}, right{acl.Describe, acl.Group, sharersName}
	heartbeat := shareHeartbeat(heardShare)
	add(heard, groupDenied, heartbeat, topic)
	add(topic, topicDenied, heartbeat, heard)
	describe := req(1, func(r *kmsg.ShareGroupDescribeRequest) { r.GroupIDs = []string{sharersName} })
	add(sharers, groupDenied, describe, topic)
	add(topic, topicDenied, describe, sharers)

	read, reader := right{acl.Read, acl.Topic, watchedTopic}, right{acl.Read, acl.Group, quietShare}
	fetch := req(1, func(r *kmsg.ShareFetchRequest) {
		r.GroupID, r.MemberID, r.MaxBytes, r.MaxRecords, r.BatchSize = new(quietShare), new("m-1"), 1000, 10, 10
		t := kmsg.NewShareFetchRequestTopic()
		t.TopicID = watched
		t.Partitions = append(t.Partitions, kmsg.NewShareFetchRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	})
	add(reader, groupDenied, fetch, read)
	add(read, topicDenied, fetch, reader)
	acknowledge := req(1, func(r *kmsg.ShareAcknowledgeRequest) {
		r.GroupID, r.MemberID, r.ShareSessionEpoch = new(quietShare), new("m-1"), 1
		t := kmsg.NewShareAcknowledgeRequestTopic()
		t.TopicID = watched
		p := kmsg.NewShareAcknowledgeRequestTopicPartition()
		b := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
		b.AcknowledgeTypes = []int8{1}
		p.AcknowledgementBatches = append(p.AcknowledgementBatches, b)
		t.Partitions = append(t.Partitions, p)
		r.Topics = append(r.Topics, t)
	})
	add(reader, groupDenied, acknowledge, read)
	shareOffsetRefusals(add, sees)
	shareStateRefusals(add, watched)
	return refusal{request: acknowledge, needs: read, also: []right{reader}, code: topicDenied, before: fetch}
}

func shareOffsetRefusals(add adder, sees seer) {
	topic, read := right{acl.Describe, acl.Topic, watchedTopic}, right{acl.Read, acl.Topic, watchedTopic}
	describes, reads, deletes := right{acl.Describe, acl.Group, sharersName}, right{acl.Read, acl.Group, quietShare}, right{acl.Delete, acl.Group, quietShare}
	offsets := func(all bool) kmsg.Request {
		return req(0, func(r *kmsg.DescribeShareGroupOffsetsRequest) {
			g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
			g.GroupID, g.Topics = sharersName, nil
			if !all {
				t := kmsg.NewDescribeShareGroupOffsetsRequestGroupTopic()
				t.Topic, t.Partitions = watchedTopic, []int32{0}
				g.Topics = append(g.Topics, t)
			}
			r.Groups = append(r.Groups, g)
		})
	}
	add(describes, groupDenied, offsets(false), topic)
	add(topic, topicDenied, offsets(false), describes)
	sees(topic, offsets(true), func(res kmsg.Response) bool {
		return len(res.(*kmsg.DescribeShareGroupOffsetsResponse).Groups[0].Topics) > 0
	}, describes)
	alter := req(0, func(r *kmsg.AlterShareGroupOffsetsRequest) {
		r.GroupID = quietShare
		t := kmsg.NewAlterShareGroupOffsetsRequestTopic()
		t.Topic = watchedTopic
		t.Partitions = append(t.Partitions, kmsg.NewAlterShareGroupOffsetsRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	})
	add(reads, groupDenied, alter, read)
	add(read, topicDenied, alter, reads)
	remove := req(0, func(r *kmsg.DeleteShareGroupOffsetsRequest) {
		r.GroupID = quietShare
		t := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
		t.Topic = watchedTopic
		r.Topics = append(r.Topics, t)
	})
	add(deletes, groupDenied, remove, read)
	add(read, topicDenied, remove, deletes)
}

// shareStateRefusals are what only brokers ask each other.
func shareStateRefusals(add adder, watched [16]byte) {
	for _, r := range []kmsg.Request{
		req(0, func(r *kmsg.InitializeShareGroupStateRequest) {
			t := kmsg.NewInitializeShareGroupStateRequestTopic()
			t.TopicID, t.Partitions = watched, append(t.Partitions, kmsg.NewInitializeShareGroupStateRequestTopicPartition())
			r.GroupID, r.Topics = quietShare, append(r.Topics, t)
		}),
		req(0, func(r *kmsg.ReadShareGroupStateRequest) {
			t := kmsg.NewReadShareGroupStateRequestTopic()
			t.TopicID, t.Partitions = watched, append(t.Partitions, kmsg.NewReadShareGroupStateRequestTopicPartition())
			r.GroupID, r.Topics = quietShare, append(r.Topics, t)
		}),
		req(0, func(r *kmsg.WriteShareGroupStateRequest) {
			t := kmsg.NewWriteShareGroupStateRequestTopic()
			t.TopicID, t.Partitions = watched, append(t.Partitions, kmsg.NewWriteShareGroupStateRequestTopicPartition())
			r.GroupID, r.Topics = quietShare, append(r.Topics, t)
		}),
		req(0, func(r *kmsg.DeleteShareGroupStateRequest) {
			t := kmsg.NewDeleteShareGroupStateRequestTopic()
			t.TopicID, t.Partitions = watched, append(t.Partitions, kmsg.NewDeleteShareGroupStateRequestTopicPartition())
			r.GroupID, r.Topics = quietShare, append(r.Topics, t)
		}),
		req(0, func(r *kmsg.ReadShareGroupStateSummaryRequest) {
			t := kmsg.NewReadShareGroupStateSummaryRequestTopic()
			t.TopicID, t.Partitions = watched, append(t.Partitions, kmsg.NewReadShareGroupStateSummaryRequestTopicPartition())
			r.GroupID, r.Topics = quietShare, append(r.Topics, t)
		}),
	} {
		add(onCluster(acl.ClusterAction), clusterDenied, r)
	}
}
