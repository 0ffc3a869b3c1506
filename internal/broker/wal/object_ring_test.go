package wal

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
)

// Readers of the end hold what they read while the ring is trimmed below them and its memory is used again: with -race, and with the poison
// of -tags invariants, a block that is used too early shows.
func TestReadersNeverSeeMemoryThatIsUsedAgain(t *testing.T) {
	t.Parallel()
	type stretch struct {
		pos   Position
		bytes int64
		want  byte
	}
	durable := make(chan stretch, 64)
	l := NewObjectLog(ObjectOptions{
		Blob: blob.NewMem(), ClusterID: [16]byte{7}, Nonce: [16]byte{9}, Incarnation: 1, RingBytes: 2 << 20, GroupBytes: 64 << 10,
		OnDurable: func(f *Frame) {
			for i := range f.Runs {
				durable <- stretch{f.Runs[i].Pos, f.Runs[i].Bytes, byte(f.Runs[i].BaseOffset)}
			}
		},
	})
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- l.Run(ctx, func() { close(ready) }) }()
	<-ready

	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for s := range durable {
				b, release, ok := l.Recent(s.pos, s.bytes)
				if !ok {
					continue // trimmed by another
				}
				l.Trim(s.pos+Position(s.bytes)+trailerBytes+2*pageBytes, false)
				if n := bytes.Count(b, []byte{s.want}); n != len(b) {
					t.Errorf("%d of %d bytes at %v are %d", n, len(b), s.pos, s.want)
				}
				release()
			}
		})
	}
	s := NewStream(1, [16]byte{1}, 0)
	var last Ticket
	for i := range int64(600) {
		// One frame for each batch: a group takes no second one.
		ticket, err := l.Append(s, bytes.Repeat([]byte{byte(i)}, 40<<10), BatchInfo{BaseOffset: i, RecordCount: 1})
		if err != nil {
			t.Fatal(err)
		}
		last = ticket
		if i%8 == 7 {
			if err := ticket.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := last.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(durable)
	readers.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestIdleLogGivesMemoryBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startObjects(t, ObjectOptions{Blob: blob.NewMem(), Incarnation: 1, RingBytes: 64 << 20, GroupBytes: 1 << 20})
		s := NewStream(1, [16]byte{1}, 0)
		for i := range int64(24) {
			ticket, err := r.Append(s, make([]byte, 1<<20), BatchInfo{BaseOffset: i, RecordCount: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := ticket.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.Trim(r.Durable().Pos, false)
		spare := func() int64 {
			r.ObjectLog.mu.Lock()
			defer r.ObjectLog.mu.Unlock()
			return r.ring.spares
		}
		if got := spare(); got < 24<<20 {
			t.Errorf("%d bytes are spare after the trim, want all", got)
		}
		<-time.After(tidyTime + time.Second)
		synctest.Wait()
		if got := spare(); got > maxSpareBytes {
			t.Errorf("%d bytes are spare after an idle minute, want at most %d", got, maxSpareBytes)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
