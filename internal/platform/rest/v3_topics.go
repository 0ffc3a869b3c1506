package rest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// Topics of v3.
type (
	// Topic is a topic.
	Topic struct {
		Kind                   string   `json:"kind"`
		Metadata               Metadata `json:"metadata"`
		ClusterID              string   `json:"cluster_id"`
		TopicName              string   `json:"topic_name"`
		IsInternal             bool     `json:"is_internal"`
		ReplicationFactor      int      `json:"replication_factor"`
		PartitionsCount        int      `json:"partitions_count"`
		Partitions             Related  `json:"partitions"`
		Configs                Related  `json:"configs"`
		PartitionReassignments Related  `json:"partition_reassignments"`
		AuthorizedOperations   []string `json:"authorized_operations,omitempty"`
	}
	// TopicList lists topics.
	TopicList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Topic      `json:"data"`
	}
	// CreateTopic asks for a topic.
	CreateTopic struct {
		TopicName           string             `json:"topic_name" openapi:"required"`
		PartitionsCount     *int32             `json:"partitions_count,omitempty"`
		ReplicationFactor   *int16             `json:"replication_factor,omitempty"`
		ReplicasAssignments map[string][]int32 `json:"replicas_assignments,omitempty"`
		Configs             []NamedValue       `json:"configs,omitempty"`
		ValidateOnly        bool               `json:"validate_only,omitempty"`
	}
	// NamedValue is a configuration with its value.
	NamedValue struct {
		Name  string  `json:"name" openapi:"required"`
		Value *string `json:"value"`
	}
	// PartitionsCount asks for more partitions.
	PartitionsCount struct {
		PartitionsCount int `json:"partitions_count" openapi:"required"`
	}
)

func sortTopics(topics []kmsg.MetadataResponseTopic) {
	name := func(t *kmsg.MetadataResponseTopic) string {
		if t.Topic == nil {
			return ""
		}
		return *t.Topic
	}
	slices.SortFunc(topics, func(a, b kmsg.MetadataResponseTopic) int { return strings.Compare(name(&a), name(&b)) })
	for _, t := range topics {
		slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
	}
}

func topicData(r inCluster, t *kmsg.MetadataResponseTopic, operations bool) Topic {
	out := newTopic(r, *t.Topic, len(t.Partitions), 0)
	out.IsInternal = t.IsInternal
	if len(t.Partitions) > 0 {
		out.ReplicationFactor = len(t.Partitions[0].Replicas)
	}
	if operations {
		out.AuthorizedOperations = operationsIn(t.AuthorizedOperations)
	}
	return out
}

func newTopic(r inCluster, name string, partitions, replication int) Topic {
	at := r.at.topic(name)
	return Topic{
		Kind: "KafkaTopic", Metadata: at.metadata(), ClusterID: r.id, TopicName: name, PartitionsCount: partitions, ReplicationFactor: replication,
		Partitions: at.related("partitions"), Configs: at.related("configs"), PartitionReassignments: at.related("partitions", "-", "reassignment"),
	}
}

// operationsIn names the operations in a set of bits.
func operationsIn(bits int32) []string {
	out := []string{}
	for op := kmsg.ACLOperationRead; op <= kmsg.ACLOperationIdempotentWrite; op++ {
		if bits&(1<<op) != 0 && bits != -1<<31 {
			out = append(out, op.String())
		}
	}
	return out
}

// wantsOperations tells whether the request asks what the caller may do.
func wantsOperations(r *http.Request) bool { return gate.QueryBool(r, "include_authorized_operations") }

func (s *Server) v3ListTopics(w http.ResponseWriter, r inCluster) error {
	res, err := metadata(r.Context(), r.client, nil, wantsOperations(r.Request))
	if err != nil {
		return err
	}
	sortTopics(res.Topics)
	out := TopicList{"KafkaTopicList", r.at.at("", "topics").list(), []Topic{}}
	for i := range res.Topics {
		if t := &res.Topics[i]; t.Topic != nil && t.ErrorCode == 0 {
			out.Data = append(out.Data, topicData(r, t, wantsOperations(r.Request)))
		}
	}
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3GetTopic(w http.ResponseWriter, r inCluster) error {
	t, err := topicOf(r.Context(), r.client, r.PathValue("topic_name"), wantsOperations(r.Request))
	if err != nil {
		return v3Missing(err)
	}
	return answer(w, r.Request, http.StatusOK, topicData(r, t, wantsOperations(r.Request)))
}

// v3Missing makes a name that no topic can have a topic that is not there, when it is only asked for.
func v3Missing(err error) error {
	if errors.Is(err, kerr.InvalidTopicException) {
		return kerr.UnknownTopicOrPartition
	}
	return err
}

// createTimeoutMs is how long the cluster may take to make or change a topic.
const createTimeoutMs = 30_000

func (s *Server) v3CreateTopic(w http.ResponseWriter, r inCluster) error {
	var in CreateTopic
	if err := gate.ReadJSON(r.Request, &in, false); err != nil {
		return err
	}
	if in.TopicName == "" {
		return gate.Errorf(http.StatusBadRequest, "topic_name must be set")
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.ValidateOnly = createTimeoutMs, in.ValidateOnly
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = in.TopicName, -1, -1
	if in.PartitionsCount != nil {
		topic.NumPartitions = *in.PartitionsCount
	}
	if in.ReplicationFactor != nil {
		topic.ReplicationFactor = *in.ReplicationFactor
	}
	for n, replicas := range in.ReplicasAssignments {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		if _, err := fmt.Sscanf(n, "%d", &a.Partition); err != nil {
			return badRequest("replicas_assignments: %q is no partition", n)
		}
		a.Replicas = replicas
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
	}
	slices.SortFunc(topic.ReplicaAssignment, func(a, b kmsg.CreateTopicsRequestTopicReplicaAssignment) int {
		return int(a.Partition - b.Partition)
	})
	for _, c := range in.Configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = c.Name, c.Value
		topic.Configs = append(topic.Configs, config)
	}
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", in.TopicName, err)
	}
	if len(res.Topics) == 0 {
		return gate.Errorf(codeKafka, "Kafka error: the cluster did not answer for topic %s", in.TopicName)
	}
	t := res.Topics[0]
	if err := coded(t.ErrorCode, t.ErrorMessage); err != nil {
		return err
	}
	out := newTopic(r, in.TopicName, max(int(t.NumPartitions), 0), max(int(t.ReplicationFactor), 0))
	if in.ValidateOnly {
		return answer(w, r.Request, http.StatusOK, out)
	}
	w.Header().Set("Location", out.Metadata.Self)
	return answer(w, r.Request, http.StatusCreated, out)
}

// coded is the error of a code in an answer, in the cluster's own words if it has any.
func coded(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*kerr.Error](err)
	if !ok {
		return err
	}
	out := translateKafka(e)
	if message != nil && *message != "" && out.Code == codeKafkaBadRequest {
		out.Message = *message
	}
	return out
}

func (s *Server) v3UpdateTopic(w http.ResponseWriter, r inCluster) error {
	var in PartitionsCount
	if err := gate.ReadJSON(r.Request, &in, false); err != nil {
		return err
	}
	name := r.PathValue("topic_name")
	if _, err := topicOf(r.Context(), r.client, name, false); err != nil {
		return v3Missing(err)
	}
	if in.PartitionsCount < 1 || in.PartitionsCount > 1<<30 {
		return gate.Errorf(codeKafkaBadRequest, "partitions_count is %d, which no topic can have", in.PartitionsCount)
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = createTimeoutMs
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = name, int32(in.PartitionsCount)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return fmt.Errorf("add partitions to %s: %w", name, err)
	}
	for _, t := range res.Topics {
		if err := coded(t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	t, err := topicOf(r.Context(), r.client, name, false)
	if err != nil {
		return err
	}
	out := topicData(r, t, false)
	out.PartitionsCount = max(out.PartitionsCount, in.PartitionsCount)
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3DeleteTopic(w http.ResponseWriter, r inCluster) error {
	name := r.PathValue("topic_name")
	deleted, err := kadm.NewClient(r.client).DeleteTopics(r.Context(), name)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	for _, t := range deleted {
		if t.Err != nil {
			return v3Missing(t.Err)
		}
	}
	return noContent(w)
}

// Partitions, replicas and reassignments of v3.
type (
	// Partition is a partition.
	Partition struct {
		Kind         string   `json:"kind"`
		Metadata     Metadata `json:"metadata"`
		ClusterID    string   `json:"cluster_id"`
		TopicName    string   `json:"topic_name"`
		PartitionID  int32    `json:"partition_id"`
		Leader       *Related `json:"leader,omitempty"`
		Replicas     Related  `json:"replicas"`
		Reassignment Related  `json:"reassignment"`
	}
	// PartitionList lists partitions.
	PartitionList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Partition  `json:"data"`
	}
	// PartitionOffsets are the bounds of a partition.
	PartitionOffsets struct {
		Kind           string   `json:"kind"`
		Metadata       Metadata `json:"metadata"`
		ClusterID      string   `json:"cluster_id"`
		TopicName      string   `json:"topic_name"`
		PartitionID    int32    `json:"partition_id"`
		EarliestOffset int64    `json:"earliest_offset"`
		LatestOffset   int64    `json:"latest_offset"`
	}
	// Replica is a replica.
	Replica struct {
		Kind        string   `json:"kind"`
		Metadata    Metadata `json:"metadata"`
		ClusterID   string   `json:"cluster_id"`
		TopicName   string   `json:"topic_name"`
		PartitionID int32    `json:"partition_id"`
		BrokerID    int32    `json:"broker_id"`
		IsLeader    bool     `json:"is_leader"`
		IsInSync    bool     `json:"is_in_sync"`
		Broker      Related  `json:"broker"`
	}
	// ReplicaList lists replicas.
	ReplicaList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Replica    `json:"data"`
	}
	// Reassignment is a partition on its way to other brokers.
	Reassignment struct {
		Kind             string   `json:"kind"`
		Metadata         Metadata `json:"metadata"`
		ClusterID        string   `json:"cluster_id"`
		TopicName        string   `json:"topic_name"`
		PartitionID      int32    `json:"partition_id"`
		AddingReplicas   []int32  `json:"adding_replicas"`
		RemovingReplicas []int32  `json:"removing_replicas"`
		Replicas         Related  `json:"replicas"`
	}
	// ReassignmentList lists reassignments.
	ReassignmentList struct {
		Kind     string         `json:"kind"`
		Metadata ListMetadata   `json:"metadata"`
		Data     []Reassignment `json:"data"`
	}
)

func partitionData(r inCluster, topic string, p *kmsg.MetadataResponseTopicPartition) Partition {
	at := r.at.partition(topic, p.Partition)
	out := Partition{
		Kind: "KafkaPartition", Metadata: at.metadata(), ClusterID: r.id, TopicName: topic, PartitionID: p.Partition,
		Replicas: at.related("replicas"), Reassignment: at.related("reassignment"),
	}
	if p.Leader >= 0 {
		leader := at.related("replicas", itoa(p.Leader))
		out.Leader = &leader
	}
	return out
}

func replicaOf(r inCluster, topic string, p *kmsg.MetadataResponseTopicPartition, broker int32) Replica {
	at := r.at.partition(topic, p.Partition).at("replica="+itoa(broker), "replicas", itoa(broker))
	return Replica{
		Kind: "KafkaReplica", Metadata: at.metadata(), ClusterID: r.id, TopicName: topic, PartitionID: p.Partition, BrokerID: broker,
		IsLeader: broker == p.Leader, IsInSync: slices.Contains(p.ISR, broker), Broker: Related{r.at.broker(broker).url},
	}
}

// findPartition returns the partition that the path names.
func findPartition(r inCluster) (topic string, p *kmsg.MetadataResponseTopicPartition, err error) {
	topic = r.PathValue("topic_name")
	n, err := numberIn(r.Request, "partition_id")
	if err != nil {
		return "", nil, err
	}
	t, err := topicOf(r.Context(), r.client, topic, false)
	if err != nil {
		return "", nil, v3Missing(err)
	}
	for i := range t.Partitions {
		if t.Partitions[i].Partition == n {
			return topic, &t.Partitions[i], nil
		}
	}
	return "", nil, notFound("Partition %d of topic %s cannot be found.", n, topic)
}

func (s *Server) v3ListPartitions(w http.ResponseWriter, r inCluster) error {
	name := r.PathValue("topic_name")
	t, err := topicOf(r.Context(), r.client, name, false)
	if err != nil {
		return v3Missing(err)
	}
	out := PartitionList{"KafkaPartitionList", r.at.topic(name).at("", "partitions").list(), []Partition{}}
	for i := range t.Partitions {
		out.Data = append(out.Data, partitionData(r, name, &t.Partitions[i]))
	}
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3GetPartition(w http.ResponseWriter, r inCluster) error {
	topic, p, err := findPartition(r)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, partitionData(r, topic, p))
}

func (s *Server) v3PartitionOffset(w http.ResponseWriter, r inCluster) error {
	topic, p, err := findPartition(r)
	if err != nil {
		return err
	}
	start, end, err := bounds(r.Context(), r.client, topic, p.Partition)
	if err != nil {
		return err
	}
	at := r.at.partition(topic, p.Partition).at("offset", "offset")
	return answer(w, r.Request, http.StatusOK, PartitionOffsets{"KafkaPartitionWithOffsets", at.metadata(), r.id, topic, p.Partition, start, end})
}

func (s *Server) v3ListReplicas(w http.ResponseWriter, r inCluster) error {
	topic, p, err := findPartition(r)
	if err != nil {
		return err
	}
	out := ReplicaList{"KafkaReplicaList", r.at.partition(topic, p.Partition).at("", "replicas").list(), []Replica{}}
	for _, b := range p.Replicas {
		out.Data = append(out.Data, replicaOf(r, topic, p, b))
	}
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3GetReplica(w http.ResponseWriter, r inCluster) error {
	topic, p, err := findPartition(r)
	if err != nil {
		return err
	}
	b, err := numberIn(r.Request, "broker_id")
	if err != nil {
		return err
	}
	if !slices.Contains(p.Replicas, b) {
		return notFound("Replica %d of partition %s-%d cannot be found.", b, topic, p.Partition)
	}
	return answer(w, r.Request, http.StatusOK, replicaOf(r, topic, p, b))
}

// reassignments asks which partitions are on their way; nil names all topics.
func reassignments(r inCluster, topic string) ([]Reassignment, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	if topic != "" {
		t, err := topicOf(r.Context(), r.client, topic, false)
		if err != nil {
			return nil, v3Missing(err)
		}
		asked := kmsg.NewListPartitionReassignmentsRequestTopic()
		asked.Topic = topic
		for _, p := range t.Partitions {
			asked.Partitions = append(asked.Partitions, p.Partition)
		}
		req.Topics = append(req.Topics, asked)
	}
	out := []Reassignment{}
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return nil, fmt.Errorf("list reassignments: %w", err)
	}
	if err := coded(res.ErrorCode, res.ErrorMessage); err != nil {
		return nil, err
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			at := r.at.partition(t.Topic, p.Partition)
			out = append(out, Reassignment{
				"KafkaReassignment", at.at("reassignment", "reassignment").metadata(), r.id, t.Topic, p.Partition,
				append([]int32{}, p.AddingReplicas...), append([]int32{}, p.RemovingReplicas...), at.related("replicas"),
			})
		}
	}
	return out, nil
}

func (s *Server) v3ListReassignments(w http.ResponseWriter, r inCluster) error {
	topic := r.PathValue("topic_name")
	list, err := reassignments(r, topic)
	if err != nil {
		return err
	}
	name := topic
	if name == "" {
		name = "-"
	}
	return answer(w, r.Request, http.StatusOK, ReassignmentList{"KafkaReassignmentList", r.at.at("", "topics", name, "partitions", "-", "reassignment").list(), list})
}

func (s *Server) v3GetReassignment(w http.ResponseWriter, r inCluster) error {
	topic, p, err := findPartition(r)
	if err != nil {
		return err
	}
	list, err := reassignments(r, topic)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x.PartitionID == p.Partition {
			return answer(w, r.Request, http.StatusOK, x)
		}
	}
	return notFound("Partition %s-%d is not being reassigned.", topic, p.Partition)
}
