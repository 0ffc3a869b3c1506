package segment

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
)

// DefaultCacheOpen is how many objects a Cache keeps open if nothing else is said.
const DefaultCacheOpen = 64

// verifiedBytes bounds what the Cache remembers of the verified blocks of objects it has closed: at 64 MiB an
// object, with blocks of 64 KiB, that is some 16,000 objects.
const verifiedBytes = 4 << 20

// ErrCacheClosed is returned by Get after Close.
var ErrCacheClosed = errors.New("segment cache is closed")

// CacheStats are the counts of a Cache since it was made, and its present state.
type CacheStats struct {
	Hits, Misses, Evictions int64
	Open, InUse             int
}

// Cache shares open Readers by key. It keeps the most recently used ones open, up to its bound. Readers in use are
// never closed: while more than the bound are in use at once the bound is exceeded by those, and each excess one is
// closed when it is released. Nobody ever waits for a place, so holding one Reader while asking for another is safe.
// All methods may be called together.
type Cache struct {
	store  blob.Store
	open   int
	blocks *blockcache.Cache // or nil

	mu sync.Mutex // guards the fields below and those of slots; not held during I/O

	closed   bool
	slots    map[string]*slot
	idle     list.List // of *slot, no user, least recently used first
	verified map[string][]atomic.Uint64
	known    int64 // bytes in verified
	stats    CacheStats
}

// slot is an object that is open or being opened.
type slot struct {
	key    string
	reader *Reader       // nil until opened
	opened chan struct{} // closed when reader or err is set
	err    error
	users  int
	idle   *list.Element // nil while in use or being opened
	gone   bool          // no longer in slots: to be closed by its last user
}

// NewCache returns an empty cache of the objects of store, which keeps at most open of them open; 0: DefaultCacheOpen.
func NewCache(store blob.Store, open int) *Cache {
	if open <= 0 {
		open = DefaultCacheOpen
	}
	return &Cache{store: store, open: open, slots: make(map[string]*slot), verified: make(map[string][]atomic.Uint64)}
}

// Through has the objects read through blocks, so that what is near what was read comes from memory. It must be called before the first Get.
func (c *Cache) Through(blocks *blockcache.Cache) *Cache {
	c.blocks = blocks
	return c
}

// hold makes the caller a user of an object that is open.
func (c *Cache) hold(key string) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[key]
	if s == nil || s.reader == nil {
		return nil, false
	}
	c.use(s)
	return c.releaseOnce(s), true
}

// Get returns the Reader of the object, opening it if needed. Callers that ask for the same object while it is
// opened share one opening. The caller uses the Reader until it calls release, does not close it, and touches neither
// it nor its file afterwards; calls of release after the first have no effect. Errors: those of Open and of the store
// (blob.ErrNotFound), the context's, ErrCacheClosed. A failure is not remembered.
func (c *Cache) Get(ctx context.Context, key string) (r *Reader, release func(), err error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, nil, ErrCacheClosed
		}
		s, ok := c.slots[key]
		if !ok {
			s = &slot{key: key, opened: make(chan struct{}), users: 1}
			c.slots[key] = s
			c.stats.Misses++
			c.mu.Unlock()
			return c.openSlot(ctx, s)
		}
		c.stats.Hits++
		c.use(s)
		c.mu.Unlock()

		select {
		case <-s.opened:
		case <-ctx.Done():
			c.release(s)
			return nil, nil, fmt.Errorf("open %s: %w", key, context.Cause(ctx))
		}
		if s.err == nil {
			return s.reader, c.releaseOnce(s), nil
		}
		err := s.err
		c.release(s)
		// The one who opened may have given up for reasons of its own: then it is our turn.
		if errors.Is(err, errGaveUp) && ctx.Err() == nil {
			continue
		}
		return nil, nil, err
	}
}

// errGaveUp marks an opening that failed because its caller's context ended.
var errGaveUp = errors.New("opening was given up")

// Forget drops an object, since it was deleted: the next Get asks the store. Users keep their Reader until they release
// it.
func (c *Cache) Forget(key string) {
	c.mu.Lock()
	c.forget(key)
	s := c.slots[key]
	var idle *Reader
	if s != nil {
		idle = c.drop(s)
	}
	c.mu.Unlock()
	closeReader(idle)
}

// Close closes all idle Readers now, those in use when they are released, and makes Get fail.
func (c *Cache) Close() error {
	var idle []*Reader
	c.mu.Lock()
	c.closed = true
	for _, s := range c.slots {
		if r := c.drop(s); r != nil {
			idle = append(idle, r)
		}
	}
	clear(c.verified)
	c.known = 0
	c.mu.Unlock()
	var errs []error
	for _, r := range idle {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// Stats returns counts for metrics.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.stats
	st.Open = len(c.slots)
	st.InUse = len(c.slots) - c.idle.Len()
	return st
}

// openSlot opens the object of a new slot, of which the caller is the first user.
func (c *Cache) openSlot(ctx context.Context, s *slot) (*Reader, func(), error) {
	r, err := c.openReader(ctx, s.key)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errGaveUp, err)
	}

	c.mu.Lock()
	s.reader, s.err = r, err
	if err != nil {
		c.drop(s)
	} else if bits, ok := c.verified[s.key]; ok && len(bits) == len(r.verified) {
		r.verified = bits // nobody else has r yet
		c.forget(s.key)
	}
	excess := c.evict()
	c.mu.Unlock()

	close(s.opened)
	closeReader(excess...)
	if err != nil {
		c.release(s)
		return nil, nil, err
	}
	return r, c.releaseOnce(s), nil
}

// releaseOnce is what a user of s calls when done.
func (c *Cache) releaseOnce(s *slot) func() {
	var released atomic.Bool
	return func() {
		if !released.Swap(true) {
			c.release(s)
		}
	}
}

func (c *Cache) openReader(ctx context.Context, key string) (*Reader, error) {
	obj, err := c.store.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	r, err := Open(key, obj)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt { // it may have been damaged on the way from an object store
		r, err = Open(key, obj)
	}
	if err != nil {
		_ = obj.Close() // nothing was written; the first error is the one that matters
		return nil, err
	}
	if c.blocks != nil {
		r.blocks = c.blocks.Object(key, obj, obj.Size(), func() (func(), bool) { return c.hold(key) })
	}
	return r, nil
}

// use makes the caller a user of s. mu is held.
func (c *Cache) use(s *slot) {
	s.users++
	if s.idle != nil {
		c.idle.Remove(s.idle)
		s.idle = nil
	}
}

// release ends one use of s.
func (c *Cache) release(s *slot) {
	c.mu.Lock()
	s.users--
	var closing []*Reader
	switch {
	case s.users > 0:
	case s.gone:
		closing = append(closing, s.reader)
	default:
		s.idle = c.idle.PushBack(s)
		closing = c.evict()
	}
	c.mu.Unlock()
	closeReader(closing...)
}

// evict drops idle Readers until the bound is kept, and returns them to be closed. mu is held.
func (c *Cache) evict() []*Reader {
	var closing []*Reader
	for len(c.slots) > c.open && c.idle.Len() > 0 {
		s := c.idle.Front().Value.(*slot)
		r := c.drop(s)
		c.remember(r)
		closing = append(closing, r)
		c.stats.Evictions++
	}
	return closing
}

// drop takes s out of the cache and returns its Reader if nobody uses it. mu is held.
func (c *Cache) drop(s *slot) *Reader {
	if s.gone {
		return nil
	}
	delete(c.slots, s.key)
	s.gone = true
	if s.idle == nil {
		return nil
	}
	c.idle.Remove(s.idle)
	s.idle = nil
	return s.reader
}

// remember keeps which blocks of a closed object were verified: objects never change, and a block is to be read
// for its checksum once in the life of the process. mu is held.
func (c *Cache) remember(r *Reader) {
	size := rememberedBytes(r.key, r.verified)
	if size > verifiedBytes {
		return
	}
	// Any victim will do: its blocks are verified once more.
	for key := range c.verified {
		if c.known+size <= verifiedBytes {
			break
		}
		c.forget(key)
	}
	c.verified[r.key] = r.verified
	c.known += size
}

// forget drops what remember kept. mu is held.
func (c *Cache) forget(key string) {
	if bits, ok := c.verified[key]; ok {
		c.known -= rememberedBytes(key, bits)
		delete(c.verified, key)
	}
}

// rememberedBytes is what an entry of Cache.verified costs, roughly.
func rememberedBytes(key string, bits []atomic.Uint64) int64 {
	const mapEntry = 64
	return mapEntry + int64(len(key)) + int64(len(bits))*8
}

// closeReader closes readers that were only read from: a failure to close loses nothing.
func closeReader(readers ...*Reader) {
	for _, r := range readers {
		if r != nil {
			_ = r.Close()
		}
	}
}
