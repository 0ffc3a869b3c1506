package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrAway is what the failures of a store that NewRemote returned are: the store could not be asked, or did not answer. It tells nothing
// of the object, and the same call may succeed later.
var ErrAway = errors.New("object store does not answer")

// NewRemote returns a store that marks as ErrAway whatever inner returns that is no answer about an object. Absence, a key that
// is taken, an invalid key, the end of an object and the end of the caller's context stay as they are.
func NewRemote(inner Store) Store { return &remote{inner} }

type remote struct{ inner Store }

// mark says of an error whether it tells of the store or of the object.
func mark(ctx context.Context, err error) error {
	for _, answer := range []error{ErrNotFound, ErrExists, ErrBadKey, ErrFinished, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, answer) {
			return err
		}
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

func (r *remote) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return mark(ctx, r.inner.PutIfAbsent(ctx, key, body))
}

// PutSummed implements Summed.
func (r *remote) PutSummed(ctx context.Context, key string, body []byte, crc uint32) error {
	return mark(ctx, PutSummed(ctx, r.inner, key, body, crc))
}

func (r *remote) Put(ctx context.Context, key string, body []byte) error {
	return mark(ctx, r.inner.Put(ctx, key, body))
}

func (r *remote) Create(ctx context.Context, key string) (Writer, error) {
	w, err := r.inner.Create(ctx, key)
	if err != nil {
		return nil, mark(ctx, err)
	}
	return &remoteWriter{w, ctx}, nil
}

func (r *remote) Open(ctx context.Context, key string) (Reader, error) {
	o, err := r.inner.Open(ctx, key)
	if err != nil {
		return nil, mark(ctx, err)
	}
	return &remoteReader{o, context.WithoutCancel(ctx)}, nil
}

// OpenSized implements Sized.
func (r *remote) OpenSized(ctx context.Context, key string, size int64) (Reader, error) {
	o, err := OpenSized(ctx, r.inner, key, size)
	if err != nil {
		return nil, mark(ctx, err)
	}
	return &remoteReader{o, context.WithoutCancel(ctx)}, nil
}

func (r *remote) Delete(ctx context.Context, key string) error {
	return mark(ctx, r.inner.Delete(ctx, key))
}

func (r *remote) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	infos, err := r.inner.List(ctx, prefix, after, limit)
	return infos, mark(ctx, err)
}

type remoteWriter struct {
	Writer
	ctx context.Context //nolint:containedctx // that of Create, whose end ends the writer
}

func (w *remoteWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, mark(w.ctx, err)
}

func (w *remoteWriter) Commit(ctx context.Context) error { return mark(ctx, w.Writer.Commit(ctx)) }

type remoteReader struct {
	Reader
	ctx context.Context //nolint:containedctx // never done: reads have no context of their own
}

func (r *remoteReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	return n, mark(r.ctx, err)
}

func (r *remoteReader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	b, err := r.Reader.ReadRange(buf, off, n)
	return b, mark(r.ctx, err)
}

// Vectored implements VectorReader.
func (r *remoteReader) Vectored() bool { return Vectored(r.Reader) }

// ReadVector implements VectorReader.
func (r *remoteReader) ReadVector(p [][]byte, off int64) error {
	return mark(r.ctx, ReadVector(r.Reader, p, off))
}
