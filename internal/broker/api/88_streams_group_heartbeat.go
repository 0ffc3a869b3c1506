package api

// StreamsGroupHeartbeat (key 88), version 0: makes the client a member of a streams group (KIP-1071), keeps it one, and
// tells it which tasks to run.
//
// Internal topics of the topology that are not there are created by the heartbeat, with the rights of its client.
//
// Differences from Kafka 4.3: a topology with a higher epoch replaces the group's, where Kafka refuses it; source topics
// may be given by regular expressions, where Kafka refuses them; warm-up tasks are handed out to clients that report the
// offsets of their tasks.

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/feature"
	"github.com/weir-stream/weir/internal/broker/streamsgroup"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/streamsrecord"
)

func (s *Server) streamsGroupHeartbeat(ctx context.Context, c *Conn, req *kmsg.StreamsGroupHeartbeatRequest) (*kmsg.StreamsGroupHeartbeatResponse, error) {
	res := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	res.Status = []kmsg.StreamsGroupHeartbeatResponseStatus{} // never null
	fail := func(err error) (*kmsg.StreamsGroupHeartbeatResponse, error) {
		res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
		return res, nil
	}
	if err := s.refuseStreamsHeartbeat(c, req); err != nil {
		return fail(err)
	}
	reply, err := s.groups.StreamsHeartbeat(ctx, s.streamsHeartbeatOf(c, req))
	if err == nil {
		err = reply.Err
	}
	if err != nil {
		return fail(err)
	}
	s.createInternalTopics(ctx, c, &reply)
	res.MemberID, res.MemberEpoch, res.HeartbeatIntervalMillis = reply.MemberID, reply.Epoch, int32(reply.Interval.Milliseconds())
	for _, st := range reply.Statuses {
		out := kmsg.NewStreamsGroupHeartbeatResponseStatus()
		out.StatusCode, out.StatusDetail = int8(st.Code), st.Detail
		res.Status = append(res.Status, out)
	}
	if reply.Assigned != nil {
		res.ActiveTasks, res.StandbyTasks, res.WarmupTasks = taskIDs(reply.Assigned, streamsgroup.Active), taskIDs(reply.Assigned, streamsgroup.Standby), taskIDs(reply.Assigned, streamsgroup.Warmup)
	}
	res.EndpointInformationEpoch = reply.EndpointEpoch
	if reply.Endpoints != nil {
		res.PartitionsByUserEndpoint = endpointsOf(reply.Endpoints)
	}
	return res, nil
}

// streamsProtocolServed tells whether groups of the streams protocol are switched on.
func (s *Server) streamsProtocolServed() bool {
	return s.features.Level(feature.StreamsVersion) > 0
}

// refuseStreamsHeartbeat is the error for a heartbeat that is wrong in itself, or whose client may not send it.
func (s *Server) refuseStreamsHeartbeat(c *Conn, req *kmsg.StreamsGroupHeartbeatRequest) error {
	if !s.streamsProtocolServed() {
		return kafka.UnsupportedVersion
	}
	if !s.allow(c, auth.Read, auth.Group, req.Group) {
		return kafka.GroupAuthorizationFailed
	}
	if req.Topology != nil {
		if err := s.refuseTopology(c, req.Topology); err != nil {
			return err
		}
	}
	invalid := func(format string, args ...any) error { return kafka.Errorf(kafka.InvalidRequest, format, args...) }
	switch {
	case strings.TrimSpace(req.MemberID) == "":
		return invalid("MemberId can't be empty.")
	case strings.TrimSpace(req.Group) == "":
		return invalid("GroupId can't be empty.")
	case req.InstanceID != nil && strings.TrimSpace(*req.InstanceID) == "":
		return invalid("InstanceId can't be empty.")
	case req.RackID != nil && strings.TrimSpace(*req.RackID) == "":
		return invalid("RackId can't be empty.")
	case req.MemberEpoch < streamsgroup.LeaveStaticEpoch:
		return invalid("MemberEpoch is %d, but must be greater than or equal to -2.", req.MemberEpoch)
	case req.MemberEpoch == streamsgroup.LeaveStaticEpoch && req.InstanceID == nil:
		return invalid("InstanceId can't be null.")
	case req.MemberEpoch > 0 && req.Topology != nil:
		return invalid("Topology can only be provided when (re-)joining.")
	case req.MemberEpoch != streamsgroup.JoinEpoch:
		return nil
	case req.RebalanceTimeoutMillis == -1:
		return invalid("RebalanceTimeoutMs must be provided in first request.")
	case req.ActiveTasks == nil || len(req.ActiveTasks) > 0:
		return invalid("ActiveTasks must be empty when (re-)joining.")
	case req.StandbyTasks == nil || len(req.StandbyTasks) > 0:
		return invalid("StandbyTasks must be empty when (re-)joining.")
	case req.WarmupTasks == nil || len(req.WarmupTasks) > 0:
		return invalid("WarmupTasks must be empty when (re-)joining.")
	case req.Topology == nil:
		return invalid("Topology must be non-null when (re-)joining.")
	}
	return nil
}

// refuseTopology is the error for a topology with topics that are none, or that the client may not know of.
func (s *Server) refuseTopology(c *Conn, t *kmsg.StreamsGroupHeartbeatRequestTopology) error {
	var bad, internal, names []string
	for i := range t.Subtopologies {
		sub := &t.Subtopologies[i]
		names = append(append(names, sub.SourceTopics...), sub.RepartitionSinkTopics...)
		for _, list := range [][]kmsg.TopicInfo{sub.RepartitionSourceTopics, sub.StateChangelogTopics} {
			for j := range list {
				names = append(names, list[j].Topic)
			}
		}
	}
	for _, name := range names {
		switch {
		case kafka.IsInternalTopic(name):
			internal = append(internal, name)
		case kafka.ValidateTopicName(name) != nil:
			bad = append(bad, name)
		}
	}
	if len(internal) > 0 {
		return kafka.Errorf(kafka.StreamsInvalidTopology, "Use of Kafka internal topics %s in a Kafka Streams topology is prohibited.", strings.Join(internal, ","))
	}
	if len(bad) > 0 {
		return kafka.Errorf(kafka.StreamsInvalidTopology, "Topic names %s are not valid topic names.", strings.Join(bad, ","))
	}
	for _, name := range names {
		if !s.allow(c, auth.Describe, auth.Topic, name) {
			return kafka.TopicAuthorizationFailed
		}
	}
	return nil
}

func (s *Server) streamsHeartbeatOf(c *Conn, req *kmsg.StreamsGroupHeartbeatRequest) streamsgroup.Heartbeat {
	e := streamsgroup.Heartbeat{
		Group: req.Group, MemberID: req.MemberID, Epoch: req.MemberEpoch, EndpointEpoch: req.EndpointInformationEpoch, InstanceID: req.InstanceID,
		RackID: req.RackID, RebalanceTimeout: millis(req.RebalanceTimeoutMillis), Topology: topologyOf(req.Topology), ProcessID: req.ProcessID,
		Offsets: taskOffsets(req.TaskOffsets), EndOffsets: taskOffsets(req.TaskEndOffsets), ShutdownApplication: req.ShutdownApplication,
		ClientID: c.ClientID, ClientHost: c.clientHost(), Settings: s.streamsSettings(req.Group), Topics: streamsTopics{s.topics.View()},
	}
	if req.ActiveTasks != nil && req.StandbyTasks != nil && req.WarmupTasks != nil {
		e.Owned = &streamsgroup.Tasks{}
		for r, list := range [][]kmsg.TaskIDs{req.ActiveTasks, req.StandbyTasks, req.WarmupTasks} {
			for i := range list {
				e.Owned.Add(streamsgroup.Role(r), list[i].SubtopologyID, list[i].Partitions)
			}
		}
	}
	if req.UserEndpoint != nil {
		e.Endpoint = &streamsgroup.Endpoint{Host: req.UserEndpoint.Host, Port: req.UserEndpoint.Port}
	}
	if req.ClientTags != nil {
		e.Tags = []streamsgroup.KeyValue{}
		for _, t := range req.ClientTags {
			e.Tags = append(e.Tags, streamsgroup.KeyValue{Key: t.Key, Value: t.Value})
		}
	}
	return e
}

func (s *Server) streamsSettings(group string) streamsgroup.Settings {
	v := s.topics.View().GroupConfig(group)
	return streamsgroup.Settings{
		SessionTimeout: topics.GroupStreamsSessionTimeout.Get(v), HeartbeatInterval: topics.GroupStreamsHeartbeatInterval.Get(v),
		StandbyReplicas: topics.GroupStreamsStandbyReplicas.Get(v), InitialRebalanceDelay: topics.GroupStreamsInitialDelay.Get(v),
		AssignmentInterval: topics.GroupStreamsAssignmentInterval.Get(v),
	}
}

// createInternalTopics makes the topics that a group lacks, and tells in its status why where that fails.
func (s *Server) createInternalTopics(ctx context.Context, c *Conn, r *streamsgroup.HeartbeatReply) {
	var denied, failed []string
	mayAll := len(r.Create) > 0 && s.mayCluster(c, auth.Create)
	for i := range r.Create {
		t := &r.Create[i]
		if !mayAll && !s.allow(c, auth.Create, auth.Topic, t.Name) {
			denied = append(denied, t.Name)
			continue
		}
		spec := topics.Spec{Name: t.Name, Partitions: t.Partitions, ReplicationFactor: -1, Configs: map[string]string{}}
		if t.Replication > 0 {
			spec.ReplicationFactor = t.Replication
		}
		for _, kv := range t.Configs {
			spec.Configs[kv.Key] = kv.Value
		}
		if _, err := s.topics.Create(ctx, spec, false); err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			failed = append(failed, fmt.Sprintf("%s: %v", t.Name, err))
		}
	}
	for i := range r.Statuses {
		st := &r.Statuses[i]
		if st.Code != streamsgroup.MissingInternalTopics {
			continue
		}
		if len(denied) > 0 {
			st.Detail += "; Unauthorized to CREATE on topics " + strings.Join(denied, ", ") + "."
		}
		if len(failed) > 0 {
			st.Detail += "; Creation failed: " + strings.Join(failed, "; ") + "."
		}
	}
}

// streamsTopics is a view of the topics as streams groups see it.
type streamsTopics struct{ view *topics.View }

func (t streamsTopics) Revision() int64 { return t.view.Revision }

func (t streamsTopics) Partitions(name string) int32 {
	if topic, ok := t.view.ByName(name); ok {
		return topic.Partitions
	}
	return 0
}

func (t streamsTopics) Names() []string {
	var names []string
	for _, topic := range t.view.All() {
		names = append(names, topic.Name)
	}
	return names
}

func topologyOf(t *kmsg.StreamsGroupHeartbeatRequestTopology) *streamsgroup.Topology {
	if t == nil {
		return nil
	}
	out := &streamsgroup.Topology{Epoch: t.Epoch}
	for i := range t.Subtopologies {
		from := &t.Subtopologies[i]
		to := streamsrecord.Subtopology{
			ID: from.SubtopologyID, SourceTopics: from.SourceTopics, SourceTopicRegex: from.SourceTopicRegex, RepartitionSinkTopics: from.RepartitionSinkTopics,
			StateChangelogTopics: topicInfos(from.StateChangelogTopics), RepartitionSourceTopics: topicInfos(from.RepartitionSourceTopics),
		}
		for _, g := range from.CopartitionGroups {
			to.CopartitionGroups = append(to.CopartitionGroups, streamsrecord.CopartitionGroup{SourceTopics: g.SourceTopics, SourceTopicRegex: g.SourceTopicRegex, RepartitionSourceTopics: g.RepartitionSourceTopics})
		}
		out.Subtopologies = append(out.Subtopologies, to)
	}
	return out
}

func topicInfos(in []kmsg.TopicInfo) (out []streamsrecord.TopicInfo) {
	for i := range in {
		t := streamsrecord.TopicInfo{Name: in[i].Topic, Partitions: in[i].NumPartitions, Replication: in[i].ReplicationFactor}
		for _, kv := range in[i].Configs {
			t.Configs = append(t.Configs, streamsrecord.KeyValue{Key: kv.Key, Value: kv.Value})
		}
		out = append(out, t)
	}
	return out
}

func taskOffsets(in []kmsg.TaskOffset) map[streamsgroup.Task]int64 {
	if in == nil {
		return nil
	}
	out := make(map[streamsgroup.Task]int64, len(in))
	for _, o := range in {
		out[streamsgroup.Task{Subtopology: o.SubtopologyID, Partition: o.Partition}] = o.Offset
	}
	return out
}

// taskIDs returns the tasks of a role; an empty list is not null.
func taskIDs(t *streamsgroup.Tasks, r streamsgroup.Role) []kmsg.TaskIDs {
	out := []kmsg.TaskIDs{}
	for _, ids := range t.IDs(r) {
		to := kmsg.NewTaskIDs()
		to.SubtopologyID, to.Partitions = ids.Subtopology, ids.Partitions
		out = append(out, to)
	}
	return out
}

func endpointsOf(in []streamsgroup.EndpointPartitions) []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint {
	out := []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{}
	for i := range in {
		e := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpoint()
		e.UserEndpoint.Host, e.UserEndpoint.Port = in[i].Endpoint.Host, in[i].Endpoint.Port
		for _, p := range in[i].Active {
			to := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition()
			to.Topic, to.Partitions = p.Topic, p.Partitions
			e.ActivePartitions = append(e.ActivePartitions, to)
		}
		for _, p := range in[i].Standby {
			to := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition()
			to.Topic, to.Partitions = p.Topic, p.Partitions
			e.StandbyPartitions = append(e.StandbyPartitions, to)
		}
		out = append(out, e)
	}
	return out
}
