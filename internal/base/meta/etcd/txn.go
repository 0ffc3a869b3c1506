package etcd

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/weir-stream/weir/internal/base/meta"
)

// Txn implements meta.Store. See the package comment for how an answer may get lost and the outcome not.
func (s *Store) Txn(ctx context.Context, compares []meta.Compare, ops []meta.Op) (res meta.Result, err error) {
	defer s.metrics.observe("txn", time.Now(), &err)
	op, leave, err := s.enter(ctx)
	if err != nil {
		return meta.Result{}, err
	}
	defer leave()
	if err := meta.CheckTxn(compares, ops); err != nil {
		return meta.Result{}, err
	}
	if len(ops) == 0 {
		if res, err = s.compareOnly(op, compares); err != nil {
			return meta.Result{}, fmt.Errorf("compare: %w", s.told(ctx, err))
		}
		return res, nil
	}
	sl, err := s.takeSlot(op)
	if err != nil {
		return meta.Result{}, s.told(ctx, err)
	}
	defer s.giveSlot(sl)
	t := &change{store: s, slot: sl, number: s.numbers.Add(1), compares: s.compares(compares), ops: s.ops(ops)}
	for _, op := range ops {
		t.leased = t.leased || op.Lease != 0
	}
	if res, err = t.run(op); err == nil {
		return res, nil
	}
	if t.open {
		// The slot must not wait for what may still come, nor take it for its own.
		s.newGuard(sl)
		return meta.Result{}, fmt.Errorf("%w: %w", meta.ErrUnknown, plain(err))
	}
	return meta.Result{}, fmt.Errorf("change metadata: %w", s.told(ctx, err))
}

// compareOnly changes nothing, so it needs no guard. The read in it makes etcd ask a majority of its members: without one a
// member that is behind might answer by itself.
func (s *Store) compareOnly(ctx context.Context, compares []meta.Compare) (meta.Result, error) {
	look := []*pb.RequestOp{rangeOp(s.guards)}
	req := &pb.TxnRequest{Compare: s.compares(compares), Success: look, Failure: look}
	var res *pb.TxnResponse
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		res, err = s.kv.Txn(ctx, req, callOptions()...)
		return err
	})
	if err != nil {
		return meta.Result{}, err
	}
	return meta.Result{Succeeded: res.Succeeded, Revision: res.Header.GetRevision()}, nil
}

// change is one changing transaction on its way.
type change struct {
	store    *Store
	slot     *slot
	number   int64
	compares []*pb.Compare
	ops      []*pb.RequestOp
	leased   bool // ops name a lease of the caller's
	// open says that a try was sent of which it is not known what became of it.
	open bool
}

// run tries until the outcome is known. With an error, t.open tells whether it is not.
func (t *change) run(ctx context.Context) (meta.Result, error) {
	for p := pause(0); ; {
		if !t.open { // else its guard must stay what it is
			if err := t.store.bind(ctx, t.slot); err != nil {
				return meta.Result{}, err
			}
		}
		var res *pb.TxnResponse
		err := t.store.try(ctx, func(ctx context.Context) (err error) {
			res, err = t.store.kv.Txn(ctx, t.request(), callOptions()...)
			return err
		})
		var out meta.Result
		var done bool
		if err == nil {
			out, done, err = t.answer(ctx, res)
		} else {
			out, done, err = t.failure(ctx, err)
		}
		if done {
			return out, err
		}
		t.store.metrics.retries.Inc()
		if ctxErr := p.wait(ctx); ctxErr != nil {
			if err == nil {
				err = ctxErr
			}
			return meta.Result{}, fmt.Errorf("%w: %w", ctxErr, plain(err))
		}
	}
}

// request is the next try.
func (t *change) request() *pb.TxnRequest {
	asLeft := compareRevision(t.slot.guard, t.slot.former)
	look := []*pb.RequestOp{rangeOp(t.slot.guard)}
	act := append(slices.Clip(t.ops), t.mark(applied))
	if !t.open {
		return &pb.TxnRequest{Compare: append(slices.Clip(t.compares), asLeft), Success: act, Failure: look}
	}
	inner := &pb.TxnRequest{Compare: t.compares, Success: act, Failure: []*pb.RequestOp{t.mark(refused)}}
	return &pb.TxnRequest{
		Compare: []*pb.Compare{asLeft},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: inner}}},
		Failure: look,
	}
}

// What a guard says has become of its transaction.
const (
	applied = "applied "
	refused = "refused "
)

func (t *change) mark(outcome string) *pb.RequestOp {
	return putOp(t.slot.guard, []byte(outcome+strconv.FormatInt(t.number, 10)), t.slot.session.lease)
}

// answer reads the answer to a try; done is false if another has to follow, and err why.
func (t *change) answer(ctx context.Context, res *pb.TxnResponse) (out meta.Result, done bool, err error) {
	revision := res.Header.GetRevision()
	if res.Succeeded {
		succeeded := true
		if t.open {
			succeeded = res.Responses[0].GetResponseTxn().GetSucceeded()
		}
		return t.settled(succeeded, revision, revision)
	}
	kvs := res.Responses[0].GetResponseRange().GetKvs()
	if out, done, err = t.look(kvs, revision); done {
		return out, done, err
	}
	if left := guardRevision(kvs); left == t.slot.former {
		// Only a first try answers so. It changed nothing, and no other is under way.
		return meta.Result{Revision: revision}, true, nil
	}
	done, err = t.lostGuard(ctx)
	return meta.Result{}, done, err
}

// look reads the guard; done if it tells of this transaction.
func (t *change) look(kvs []*mvccpb.KeyValue, now int64) (out meta.Result, done bool, err error) {
	if len(kvs) == 0 {
		return meta.Result{}, false, nil
	}
	switch string(kvs[0].Value) {
	case applied + strconv.FormatInt(t.number, 10):
		return t.settled(true, kvs[0].ModRevision, kvs[0].ModRevision)
	case refused + strconv.FormatInt(t.number, 10):
		return t.settled(false, kvs[0].ModRevision, now)
	}
	return meta.Result{}, false, nil
}

// settled ends the transaction: the guard has its mark since revision guard.
func (t *change) settled(succeeded bool, guard, revision int64) (meta.Result, bool, error) {
	t.slot.former, t.open = guard, false
	return meta.Result{Succeeded: succeeded, Revision: revision}, true, nil
}

func guardRevision(kvs []*mvccpb.KeyValue) int64 {
	if len(kvs) == 0 {
		return 0
	}
	return kvs[0].ModRevision
}

// failure reads the error of a try; done is false if another has to follow.
func (t *change) failure(ctx context.Context, err error) (out meta.Result, done bool, _ error) {
	switch judge(err) {
	case unclear:
		t.open = true
		return meta.Result{}, false, err
	case undone:
		return meta.Result{}, false, err
	case noLease:
		done, err = t.missingLease(ctx, err)
		return meta.Result{}, done, err
	case full:
		return t.noSpace(ctx, err)
	default:
		return meta.Result{}, true, err
	}
}

// missingLease finds out whose lease it is that is not there. The caller's: that is the outcome, for any earlier try
// finds it missing too. The session's: a new one is begun, unless an earlier try may have acted, which nobody can tell
// any more.
func (t *change) missingLease(ctx context.Context, err error) (done bool, _ error) {
	ours := true
	if t.leased {
		var lives bool
		askErr := t.store.ask(ctx, func(ctx context.Context) (err error) {
			lives, err = t.store.leases.lives(ctx, t.slot.session.lease)
			return err
		})
		if askErr != nil {
			return true, askErr
		}
		ours = !lives
	}
	if ours {
		return t.lostGuard(ctx)
	}
	t.open = false
	return true, err
}

// lostGuard begins a new session after the guard turned out to be gone; not done if that lets another try follow.
func (t *change) lostGuard(ctx context.Context) (done bool, err error) {
	if t.open {
		return true, errSessionLost
	}
	if _, err := t.store.renewSession(ctx, t.slot.session); err != nil {
		return true, err
	}
	return false, nil
}

// noSpace looks whether the transaction was done. etcd answers so when it refuses one, and also when it has done the one
// that used up the last of its quota.
func (t *change) noSpace(ctx context.Context, err error) (meta.Result, bool, error) {
	before := t.open
	t.open = true
	res, readErr := t.store.read(ctx, &pb.RangeRequest{Key: []byte(t.slot.guard)})
	if readErr != nil {
		return meta.Result{}, true, readErr
	}
	if out, done, err := t.look(res.Kvs, res.Header.GetRevision()); done {
		return out, done, err
	}
	// This try was answered, so it is over. An earlier one may still come, should space be made meanwhile.
	t.open = before
	return meta.Result{}, true, err
}
