package api

import (
	"context"

	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// What the handlers of share groups share.

// Shares coordinates share groups and keeps the states of their partitions.
type Shares interface {
	Coordinator(ctx context.Context) error
	Heartbeat(ctx context.Context, e share.Heartbeat) (share.HeartbeatReply, error)
	Describe(ctx context.Context, group string) (share.Description, error)
	List(ctx context.Context) ([]share.Listing, error)
	Partitions(ctx context.Context, group string) ([]share.NamedPartitions, error)
	Alter(ctx context.Context, group string, topics []share.NamedPartitions, start func(kafka.TopicID, int32) int64) ([]share.NamedPartitions, error)
	DeleteOffsets(ctx context.Context, group string, topics []kafka.TopicID) ([]kafka.TopicID, error)
	DeleteGroup(ctx context.Context, group string) error

	// Summarize asks for the state of a share partition, whichever broker keeps it; StateHere, for another broker, about one that
	// this broker keeps.
	Summarize(ctx context.Context, e share.SummarizeState) (share.StateReply, error)
	StateHere(ctx context.Context, key share.Key, event any) (share.StateReply, error)
}

// groupTypeShare is the type of share groups, and the protocol type, as ListGroups names them.
const groupTypeShare = "share"

// shareTopics is the metadata as share groups see it.
type shareTopics struct{ view *topics.View }

func (s shareTopics) Topic(name string) (kafka.TopicID, int32, bool) {
	t, ok := s.view.ByName(name)
	if !ok {
		return kafka.TopicID{}, 0, false
	}
	return t.ID, t.Partitions, true
}

// hasID tells whether there is the partition of a topic.
func hasID(view *topics.View, id kafka.TopicID, partition int32) bool {
	t, _ := view.ByID(id)
	return hasPartition(t, partition)
}

// refusal returns code and text of an error for the fields of a response.
func refusal(err error) (int16, *string) { return codeOf(err).Code(), textOf(err) }

// shareError is what a client of share groups is told of an error of a window.
func shareError(err error) kafka.Error {
	switch code := codeOf(err); code {
	case kafka.FencedStateEpoch, kafka.FencedLeaderEpoch, kafka.CoordinatorNotAvailable, kafka.CoordinatorLoadInProgress, kafka.NotCoordinator:
		return kafka.NotLeaderOrFollower // ask again
	default:
		return code
	}
}

// ackRequest are the acknowledgements of one partition.
type ackRequest struct {
	id   sharepartition.ID
	acks []share.Ack
	err  error // why they are not even tried
}

// ackResult is what became of them.
type ackResult struct {
	id  sharepartition.ID
	err error
}

// acknowledge starts to handle acknowledgements and returns how to wait for the results, which are in their order.
func (s *Server) acknowledge(ctx context.Context, group, member string, requests []ackRequest, renew bool) func(context.Context) []ackResult {
	results := make([]ackResult, len(requests))
	waits := make([]func(context.Context) error, len(requests))
	for i := range requests {
		r := &requests[i]
		results[i] = ackResult{id: r.id, err: r.err}
		if r.err == nil {
			results[i].err = share.CheckAcks(r.acks, renew)
		}
		if results[i].err != nil {
			continue
		}
		var err error
		waits[i], err = s.windows.Acknowledge(ctx, group, member, r.id, r.acks)
		results[i].err = s.moved(r.id.Topic, err)
	}
	return func(ctx context.Context) []ackResult {
		for i, wait := range waits {
			if wait == nil || results[i].err != nil {
				continue
			}
			if err := wait(ctx); err != nil {
				results[i].err = shareError(s.moved(results[i].id.Topic, err))
			}
		}
		return results
	}
}

// ackCode is the code for the error of an acknowledgement, and its text, where it has one of its own.
func ackCode(err error) (kafka.Error, *string) {
	if _, plain := err.(kafka.Error); plain || err == nil { //nolint:errorlint // a code alone has no text of its own
		return codeOf(err), nil
	}
	return codeOf(err), textOf(err)
}
