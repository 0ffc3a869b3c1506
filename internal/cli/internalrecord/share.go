package internalrecord

import (
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// shareGroupRecord decodes a record of a share group in __consumer_offsets.
func shareGroupRecord(key, value []byte) (k, v any, ok bool) {
	r, err := sharerecord.DecodeGroup(key, value)
	if err != nil {
		return nil, nil, false
	}
	k = groupKey{r.Group}
	switch r.Kind {
	case sharerecord.KindMember, sharerecord.KindTarget, sharerecord.KindCurrent:
		k = memberKey{r.Group, r.Member}
	}
	switch body := r.Value.(type) {
	case *sharerecord.Member:
		v = shareMember{body.RackID, body.ClientID, body.ClientHost, list(body.SubscribedTopics)}
	case *sharerecord.Epoch:
		v = shareEpoch{body.Epoch, body.MetadataHash}
	case *sharerecord.AssignmentEpoch:
		v = epochValue{body.Epoch, tagged(body.Timestamp, 0)}
	case *sharerecord.Assignment:
		v = assignment{each(body.Topics, sharePartitions)}
	case *sharerecord.Current:
		v = shareCurrent{body.Epoch, body.Previous, body.State, each(body.Topics, sharePartitions)}
	case *sharerecord.Partitions:
		v = shareTopics{each(body.Initializing, namedPartitionsOf), each(body.Initialized, namedPartitionsOf), each(body.Deleting, func(t sharerecord.NamedTopic) namedTopic {
			return namedTopic{t.ID.String(), t.Name}
		})}
	}
	return k, v, true
}

type shareMember struct {
	RackID     *string  `json:"rackId"`
	ClientID   string   `json:"clientId"`
	ClientHost string   `json:"clientHost"`
	Topics     []string `json:"subscribedTopicNames"`
}

type shareEpoch struct {
	Epoch int32 `json:"epoch"`
	Hash  int64 `json:"metadataHash"`
}

type shareCurrent struct {
	Epoch         int32             `json:"memberEpoch"`
	PreviousEpoch int32             `json:"previousMemberEpoch"`
	State         int8              `json:"state"`
	Assigned      []topicPartitions `json:"assignedPartitions"`
}

func sharePartitions(t sharerecord.TopicPartitions) topicPartitions {
	return topicPartitions{t.ID.String(), list(t.Partitions), nil}
}

type shareTopics struct {
	Initializing []namedPartitions `json:"initializingTopics"`
	Initialized  []namedPartitions `json:"initializedTopics"`
	Deleting     []namedTopic      `json:"deletingTopics"`
}

type namedPartitions struct {
	Topic      string  `json:"topicId"`
	Name       string  `json:"topicName"`
	Partitions []int32 `json:"partitions"`
}

func namedPartitionsOf(t sharerecord.NamedPartitions) namedPartitions {
	return namedPartitions{t.ID.String(), t.Name, list(t.Partitions)}
}

type namedTopic struct {
	Topic string `json:"topicId"`
	Name  string `json:"topicName"`
}

// shareStateRecord decodes a record of __share_group_state.
func shareStateRecord(key, value []byte) (k, v any, ok bool) {
	r, err := sharerecord.DecodeState(key, value)
	if err != nil {
		return nil, nil, false
	}
	k = shareKey{r.Key.Group, r.Key.Topic.String(), r.Key.Partition}
	switch {
	case r.Snapshot != nil:
		s := r.Snapshot
		v = shareSnapshot{s.SnapshotEpoch, s.StateEpoch, s.LeaderEpoch, s.Start, tagged(s.DeliveryComplete, sharerecord.NoCount), s.Created, s.Written, each(s.Batches, shareBatchOf)}
	case r.Update != nil:
		u := r.Update
		v = shareUpdate{u.SnapshotEpoch, u.LeaderEpoch, u.Start, tagged(u.DeliveryComplete, sharerecord.NoCount), each(u.Batches, shareBatchOf)}
	}
	return k, v, true
}

type shareKey struct {
	Group     string `json:"groupId"`
	Topic     string `json:"topicId"`
	Partition int32  `json:"partition"`
}

type shareSnapshot struct {
	SnapshotEpoch    int32        `json:"snapshotEpoch"`
	StateEpoch       int32        `json:"stateEpoch"`
	LeaderEpoch      int32        `json:"leaderEpoch"`
	Start            int64        `json:"startOffset"`
	DeliveryComplete *int32       `json:"deliveryCompleteCount,omitempty"`
	Created          int64        `json:"createTimestamp"`
	Written          int64        `json:"writeTimestamp"`
	Batches          []shareBatch `json:"stateBatches"`
}

type shareUpdate struct {
	SnapshotEpoch    int32        `json:"snapshotEpoch"`
	LeaderEpoch      int32        `json:"leaderEpoch"`
	Start            int64        `json:"startOffset"`
	DeliveryComplete *int32       `json:"deliveryCompleteCount,omitempty"`
	Batches          []shareBatch `json:"stateBatches"`
}

type shareBatch struct {
	First         int64 `json:"firstOffset"`
	Last          int64 `json:"lastOffset"`
	State         int8  `json:"deliveryState"`
	DeliveryCount int16 `json:"deliveryCount"`
}

func shareBatchOf(b sharerecord.Batch) shareBatch {
	return shareBatch{b.First, b.Last, b.State, b.DeliveryCount}
}
