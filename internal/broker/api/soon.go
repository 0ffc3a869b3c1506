package api

import (
	"context"
	"errors"
	"time"

	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// loadWait is how long a request waits, in all, for shards that this broker is loading.
const loadWait = time.Second

// patience is what is left of loadWait for one request. The zero value has all of it.
type patience struct{ end time.Time }

// logSoon is log for requests that can wait: a shard that is on its way to this broker is here in a moment, while a client that is
// refused may look for the leader again only after seconds, and find the same one. At the broker that gives it away the request waits until the
// cluster knows: then the refusal names who is next, and before that it would send the client back here.
func (s *Server) logSoon(ctx context.Context, t *topics.Topic, index int32, p *patience) (*partition.Log, error) {
	return s.logWhen(ctx, t, index, p, func(view *cluster.View, shard int32) bool {
		return view.Leader(shard).Broker == view.Self || view.Wanted(shard) == view.Self // who sent the client here may have heard of the release first
	})
}

// logSettled is logSoon for requests of tools, whose clients ask twice and then give up: a shard that is on its way, to this broker or from it, is waited
// for until somebody has it. Then the refusal sends the client where it is served.
func (s *Server) logSettled(ctx context.Context, t *topics.Topic, index int32, p *patience) (*partition.Log, error) {
	if len(s.cluster.View().Assigned) == 0 { // alone
		return s.logSoon(ctx, t, index, p)
	}
	return s.logWhen(ctx, t, index, p, func(view *cluster.View, shard int32) bool {
		owner, wanted := view.Owner(shard).Broker, view.Wanted(shard)
		return owner != wanted || owner == view.Self // else others have it, or nobody will
	})
}

// logWhen is log, and waits for as long as moves says that it is worth it and patience lasts. It looks again whenever this broker gets or loses a
// shard, and whenever the view of the cluster changes: what is waited for may come by either.
func (s *Server) logWhen(ctx context.Context, t *topics.Topic, index int32, p *patience, moves func(view *cluster.View, shard int32) bool) (*partition.Log, error) {
	for {
		if s.ownership == nil {
			return s.log(t, index)
		}
		here, elsewhere := s.ownership(), s.cluster.Changed() // before the look, so that nothing falls between
		log, err := s.log(t, index)
		if !errors.Is(err, kafka.NotLeaderOrFollower) || !moves(s.cluster.View(), t.Shard(index)) {
			return log, err
		}
		if p.end.IsZero() {
			p.end = time.Now().Add(loadWait)
		}
		timer := time.NewTimer(time.Until(p.end))
		select {
		case <-here:
		case <-elsewhere:
		case <-timer.C:
			return log, err
		case <-ctx.Done():
			timer.Stop()
			return log, err
		}
		timer.Stop()
	}
}
