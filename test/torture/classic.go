package torture

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicProtocol gives everything up before each rebalance (eager). Its leader divides partitions by range.
type classicProtocol struct {
	leads      bool
	partitions int // that the leader knows of
	looked     time.Time
}

// join joins, synchronizes, and takes what the leader gave.
func (c *classicProtocol) join(ctx context.Context, m *member) error {
	m.giveUp()
	m.joined = false
	if _, err := m.findTopic(ctx); err != nil {
		return err
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = m.group, m.id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(rebalance.Milliseconds())
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{m.topic}
	offer := kmsg.NewJoinGroupRequestProtocol()
	offer.Name, offer.Metadata = "range", metadata.AppendTo(nil)
	req.Protocols = append(req.Protocols, offer)
	res, err := send(ctx, m, req, &kmsg.JoinGroupResponse{})
	if err != nil {
		return err
	}
	if errors.Is(kerr.ErrorForCode(res.ErrorCode), kerr.MemberIDRequired) {
		m.id = res.MemberID
		req.MemberID = m.id
		if res, err = send(ctx, m, req, &kmsg.JoinGroupResponse{}); err != nil {
			return err
		}
	}
	if err := gone(res.ErrorCode); err != nil {
		return err
	}
	m.id, m.epoch, c.leads = res.MemberID, res.Generation, res.LeaderID == res.MemberID
	return c.sync(ctx, m, res)
}

func (c *classicProtocol) sync(ctx context.Context, m *member, joined *kmsg.JoinGroupResponse) error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.id, m.epoch
	kind, name := "consumer", "range"
	req.ProtocolType, req.Protocol = &kind, &name
	if c.leads {
		var err error
		if c.partitions, err = m.findTopic(ctx); err != nil {
			return err
		}
		var ids []string
		for _, x := range joined.Members {
			ids = append(ids, x.MemberID)
		}
		slices.Sort(ids)
		for i, id := range ids {
			plan := kmsg.NewConsumerMemberAssignment()
			topic := kmsg.NewConsumerMemberAssignmentTopic()
			topic.Topic = m.topic
			for p := i * c.partitions / len(ids); p < (i+1)*c.partitions/len(ids); p++ {
				topic.Partitions = append(topic.Partitions, int32(p))
			}
			plan.Topics = append(plan.Topics, topic)
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID, a.MemberAssignment = id, plan.AppendTo(nil)
			req.GroupAssignment = append(req.GroupAssignment, a)
		}
	}
	sent := time.Now()
	res, err := send(ctx, m, req, &kmsg.SyncGroupResponse{})
	if err == nil {
		err = gone(res.ErrorCode)
	}
	if err != nil {
		return err
	}
	m.lives(sent)
	m.joined = true
	var mine kmsg.ConsumerMemberAssignment
	if err := mine.ReadFrom(res.MemberAssignment); err != nil || len(mine.Topics) == 0 {
		return err
	}
	return m.take(ctx, mine.Topics[0].Partitions)
}

func (c *classicProtocol) beat(ctx context.Context, m *member) error {
	if c.leads && time.Since(c.looked) > time.Second {
		c.looked = time.Now()
		if n, err := m.findTopic(ctx); err == nil && n != c.partitions {
			return c.join(ctx, m)
		}
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.id, m.epoch
	sent := time.Now()
	res, err := send(ctx, m, req, &kmsg.HeartbeatResponse{})
	if err != nil {
		return err
	}
	switch err := gone(res.ErrorCode); {
	case errors.Is(err, kerr.RebalanceInProgress):
		return c.join(ctx, m)
	case err != nil:
		return err
	}
	m.lives(sent)
	return m.position(ctx)
}

func (c *classicProtocol) leave(ctx context.Context, m *member) error {
	m.giveUp()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	leaving := kmsg.NewLeaveGroupRequestMember()
	leaving.MemberID = m.id
	req.Members = append(req.Members, leaving)
	_, err := send(ctx, m, req, &kmsg.LeaveGroupResponse{})
	return err
}
