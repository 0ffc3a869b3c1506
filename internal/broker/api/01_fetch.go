package api

// Fetch (key 1), versions 4-18.
//
// Batches go out as the bytes that came in, from memory or straight from a file. A fetch that finds fewer than min.bytes
// waits for the logs, not for a timer, until max.wait; errors are answered at once. The first partition with data gives
// at least one whole batch whatever the limits (KIP-74). Partitions are served in the order of the request, in a session
// in turns. A fetch that waits on a log that another broker takes over is answered at once with NOT_LEADER_OR_FOLLOWER; the partition
// stays in its session, as in Kafka. What another broker owns is read here too, for clients of this broker's rack, where
// replica.selector.class asks for that: see away.go.
//
// 4: isolation level, aborted transactions. 5: log start offset. 7: sessions. 9: leader epochs. 11: rack. 12: flexible,
// last fetched epoch. 13: topic ids. 14: tiered storage. 15: replica state. 16: who leads what this broker does not own. 17: replica directory.
// 18: high watermark of the follower.

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// FetchMaxBytes bounds an answer whatever the client asks for.
var FetchMaxBytes = config.Int("fetch.max.bytes", 55<<20, config.AtLeast(1024), "Most bytes of records in the answer to a fetch.")

// AutoCreateTopics tells whether a Metadata request may create topics.
var AutoCreateTopics = config.Bool("auto.create.topics.enable", true, "Create a topic when a client asks for the metadata of one that does not exist.")

// Versions from which topics go by id, the id of a replica stands in a field of its own, and the answer may say who leads.
const (
	fetchVersionIDs          = 13
	fetchVersionReplicaState = 15
	fetchVersionLeaders      = 16
)

// fetchResult is what one partition gives.
type fetchResult struct {
	partition *fetchPartition
	code      kafka.Error
	read      partition.ReadResult
	diverging *partition.EpochStart
	log       *partition.Log
	topic     *topics.Topic
	// sent: the client shall ask the broker elsewhere.
	sent      bool
	elsewhere int32
}

func (s *Server) fetch(ctx context.Context, c *Conn, h wire.RequestHeader, r kmsg.Request) (Reply, error) {
	req := r.(*kmsg.FetchRequest)
	session, partitions, all, err := s.fetchPlan(h, req)
	if err != nil {
		return fetchReply(h, &wire.FetchResponse{Version: h.Version, Err: codeOf(err)}), nil
	}
	req.MaxBytes = int32(min(int64(req.MaxBytes), s.quotas.FetchBytes(c.client())))
	results := s.awaitFetch(ctx, c, req, partitions, s.fetchRights(c, req, partitions))
	res := &wire.FetchResponse{Version: h.Version}
	throttled, millis := s.throttleFetch(c, results)
	if res.ThrottleMillis = millis; throttled {
		if session != nil && !all {
			res.SessionID = session.id
		} else if session != nil {
			s.sessions.drop(session.id) // the client begins one anew
		}
		return fetchReply(h, res), nil
	}
	if session != nil {
		res.SessionID = session.id
		results = session.filter(results, all)
	}
	s.fillFetch(c, res, results)
	return fetchReply(h, res), nil
}

func fetchReply(h wire.RequestHeader, res *wire.FetchResponse) Reply {
	return func(context.Context) (wire.Response, bool, error) {
		return wire.EncodeFetchResponse(h, res), false, nil
	}
}

// fetchPlan finds the session and the partitions that the request speaks of. all says that the answer must name every
// partition, changed or not.
func (s *Server) fetchPlan(h wire.RequestHeader, req *kmsg.FetchRequest) (session *fetchSession, partitions []*fetchPartition, all bool, err error) {
	withIDs := h.Version >= fetchVersionIDs
	for i := range req.Topics {
		t := &req.Topics[i]
		for _, p := range t.Partitions {
			f := &fetchPartition{FetchRequestTopicPartition: p}
			if withIDs {
				f.topicID = t.TopicID
			} else {
				f.topic = t.Topic
			}
			partitions = append(partitions, f)
		}
	}
	if h.Version < 7 || req.SessionEpoch == sessionEpochFinal || req.SessionEpoch == sessionEpochFirst {
		if req.SessionID != sessionNone {
			s.sessions.drop(req.SessionID)
		}
		if h.Version >= 7 && req.SessionEpoch == sessionEpochFirst {
			session = s.sessions.create(partitions, withIDs)
		}
		return session, partitions, true, nil
	}
	if session, err = s.sessions.get(req.SessionID); err != nil {
		return nil, nil, false, err
	}
	var forgotten []fetchKey
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			k := fetchKey{topic: t.Topic, partition: p}
			if withIDs {
				k = fetchKey{id: t.TopicID, partition: p}
			}
			forgotten = append(forgotten, k)
		}
	}
	partitions, err = session.advance(req.SessionEpoch, partitions, forgotten, withIDs)
	return session, partitions, false, err
}

// deniedFetches are the topics of a fetch that the client may not read, by name or by id as the request has them, and why: ids that
// were not known when it was asked are among them, since nobody has said that they may be read.
type deniedFetches map[fetchKey]kafka.Error

// of returns why a partition is not read; None if it may be.
func (d deniedFetches) of(p *fetchPartition) kafka.Error {
	if len(d) == 0 {
		return kafka.None
	}
	return d[fetchKey{topic: p.topic, id: p.topicID}]
}

// fetchRights asks once for each topic what the client may read. A fetch in the name of a replica is for brokers: it takes
// ClusterAction, and nothing else is asked. Ids are no secret: one that is unknown is not asked for.
func (s *Server) fetchRights(c *Conn, req *kmsg.FetchRequest, partitions []*fetchPartition) deniedFetches {
	if s.open() {
		return nil
	}
	view := s.topics.View()
	replica := fetchReplica(req) >= 0
	allowed := !replica || s.allowCluster(c, auth.ClusterAction)
	var denied deniedFetches
	var last fetchKey // the partitions of a topic mostly stand together
	for i, p := range partitions {
		key := fetchKey{topic: p.topic, id: p.topicID}
		if i > 0 && key == last {
			continue
		}
		last = key
		name, code := p.topic, kafka.TopicAuthorizationFailed
		if name == "" {
			topic, ok := view.ByID(p.topicID)
			switch {
			case ok:
				name = topic.Name
			case !replica:
				code = kafka.UnknownTopicID
			}
		}
		if allowed && (replica || code != kafka.UnknownTopicID && s.allow(c, auth.Read, auth.Topic, name)) {
			continue
		}
		if denied == nil {
			denied = deniedFetches{}
		}
		denied[key] = code
	}
	return denied
}

// fetchReplica is the id of the replica that a fetch says it is of, or -1.
func fetchReplica(req *kmsg.FetchRequest) int32 {
	if req.Version >= fetchVersionReplicaState {
		return req.ReplicaState.ID
	}
	return req.ReplicaID
}

// awaitFetch reads, and where that gives too little waits for more and reads again.
func (s *Server) awaitFetch(ctx context.Context, c *Conn, req *kmsg.FetchRequest, partitions []*fetchPartition, denied deniedFetches) []fetchResult {
	f := s.fetching(c, req)
	before := s.topics.View()
	results, reads, bytes, final := s.readAll(ctx, f, partitions, denied, true)
	if slices.ContainsFunc(results, func(r fetchResult) bool { return r.topic == nil && r.code != kafka.TopicAuthorizationFailed }) {
		s.topics.LookAgain(ctx) // another broker may have made it just now
		if s.topics.View() != before {
			for i := range results {
				results[i].read.Drop()
			}
			denied = s.fetchRights(c, req, partitions)
			results, reads, bytes, final = s.readAll(ctx, f, partitions, denied, true)
		}
	}
	if final || bytes >= int64(req.MinBytes) || req.MaxWaitMillis <= 0 || len(partitions) == 0 {
		return results
	}
	w := partition.NewWaiter(int64(req.MinBytes) - bytes)
	for i := range results {
		if log := results[i].log; log != nil {
			log.Watch(w, results[i].read.NextOffset, req.IsolationLevel == 1)
		}
	}
	s.watchAway(ctx, f, reads, results, w)
	asleep := s.now()
	timer := time.NewTimer(time.Duration(req.MaxWaitMillis) * time.Millisecond)
	select {
	case <-w.C:
	case <-timer.C:
	case <-ctx.Done():
	}
	timer.Stop()
	c.pause(s.now().Sub(asleep))
	for i := range results {
		if log := results[i].log; log != nil {
			log.Unwatch(w)
		}
		results[i].read.Drop()
	}
	results, _, _, _ = s.readAll(context.WithoutCancel(ctx), f, partitions, denied, false)
	return results
}

// readAll reads the partitions in order, after those of this broker the ones in away that others own. final says that waiting cannot
// help, as there is an error to tell, or that it was waited already: with wait the owner does that, if there is one alone.
func (s *Server) readAll(ctx context.Context, req *fetching, partitions []*fetchPartition, denied deniedFetches, wait bool) (results []fetchResult, away awayReads, bytes int64, final bool) {
	view := s.topics.View()
	left := min(int64(req.MaxBytes), int64(FetchMaxBytes.Get(s.topics.Values())))
	if req.Version < 3 {
		left = int64(FetchMaxBytes.Get(s.topics.Values()))
	}
	results = make([]fetchResult, len(partitions))
	for i, p := range partitions {
		r := &results[i]
		r.partition = p
		var err error
		if code := denied.of(p); code != kafka.None {
			err = code
		} else {
			err = s.readPartition(ctx, view, req, r, partition.ReadRequest{
				Offset: p.FetchOffset, MaxBytes: min(left, int64(p.PartitionMaxBytes)),
				AtLeastOne: bytes == 0, Committed: req.IsolationLevel == 1,
			})
		}
		if errors.Is(err, kafka.NotLeaderOrFollower) {
			if owner, ok := s.ownerAway(req, r.topic, p.Partition); ok {
				if away == nil {
					away = awayReads{}
				}
				away[owner] = append(away[owner], i)
				continue
			}
		}
		if err != nil {
			r.code = codeOf(err)
			if r.code == kafka.UnknownTopicOrPartition && p.topic == "" && r.topic == nil {
				r.code = kafka.UnknownTopicID
			}
			r.read = partition.ReadResult{Offsets: partition.Offsets{LogStart: -1, HighWatermark: -1, LastStable: -1}}
			if codeOf(err) == kafka.UnknownServerError {
				s.logger.Error("fetch failed", "topic", p.topic, "partition", p.Partition, "offset", p.FetchOffset, "err", err)
			}
		}
		if r.code != kafka.None || r.diverging != nil || r.sent {
			final = true
		}
		bytes += r.read.Bytes
		left -= r.read.Bytes
	}
	if len(away) == 0 {
		return results, nil, bytes, final
	}
	alone := wait && len(away) == 1
	for _, list := range away {
		alone = alone && len(list) == len(partitions)
	}
	bytes, wrong := s.readAway(ctx, req, away, results, bytes, left, alone)
	return results, away, bytes, final || wrong || alone
}

func (s *Server) readPartition(ctx context.Context, view *topics.View, f *fetching, r *fetchResult, req partition.ReadRequest) error {
	p := r.partition
	topic, ok := view.ByName(p.topic)
	if p.topic == "" {
		topic, ok = view.ByID(p.topicID)
	}
	if !ok {
		return kafka.UnknownTopicOrPartition
	}
	r.topic = topic
	log, err := s.log(topic, p.Partition)
	if err != nil {
		return err
	}
	r.log = log
	o := log.Offsets()
	if err := checkLeaderEpoch(p.CurrentLeaderEpoch, o.LeaderEpoch); err != nil {
		return err
	}
	if p.LastFetchedEpoch >= 0 {
		epoch, end := log.EpochEnd(p.LastFetchedEpoch)
		if end < 0 {
			return kafka.OffsetOutOfRange
		}
		if epoch < p.LastFetchedEpoch || end < p.FetchOffset {
			r.diverging = &partition.EpochStart{Epoch: epoch, Start: end}
			r.read.Offsets = o
			return nil
		}
	}
	if to, ok := s.elsewhere(f, topic, p.Partition); ok {
		r.sent, r.elsewhere, r.read.Offsets = true, to, o
		return nil
	}
	if f.places {
		r.read, err = log.Places(req)
	} else {
		r.read, err = log.Read(ctx, req)
	}
	return s.moved(topic.ID, err)
}

// fillFetch turns results, which are in the order of service, into the answer's topics.
func (s *Server) fillFetch(c *Conn, res *wire.FetchResponse, results []fetchResult) {
	leaders := s.hints(c, res.Version >= fetchVersionLeaders)
	for i := range results {
		r := &results[i]
		p := r.partition
		if n := len(res.Topics); n == 0 || res.Topics[n-1].Topic != p.topic || res.Topics[n-1].TopicID != p.topicID {
			res.Topics = append(res.Topics, wire.FetchTopic{Topic: p.topic, TopicID: p.topicID})
		}
		t := &res.Topics[len(res.Topics)-1]
		out := wire.NewFetchPartition(p.Partition, r.code)
		out.HighWatermark, out.LastStableOffset, out.LogStartOffset = r.read.HighWatermark, r.read.LastStable, r.read.LogStart
		if r.sent {
			out.PreferredReadReplica = r.elsewhere
		}
		for _, a := range r.read.Aborted {
			out.Aborted = append(out.Aborted, wire.AbortedTransaction(a))
		}
		if r.read.Aborted != nil && out.Aborted == nil {
			out.Aborted = []wire.AbortedTransaction{}
		}
		if r.diverging != nil {
			out.DivergingEpoch = &wire.EpochEnd{Epoch: r.diverging.Epoch, EndOffset: r.diverging.Start}
		}
		for _, c := range r.read.Chunks {
			out.Records = append(out.Records, wire.Part{Bytes: c.Bytes, From: c.From, Off: c.Off, Len: c.Len, Done: c.Done})
		}
		if l, ok := leaderHint(&leaders, r.topic, p.Partition, r.code); ok {
			out.CurrentLeader = &wire.CurrentLeader{LeaderID: l.Broker, LeaderEpoch: l.Epoch}
		}
		t.Partitions = append(t.Partitions, out)
		if r.topic != nil && !c.isBroker() {
			s.metrics.fetched(r.topic.Name, r.read.Bytes, r.code != kafka.None)
		}
	}
	res.Brokers = leaders.brokers()
}
