package diskcache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
	"github.com/weir-stream/weir/internal/base/vfs"
)

func open(t *testing.T, inner blob.Store, disk vfs.FS, blocks int64) *Store {
	t.Helper()
	s, err := Open(inner, Options{
		FS: disk, Dir: "cache", MaxBytes: blocks * BlockBytes, MinFreeBytes: 8 << 20,
		Cacheable: func(key string) bool { return key[0] == 'l' },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// remote is an object of some blocks, and a count of the reads that reach it.
func remote(t *testing.T, bytes int) (*blob.Fault, []byte) {
	t.Helper()
	store := blob.NewFault(blob.NewMem(), nil)
	body := make([]byte, bytes)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	if err := store.Put(t.Context(), "l/a", body); err != nil {
		t.Fatal(err)
	}
	return store, body
}

func read(t *testing.T, s blob.Store, body []byte, off, n int) {
	t.Helper()
	r, err := s.Open(t.Context(), "l/a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it is only read
	got, err := r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), int64(off), n)
	if err != nil || !bytes.Equal(got, body[off:off+n]) {
		t.Fatalf("range [%d, %d) differs: %v", off, off+n, err)
	}
}

// settled waits until what was to be kept is.
func settled(s *Store) {
	flushed := make(chan struct{})
	s.queue <- &fill{flushed: flushed}
	<-flushed
}

func TestStoreWithACacheIsAStore(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		t.Helper()
		s, err := Open(blob.NewMem(), Options{FS: vfs.NewMem(), Dir: "cache", MaxBytes: 4 * BlockBytes, Cacheable: func(string) bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func TestBlocksAreKeptFromTheSecondReadOn(t *testing.T) {
	t.Parallel()
	inner, body := remote(t, 3*BlockBytes+1000)
	s := open(t, inner, vfs.NewMem(), 16)
	for i, want := range []float64{0, 0, 4, 8} {
		for off := 0; off < len(body); off += BlockBytes {
			read(t, s, body, off, min(BlockBytes, len(body)-off))
		}
		settled(s)
		if got := testutil.ToFloat64(s.metrics.hits); got != want {
			t.Errorf("after %d readings %v blocks came from the disk, want %v", i+1, got, want)
		}
	}
}

func TestRangesEqualTheObject(t *testing.T) {
	t.Parallel()
	inner, body := remote(t, 7*BlockBytes+12345)
	s := open(t, inner, vfs.NewMem(), 3)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r, err := s.Open(t.Context(), "l/a")
			if err != nil {
				t.Error(err)
				return
			}
			rng := rand.New(rand.NewPCG(seed, 3))
			for range 60 {
				off := rng.IntN(len(body))
				n := 1 + rng.IntN(min(len(body)-off, 3*BlockBytes))
				got := make([]byte, n)
				if _, err := r.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, body[off:off+n]) {
					t.Errorf("range [%d, %d) differs: %v", off, off+n, err)
				}
			}
		})
	}
	wg.Wait()
	if s.places > 3 {
		t.Errorf("the file has %d blocks, at most 3 were allowed", s.places)
	}
}

func TestDamagedBlockIsNotServed(t *testing.T) {
	t.Parallel()
	inner, body := remote(t, BlockBytes)
	disk := vfs.NewMem()
	s := open(t, inner, disk, 4)
	for range 2 {
		read(t, s, body, 0, BlockBytes)
	}
	settled(s)
	f, err := disk.OpenReadWrite(filepath.Join("cache", fileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{body[500] ^ 1}, 500); err != nil {
		t.Fatal(err)
	}
	read(t, s, body, 0, BlockBytes)
	if got := testutil.ToFloat64(s.metrics.damaged); got != 1 {
		t.Errorf("%v damaged blocks were met, want 1", got)
	}
}

func TestCacheLeavesTheDiskToOthers(t *testing.T) {
	t.Parallel()
	inner, body := remote(t, 8*BlockBytes)
	disk := vfs.NewMem()
	disk.SetFreeBytes(10 << 20)
	s := open(t, inner, disk, 100)
	for range 3 {
		for off := 0; off < len(body); off += BlockBytes {
			read(t, s, body, off, BlockBytes)
			settled(s)
		}
	}
	if s.places == 0 || s.places > 2 {
		t.Errorf("the cache took %d MiB of 10 of which 8 must stay free", s.places)
	}
	disk.SetFreeBytes(1 << 20)
	s.shedIfLow()
	if info, err := disk.Stat(filepath.Join("cache", fileName)); err != nil || info.Size() != 0 {
		t.Errorf("the cache has not given its %d bytes back: %v", info.Size(), err)
	}
}

func TestFailingDiskSwitchesTheCacheOff(t *testing.T) {
	t.Parallel()
	inner, body := remote(t, 8*BlockBytes)
	s := open(t, inner, vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite {
			return errors.New("broken disk")
		}
		return nil
	}), 100)
	for range 2 {
		for off := 0; off < len(body); off += BlockBytes {
			read(t, s, body, off, BlockBytes)
		}
		settled(s)
	}
	if got := testutil.ToFloat64(s.metrics.off); got != 1 {
		t.Error("the cache is still on")
	}
	read(t, s, body, 0, len(body))
}

func TestPiecesComeFromTheDiskAndFromTheObject(t *testing.T) {
	t.Parallel()
	inner, body := remote(t, 5*BlockBytes+100)
	s := open(t, inner, vfs.NewMem(), 8)
	for range 2 {
		read(t, s, body, 2*BlockBytes, BlockBytes)
	}
	settled(s)
	r, err := s.Open(t.Context(), "l/a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it is only read
	for _, c := range []struct{ off, bytes int }{{0, len(body)}, {BlockBytes, 3 * BlockBytes}, {7, 2 * BlockBytes}, {5 * BlockBytes, 100}, {0, 0}} {
		for range 3 { // not here, kept from now on, here
			got := make([]byte, c.bytes)
			var pieces [][]byte
			for rest := got; len(rest) > 0; {
				n := min(BlockBytes, len(rest))
				pieces, rest = append(pieces, rest[:n]), rest[n:]
			}
			if err := blob.ReadVector(r, pieces, int64(c.off)); err != nil || !bytes.Equal(got, body[c.off:c.off+c.bytes]) {
				t.Fatalf("vector [%d, %d) differs: %v", c.off, c.off+c.bytes, err)
			}
			settled(s)
		}
	}
	if err := blob.ReadVector(r, [][]byte{make([]byte, 10), make([]byte, 10)}, 5*BlockBytes+90); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("beyond the end: got %v, want %v", err, io.ErrUnexpectedEOF)
	}
}
