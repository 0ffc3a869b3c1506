package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// ObjectOptions configures an ObjectLog. Blob, ClusterID, Incarnation and Nonce must be set.
type ObjectOptions struct {
	Blob        blob.Store
	ClusterID   [16]byte
	Incarnation uint64   // of this life of the broker; never used before
	Nonce       [16]byte // random, new for every incarnation: by it an object is known to be our own

	GroupBytes int   // batch bytes at which a group is flushed; 0: 4 MiB
	QueueBytes int64 // batch bytes in memory, not yet durable, above which Admit blocks; 0: 64 MiB
	RingBytes  int64 // of the last frames that stay in memory for readers; 0: 128 MiB
	// RecallBytes bounds what Recall holds in memory, besides, and what is kept of that memory for the next time. 0: RingBytes.
	RecallBytes int64
	InFlight    int           // objects being written at the same time, at most 16; 0: 8
	Interval    time.Duration // that a batch waits for others while an object is being written; 0: 250 ms
	Urgent      time.Duration // the same for batches of urgent streams, markers and controls; 0: 20 ms
	// PutsPerSecond bounds how often objects are written, over a minute; full groups are written all the same. 0: no bound.
	PutsPerSecond float64
	// OverlapBytes is how many batch bytes a group needs to be written beside another that is on its way, without being full, once nobody
	// has added to it for OverlapQuiet: who could is waiting for acknowledgements. Not with a bound in PutsPerSecond. 0: 1 MiB; 2 ms.
	OverlapBytes int64
	OverlapQuiet time.Duration
	GiveUp       time.Duration // after which an object that cannot be written ends the log; 0: 30 s

	// OnDurable is as in Options.
	OnDurable func(*Frame)

	Logger  *slog.Logger   // nil: none
	Metrics *ObjectMetrics // nil: nobody measures
}

// Ring is how many bytes of frames stay in memory for readers.
func (o ObjectOptions) Ring() int64 { return cmp.Or(o.RingBytes, 128<<20) }

// Recallable is how many bytes of frames Recall holds.
func (o ObjectOptions) Recallable() int64 { return cmp.Or(o.RecallBytes, o.Ring()) }

func (o ObjectOptions) withDefaults() ObjectOptions {
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&o.QueueBytes, 64<<20)
	o.RingBytes, o.RecallBytes = o.Ring(), o.Recallable()
	set((*int64)(&o.Interval), int64(250*time.Millisecond))
	set((*int64)(&o.Urgent), int64(20*time.Millisecond))
	set((*int64)(&o.GiveUp), int64(30*time.Second))
	set(&o.OverlapBytes, 1<<20)
	set((*int64)(&o.OverlapQuiet), int64(2*time.Millisecond))
	if o.GroupBytes == 0 {
		o.GroupBytes = 4 << 20
	}
	if o.InFlight == 0 {
		o.InFlight = 8
	}
	o.InFlight = min(o.InFlight, maxInFlight)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewObjectMetrics(nil)
	}
	return o
}

// ObjectLog is the chain of one incarnation in an object store: every frame is an object, w/<hash>/<incarnation>/<sequence>,
// created by a conditional write that only one can win. It takes the place of Log where brokers hold no data.
//
//	open group ── full, due, or nothing in flight ──> up to InFlight objects at a time ──> complete in order
//
// A ticket completes when its object and all before it are there. The positions of its own frames begin at OwnStart; frames of
// other incarnations, which recovery finds, are given positions below by Adopt, so that whoever reads need not know the difference.
//
// If an object cannot be written, or somebody else's stands in its place (the seal of a successor), the log is dead: every
// ticket that is not complete fails, and the broker begins a new incarnation.
type ObjectLog struct {
	o       ObjectOptions
	metrics *ObjectMetrics

	mu sync.Mutex

	state  state
	failed error // wraps ErrFailed

	open        *group    // being filled; never nil
	since       time.Time // when the first batch came into open
	touched     time.Time // when the last one came, if open has OverlapBytes
	urgent      bool      // something in open is
	pending     []*group  // full ones, oldest first
	inflight    []*group  // being written, oldest first, until complete
	ring        ring
	recalled    *Recalled              // nil: nothing is
	tidied      time.Time              // when the ring shed what it did not need; zero while it has no more than it always may
	reading     map[string]*openObject // by key
	groupNumber uint64
	queuedBytes int64
	waiters     []waiter
	completing  bool
	tokens      bucket

	seq     uint64   // of the next frame
	chain   uint32   // checksum of the last header
	place   Position // where the last frame ended, relative to the incarnation
	durable Position // where the last complete frame ended
	next    uint64   // sequence number after the last complete frame

	own     []place // complete frames, ascending, that are not trimmed
	adopted []place // frames of others, ascending
	free    Position

	kick chan struct{} // the flusher has to look
}

// place is an object by the position of its first byte.
type place struct {
	pos   Position
	bytes int64
	key   string
	seq   uint64
}

// OwnStart is the position of an ObjectLog's first frame. Adopted frames lie below it.
const OwnStart Position = 1 << 60

// NewObjectLog returns a log that has written nothing. It is written to once Run is ready.
func NewObjectLog(o ObjectOptions) *ObjectLog {
	o = o.withDefaults()
	l := &ObjectLog{o: o, metrics: o.Metrics, durable: OwnStart, kick: make(chan struct{}, 1), tokens: newBucket(o.PutsPerSecond), reading: map[string]*openObject{}}
	l.ring.limit, l.ring.lendable, l.ring.whole = o.RingBytes, o.RecallBytes, true
	l.open = l.newGroup()
	return l
}

func (l *ObjectLog) newGroup() *group {
	l.groupNumber++
	g := &group{}
	g.reset(l.groupNumber)
	l.urgent = false
	return g
}

func (l *ObjectLog) refusal() error {
	switch {
	case l.failed != nil:
		return l.failed
	case l.state != stateRunning:
		return ErrClosed
	}
	return nil
}

// objectBytesMax bounds a frame in an object.
const objectBytesMax = 1 << 30

// Append is Log.Append.
func (l *ObjectLog) Append(s *Stream, batch []byte, info BatchInfo) (Ticket, error) {
	if len(batch) == 0 || len(batch) > math.MaxInt32 || info.LastOffsetDelta < 0 || info.RecordCount < 0 || info.BaseOffset < 0 ||
		info.BaseOffset > math.MaxInt64-math.MaxInt32-1 || s.Partition < 0 {
		return Ticket{}, ErrInvalid
	}
	if len(batch) > objectBytesMax {
		return Ticket{}, ErrTooLarge
	}
	info.Bytes = int32(len(batch))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return Ticket{}, err
	}
	if info.BaseOffset < l.open.nextOffset(s) {
		return Ticket{}, ErrInvalid
	}
	if !l.open.empty() && l.open.body+int64(len(batch)) > int64(l.o.GroupBytes) {
		l.closeOpen()
	}
	l.begin(s.Urgent || info.Attributes&controlBatch != 0)
	l.open.add(s, batch, info)
	if l.o.PutsPerSecond == 0 && l.open.body >= l.o.OverlapBytes {
		l.touched = time.Now()
		if l.open.body-int64(len(batch)) < l.o.OverlapBytes {
			l.poke()
		}
	}
	l.queuedBytes += int64(len(batch))
	return Ticket{l.open.commit}, nil
}

// AppendControl is Log.AppendControl.
func (l *ObjectLog) AppendControl(c Control) (Ticket, error) {
	if c.Kind < ControlDeleteRecords || c.Kind > ControlLeaderEpoch {
		return Ticket{}, ErrInvalid
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return Ticket{}, err
	}
	if l.open.footer > objectFooterMax {
		l.closeOpen()
	}
	l.begin(true)
	l.open.addControl(c)
	return Ticket{l.open.commit}, nil
}

// objectFooterMax bounds the footer of a frame that holds little else.
const objectFooterMax = 16 << 20

// begin notes that something comes into the open group, and lets the flusher look if that makes a difference to it.
func (l *ObjectLog) begin(urgent bool) {
	first := l.open.empty()
	if first {
		l.since = time.Now()
	}
	if first || urgent && !l.urgent {
		l.poke()
	}
	l.urgent = l.urgent || urgent
}

func (l *ObjectLog) closeOpen() {
	l.pending = append(l.pending, l.open)
	l.open = l.newGroup()
	l.poke()
}

func (l *ObjectLog) poke() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Barrier is Log.Barrier.
func (l *ObjectLog) Barrier() Ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.open.empty():
		l.urgent = true // somebody waits for it
		l.poke()
		return Ticket{l.open.commit}
	case len(l.pending) > 0:
		return Ticket{l.pending[len(l.pending)-1].commit}
	case len(l.inflight) > 0:
		return Ticket{l.inflight[len(l.inflight)-1].commit}
	case l.failed != nil:
		c := newCommit()
		c.finish(l.failed)
		return Ticket{c}
	}
	return Ticket{}
}

// Admit is Log.Admit: it waits until no more than QueueBytes are waiting to become durable.
func (l *ObjectLog) Admit(ctx context.Context, n int64) error {
	l.mu.Lock()
	if err := l.refusal(); err != nil {
		l.mu.Unlock()
		return err
	}
	if len(l.waiters) == 0 && l.welcome(n, 0) {
		l.mu.Unlock()
		return nil
	}
	w := waiter{bytes: n, ready: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	l.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		l.mu.Lock()
		l.waiters = slices.DeleteFunc(l.waiters, func(x waiter) bool { return x.ready == w.ready })
		l.admit()
		l.mu.Unlock()
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal()
}

func (l *ObjectLog) welcome(n, let int64) bool {
	queued := l.queuedBytes + let
	return queued == 0 || queued+n <= l.o.QueueBytes
}

// admit lets the waiters go for whom there is room now, or who wait in vain.
func (l *ObjectLog) admit() {
	let, n := int64(0), 0
	for ; n < len(l.waiters); n++ {
		w := l.waiters[n]
		if l.state == stateRunning && !l.welcome(w.bytes, let) {
			break
		}
		let += w.bytes
		close(w.ready)
	}
	l.waiters = slices.Delete(l.waiters, 0, n)
}

// Mark is the end of what is durable: a position, and the sequence number of the frame that begins there.
type Mark struct {
	Pos Position
	Seq uint64
}

// Durable returns the end of the last complete frame. What was appended before a call of Barrier whose ticket is complete lies
// below it.
func (l *ObjectLog) Durable() Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Mark{l.durable, l.next}
}

// NextSeq is a sequence number that no frame has which holds anything appended before the call.
func (l *ObjectLog) NextSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// Bytes is the size of the log's own frames that are not trimmed.
func (l *ObjectLog) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.own) == 0 {
		return 0
	}
	return int64(l.durable - l.own[0].pos)
}

// Remembered counts the bytes of memory that frames have taken in the ring, ever: what was written when it was RingBytes less is there no more. A frame takes
// more than it has.
func (l *ObjectLog) Remembered() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ring.added
}

// Apart says that each frame has to be fetched by itself, so that those who read one after another want several at a time.
func (l *ObjectLog) Apart() bool { return true }

// Place is where a position lies in the object store.
type Place struct {
	Key   string
	Bytes int64 // of the whole object
	Off   int64 // of the position in it
}

// Place returns the object that holds pos; false if it is not part of the log any more.
func (l *ObjectLog) Place(pos Position) (Place, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.own
	if pos < OwnStart {
		list = l.adopted
	}
	p, ok := findPlace(list, pos)
	return Place{Key: p.key, Bytes: p.bytes, Off: int64(pos - p.pos)}, ok
}

// Recent is Log.Recent.
func (l *ObjectLog) Recent(pos Position, n int64) (p []byte, release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.ring.find(pos, n)
	if b == nil {
		b = l.recalled.find(pos, n)
	}
	if b == nil {
		return nil, nil, false
	}
	b.pins++
	at := int64(pos - b.pos)
	return b.bytes[at : at+n : at+n], func() { l.unpinBlock(b) }, true
}

func (l *ObjectLog) unpinBlock(b *ringBlock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring.unpin(b)
}

// Pin opens the object that holds pos. ErrTrimmed if it is not part of the log any more; blob.ErrNotFound, wrapped, if it is gone, which the
// first read may be the one to say.
func (l *ObjectLog) Pin(ctx context.Context, pos Position) (Pinned, error) {
	l.mu.Lock()
	var p place
	var ok bool
	if pos >= OwnStart {
		p, ok = findPlace(l.own, pos)
	} else {
		p, ok = findPlace(l.adopted, pos)
	}
	l.mu.Unlock()
	if !ok {
		return Pinned{}, fmt.Errorf("%w: %v", ErrTrimmed, pos)
	}
	o, err := l.openObject(ctx, p)
	if err != nil {
		return Pinned{}, fmt.Errorf("wal: open %s: %w", p.key, err)
	}
	return Pinned{Source: o, Off: int64(pos - p.pos), ID: p.key, Durable: o.Size(), Whole: true, Release: func() { l.closeObject(p.key, o) }}, nil
}

// openObject is an object that somebody reads. All who do share it: what reads ahead for one may end after that one.
type openObject struct {
	blob.Reader

	users int
}

// Vectored implements blob.VectorReader.
func (o *openObject) Vectored() bool { return blob.Vectored(o.Reader) }

// ReadVector implements blob.VectorReader.
func (o *openObject) ReadVector(p [][]byte, off int64) error {
	return blob.ReadVector(o.Reader, p, off)
}

func (l *ObjectLog) openObject(ctx context.Context, p place) (*openObject, error) {
	l.mu.Lock()
	o := l.reading[p.key]
	if o != nil {
		o.users++
	}
	l.mu.Unlock()
	if o != nil {
		return o, nil
	}
	r, err := blob.OpenSized(ctx, l.o.Blob, p.key, p.bytes)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	o = l.reading[p.key]
	mine := o == nil
	if mine {
		o = &openObject{Reader: r}
		l.reading[p.key] = o
	}
	o.users++
	l.mu.Unlock()
	if !mine {
		r.Close() //nolint:errcheck // nothing was read
	}
	return o, nil
}

func (l *ObjectLog) closeObject(key string, o *openObject) {
	l.mu.Lock()
	o.users--
	last := o.users == 0
	if last {
		delete(l.reading, key)
	}
	l.mu.Unlock()
	if last {
		o.Close() //nolint:errcheck // it was only read
	}
}

func findPlace(list []place, pos Position) (place, bool) {
	i, found := slices.BinarySearchFunc(list, pos, func(p place, at Position) int { return int(min(1, max(-1, p.pos-at))) })
	if !found {
		i--
	}
	if i < 0 || pos >= list[i].pos+Position(list[i].bytes) {
		return place{}, false
	}
	return list[i], true
}

// Read is Log.Read.
func (l *ObjectLog) Read(ctx context.Context, buf []byte, pos Position, n int) ([]byte, error) {
	if b, release, ok := l.Recent(pos, int64(n)); ok {
		copy(buf[:n], b)
		release()
		return buf[:n], nil
	}
	pin, err := l.Pin(ctx, pos)
	if err != nil {
		return nil, err
	}
	defer pin.Release()
	if _, err := pin.Source.ReadAt(buf[:n], pin.Off); err != nil {
		return nil, fmt.Errorf("wal: read %d bytes at %v: %w", n, pos, err)
	}
	return buf[:n], nil
}

// Adopt gives a frame of another incarnation, or of this one before it lost the shard, a place below OwnStart: what Frame has at
// position Pos+n is found there at the returned position + n. Frames are adopted in the order in which they are part of a log.
func (l *ObjectLog) Adopt(f *ObjectFrame) Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	pos := l.free
	l.adopted = append(l.adopted, place{pos: pos, bytes: f.Bytes, key: f.Key, seq: f.Seq})
	l.free += Position(f.Bytes)
	return pos
}

// Trim forgets the frames that end at or below before, of which nothing is read any more, in memory too, but adopted ones only if asked, and
// returns the sequence number that the log's own frames now begin with. It deletes no object.
func (l *ObjectLog) Trim(before Position, adopted bool) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring.trim(before)
	if l.ring.spares > maxSpareBytes {
		l.poke() // it has to tidy in a while
	}
	past := func(p place) bool { return p.pos+Position(p.bytes) > before }
	if i := slices.IndexFunc(l.adopted, past); adopted && i != 0 {
		l.adopted = trimPlaces(l.adopted, i)
	}
	if i := slices.IndexFunc(l.own, past); i != 0 {
		l.own = trimPlaces(l.own, i)
	}
	if len(l.own) > 0 {
		return l.own[0].seq
	}
	return l.next
}

// trimPlaces drops the first n places, all of them if n is below 0.
func trimPlaces(list []place, n int) []place {
	if n < 0 {
		n = len(list)
	}
	return slices.Delete(list, 0, n)
}

// fail ends the log: every ticket that is not complete fails, and so does every later call.
func (l *ObjectLog) fail(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	l.failed = fmt.Errorf("%w: %w", ErrFailed, cause)
	l.end(l.failed)
	return l.failed
}

// end finishes all tickets that are not complete with err. l.mu is held.
func (l *ObjectLog) end(err error) {
	l.state = stateEnded
	inflight := l.inflight
	if l.completing && len(inflight) > 0 {
		inflight = inflight[1:] // that one made it
	}
	for _, groups := range [][]*group{inflight, l.pending, {l.open}} {
		for _, g := range groups {
			g.commit.finish(err)
		}
	}
	l.inflight, l.pending = nil, nil
	l.open = l.newGroup()
	l.admit()
	l.poke()
}

// ErrSealed is what a log fails with, wrapped, when a successor has sealed its incarnation.
var ErrSealed = errors.New("the incarnation was sealed by a successor")
