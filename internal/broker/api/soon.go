package api

import (
	"context"
	"errors"
	"time"

	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// loadWait is how long a request waits, in all, for shards that this broker is loading.
const loadWait = time.Second

// patience is what is left of loadWait for one request. The zero value has all of it.
type patience struct{ end time.Time }

// logSoon is log for requests that can wait: a shard that is on its way to this broker is here in a moment, while a client that is
// refused may look for the leader again only after seconds, and find the same one.
func (s *Server) logSoon(ctx context.Context, t *topics.Topic, index int32, p *patience) (*partition.Log, error) {
	for {
		var changed <-chan struct{}
		if s.ownership != nil {
			changed = s.ownership() // before the look, so that nothing falls between
		}
		log, err := s.log(t, index)
		if changed == nil || !errors.Is(err, kafka.NotLeaderOrFollower) {
			return log, err
		}
		if view := s.cluster.View(); view.Leader(t.Shard(index)).Broker != view.Self {
			return log, err
		}
		if p.end.IsZero() {
			p.end = time.Now().Add(loadWait)
		}
		timer := time.NewTimer(time.Until(p.end))
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			return log, err
		case <-ctx.Done():
			timer.Stop()
			return log, err
		}
	}
}

// logSettled is logSoon for requests of tools, whose clients ask twice and then give up: a shard that is on its way, to this broker or from it, is waited
// for until somebody has it. Then the refusal sends the client where it is served.
func (s *Server) logSettled(ctx context.Context, t *topics.Topic, index int32, p *patience) (*partition.Log, error) {
	for {
		if s.ownership == nil || len(s.cluster.View().Assigned) == 0 { // alone
			return s.logSoon(ctx, t, index, p)
		}
		here, elsewhere := s.ownership(), s.cluster.Changed() // before the look, so that nothing falls between
		log, err := s.log(t, index)
		if !errors.Is(err, kafka.NotLeaderOrFollower) {
			return log, err
		}
		view := s.cluster.View()
		owner, wanted := view.Owner(t.Shard(index)).Broker, view.Wanted(t.Shard(index))
		if owner == wanted && owner != view.Self { // others have it, or nobody will
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
