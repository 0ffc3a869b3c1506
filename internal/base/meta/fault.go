package meta

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// FaultKind says which operation a FaultOp is.
type FaultKind uint8

// The operations that a Fault asks about.
const (
	FaultGet FaultKind = iota + 1
	FaultRange
	FaultTxn
	FaultWatch
	FaultGrant
	FaultKeepAlive
	FaultRevoke
)

// FaultOp is one operation on a Fault.
type FaultOp struct {
	Kind FaultKind
	Key  string // the key, the prefix, or that of a transaction's first change
	N    int64  // which operation of the Fault this is, from 1
}

// Injector decides about one operation before it happens: nil lets it pass; any other error is returned to
// the caller and nothing is done, unless the error is from [Lost]. It may be called by many goroutines.
type Injector func(FaultOp) error

type lostError struct{ err error }

func (e *lostError) Error() string { return "answer lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// Lost makes the operation happen and its caller get err all the same, as when a connection breaks after the
// request arrived.
func Lost(err error) error { return &lostError{err: err} }

// FailNth fails the n-th operation, counted from 1.
func FailNth(n int64, err error) Injector {
	return func(op FaultOp) error {
		if op.N == n {
			return err
		}
		return nil
	}
}

// FailFrom fails the n-th operation, counted from 1, and all later ones.
func FailFrom(n int64, err error) Injector {
	return func(op FaultOp) error {
		if op.N >= n {
			return err
		}
		return nil
	}
}

// On hands to next only operations of one of kinds (none: any) on keys that contain part, counted anew from 1.
func On(part string, next Injector, kinds ...FaultKind) Injector {
	var n atomic.Int64
	return func(op FaultOp) error {
		if !strings.Contains(op.Key, part) || len(kinds) > 0 && !slices.Contains(kinds, op.Kind) {
			return nil
		}
		op.N = n.Add(1)
		return next(op)
	}
}

// Fault is a Store that fails on demand.
type Fault struct {
	inner  Store
	inject atomic.Pointer[Injector]
	n      atomic.Int64
}

// NewFault wraps inner. A nil inject lets everything pass.
func NewFault(inner Store, inject Injector) *Fault {
	f := &Fault{inner: inner}
	f.Inject(inject)
	return f
}

// Inject changes the injector for operations that start from now; nil lets everything pass.
func (f *Fault) Inject(inject Injector) { f.inject.Store(&inject) }

// Ops returns how many operations there were.
func (f *Fault) Ops() int64 { return f.n.Load() }

func (f *Fault) do(kind FaultKind, key string, call func() error) error {
	n := f.n.Add(1)
	if inject := *f.inject.Load(); inject != nil {
		if err := inject(FaultOp{Kind: kind, Key: key, N: n}); err != nil {
			if _, lost := errors.AsType[*lostError](err); lost {
				_ = call() // its answer is what is lost
			}
			return err
		}
	}
	return call()
}

// Get implements Store.
func (f *Fault) Get(ctx context.Context, key string) (entry Entry, err error) {
	err = f.do(FaultGet, key, func() (err error) {
		entry, err = f.inner.Get(ctx, key)
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return entry, nil
}

// Range implements Store.
func (f *Fault) Range(ctx context.Context, prefix, after string, limit int) (entries []Entry, err error) {
	err = f.do(FaultRange, prefix, func() (err error) {
		entries, err = f.inner.Range(ctx, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Txn implements Store.
func (f *Fault) Txn(ctx context.Context, compares []Compare, ops []Op) (result Result, err error) {
	key := ""
	if len(ops) > 0 {
		key = ops[0].Key
	}
	err = f.do(FaultTxn, key, func() (err error) {
		result, err = f.inner.Txn(ctx, compares, ops)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// Watch implements Store. A lost answer of it leaves a watch that ends with ctx.
func (f *Fault) Watch(ctx context.Context, prefix string, after int64) (events <-chan Event, err error) {
	err = f.do(FaultWatch, prefix, func() (err error) {
		events, err = f.inner.Watch(ctx, prefix, after)
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// Grant implements Store. A lost answer of it leaves a lease that ends by its time.
func (f *Fault) Grant(ctx context.Context, ttl time.Duration) (Lease, error) {
	var l Lease
	err := f.do(FaultGrant, "", func() (err error) {
		l, err = f.inner.Grant(ctx, ttl)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultLease{fault: f, Lease: l}, nil
}

// Close implements Store. It is never failed.
func (f *Fault) Close() error { return f.inner.Close() }

type faultLease struct {
	fault *Fault
	Lease
}

func (l *faultLease) KeepAlive(ctx context.Context) error {
	return l.fault.do(FaultKeepAlive, "", func() error { return l.Lease.KeepAlive(ctx) })
}

func (l *faultLease) Revoke(ctx context.Context) error {
	return l.fault.do(FaultRevoke, "", func() error { return l.Lease.Revoke(ctx) })
}
