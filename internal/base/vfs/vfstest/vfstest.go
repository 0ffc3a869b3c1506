// Package vfstest is the suite that every vfs.FS must pass. What happens to files in a crash is not in here:
// only vfs.Mem can crash, and its own tests show it.
package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// Run tests the file systems that open makes. open returns a file system and an empty directory in it.
func Run(t *testing.T, open func(t *testing.T) (fsys vfs.FS, dir string)) {
	tests := []struct {
		name string
		run  func(t *testing.T, h harness)
	}{
		{"CreateOpenAndReadBack", createOpenAndReadBack},
		{"CreateCutsAnExistingFile", createCuts},
		{"OpenRefusesAbsentFilesAndWrites", openRefuses},
		{"DirectWritesAndRangesMeetOrdinaryOnes", direct},
		{"WritesLeaveZerosInHoles", holes},
		{"RandomWritesFollowAModel", randomWrites},
		{"TruncateCutsAndGrowsWithZeros", truncate},
		{"AllocateKeepsBytesAndGrows", allocate},
		{"LinkFailsIfTheNameIsTaken", link},
		{"RenameReplaces", rename},
		{"RemovedFilesStayReadable", removeOpen},
		{"RemoveRefusesFullDirectories", removeDirectories},
		{"MakeDirsMakesParents", makeDirs},
		{"ListIsSorted", list},
		{"StatTellsSizeAndKind", stat},
		{"LockExcludes", lock},
		{"UsageIsPlausible", usage},
		{"ClosedFilesRefuse", closedFiles},
		{"FilesBelowAFileAreRefused", belowFile},
		{"ConcurrentWritersOfOneFile", concurrentWriters},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fsys, dir := open(t)
			tt.run(t, harness{FS: fsys, t: t, dir: dir})
		})
	}
}

type harness struct {
	vfs.FS
	t   *testing.T
	dir string
}

func (h harness) path(name string) string { return filepath.Join(h.dir, name) }

func (h harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h harness) wantErr(what string, got, want error) {
	h.t.Helper()
	if !errors.Is(got, want) {
		h.t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// write makes a file.
func (h harness) write(name, body string) {
	h.t.Helper()
	f, err := h.Create(h.path(name))
	h.must(err)
	_, err = f.WriteAt([]byte(body), 0)
	h.must(err)
	h.must(f.SyncData())
	h.must(f.Close())
}

func contents(t *testing.T, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(io.NewSectionReader(f, 0, size+1))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (h harness) wantBody(name, want string) {
	h.t.Helper()
	f, err := h.Open(h.path(name))
	h.must(err)
	if got := contents(h.t, f); got != want {
		h.t.Errorf("%s holds %q, want %q", name, got, want)
	}
	h.must(f.Close())
}

func (h harness) wantAbsent(name string) {
	h.t.Helper()
	_, err := h.Stat(h.path(name))
	h.wantErr("stat "+name, err, fs.ErrNotExist)
}

func createOpenAndReadBack(t *testing.T, h harness) {
	f, err := h.Create(h.path("f"))
	h.must(err)
	n, err := f.WriteAt([]byte("hello"), 0)
	h.must(err)
	if n != 5 {
		t.Errorf("wrote %d bytes, want 5", n)
	}
	if got := contents(t, f); got != "hello" {
		t.Errorf("got %q", got)
	}
	p := make([]byte, 4)
	if n, err := f.ReadAt(p, 3); n != 2 || !errors.Is(err, io.EOF) || string(p[:n]) != "lo" {
		t.Errorf("over the end: %d, %v, %q", n, err, p[:n])
	}
	if n, err := f.ReadAt(p, 5); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(p, 1); n != 4 || err != nil || string(p) != "ello" {
		t.Errorf("to the end: %d, %v, %q", n, err, p)
	}
	h.must(f.Sync())
	h.must(f.Close())
	h.must(h.SyncDir(h.dir))
	f, err = h.OpenReadWrite(h.path("f"))
	h.must(err)
	_, err = f.WriteAt([]byte("J"), 0)
	h.must(err)
	h.must(f.Close())
	h.wantBody("f", "Jello")
}

func createCuts(_ *testing.T, h harness) {
	h.write("f", "a long body")
	h.write("f", "short")
	h.wantBody("f", "short")
	h.must(h.MkdirAll(h.path("d")))
	if f, err := h.Create(h.path("d")); err == nil {
		h.t.Error("created a file over a directory", f.Close())
	}
}

func openRefuses(t *testing.T, h harness) {
	_, err := h.Open(h.path("absent"))
	h.wantErr("open", err, fs.ErrNotExist)
	_, err = h.OpenReadWrite(h.path("absent"))
	h.wantErr("open for writing", err, fs.ErrNotExist)
	_, err = h.Create(h.path("absent/f"))
	h.wantErr("create", err, fs.ErrNotExist)
	h.write("f", "body")
	f, err := h.Open(h.path("f"))
	h.must(err)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("wrote to a file that is open for reading")
	}
	if _, err := f.WriteDirectAt(vfs.AlignedBuffer(vfs.DirectAlign), 0); err == nil {
		t.Error("wrote to a file that is open for reading")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("cut a file that is open for reading")
	}
	h.must(f.Close())
	h.wantBody("f", "body")
}

func direct(t *testing.T, h harness) {
	f, err := h.Create(h.path("f"))
	h.must(err)
	defer func() { h.must(f.Close()) }()
	want := make([]byte, 16*vfs.DirectAlign)
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		switch rng.IntN(3) {
		case 0:
			p := vfs.AlignedBuffer(vfs.DirectAlign * (1 + rng.IntN(3)))
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
			off := rng.IntN(13) * vfs.DirectAlign
			n, err := f.WriteDirectAt(p, int64(off))
			h.must(err)
			if n != len(p) {
				t.Fatalf("wrote %d bytes of %d", n, len(p))
			}
			copy(want[off:], p)
		case 1: // not aligned
			p := []byte("not aligned")
			off := rng.IntN(len(want) - len(p))
			_, err := f.WriteDirectAt(p, int64(off))
			h.must(err)
			copy(want[off:], p)
		default:
			size, err := f.Size()
			h.must(err)
			if size == 0 {
				continue
			}
			off := rng.IntN(int(size))
			n := 1 + rng.IntN(int(size)-off)
			got, err := f.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(n)), int64(off), n)
			h.must(err)
			if !bytes.Equal(got, want[off:off+n]) {
				t.Fatalf("range [%d, %d) differs", off, off+n)
			}
		}
	}
	if _, err := f.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(10)), int64(len(want)), 10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("range past the end: %v, want io.ErrUnexpectedEOF", err)
	}
}

func holes(t *testing.T, h harness) {
	f, err := h.Create(h.path("f"))
	h.must(err)
	_, err = f.WriteAt([]byte("end"), 10_000)
	h.must(err)
	if got, want := contents(t, f), string(make([]byte, 10_000))+"end"; got != want {
		t.Errorf("got %d bytes that differ from zeros and the end", len(got))
	}
	h.must(f.Close())
}

func randomWrites(t *testing.T, h harness) {
	f, err := h.Create(h.path("f"))
	h.must(err)
	rng := rand.New(rand.NewPCG(7, 7))
	var want []byte
	grow := func(size int) {
		if size > len(want) {
			want = append(want, make([]byte, size-len(want))...)
		}
	}
	for range 300 {
		off := rng.IntN(40_000)
		switch rng.IntN(8) {
		case 0:
			h.must(f.Truncate(int64(off)))
			grow(off)
			want = want[:off]
		case 1:
			h.must(f.Allocate(int64(off), 5000))
			grow(off + 5000)
		case 2:
			h.must(f.SyncData())
		default:
			b := bytes.Repeat([]byte{byte(rng.IntN(256))}, 1+rng.IntN(9000))
			_, err := f.WriteAt(b, int64(off))
			h.must(err)
			grow(off + len(b))
			copy(want[off:], b)
		}
		if got := contents(t, f); got != string(want) {
			t.Fatalf("contents differ: %d bytes, want %d", len(got), len(want))
		}
	}
	h.must(f.Close())
}

func truncate(t *testing.T, h harness) {
	h.write("f", "0123456789")
	f, err := h.OpenReadWrite(h.path("f"))
	h.must(err)
	h.must(f.Truncate(4))
	h.must(f.Truncate(6))
	if got := contents(t, f); got != "0123\x00\x00" {
		t.Errorf("got %q", got)
	}
	if err := f.Truncate(-1); err == nil {
		t.Error("cut to a negative size")
	}
	h.must(f.Close())
	h.wantBody("f", "0123\x00\x00")
}

func allocate(t *testing.T, h harness) {
	h.write("f", "body")
	f, err := h.OpenReadWrite(h.path("f"))
	h.must(err)
	h.must(f.Allocate(0, 10_000))
	if got := contents(t, f); got != "body"+string(make([]byte, 9_996)) {
		t.Errorf("got %d bytes that differ from the body and zeros", len(got))
	}
	h.must(f.Allocate(0, 100))
	if size, err := f.Size(); size != 10_000 || err != nil {
		t.Errorf("size %d, %v, want 10000", size, err)
	}
	if err := f.Allocate(0, 0); err == nil {
		t.Error("allocated nothing without an error")
	}
	h.must(f.Close())
}

func link(_ *testing.T, h harness) {
	h.write("a", "one")
	h.must(h.MkdirAll(h.path("d")))
	h.must(h.Link(h.path("a"), h.path("d/b")))
	h.wantErr("link again", h.Link(h.path("a"), h.path("d/b")), fs.ErrExist)
	h.wantErr("link of nothing", h.Link(h.path("x"), h.path("y")), fs.ErrNotExist)
	h.wantErr("link into nothing", h.Link(h.path("a"), h.path("x/y")), fs.ErrNotExist)
	h.must(h.Remove(h.path("a")))
	h.wantAbsent("a")
	h.wantBody("d/b", "one")
}

func rename(_ *testing.T, h harness) {
	h.write("a", "one")
	h.write("b", "two")
	h.must(h.Rename(h.path("a"), h.path("b")))
	h.wantAbsent("a")
	h.wantBody("b", "one")
	h.must(h.MkdirAll(h.path("d")))
	h.must(h.Rename(h.path("b"), h.path("d/c")))
	h.wantAbsent("b")
	h.wantBody("d/c", "one")
	h.wantErr("rename of nothing", h.Rename(h.path("x"), h.path("y")), fs.ErrNotExist)
	h.must(h.Rename(h.path("d"), h.path("e")))
	h.wantBody("e/c", "one")
	h.must(h.Link(h.path("e/c"), h.path("e/c2")))
	h.must(h.Rename(h.path("e/c"), h.path("e/c2")))
	h.wantBody("e/c2", "one")
}

func removeOpen(t *testing.T, h harness) {
	h.write("f", "body")
	f, err := h.Open(h.path("f"))
	h.must(err)
	h.must(h.Remove(h.path("f")))
	h.wantErr("remove again", h.Remove(h.path("f")), fs.ErrNotExist)
	h.write("f", "other")
	if got := contents(t, f); got != "body" {
		t.Errorf("open file holds %q, want what it held", got)
	}
	h.must(f.Close())
}

func removeDirectories(t *testing.T, h harness) {
	h.must(h.MkdirAll(h.path("d")))
	h.write("d/f", "")
	if err := h.Remove(h.path("d")); err == nil {
		t.Error("removed a directory with a file in it")
	}
	h.must(h.Remove(h.path("d/f")))
	h.must(h.Remove(h.path("d")))
	h.wantAbsent("d")
}

func makeDirs(t *testing.T, h harness) {
	h.must(h.MkdirAll(h.path("a/b/c")))
	h.must(h.MkdirAll(h.path("a/b/c")))
	h.must(vfs.MakeDirs(h.FS, h.path("a/b/d/e")))
	h.must(vfs.MakeDirs(h.FS, h.path("a/b/d/e")))
	h.write("a/b/d/e/f", "body")
	if err := h.MkdirAll(h.path("a/b/d/e/f/g")); err == nil {
		t.Error("made a directory below a file")
	}
	if err := vfs.MakeDirs(h.FS, h.path("a/b/d/e/f")); err == nil {
		t.Error("made a directory over a file")
	}
	h.wantErr("sync of an absent directory", h.SyncDir(h.path("x")), fs.ErrNotExist)
}

func list(t *testing.T, h harness) {
	for _, name := range []string{"b", "a.txt", "c", "a"} {
		h.write(name, "")
	}
	h.must(h.MkdirAll(h.path("bb/c")))
	got, err := h.List(h.dir)
	h.must(err)
	if want := []string{"a", "a.txt", "b", "bb", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got, err = h.List(h.path("bb/c"))
	if err != nil || len(got) != 0 {
		t.Errorf("empty directory: %q, %v", got, err)
	}
	_, err = h.List(h.path("x"))
	h.wantErr("list of an absent directory", err, fs.ErrNotExist)
}

func stat(t *testing.T, h harness) {
	h.write("f", "12345")
	info, err := h.Stat(h.path("f"))
	h.must(err)
	if info.Name() != "f" || info.Size() != 5 || info.IsDir() || !info.Mode().IsRegular() || info.ModTime().IsZero() {
		t.Errorf("file: got %+v", info)
	}
	info, err = h.Stat(h.dir)
	h.must(err)
	if !info.IsDir() || !info.Mode().IsDir() {
		t.Errorf("directory: got %+v", info)
	}
	h.wantAbsent("x")
	h.wantAbsent("x/y")
}

func lock(t *testing.T, h harness) {
	l, err := h.Lock(h.path("lock"))
	h.must(err)
	_, err = h.Lock(h.path("lock"))
	h.wantErr("second lock", err, vfs.ErrLocked)
	other, err := h.Lock(h.path("other"))
	h.must(err)
	h.must(other.Close())
	h.must(l.Close())
	l, err = h.Lock(h.path("lock"))
	h.must(err)
	h.must(l.Close())
	if err := l.Close(); err == nil {
		t.Error("released a lock twice")
	}
	_, err = h.Lock(h.path("x/lock"))
	h.wantErr("lock in an absent directory", err, fs.ErrNotExist)
}

func usage(t *testing.T, h harness) {
	u, err := h.Usage(h.dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	h.must(err)
	if u.FreeBytes == 0 || u.TotalBytes < u.FreeBytes {
		t.Errorf("got %+v", u)
	}
}

func closedFiles(t *testing.T, h harness) {
	h.write("f", "body")
	f, err := h.OpenReadWrite(h.path("f"))
	h.must(err)
	h.must(f.Close())
	h.wantErr("close again", f.Close(), fs.ErrClosed)
	_, err = f.ReadAt(make([]byte, 1), 0)
	h.wantErr("read", err, fs.ErrClosed)
	_, err = f.WriteAt(make([]byte, 1), 0)
	h.wantErr("write", err, fs.ErrClosed)
	for what, err := range map[string]error{
		"sync": f.Sync(), "sync data": f.SyncData(), "truncate": f.Truncate(0), "allocate": f.Allocate(0, 1),
	} {
		if err == nil {
			t.Errorf("%s of a closed file succeeded", what)
		}
	}
	h.wantBody("f", "body")
}

func belowFile(t *testing.T, h harness) {
	h.write("f", "")
	if _, err := h.Open(h.path("f/g")); err == nil {
		t.Error("opened a file below a file")
	}
	if _, err := h.Create(h.path("f/g")); err == nil {
		t.Error("created a file below a file")
	}
	if _, err := h.List(h.path("f")); err == nil {
		t.Error("listed a file")
	}
}

func concurrentWriters(t *testing.T, h harness) {
	f, err := h.Create(h.path("f"))
	h.must(err)
	const writers, each, size = 8, 20, 1000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				b := bytes.Repeat([]byte{byte('a' + w)}, size)
				off := int64((i*writers + w) * size)
				if _, err := f.WriteAt(b, off); err != nil {
					t.Error(err)
				}
				if err := f.SyncData(); err != nil {
					t.Error(err)
				}
				got := make([]byte, size)
				if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, b) {
					t.Error(fmt.Errorf("writer %d reads something else: %w", w, err))
				}
			}
		})
	}
	wg.Wait()
	if n, err := f.Size(); n != writers*each*size || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	h.must(f.Close())
}
