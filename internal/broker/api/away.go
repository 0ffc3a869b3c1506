package api

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// Away is what this broker asks the owners of partitions. Clients read here what another owns (KIP-392): the owner says where the batches lie in the
// object store, and this broker fetches them.
type Away interface {
	// Ask sends a fetch to another broker, which answers with places in the stead of batches.
	Ask(ctx context.Context, broker int32, req *kmsg.FetchRequest) (*kmsg.FetchResponse, error)
	// Ends asks another broker for offsets of its partitions.
	Ends(ctx context.Context, broker int32, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error)
	// ReadPlaces is shard.Store's.
	ReadPlaces(ctx context.Context, topic kafka.TopicID, index int32, places []byte, req partition.ReadRequest) (partition.ReadResult, error)
}

// Names of Kafka's two selectors.
const (
	leaderSelector = "org.apache.kafka.common.replica.LeaderSelector"
	rackSelector   = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
)

// ReplicaSelector decides whether consumers are sent to a broker of their rack.
var ReplicaSelector = config.String("replica.selector.class", "", config.NoDefault, config.OneOf("", leaderSelector, rackSelector),
	"Where consumers that name their rack (client.rack) read: with "+rackSelector+" any broker of that rack serves them, from the object store, so that records cross from rack to rack once and not once for each consumer; else the owner of the partition does.")

// awayVersion is the version of the fetches that brokers send each other.
const awayVersion = 17

// awayWaitMax bounds for how long the owner is asked to wait.
const awayWaitMax = 10_000

// fetching is how one fetch is served.
type fetching struct {
	*kmsg.FetchRequest

	conn *Conn
	// places: another broker asks, and gets places. near: what others own is read here too, for clients of this rack. nearer: who
	// is of another rack is sent to a broker there.
	places, near, nearer bool
}

func (s *Server) fetching(c *Conn, req *kmsg.FetchRequest) *fetching {
	f := &fetching{FetchRequest: req, conn: c}
	if replica := fetchReplica(req) >= 0; replica || req.Rack == "" {
		f.places = replica && c.isBroker()
		return f
	}
	if !s.rackAware() {
		return f
	}
	view := s.cluster.View()
	if self, ok := view.Broker(view.Self); ok {
		f.near, f.nearer = self.Rack == req.Rack, self.Rack != req.Rack
	}
	return f
}

// elsewhere returns the broker of the client's rack that is to serve the partition.
func (s *Server) elsewhere(f *fetching, t *topics.Topic, index int32) (int32, bool) {
	if !f.nearer {
		return 0, false
	}
	id := readerIn(s.cluster.View(), f.Rack, f.conn.Listener, t.Shard(index))
	return id, id != cluster.Nobody
}

// rackAware says whether brokers read what others own.
func (s *Server) rackAware() bool {
	return s.away != nil && ReplicaSelector.Get(s.topics.Values()) == rackSelector
}

// readerIn returns the broker of a rack that serves a shard to the clients of a listener there: always the same one, by highest random
// weight, so that the rack fetches each object once. Nobody if there is none.
func readerIn(view *cluster.View, rack, listener string, shard int32) int32 {
	best, most := cluster.Nobody, uint64(0)
	for i := range view.Brokers {
		b := &view.Brokers[i]
		if _, reachable := b.Endpoint(listener); b.Rack != rack || b.Draining || !reachable {
			continue
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte{byte(shard), byte(shard >> 8), byte(shard >> 16), byte(b.ID), byte(b.ID >> 8), byte(b.ID >> 16)}) // never fails
		if sum := h.Sum64(); best == cluster.Nobody || sum > most {
			best, most = b.ID, sum
		}
	}
	return best
}

// readers returns the brokers that serve a shard in racks other than the owner's, ascending. Clients only go to brokers that metadata
// lists among the replicas.
func readers(view *cluster.View, listener string, shard, owner int32) []int32 {
	var racks []string
	if o, ok := view.Broker(owner); ok {
		racks = append(racks, o.Rack)
	}
	var ids []int32
	for i := range view.Brokers {
		rack := view.Brokers[i].Rack
		if rack == "" || slices.Contains(racks, rack) {
			continue
		}
		racks = append(racks, rack)
		if id := readerIn(view, rack, listener, shard); id != cluster.Nobody && id != owner {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// ownerAway returns who is to be asked for a partition that this broker does not own.
func (s *Server) ownerAway(f *fetching, t *topics.Topic, index int32) (int32, bool) {
	if !f.near {
		return 0, false
	}
	view := s.cluster.View()
	owner := view.Owner(t.Shard(index)).Broker
	return owner, owner != cluster.Nobody && owner != view.Self
}

// awayReads are the results, by their place in the answer, that owners are asked for.
type awayReads map[int32][]int

// readAway fills in what other brokers own. Every owner is asked for its partitions at once; with wait it may take the time that the
// client gives, until it has as many bytes as the client wants.
func (s *Server) readAway(ctx context.Context, f *fetching, reads awayReads, results []fetchResult, bytes, left int64, wait bool) (sum int64, final bool) {
	type answer struct {
		owner int32
		res   *kmsg.FetchResponse
		err   error
	}
	answers := make(chan answer, len(reads))
	for owner, list := range reads {
		go func() {
			res, err := s.away.Ask(ctx, owner, s.askAway(f, results, list, left, wait))
			answers <- answer{owner, res, err}
		}()
	}
	for range len(reads) {
		a := <-answers
		list := reads[a.owner]
		parts := partitionsOf(a.res)
		if a.err == nil && (a.res.ErrorCode != 0 || len(parts) != len(list)) {
			a.err = errors.Join(kafka.Error(a.res.ErrorCode).Err(), errAway)
		}
		for n, i := range list {
			r := &results[i]
			err := a.err
			if err == nil {
				err = s.takeAway(ctx, f, r, parts[n], bytes, left)
			}
			if err != nil {
				s.logger.Debug("read of another broker's partition failed", "topic", r.topic.Name, "partition", r.partition.Partition, "owner", a.owner, "err", err)
				if r.code = codeOf(err); a.err != nil {
					r.code = kafka.NotLeaderOrFollower // the client goes back to the owner
				}
				r.read = partition.ReadResult{Offsets: partition.Offsets{LogStart: -1, HighWatermark: -1, LastStable: -1}}
			}
			final = final || r.code != kafka.None || r.diverging != nil
			bytes, left = bytes+r.read.Bytes, left-r.read.Bytes
		}
	}
	return bytes, final
}

// errAway is for an answer that does not fit what was asked.
var errAway = errors.New("the answer does not name what was asked for")

// askAway is the request for some of the results.
func (s *Server) askAway(f *fetching, results []fetchResult, list []int, left int64, wait bool) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.IsolationLevel, req.SessionEpoch = awayVersion, f.IsolationLevel, sessionEpochFinal
	req.ReplicaState.ID = s.cluster.View().Self
	req.MaxBytes, req.MinBytes = int32(max(left, 1)), 0
	if wait {
		req.MaxWaitMillis, req.MinBytes = min(f.MaxWaitMillis, awayWaitMax), f.MinBytes
	}
	for _, i := range list {
		r := &results[i]
		if n := len(req.Topics); n == 0 || req.Topics[n-1].TopicID != r.topic.ID {
			t := kmsg.NewFetchRequestTopic()
			t.TopicID = r.topic.ID
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, r.partition.FetchRequestTopicPartition)
	}
	return req
}

// partitionsOf lists the partitions of an answer in its order.
func partitionsOf(res *kmsg.FetchResponse) []*kmsg.FetchResponseTopicPartition {
	if res == nil {
		return nil
	}
	var out []*kmsg.FetchResponseTopicPartition
	for i := range res.Topics {
		for j := range res.Topics[i].Partitions {
			out = append(out, &res.Topics[i].Partitions[j])
		}
	}
	return out
}

// takeAway turns what an owner says of a partition into a result.
func (s *Server) takeAway(ctx context.Context, f *fetching, r *fetchResult, p *kmsg.FetchResponseTopicPartition, bytes, left int64) error {
	if p.Partition != r.partition.Partition {
		return errAway
	}
	if err := kafka.Error(p.ErrorCode).Err(); err != nil {
		return err
	}
	offsets := partition.Offsets{LogStart: p.LogStartOffset, HighWatermark: p.HighWatermark, LastStable: p.LastStableOffset}
	r.read = partition.ReadResult{Offsets: offsets, NextOffset: r.partition.FetchOffset}
	if f.IsolationLevel == 1 {
		r.read.Aborted = []partition.AbortedTxn{}
	}
	if d := p.DivergingEpoch; d.Epoch >= 0 {
		r.diverging = &partition.EpochStart{Epoch: d.Epoch, Start: d.EndOffset}
		return nil
	}
	if len(p.RecordBatches) == 0 {
		return nil
	}
	read, err := s.away.ReadPlaces(ctx, r.topic.ID, p.Partition, p.RecordBatches, partition.ReadRequest{
		Offset: r.partition.FetchOffset, MaxBytes: min(left, int64(r.partition.PartitionMaxBytes)), AtLeastOne: bytes == 0, Committed: f.IsolationLevel == 1,
	})
	if err != nil {
		return err
	}
	read.Offsets = offsets
	r.read = read
	return nil
}

// watchAway has w woken when one of the owners has something new. Nobody waits for the others' answers, which come when the client's time
// is over: to break them off would cost the connections.
func (s *Server) watchAway(ctx context.Context, f *fetching, reads awayReads, results []fetchResult, w *partition.Waiter) {
	for owner, list := range reads {
		req := s.askAway(f, results, list, 1, true)
		req.MinBytes = 1
		go func() {
			res, err := s.away.Ask(ctx, owner, req)
			if err != nil || res.ErrorCode != 0 {
				w.Wake()
				return
			}
			for _, p := range partitionsOf(res) {
				if p.ErrorCode != 0 || len(p.RecordBatches) > 0 {
					w.Wake()
				}
			}
		}()
	}
}
