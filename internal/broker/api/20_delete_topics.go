// DeleteTopics, key 20, versions 1 to 6.
//
// A deleted topic is gone for every request after the answer, and its name is free; the space comes back later.
//
//	v3  where delete.topic.enable is false, TOPIC_DELETION_DISABLED (before: INVALID_REQUEST)
//	v4  flexible
//	v5  errors come with a text
//	v6  topics by name or by id
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) deleteTopics(ctx context.Context, c *Conn, req *kmsg.DeleteTopicsRequest) (*kmsg.DeleteTopicsResponse, error) {
	res := kmsg.NewPtrDeleteTopicsResponse()
	asked := req.Topics
	if req.Version < 6 {
		asked = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i, name := range req.TopicNames {
			asked[i].Topic = new(name)
		}
	}
	answer := func(name *string, id kafka.TopicID, err error) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, codeOf(err).Code(), textOf(err)
		res.Topics = append(res.Topics, t)
	}
	if !topics.DeleteTopicEnable.Get(s.topics.Values()) {
		err := error(kafka.TopicDeletionDisabled)
		if req.Version < 3 {
			err = kafka.InvalidRequest
		}
		for i := range asked {
			answer(asked[i].Topic, asked[i].TopicID, err)
			res.Topics[i].ErrorMessage = nil // as Kafka has it
		}
		return res, nil
	}
	targets := s.admitDeletions(c, req.Version, s.deleteTargets(c, asked, answer), answer)
	for i, err := range s.topics.Delete(ctx, targets...) {
		t := targets[i]
		id := t.ID
		if err != nil {
			id = kafka.TopicID{} // it went between the look at the view and the deletion
		}
		answer(&t.Name, id, err)
	}
	return res, nil
}

// deleteTargets are the topics to be deleted. What is asked for wrongly or twice is answered here.
func (s *Server) deleteTargets(c *Conn, asked []kmsg.DeleteTopicsRequestTopic, answer func(*string, kafka.TopicID, error)) []topics.Target {
	names, ids := make(map[string]int, len(asked)), make(map[kafka.TopicID]int)
	for i := range asked {
		switch a := &asked[i]; {
		case a.Topic == nil:
			ids[a.TopicID]++
		case kafka.TopicID(a.TopicID).IsZero():
			names[*a.Topic]++
		}
	}
	view := s.topics.View()
	mayAll := s.mayCluster(c, auth.Delete)
	var out []topics.Target
	taken := make(map[kafka.TopicID]bool, len(asked))
	// Names come last: a topic that is asked for by name and by id counts as given twice, and is not deleted.
	for i := range asked {
		a := &asked[i]
		id := kafka.TopicID(a.TopicID)
		switch {
		case a.Topic == nil && id.IsZero():
			answer(nil, id, kafka.Errorf(kafka.InvalidRequest, "Neither topic name nor id were specified."))
		case a.Topic != nil && !id.IsZero():
			answer(a.Topic, id, kafka.Errorf(kafka.InvalidRequest, "You may not specify both topic name and topic id."))
		case a.Topic != nil || ids[id] == 0:
		case ids[id] > 1:
			ids[id] = 0 // answered once
			answer(nil, id, kafka.Errorf(kafka.InvalidRequest, "Duplicate topic id."))
		default:
			t, ok := view.ByID(id)
			if !ok {
				answer(nil, id, kafka.UnknownTopicID)
				continue
			}
			if !mayAll && !s.allow(c, auth.Delete, auth.Topic, t.Name) {
				var name *string // whoever may not describe the topic does not learn its name
				if s.may(c, auth.Describe, auth.Topic, t.Name) {
					name = &t.Name
				}
				answer(name, id, kafka.TopicAuthorizationFailed)
				continue
			}
			taken[id] = true
			out = append(out, topics.Target{Name: t.Name, ID: id})
		}
	}
	for i := range asked {
		a := &asked[i]
		if a.Topic == nil || !kafka.TopicID(a.TopicID).IsZero() || names[*a.Topic] == 0 {
			continue
		}
		if names[*a.Topic] > 1 {
			names[*a.Topic] = 0
			answer(a.Topic, kafka.TopicID{}, kafka.Errorf(kafka.InvalidRequest, "Duplicate topic name."))
			continue
		}
		t, ok := view.ByName(*a.Topic)
		describe := mayAll || s.allow(c, auth.Describe, auth.Topic, *a.Topic)
		switch {
		case !describe, ok && !mayAll && !s.allow(c, auth.Delete, auth.Topic, *a.Topic):
			answer(a.Topic, kafka.TopicID{}, kafka.TopicAuthorizationFailed)
		case !ok:
			answer(a.Topic, kafka.TopicID{}, kafka.UnknownTopicOrPartition)
		case taken[t.ID]:
			out = without(out, t.ID)
			answer(a.Topic, t.ID, kafka.Errorf(kafka.InvalidRequest, "The provided topic name maps to an ID that was already supplied."))
		default:
			out = append(out, topics.Target{Name: t.Name, ID: t.ID})
		}
	}
	return out
}

// admitDeletions takes the partitions of targets out of the client's quota and answers those that it has no room for.
func (s *Server) admitDeletions(c *Conn, version int16, targets []topics.Target, answer func(*string, kafka.TopicID, error)) []topics.Target {
	if !s.quotas.HasMutation() {
		return targets
	}
	account := s.mutations(c, version, deleteTopicsThrottled)
	view := s.topics.View()
	out := targets[:0]
	for _, target := range targets {
		n := 0
		if t, ok := view.ByID(target.ID); ok {
			n = int(t.Partitions)
		}
		if err := account.Take(n, s.now()); err != nil {
			answer(&target.Name, target.ID, err)
			continue
		}
		out = append(out, target)
	}
	c.hold(account.Throttle())
	return out
}

func without(list []topics.Target, id kafka.TopicID) []topics.Target {
	out := list[:0]
	for _, t := range list {
		if t.ID != id {
			out = append(out, t)
		}
	}
	return out
}
