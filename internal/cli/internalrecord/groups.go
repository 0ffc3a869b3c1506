package internalrecord

import (
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// groupRecord decodes a record of __consumer_offsets, which holds groups of four kinds.
func groupRecord(key, value []byte) (k, v any, ok bool) {
	if r, err := offsetrecord.Decode(key, value); err == nil {
		return groupKeyOf(r), groupValueOf(r, value), true
	}
	if k, v, ok = shareGroupRecord(key, value); ok {
		return k, v, true
	}
	return streamsGroupRecord(key, value)
}

type offsetKey struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

type classicKey struct {
	Group string `json:"group"`
}

type regexKey struct {
	Group string `json:"groupId"`
	Regex string `json:"regularExpression"`
}

func groupKeyOf(r offsetrecord.Record) any {
	switch r.Kind {
	case offsetrecord.KindOffset:
		return offsetKey{r.Group, r.Topic, r.Partition}
	case offsetrecord.KindMetadata:
		return classicKey{r.Group}
	case offsetrecord.KindConsumerMember, offsetrecord.KindConsumerTargetMember, offsetrecord.KindConsumerCurrent:
		return memberKey{r.Group, r.Member}
	case offsetrecord.KindConsumerRegex:
		return regexKey{r.Group, r.Regex}
	}
	return groupKey{r.Group}
}

func groupValueOf(r offsetrecord.Record, value []byte) any {
	switch {
	case r.Offset != nil:
		return offsetOf(r.Offset, value[1])
	case r.Metadata != nil:
		return classicOf(r.Metadata)
	}
	switch body := r.Body.(type) {
	case *offsetrecord.ConsumerGroup:
		return consumerGroup{body.Epoch, tagged(body.MetadataHash, 0)}
	case *offsetrecord.ConsumerMember:
		return consumerMemberOf(body)
	case *offsetrecord.ConsumerTarget:
		return epochValue{body.Epoch, tagged(body.Timestamp, 0)}
	case *offsetrecord.ConsumerAssignment:
		return assignment{each(body.Topics, consumerPartitions)}
	case *offsetrecord.ConsumerCurrent:
		return consumerCurrent{body.Epoch, body.PreviousEpoch, body.State, each(body.Assigned, consumerPartitions), each(body.Revoking, consumerPartitions)}
	case *offsetrecord.ConsumerRegex:
		return consumerRegex{list(body.Topics), body.Version, body.Timestamp}
	}
	return struct{}{} // the value of a record that is only deleted nowadays is not kept
}

type offsetValue struct {
	Offset          int64   `json:"offset"`
	LeaderEpoch     *int32  `json:"leaderEpoch,omitempty"`
	Metadata        string  `json:"metadata"`
	CommitTimestamp int64   `json:"commitTimestamp"`
	ExpireTimestamp *int64  `json:"expireTimestamp,omitempty"`
	Topic           *string `json:"topicId,omitempty"`
}

// offsetOf has those fields that the version of the value has: the leader's epoch from 3 on, the time of expiry in 1 alone.
func offsetOf(o *offsetrecord.Offset, version byte) offsetValue {
	v := offsetValue{Offset: o.Offset, Metadata: o.Metadata, CommitTimestamp: o.CommitTimestamp}
	if version >= 3 {
		v.LeaderEpoch = &o.LeaderEpoch
	}
	if version == 1 {
		v.ExpireTimestamp = &o.ExpireTimestamp
	}
	if !o.TopicID.IsZero() {
		v.Topic = null(o.TopicID.String())
	}
	return v
}

type classicValue struct {
	ProtocolType   string          `json:"protocolType"`
	Generation     int32           `json:"generation"`
	Protocol       *string         `json:"protocol"`
	Leader         *string         `json:"leader"`
	StateTimestamp int64           `json:"currentStateTimestamp"`
	Members        []classicMember `json:"members"`
}

type classicMember struct {
	ID               string  `json:"memberId"`
	InstanceID       *string `json:"groupInstanceId"`
	ClientID         string  `json:"clientId"`
	ClientHost       string  `json:"clientHost"`
	RebalanceTimeout int32   `json:"rebalanceTimeout"`
	SessionTimeout   int32   `json:"sessionTimeout"`
	Subscription     []byte  `json:"subscription"`
	Assignment       []byte  `json:"assignment"`
}

func classicOf(m *offsetrecord.Metadata) classicValue {
	return classicValue{m.ProtocolType, m.Generation, null(m.Protocol), null(m.Leader), m.StateTimestamp, each(m.Members, func(x offsetrecord.Member) classicMember {
		return classicMember{x.ID, null(x.InstanceID), x.ClientID, x.ClientHost, x.RebalanceTimeoutMillis, x.SessionTimeoutMillis, list(x.Subscription), list(x.Assignment)}
	})}
}

type consumerGroup struct {
	Epoch int32  `json:"epoch"`
	Hash  *int64 `json:"metadataHash,omitempty"`
}

type consumerMember struct {
	InstanceID       *string        `json:"instanceId"`
	RackID           *string        `json:"rackId"`
	ClientID         string         `json:"clientId"`
	ClientHost       string         `json:"clientHost"`
	Topics           []string       `json:"subscribedTopicNames"`
	Regex            *string        `json:"subscribedTopicRegex"`
	RebalanceTimeout int32          `json:"rebalanceTimeoutMs"`
	Assignor         *string        `json:"serverAssignor"`
	Classic          *classicSpeech `json:"classicMemberMetadata,omitempty"`
}

type classicSpeech struct {
	SessionTimeout int32             `json:"sessionTimeoutMs"`
	Protocols      []classicProtocol `json:"supportedProtocols"`
}

type classicProtocol struct {
	Name     string `json:"name"`
	Metadata []byte `json:"metadata"`
}

func consumerMemberOf(m *offsetrecord.ConsumerMember) consumerMember {
	v := consumerMember{null(m.InstanceID), null(m.RackID), m.ClientID, m.ClientHost, list(m.Topics), null(m.Regex), m.RebalanceTimeoutMillis, null(m.Assignor), nil}
	if c := m.Classic; c != nil {
		v.Classic = &classicSpeech{c.SessionTimeoutMillis, each(c.Protocols, func(p offsetrecord.ClassicProtocol) classicProtocol {
			return classicProtocol{p.Name, list(p.Metadata)}
		})}
	}
	return v
}

type assignment struct {
	Topics []topicPartitions `json:"topicPartitions"`
}

type consumerCurrent struct {
	Epoch         int32             `json:"memberEpoch"`
	PreviousEpoch int32             `json:"previousMemberEpoch"`
	State         int8              `json:"state"`
	Assigned      []topicPartitions `json:"assignedPartitions"`
	Revoking      []topicPartitions `json:"partitionsPendingRevocation"`
}

func consumerPartitions(t offsetrecord.TopicPartitions) topicPartitions {
	return topicPartitions{t.ID.String(), list(t.Partitions), t.Epochs}
}

type consumerRegex struct {
	Topics    []string `json:"topics"`
	Version   int64    `json:"version"`
	Timestamp int64    `json:"timestamp"`
}
