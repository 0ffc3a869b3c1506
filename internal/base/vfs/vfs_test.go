package vfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/base/vfs/vfstest"
)

func TestOSConforms(t *testing.T) {
	t.Parallel()
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) { return vfs.OS(), t.TempDir() })
}

func TestMemConforms(t *testing.T) {
	t.Parallel()
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
		m := vfs.NewMem()
		must(t, m.MkdirAll("data/x"))
		return m, "data/x"
	})
}

func TestFaultWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
		return vfs.NewFault(vfs.OS(), nil), t.TempDir()
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rng() *rand.Rand { return rand.New(rand.NewPCG(3, 5)) }

func write(t *testing.T, fsys vfs.FS, name string, body []byte, sync bool) {
	t.Helper()
	f, err := fsys.OpenReadWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = fsys.Create(name)
	}
	must(t, err)
	_, err = f.WriteAt(body, 0)
	must(t, err)
	if sync {
		must(t, f.SyncData())
	}
	must(t, f.Close())
}

func read(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		must(t, err)
	}
	must(t, f.Close())
	return b
}

func names(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	ns, err := fsys.List(dir)
	must(t, err)
	return ns
}

func TestCrashKeepsSyncedBytesAndNames(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	must(t, vfs.MakeDirs(m, "a/b"))
	body := bytes.Repeat([]byte("0123456789"), 3000)
	write(t, m, "a/b/f", body, true)
	must(t, m.SyncDir("a/b"))
	r := rng()
	for range 20 {
		c := m.CrashClone(r)
		if got := read(t, c, "a/b/f"); !bytes.Equal(got, body) {
			t.Fatalf("%d bytes differ from what was synced", len(got))
		}
		m = c.CrashClone(r) // a clone is durable itself
	}
}

func TestCrashLosesNamesUntilSyncDir(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	for _, name := range []string{"removed", "moved", "linked", "replaced", "new"} {
		write(t, m, name, []byte(name), true)
	}
	must(t, m.MkdirAll("dir"))
	if got := names(t, m.CrashClone(rng()), "/"); len(got) != 0 {
		t.Errorf("names that were never synced: %q", got)
	}
	must(t, m.SyncDir("/"))
	must(t, m.Remove("removed"))
	must(t, m.Rename("moved", "moved2"))
	must(t, m.Link("linked", "linked2"))
	must(t, m.Rename("new", "replaced"))
	must(t, m.Remove("dir"))
	c := m.CrashClone(rng())
	if got := names(t, c, "/"); !slices.Equal(got, []string{"dir", "linked", "moved", "new", "removed", "replaced"}) {
		t.Errorf("before the sync: %q", got)
	}
	if got := read(t, c, "replaced"); string(got) != "replaced" {
		t.Errorf("replaced file holds %q before the sync", got)
	}
	must(t, m.SyncDir("/"))
	c = m.CrashClone(rng())
	if got := names(t, c, "/"); !slices.Equal(got, []string{"linked", "linked2", "moved2", "replaced"}) {
		t.Errorf("after the sync: %q", got)
	}
	if got := read(t, c, "replaced"); string(got) != "new" {
		t.Errorf("replaced file holds %q after the sync", got)
	}
	// Two names of one file are still that.
	write(t, c, "linked", []byte("XX"), false)
	if got := read(t, c, "linked2"); string(got) != "XXnked" {
		t.Errorf("second name shows %q", got)
	}
}

func TestCrashKeepingNamesKeepsAPrefixOfChanges(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	for _, name := range []string{"1", "2", "3"} {
		write(t, m, name, nil, true)
	}
	must(t, m.Rename("3", "4"))
	seen := make(map[string]bool)
	r := rng()
	for range 200 {
		got := names(t, m.CrashCloneKeepingNames(r), "/")
		all := [][]string{{}, {"1"}, {"1", "2"}, {"1", "2", "3"}, {"1", "2", "4"}}
		i := slices.IndexFunc(all, func(want []string) bool { return slices.Equal(got, want) })
		if i < 0 {
			t.Fatalf("got %q, which never was", got)
		}
		seen[string(rune('0'+i))] = true
	}
	if len(seen) != 5 {
		t.Errorf("saw %d outcomes, want 5", len(seen))
	}
}

func TestCrashTearsUnsyncedWrites(t *testing.T) {
	t.Parallel()
	const pages = 8
	m := vfs.NewMem()
	write(t, m, "f", bytes.Repeat([]byte("o"), pages*4096), true)
	must(t, m.SyncDir("/"))
	write(t, m, "f", bytes.Repeat([]byte("n"), pages*4096), false)
	r := rng()
	var old, changed, mixed, torn int
	for range 100 {
		b := read(t, m.CrashClone(r), "f")
		if len(b) != pages*4096 {
			t.Fatalf("size %d", len(b))
		}
		for page := range slices.Chunk(b, 4096) {
			for sector := range slices.Chunk(page, 512) {
				if n := bytes.Count(sector, []byte("n")); n != 0 && n != 512 {
					t.Fatal("a sector is torn")
				}
			}
			switch bytes.Count(page, []byte("n")) {
			case 0:
				old++
			case 4096:
				changed++
			default:
				torn++
			}
		}
		if bytes.Contains(b, []byte("n")) && bytes.Contains(b, []byte("o")) {
			mixed++
		}
	}
	if old == 0 || changed == 0 || mixed == 0 || torn == 0 {
		t.Errorf("pages old %d, new %d, torn %d, files mixed %d: want some of each", old, changed, torn, mixed)
	}
	if got := read(t, m, "f"); bytes.Contains(got, []byte("o")) {
		t.Error("the crash of a clone changed the original")
	}
}

func TestCrashHasACutWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	old := bytes.Repeat([]byte("o"), 20_000)
	write(t, m, "f", old, true)
	must(t, m.SyncDir("/"))
	f, err := m.OpenReadWrite("f")
	must(t, err)
	must(t, f.Truncate(5000))
	must(t, f.Truncate(9000))
	must(t, f.Close())
	r := rng()
	seen := make(map[int]int)
	for range 100 {
		b := read(t, m.CrashClone(r), "f")
		seen[len(b)]++
		switch len(b) {
		case 20_000:
			if !bytes.Equal(b, old) {
				t.Fatal("the cut did not happen, but bytes are gone")
			}
		case 5000, 9000:
			want := append(slices.Clone(old[:5000]), make([]byte, len(b)-5000)...)
			if !bytes.Equal(b, want) {
				t.Fatal("bytes behind a cut came back")
			}
		default:
			t.Fatalf("size %d, which never was", len(b))
		}
	}
	if len(seen) != 3 {
		t.Errorf("sizes seen: %v, want three", seen)
	}
}

func TestCrashIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	must(t, m.SyncDir("/"))
	for i := range 10 {
		name := string(rune('a' + i))
		write(t, m, name, bytes.Repeat([]byte{1}, 30_000), true)
		must(t, m.SyncDir("/"))
		write(t, m, name, bytes.Repeat([]byte{2}, 40_000), false)
	}
	c1, c2 := m.CrashClone(rng()), m.CrashClone(rng())
	for _, name := range names(t, m, "/") {
		if !bytes.Equal(read(t, c1, name), read(t, c2, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestMemRunsOutOfSpace(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	m.SetFreeBytes(3 * 4096)
	f, err := m.Create("f")
	must(t, err)
	n, err := f.WriteAt(make([]byte, 5*4096), 0)
	if n != 3*4096 || !vfs.IsNoSpace(err) {
		t.Errorf("wrote %d bytes, %v, want three pages and no space", n, err)
	}
	if _, err := f.WriteAt([]byte("over"), 0); err != nil {
		t.Errorf("writing over what has blocks: %v", err)
	}
	if err := f.Allocate(3*4096, 1); !vfs.IsNoSpace(err) {
		t.Errorf("allocate: %v, want no space", err)
	}
	must(t, f.Truncate(4096))
	must(t, f.Allocate(0, 3*4096))
	if _, err := f.WriteAt(make([]byte, 3*4096), 0); err != nil {
		t.Errorf("writing to allocated blocks: %v", err)
	}
	must(t, m.Remove("f"))
	if u, _ := m.Usage("/"); u.FreeBytes != 0 {
		t.Errorf("%d bytes free while the removed file is open, want 0", u.FreeBytes)
	}
	must(t, f.Close())
	if u, _ := m.Usage("/"); u.FreeBytes != 3*4096 || u.TotalBytes < u.FreeBytes {
		t.Errorf("got %+v, want three free pages", u)
	}
}

func TestIsNoSpaceKnowsTheErrorsOfTheSystem(t *testing.T) {
	t.Parallel()
	if !vfs.IsNoSpace(&os.PathError{Op: "write", Err: syscall.ENOSPC}) || vfs.IsNoSpace(fs.ErrExist) || vfs.IsNoSpace(nil) {
		t.Error("want only a full disk to be one")
	}
}

func TestFaultFailsTheChosenOperation(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	m := vfs.NewMem()
	f := vfs.NewFault(m, vfs.On("wal", vfs.FailNth(2, broken), vfs.OpSyncData, vfs.OpSync))
	file, err := f.Create("wal-1")
	must(t, err)
	other, err := f.Create("other")
	must(t, err)
	must(t, file.SyncData())
	must(t, other.SyncData())
	if err := file.Sync(); !errors.Is(err, broken) {
		t.Errorf("second sync: %v, want the fault", err)
	}
	must(t, file.Sync())
	if f.Ops() != 6 {
		t.Errorf("%d operations, want 6", f.Ops())
	}

	f.Inject(vfs.FailFrom(f.Ops()+2, broken))
	must(t, f.MkdirAll("d"))
	for what, err := range map[string]error{
		"remove": f.Remove("other"), "rename": f.Rename("other", "x"), "link": f.Link("other", "x"),
		"mkdir": f.MkdirAll("e"), "sync": f.SyncDir("/"), "truncate": file.Truncate(9), "allocate": file.Allocate(0, 9),
	} {
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v, want the fault", what, err)
		}
	}
	if _, err := f.Open("other"); !errors.Is(err, broken) {
		t.Errorf("open: %v, want the fault", err)
	}
	f.Inject(nil)
	if got := names(t, f, "/"); !slices.Equal(got, []string{"d", "other", "wal-1"}) {
		t.Errorf("failed operations left %q", got)
	}
}

func TestFaultTearsAWrite(t *testing.T) {
	t.Parallel()
	f := vfs.NewFault(vfs.NewMem(), vfs.On("", vfs.FailNth(1, vfs.Torn(5, syscall.EIO)), vfs.OpWrite))
	file, err := f.Create("f")
	must(t, err)
	n, err := file.WriteAt([]byte("abcdef"), 0)
	if n != 5 || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %d, %v, want 5 bytes and the fault", n, err)
	}
	if got := read(t, f, "f"); string(got) != "abcde" {
		t.Errorf("file holds %q", got)
	}
}
