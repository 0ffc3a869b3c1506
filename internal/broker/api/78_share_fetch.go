package api

// ShareFetch (key 78), versions 1-2: hands records out to a share consumer, and takes its acknowledgements (KIP-932).
//
// The records are whole batches, sent from where they are; the acquired ranges say which of them the consumer holds, and
// for how long. A fetch without any waits for the logs, and for records that come back, until max.wait. Sessions belong to
// the group and member, and end with their connection; what a member holds comes back then. Acknowledgements are
// persisted before they are answered.
//
// Partitions that this broker does not own are NOT_LEADER_OR_FOLLOWER, with the leader and where it is (KIP-951).
//
// 2: a strict limit of records, renewing of locks: with that nothing is fetched.
//
// Unlike Kafka, an unknown topic id is UNKNOWN_TOPIC_ID for its partitions and not UNKNOWN_SERVER_ERROR for the request, and an
// unknown acquire mode is INVALID_REQUEST.

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// Acquire modes of a ShareFetch.
const (
	acquireBatches = 0
	acquireExactly = 1
)

// sharePlan is what a ShareFetch asks for.
type sharePlan struct {
	key     sharepartition.SessionKey
	acks    []ackRequest
	added   []sharepartition.ID
	refused []sharepartition.Result // partitions that cannot be had
	gone    []sharepartition.ID
	fetch   []sharepartition.ID
	all     bool // name every partition, if none gives records
}

func (s *Server) shareFetch(ctx context.Context, c *Conn, h wire.RequestHeader, r kmsg.Request) (Reply, error) {
	req := r.(*kmsg.ShareFetchRequest)
	res := &wire.ShareFetchResponse{}
	plan, err := s.planShareFetch(ctx, c, req)
	if err != nil {
		res.Err = codeOf(err)
		return shareFetchReply(h, res), nil
	}
	res.LockMillis = int32(s.windows.Settings(plan.key.Group).Lock.Milliseconds())
	wait := s.acknowledge(ctx, plan.key.Group, plan.key.Member, plan.acks, req.IsRenewAck)
	var results []sharepartition.Result
	if len(plan.fetch) > 0 && !req.IsRenewAck {
		results = s.windows.Fetch(ctx, shareRequest(req, &plan))
	}
	acked := wait(ctx)
	if req.ShareSessionEpoch == sharepartition.SessionFinal {
		s.windows.Close(plan.key) //nolint:contextcheck // what is given back is written, whoever waits
	}
	s.fillShareFetch(c, res, &plan, results, acked)
	if err := ctx.Err(); err != nil {
		dropParts(res)
		return nil, err
	}
	return shareFetchReply(h, res), nil
}

func shareFetchReply(h wire.RequestHeader, res *wire.ShareFetchResponse) Reply {
	return func(context.Context) (wire.Response, bool, error) {
		return wire.EncodeShareFetchResponse(h, res), false, nil
	}
}

func dropParts(res *wire.ShareFetchResponse) {
	for i := range res.Topics {
		for j := range res.Topics[i].Partitions {
			for _, p := range res.Topics[i].Partitions[j].Records {
				if p.Done != nil {
					p.Done()
				}
			}
		}
	}
}

func shareRequest(req *kmsg.ShareFetchRequest, plan *sharePlan) sharepartition.Request {
	return sharepartition.Request{
		Group: plan.key.Group, Member: plan.key.Member, Partitions: plan.fetch,
		MaxWait: time.Duration(req.MaxWaitMillis) * time.Millisecond, MinBytes: int64(req.MinBytes), MaxBytes: int64(req.MaxBytes),
		MaxRecords: int64(req.MaxRecords), BatchSize: int64(req.BatchSize), Exact: req.ShareAcquireMode == acquireExactly,
	}
}

// planShareFetch checks the request and goes on with its session.
func (s *Server) planShareFetch(ctx context.Context, c *Conn, req *kmsg.ShareFetchRequest) (plan sharePlan, err error) {
	plan.key = sharepartition.SessionKey{Group: text(req.GroupID), Member: text(req.MemberID)}
	if err := s.refuseShareMember(c, plan.key); err != nil {
		return plan, err
	}
	if req.IsRenewAck && (req.MaxWaitMillis != 0 || req.MinBytes != 0 || req.MaxBytes != 0 || req.MaxRecords != 0) {
		return plan, kafka.InvalidRequest
	}
	s.planShareTopics(c, req, &plan)
	for _, t := range req.ForgottenTopicsData {
		for _, p := range t.Partitions {
			plan.gone = append(plan.gone, sharepartition.ID{Topic: t.TopicID, Partition: p})
		}
	}
	sessions := s.windows.Sessions()
	switch req.ShareSessionEpoch {
	case sharepartition.SessionFinal:
		err = sessions.Check(plan.key, req.ShareSessionEpoch)
		plan.refused = nil
	case sharepartition.SessionFirst:
		if len(plan.acks) > 0 {
			return plan, kafka.InvalidRequest
		}
		plan.fetch, plan.all = plan.added, true
		err = sessions.Open(ctx, plan.key, plan.added)
	default:
		plan.fetch, err = sessions.Advance(plan.key, req.ShareSessionEpoch, plan.added, plan.gone)
	}
	if err == nil && req.ShareAcquireMode != acquireBatches && req.ShareAcquireMode != acquireExactly {
		err = kafka.InvalidRequest
	}
	return plan, err
}

// refuseShareMember is the error for a client that may not use the group, or names no member that there could be.
func (s *Server) refuseShareMember(c *Conn, key sharepartition.SessionKey) error {
	switch {
	case key.Group == "":
		return kafka.InvalidRequest
	case !s.allow(c, auth.Read, auth.Group, key.Group):
		return kafka.GroupAuthorizationFailed
	case key.Member == "" || len(key.Member) > shareMemberIDMax:
		return kafka.InvalidRequest
	}
	return nil
}

// planShareTopics sorts the partitions of the request: those to fetch, those to acknowledge, those that cannot be had.
func (s *Server) planShareTopics(c *Conn, req *kmsg.ShareFetchRequest, plan *sharePlan) {
	view := s.topics.View()
	for i := range req.Topics {
		t := &req.Topics[i]
		refused := s.refuseShareTopic(c, view, t.TopicID)
		topic, _ := view.ByID(t.TopicID)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			id := sharepartition.ID{Topic: t.TopicID, Partition: p.Partition}
			err := refused
			if err == nil && !hasPartition(topic, p.Partition) {
				err = kafka.UnknownTopicOrPartition
			}
			if len(p.AcknowledgementBatches) > 0 {
				a := ackRequest{id: id, err: err}
				for _, b := range p.AcknowledgementBatches {
					a.acks = append(a.acks, share.Ack{First: b.FirstOffset, Last: b.LastOffset, Types: b.AcknowledgeTypes})
				}
				plan.acks = append(plan.acks, a)
			}
			if err != nil {
				plan.refused = append(plan.refused, sharepartition.Result{ID: id, Err: err})
				continue
			}
			plan.added = append(plan.added, id)
		}
	}
}

// refuseShareTopic is the error for a topic that the client may not read, or that is not there.
func (s *Server) refuseShareTopic(c *Conn, view *topics.View, id kafka.TopicID) error {
	t, ok := view.ByID(id)
	switch {
	case !ok:
		return kafka.UnknownTopicID
	case !s.allow(c, auth.Read, auth.Topic, t.Name):
		return kafka.TopicAuthorizationFailed
	}
	return nil
}

// fillShareFetch puts what the partitions gave and what became of acknowledgements together. Partitions with neither are
// left out, but for a session's first answer.
func (s *Server) fillShareFetch(c *Conn, res *wire.ShareFetchResponse, plan *sharePlan, results []sharepartition.Result, acked []ackResult) {
	out := shareAnswer{res: res, places: map[sharepartition.ID][2]int{}}
	none := true
	for i := range results {
		none = none && len(results[i].Acquired) == 0 && results[i].Err == nil
	}
	view := s.topics.View()
	for i := range results {
		r := &results[i]
		if len(r.Acquired) == 0 && r.Err == nil && !(plan.all && none) {
			continue
		}
		p := out.at(r.ID)
		if r.Err != nil {
			p.Err = shareError(s.moved(r.ID.Topic, r.Err))
			if p.Err == kafka.UnknownServerError {
				s.logger.Warn("share fetch failed", "group", plan.key.Group, "topic_id", r.ID.Topic, "partition", r.ID.Partition, "err", r.Err)
			}
		}
		for _, a := range r.Acquired {
			p.Acquired = append(p.Acquired, wire.AcquiredRecords{First: a.First, Last: a.Last, DeliveryCount: a.DeliveryCount})
		}
		for _, ch := range r.Chunks {
			p.Records = append(p.Records, wire.Part{Bytes: ch.Bytes, From: ch.From, Off: ch.Off, Len: ch.Len, Done: ch.Done})
		}
		if t, ok := view.ByID(r.ID.Topic); ok {
			s.metrics.fetched(t.Name, r.Bytes, r.Err != nil)
		}
	}
	for _, r := range plan.refused {
		out.at(r.ID).Err = codeOf(r.Err)
	}
	for _, a := range acked {
		p := out.at(a.id)
		p.AckErr, p.AckText = ackCode(a.err)
	}
	s.fillShareLeaders(c, view, res)
}

// fillShareLeaders says who leads the partitions that were asked of the wrong broker.
func (s *Server) fillShareLeaders(c *Conn, view *topics.View, res *wire.ShareFetchResponse) {
	leaders := s.hints(c, true)
	for i := range res.Topics {
		topic, _ := view.ByID(res.Topics[i].TopicID)
		for j := range res.Topics[i].Partitions {
			p := &res.Topics[i].Partitions[j]
			if l, ok := leaderHint(&leaders, topic, p.Partition, p.Err, p.AckErr); ok {
				p.Leader = wire.CurrentLeader{LeaderID: l.Broker, LeaderEpoch: l.Epoch}
			}
		}
	}
	res.Brokers = leaders.brokers()
}

// shareAnswer finds the place of a partition in an answer.
type shareAnswer struct {
	res    *wire.ShareFetchResponse
	places map[sharepartition.ID][2]int
}

// at returns the partition, new if need be. The pointer is good until the next call.
func (a *shareAnswer) at(id sharepartition.ID) *wire.ShareFetchPartition {
	place, ok := a.places[id]
	if !ok {
		n := len(a.res.Topics)
		if n == 0 || a.res.Topics[n-1].TopicID != id.Topic {
			n = -1
			for i := range a.res.Topics {
				if a.res.Topics[i].TopicID == id.Topic {
					n = i + 1
				}
			}
			if n < 0 {
				a.res.Topics = append(a.res.Topics, wire.ShareFetchTopic{TopicID: id.Topic})
				n = len(a.res.Topics)
			}
		}
		t := &a.res.Topics[n-1]
		t.Partitions = append(t.Partitions, wire.ShareFetchPartition{Partition: id.Partition})
		place = [2]int{n - 1, len(t.Partitions) - 1}
		a.places[id] = place
	}
	return &a.res.Topics[place[0]].Partitions[place[1]]
}
