package app

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// askState asks the broker that keeps a share partition's state (coordinator.SharesOptions.Elsewhere). Whether the partition
// exists that broker finds out by itself.
func (p *peers) askState(ctx context.Context, partition int32, event any) (share.StateReply, error) {
	t, ok := p.topics.View().ByName(kafka.ShareGroupStateTopic)
	if !ok {
		return share.StateReply{}, kafka.CoordinatorNotAvailable
	}
	broker, remote, err := p.owner(t, partition)
	if err != nil || !remote { // it has just become ours, or is nobody's: to be asked again
		return share.StateReply{}, coordinatorError(fmt.Errorf("state of a share partition: %w", kafka.NotCoordinator))
	}
	req, read, err := stateRequest(event)
	if err != nil {
		return share.StateReply{}, err
	}
	res, err := p.client.Do(ctx, broker, req)
	if err != nil {
		return share.StateReply{}, coordinatorError(err)
	}
	reply, code, ok := read(res)
	if !ok {
		return share.StateReply{}, coordinatorError(errAnswer)
	}
	switch code {
	case kafka.NotCoordinator, kafka.CoordinatorLoadInProgress, kafka.CoordinatorNotAvailable:
		return share.StateReply{}, code
	}
	reply.Err = code.Err()
	return reply, nil
}

// stateAnswer reads the answer about the one partition that was asked about; ok is false if it is about something else.
type stateAnswer func(kmsg.Response) (reply share.StateReply, code kafka.Error, ok bool)

// stateRequest is the request for an event, and how its answer is read.
func stateRequest(event any) (kmsg.Request, stateAnswer, error) {
	switch e := event.(type) {
	case share.InitState:
		req, answer := initRequest(e)
		return req, answer, nil
	case share.ReadState:
		req, answer := readRequest(e)
		return req, answer, nil
	case share.WriteState:
		req, answer := writeRequest(e)
		return req, answer, nil
	case share.DeleteState:
		req, answer := deleteRequest(e)
		return req, answer, nil
	case share.SummarizeState:
		req, answer := summaryRequest(e)
		return req, answer, nil
	}
	return nil, nil, fmt.Errorf("no broker is asked about a state by %T", event)
}

func initRequest(e share.InitState) (kmsg.Request, stateAnswer) {
	p := kmsg.NewInitializeShareGroupStateRequestTopicPartition()
	p.Partition, p.StateEpoch, p.StartOffset = e.Key.Partition, e.StateEpoch, e.Start
	t := kmsg.NewInitializeShareGroupStateRequestTopic()
	t.TopicID, t.Partitions = e.Key.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrInitializeShareGroupStateRequest()
	req.GroupID, req.Topics = e.Key.Group, append(req.Topics, t)
	return req, func(r kmsg.Response) (reply share.StateReply, code kafka.Error, ok bool) {
		res := r.(*kmsg.InitializeShareGroupStateResponse)
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return reply, 0, false
		}
		return reply, kafka.Error(res.Topics[0].Partitions[0].ErrorCode), true
	}
}

func readRequest(e share.ReadState) (kmsg.Request, stateAnswer) {
	p := kmsg.NewReadShareGroupStateRequestTopicPartition()
	p.Partition, p.LeaderEpoch = e.Key.Partition, e.LeaderEpoch
	t := kmsg.NewReadShareGroupStateRequestTopic()
	t.TopicID, t.Partitions = e.Key.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrReadShareGroupStateRequest()
	req.GroupID, req.Topics = e.Key.Group, append(req.Topics, t)
	return req, func(r kmsg.Response) (reply share.StateReply, code kafka.Error, ok bool) {
		res := r.(*kmsg.ReadShareGroupStateResponse)
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return reply, 0, false
		}
		a := &res.Topics[0].Partitions[0]
		reply = share.StateReply{StateEpoch: a.StateEpoch, Start: a.StartOffset}
		for _, b := range a.StateBatches {
			reply.Batches = append(reply.Batches, share.Batch{First: b.FirstOffset, Last: b.LastOffset, State: b.DeliveryState, DeliveryCount: b.DeliveryCount})
		}
		return reply, kafka.Error(a.ErrorCode), true
	}
}

func writeRequest(e share.WriteState) (kmsg.Request, stateAnswer) {
	p := kmsg.NewWriteShareGroupStateRequestTopicPartition()
	p.Partition, p.StateEpoch, p.LeaderEpoch, p.StartOffset, p.DeliveryCompleteCount = e.Key.Partition, e.StateEpoch, e.LeaderEpoch, e.Start, e.DeliveryComplete
	for _, b := range e.Batches {
		out := kmsg.NewWriteShareGroupStateRequestTopicPartitionStateBatch()
		out.FirstOffset, out.LastOffset, out.DeliveryState, out.DeliveryCount = b.First, b.Last, b.State, b.DeliveryCount
		p.StateBatches = append(p.StateBatches, out)
	}
	t := kmsg.NewWriteShareGroupStateRequestTopic()
	t.TopicID, t.Partitions = e.Key.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrWriteShareGroupStateRequest()
	req.Version, req.GroupID, req.Topics = 1, e.Key.Group, append(req.Topics, t)
	return req, func(r kmsg.Response) (reply share.StateReply, code kafka.Error, ok bool) {
		res := r.(*kmsg.WriteShareGroupStateResponse)
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return reply, 0, false
		}
		return reply, kafka.Error(res.Topics[0].Partitions[0].ErrorCode), true
	}
}

func deleteRequest(e share.DeleteState) (kmsg.Request, stateAnswer) {
	p := kmsg.NewDeleteShareGroupStateRequestTopicPartition()
	p.Partition = e.Key.Partition
	t := kmsg.NewDeleteShareGroupStateRequestTopic()
	t.TopicID, t.Partitions = e.Key.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrDeleteShareGroupStateRequest()
	req.GroupID, req.Topics = e.Key.Group, append(req.Topics, t)
	return req, func(r kmsg.Response) (reply share.StateReply, code kafka.Error, ok bool) {
		res := r.(*kmsg.DeleteShareGroupStateResponse)
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return reply, 0, false
		}
		return reply, kafka.Error(res.Topics[0].Partitions[0].ErrorCode), true
	}
}

func summaryRequest(e share.SummarizeState) (kmsg.Request, stateAnswer) {
	p := kmsg.NewReadShareGroupStateSummaryRequestTopicPartition()
	p.Partition = e.Key.Partition
	t := kmsg.NewReadShareGroupStateSummaryRequestTopic()
	t.TopicID, t.Partitions = e.Key.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrReadShareGroupStateSummaryRequest()
	req.Version, req.GroupID, req.Topics = 1, e.Key.Group, append(req.Topics, t)
	return req, func(r kmsg.Response) (reply share.StateReply, code kafka.Error, ok bool) {
		res := r.(*kmsg.ReadShareGroupStateSummaryResponse)
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return reply, 0, false
		}
		a := &res.Topics[0].Partitions[0]
		return share.StateReply{StateEpoch: a.StateEpoch, LeaderEpoch: a.LeaderEpoch, Start: a.StartOffset, DeliveryComplete: a.DeliveryCompleteCount}, kafka.Error(a.ErrorCode), true
	}
}
