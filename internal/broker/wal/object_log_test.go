package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// objectRun is an ObjectLog with what was appended to it.
type objectRun struct {
	*ObjectLog
	store  blob.Store
	ctx    context.Context
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	frames []string // durable runs, as OnDurable told of them
	acked  [][]byte // batches whose ticket completed well
}

func startObjects(t *testing.T, o ObjectOptions) *objectRun {
	t.Helper()
	r := &objectRun{store: o.Blob, done: make(chan error, 1)}
	o.ClusterID, o.Nonce = [16]byte{7}, [16]byte{9, byte(o.Incarnation)}
	o.OnDurable = func(f *Frame) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range f.Runs {
			r.frames = append(r.frames, describe(&f.Runs[i]))
		}
	}
	r.ObjectLog = NewObjectLog(o)
	r.ctx, r.cancel = context.WithCancel(t.Context())
	ready := make(chan struct{})
	go func() { r.done <- r.Run(r.ctx, func() { close(ready) }) }()
	<-ready
	return r
}

func describe(r *Run) string {
	return fmt.Sprintf("%d/%d [%d, %d) crc %x", r.Shard, r.Partition, r.BaseOffset, r.NextOffset, r.CRC)
}

func (r *objectRun) stop() error {
	r.cancel()
	return <-r.done
}

// scan returns the runs of frames [0, to) as objects have them.
func (r *objectRun) scan(t *testing.T, to uint64) (runs []string, bodies [][]byte) {
	t.Helper()
	s := ObjectScan{Blob: r.store, ClusterID: r.o.ClusterID, Incarnation: r.o.Incarnation, To: to}
	var next Position
	err := ScanObjects(t.Context(), s, func(f *ObjectFrame) error {
		if f.Pos != next || f.Nonce != r.o.Nonce {
			t.Errorf("frame %d at %v with nonce %x, want %v", f.Seq, f.Pos, f.Nonce, next)
		}
		next = f.End()
		o, err := r.store.Open(t.Context(), f.Key)
		if err != nil {
			return err
		}
		for i := range f.Runs {
			runs = append(runs, describe(&f.Runs[i]))
			b := make([]byte, f.Runs[i].Bytes)
			if _, err := o.ReadAt(b, int64(f.Runs[i].Pos-f.Pos)); err != nil {
				return err
			}
			if checksum(b) != f.Runs[i].CRC {
				t.Errorf("bytes of %s are not what was written", describe(&f.Runs[i]))
			}
			bodies = append(bodies, b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return runs, bodies
}

func TestObjectLogWritesWhatScanFinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := blob.NewMem()
		l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 3, GroupBytes: 4000})
		a, b := NewStream(1, testTopic, 0), NewStream(2, testTopic, 5)
		var last Ticket
		for i := range int64(40) {
			for _, s := range []*Stream{a, b} {
				ticket, err := l.Append(s, bytes.Repeat([]byte{byte(i)}, 300), info(i))
				if err != nil {
					t.Fatal(err)
				}
				last = ticket
			}
		}
		mustWait(t, last)
		if _, err := l.AppendControl(Control{Shard: 1, Kind: ControlDeleteRecords, Topic: testTopic, Value: 3}); err != nil {
			t.Fatal(err)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		mark := l.Durable()
		runs, bodies := l.scan(t, mark.Seq)
		if len(runs) == 0 || fmt.Sprint(runs) != fmt.Sprint(l.frames) {
			t.Errorf("found %v\nwrote %v", runs, l.frames)
		}
		var n int
		for _, b := range bodies {
			n += len(b)
		}
		if n != 2*40*300 {
			t.Errorf("%d bytes of batches, want %d", n, 2*40*300)
		}
		k, err := SealObjects(t.Context(), ObjectSeal{Blob: store, ClusterID: l.o.ClusterID, Incarnation: 3})
		if err != nil || k != mark.Seq {
			t.Errorf("sealed at %d (%v), the log ends at %d", k, err, mark.Seq)
		}
		if _, err := l.Append(a, []byte{1}, info(99)); !errors.Is(err, ErrClosed) {
			t.Errorf("append after the end: %v", err)
		}
	})
}

func TestObjectLogServesItsFramesAndAdoptedOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := blob.NewMem()
		old := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1})
		ticket, err := old.Append(NewStream(0, testTopic, 0), []byte("from the life before"), info(0))
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		if err := old.stop(); err != nil {
			t.Fatal(err)
		}
		l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 2, RingBytes: 1})
		var at Position
		err = ScanObjects(t.Context(), ObjectScan{Blob: store, ClusterID: l.o.ClusterID, Incarnation: 1, To: 1}, func(f *ObjectFrame) error {
			at = l.Adopt(f) + f.Runs[0].Pos - f.Pos
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ticket, err = l.Append(NewStream(0, testTopic, 0), []byte("from this one"), info(1))
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		for pos, want := range map[Position]string{at: "from the life before", OwnStart + headerBytes: "from this one"} {
			got, err := l.Read(t.Context(), vfs.AlignedBuffer(vfs.RangeBytes(len(want))), pos, len(want))
			if err != nil || string(got) != want {
				t.Errorf("at %v: %q, %v", pos, got, err)
			}
		}
		if seq := l.Trim(l.Durable().Pos, true); seq != 1 {
			t.Errorf("after a trim of all the log begins at %d", seq)
		}
		for _, pos := range []Position{at, OwnStart + headerBytes} {
			if _, err := l.Read(t.Context(), vfs.AlignedBuffer(vfs.RangeBytes(1)), pos, 1); !errors.Is(err, ErrTrimmed) {
				t.Errorf("trimmed position %v: %v", pos, err)
			}
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestObjectLogWaitsForOthersOnlyWhileItWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const put = time.Second
		store := blob.NewFault(blob.NewMem(), blob.On("w/", func(blob.Op) error {
			<-time.After(put)
			return nil
		}, blob.OpPutIfAbsent))
		l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1})
		s, urgent := NewStream(0, testTopic, 0), NewStream(0, testTopic, 1)
		urgent.Urgent = true
		begin := time.Now()
		var tickets []Ticket
		add := func(s *Stream, offset int64) {
			ticket, err := l.Append(s, []byte{1, 2, 3}, info(offset))
			if err != nil {
				t.Fatal(err)
			}
			tickets = append(tickets, ticket)
		}
		took := make([]time.Duration, 4)
		add(s, 0) // at once
		synctest.Wait()
		add(s, 1)                            // with the next group
		<-time.After(100 * time.Millisecond) // of the bubble
		add(urgent, 0)                       // the group waits 20 ms since its first batch at most: it is due now
		synctest.Wait()
		add(s, 2) // after the interval
		var waiting sync.WaitGroup
		for i := range tickets {
			waiting.Go(func() {
				if err := tickets[i].Wait(t.Context()); err != nil {
					t.Error(err)
				}
				took[i] = time.Since(begin)
			})
		}
		waiting.Wait()
		want := []time.Duration{put, put + 100*time.Millisecond, put + 100*time.Millisecond, put + 350*time.Millisecond}
		if fmt.Sprint(took) != fmt.Sprint(want) {
			t.Errorf("tickets took %v, want %v", took, want)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLargeGroupsOverlapOnceNobodyAddsToThem has a store that takes a second, and one object on its way.
func TestLargeGroupsOverlapOnceNobodyAddsToThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget  float64
		batches int           // of 1,000 bytes, one each millisecond, behind the first
		want    time.Duration // until the last is durable
	}{
		"large: when quiet":                       {0, 10, 10*time.Millisecond + 2*time.Millisecond + time.Second},
		"small: after the interval":               {0, 9, time.Millisecond + 250*time.Millisecond + time.Second},
		"added to: the interval, then when quiet": {0, 400, 400*time.Millisecond + 2*time.Millisecond + time.Second},
		"with a budget":                           {100, 10, time.Millisecond + 250*time.Millisecond + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := blob.NewFault(blob.NewMem(), blob.On("w/", func(blob.Op) error {
					<-time.After(time.Second)
					return nil
				}, blob.OpPutIfAbsent))
				l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1, PutsPerSecond: c.budget, OverlapBytes: 10_000})
				s := NewStream(0, testTopic, 0)
				begin := time.Now()
				var last Ticket
				for i := range c.batches + 1 {
					ticket, err := l.Append(s, make([]byte, 1000), info(int64(i)))
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if last = ticket; i < c.batches {
						<-time.After(time.Millisecond)
					}
				}
				mustWait(t, last)
				if took := time.Since(begin); took != c.want {
					t.Errorf("the last batch took %v, want %v", took, c.want)
				}
				if err := l.stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestObjectLogObeysTheBudgetOfPuts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := blob.NewFault(blob.NewMem(), nil)
		l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1, PutsPerSecond: 2})
		s := NewStream(0, testTopic, 0)
		const minutes = 10
		for i := range int64(minutes * 60 * 20) {
			if _, err := l.Append(s, []byte{1}, info(i)); err != nil {
				t.Fatal(err)
			}
			<-time.After(50 * time.Millisecond)
		}
		if n, most := store.Ops(), int64((minutes+1)*60*2+1); n > most || n < most-130 {
			t.Errorf("%d objects in %d minutes, want about %d", n, minutes, most)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSealedLogAcknowledgesNothing races a writer, on a store that is slow, fails and loses answers, against successors that seal it.
func TestSealedLogAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { sealRace(t, seed) })
	}
}

func sealRace(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	unavailable := errors.New("503")
	store := blob.NewFault(blob.NewMem(), func(op blob.Op) error {
		<-time.After(time.Duration(chance(300)) * time.Millisecond)
		switch {
		case op.Kind == blob.OpOpen && chance(100) == 0: // a seal opens some dozens
			return unavailable
		case op.Kind != blob.OpPutIfAbsent:
			return nil
		}
		switch chance(8) {
		case 0:
			return unavailable
		case 1:
			return blob.Lost(unavailable)
		}
		return nil
	})
	l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1, GroupBytes: 50, InFlight: 4, OverlapBytes: 1 + int64(chance(60))})
	s := NewStream(0, testTopic, 0)
	var appending sync.WaitGroup
	appending.Go(func() {
		for i := int64(0); ; i++ {
			batch := fmt.Appendf(nil, "batch %d of seed %d", i, seed)
			ticket, err := l.Append(s, batch, info(i))
			if err != nil {
				return
			}
			appending.Go(func() {
				if ticket.Wait(t.Context()) == nil {
					l.ObjectLog.mu.Lock()
					defer l.ObjectLog.mu.Unlock()
					l.acked = append(l.acked, batch)
				}
			})
			<-time.After(time.Duration(chance(60)) * time.Millisecond)
		}
	})
	<-time.After(time.Duration(chance(5000)) * time.Millisecond)
	sealed := make([]uint64, 2)
	var sealing sync.WaitGroup
	for i := range sealed {
		sealing.Go(func() {
			for {
				k, err := SealObjects(t.Context(), ObjectSeal{Blob: store, ClusterID: l.o.ClusterID, Incarnation: 1, Nonce: [16]byte{byte(100 + i)}})
				if err == nil {
					sealed[i] = k
					return
				}
				if !errors.Is(err, unavailable) {
					t.Error(err)
					return
				}
			}
		})
	}
	sealing.Wait()
	if err := <-l.done; !errors.Is(err, ErrSealed) && !errors.Is(err, errGivenUp) || !errors.Is(err, ErrFailed) {
		t.Errorf("seed %d: the log ended with %v", seed, err)
	}
	l.cancel()
	appending.Wait()
	store.Inject(nil)
	if sealed[0] != sealed[1] {
		t.Errorf("seed %d: sealed at %d and at %d", seed, sealed[0], sealed[1])
	}
	_, bodies := l.scan(t, sealed[0])
	all := bytes.Join(bodies, nil)
	for _, b := range l.acked {
		if !bytes.Contains(all, b) {
			t.Errorf("seed %d: %q was acknowledged and is not below the seal at %d", seed, b, sealed[0])
		}
	}
	if n := l.Durable().Seq; n > sealed[0] {
		t.Errorf("seed %d: %d frames complete, sealed at %d", seed, n, sealed[0])
	}
}

func TestSealPassesOverWhatWasTrimmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := blob.NewMem()
		l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1})
		s := NewStream(0, testTopic, 0)
		for i := range int64(5) {
			ticket, err := l.Append(s, []byte{1}, info(i))
			if err != nil {
				t.Fatal(err)
			}
			mustWait(t, ticket)
		}
		for seq := range uint64(3) {
			if err := store.Delete(t.Context(), ObjectKey(1, seq)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			k, err := SealObjects(t.Context(), ObjectSeal{Blob: store, ClusterID: l.o.ClusterID, Incarnation: 1, From: 3})
			if err != nil || k != 5 {
				t.Fatalf("sealed at %d, %v", k, err)
			}
		}
		if _, err := l.Append(s, []byte{1}, info(5)); err != nil {
			t.Fatal(err)
		}
		if err := <-l.done; !errors.Is(err, ErrSealed) {
			t.Errorf("the log ended with %v", err)
		}
	})
}

func TestScanRefusesWhatIsNotAFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := blob.NewMem()
		l := startObjects(t, ObjectOptions{Blob: store, Incarnation: 1})
		ticket, err := l.Append(NewStream(0, testTopic, 0), []byte("batch"), info(0))
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r, err := store.Open(t.Context(), ObjectKey(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		good := make([]byte, r.Size())
		if _, err := r.ReadAt(good, 0); err != nil {
			t.Fatal(err)
		}
		scan := func(b []byte, s ObjectScan) error {
			s.Blob, s.Incarnation, s.To = store, 1, 1
			if err := store.Put(t.Context(), ObjectKey(1, 0), b); err != nil {
				t.Fatal(err)
			}
			return ScanObjects(t.Context(), s, func(*ObjectFrame) error { return nil })
		}
		if err := scan(good, ObjectScan{ClusterID: l.o.ClusterID}); err != nil {
			t.Fatal(err)
		}
		flip := func(at int) []byte {
			b := bytes.Clone(good)
			b[at] ^= 1
			return b
		}
		cases := map[string]error{
			"cut short":       scan(good[:len(good)-1], ObjectScan{ClusterID: l.o.ClusterID}),
			"empty":           scan(nil, ObjectScan{ClusterID: l.o.ClusterID}),
			"header":          scan(flip(20), ObjectScan{ClusterID: l.o.ClusterID}),
			"footer":          scan(flip(headerBytes+len("batch")+20), ObjectScan{ClusterID: l.o.ClusterID}),
			"another cluster": scan(good, ObjectScan{}),
		}
		for name, err := range cases {
			if _, ok := errors.AsType[*CorruptError](err); !ok {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestPinsOfAnObjectShareItUntilTheLastIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := startObjects(t, ObjectOptions{Blob: blob.NewMem(), Incarnation: 3})
		s := NewStream(1, testTopic, 0)
		ticket, err := l.Append(s, bytes.Repeat([]byte{7}, 300), info(0))
		if err != nil {
			t.Fatal(err)
		}
		mustWait(t, ticket)
		first, err := l.Pin(t.Context(), OwnStart)
		if err != nil {
			t.Fatal(err)
		}
		second, err := l.Pin(t.Context(), OwnStart)
		if err != nil {
			t.Fatal(err)
		}
		if first.Source != second.Source || !first.Whole || first.ID != second.ID {
			t.Errorf("pins are %+v and %+v, want one object", first, second)
		}
		first.Release()
		if _, err := second.Source.ReadAt(make([]byte, 100), 0); err != nil {
			t.Errorf("read after another pin was released: %v", err)
		}
		second.Release()
		if n := len(l.reading); n != 0 {
			t.Errorf("%d objects are open that nobody reads", n)
		}
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestSealFindsTheEndOfALongChain seals chains of many lengths, with some frames behind the first gap, and some trimmed.
func TestSealFindsTheEndOfALongChain(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, length := range []uint64{0, 1, 63, 64, 65, 127, 128, 500, 1023, 4097, 9000} {
		mem := blob.NewMem()
		store := blob.NewFault(mem, nil)
		trim := uint64(0)
		if length > 0 {
			trim = rng.Uint64N(length)
		}
		put := func(seq uint64) {
			s := ObjectSeal{ClusterID: [16]byte{7}, Incarnation: 1}
			b := s.encode(seq)
			h := frameHeader{Cluster: s.ClusterID, Incarnation: 1, Seq: seq}
			h.encode(b)
			if err := mem.Put(t.Context(), ObjectKey(1, seq), b); err != nil {
				t.Fatal(err)
			}
		}
		for seq := trim; seq < length; seq++ {
			put(seq)
		}
		for range rng.IntN(5) { // on their way when the writer died
			put(length + 1 + rng.Uint64N(maxInFlight-1))
		}
		for range 2 {
			k, err := SealObjects(t.Context(), ObjectSeal{Blob: store, ClusterID: [16]byte{7}, Incarnation: 1, From: trim})
			if err != nil || k != length {
				t.Fatalf("a chain [%d, %d) was sealed at %d, %v", trim, length, k, err)
			}
		}
		if n := store.Ops(); n > 2*(5*probes+4*sealLookBack) {
			t.Errorf("a chain [%d, %d) took %d requests", trim, length, n)
		}
	}
}
