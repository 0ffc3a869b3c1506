package api

// ListOffsets (key 2), versions 1-11.
//
// Timestamps below 0 are names: -1 latest (the last stable offset under read_committed, else the high watermark), -2
// earliest, -3 the record with the largest timestamp, -4 earliest local and -5 latest tiered and -6 earliest pending
// upload; without a tier -4 is the log start and -5 is none. Any other is looked up record by record; a time after the
// last record gives offset -1 without an error. A partition that is asked for twice is answered once, INVALID_REQUEST.
//
// Unlike Kafka's, a broker of a cluster asks the owner of a partition in a tool's stead: a request that names no leader epoch, as those of tools. They try
// again but not always: franz-go gives up if two brokers refuse one request.
//
// 1: one offset. 2: isolation level. 4: leader epochs. 6: flexible. 7: -3. 8: -4. 9: -5. 10: timeout. 11: -6.

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// Special timestamps of ListOffsets and the versions that know them.
const (
	timeLatest          = -1
	timeEarliest        = -2
	timeMax             = -3
	timeEarliestLocal   = -4
	timeLatestTiered    = -5
	timeEarliestPending = -6
)

var timeSince = map[int64]int16{timeLatest: 1, timeEarliest: 1, timeMax: 7, timeEarliestLocal: 8, timeLatestTiered: 9, timeEarliestPending: 11}

type topicIndex struct {
	topic string
	index int32
}

func (s *Server) listOffsets(ctx context.Context, c *Conn, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
	res := kmsg.NewPtrListOffsetsResponse()
	view := s.topics.View()
	times := map[topicIndex]int{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			times[topicIndex{t.Topic, p.Partition}]++
		}
	}
	answered := map[topicIndex]bool{}
	var wait patience
	for _, t := range req.Topics {
		topic, _ := view.ByName(t.Topic)
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		if !s.allow(c, auth.Describe, auth.Topic, t.Topic) {
			for _, p := range t.Partitions {
				out.Partitions = append(out.Partitions, noOffset(p.Partition, kafka.TopicAuthorizationFailed))
			}
			res.Topics = append(res.Topics, out)
			continue
		}
		for _, p := range t.Partitions {
			at := topicIndex{t.Topic, p.Partition}
			if answered[at] {
				continue
			}
			answered[at] = true
			a := noOffset(p.Partition, kafka.None)
			var f partition.Found
			err := error(kafka.InvalidRequest)
			if times[at] == 1 {
				f, err = s.listOffset(ctx, &wait, topic, &p, req.Version, req.IsolationLevel == 1)
			}
			if err != nil {
				a.ErrorCode = codeOf(err).Code()
			} else {
				a.Offset, a.Timestamp, a.LeaderEpoch = f.Offset, f.Timestamp, f.LeaderEpoch
			}
			out.Partitions = append(out.Partitions, a)
		}
		res.Topics = append(res.Topics, out)
	}
	s.listElsewhere(ctx, c, req, res)
	return res, nil
}

// listElsewhere asks the owners about the partitions that the answer refuses because others own them, and puts what they say in the place of that.
// What nobody answers in time stays refused. A broker that asks is answered for this broker's own alone.
func (s *Server) listElsewhere(ctx context.Context, c *Conn, req *kmsg.ListOffsetsRequest, res *kmsg.ListOffsetsResponse) {
	if s.away == nil || c.isBroker() {
		return
	}
	asked := map[topicIndex]kmsg.ListOffsetsRequestTopicPartition{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[topicIndex{t.Topic, p.Partition}] = p
		}
	}
	topics, at := s.topics.View(), s.cluster.View()
	refused := map[topicIndex]*kmsg.ListOffsetsResponseTopicPartition{}
	owners := map[int32][]kmsg.ListOffsetsRequestTopic{}
	for i := range res.Topics {
		t := &res.Topics[i]
		topic, known := topics.ByName(t.Topic)
		byOwner := map[int32][]kmsg.ListOffsetsRequestTopicPartition{}
		for j := range t.Partitions {
			p, key := &t.Partitions[j], topicIndex{t.Topic, t.Partitions[j].Partition}
			if !known || p.ErrorCode != kafka.NotLeaderOrFollower.Code() || asked[key].CurrentLeaderEpoch >= 0 {
				continue
			}
			if owner := at.Owner(topic.Shard(p.Partition)).Broker; owner != cluster.Nobody && owner != at.Self {
				byOwner[owner], refused[key] = append(byOwner[owner], asked[key]), p
			}
		}
		for owner, partitions := range byOwner {
			owners[owner] = append(owners[owner], kmsg.ListOffsetsRequestTopic{Topic: t.Topic, Partitions: partitions})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, endsTimeout)
	defer cancel()
	var asking sync.WaitGroup
	answers := make(chan *kmsg.ListOffsetsResponse, len(owners))
	for owner, topics := range owners {
		ask := *req
		ask.Topics = topics
		asking.Go(func() {
			answer, err := s.away.Ends(ctx, owner, &ask)
			if err != nil {
				s.logger.Debug("offsets of another broker's partitions could not be asked for", "broker", owner, "err", err)
				return
			}
			answers <- answer
		})
	}
	asking.Wait()
	close(answers)
	for answer := range answers {
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if to := refused[topicIndex{t.Topic, p.Partition}]; to != nil {
					*to = p
				}
			}
		}
	}
}

func noOffset(index int32, code kafka.Error) kmsg.ListOffsetsResponseTopicPartition {
	a := kmsg.NewListOffsetsResponseTopicPartition()
	a.Partition, a.Offset, a.Timestamp, a.LeaderEpoch, a.ErrorCode = index, -1, -1, -1, code.Code()
	return a
}

func (s *Server) listOffset(ctx context.Context, wait *patience, topic *topics.Topic, p *kmsg.ListOffsetsRequestTopicPartition, version int16, committed bool) (partition.Found, error) {
	none := partition.Found{Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	if p.Timestamp < 0 {
		if since, ok := timeSince[p.Timestamp]; !ok || version < since {
			return none, kafka.UnsupportedVersion
		}
	}
	log, err := s.logSettled(ctx, topic, p.Partition, wait)
	if err != nil {
		return none, err
	}
	o := log.Offsets()
	if err := checkLeaderEpoch(p.CurrentLeaderEpoch, o.LeaderEpoch); err != nil {
		return none, err
	}
	if !s.confident() {
		return none, kafka.NotLeaderOrFollower // there may be a newer owner, with newer records
	}
	limit := o.HighWatermark
	if committed {
		limit = o.LastStable
	}
	switch p.Timestamp {
	case timeLatest:
		return partition.Found{Offset: limit, Timestamp: -1, LeaderEpoch: o.LeaderEpoch}, nil
	case timeEarliest, timeEarliestLocal:
		epoch := log.EpochAt(o.LogStart)
		if epoch < 0 {
			epoch = o.LeaderEpoch // nothing was written yet
		}
		return partition.Found{Offset: o.LogStart, Timestamp: -1, LeaderEpoch: epoch}, nil
	case timeLatestTiered, timeEarliestPending:
		return none, nil
	case timeMax:
		found, err := log.MaxTimestamp(ctx, committed)
		return found, s.moved(topic.ID, err)
	}
	found, err := log.OffsetForTime(ctx, p.Timestamp, committed)
	return found, s.moved(topic.ID, err)
}

// checkLeaderEpoch compares the epoch that a client knows with the present one (KIP-320). -1 is no epoch.
func checkLeaderEpoch(client, present int32) error {
	switch {
	case client < 0 || client == present:
		return nil
	case client < present:
		return kafka.FencedLeaderEpoch
	}
	return kafka.UnknownLeaderEpoch
}
