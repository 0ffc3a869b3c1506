package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/meta/metatest"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// testKeeper returns a keeper whose key is made of one byte.
func testKeeper(t *testing.T, b byte) Keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testRing(t *testing.T) *Ring {
	t.Helper()
	r, err := OpenRing(t.Context(), meta.NewMem(nil), testKeeper(t, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealedBlobKeepsTheRulesOfAStore(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store { return NewBlob(blob.NewMem(), testRing(t)) })
}

func TestSealedMetaKeepsTheRulesOfAStore(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) metatest.Subject {
		clock := &metatest.Clock{}
		m := NewMeta(meta.NewMem(clock), testRing(t))
		t.Cleanup(func() { _ = m.Close() }) // a test may have closed it
		return metatest.Subject{Store: m, Advance: clock.Advance}
	})
}

func TestObjectsReadBackAtEverySizeAndRange(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	inner := blob.NewMem()
	s := NewBlob(inner, testRing(t))
	for i, size := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes, 3*chunkBytes + 17} {
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(rng.Uint32())
		}
		key := string(rune('a' + i))
		w, err := s.Create(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(100_000))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context(), key)
		if err != nil || r.Size() != int64(size) {
			t.Fatalf("size %d: open: %v", size, err)
		}
		for range 200 {
			off := rng.IntN(size + 1)
			p := make([]byte, rng.IntN(size+2))
			n, err := r.ReadAt(p, int64(off))
			if want := min(len(p), size-off); n != want || (n < len(p)) != errors.Is(err, io.EOF) || !bytes.Equal(p[:n], body[off:off+n]) {
				t.Fatalf("size %d: ReadAt(%d bytes, %d) = %d, %v, want %d", size, len(p), off, n, err, want)
			}
		}
		if list, err := s.List(t.Context(), key, "", 0); err != nil || list[0].Size != int64(size) {
			t.Errorf("size %d: listed as %+v, %v", size, list, err)
		}
		if size > 32 && bytes.Contains(raw(t, inner, key), body[:32]) {
			t.Errorf("size %d: the store holds bytes in the clear", size)
		}
	}
}

// countingStore counts the reads of its objects.
type countingStore struct {
	blob.Store
	reads *atomic.Int64
}

func (s countingStore) Open(ctx context.Context, key string) (blob.Reader, error) {
	r, err := s.Store.Open(ctx, key)
	return countingReader{r, s.reads}, err
}

type countingReader struct {
	blob.Reader
	reads *atomic.Int64
}

func (r countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.reads.Add(1)
	return r.Reader.ReadAt(p, off)
}

// TestAMebibyteIsReadAtOnce counts reads of the sealed object: each may be a request to a store that charges for it.
func TestAMebibyteIsReadAtOnce(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	s := NewBlob(countingStore{blob.NewMem(), &reads}, testRing(t))
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(i >> 10)
	}
	if err := s.Put(t.Context(), "k", want); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 1, chunkBytes - 1, 1<<20 + 5} {
		before := reads.Load()
		got, err := r.ReadRange(make([]byte, 1<<20), off, 1<<20)
		if err != nil || !bytes.Equal(got, want[off:off+1<<20]) {
			t.Fatalf("a mebibyte at %d: %d bytes, %v", off, len(got), err)
		}
		if n := reads.Load() - before; n != 1 {
			t.Errorf("a mebibyte at %d took %d reads", off, n)
		}
	}
}

func raw(t *testing.T, s blob.Store, key string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

func TestChangedCutOrMovedObjectsAreRefused(t *testing.T) {
	t.Parallel()
	inner := blob.NewMem()
	s := NewBlob(inner, testRing(t))
	if err := s.Put(t.Context(), "k", bytes.Repeat([]byte("x"), 3*chunkBytes)); err != nil {
		t.Fatal(err)
	}
	good := raw(t, inner, "k")
	read := func(key string, b []byte) error {
		if err := inner.Put(t.Context(), key, b); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context(), key)
		if err != nil {
			return err
		}
		_, err = r.ReadAt(make([]byte, r.Size()), 0)
		return err
	}
	if err := read("k", good); err != nil {
		t.Fatalf("as it was: %v", err)
	}
	for at := 0; at < len(good); at += 997 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		if err := read("k", bad); at >= len(magic) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v, want ErrCorrupt", at, err)
		}
	}
	for _, cut := range []int{1, tagBytes, chunkBytes, sealedChunkBytes, 2 * sealedChunkBytes} {
		if err := read("k", good[:len(good)-cut]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes cut off: %v, want ErrCorrupt", cut, err)
		}
	}
	swapped := bytes.Clone(good)
	copy(swapped[headerBytes:], good[headerBytes+sealedChunkBytes:headerBytes+2*sealedChunkBytes])
	copy(swapped[headerBytes+sealedChunkBytes:], good[headerBytes:headerBytes+sealedChunkBytes])
	if err := read("k", swapped); !errors.Is(err, ErrCorrupt) {
		t.Errorf("two chunks exchanged: %v, want ErrCorrupt", err)
	}
	if err := read("other", good); !errors.Is(err, ErrCorrupt) {
		t.Errorf("under another key: %v, want ErrCorrupt", err)
	}
}

func TestFilesReadBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	for name, inner := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := inner.MkdirAll(dir); err != nil {
				t.Fatal(err)
			}
			s := NewFS(inner, testRing(t))
			f, err := s.Create(filepath.Join(dir, "f"))
			if err != nil {
				t.Fatal(err)
			}
			const size = 3 << 20
			model := make([]byte, size)
			rng := rand.New(rand.NewPCG(3, 4))
			aligned := vfs.AlignedBuffer(2 << 20)
			for i := range aligned {
				aligned[i] = byte(rng.Uint32())
			}
			if _, err := f.WriteAt(model, 0); err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				off, n := rng.IntN(size), 1+rng.IntN(100_000)
				write := f.WriteAt
				if i%2 == 0 {
					off, n, write = off/vfs.DirectAlign*vfs.DirectAlign, (1+rng.IntN(400))*vfs.DirectAlign, f.WriteDirectAt
				}
				n = min(n, size-off)
				if _, err := write(aligned[:n], int64(off)); err != nil {
					t.Fatal(err)
				}
				copy(model[off:], aligned[:n])
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
			if f, err = s.Open(filepath.Join(dir, "f")); err != nil {
				t.Fatal(err)
			}
			if n, err := f.Size(); n != size || err != nil {
				t.Fatalf("Size = %d, %v, want %d", n, err, size)
			}
			if info, err := s.Stat(filepath.Join(dir, "f")); err != nil || info.Size() != size {
				t.Errorf("Stat: %v, %v", info, err)
			}
			for range 200 {
				off := rng.IntN(size)
				n := rng.IntN(min(size-off, 200_000) + 1)
				p := make([]byte, n)
				if _, err := f.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, model[off:off+n]) {
					t.Fatalf("ReadAt(%d, %d): %v", n, off, err)
				}
				if p, err := f.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), int64(off), n); err != nil || !bytes.Equal(p, model[off:off+n]) {
					t.Fatalf("ReadRange(%d, %d): %v", n, off, err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRenewedFilesShareNoKeyStream(t *testing.T) {
	t.Parallel()
	inner := vfs.NewMem()
	if err := inner.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	s := NewFS(inner, testRing(t))
	f, err := s.Create("/d/f")
	if err != nil {
		t.Fatal(err)
	}
	var seen [2][]byte
	for i := range seen {
		if err := f.Renew(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 64), 0); err != nil {
			t.Fatal(err)
		}
		r, err := inner.Open("/d/f")
		if err != nil {
			t.Fatal(err)
		}
		seen[i] = make([]byte, 64)
		if _, err := r.ReadAt(seen[i], pageBytes); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(seen[0], seen[1]) || bytes.Equal(seen[0], make([]byte, 64)) {
		t.Errorf("the same bytes were written as %x and %x", seen[0], seen[1])
	}
}

func TestRotationRewrapsAndKeepsOldDataReadable(t *testing.T) {
	t.Parallel()
	store := meta.NewMem(nil)
	one, two := testKeeper(t, 1), testKeeper(t, 2)
	open := func(keeper, previous Keeper) (*Ring, error) { return OpenRing(t.Context(), store, keeper, previous) }
	r1, err := open(one, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := r1.SealValue("k", []byte("secret"))
	if _, err := open(two, nil); !errors.Is(err, ErrKey) {
		t.Errorf("with another key: %v, want ErrKey", err)
	}
	if _, err := open(nil, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v, want ErrNoKey", err)
	}
	r2, err := open(two, one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(one, nil); !errors.Is(err, ErrKey) {
		t.Errorf("with the key of before the rotation: %v, want ErrKey", err)
	}
	again, err := open(two, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Ring{r2, again} {
		if v, err := r.OpenValue("k", old); err != nil || string(v) != "secret" {
			t.Errorf("value of before the rotation: %q, %v", v, err)
		}
		if r.active != 2 {
			t.Errorf("active key %d after the rotation, want 2", r.active)
		}
		if _, err := r1.OpenValue("k", r.SealValue("k", nil)); !errors.Is(err, ErrKey) {
			t.Errorf("the old ring opens what the new one sealed: %v", err)
		}
	}
	if _, err := again.OpenValue("other", old); !errors.Is(err, ErrCorrupt) {
		t.Errorf("value under another key: %v, want ErrCorrupt", err)
	}
}

func TestDataOfBeforeEncryptionIsRead(t *testing.T) {
	t.Parallel()
	ring := testRing(t)
	objects, values, files := blob.NewMem(), meta.NewMem(nil), vfs.NewMem()
	if err := objects.Put(t.Context(), "k", []byte("clear")); err != nil {
		t.Fatal(err)
	}
	if _, err := values.Txn(t.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "k", Value: []byte("clear")}}); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("clear"), 0); err != nil {
		t.Fatal(err)
	}
	if got := raw(t, NewBlob(objects, ring), "k"); string(got) != "clear" {
		t.Errorf("object %q", got)
	}
	if e, err := NewMeta(values, ring).Get(t.Context(), "k"); err != nil || string(e.Value) != "clear" {
		t.Errorf("value %q, %v", e.Value, err)
	}
	sealed := NewFS(files, ring)
	p := make([]byte, 5)
	if f, err = sealed.Open("f"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "clear" {
		t.Errorf("file %q, %v", p, err)
	}
	if _, err := sealed.OpenReadWrite("f"); !errors.Is(err, vfs.ErrUnreadable) {
		t.Errorf("OpenReadWrite of a file in the clear: %v, want ErrUnreadable", err)
	}
}

func TestWatchEndsWhenAValueCannotBeOpened(t *testing.T) {
	t.Parallel()
	inner := meta.NewMem(nil)
	m := NewMeta(inner, testRing(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, err := m.Watch(ctx, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inner.Txn(ctx, nil, []meta.Op{{Kind: meta.Put, Key: "k", Value: testRing(t).SealValue("k", nil)}}); err != nil {
		t.Fatal(err)
	}
	if e, ok := <-events; ok {
		t.Errorf("got %+v", e)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestKeyFilesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "short": "c2hvcnQ=", "long": string(make([]byte, 1000))} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyFile(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzOpenObject(f *testing.F) {
	ring, err := rotate(context.Background(), meta.NewMem(nil), fuzzKeeper{}, nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	inner := blob.NewMem()
	s := NewBlob(inner, ring)
	if err := s.Put(context.Background(), "k", []byte("body")); err != nil {
		f.Fatal(err)
	}
	r, err := inner.Open(context.Background(), "k")
	if err != nil {
		f.Fatal(err)
	}
	seed := make([]byte, r.Size())
	if _, err := r.ReadAt(seed, 0); err != nil && !errors.Is(err, io.EOF) {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:headerBytes])
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := inner.Put(t.Context(), "k", b); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Open(t.Context(), "k"); err == nil {
			_, _ = r.ReadAt(make([]byte, 100), 0) // must not panic
		}
		_, _ = ring.OpenValue("k", b)
		_, _ = unwrapAll(t.Context(), fuzzKeeper{}, b)
	})
}

// fuzzKeeper wraps nothing.
type fuzzKeeper struct{}

func (fuzzKeeper) Encrypt(_ context.Context, b []byte) ([]byte, error) { return b, nil }
func (fuzzKeeper) Decrypt(_ context.Context, b []byte) ([]byte, error) { return b, nil }

func BenchmarkFileWrite(b *testing.B) {
	ring, err := rotate(context.Background(), meta.NewMem(nil), fuzzKeeper{}, nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	f := &file{fs: NewFS(nil, ring)}
	f.inner = nullFile{}
	if err := f.Renew(); err != nil {
		b.Fatal(err)
	}
	p := vfs.AlignedBuffer(1 << 20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, err := f.WriteDirectAt(p, 0); err != nil {
			b.Fatal(err)
		}
	}
}

type nullFile struct{ vfs.File }

func (nullFile) WriteAt(p []byte, _ int64) (int, error)       { return len(p), nil }
func (nullFile) WriteDirectAt(p []byte, _ int64) (int, error) { return len(p), nil }
