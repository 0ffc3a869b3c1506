package api

import (
	"bytes"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// What the handlers of groups share. What goes into a group's state outlives the request: the strings of a decoded request
// are copies, but its byte fields point into the frame, and ownBytes copies them.

// operationsNotAsked stands for the operations on a group where the client did not ask.
const operationsNotAsked int32 = math.MinInt32

// codeOr returns the code of a request that could not be handled, or else that of its reply.
func codeOr(err error, code kafka.Error) int16 {
	if err != nil {
		return codeOf(err).Code()
	}
	return code.Code()
}

// text returns a nullable string; null and empty mean the same to groups.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func ownBytes(b []byte) []byte { return bytes.Clone(b) }

// nullable returns nil for an empty string.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

// hasPartition tells whether the topic is known and has the partition.
func hasPartition(t *topics.Topic, partition int32) bool {
	return t != nil && partition >= 0 && partition < t.Partitions
}

// topicOf finds the topic that a request names, by id in versions that do, by name in older ones, or nil.
func topicOf(view *topics.View, byID bool, name string, id [16]byte) *topics.Topic {
	var t *topics.Topic
	if byID {
		t, _ = view.ByID(kafka.TopicID(id))
	} else {
		t, _ = view.ByName(name)
	}
	return t
}

// clientHost is how Kafka writes the address of a member's client.
func (c *Conn) clientHost() string { return "/" + c.Peer }

func leavers(req *kmsg.LeaveGroupRequest) []group.Leaver {
	if req.Version < 3 {
		return []group.Leaver{{MemberID: req.MemberID}}
	}
	members := make([]group.Leaver, 0, len(req.Members))
	for i := range req.Members {
		m := &req.Members[i]
		members = append(members, group.Leaver{MemberID: m.MemberID, InstanceID: text(m.InstanceID), Reason: text(m.Reason)})
	}
	return members
}
