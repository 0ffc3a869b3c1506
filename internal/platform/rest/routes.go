package rest

import (
	"net/http"
	"slices"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/consumers"
)

// Chapters of the OpenAPI document.
const (
	tagV2        = "v2: topics and records"
	tagConsumers = "v2: consumers"
	tagCluster   = "v3: clusters and brokers"
	tagConfigs   = "v3: configurations"
	tagACLs      = "v3: ACLs"
	tagTopics    = "v3: topics and partitions"
	tagGroups    = "v3: consumer groups"
	tagRecords   = "v3: records"
	tagStreams   = "streams, events and webhooks"
)

// Routes is the table of all that the server answers to.
func (s *Server) Routes() []gate.Route {
	out := s.v2Routes()
	out = append(out, s.v2ConsumerRoutes()...)
	out = append(out, s.clusterRoutes()...)
	out = append(out, s.topicRoutes()...)
	out = append(out, s.groupRoutes()...)
	out = append(out, s.streamRoutes()...)
	for i := range out {
		handle := out[i].Handle
		out[i].Handle = func(w http.ResponseWriter, r *http.Request) error { return handle(w, withRequest(r)) }
	}
	return out
}

// Parameters of paths.
var (
	pathPartition   = gate.Param{Name: "partition", Type: "integer"}
	pathPartitionID = gate.Param{Name: "partition_id", Type: "integer"}
	pathBrokerID    = gate.Param{Name: "broker_id", Type: "integer"}
	v2Answers       = []string{typeV2, typeJSON}
)

func (s *Server) v2Routes() []gate.Route {
	produceErrors := []int{codeTopicNotFound, codePartitionNotFound, 422, codeKeySchemaMissing, codeValueSchemaMissing, codeConversion, codeInvalidSchema, codeInvalidPayload, codeSerialization}
	produceTypes := append(slices.Clip(v2DataTypes), typeV2, typeJSON)
	return []gate.Route{
		{Method: http.MethodGet, Path: "/", Name: "root", Summary: "Nothing, if the proxy is there", Tag: tagV2, Answer: struct{}{}, Handle: s.v2Root},
		{Method: http.MethodGet, Path: "/topics", Name: "v2ListTopics", Summary: "Names of all topics", Tag: tagV2, Answer: []string{}, Answers: v2Answers, Handle: s.v2ListTopics},
		{Method: http.MethodGet, Path: "/topics/{topic}", Name: "v2GetTopic", Summary: "A topic with its configurations and partitions", Tag: tagV2, Answer: V2Topic{}, Answers: v2Answers, Errors: []int{codeTopicNotFound}, Handle: s.v2GetTopic},
		{
			Method: http.MethodPost, Path: "/topics/{topic}", Name: "v2ProduceToTopic", Summary: "Produce records", Tag: tagV2, Body: V2Produce{}, Answer: V2Produced{}, Accepts: produceTypes, Answers: v2Answers,
			Errors: produceErrors, MaxBodyBytes: s.o.Limits.RequestBytes, Handle: s.v2ProduceToTopic,
		},
		{Method: http.MethodGet, Path: "/topics/{topic}/partitions", Name: "v2ListPartitions", Summary: "Partitions of a topic", Tag: tagV2, Answer: []V2Partition{}, Answers: v2Answers, Errors: []int{codeTopicNotFound}, Handle: s.v2ListPartitions},
		{
			Method: http.MethodGet, Path: "/topics/{topic}/partitions/{partition}", Name: "v2GetPartition", Summary: "A partition", Tag: tagV2, PathParams: []gate.Param{pathPartition}, Answer: V2Partition{}, Answers: v2Answers,
			Errors: []int{codeTopicNotFound, codePartitionNotFound}, Handle: s.v2GetPartition,
		},
		{
			Method: http.MethodPost, Path: "/topics/{topic}/partitions/{partition}", Name: "v2ProduceToPartition", Summary: "Produce records to a partition", Tag: tagV2, PathParams: []gate.Param{pathPartition},
			Body: V2Produce{}, Answer: V2Produced{}, Accepts: produceTypes, Answers: v2Answers, Errors: produceErrors, MaxBodyBytes: s.o.Limits.RequestBytes, Handle: s.v2ProduceToPartition,
		},
		{
			Method: http.MethodGet, Path: "/topics/{topic}/partitions/{partition}/offsets", Name: "v2GetOffsets", Summary: "First and next offset of a partition", Tag: tagV2, PathParams: []gate.Param{pathPartition},
			Answer: V2Offsets{}, Answers: v2Answers, Errors: []int{codeTopicNotFound, codePartitionNotFound}, Handle: s.v2GetOffsets,
		},
		{Method: http.MethodGet, Path: "/brokers", Name: "v2ListBrokers", Summary: "Ids of all brokers", Tag: tagV2, Answer: V2Brokers{}, Answers: v2Answers, Handle: s.v2ListBrokers},
	}
}

func (s *Server) v2ConsumerRoutes() []gate.Route {
	const at = "/consumers/{group}/instances/{instance}"
	missing, state := []int{codeInstanceNotFound}, []int{codeInstanceNotFound, codeIllegalState, 422}
	routes := []gate.Route{
		{
			Method: http.MethodPost, Path: "/consumers/{group}", Name: "v2CreateConsumer", Summary: "Make a consumer instance", Body: V2CreateConsumer{}, Answer: V2Consumer{},
			Errors: []int{codeInstanceExists, codeConsumerConfig, 422, 429}, Handle: s.v2CreateConsumer,
		},
		{Method: http.MethodDelete, Path: at, Name: "v2DeleteConsumer", Summary: "Delete an instance", Errors: missing, Handle: s.v2DeleteConsumer},
		{Method: http.MethodPost, Path: at + "/subscription", Name: "v2Subscribe", Summary: "Subscribe to topics", Body: V2Subscription{}, Errors: state, Handle: s.v2Subscribe},
		{Method: http.MethodGet, Path: at + "/subscription", Name: "v2GetSubscription", Summary: "Topics that the instance is subscribed to", Answer: V2Topics{}, Errors: missing, Handle: s.v2Subscription},
		{Method: http.MethodDelete, Path: at + "/subscription", Name: "v2Unsubscribe", Summary: "Give the subscription up", Errors: missing, Handle: s.v2Unsubscribe},
		{Method: http.MethodPost, Path: at + "/assignments", Name: "v2Assign", Summary: "Read partitions, without the group", Body: V2Partitions{}, Errors: state, Handle: s.v2Assign},
		{Method: http.MethodGet, Path: at + "/assignments", Name: "v2GetAssignments", Summary: "Partitions that the instance reads", Answer: V2Partitions{}, Errors: missing, Handle: s.v2Assignment},
		{Method: http.MethodPost, Path: at + "/positions", Name: "v2Seek", Summary: "Read on from offsets or times", Body: V2Positions{}, Errors: state, Handle: s.v2Seek},
		{Method: http.MethodPost, Path: at + "/positions/beginning", Name: "v2SeekToBeginning", Summary: "Read partitions from their begin", Body: V2Partitions{}, Errors: state, Handle: s.v2SeekTo(consumers.Begin)},
		{Method: http.MethodPost, Path: at + "/positions/end", Name: "v2SeekToEnd", Summary: "Read what comes from now on", Body: V2Partitions{}, Errors: state, Handle: s.v2SeekTo(consumers.End)},
		{Method: http.MethodPost, Path: at + "/offsets", Name: "v2Commit", Summary: "Commit offsets, or all that was read", Body: V2OffsetList{}, Answer: []struct{}{}, Errors: state, Handle: s.v2Commit},
		{Method: http.MethodGet, Path: at + "/offsets", Name: "v2GetCommitted", Summary: "Committed offsets of partitions, which the body names", Answer: V2OffsetList{}, Errors: state, Handle: s.v2Committed},
		{
			Method: http.MethodGet, Path: at + "/records", Name: "v2Records", Summary: "Read records", Answer: []V2Consumed{}, Errors: append(state, codeFormatMismatch), Handle: s.v2Records,
			Query: []gate.Param{{Name: "timeout", Type: "integer", Doc: "milliseconds to wait for records"}, {Name: "max_bytes", Type: "integer", Doc: "of keys and values in the answer"}},
		},
	}
	for i := range routes {
		routes[i].Tag = tagConsumers
		routes[i].Accepts = consumerTypes
		if routes[i].Answers = v2Answers; routes[i].Name == "v2Records" {
			routes[i].Answers = consumerTypes
		}
	}
	return routes
}

// inV3 makes routes of the cluster of v3.
func inV3(tag string, routes []gate.Route) []gate.Route {
	for i := range routes {
		routes[i].Path, routes[i].Tag = "/v3/clusters/{cluster_id}"+routes[i].Path, tag
		routes[i].Accepts, routes[i].Answers = []string{typeJSON}, []string{typeJSON}
		routes[i].Errors = append(routes[i].Errors, http.StatusNotFound)
	}
	return routes
}

func (s *Server) clusterRoutes() []gate.Route {
	brokerID := []gate.Param{pathBrokerID}
	out := []gate.Route{{Method: http.MethodGet, Path: "/v3/clusters", Name: "listClusters", Summary: "The cluster", Tag: tagCluster, Answer: ClusterList{}, Handle: s.v3(s.v3ListClusters)}}
	out = append(out, inV3(tagCluster, []gate.Route{
		{Method: http.MethodGet, Path: "", Name: "getCluster", Summary: "The cluster", Answer: Cluster{}, Handle: s.v3(s.v3GetCluster)},
		{Method: http.MethodGet, Path: "/brokers", Name: "listBrokers", Summary: "All brokers", Answer: BrokerList{}, Handle: s.v3(s.v3ListBrokers)},
		{Method: http.MethodGet, Path: "/brokers/{broker_id}", Name: "getBroker", Summary: "A broker", PathParams: brokerID, Answer: Broker{}, Handle: s.v3(s.v3GetBroker)},
		{Method: http.MethodGet, Path: "/brokers/{broker_id}/partition-replicas", Name: "listBrokerReplicas", Summary: "Replicas on a broker", PathParams: brokerID, Answer: ReplicaList{}, Handle: s.v3(s.v3BrokerReplicas)},
	})...)
	out = append(out, inV3(tagACLs, []gate.Route{
		{Method: http.MethodGet, Path: "/acls", Name: "searchAcls", Summary: "ACLs that a query picks", Query: aclQuery, Answer: ACLList{}, Errors: []int{codeKafkaBadRequest}, Handle: s.v3(s.v3SearchACLs)},
		{Method: http.MethodPost, Path: "/acls", Name: "createAcl", Summary: "Create an ACL", Body: ACLEntry{}, Status: http.StatusCreated, Errors: []int{codeKafkaBadRequest}, Handle: s.v3(s.v3CreateACL)},
		{Method: http.MethodDelete, Path: "/acls", Name: "deleteAcls", Summary: "Delete the ACLs that a query picks", Query: aclQuery, Answer: DeletedACLs{}, Errors: []int{codeKafkaBadRequest}, Handle: s.v3(s.v3DeleteACLs)},
		{Method: http.MethodPost, Path: "/acls:batch", Name: "createAcls", Summary: "Create ACLs", Body: ACLEntries{}, Status: http.StatusCreated, Errors: []int{codeKafkaBadRequest, 422}, Handle: s.v3(s.v3CreateACLs)},
	})...)
	of := func(path, name, what string, params []gate.Param) []gate.Route {
		return []gate.Route{
			{Method: http.MethodGet, Path: path, Name: "list" + name + "Configs", Summary: "Configurations of " + what, PathParams: params, Answer: ConfigList{}, Handle: s.v3(s.v3ListConfigs)},
			{Method: http.MethodPost, Path: path + ":alter", Name: "alter" + name + "Configs", Summary: "Set configurations of " + what, PathParams: params, Body: AlterConfigs{}, Errors: []int{codeKafkaBadRequest, 422}, Handle: s.v3(s.v3AlterConfigs)},
			{Method: http.MethodGet, Path: path + "/{name}", Name: "get" + name + "Config", Summary: "A configuration of " + what, PathParams: params, Answer: Config{}, Handle: s.v3(s.v3GetConfig)},
			{Method: http.MethodPut, Path: path + "/{name}", Name: "update" + name + "Config", Summary: "Set a configuration of " + what, PathParams: params, Body: ConfigValue{}, Errors: []int{codeKafkaBadRequest}, Handle: s.v3(s.v3PutConfig)},
			{Method: http.MethodDelete, Path: path + "/{name}", Name: "delete" + name + "Config", Summary: "Set a configuration of " + what + " back to its default", PathParams: params, Errors: []int{codeKafkaBadRequest}, Handle: s.v3(s.v3DeleteConfig)},
		}
	}
	out = append(out, inV3(tagConfigs, of("/broker-configs", "Cluster", "all brokers", nil))...)
	out = append(out, inV3(tagConfigs, of("/brokers/{broker_id}/configs", "Broker", "a broker", brokerID))...)
	out = append(out, inV3(tagConfigs, of("/topics/{topic_name}/configs", "Topic", "a topic", nil))...)
	return append(out, inV3(tagConfigs, []gate.Route{
		{Method: http.MethodGet, Path: "/brokers/-/configs", Name: "listAllBrokerConfigs", Summary: "Configurations of each broker", Answer: ConfigList{}, Handle: s.v3(s.v3AllBrokerConfigs)},
		{Method: http.MethodGet, Path: "/topics/-/configs", Name: "listAllTopicConfigs", Summary: "Configurations of each topic", Answer: ConfigList{}, Handle: s.v3(s.v3AllTopicConfigs)},
	})...)
}

func (s *Server) topicRoutes() []gate.Route {
	const of = "/topics/{topic_name}"
	unknown, changed := []int{codeUnknownTopic}, []int{codeUnknownTopic, codeKafkaBadRequest}
	operations := []gate.Param{{Name: "include_authorized_operations", Type: "boolean", Doc: "tell what the caller may do"}}
	partition, replica := []gate.Param{pathPartitionID}, []gate.Param{pathPartitionID, pathBrokerID}
	out := inV3(tagTopics, []gate.Route{
		{Method: http.MethodGet, Path: "/topics", Name: "listTopics", Summary: "All topics", Query: operations, Answer: TopicList{}, Handle: s.v3(s.v3ListTopics)},
		{Method: http.MethodPost, Path: "/topics", Name: "createTopic", Summary: "Create a topic", Body: CreateTopic{}, Answer: Topic{}, Status: http.StatusCreated, Errors: changed, Handle: s.v3(s.v3CreateTopic)},
		{Method: http.MethodGet, Path: of, Name: "getTopic", Summary: "A topic", Query: operations, Answer: Topic{}, Errors: unknown, Handle: s.v3(s.v3GetTopic)},
		{Method: http.MethodPatch, Path: of, Name: "updateTopic", Summary: "Give a topic more partitions", Body: PartitionsCount{}, Answer: Topic{}, Errors: changed, Handle: s.v3(s.v3UpdateTopic)},
		{Method: http.MethodDelete, Path: of, Name: "deleteTopic", Summary: "Delete a topic", Errors: unknown, Handle: s.v3(s.v3DeleteTopic)},
		{Method: http.MethodGet, Path: of + "/partitions", Name: "listPartitions", Summary: "Partitions of a topic", Answer: PartitionList{}, Errors: unknown, Handle: s.v3(s.v3ListPartitions)},
		{Method: http.MethodGet, Path: of + "/partitions/{partition_id}", Name: "getPartition", Summary: "A partition", PathParams: partition, Answer: Partition{}, Errors: unknown, Handle: s.v3(s.v3GetPartition)},
		{Method: http.MethodGet, Path: of + "/partitions/{partition_id}/offset", Name: "getPartitionOffset", Summary: "First and next offset of a partition", PathParams: partition, Answer: PartitionOffsets{}, Errors: unknown, Handle: s.v3(s.v3PartitionOffset)},
		{Method: http.MethodGet, Path: of + "/partitions/{partition_id}/replicas", Name: "listReplicas", Summary: "Replicas of a partition", PathParams: partition, Answer: ReplicaList{}, Errors: unknown, Handle: s.v3(s.v3ListReplicas)},
		{Method: http.MethodGet, Path: of + "/partitions/{partition_id}/replicas/{broker_id}", Name: "getReplica", Summary: "A replica", PathParams: replica, Answer: Replica{}, Errors: unknown, Handle: s.v3(s.v3GetReplica)},
		{Method: http.MethodGet, Path: of + "/partitions/{partition_id}/reassignment", Name: "getReassignment", Summary: "Where a partition is on its way to", PathParams: partition, Answer: Reassignment{}, Errors: unknown, Handle: s.v3(s.v3GetReassignment)},
		{Method: http.MethodGet, Path: of + "/partitions/-/reassignment", Name: "listTopicReassignments", Summary: "Partitions of a topic that are on their way", Answer: ReassignmentList{}, Errors: unknown, Handle: s.v3(s.v3ListReassignments)},
		{Method: http.MethodGet, Path: "/topics/-/partitions/-/reassignment", Name: "listReassignments", Summary: "All partitions that are on their way", Answer: ReassignmentList{}, Handle: s.v3(s.v3ListReassignments)},
	})
	return append(out, inV3(tagRecords, []gate.Route{
		{
			Method: http.MethodPost, Path: of + "/records", Name: "produceRecord", Summary: "Produce a record, or a stream of them on one connection, with an answer for each", Body: ProduceRequest{}, Answer: ProduceResponse{},
			Errors: []int{codeUnknownTopic, 422}, Stream: true, MaxBodyBytes: endless, Handle: s.v3(s.v3Produce),
		},
		{
			Method: http.MethodPost, Path: of + "/records:batch", Name: "produceBatch", Summary: "Produce records, with an answer for each", Body: ProduceBatch{}, Answer: ProduceBatchResponse{}, Status: http.StatusMultiStatus,
			Errors: []int{codeUnknownTopic, codeBatch}, MaxBodyBytes: s.o.Limits.RequestBytes, Handle: s.v3(s.v3ProduceBatch),
		},
	})...)
}

// endless is the bound of a body that is a stream; each of its records is bounded by itself.
const endless = 1 << 62

func (s *Server) groupRoutes() []gate.Route {
	const of = "/consumer-groups/{consumer_group_id}"
	partition := []gate.Param{pathPartitionID}
	return inV3(tagGroups, []gate.Route{
		{Method: http.MethodGet, Path: "/consumer-groups", Name: "listConsumerGroups", Summary: "All consumer groups", Answer: ConsumerGroupList{}, Handle: s.v3(s.v3ListGroups)},
		{Method: http.MethodGet, Path: of, Name: "getConsumerGroup", Summary: "A consumer group", Answer: ConsumerGroup{}, Handle: s.v3(s.v3GetGroup)},
		{Method: http.MethodGet, Path: of + "/consumers", Name: "listConsumers", Summary: "Members of a group", Answer: ConsumerList{}, Handle: s.v3(s.v3ListConsumers)},
		{Method: http.MethodGet, Path: of + "/consumers/{consumer_id}", Name: "getConsumer", Summary: "A member", Answer: Consumer{}, Handle: s.v3(s.v3GetConsumer)},
		{Method: http.MethodGet, Path: of + "/consumers/{consumer_id}/assignments", Name: "listAssignments", Summary: "Partitions that a member reads", Answer: AssignmentList{}, Handle: s.v3(s.v3ListAssignments)},
		{Method: http.MethodGet, Path: of + "/consumers/{consumer_id}/assignments/{topic_name}/partitions/{partition_id}", Name: "getAssignment", Summary: "A partition that a member reads", PathParams: partition, Answer: Assignment{}, Handle: s.v3(s.v3GetAssignment)},
		{Method: http.MethodGet, Path: of + "/lags", Name: "listLags", Summary: "How far a group is behind in each partition", Answer: LagList{}, Handle: s.v3(s.v3ListLags)},
		{Method: http.MethodGet, Path: of + "/lags/{topic_name}/partitions/{partition_id}", Name: "getLag", Summary: "How far a group is behind in a partition", PathParams: partition, Answer: Lag{}, Handle: s.v3(s.v3GetLag)},
		{Method: http.MethodGet, Path: of + "/lag-summary", Name: "getLagSummary", Summary: "The largest lag of a group, and all of them added", Answer: LagSummary{}, Handle: s.v3(s.v3LagSummary)},
	})
}

func (s *Server) streamRoutes() []gate.Route {
	types := []string{typeSSE, typeNDJSON}
	errs := []int{codeUnknownTopic, codePartitionNotFound, 406, 429}
	return []gate.Route{
		{
			Method: http.MethodGet, Path: "/v3/clusters/{cluster_id}/topics/{topic_name}/records:stream", Name: "streamRecords", Summary: "Follow a topic: Server-Sent Events, NDJSON or a WebSocket", Tag: tagStreams,
			Query: streamQuery, Answer: StreamRecord{}, Answers: types, Errors: errs, Stream: true, Handle: s.v3(s.v3Stream),
		},
		{
			Method: http.MethodGet, Path: "/topics/{topic}/stream", Name: "stream", Summary: "Follow a topic: the short form", Tag: tagStreams,
			Query: streamQuery, Answer: StreamRecord{}, Answers: types, Errors: errs, Stream: true, Handle: s.stream,
		},
		{
			Method: http.MethodPost, Path: "/topics/{topic}/cloudevents", Name: "postCloudEvents", Summary: "Produce CloudEvents: binary, structured or batched", Tag: tagStreams, Body: map[string]any{}, Answer: V2Produced{},
			Query:   []gate.Param{{Name: "mode", Doc: "how the records are written; left out: as the event came", Enum: []string{"binary", "structured"}}},
			Accepts: []string{"*/*"}, Answers: v2Answers, Errors: []int{codeTopicNotFound, 422}, MaxBodyBytes: s.o.Limits.RequestBytes, Handle: s.postEvents,
		},
		{
			Method: http.MethodGet, Path: "/topics/{topic}/cloudevents/{partition}/{offset}", Name: "getCloudEvent", Summary: "A record as a CloudEvent", Tag: tagStreams,
			PathParams: []gate.Param{pathPartition, {Name: "offset", Type: "integer"}}, Answer: map[string]any{}, Answers: []string{typeEvent}, Errors: []int{codeTopicNotFound, codePartitionNotFound}, Handle: s.getEvent,
		},
		{
			Method: http.MethodPost, Path: "/webhooks/{name}", Name: "postWebhook", Summary: "What a service sends, with its signature", Tag: tagStreams, Body: map[string]any{}, Accepts: []string{"*/*"}, Errors: []int{404, codeUnauthenticated},
			Open: true, MaxBodyBytes: maxWebhookBytes, Handle: s.postWebhook,
		},
	}
}
