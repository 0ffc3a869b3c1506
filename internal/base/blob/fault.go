package blob

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
)

// Kind says which operation an Op is.
type Kind uint8

// The operations that a Fault asks about. Write and Commit are those of a Writer, Read that of a Reader.
const (
	OpPutIfAbsent Kind = iota + 1
	OpPut
	OpCreate
	OpWrite
	OpCommit
	OpOpen
	OpRead
	OpDelete
	OpList
)

// Op is one operation on a Fault.
type Op struct {
	Kind Kind
	Key  string // the prefix for OpList
	N    int64  // which operation of the Fault this is, from 1
}

// Injector decides about one operation before it happens: nil lets it pass; any other error is returned to
// the caller and nothing is done, unless the error is from [Lost]. It may be called by many goroutines.
type Injector func(Op) error

// lostError marks an answer that never came: the operation is done.
type lostError struct{ err error }

func (e *lostError) Error() string { return "answer lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// Lost makes the operation happen and its caller get err all the same, as when a connection breaks after the
// request arrived.
func Lost(err error) error { return &lostError{err: err} }

// FailNth fails the n-th operation, counted from 1.
func FailNth(n int64, err error) Injector {
	return func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	}
}

// FailFrom fails the n-th operation, counted from 1, and all later ones.
func FailFrom(n int64, err error) Injector {
	return func(op Op) error {
		if op.N >= n {
			return err
		}
		return nil
	}
}

// On hands to next only operations of one of kinds (none: any) on keys that contain part, counted anew from 1.
func On(part string, next Injector, kinds ...Kind) Injector {
	var n atomic.Int64
	return func(op Op) error {
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

// do runs call under the injector's judgement.
func (f *Fault) do(kind Kind, key string, call func() error) error {
	n := f.n.Add(1)
	if inject := *f.inject.Load(); inject != nil {
		if err := inject(Op{Kind: kind, Key: key, N: n}); err != nil {
			if _, lost := errors.AsType[*lostError](err); lost {
				_ = call() // its answer is what is lost
			}
			return err
		}
	}
	return call()
}

// PutIfAbsent implements Store.
func (f *Fault) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return f.do(OpPutIfAbsent, key, func() error { return f.inner.PutIfAbsent(ctx, key, body) })
}

// Put implements Store.
func (f *Fault) Put(ctx context.Context, key string, body []byte) error {
	return f.do(OpPut, key, func() error { return f.inner.Put(ctx, key, body) })
}

// Create implements Store. A lost answer of it leaves an unfinished object behind.
func (f *Fault) Create(ctx context.Context, key string) (Writer, error) {
	var w Writer
	err := f.do(OpCreate, key, func() (err error) {
		w, err = f.inner.Create(ctx, key)
		return err
	})
	if err != nil {
		if w != nil {
			return nil, errors.Join(err, w.Abort())
		}
		return nil, err
	}
	return &faultWriter{fault: f, inner: w, key: key}, nil
}

// Open implements Store.
func (f *Fault) Open(ctx context.Context, key string) (Reader, error) {
	var r Reader
	err := f.do(OpOpen, key, func() (err error) {
		r, err = f.inner.Open(ctx, key)
		return err
	})
	if err != nil {
		if r != nil {
			return nil, errors.Join(err, r.Close())
		}
		return nil, err
	}
	return &faultReader{fault: f, Reader: r, key: key}, nil
}

// Delete implements Store.
func (f *Fault) Delete(ctx context.Context, key string) error {
	return f.do(OpDelete, key, func() error { return f.inner.Delete(ctx, key) })
}

// List implements Store.
func (f *Fault) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	var found []Info
	err := f.do(OpList, prefix, func() (err error) {
		found, err = f.inner.List(ctx, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

type faultWriter struct {
	fault *Fault
	inner Writer
	key   string
}

func (w *faultWriter) Write(p []byte) (n int, err error) {
	err = w.fault.do(OpWrite, w.key, func() (err error) {
		n, err = w.inner.Write(p)
		return err
	})
	return n, err
}

// Commit finishes the inner writer also when the fault stops it.
func (w *faultWriter) Commit(ctx context.Context) error {
	err := w.fault.do(OpCommit, w.key, func() error { return w.inner.Commit(ctx) })
	if err != nil {
		return errors.Join(err, w.inner.Abort())
	}
	return nil
}

func (w *faultWriter) Abort() error { return w.inner.Abort() }

type faultReader struct {
	fault *Fault
	Reader
	key string
}

func (r *faultReader) ReadAt(p []byte, off int64) (n int, err error) {
	err = r.fault.do(OpRead, r.key, func() (err error) {
		n, err = r.Reader.ReadAt(p, off)
		return err
	})
	return n, err
}

func (r *faultReader) ReadRange(buf []byte, off int64, n int) (p []byte, err error) {
	err = r.fault.do(OpRead, r.key, func() (err error) {
		p, err = r.Reader.ReadRange(buf, off, n)
		return err
	})
	return p, err
}
