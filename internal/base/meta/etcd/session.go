package etcd

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
)

// session is the time of one lease under which guards lie. It does not change.
type session struct {
	name  string
	lease int64
}

// slot is the right to run one changing transaction. Who has taken it from Store.slots owns it.
type slot struct {
	session *session // whose guard it is; nil: none yet
	guard   string   // key of the guard
	former  int64    // revision of the guard, 0 while it was never written
}

// takeSlot waits for a slot.
func (s *Store) takeSlot(ctx context.Context) (*slot, error) {
	select {
	case sl := <-s.slots:
		return sl, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Store) giveSlot(sl *slot) { s.slots <- sl }

// bind gives sl a guard in the present session, which is begun if there is none.
func (s *Store) bind(ctx context.Context, sl *slot) error {
	ss := s.session.Load()
	if ss == nil {
		var err error
		if ss, err = s.renewSession(ctx, nil); err != nil {
			return err
		}
	}
	if sl.session != ss {
		sl.session = ss
		s.newGuard(sl)
	}
	return nil
}

// newGuard leaves sl's guard to what may still come of it and gives the slot one that was never written. What was left
// takes up memory of etcd only if a transaction did come through, and ends with the session.
func (s *Store) newGuard(sl *slot) {
	sl.guard, sl.former = s.guards+sl.session.name+"/"+strconv.FormatInt(s.names.Add(1), 36), 0
}

// renewSession replaces old, which has ended, unless somebody else has already done so.
func (s *Store) renewSession(ctx context.Context, old *session) (*session, error) {
	select {
	case s.renewing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.renewing }()
	if ss := s.session.Load(); ss != old {
		return ss, nil
	}
	var id int64
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		id, err = s.leases.grant(ctx, seconds(s.o.Session))
		return err
	})
	if err != nil {
		return nil, err
	}
	ss := &session{name: fmt.Sprintf("%s-%d", s.name, s.sessions.Add(1)), lease: id}
	if old != nil {
		s.o.Logger.Warn("session in etcd has ended and begins anew", "lease", old.lease)
	}
	s.session.Store(ss)
	return ss, nil
}

// keepSession renews the session's lease until the store is closed. It is in no hurry: a lease that is lost all the same
// is found by the next transaction.
func (s *Store) keepSession() {
	t := time.NewTicker(max(s.o.Session/4, time.Second/4))
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.life.Done():
			return
		}
		ss := s.session.Load()
		if ss == nil {
			continue
		}
		lives, err := false, error(nil)
		err = s.try(s.life, func(ctx context.Context) error {
			lives, err = s.leases.renew(ctx, ss.lease)
			return err
		})
		if err != nil && s.life.Err() == nil {
			s.o.Logger.Debug("renew session in etcd", "lease", ss.lease, "err", err)
		}
		if err == nil && !lives {
			if _, err := s.renewSession(s.life, ss); err != nil && s.life.Err() == nil {
				s.o.Logger.Debug("begin session in etcd", "err", err)
			}
		}
	}
}

// seconds is d in etcd's unit, never less than d.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// lease is a meta.Lease.
type lease struct {
	store *Store
	id    int64
	ttl   time.Duration
}

// Grant implements meta.Store. etcd counts in whole seconds, and gives no less than two or three.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (l meta.Lease, err error) {
	defer s.metrics.observe("grant", time.Now(), &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, meta.ErrInvalid)
	}
	var id int64
	// A lease whose answer was lost has no keys and ends by itself.
	err = s.ask(op, func(ctx context.Context) (err error) {
		id, err = s.leases.grant(ctx, seconds(ttl))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("grant a lease: %w", s.told(ctx, err))
	}
	return &lease{store: s, id: id, ttl: ttl}, nil
}

func (l *lease) ID() int64 { return l.id }

// KeepAlive implements meta.Lease. It tries for at most the lease's own time, or a few seconds if that is more: after
// it the caller should know how things are.
func (l *lease) KeepAlive(ctx context.Context) (err error) {
	s := l.store
	began := time.Now()
	defer s.metrics.observe("keep_alive", began, &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	total := min(l.ttl, s.o.Attempt)
	op, cancel := context.WithTimeout(op, total)
	defer cancel()
	var lives bool
	err = s.ask(op, func(ctx context.Context) (err error) {
		// Time for a second member of etcd, if the first one hangs.
		ctx, cancel := context.WithTimeout(ctx, total/3)
		defer cancel()
		lives, err = s.leases.renew(ctx, l.id)
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil && s.life.Err() == nil && op.Err() != nil:
		return fmt.Errorf("keep lease %d alive: no answer in %v: %w", l.id, total, plain(err))
	case err != nil:
		return fmt.Errorf("keep lease %d alive: %w", l.id, s.told(ctx, err))
	case !lives:
		return fmt.Errorf("keep lease %d alive: %w", l.id, meta.ErrLeaseNotFound)
	}
	s.metrics.renewal.Observe(time.Since(began).Seconds())
	return nil
}

// Revoke implements meta.Lease.
func (l *lease) Revoke(ctx context.Context) (err error) {
	s := l.store
	defer s.metrics.observe("revoke", time.Now(), &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	err = s.ask(op, func(ctx context.Context) error { return s.leases.revoke(ctx, l.id) })
	if err != nil && (op.Err() != nil || judge(err) != noLease) {
		return fmt.Errorf("revoke lease %d: %w", l.id, s.told(ctx, err))
	}
	return nil
}
