package seal

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weir-stream/weir/internal/base/blob"
)

// chunkBytes is how much is sealed at once: what a read of a few bytes has to open.
const chunkBytes = 64 << 10

const sealedChunkBytes = chunkBytes + tagBytes

// readChunks is how many chunks are read at once: a read of the object may be a request. A mebibyte touches so many wherever it begins.
const readChunks = 17

// Blob seals the objects of a store.
//
//	header 80 | chunk 0: 64 KiB sealed + tag 16 | chunk 1 | … | last chunk: 0 to 64 KiB sealed + tag 16
//
// The nonce of a chunk is its number, and 1 in the last byte if it is the last one: chunks can be neither exchanged nor
// cut off. Every object has a key of its own, which is bound to the object's key in the store.
type Blob struct {
	inner blob.Store
	ring  *Ring
	// scratch are buffers of sealed chunks, *[]byte.
	scratch sync.Pool
}

// NewBlob returns inner with sealed objects.
func NewBlob(inner blob.Store, ring *Ring) *Blob {
	return &Blob{inner: inner, ring: ring, scratch: sync.Pool{New: func() any { return new([]byte) }}}
}

func chunkNonce(index int64, last bool) (n [nonceBytes]byte) {
	binary.BigEndian.PutUint64(n[3:], uint64(index))
	if last {
		n[nonceBytes-1] = 1
	}
	return n
}

// sealedSize is the size of a sealed object of n bytes: it has one chunk at least.
func sealedSize(n int64) int64 {
	chunks := max(1, (n+chunkBytes-1)/chunkBytes)
	return headerBytes + n + chunks*tagBytes
}

// plainSize is the inverse of sealedSize, and false for a size that no sealed object has.
func plainSize(sealed int64) (int64, bool) {
	body := sealed - headerBytes
	chunks := max(1, (body+sealedChunkBytes-1)/sealedChunkBytes)
	n := body - chunks*tagBytes
	return n, n >= 0 && sealedSize(n) == sealed
}

func (s *Blob) sealed(key string, body []byte) ([]byte, error) {
	header, dataKey := s.ring.newHeader(kindObject, key)
	aead, err := newGCM(dataKey)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, sealedSize(int64(len(body)))), header...)
	for i := int64(0); ; i++ {
		n := min(len(body), chunkBytes)
		nonce := chunkNonce(i, n == len(body))
		out = aead.Seal(out, nonce[:], body[:n], nil)
		if body = body[n:]; len(body) == 0 {
			return out, nil
		}
	}
}

// PutIfAbsent is Store.PutIfAbsent.
func (s *Blob) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	b, err := s.sealed(key, body)
	if err != nil {
		return err
	}
	return s.inner.PutIfAbsent(ctx, key, b)
}

// Put is Store.Put.
func (s *Blob) Put(ctx context.Context, key string, body []byte) error {
	b, err := s.sealed(key, body)
	if err != nil {
		return err
	}
	return s.inner.Put(ctx, key, b)
}

// Create is Store.Create.
func (s *Blob) Create(ctx context.Context, key string) (blob.Writer, error) {
	inner, err := s.inner.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	header, dataKey := s.ring.newHeader(kindObject, key)
	aead, err := newGCM(dataKey)
	if err == nil {
		_, err = inner.Write(header)
	}
	if err != nil {
		return nil, errors.Join(err, inner.Abort())
	}
	return &writer{inner: inner, aead: aead, buf: make([]byte, 0, sealedChunkBytes)}, nil
}

// writer seals chunk by chunk; a full chunk waits until it is known whether it is the last.
type writer struct {
	inner blob.Writer
	aead  cipher.AEAD
	buf   []byte
	index int64
	ended bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, blob.ErrFinished
	}
	written := 0
	for len(p) > 0 {
		if len(w.buf) == chunkBytes {
			if err := w.flush(false); err != nil {
				return written, err
			}
		}
		n := min(len(p), chunkBytes-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		written += n
		p = p[n:]
	}
	return written, nil
}

func (w *writer) flush(last bool) error {
	nonce := chunkNonce(w.index, last)
	_, err := w.inner.Write(w.aead.Seal(w.buf[:0], nonce[:], w.buf, nil))
	w.buf = w.buf[:0]
	w.index++
	return err
}

func (w *writer) Commit(ctx context.Context) error {
	if w.ended {
		return blob.ErrFinished
	}
	w.ended = true
	if err := w.flush(true); err != nil {
		return errors.Join(err, w.inner.Abort())
	}
	return w.inner.Commit(ctx)
}

func (w *writer) Abort() error {
	w.ended = true
	return w.inner.Abort()
}

// Open is Store.Open. An object that is not sealed is read as it is.
func (s *Blob) Open(ctx context.Context, key string) (blob.Reader, error) {
	inner, err := s.inner.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	r, err := s.reader(inner, key)
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return r, nil
}

func (s *Blob) reader(inner blob.Reader, key string) (blob.Reader, error) {
	header := make([]byte, headerBytes)
	n, err := inner.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read header of %s: %w", key, err)
	}
	dataKey, err := s.ring.openHeader(header[:n], kindObject, key)
	if errors.Is(err, errPlain) {
		return inner, nil
	}
	if err != nil {
		return nil, err
	}
	size, ok := plainSize(inner.Size())
	if !ok {
		return nil, fmt.Errorf("%s of %d bytes was cut: %w", key, inner.Size(), ErrCorrupt)
	}
	aead, err := newGCM(dataKey)
	if err != nil {
		return nil, err
	}
	return &reader{inner: inner, store: s, aead: aead, key: key, size: size}, nil
}

// Delete is Store.Delete.
func (s *Blob) Delete(ctx context.Context, key string) error { return s.inner.Delete(ctx, key) }

// List is Store.List. Sizes are those of the clear bytes where they can be of a sealed object.
func (s *Blob) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	infos, err := s.inner.List(ctx, prefix, after, limit)
	for i := range infos {
		if n, ok := plainSize(infos[i].Size); ok {
			infos[i].Size = n
		}
	}
	return infos, err
}

// reader opens the chunks that a read touches.
type reader struct {
	inner blob.Reader
	store *Blob
	aead  cipher.AEAD
	key   string
	size  int64
}

func (r *reader) Size() int64  { return r.size }
func (r *reader) Close() error { return r.inner.Close() }

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d", r.key, off)
	}
	n := 0
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		k, err := r.readChunks(p[n:], off)
		n += k
		off += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// readChunks fills p, as far as readChunks chunks go, with what is at off, which lies in the object. A chunk that is wanted whole is opened in
// its place.
func (r *reader) readChunks(p []byte, off int64) (filled int, err error) {
	first := off / chunkBytes
	last := min((min(off+int64(len(p)), r.size)-1)/chunkBytes, first+readChunks-1)
	need := min(r.size, (last+1)*chunkBytes) - first*chunkBytes + (last-first+1)*tagBytes
	scratch := r.store.scratch.Get().(*[]byte)
	defer r.store.scratch.Put(scratch)
	if int64(cap(*scratch)) < need {
		*scratch = make([]byte, need)
	}
	sealed := (*scratch)[:need]
	if _, err := r.inner.ReadAt(sealed, headerBytes+first*sealedChunkBytes); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read %s: %w", r.key, err)
	}
	for index := first; index <= last; index++ {
		start := index * chunkBytes
		n := min(chunkBytes, r.size-start)
		chunk := sealed[:n+tagBytes]
		sealed = sealed[n+tagBytes:]
		out := chunk[:0]
		if off == start && int64(len(p)-filled) >= n {
			out = p[filled:filled]
		}
		nonce := chunkNonce(index, start+n == r.size)
		plain, err := r.aead.Open(out, nonce[:], chunk, nil)
		if err != nil {
			return filled, fmt.Errorf("%s at %d: %w", r.key, start, ErrCorrupt)
		}
		k := copy(p[filled:], plain[off-start:])
		filled += k
		off += int64(k)
	}
	return filled, nil
}

func (r *reader) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	got, err := r.ReadAt(buf[:n], off)
	if got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes of %s at %d: %w", n, r.key, off, err)
	}
	return buf[:n], nil
}
