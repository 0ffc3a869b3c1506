package api

// Metadata (key 3), versions 0-13.
//
// A partition is led by the broker that owns its shard; replicas and in-sync replicas name it alone, since durability is the
// store's. Without an owner there are none: leader -1, LEADER_NOT_AVAILABLE. Brokers that the clients of the listener cannot
// reach are left out, and what they lead is LISTENER_NOT_FOUND (before version 6 LEADER_NOT_AVAILABLE), offline. The controller
// is the broker that decides who owns what; every broker does what a controller is asked for.
//
// A topic that does not exist is created where both the request (v4+) and auto.create.topics.enable allow it, and is in the
// answer. Kafka's first answer says UNKNOWN_TOPIC_OR_PARTITION, because its topics take a moment; here that would be untrue, and a
// client that waits for the number of partitions to change from none (kafka-go's groups) would wait for ever. A topic asked
// for twice is answered once; where any id is asked for, names are not looked at. A request that its version does not allow
// is answered with the error for each topic and nothing else.
//
// 0: an empty list asks for all. 1: null asks for all, empty for none. 4: auto-create flag. 5: offline replicas.
// 7: leader epochs. 8: authorized operations. 9: flexible. 10: topic ids. 12: lookup by id. 13: top-level error.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) metadata(ctx context.Context, c *Conn, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	res := kmsg.NewPtrMetadataResponse()
	if code := checkMetadata(req); code != kafka.None {
		for i := range req.Topics {
			t := kmsg.NewMetadataResponseTopic()
			t.Topic, t.TopicID, t.ErrorCode = new(text(req.Topics[i].Topic)), req.Topics[i].TopicID, code.Code()
			res.Topics = append(res.Topics, t)
		}
		return res, nil
	}
	at := s.neighbours(c)
	m := metadataRequest{conn: c, at: &at, version: req.Version, operations: req.IncludeTopicAuthorizedOperations}
	for _, n := range at.all {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.id, n.host, n.port, n.rack
		res.Brokers = append(res.Brokers, b)
	}
	res.ClusterID = new(s.topics.ClusterID())
	res.ControllerID = at.controller()
	if req.IncludeClusterAuthorizedOperations {
		res.AuthorizedOperations = s.clusterOperations(c)
	}
	view := s.topics.View()
	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		for _, t := range view.All() {
			if s.may(c, auth.Describe, auth.Topic, t.Name) {
				res.Topics = append(res.Topics, s.describeTopic(m, t))
			}
		}
		return res, nil
	}
	names, ids := metadataTargets(req.Topics)
	unknown := func() bool {
		return slices.ContainsFunc(ids, func(id kafka.TopicID) bool { _, ok := view.ByID(id); return !ok }) ||
			slices.ContainsFunc(names, func(name string) bool { _, ok := view.ByName(name); return !ok })
	}
	if unknown() { // another broker may have made it just now
		s.topics.LookAgain(ctx)
		view = s.topics.View()
	}
	for _, id := range ids {
		res.Topics = append(res.Topics, s.metadataByID(m, view, id))
	}
	create := AutoCreateTopics.Get(s.topics.Values()) && (req.Version < 4 || req.AllowAutoTopicCreation)
	for _, name := range names {
		res.Topics = append(res.Topics, s.metadataByName(ctx, m, view, name, create))
	}
	return res, nil
}

// metadataVersionIDs is the version from which topics may be asked for by id, metadataVersionListeners that whose clients know
// LISTENER_NOT_FOUND.
const (
	metadataVersionListeners = 6
	metadataVersionIDs       = 12
)

// metadataRequest is what answers about topics depend on.
type metadataRequest struct {
	conn       *Conn
	at         *neighbours
	version    int16
	operations bool // tell what the client may do
}

// checkMetadata returns the error for a request that says what its version cannot.
func checkMetadata(req *kmsg.MetadataRequest) kafka.Error {
	ids := false
	for i := range req.Topics {
		t := &req.Topics[i]
		if req.Version < metadataVersionIDs && (t.Topic == nil || t.TopicID != [16]byte{}) {
			return kafka.InvalidRequest
		}
		ids = ids || t.TopicID != [16]byte{}
	}
	if ids {
		return kafka.None
	}
	for i := range req.Topics {
		if req.Topics[i].Topic == nil {
			return kafka.UnknownServerError // neither name nor id
		}
	}
	return kafka.None
}

// metadataTargets returns what is asked for, each once: the ids, or the names where there is no id.
func metadataTargets(asked []kmsg.MetadataRequestTopic) (names []string, ids []kafka.TopicID) {
	seenNames, seenIDs := make(map[string]bool, len(asked)), map[kafka.TopicID]bool{}
	for i := range asked {
		if id := kafka.TopicID(asked[i].TopicID); !id.IsZero() && !seenIDs[id] {
			seenIDs[id], ids = true, append(ids, id)
		}
		if name := text(asked[i].Topic); asked[i].Topic != nil && !seenNames[name] {
			seenNames[name], names = true, append(names, name)
		}
	}
	if len(ids) > 0 {
		names = nil
	}
	return names, ids
}

func (s *Server) metadataByID(m metadataRequest, view *topics.View, id kafka.TopicID) kmsg.MetadataResponseTopic {
	missing := kmsg.NewMetadataResponseTopic()
	missing.TopicID, missing.ErrorCode = id, kafka.UnknownTopicID.Code()
	if topic, ok := view.ByID(id); ok {
		if s.allow(m.conn, auth.Describe, auth.Topic, topic.Name) {
			return s.describeTopic(m, topic)
		}
		missing.ErrorCode = kafka.TopicAuthorizationFailed.Code() // an id is no secret, a name is
	}
	return missing
}

func (s *Server) metadataByName(ctx context.Context, m metadataRequest, view *topics.View, name string, create bool) kmsg.MetadataResponseTopic {
	missing := kmsg.NewMetadataResponseTopic()
	missing.Topic = &name
	c := m.conn
	if !s.allow(c, auth.Describe, auth.Topic, name) {
		missing.ErrorCode = kafka.TopicAuthorizationFailed.Code() // whether there is such a topic is not even looked at
		return missing
	}
	if topic, ok := view.ByName(name); ok {
		return s.describeTopic(m, topic)
	}
	if create && !s.mayCluster(c, auth.Create) && !s.allow(c, auth.Create, auth.Topic, name) {
		missing.IsInternal, missing.ErrorCode = kafka.IsInternalTopic(name), kafka.TopicAuthorizationFailed.Code()
		return missing
	}
	missing.ErrorCode = kafka.UnknownTopicOrPartition.Code()
	if m.operations {
		missing.AuthorizedOperations = s.operations(c, auth.Topic, name)
	}
	if err := kafka.ValidateTopicName(name); err != nil {
		missing.ErrorCode = kafka.InvalidTopicException.Code()
		return missing
	}
	missing.IsInternal = kafka.IsInternalTopic(name)
	if create && !missing.IsInternal {
		_, err := s.topics.Create(ctx, topics.Spec{Name: name, Partitions: -1, ReplicationFactor: -1}, false)
		if code := codeOf(err); err != nil && code != kafka.TopicAlreadyExists {
			missing.ErrorCode = code.Code()
			return missing
		}
		if topic, ok := s.topics.View().ByName(name); ok {
			return s.describeTopic(m, topic)
		}
	}
	return missing
}

func (s *Server) describeTopic(m metadataRequest, t *topics.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = new(t.Name), t.ID, kafka.IsInternalTopic(t.Name)
	if m.operations {
		out.AuthorizedOperations = s.operations(m.conn, auth.Topic, t.Name)
	}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	for i := range out.Partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		l := m.at.leadership(t, int32(i))
		if m.version < metadataVersionListeners && l.code == kafka.ListenerNotFound {
			l.code = kafka.LeaderNotAvailable
		}
		if m.version == 0 && len(l.offline) > 0 {
			l.replicas = nil // the first clients take no broker that the answer does not have
		}
		p.Partition, p.Leader, p.LeaderEpoch, p.ErrorCode = int32(i), l.leader, l.epoch, l.code.Code()
		p.Replicas, p.ISR, p.OfflineReplicas = l.replicas, l.replicas, l.offline
		out.Partitions[i] = p
	}
	return out
}
