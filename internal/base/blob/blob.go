// Package blob is the seam between Weir and the store of immutable objects: a local directory ([Dir]),
// S3 and its like, or memory ([Mem]). [Fault] wraps another store and fails chosen operations. The suite in
// blobtest holds all of them to the same rules.
//
// An object is a key and a body of bytes. It appears whole or not at all, and its bytes never change as
// long as a reader has it open: Put replaces it, and readers of the old one keep the old bytes.
//
// The one primitive that safety rests on is PutIfAbsent (and Create, its streaming form): of any number of
// concurrent calls with one key exactly one succeeds and the others get [ErrExists]. A caller that got any
// other error, a timeout say, does not know whether its object exists and must look.
//
// Keys are slash paths such as "w/3f/00000000000000a1/000000000001", checked by [CheckKey]. No key may be
// the folder of another ("a" and "a/b"): a directory cannot hold both.
//
// All methods may be called from any goroutine. A store keeps no reference to a body after its call
// returned. Contexts are looked at before an operation starts; a local write that has begun is finished.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	// ErrNotFound is returned by Open when there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrExists is returned by PutIfAbsent and Writer.Commit when the key is taken.
	ErrExists = errors.New("object exists")
	// ErrBadKey is returned for a key that CheckKey refuses.
	ErrBadKey = errors.New("invalid object key")
	// ErrFinished is returned by a Writer after Commit or Abort.
	ErrFinished = errors.New("object writer is finished")
)

const (
	// MaxKeyBytes is the longest key, as S3 has it.
	MaxKeyBytes = 1024
	// maxNameBytes is the longest part between slashes, as local file systems have it.
	maxNameBytes = 255
)

// Store holds objects.
type Store interface {
	// PutIfAbsent creates an object. It is durable and visible on return. ErrExists if the key is taken; what
	// is there is then durable too.
	PutIfAbsent(ctx context.Context, key string, body []byte) error
	// Put creates or replaces an object atomically. It is durable on return.
	Put(ctx context.Context, key string, body []byte) error
	// Create starts an object whose body is not in memory. Nothing is visible before Writer.Commit.
	Create(ctx context.Context, key string) (Writer, error)
	// Open opens an object for reading. ErrNotFound if there is none.
	Open(ctx context.Context, key string) (Reader, error)
	// Delete removes an object, durably. An absent key is no error.
	Delete(ctx context.Context, key string) error
	// List returns objects whose key starts with prefix (any string, not only whole folders) and is greater
	// than after, sorted by the bytes of the key, at most limit of them; limit 0 means all. Objects that come
	// or go during the call may be in the answer or not.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)
}

// Sized is a store that opens an object of known size without asking for it.
type Sized interface {
	OpenSized(ctx context.Context, key string, size int64) (Reader, error)
}

// OpenSized opens an object of which the caller knows the size, and that nobody replaces: without a request, where the store can. That
// the object is not there is said by the first read at the latest.
func OpenSized(ctx context.Context, s Store, key string, size int64) (Reader, error) {
	if x, ok := s.(Sized); ok {
		return x.OpenSized(ctx, key, size)
	}
	return s.Open(ctx, key)
}

// Summed is a store that sends a checksum of a body along, which it need not compute if the caller knows it.
type Summed interface {
	PutSummed(ctx context.Context, key string, body []byte, crc uint32) error
}

// PutSummed is PutIfAbsent of a body whose CRC-32C the caller knows. A wrong one is an error, where the store can see it, or has no effect.
func PutSummed(ctx context.Context, s Store, key string, body []byte, crc uint32) error {
	if x, ok := s.(Summed); ok {
		return x.PutSummed(ctx, key, body, crc)
	}
	return s.PutIfAbsent(ctx, key, body)
}

// Info describes an object.
type Info struct {
	Key  string
	Size int64 // bytes
}

// Writer takes the body of a new object. It belongs to one goroutine.
type Writer interface {
	io.Writer
	// Commit makes the object exist, as PutIfAbsent does. The writer is finished whatever it returns.
	Commit(ctx context.Context) error
	// Abort drops the object. After Commit or Abort it does nothing, so it may be deferred.
	Abort() error
}

// Reader reads an open object. Its methods may be called from any goroutine.
type Reader interface {
	// ReadAt reads as io.ReaderAt does.
	ReadAt(p []byte, off int64) (int, error)
	// Size is the length of the body in bytes.
	Size() int64
	Close() error
	// ReadRange reads the n bytes at off and returns them, as a part of buf or not. buf must be a vfs.AlignedBuffer of
	// vfs.RangeBytes(n) at least: a local object is read into it past the page cache.
	ReadRange(buf []byte, off int64, n int) ([]byte, error)
}

// VectorReader is a Reader to which one read of neighbouring pieces costs less than a read of each, such as one that makes a request.
type VectorReader interface {
	// ReadVector fills the pieces of p, one after the other, with the bytes at off. They must lie in the object.
	ReadVector(p [][]byte, off int64) error
	// Vectored says whether that is so: what a reader passes on to another may be a read of each piece in the end.
	Vectored() bool
}

// Vectored says whether ReadVector of r costs less than a read of each piece.
func Vectored(r Reader) bool {
	v, ok := r.(VectorReader)
	return ok && v.Vectored()
}

// ReadVector is r's own, or a ReadAt for each piece.
func ReadVector(r Reader, p [][]byte, off int64) error {
	if v, ok := r.(VectorReader); ok {
		return v.ReadVector(p, off)
	}
	for _, piece := range p {
		n, err := r.ReadAt(piece, off)
		if n < len(piece) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		off += int64(n)
	}
	return nil
}

// CheckKey returns ErrBadKey, wrapped, unless key is one to MaxKeyBytes bytes of [a-z0-9._/-] in non-empty
// parts of at most 255 bytes between slashes, none of which starts with a dot.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes {
		return fmt.Errorf("key of %d bytes: %w", len(key), ErrBadKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' || len(part) > maxNameBytes {
			return fmt.Errorf("key %q: %w", key, ErrBadKey)
		}
	}
	for i := range len(key) {
		c := key[i]
		ok := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '/' || c == '-'
		if !ok {
			return fmt.Errorf("key %q: %w", key, ErrBadKey)
		}
	}
	return nil
}

// check is what every operation on a key does first.
func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return CheckKey(key)
}
