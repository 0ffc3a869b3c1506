package diskcache

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-stream/weir/internal/base/blob"
)

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key string) (blob.Reader, error) {
	r, err := s.Store.Open(ctx, key)
	if err != nil || !s.o.Cacheable(key) {
		return r, err
	}
	return &reader{Reader: r, store: s, key: key}, nil
}

// OpenSized implements blob.Sized.
func (s *Store) OpenSized(ctx context.Context, key string, size int64) (blob.Reader, error) {
	r, err := blob.OpenSized(ctx, s.Store, key, size)
	if err != nil || !s.o.Cacheable(key) {
		return r, err
	}
	return &reader{Reader: r, store: s, key: key}, nil
}

// Delete implements blob.Store. What is kept of the object goes too.
func (s *Store) Delete(ctx context.Context, key string) error {
	s.mu.Lock()
	for id, sl := range s.index {
		if id.key == key {
			s.forgetLocked(sl)
		}
	}
	s.mu.Unlock()
	return s.Store.Delete(ctx, key)
}

type reader struct {
	blob.Reader
	store *Store
	key   string
}

// ReadAt implements blob.Reader.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= r.Size() || len(p) == 0 {
		return r.Reader.ReadAt(p, off)
	}
	n := int(min(int64(len(p)), r.Size()-off))
	if err := r.fill(p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadRange implements blob.Reader.
func (r *reader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || n > len(buf) || off > r.Size() || int64(n) > r.Size()-off {
		return r.Reader.ReadRange(buf, off, n)
	}
	if err := r.fill(buf[:n], off); err != nil {
		return nil, err
	}
	return buf[:n:n], nil
}

// fill reads p, which lies in the object, at off. Neighbouring blocks that are not here are asked for with one request.
func (r *reader) fill(p []byte, off int64) error {
	missing := 0 // bytes before p[at:] that are to be read from the object
	at := 0
	flush := func() error {
		if missing == 0 {
			return nil
		}
		part := p[at-missing : at]
		n, err := r.Reader.ReadAt(part, off+int64(at-missing))
		if n == len(part) || errors.Is(err, io.EOF) && n == len(part) {
			err = nil
		} else if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("read %d bytes of %s at %d: %w", len(part), r.key, off, io.ErrUnexpectedEOF)
		}
		missing = 0
		return err
	}
	for at < len(p) {
		number := (off + int64(at)) / BlockBytes
		begin := int(off + int64(at) - number*BlockBytes)
		n := min(len(p)-at, BlockBytes-begin)
		kept, err := r.block(p[at:at+n], number, begin)
		if err != nil {
			return err
		}
		if kept {
			if err := flush(); err != nil {
				return err
			}
			at += n
			continue
		}
		at += n
		missing += n
	}
	return flush()
}

// Vectored implements blob.VectorReader.
func (r *reader) Vectored() bool { return blob.Vectored(r.Reader) }

// ReadVector implements blob.VectorReader. Neighbouring pieces that are blocks, and are not here, are asked for with one request.
func (r *reader) ReadVector(p [][]byte, off int64) error {
	n := int64(0)
	for _, piece := range p {
		n += int64(len(piece))
	}
	if off < 0 || off > r.Size() || n > r.Size()-off {
		return fmt.Errorf("read %d bytes of %s at %d: %w", n, r.key, off, io.ErrUnexpectedEOF)
	}
	missing := 0 // pieces before p[i] that are to be read from the object
	missingAt := off
	flush := func(i int) error {
		pieces := p[i-missing : i]
		missing = 0
		if len(pieces) == 0 {
			return nil
		}
		return blob.ReadVector(r.Reader, pieces, missingAt)
	}
	for i, piece := range p {
		if off%BlockBytes != 0 || len(piece) > BlockBytes {
			if err := flush(i); err != nil {
				return err
			}
			if err := r.fill(piece, off); err != nil {
				return err
			}
			off += int64(len(piece))
			continue
		}
		kept, err := r.block(piece, off/BlockBytes, 0)
		if err == nil && kept {
			err = flush(i)
		}
		if err != nil {
			return err
		}
		if !kept {
			if missing == 0 {
				missingAt = off
			}
			missing++
		}
		off += int64(len(piece))
	}
	return flush(len(p))
}

// block fills p from begin of a block, if it is here or is to be kept from now on.
func (r *reader) block(p []byte, number int64, begin int) (bool, error) {
	id := blockID{r.key, number}
	buf := r.store.buffers.Get().(*[]byte)
	if b := r.store.get(id, *buf); len(b) >= begin+len(p) {
		copy(p, b[begin:])
		r.store.buffers.Put(buf)
		return true, nil
	}
	if !r.store.again(id) {
		r.store.buffers.Put(buf)
		return false, nil
	}
	b, err := r.Reader.ReadRange(*buf, number*BlockBytes, int(min(BlockBytes, r.Size()-number*BlockBytes)))
	if err != nil {
		r.store.buffers.Put(buf)
		return false, err
	}
	copy(p, b[begin:])
	r.store.keep(id, buf, b)
	return true, nil
}
