package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

const (
	// endsTimeout bounds how long a scrape waits for the ends of partitions that other brokers own.
	endsTimeout = time.Second
	// endsVersion is of ListOffsets as brokers ask each other: any that names partitions and answers one offset will do.
	endsVersion = 7
)

// highWatermarks returns that of each partition that a group has committed an offset of: of this broker's own partitions, and of others' as their owners say, one request to
// each. What nobody says in time is missing.
func (c *Collector) highWatermarks(ctx context.Context, view *topics.View, at *cluster.View, committed []group.CommittedOffset) map[topicIndex]int64 {
	out, remote := map[topicIndex]int64{}, map[int32]map[topicIndex]bool{}
	for _, o := range committed {
		t, ok := view.ByName(o.Topic)
		if !ok || o.Partition < 0 || o.Partition >= t.Partitions {
			continue
		}
		key, owner := topicIndex{o.Topic, o.Partition}, at.Owner(t.Shard(o.Partition)).Broker
		switch {
		case owner == at.Self:
			log, _ := c.offsets(t, o.Partition)
			out[key] = log.HighWatermark
		case owner != cluster.Nobody && c.server.away != nil:
			if remote[owner] == nil {
				remote[owner] = map[topicIndex]bool{}
			}
			remote[owner][key] = true
		}
	}
	ctx, cancel := context.WithTimeout(ctx, endsTimeout)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for owner, partitions := range remote {
		asking.Go(func() {
			res, err := c.server.away.Ends(ctx, owner, endsRequest(partitions))
			if err != nil {
				c.server.logger.Debug("lags of another broker's partitions are left out of this scrape", "broker", owner, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, t := range res.Topics {
				for _, p := range t.Partitions {
					if key := (topicIndex{t.Topic, p.Partition}); partitions[key] && p.ErrorCode == kafka.None.Code() {
						out[key] = p.Offset
					}
				}
			}
		})
	}
	asking.Wait()
	return out
}

// endsRequest asks for the high watermarks of partitions.
func endsRequest(partitions map[topicIndex]bool) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = endsVersion, -1
	sorted := make([]topicIndex, 0, len(partitions))
	for key := range partitions {
		sorted = append(sorted, key)
	}
	slices.SortFunc(sorted, func(a, b topicIndex) int { return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index)) })
	for _, key := range sorted {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != key.topic {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = key.topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = key.index, timeLatest, -1
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return req
}
