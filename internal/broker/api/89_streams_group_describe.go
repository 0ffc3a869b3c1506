package api

// StreamsGroupDescribe (key 89), version 0: the state, topology and members of streams groups.
//
// Internal topics are described with the partitions that they have to have. A group with topics in its topology, sources or internal ones,
// that the client may not describe is TOPIC_AUTHORIZATION_FAILED as a whole.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/streamsgroup"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

func (s *Server) streamsGroupDescribe(ctx context.Context, c *Conn, req *kmsg.StreamsGroupDescribeRequest) (*kmsg.StreamsGroupDescribeResponse, error) {
	res := kmsg.NewPtrStreamsGroupDescribeResponse()
	for _, id := range req.Groups {
		out := kmsg.NewStreamsGroupDescribeResponseGroup()
		switch {
		case !s.streamsProtocolServed():
			out.ErrorCode = kafka.UnsupportedVersion.Code()
		case !s.allow(c, auth.Describe, auth.Group, id):
			out.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		default:
			s.describeStreamsGroup(ctx, c, id, &out)
			if req.IncludeAuthorizedOperations && out.ErrorCode == 0 {
				out.AuthorizedOperations = s.operations(c, auth.Group, id)
			}
		}
		out.Group = id
		res.Groups = append(res.Groups, out)
	}
	return res, nil
}

func (s *Server) describeStreamsGroup(ctx context.Context, c *Conn, id string, out *kmsg.StreamsGroupDescribeResponseGroup) {
	if id == "" {
		out.ErrorCode = kafka.InvalidGroupID.Code()
		return
	}
	d, err := s.groups.StreamsDescribe(ctx, streamsgroup.Describe{Group: id, Topics: streamsTopics{s.topics.View()}})
	if err == nil {
		err = d.Err
	}
	if err != nil {
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		return
	}
	if d.Topology != nil {
		for i := range d.Topology.Subtopologies {
			for _, name := range topicsOf(&d.Topology.Subtopologies[i]) {
				if !s.allow(c, auth.Describe, auth.Topic, name) {
					out.ErrorCode = kafka.TopicAuthorizationFailed.Code()
					out.ErrorMessage = new("The described group uses topics that the client is not authorized to describe.")
					return
				}
			}
		}
	}
	out.State, out.Epoch, out.AssignmentEpoch = d.State.String(), d.Epoch, d.AssignmentEpoch
	out.Topology = describedTopology(&d)
	for i := range d.Members {
		out.Members = append(out.Members, describedStreamsMember(&d.Members[i]))
	}
}

// topicsOf are all topics that a part of a topology names.
func topicsOf(t *streamsrecord.Subtopology) []string {
	names := append(slices.Clone(t.SourceTopics), t.RepartitionSinkTopics...)
	for _, list := range [][]streamsrecord.TopicInfo{t.RepartitionSourceTopics, t.StateChangelogTopics} {
		for i := range list {
			names = append(names, list[i].Name)
		}
	}
	return names
}

func describedTopology(d *streamsgroup.Description) *kmsg.StreamsGroupDescribeResponseGroupTopology {
	if d.Topology == nil {
		return nil
	}
	out := kmsg.NewStreamsGroupDescribeResponseGroupTopology()
	out.Epoch, out.Subtopologies = d.Topology.Epoch, []kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology{}
	for i := range d.Topology.Subtopologies {
		from := &d.Topology.Subtopologies[i]
		to := kmsg.NewStreamsGroupDescribeResponseGroupTopologySubtopology()
		to.SubtopologyID, to.SourceTopics, to.RepartitionSinkTopics = from.ID, from.SourceTopics, from.RepartitionSinkTopics
		to.StateChangelogTopics = describedTopics(from.StateChangelogTopics, d.TopicPartitions)
		to.RepartitionSourceTopics = describedTopics(from.RepartitionSourceTopics, d.TopicPartitions)
		out.Subtopologies = append(out.Subtopologies, to)
	}
	return &out
}

func describedTopics(in []streamsrecord.TopicInfo, partitions map[string]int32) (out []kmsg.TopicInfo) {
	for i := range in {
		t := kmsg.NewTopicInfo()
		t.Topic, t.NumPartitions, t.ReplicationFactor = in[i].Name, in[i].Partitions, in[i].Replication
		if n, ok := partitions[t.Topic]; ok { // known once the topology fits its topics
			t.NumPartitions = n
		}
		for _, kv := range in[i].Configs {
			k := kmsg.NewTopicInfoConfig()
			k.Key, k.Value = kv.Key, kv.Value
			t.Configs = append(t.Configs, k)
		}
		out = append(out, t)
	}
	return out
}

func describedStreamsMember(from *streamsgroup.DescribedMember) kmsg.StreamsGroupDescribeResponseGroupMember {
	m := kmsg.NewStreamsGroupDescribeResponseGroupMember()
	m.MemberID, m.MemberEpoch, m.InstanceID, m.RackID = from.ID, from.Epoch, from.InstanceID, from.RackID
	m.ClientID, m.ClientHost, m.TopologyEpoch, m.ProcessID = from.ClientID, from.ClientHost, from.TopologyEpoch, from.ProcessID
	if from.Endpoint != nil {
		e := kmsg.NewStreamsGroupDescribeResponseGroupMemberUserEndpoint()
		e.Host, e.Port = from.Endpoint.Host, from.Endpoint.Port
		m.UserEndpoint = &e
	}
	for _, t := range from.Tags {
		tag := kmsg.NewStreamsGroupDescribeResponseGroupMemberClientTag()
		tag.Key, tag.Value = t.Key, t.Value
		m.ClientTags = append(m.ClientTags, tag)
	}
	m.TaskOffsets, m.TaskEndOffsets = describedOffsets(from.Offsets), describedOffsets(from.EndOffsets)
	for _, a := range []struct {
		to   *kmsg.StreamsAssignment
		from *streamsgroup.Tasks
	}{{&m.Assignment, &from.Assigned}, {&m.TargetAssignment, &from.Target}} {
		a.to.ActiveTasks, a.to.StandbyTasks, a.to.WarmupTasks = taskIDs(a.from, streamsgroup.Active), taskIDs(a.from, streamsgroup.Standby), taskIDs(a.from, streamsgroup.Warmup)
	}
	return m
}

func describedOffsets(in map[streamsgroup.Task]int64) (out []kmsg.TaskOffset) {
	set := streamsgroup.TaskSet{}
	for t := range in {
		set[t] = 0
	}
	for _, t := range set.Sorted() {
		o := kmsg.NewTaskOffset()
		o.SubtopologyID, o.Partition, o.Offset = t.Subtopology, t.Partition, in[t]
		out = append(out, o)
	}
	return out
}
