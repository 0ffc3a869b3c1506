package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The answers of v2 about topics and brokers.
type (
	// V2Topic is a topic.
	V2Topic struct {
		Name       string            `json:"name"`
		Configs    map[string]string `json:"configs"`
		Partitions []V2Partition     `json:"partitions"`
	}
	// V2Partition is a partition.
	V2Partition struct {
		Partition int32       `json:"partition"`
		Leader    int32       `json:"leader"`
		Replicas  []V2Replica `json:"replicas"`
	}
	// V2Replica is a replica of a partition.
	V2Replica struct {
		Broker int32 `json:"broker"`
		Leader bool  `json:"leader"`
		InSync bool  `json:"in_sync"`
	}
	// V2Offsets are the bounds of a partition.
	V2Offsets struct {
		BeginningOffset int64 `json:"beginning_offset"`
		EndOffset       int64 `json:"end_offset"`
	}
	// V2Brokers lists brokers.
	V2Brokers struct {
		Brokers []int32 `json:"brokers"`
	}
)

// metadata asks for topics: all for nil. It makes none.
func metadata(ctx context.Context, cl *kgo.Client, topics []string, operations bool) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations, req.AllowAutoTopicCreation = operations, false
	if topics != nil {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, t := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &t
		req.Topics = append(req.Topics, topic)
	}
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return res, nil
}

// topicOf asks for one topic. An error of the cluster about it is returned wrapped.
func topicOf(ctx context.Context, cl *kgo.Client, name string, operations bool) (*kmsg.MetadataResponseTopic, error) {
	res, err := metadata(ctx, cl, []string{name}, operations)
	if err != nil {
		return nil, err
	}
	if len(res.Topics) == 0 {
		return nil, fmt.Errorf("topic %s: %w", name, kerr.UnknownTopicOrPartition)
	}
	t := &res.Topics[0]
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return nil, fmt.Errorf("topic %s: %w", name, err)
	}
	slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
	return t, nil
}

// v2Missing makes errors about topics those of v2.
func v2Missing(err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.InvalidTopicException) {
		return errTopicNotFound()
	}
	return err
}

func (s *Server) v2Root(w http.ResponseWriter, r *http.Request) error {
	return answerV2(w, r, struct{}{})
}

func (s *Server) v2ListTopics(w http.ResponseWriter, r *http.Request) error {
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	res, err := metadata(r.Context(), cl, nil, false)
	if err != nil {
		return err
	}
	names := []string{}
	for _, t := range res.Topics {
		if t.Topic != nil && t.ErrorCode == 0 {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return answerV2(w, r, names)
}

func (s *Server) v2GetTopic(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("topic")
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	t, err := topicOf(r.Context(), cl, name, false)
	if err != nil {
		return v2Missing(err)
	}
	out := V2Topic{Name: name, Configs: map[string]string{}, Partitions: v2Partitions(t)}
	configs, err := describeConfigs(r.Context(), cl, kmsg.ConfigResourceTypeTopic, []string{name}, nil)
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed): // who may see a topic may not always see this
	case err != nil:
		return v2Missing(err)
	default:
		for _, c := range configs[name] {
			if c.Value != nil {
				out.Configs[c.Name] = *c.Value
			}
		}
	}
	return answerV2(w, r, out)
}

func v2Partitions(t *kmsg.MetadataResponseTopic) []V2Partition {
	out := []V2Partition{}
	for _, p := range t.Partitions {
		v := V2Partition{Partition: p.Partition, Leader: p.Leader, Replicas: []V2Replica{}}
		for _, b := range p.Replicas {
			v.Replicas = append(v.Replicas, V2Replica{b, b == p.Leader, slices.Contains(p.ISR, b)})
		}
		out = append(out, v)
	}
	return out
}

func (s *Server) v2ListPartitions(w http.ResponseWriter, r *http.Request) error {
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	t, err := topicOf(r.Context(), cl, r.PathValue("topic"), false)
	if err != nil {
		return v2Missing(err)
	}
	return answerV2(w, r, v2Partitions(t))
}

// partitionOf reads the number of a partition in a path.
func partitionOf(r *http.Request) (int32, error) {
	n, err := strconv.ParseInt(r.PathValue("partition"), 10, 32)
	if err != nil {
		// Confluent's framework takes a segment that is no number for a path that is not there.
		return 0, errNoPath()
	}
	return int32(n), nil
}

func (s *Server) v2GetPartition(w http.ResponseWriter, r *http.Request) error {
	n, err := partitionOf(r)
	if err != nil {
		return err
	}
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	t, err := topicOf(r.Context(), cl, r.PathValue("topic"), false)
	if err != nil {
		return v2Missing(err)
	}
	for _, p := range v2Partitions(t) {
		if p.Partition == n {
			return answerV2(w, r, p)
		}
	}
	return errPartitionNotFound()
}

func (s *Server) v2GetOffsets(w http.ResponseWriter, r *http.Request) error {
	n, err := partitionOf(r)
	if err != nil {
		return err
	}
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	topic := r.PathValue("topic")
	start, end, err := bounds(r.Context(), cl, topic, n)
	if err != nil {
		return v2Missing(err)
	}
	return answerV2(w, r, V2Offsets{start, end})
}

// bounds returns the offsets where a partition begins and ends.
func bounds(ctx context.Context, cl *kgo.Client, topic string, partition int32) (start, end int64, err error) {
	t, err := topicOf(ctx, cl, topic, false)
	if err != nil {
		return 0, 0, err
	}
	if !slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition == partition }) {
		return 0, 0, errPartitionNotFound()
	}
	adm := kadm.NewClient(cl)
	for _, list := range []struct {
		ask func(context.Context, ...string) (kadm.ListedOffsets, error)
		to  *int64
	}{{adm.ListStartOffsets, &start}, {adm.ListEndOffsets, &end}} {
		listed, err := list.ask(ctx, topic)
		if err != nil {
			return 0, 0, fmt.Errorf("offsets of %s: %w", topic, err)
		}
		o, ok := listed.Lookup(topic, partition)
		if !ok {
			return 0, 0, errPartitionNotFound()
		}
		if o.Err != nil {
			return 0, 0, fmt.Errorf("offsets of %s-%d: %w", topic, partition, o.Err)
		}
		*list.to = o.Offset
	}
	return start, end, nil
}

func (s *Server) v2ListBrokers(w http.ResponseWriter, r *http.Request) error {
	cl, err := s.client(r)
	if err != nil {
		return err
	}
	res, err := metadata(r.Context(), cl, []string{}, false)
	if err != nil {
		return err
	}
	out := V2Brokers{Brokers: []int32{}}
	for _, b := range res.Brokers {
		out.Brokers = append(out.Brokers, b.NodeID)
	}
	slices.Sort(out.Brokers)
	return answerV2(w, r, out)
}
