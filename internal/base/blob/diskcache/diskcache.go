// Package diskcache keeps blocks of remote objects in a file on the local disk, below everything else that reads them.
//
//	reader ── block of 1 MiB ──> in the file? ── checksum right ──> served
//	                                  │ no                │ no: forgotten, and counted
//	                                  v                   v
//	                         the remote store; kept when it was asked for twice
//
// A block is kept from the second time on that it is asked for, so what reads everything once (a merge, a consumer that catches up)
// pushes nothing out. The least recently used block makes room. Objects are known by their key, so only keys that never stand for
// other bytes may be cacheable.
//
// The file is begun anew by each process: which blocks it holds, and their checksums, are in memory only. So nothing of an earlier
// process, whose writes were never synced, can be served, and whatever the disk does to the file is found out.
//
// The cache is an aid. It grows only while MinFreeBytes stay free, gives everything back when they do not, never makes a reader wait
// for a write, and switches itself off for good when its disk fails.
//
// All methods may be called together. mu is never held during I/O.
package diskcache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

const (
	// BlockBytes is the unit of keeping.
	BlockBytes = 1 << 20
	// fileName is the cache's file in its directory.
	fileName = "blocks"
	// queueBlocks is how many blocks may wait to be written; more are not kept.
	queueBlocks = 16
	// failuresMax is how many failures in a row switch the cache off.
	failuresMax = 3
	// lookEvery is after how many writes the free space is looked at.
	lookEvery = 32
)

// Options of a Store. FS, Dir, MaxBytes and Cacheable are required.
type Options struct {
	FS vfs.FS
	// Dir is a directory that nobody else uses; it is made if need be.
	Dir string
	// MaxBytes bounds the file; it is rounded down to blocks, at least one.
	MaxBytes int64
	// MinFreeBytes of the disk are left to others, 0 for 1 GiB.
	MinFreeBytes int64
	// Cacheable says whether a key stands for the same bytes for ever.
	Cacheable  func(key string) bool
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are not registered
}

type blockID struct {
	key    string
	number int64
}

// slot is a place in the file. It belongs to the writer while it is neither in the index nor free.
type slot struct {
	id    blockID
	place int64 // in blocks
	bytes int
	crc   uint32
	users int // who read it now
	gone  bool
	item  *list.Element
}

// Store is a blob.Store that keeps blocks of what it reads.
type Store struct {
	blob.Store
	o       Options
	max     int
	metrics *metrics
	queue   chan *fill
	done    chan struct{}
	writer  sync.WaitGroup
	buffers sync.Pool // of *[]byte

	mu       sync.Mutex
	file     vfs.File // nil when switched off
	index    map[blockID]*slot
	recent   list.List // of *slot in index, the most recently used first
	free     []int64   // places
	places   int64     // in the file
	failures int
	closed   bool
	seen     [2]map[blockID]struct{} // what was asked for once: now, and before that
}

// fill is a block to be kept.
type fill struct {
	id    blockID
	buf   *[]byte
	bytes int
	// flushed, if not nil, is closed when what was queued before is kept, and that is all.
	flushed chan struct{}
}

// Open returns a Store over inner, with an empty cache. Close ends it, and not inner.
func Open(inner blob.Store, o Options) (*Store, error) {
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = 1 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := vfs.MakeDirs(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	f, err := o.FS.Create(filepath.Join(o.Dir, fileName))
	if err != nil {
		return nil, fmt.Errorf("make the cache file: %w", err)
	}
	s := &Store{
		Store: inner, o: o, max: int(max(o.MaxBytes/BlockBytes, 1)), metrics: newMetrics(o.Registerer), queue: make(chan *fill, queueBlocks), done: make(chan struct{}),
		file: f, index: map[blockID]*slot{}, seen: [2]map[blockID]struct{}{{}, {}},
	}
	s.buffers.New = func() any { b := vfs.AlignedBuffer(vfs.RangeBytes(BlockBytes)); return &b }
	s.writer.Go(s.write)
	return s, nil
}

// PutSummed implements blob.Summed.
func (s *Store) PutSummed(ctx context.Context, key string, body []byte, crc uint32) error {
	return blob.PutSummed(ctx, s.Store, key, body, crc)
}

// Close stops keeping, and removes the file. Readers go on without it.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.done)
	s.writer.Wait()
	s.mu.Lock()
	f := s.dropLocked()
	s.mu.Unlock()
	return s.remove(f)
}

// dropLocked empties the cache for good. The file is to be removed.
func (s *Store) dropLocked() vfs.File {
	f := s.file
	s.file = nil
	clear(s.index)
	s.recent.Init()
	s.free = nil
	s.metrics.bytes.Set(0)
	return f
}

func (s *Store) remove(f vfs.File) error {
	if f == nil {
		return nil
	}
	err := s.o.FS.Remove(filepath.Join(s.o.Dir, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(f.Close(), err)
}

// fail counts a failure of the cache's disk; the last of several in a row switches the cache off. The file stays open, since others may be
// reading it this moment; it ends with the process.
func (s *Store) fail(err error) {
	s.mu.Lock()
	s.failures++
	var f vfs.File
	if s.failures >= failuresMax {
		f = s.dropLocked()
	}
	s.mu.Unlock()
	s.metrics.failures.Inc()
	if f != nil {
		s.metrics.off.Set(1)
		s.o.Logger.Warn("the disk of the segment cache fails; the cache is switched off", "dir", s.o.Dir, "err", err)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// lookup returns a block's slot for reading, to be given to unuse, or nil.
func (s *Store) lookup(id blockID) (*slot, vfs.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.index[id]
	if sl == nil || s.file == nil {
		return nil, nil
	}
	sl.users++
	s.recent.MoveToFront(sl.item)
	return sl, s.file
}

func (s *Store) unuse(sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl.users--
	s.reclaimLocked(sl)
}

// forgetLocked takes a block out of the index.
func (s *Store) forgetLocked(sl *slot) {
	if !sl.gone {
		sl.gone = true
		delete(s.index, sl.id)
		s.recent.Remove(sl.item)
		s.metrics.bytes.Sub(BlockBytes)
		s.reclaimLocked(sl)
	}
}

// reclaimLocked frees the place of a block that has gone, once nobody reads it.
func (s *Store) reclaimLocked(sl *slot) {
	if sl.gone && sl.users == 0 && s.file != nil {
		s.free = append(s.free, sl.place)
	}
}

// get fills buf, an aligned buffer, with a block and returns its bytes, or nil if they are not here.
func (s *Store) get(id blockID, buf []byte) []byte {
	sl, f := s.lookup(id)
	if sl == nil {
		return nil
	}
	defer s.unuse(sl)
	b, err := f.ReadRange(buf, sl.place*BlockBytes, sl.bytes)
	if err != nil {
		s.fail(err)
		s.drop(sl)
		return nil
	}
	if crc32.Checksum(b, castagnoli) != sl.crc {
		s.metrics.damaged.Inc()
		s.drop(sl)
		return nil
	}
	s.metrics.hits.Inc()
	return b
}

func (s *Store) drop(sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(sl)
}

// again notes that a block was asked for, and reports whether it was before, and is to be kept.
func (s *Store) again(id blockID) bool {
	s.metrics.misses.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil || s.closed {
		return false
	}
	for _, m := range s.seen {
		if _, ok := m[id]; ok {
			return true
		}
	}
	if len(s.seen[0]) >= 2*s.max {
		s.seen[0], s.seen[1] = map[blockID]struct{}{}, s.seen[0]
	}
	s.seen[0][id] = struct{}{}
	return false
}

// keep has a block written, unless too many wait. b may be part of buf, which is the writer's from then on.
func (s *Store) keep(id blockID, buf *[]byte, b []byte) {
	copy(*buf, b) // onto itself, as a rule
	select {
	case s.queue <- &fill{id: id, buf: buf, bytes: len(b)}:
	default:
		s.buffers.Put(buf)
	}
}
