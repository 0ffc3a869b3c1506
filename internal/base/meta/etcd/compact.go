package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// compaction decides what to forget: pure, so that time can be played with.
type compaction struct {
	retention time.Duration
	samples   []sample // sorted; of the last retention, and the one before
}

// sample says which revision was the last at a time.
type sample struct {
	at       time.Time
	revision int64
}

// add notes the present revision.
func (c *compaction) add(now time.Time, revision int64) {
	c.samples = append(c.samples, sample{now, revision})
	keep := 0
	for keep+1 < len(c.samples) && now.Sub(c.samples[keep+1].at) >= c.retention {
		keep++
	}
	c.samples = append(c.samples[:0], c.samples[keep:]...)
}

// due is the newest revision that is at least as old as the retention, 0 if none is known to be.
func (c *compaction) due(now time.Time) int64 {
	if len(c.samples) == 0 || now.Sub(c.samples[0].at) < c.retention {
		return 0
	}
	return c.samples[0].revision
}

// compactorKey is held, under the lease of its session, by the store that compacts.
const compactorKey = "compactor"

// compact runs until the store is closed. Every store that may compact takes samples; the one that holds the key does
// it, twice in a retention.
func (s *Store) compact() {
	c := &compaction{retention: s.o.Retention}
	const turns = 5 // samples between two compactions
	t := time.NewTicker(max(s.o.Retention/(2*turns), 10*time.Millisecond))
	defer t.Stop()
	var last int64
	for turn := 1; ; turn++ {
		select {
		case <-t.C:
		case <-s.life.Done():
			return
		}
		now := time.Now()
		revision, err := s.revision(s.life)
		if err != nil {
			continue // only the end of the store is an error here
		}
		c.add(now, revision)
		due := c.due(now)
		if turn%turns != 0 || due <= last {
			continue
		}
		forgot, err := s.forget(s.life, due)
		if errors.Is(err, rpctypes.ErrPermissionDenied) {
			s.o.Logger.Error("etcd does not let this user compact its history: grant the role root, or have etcd do it by itself and do not ask for it here", "err", err)
			return
		}
		if err != nil && s.life.Err() == nil {
			s.o.Logger.Warn("compact the history of etcd", "revision", due, "err", err)
		}
		if forgot {
			last = due
			s.o.Logger.Debug("compacted the history of etcd", "revision", due)
		}
	}
}

// forget compacts, if it is for this store to do.
func (s *Store) forget(ctx context.Context, revision int64) (bool, error) {
	mine, err := s.electCompactor(ctx)
	if err != nil || !mine {
		return false, err
	}
	err = s.ask(ctx, func(ctx context.Context) error {
		_, err := s.kv.Compact(ctx, &pb.CompactionRequest{Revision: revision}, callOptions()...)
		return err
	})
	if err != nil && judge(err) == compacted { // by somebody else, or by a try before
		err = nil
	}
	if err != nil {
		return false, fmt.Errorf("compact to revision %d: %w", revision, s.told(ctx, err))
	}
	return true, nil
}

// electCompactor reports whether this store holds the key, which it takes if nobody does.
func (s *Store) electCompactor(ctx context.Context) (bool, error) {
	ss := s.session.Load()
	if ss == nil {
		var err error
		if ss, err = s.renewSession(ctx, nil); err != nil {
			return false, err
		}
	}
	key := s.guards + compactorKey
	req := &pb.TxnRequest{
		Compare: []*pb.Compare{compareRevision(key, 0)},
		Success: []*pb.RequestOp{putOp(key, []byte(s.name), ss.lease)},
		Failure: []*pb.RequestOp{rangeOp(key)},
	}
	// A lost answer is found by the next try: the key holds this store's name.
	var res *pb.TxnResponse
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		res, err = s.kv.Txn(ctx, req, callOptions()...)
		return err
	})
	if err != nil && judge(err) == noLease {
		_, err = s.renewSession(ctx, ss)
		return false, err
	}
	if err != nil || res.Succeeded {
		return err == nil, err
	}
	kvs := res.Responses[0].GetResponseRange().GetKvs()
	return len(kvs) > 0 && string(kvs[0].Value) == s.name, nil
}
