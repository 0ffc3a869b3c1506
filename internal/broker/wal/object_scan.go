package wal

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/weir-stream/weir/internal/base/blob"
)

// ObjectPrefix is the folder of the write-ahead logs in an object store.
const ObjectPrefix = "w"

// IncarnationPrefix is what the keys of an incarnation's frames begin with. The hash spreads incarnations over the store's
// partitions, each of which takes a limited rate of writes.
func IncarnationPrefix(incarnation uint64) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%016x", incarnation) //nolint:errcheck // a hash takes everything
	return fmt.Sprintf("%s/%02x/%016x/", ObjectPrefix, byte(h.Sum32()), incarnation)
}

// ObjectKey is the key of a frame.
func ObjectKey(incarnation, seq uint64) string {
	return fmt.Sprintf("%s%012x", IncarnationPrefix(incarnation), seq)
}

// ObjectFrame is a frame as found in an object store. Its positions, and those of its runs, are as its writer counted them, from 0.
type ObjectFrame struct {
	Frame
	Key   string
	Nonce [16]byte
}

// ObjectScan says which frames of an incarnation are wanted: those with a sequence number in [From, To).
type ObjectScan struct {
	Blob        blob.Store
	ClusterID   [16]byte
	Incarnation uint64
	From, To    uint64
	// Cache, if not nil, is where frames are looked for, and put.
	Cache *FrameCache
}

// How many frames are read at the same time, and looked for where the log ends.
const (
	scanParallel = 64
	lookParallel = 32
)

// ScanObjects reads headers and footers of the frames and calls visit for each, in order. A frame that is missing or is not what it
// should be is an error: all of them were there when To was fixed. visit must not change a frame if there is a cache.
func ScanObjects(ctx context.Context, s ObjectScan, visit func(*ObjectFrame) error) error {
	frames := make([]*ObjectFrame, scanParallel)
	for from := s.From; from < s.To; {
		n := min(s.To-from, scanParallel)
		g, gctx := errgroup.WithContext(ctx)
		for i := range n {
			g.Go(func() (err error) {
				frames[i], err = s.read(gctx, from+i)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, f := range frames[:n] {
			if err := visit(f); err != nil {
				return err
			}
		}
		from += n
	}
	return nil
}

// wholeObjectBytes is up to which size an object is read with one request.
const wholeObjectBytes = 128 << 10

func (s *ObjectScan) read(ctx context.Context, seq uint64) (*ObjectFrame, error) {
	key := ObjectKey(s.Incarnation, seq)
	if s.Cache != nil {
		return s.Cache.get(ctx, key, func() (*ObjectFrame, error) { return s.readObject(ctx, key, seq) })
	}
	return s.readObject(ctx, key, seq)
}

func (s *ObjectScan) readObject(ctx context.Context, key string, seq uint64) (*ObjectFrame, error) {
	r, err := s.Blob.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open frame %s: %w", key, err)
	}
	defer r.Close() //nolint:errcheck // it is only read
	f := &ObjectFrame{Key: key}
	switch err := f.decode(r, s, seq); {
	case errors.Is(err, errUnread): // of which nothing is known; it is no damage
		return nil, fmt.Errorf("frame %s: %w", key, err)
	case err != nil:
		return nil, &CorruptError{File: key, Reason: err.Error()}
	}
	return f, nil
}

// decode reads header and footer of the object in r.
func (f *ObjectFrame) decode(r blob.Reader, s *ObjectScan, seq uint64) error {
	head := make([]byte, headerBytes)
	whole := r.Size() <= wholeObjectBytes
	if whole {
		head = make([]byte, r.Size())
	}
	if err := readFull(r, head, 0); err != nil {
		return err
	}
	var h frameHeader
	if err := h.decode(head); err != nil {
		return fmt.Errorf("frame header: %w", err)
	}
	switch {
	case h.Cluster != s.ClusterID:
		return errors.New("frame of another cluster")
	case h.Incarnation != s.Incarnation || h.Seq != seq:
		return fmt.Errorf("frame %d of incarnation %d in its place", h.Seq, h.Incarnation)
	case h.Flags&flagSeal != 0:
		return errors.New("a seal where a frame was acknowledged")
	case h.frameBytes() != r.Size():
		return fmt.Errorf("frame of %d bytes in an object of %d", h.frameBytes(), r.Size())
	}
	tail := make([]byte, int(h.FooterBytes)+trailerBytes)
	if whole {
		tail = head[h.footerOffset():][:len(tail)]
	} else if err := readFull(r, tail, h.footerOffset()); err != nil {
		return err
	}
	dirCRC, err := decodeTrailer(tail[h.FooterBytes:], &h)
	if err != nil {
		return fmt.Errorf("frame trailer: %w", err)
	}
	f.Incarnation, f.Seq, f.Pos, f.Bytes, f.Nonce = h.Incarnation, h.Seq, h.Pos, h.frameBytes(), h.Nonce
	if err := decodeFooter(tail[:h.FooterBytes], &h, dirCRC, &f.Frame); err != nil {
		return fmt.Errorf("frame footer: %w", err)
	}
	return nil
}

// errUnread marks that bytes could not be read.
var errUnread = errors.New("could not be read")

// readFull fills p. Its error is errShort if the object ends before, or wraps errUnread.
func readFull(r blob.Reader, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("read %d bytes at %d: %w", len(p), off, errShort)
	}
	return fmt.Errorf("%w: %d bytes at %d: %w", errUnread, len(p), off, err)
}

// readObjectHeader reads and checks the header of a frame or seal.
func readObjectHeader(ctx context.Context, store blob.Store, key string) (frameHeader, error) {
	var h frameHeader
	r, err := store.Open(ctx, key)
	if err != nil {
		return h, err
	}
	defer r.Close() //nolint:errcheck // it is only read
	b := make([]byte, headerBytes)
	if err := readFull(r, b, 0); err != nil {
		return h, err
	}
	if err := h.decode(b); err != nil {
		return h, &CorruptError{File: key, Reason: err.Error()}
	}
	return h, nil
}

// maxInFlight bounds ObjectOptions.InFlight.
const maxInFlight = 16

// A sealer that meets a live writer puts a seal barrierAhead of what it has seen, which the writer cannot pass, before it looks
// for the first gap again. So no frame lies more than sealLookBack behind the lowest seal.
const (
	barrierAhead = 2 * maxInFlight
	sealLookBack = 2 * barrierAhead
)

// ObjectSeal says which incarnation is to be sealed. From is a sequence number below which all frames were durable once, and may
// be deleted by now; Nonce is the sealer's.
type ObjectSeal struct {
	Blob        blob.Store
	ClusterID   [16]byte
	Incarnation uint64
	From        uint64
	Nonce       [16]byte
}

// SealObjects ends an incarnation: it puts a seal where the first frame is missing, and returns that sequence number. Whoever wrote
// the incarnation can acknowledge nothing from there on, and everything below is there. Any number of callers may do it at the
// same time, again and again; all get the same answer. Seals are never deleted.
//
// It lists nothing, but asks for one object after the other: where the log ends must not depend on how soon a store lists what was written.
func SealObjects(ctx context.Context, s ObjectSeal) (uint64, error) {
	barrier := uint64(0)
	k, err := s.near(ctx)
	if err != nil {
		return 0, err
	}
	for {
		var sealed bool
		if k, sealed, err = s.walk(ctx, k); err != nil || sealed {
			return k, err
		}
		switch placed, err := s.place(ctx, k); {
		case err != nil:
			return 0, err
		case placed:
			return k, nil
		}
		// Somebody was faster. If it is a writer it may be so for ever.
		if barrier <= k {
			placed, err := s.place(ctx, k+barrierAhead)
			if err != nil {
				return 0, err
			}
			if placed {
				barrier = k + barrierAhead
			}
		}
	}
}

// probes is how many objects are looked for at the same time.
const probes = 8

// near returns where to look for the first gap: at or below it, and below any seal. It asks for single objects, since to list
// all that was written since From may take long. An object that is there proves that all are there which lie sealLookBack below it: a
// writer has no more than maxInFlight on their way, and a barrier lies no further ahead.
func (s *ObjectSeal) near(ctx context.Context) (uint64, error) {
	seen, missing := s.From, uint64(0) // seen is From, or was there; missing was not, 0 while none is known
	for stride := uint64(sealLookBack); missing == 0 || missing-seen > sealLookBack; {
		if missing > 0 {
			stride = (missing-seen)/(probes+1) + 1
		}
		var there [probes]bool
		g, gctx := errgroup.WithContext(ctx)
		for i := range there {
			g.Go(func() (err error) {
				there[i], err = s.exists(gctx, seen+stride*uint64(i+1))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return 0, err
		}
		// The last one that is there counts: one may be missing before it that is on its way.
		n := probes
		for n > 0 && !there[n-1] {
			n--
		}
		if n < probes {
			missing = seen + stride*uint64(n+1)
		}
		seen += stride * uint64(n)
		stride *= probes
	}
	return max(s.From, seen-min(seen, sealLookBack)), nil
}

func (s *ObjectSeal) exists(ctx context.Context, k uint64) (bool, error) {
	r, err := s.Blob.Open(ctx, ObjectKey(s.Incarnation, k))
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("seal incarnation %d: look for frame %d: %w", s.Incarnation, k, err)
	}
	return true, r.Close()
}

// walk goes from k on to the first sequence number at which no object is, or to a seal, and says which of them it is. What lies beyond does not matter.
func (s *ObjectSeal) walk(ctx context.Context, k uint64) (end uint64, sealed bool, err error) {
	for {
		var there [lookParallel]standing
		var errs [lookParallel]error
		var looking sync.WaitGroup
		for i := range there {
			looking.Go(func() { there[i], errs[i] = s.look(ctx, k+uint64(i)) })
		}
		looking.Wait()
		for i := range there {
			if errs[i] != nil || there[i] != standsFrame {
				return k, there[i] == standsSeal, errs[i]
			}
			k++
		}
	}
}

// place puts a seal at k unless something is there.
func (s *ObjectSeal) place(ctx context.Context, k uint64) (bool, error) {
	err := s.Blob.PutIfAbsent(ctx, ObjectKey(s.Incarnation, k), s.encode(k))
	if err != nil && !errors.Is(err, blob.ErrExists) {
		return false, fmt.Errorf("seal incarnation %d at %d: %w", s.Incarnation, k, err)
	}
	return err == nil, nil
}

// standing is what stands at a sequence number.
type standing uint8

const (
	standsNothing standing = iota
	standsFrame
	standsSeal
)

// look tells what stands at k.
func (s *ObjectSeal) look(ctx context.Context, k uint64) (standing, error) {
	key := ObjectKey(s.Incarnation, k)
	h, err := readObjectHeader(ctx, s.Blob, key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return standsNothing, nil
	case err != nil:
		return 0, fmt.Errorf("seal incarnation %d: look at %s: %w", s.Incarnation, key, err)
	case h.Cluster != s.ClusterID || h.Incarnation != s.Incarnation || h.Seq != k:
		return 0, &CorruptError{File: key, Reason: fmt.Sprintf("frame %d of incarnation %d in its place", h.Seq, h.Incarnation)}
	case h.Flags&flagSeal != 0:
		return standsSeal, nil
	}
	return standsFrame, nil
}

// encode returns the bytes of a seal: a frame without content.
func (s *ObjectSeal) encode(k uint64) []byte {
	h := frameHeader{Flags: flagSeal, Cluster: s.ClusterID, Incarnation: s.Incarnation, Seq: k, Nonce: s.Nonce}
	b := make([]byte, h.frameBytes())
	h.encode(b)
	encodeTrailer(b[h.footerOffset():], &h, checksum(nil))
	return b
}
