package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/blobtest"
	"github.com/weir-stream/weir/internal/base/vfs"
)

func TestMemConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewMem() })
}

func TestFaultWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewFault(blob.NewMem(), nil) })
}

func TestDirOnDiskConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		d, err := blob.NewDir(vfs.OS(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestDirInMemoryConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store { return openDir(t, vfs.NewMem()) })
}

func openDir(t *testing.T, fsys vfs.FS) *blob.Dir {
	t.Helper()
	d, err := blob.NewDir(fsys, "data/blob")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantKeys(t *testing.T, s blob.Store, want ...string) {
	t.Helper()
	infos, err := s.List(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range infos {
		got = append(got, i.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("store holds %q, want %q", got, want)
	}
}

func wantBody(t *testing.T, s blob.Store, key, want string) {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", key, got, err, want)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestDirKeepsEveryAcknowledgedChangeOverACrash crashes after each operation, with the least and with a random
// part of what was not synced, and finds what was acknowledged.
func TestDirKeepsEveryAcknowledgedChangeOverACrash(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	m := vfs.NewMem()
	d := openDir(t, m)
	want := make(map[string]string)
	for i := range 200 {
		key := fmt.Sprintf("%c/%c/%d", 'a'+rng.IntN(3), 'x'+rng.IntN(2), rng.IntN(4))
		body := strings.Repeat(fmt.Sprint(i), rng.IntN(3000))
		_, taken := want[key]
		var err error
		switch rng.IntN(4) {
		case 0:
			err = d.Put(t.Context(), key, []byte(body))
			want[key] = body
		case 1:
			err = d.Delete(t.Context(), key)
			delete(want, key)
		case 2:
			w, createErr := d.Create(t.Context(), key)
			if createErr != nil {
				t.Fatal(createErr)
			}
			_, _ = io.WriteString(w, body)
			err = w.Commit(t.Context())
		default:
			err = d.PutIfAbsent(t.Context(), key, []byte(body))
		}
		if !taken && errors.Is(err, blob.ErrExists) || err != nil && !errors.Is(err, blob.ErrExists) {
			t.Fatal(err)
		}
		if err == nil && !taken {
			if _, deleted := want[key]; !deleted {
				// Either a deletion of nothing, or a creation: the store itself tells which.
				if r, err := d.Open(t.Context(), key); err == nil {
					want[key] = body
					if err := r.Close(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		after := m.CrashClone(rng)
		if i%2 == 0 {
			after = m.CrashCloneKeepingNames(rng)
		}
		again := openDir(t, after)
		wantKeys(t, again, slices.Sorted(maps.Keys(want))...)
		for key, body := range want {
			wantBody(t, again, key, body)
		}
		if i%20 == 0 {
			m, d = after, again
		}
	}
}

// TestDirFailsCleanlyAtEveryStep fails each file operation of a write in turn. The object is then there whole
// or not at all, also after a crash, and the next opening leaves no temporary file.
func TestDirFailsCleanlyAtEveryStep(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, write := range map[string]func(context.Context, blob.Store) error{
		"PutIfAbsent": func(ctx context.Context, s blob.Store) error {
			return s.PutIfAbsent(ctx, "a/new", []byte("body"))
		},
		"Put": func(ctx context.Context, s blob.Store) error { return s.Put(ctx, "a/new", []byte("body")) },
		"Create": func(ctx context.Context, s blob.Store) error {
			w, err := s.Create(ctx, "a/new")
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte("body")); err != nil {
				return errors.Join(err, w.Abort())
			}
			return w.Commit(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := 0
			for n := int64(1); ; n++ {
				m := vfs.NewMem()
				f := vfs.NewFault(m, nil)
				d := openDir(t, f)
				if err := d.PutIfAbsent(t.Context(), "b/old", []byte("old")); err != nil {
					t.Fatal(err)
				}
				f.Inject(vfs.FailNth(f.Ops()+n, broken))
				before := f.Ops()
				err := write(t.Context(), d)
				if f.Ops()-before < n {
					break // all steps had their turn
				}
				if err != nil {
					failed++
				}
				for _, fsys := range []*vfs.Mem{m, m.CrashCloneKeepingNames(rand.New(rand.NewPCG(uint64(n), 1)))} {
					again := openDir(t, fsys)
					infos, listErr := again.List(t.Context(), "", "", 0)
					if listErr != nil {
						t.Fatal(listErr)
					}
					if len(infos) == 2 {
						wantBody(t, again, "a/new", "body")
					} else if err == nil {
						t.Errorf("step %d: an acknowledged object is gone", n)
					}
					wantBody(t, again, "b/old", "old")
					if left, err := fsys.List("data/blob/.tmp"); err != nil || len(left) != 0 {
						t.Errorf("step %d: temporary files left: %q, %v", n, left, err)
					}
				}
			}
			if failed < 5 {
				t.Errorf("only %d steps failed", failed)
			}
		})
	}
}

func TestDirTellsAFullDisk(t *testing.T) {
	t.Parallel()
	m := vfs.NewMem()
	d := openDir(t, m)
	m.SetFreeBytes(8192)
	if err := d.PutIfAbsent(t.Context(), "big", make([]byte, 10_000)); !vfs.IsNoSpace(err) {
		t.Errorf("got %v, want no space", err)
	}
	if err := d.PutIfAbsent(t.Context(), "small", make([]byte, 8000)); err != nil {
		t.Errorf("after the failed one was dropped: %v", err)
	}
	wantKeys(t, d, "small")
}

func TestFaultFailsAndLosesAnswers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := blob.NewFault(blob.NewMem(), blob.On("k", blob.FailNth(1, broken), blob.OpPutIfAbsent))
	if err := s.PutIfAbsent(t.Context(), "k1", nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want the fault", err)
	}
	wantKeys(t, s)
	s.Inject(blob.FailFrom(1, blob.Lost(broken)))
	if err := s.PutIfAbsent(t.Context(), "k1", []byte("body")); !errors.Is(err, broken) {
		t.Errorf("got %v, want the fault", err)
	}
	if _, err := s.Create(t.Context(), "k2"); !errors.Is(err, broken) {
		t.Errorf("got %v, want the fault", err)
	}
	s.Inject(nil)
	wantKeys(t, s, "k1")
	w, err := s.Create(t.Context(), "k2")
	if err != nil {
		t.Fatal(err)
	}
	s.Inject(blob.On("k2", blob.FailNth(1, blob.Lost(broken)), blob.OpCommit))
	if err := w.Commit(t.Context()); !errors.Is(err, broken) {
		t.Errorf("commit: %v, want the fault", err)
	}
	s.Inject(nil)
	wantKeys(t, s, "k1", "k2")
	if err := s.PutIfAbsent(t.Context(), "k1", nil); !errors.Is(err, blob.ErrExists) {
		t.Errorf("own object whose answer was lost: %v, want %v", err, blob.ErrExists)
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a", "w/3f/0001", "", "/", "a//b", "../a", "a/.tmp", "A", "a\x00"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if blob.CheckKey(key) == nil && !filepath.IsLocal(key) {
			t.Errorf("key %q leads out of the store", key)
		}
	})
}

func BenchmarkDirPutIfAbsent(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%dKiB", size>>10), func(b *testing.B) {
			d, err := blob.NewDir(vfs.OS(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			body := make([]byte, size)
			b.SetBytes(int64(size))
			n := 0
			for b.Loop() {
				n++
				if err := d.PutIfAbsent(b.Context(), fmt.Sprintf("w/%02x/%d", n%16, n), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
