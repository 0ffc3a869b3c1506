package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/base/vfs"
)

const (
	// openReadBytes is read from the end of an object at once: trailer and most directories.
	openReadBytes = 16 << 10
	// sectionCacheBytes bounds the sections that a Reader keeps; the one in use is kept even if it is larger.
	sectionCacheBytes = 512 << 10
)

// Reader reads one object. All methods may be called together; none may follow Close.
type Reader struct {
	key string
	obj blob.Reader
	dir *directory
	// blocks, if not nil, is what everything but the trailer and the directory is read through.
	blocks *blockcache.Reader

	// verified has a bit for each block whose checksum was right once. Bits are only ever set.
	verified []atomic.Uint64

	scratch sync.Pool // of *[]byte, see buffer

	mu sync.Mutex // guards the fields below; not held during I/O

	sections     map[int]*section // by the run's place in the directory
	sectionBytes int64
}

// Open reads and checks the trailer and the directory of the object that was stored under key, in one or two reads.
// The Reader owns obj from then on; if Open fails, obj is still the caller's to close. Errors: *CorruptError for
// damage, ErrVersion for a newer format, else what obj returned.
func Open(key string, obj blob.Reader) (*Reader, error) {
	r := &Reader{key: key, obj: obj, sections: make(map[int]*section)}
	size := obj.Size()
	if size < headerBytes+headerBytes+1+trailerBytes {
		return nil, r.corrupt(0, fmt.Sprintf("object has %d bytes, too few for any", size))
	}
	tail := make([]byte, min(size, openReadBytes))
	if err := r.readAt(tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	trailerPos := size - trailerBytes
	t, version, reason := parseTrailer(tail[len(tail)-trailerBytes:])
	if reason != "" {
		return nil, r.corrupt(trailerPos, reason)
	}
	if version != formatVersion {
		return nil, fmt.Errorf("open %s, version %d: %w", key, version, ErrVersion)
	}
	if t.directoryBytes < 0 || t.directoryBytes > maxDirectoryBytes || t.directoryPos != trailerPos-t.directoryBytes {
		return nil, r.corrupt(trailerPos, "trailer leads nowhere")
	}
	var raw []byte
	if inTail := t.directoryPos - (size - int64(len(tail))); inTail >= 0 {
		raw = slices.Clone(tail[inTail : inTail+t.directoryBytes])
	} else {
		raw = make([]byte, t.directoryBytes)
		if err := r.readAt(raw, t.directoryPos); err != nil {
			return nil, err
		}
	}
	if crc32.Checksum(raw, castagnoli) != t.directoryCRC {
		return nil, r.corrupt(t.directoryPos, "directory checksum does not match")
	}
	if r.dir, reason = parseDirectory(raw); reason != "" {
		return nil, r.corrupt(t.directoryPos, reason)
	}
	if r.dir.end != t.directoryPos {
		return nil, r.corrupt(t.directoryPos, "directory does not cover the object")
	}
	r.verified = make([]atomic.Uint64, (r.dir.blocks+63)/64)
	return r, nil
}

// Close closes the object.
func (r *Reader) Close() error { return r.obj.Close() }

// Blocks is the object seen through the Cache's blocks; nil where it has none.
func (r *Reader) Blocks() *blockcache.Reader { return r.blocks }

// Key is the object's key.
func (r *Reader) Key() string { return r.key }

// Shard is the shard whose batches the object holds.
func (r *Reader) Shard() int32 { return r.dir.shard }

// Level is the object's level.
func (r *Reader) Level() Level { return r.dir.level }

// Epoch is the shard's epoch in which the object was made.
func (r *Reader) Epoch() uint64 { return r.dir.epoch }

// CreatedAt is when the object was made, to the millisecond.
func (r *Reader) CreatedAt() time.Time { return timeOf(r.dir.created) }

// Bytes is the size of the whole object.
func (r *Reader) Bytes() int64 { return r.obj.Size() }

// ReadRange reads n bytes of the object from pos into buf, past the page cache where that can be done, for ranges that Verify
// has passed. buf must be a vfs.AlignedBuffer of vfs.RangeBytes(n) at least; the result is a part of it.
func (r *Reader) ReadRange(buf []byte, pos int64, n int) ([]byte, error) {
	return r.obj.ReadRange(buf, pos, n)
}

// Runs returns all runs, sorted by topic id and partition. It decodes the directory anew at each call.
func (r *Reader) Runs() []RunInfo {
	runs := make([]RunInfo, 0, r.dir.runs)
	for e := range r.dir.all {
		runs = append(runs, e.RunInfo)
	}
	return runs
}

// FindRun returns the run of a partition, if the object has one.
func (r *Reader) FindRun(topic [16]byte, partition int32) (RunInfo, bool) {
	e, ok := r.dir.find(topic, partition)
	return e.RunInfo, ok
}

// Aborted returns the aborted transactions of the run that overlap the offsets [from, to), in the order of their
// markers. A transaction is listed in the run that holds its marker: whoever reads a run has to ask those behind it
// too, up to the last stable offset.
func (r *Reader) Aborted(run RunInfo, from, to int64) ([]AbortedTxn, error) {
	e, err := r.entry(run)
	if err != nil || e.aborted == 0 {
		return nil, err
	}
	s, err := r.section(&e)
	if err != nil {
		return nil, err
	}
	var found []AbortedTxn
	for _, a := range s.aborted {
		if a.LastOffset >= from && a.FirstOffset < to {
			found = append(found, a)
		}
	}
	return found, nil
}

// Verify checks the blocks that cover [pos, pos+n) of the run, those not yet checked by this Reader. Without an error
// these bytes, from run.Pos+pos of the object, may be read by ReadRange. A *CorruptError names the damaged block;
// it comes again at the next call. ErrOutsideBody if the run does not have the range.
func (r *Reader) Verify(run RunInfo, pos, n int64) error {
	e, err := r.entry(run)
	if err != nil {
		return err
	}
	return r.verify(&e, pos, n)
}

// ReadAt fills p with the bytes of the object from pos, which must all lie in one run: else ErrOutsideBody. Blocks not
// yet checked are checked first. It returns len(p), or 0 and an error.
func (r *Reader) ReadAt(p []byte, pos int64) (int, error) {
	e, ok := r.dir.at(pos)
	if !ok {
		return 0, fmt.Errorf("read %s at %d: %w", r.key, pos, ErrOutsideBody)
	}
	if err := r.verify(&e, pos-e.Pos, int64(len(p))); err != nil {
		return 0, err
	}
	if err := r.readAt(p, pos); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Scrub reads the whole object and checks every byte of it, whether it was checked before or not. It returns all
// that is wrong, joined; if ctx ends first, its error alone.
func (r *Reader) Scrub(ctx context.Context) error {
	var found []error
	head := make([]byte, headerBytes)
	if err := r.readAt(head, 0); err != nil {
		return err
	}
	if !bytes.Equal(head, r.dir.raw[:headerBytes]) {
		found = append(found, r.corrupt(0, "header is not the directory's copy"))
	}
	buf := vfs.AlignedBuffer(vfs.RangeBytes(int(r.dir.indexBytes)))
	for e := range r.dir.all {
		s, err := r.loadSection(&e)
		if err != nil {
			found = append(found, err)
			continue
		}
		for i := range s.blocks {
			if ctx.Err() != nil {
				return fmt.Errorf("scrub %s: %w", r.key, context.Cause(ctx))
			}
			if err := r.checkBlock(&e, s, int64(i), buf); err != nil {
				found = append(found, err)
			}
		}
	}
	return errors.Join(found...)
}

// entry returns the directory's row of run.
func (r *Reader) entry(run RunInfo) (entry, error) {
	e, ok := r.dir.find(run.Topic, run.Partition)
	if !ok || e.Pos != run.Pos || e.Bytes != run.Bytes {
		return entry{}, fmt.Errorf("run of %x-%d at %d in %s: %w", run.Topic, run.Partition, run.Pos, r.key, ErrNoRun)
	}
	return e, nil
}

func (r *Reader) verify(e *entry, pos, n int64) error {
	if pos < 0 || n < 0 || pos > e.Bytes || n > e.Bytes-pos {
		return fmt.Errorf("range [%d, %d+%d) of run %x-%d of %s, which has %d bytes: %w",
			pos, pos, n, e.Topic, e.Partition, r.key, e.Bytes, ErrOutsideBody)
	}
	if n == 0 {
		return nil
	}
	size := int64(r.dir.indexBytes)
	var s *section
	var buf *[]byte
	for i := pos / size; i <= (pos+n-1)/size; i++ {
		bit := e.firstBlock + i
		word, mask := &r.verified[bit/64], uint64(1)<<(bit%64)
		if word.Load()&mask != 0 {
			continue
		}
		if s == nil {
			var err error
			if s, err = r.section(e); err != nil {
				return err
			}
			buf = r.buffer()
			defer r.scratch.Put(buf)
		}
		if err := r.checkBlock(e, s, i, *buf); err != nil {
			return err
		}
		word.Or(mask)
	}
	return nil
}

// checkBlock reads block i of a run and compares its checksum.
func (r *Reader) checkBlock(e *entry, s *section, i int64, buf []byte) error {
	size := int64(r.dir.indexBytes)
	start := i * size
	n := int(min(size, e.Bytes-start))
	sum, err := r.sumOf(buf, e.Pos+start, n)
	if err == nil && sum != s.blocks[i] {
		r.forget(e.Pos+start, int64(n))
		sum, err = r.sumOf(buf, e.Pos+start, n)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return r.corrupt(e.Pos+start, fmt.Sprintf("object ends inside %d bytes", n))
	}
	if err != nil {
		return fmt.Errorf("read %d bytes of %s at %d: %w", n, r.key, e.Pos+start, err)
	}
	if sum != s.blocks[i] {
		return r.corrupt(e.Pos+start, fmt.Sprintf("checksum of a block of %d bytes of %x-%d does not match", n, e.Topic, e.Partition))
	}
	return nil
}

// sumOf returns the checksum of the n bytes at pos: of those in the blocks where they are, else by way of buf.
func (r *Reader) sumOf(buf []byte, pos int64, n int) (uint32, error) {
	if r.blocks == nil {
		p, err := r.obj.ReadRange(buf, pos, n)
		return crc32.Checksum(p, castagnoli), err
	}
	sum := uint32(0)
	for n > 0 {
		p, release, err := r.blocks.View(pos, n)
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, p)
		release()
		pos, n = pos+int64(len(p)), n-len(p)
	}
	return sum, nil
}

// section returns a run's section from the cache or the object.
func (r *Reader) section(e *entry) (*section, error) {
	r.mu.Lock()
	s := r.sections[e.ordinal]
	r.mu.Unlock()
	if s != nil {
		return s, nil
	}
	// Two callers may load the same section at once: that costs a read and is rare.
	s, err := r.loadSection(e)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.sections[e.ordinal]; other != nil {
		return other, nil
	}
	// Any victim will do: it costs one small read to have it back.
	for k, old := range r.sections {
		if r.sectionBytes+s.bytes() <= sectionCacheBytes {
			break
		}
		delete(r.sections, k)
		r.sectionBytes -= old.bytes()
	}
	r.sections[e.ordinal] = s
	r.sectionBytes += s.bytes()
	return s, nil
}

func (r *Reader) loadSection(e *entry) (*section, error) {
	raw := make([]byte, e.sectionBytes)
	if err := r.readAt(raw, e.sectionPos); err != nil {
		return nil, err
	}
	if crc32.Checksum(raw, castagnoli) != e.sectionCRC {
		r.forget(e.sectionPos, e.sectionBytes)
		if err := r.readAt(raw, e.sectionPos); err != nil {
			return nil, err
		}
	}
	if crc32.Checksum(raw, castagnoli) != e.sectionCRC {
		return nil, r.corrupt(e.sectionPos, fmt.Sprintf("section checksum of %x-%d does not match", e.Topic, e.Partition))
	}
	s, reason := parseSection(raw, e, r.dir.indexBytes)
	if reason != "" {
		return nil, r.corrupt(e.sectionPos, reason)
	}
	return s, nil
}

// readAt fills p. An object that ends early is damage: its size was right when it was opened.
func (r *Reader) readAt(p []byte, pos int64) error {
	n, err := r.readAtOf(p, pos)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.corrupt(pos+int64(n), fmt.Sprintf("object ends %d bytes early", len(p)-n))
	}
	return fmt.Errorf("read %d bytes of %s at %d: %w", len(p), r.key, pos, err)
}

// readAtOf fills p, through the blocks if there are some.
func (r *Reader) readAtOf(p []byte, pos int64) (int, error) {
	if r.blocks != nil {
		return r.blocks.ReadAt(p, pos)
	}
	return r.obj.ReadAt(p, pos)
}

// forget has the next read of the n bytes at pos ask for them anew: they are not what was written, maybe since they were damaged on the way from an object store.
func (r *Reader) forget(pos, n int64) {
	if r.blocks != nil {
		r.blocks.Forget(pos, n)
	}
}

func (r *Reader) corrupt(pos int64, reason string) error {
	return &CorruptError{Object: r.key, Offset: pos, Reason: reason}
}

// buffer returns scratch memory for a block or a walk, to be put back into r.scratch.
func (r *Reader) buffer() *[]byte {
	if b, ok := r.scratch.Get().(*[]byte); ok {
		return b
	}
	b := vfs.AlignedBuffer(max(vfs.RangeBytes(int(r.dir.indexBytes)), walkBytes))
	return &b
}
