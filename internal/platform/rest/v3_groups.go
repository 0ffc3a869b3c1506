package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Consumer groups of v3.
type (
	// ConsumerGroup is a group of either protocol.
	ConsumerGroup struct {
		Kind                 string   `json:"kind"`
		Metadata             Metadata `json:"metadata"`
		ClusterID            string   `json:"cluster_id"`
		ConsumerGroupID      string   `json:"consumer_group_id"`
		IsSimple             bool     `json:"is_simple"`
		PartitionAssignor    string   `json:"partition_assignor"`
		State                string   `json:"state"`
		Type                 string   `json:"type"`
		IsMixedConsumerGroup bool     `json:"is_mixed_consumer_group"`
		Coordinator          Related  `json:"coordinator"`
		Consumers            Related  `json:"consumers"`
		LagSummary           Related  `json:"lag_summary"`
	}
	// ConsumerGroupList lists groups.
	ConsumerGroupList struct {
		Kind     string          `json:"kind"`
		Metadata ListMetadata    `json:"metadata"`
		Data     []ConsumerGroup `json:"data"`
	}
	// Consumer is a member of a group.
	Consumer struct {
		Kind            string   `json:"kind"`
		Metadata        Metadata `json:"metadata"`
		ClusterID       string   `json:"cluster_id"`
		ConsumerGroupID string   `json:"consumer_group_id"`
		ConsumerID      string   `json:"consumer_id"`
		InstanceID      *string  `json:"instance_id"`
		ClientID        string   `json:"client_id"`
		Assignments     Related  `json:"assignments"`
	}
	// ConsumerList lists members.
	ConsumerList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Consumer   `json:"data"`
	}
	// Assignment is a partition that a member reads.
	Assignment struct {
		Kind            string   `json:"kind"`
		Metadata        Metadata `json:"metadata"`
		ClusterID       string   `json:"cluster_id"`
		ConsumerGroupID string   `json:"consumer_group_id"`
		ConsumerID      string   `json:"consumer_id"`
		TopicName       string   `json:"topic_name"`
		PartitionID     int32    `json:"partition_id"`
		Partition       Related  `json:"partition"`
		Lag             Related  `json:"lag"`
	}
	// AssignmentList lists assignments.
	AssignmentList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Assignment `json:"data"`
	}
	// Lag is how far a group is behind in a partition.
	Lag struct {
		Kind            string   `json:"kind"`
		Metadata        Metadata `json:"metadata"`
		ClusterID       string   `json:"cluster_id"`
		ConsumerGroupID string   `json:"consumer_group_id"`
		TopicName       string   `json:"topic_name"`
		PartitionID     int32    `json:"partition_id"`
		CurrentOffset   int64    `json:"current_offset"`
		LogEndOffset    int64    `json:"log_end_offset"`
		Lag             int64    `json:"lag"`
		ConsumerID      string   `json:"consumer_id"`
		InstanceID      *string  `json:"instance_id"`
		ClientID        string   `json:"client_id"`
	}
	// LagList lists lags.
	LagList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Lag        `json:"data"`
	}
	// LagSummary is the largest lag and the sum of all.
	LagSummary struct {
		Kind              string   `json:"kind"`
		Metadata          Metadata `json:"metadata"`
		ClusterID         string   `json:"cluster_id"`
		ConsumerGroupID   string   `json:"consumer_group_id"`
		MaxLagConsumerID  string   `json:"max_lag_consumer_id"`
		MaxLagInstanceID  *string  `json:"max_lag_instance_id"`
		MaxLagClientID    string   `json:"max_lag_client_id"`
		MaxLagTopicName   string   `json:"max_lag_topic_name"`
		MaxLagPartitionID int32    `json:"max_lag_partition_id"`
		MaxLag            int64    `json:"max_lag"`
		TotalLag          int64    `json:"total_lag"`
		MaxLagConsumer    Related  `json:"max_lag_consumer"`
		MaxLagPartition   Related  `json:"max_lag_partition"`
	}
)

// group is a consumer group of either protocol.
type group struct {
	id, state, assignor, kind string
	coordinator               int32
	simple                    bool
	members                   []member
}

type member struct {
	id, client string
	instance   *string
	classic    bool
	reads      kadm.TopicsSet
}

// upper writes PreparingRebalance as PREPARING_REBALANCE.
func upper(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// denied returns the refusal in an error of a request that went to many brokers; nil if there is none.
func denied(err error) error {
	if auth, ok := errors.AsType[*kadm.AuthError](err); ok {
		return auth.Err
	}
	if shards, ok := errors.AsType[*kadm.ShardErrors](err); ok {
		for _, one := range shards.Errs {
			if errors.Is(one.Err, kerr.GroupAuthorizationFailed) || errors.Is(one.Err, kerr.ClusterAuthorizationFailed) {
				return one.Err
			}
		}
	}
	return nil
}

// describeGroups finds out about groups: those of the consumer protocol first, and the others among those of the classic one. What is
// no consumer group is left out.
func describeGroups(ctx context.Context, adm *kadm.Client, ids ...string) ([]group, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var out []group
	var rest []string
	modern, err := adm.DescribeConsumerGroups(ctx, ids...)
	if denied := denied(err); denied != nil {
		return nil, denied
	}
	for _, id := range ids {
		g, ok := modern[id]
		if !ok || errors.Is(g.Err, kerr.GroupIDNotFound) || errors.Is(g.Err, kerr.UnsupportedVersion) {
			rest = append(rest, id)
			continue
		}
		if g.Err != nil {
			return nil, fmt.Errorf("group %s: %w", id, g.Err)
		}
		v := group{id: id, state: upper(g.State), assignor: g.AssignorName, kind: "CONSUMER", coordinator: g.Coordinator.NodeID}
		for _, m := range g.Members {
			v.members = append(v.members, member{m.MemberID, m.ClientID, m.InstanceID, m.MemberType == 0, m.Assignment})
		}
		out = append(out, v)
	}
	if len(rest) == 0 {
		return out, nil
	}
	classic, err := adm.DescribeGroups(ctx, rest...)
	if denied := denied(err); denied != nil {
		return nil, denied
	}
	if _, partly := errors.AsType[*kadm.ShardErrors](err); err != nil && !partly {
		return nil, fmt.Errorf("describe groups: %w", err)
	}
	for _, g := range classic {
		if errors.Is(g.Err, kerr.GroupIDNotFound) || g.Err == nil && (g.State == "Dead" || g.ProtocolType != "" && g.ProtocolType != "consumer") {
			continue
		}
		if g.Err != nil {
			return nil, fmt.Errorf("group %s: %w", g.Group, g.Err)
		}
		v := group{id: g.Group, state: upper(g.State), assignor: g.Protocol, kind: "CLASSIC", coordinator: g.Coordinator.NodeID, simple: g.ProtocolType == ""}
		for _, m := range g.Members {
			reads := kadm.TopicsSet{}
			if a, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range a.Topics {
					reads.Add(t.Topic, t.Partitions...)
				}
			}
			v.members = append(v.members, member{m.MemberID, m.ClientID, m.InstanceID, true, reads})
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b group) int { return strings.Compare(a.id, b.id) })
	return out, nil
}

func groupData(r inCluster, g *group) ConsumerGroup {
	at := r.at.group(g.id)
	out := ConsumerGroup{
		Kind: "KafkaConsumerGroup", Metadata: at.metadata(), ClusterID: r.id, ConsumerGroupID: g.id, IsSimple: g.simple, PartitionAssignor: g.assignor,
		State: g.state, Type: g.kind, Coordinator: Related{r.at.broker(g.coordinator).url}, Consumers: at.related("consumers"), LagSummary: at.related("lag-summary"),
	}
	if g.kind == "CONSUMER" {
		classic := slices.ContainsFunc(g.members, func(m member) bool { return m.classic })
		out.IsMixedConsumerGroup = classic && slices.ContainsFunc(g.members, func(m member) bool { return !m.classic })
	}
	return out
}

func (s *Server) v3ListGroups(w http.ResponseWriter, r inCluster) error {
	adm := kadm.NewClient(r.client)
	listed, err := adm.ListGroups(r.Context())
	if denied := denied(err); denied != nil {
		return denied
	}
	if _, partly := errors.AsType[*kadm.ShardErrors](err); err != nil && !partly {
		return fmt.Errorf("list groups: %w", err)
	}
	var ids []string
	for _, g := range listed {
		if g.ProtocolType == "consumer" || g.ProtocolType == "" {
			ids = append(ids, g.Group)
		}
	}
	groups, err := describeGroups(r.Context(), adm, ids...)
	if err != nil {
		return err
	}
	out := ConsumerGroupList{"KafkaConsumerGroupList", r.at.at("", "consumer-groups").list(), []ConsumerGroup{}}
	for i := range groups {
		out.Data = append(out.Data, groupData(r, &groups[i]))
	}
	return answer(w, r.Request, http.StatusOK, out)
}

// findGroup returns the group that the path names.
func findGroup(r inCluster) (*group, error) {
	id := r.PathValue("consumer_group_id")
	groups, err := describeGroups(r.Context(), kadm.NewClient(r.client), id)
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		return nil, notFound("Consumer group %s cannot be found.", id)
	}
	return &groups[0], nil
}

func (s *Server) v3GetGroup(w http.ResponseWriter, r inCluster) error {
	g, err := findGroup(r)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, groupData(r, g))
}

func memberData(r inCluster, g *group, m *member) Consumer {
	at := r.at.group(g.id).at("consumer="+m.id, "consumers", m.id)
	return Consumer{"KafkaConsumer", at.metadata(), r.id, g.id, m.id, m.instance, m.client, at.related("assignments")}
}

func (s *Server) v3ListConsumers(w http.ResponseWriter, r inCluster) error {
	g, err := findGroup(r)
	if err != nil {
		return err
	}
	out := ConsumerList{"KafkaConsumerList", r.at.group(g.id).at("", "consumers").list(), []Consumer{}}
	for i := range g.members {
		out.Data = append(out.Data, memberData(r, g, &g.members[i]))
	}
	return answer(w, r.Request, http.StatusOK, out)
}

// findMember returns the member that the path names.
func findMember(r inCluster) (*group, *member, error) {
	g, err := findGroup(r)
	if err != nil {
		return nil, nil, err
	}
	id := r.PathValue("consumer_id")
	for i := range g.members {
		if g.members[i].id == id {
			return g, &g.members[i], nil
		}
	}
	return nil, nil, notFound("Consumer %s of group %s cannot be found.", id, g.id)
}

func (s *Server) v3GetConsumer(w http.ResponseWriter, r inCluster) error {
	g, m, err := findMember(r)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, memberData(r, g, m))
}

func assignmentData(r inCluster, g *group, m *member, topic string, p int32) Assignment {
	at := r.at.group(g.id).at("consumer="+m.id, "consumers", m.id).at("assignment="+topic+"/partition="+itoa(p), "assignments", topic, "partitions", itoa(p))
	return Assignment{
		"KafkaConsumerAssignment", at.metadata(), r.id, g.id, m.id, topic, p,
		Related{r.at.partition(topic, p).url},
		r.at.group(g.id).related("lags", topic, "partitions", itoa(p)),
	}
}

func (s *Server) v3ListAssignments(w http.ResponseWriter, r inCluster) error {
	g, m, err := findMember(r)
	if err != nil {
		return err
	}
	out := AssignmentList{"KafkaConsumerAssignmentList", r.at.group(g.id).at("", "consumers", m.id, "assignments").list(), []Assignment{}}
	for _, t := range m.reads.Sorted() {
		for _, p := range t.Partitions {
			out.Data = append(out.Data, assignmentData(r, g, m, t.Topic, p))
		}
	}
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3GetAssignment(w http.ResponseWriter, r inCluster) error {
	n, err := numberIn(r.Request, "partition_id")
	if err != nil {
		return err
	}
	g, m, err := findMember(r)
	if err != nil {
		return err
	}
	topic := r.PathValue("topic_name")
	if !m.reads.Lookup(topic, n) {
		return notFound("Consumer %s is not assigned partition %s-%d.", m.id, topic, n)
	}
	return answer(w, r.Request, http.StatusOK, assignmentData(r, g, m, topic, n))
}

// lagsOf returns how far a group is behind, in each partition that it has committed an offset of.
func lagsOf(r inCluster, g *group) ([]Lag, error) {
	adm := kadm.NewClient(r.client)
	committed, err := adm.FetchOffsets(r.Context(), g.id)
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", g.id, err)
	}
	committed.KeepFunc(func(o kadm.OffsetResponse) bool { return o.Err == nil && o.At >= 0 })
	topics := committed.Partitions().Topics()
	if len(topics) == 0 {
		return []Lag{}, nil
	}
	ends, err := adm.ListEndOffsets(r.Context(), topics...)
	if err != nil {
		return nil, fmt.Errorf("offsets of topics: %w", err)
	}
	out := []Lag{}
	for _, c := range committed.Sorted() {
		end, ok := ends.Lookup(c.Topic, c.Partition)
		if !ok || end.Err != nil {
			continue // the topic is gone, its offset not yet
		}
		at := r.at.group(g.id).at("lag="+c.Topic+"/partition="+itoa(c.Partition), "lags", c.Topic, "partitions", itoa(c.Partition))
		lag := Lag{
			Kind: "KafkaConsumerLag", Metadata: at.metadata(), ClusterID: r.id, ConsumerGroupID: g.id, TopicName: c.Topic, PartitionID: c.Partition,
			CurrentOffset: c.At, LogEndOffset: end.Offset, Lag: max(end.Offset-c.At, 0),
		}
		for _, m := range g.members {
			if m.reads.Lookup(c.Topic, c.Partition) {
				lag.ConsumerID, lag.InstanceID, lag.ClientID = m.id, m.instance, m.client
			}
		}
		out = append(out, lag)
	}
	return out, nil
}

func (s *Server) v3ListLags(w http.ResponseWriter, r inCluster) error {
	g, err := findGroup(r)
	if err != nil {
		return err
	}
	lags, err := lagsOf(r, g)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, LagList{"KafkaConsumerLagList", r.at.group(g.id).at("", "lags").list(), lags})
}

func (s *Server) v3GetLag(w http.ResponseWriter, r inCluster) error {
	n, err := numberIn(r.Request, "partition_id")
	if err != nil {
		return err
	}
	g, err := findGroup(r)
	if err != nil {
		return err
	}
	lags, err := lagsOf(r, g)
	if err != nil {
		return err
	}
	topic := r.PathValue("topic_name")
	for _, lag := range lags {
		if lag.TopicName == topic && lag.PartitionID == n {
			return answer(w, r.Request, http.StatusOK, lag)
		}
	}
	return notFound("Group %s has committed no offset of %s-%d.", g.id, topic, n)
}

func (s *Server) v3LagSummary(w http.ResponseWriter, r inCluster) error {
	g, err := findGroup(r)
	if err != nil {
		return err
	}
	lags, err := lagsOf(r, g)
	if err != nil {
		return err
	}
	if len(lags) == 0 {
		return notFound("Group %s has committed no offsets.", g.id)
	}
	out := LagSummary{Kind: "KafkaConsumerGroupLagSummary", Metadata: r.at.group(g.id).at("lag-summary", "lag-summary").metadata(), ClusterID: r.id, ConsumerGroupID: g.id}
	most := slices.MaxFunc(lags, func(a, b Lag) int { return int(min(max(a.Lag-b.Lag, -1), 1)) })
	out.MaxLagConsumerID, out.MaxLagInstanceID, out.MaxLagClientID = most.ConsumerID, most.InstanceID, most.ClientID
	out.MaxLagTopicName, out.MaxLagPartitionID, out.MaxLag = most.TopicName, most.PartitionID, most.Lag
	out.MaxLagConsumer = r.at.group(g.id).related("consumers", most.ConsumerID)
	out.MaxLagPartition = Related{r.at.partition(most.TopicName, most.PartitionID).url}
	for _, lag := range lags {
		out.TotalLag += lag.Lag
	}
	return answer(w, r.Request, http.StatusOK, out)
}
