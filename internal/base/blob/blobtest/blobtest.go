// Package blobtest is the suite that every blob.Store must pass. Each part gets a store of its own from open
// and uses every method, also from many goroutines. It asks for nothing that S3 does not give, so a store
// on a remote service can run it too.
//
// What happens to a store in a crash is not in here: that is tested where the medium can be crashed.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// Run tests the stores that open makes. open returns an empty store and arranges its end with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s blob.Store)
	}{
		{"PutIfAbsentKeepsTheFirst", putIfAbsentKeepsTheFirst},
		{"OneOfManyCreatorsWins", oneOfManyCreatorsWins},
		{"PutReplacesAndOpenReadersKeepTheOld", putReplaces},
		{"CreateShowsNothingBeforeCommit", createShowsNothingBeforeCommit},
		{"CommitRefusesATakenKey", commitRefusesATakenKey},
		{"AbortLeavesNothing", abortLeavesNothing},
		{"ReadAtFollowsReaderAt", readAtFollowsReaderAt},
		{"OpenOfKnownSizeReadsTheSame", openOfKnownSize},
		{"OpenAndDeleteOfAbsentKey", absentKey},
		{"DeleteFreesTheKey", deleteFreesTheKey},
		{"ListIsSortedByKeyBytes", listIsSorted},
		{"ListPagesThroughAll", listPages},
		{"BodyIsCopied", bodyIsCopied},
		{"BadKeysAreRefused", badKeysAreRefused},
		{"EndedContextIsRefused", endedContextIsRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, open(t))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func read(t *testing.T, r blob.Reader) []byte {
	t.Helper()
	body, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	must(t, err)
	return body
}

func wantBody(t *testing.T, s blob.Store, key, want string) {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	must(t, err)
	if got := read(t, r); string(got) != want {
		t.Errorf("%s holds %q, want %q", key, got, want)
	}
	must(t, r.Close())
}

func keys(t *testing.T, s blob.Store, prefix, after string, limit int) []string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix, after, limit)
	must(t, err)
	var ks []string
	for _, i := range infos {
		ks = append(ks, i.Key)
	}
	return ks
}

func putIfAbsentKeepsTheFirst(t *testing.T, s blob.Store) {
	must(t, s.PutIfAbsent(t.Context(), "a/b/c", []byte("one")))
	wantErr(t, "second put", s.PutIfAbsent(t.Context(), "a/b/c", []byte("two")), blob.ErrExists)
	wantBody(t, s, "a/b/c", "one")
	must(t, s.PutIfAbsent(t.Context(), "a/b/empty", nil))
	wantBody(t, s, "a/b/empty", "")
}

func openOfKnownSize(t *testing.T, s blob.Store) {
	body := strings.Repeat("0123456789", 5000)
	must(t, s.PutIfAbsent(t.Context(), "sized", []byte(body)))
	r, err := blob.OpenSized(t.Context(), s, "sized", int64(len(body)))
	must(t, err)
	if got := read(t, r); string(got) != body {
		t.Errorf("read %d bytes, not those that were put", len(got))
	}
	if _, err := r.ReadAt(make([]byte, 2), int64(len(body))-1); !errors.Is(err, io.EOF) {
		t.Errorf("read beyond the end: %v, want io.EOF", err)
	}
	must(t, r.Close())
	r, err = blob.OpenSized(t.Context(), s, "absent", 10)
	if err == nil {
		_, err = r.ReadAt(make([]byte, 10), 0)
		must(t, r.Close())
	}
	wantErr(t, "open or first read of an absent key", err, blob.ErrNotFound)
}

func oneOfManyCreatorsWins(t *testing.T, s blob.Store) {
	for round := range 10 {
		key := fmt.Sprintf("race/%d/x", round)
		var wins atomic.Int64
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				body := strings.Repeat(string(rune('a'+i)), 1000)
				switch err := s.PutIfAbsent(t.Context(), key, []byte(body)); {
				case err == nil:
					wins.Add(1)
					winner.Store(body)
				case !errors.Is(err, blob.ErrExists):
					t.Errorf("put %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d creators won, want 1", wins.Load())
		}
		wantBody(t, s, key, winner.Load().(string))
	}
}

func putReplaces(t *testing.T, s blob.Store) {
	must(t, s.Put(t.Context(), "p/k", []byte("old")))
	r, err := s.Open(t.Context(), "p/k")
	must(t, err)
	must(t, s.Put(t.Context(), "p/k", []byte("newer")))
	wantBody(t, s, "p/k", "newer")
	if got := read(t, r); string(got) != "old" {
		t.Errorf("open reader sees %q, want old", got)
	}
	must(t, r.Close())
}

func createShowsNothingBeforeCommit(t *testing.T, s blob.Store) {
	w, err := s.Create(t.Context(), "c/k")
	must(t, err)
	var want bytes.Buffer
	for i := range 1000 {
		line := fmt.Appendf(nil, "line %d %s\n", i, strings.Repeat("x", i))
		want.Write(line)
		_, err := w.Write(line)
		must(t, err)
	}
	_, err = s.Open(t.Context(), "c/k")
	wantErr(t, "open before commit", err, blob.ErrNotFound)
	if got := keys(t, s, "", "", 0); len(got) != 0 {
		t.Errorf("list before commit: %q", got)
	}
	must(t, w.Commit(t.Context()))
	wantBody(t, s, "c/k", want.String())
	must(t, w.Abort()) // no effect
	wantBody(t, s, "c/k", want.String())
	wantErr(t, "second commit", w.Commit(t.Context()), blob.ErrFinished)
	_, err = w.Write([]byte("x"))
	wantErr(t, "write after commit", err, blob.ErrFinished)
}

func commitRefusesATakenKey(t *testing.T, s blob.Store) {
	w, err := s.Create(t.Context(), "c/k")
	must(t, err)
	_, err = w.Write([]byte("late"))
	must(t, err)
	must(t, s.PutIfAbsent(t.Context(), "c/k", []byte("early")))
	wantErr(t, "commit", w.Commit(t.Context()), blob.ErrExists)
	wantBody(t, s, "c/k", "early")
}

func abortLeavesNothing(t *testing.T, s blob.Store) {
	w, err := s.Create(t.Context(), "c/k")
	must(t, err)
	_, err = w.Write([]byte("x"))
	must(t, err)
	must(t, w.Abort())
	wantErr(t, "commit after abort", w.Commit(t.Context()), blob.ErrFinished)
	if got := keys(t, s, "", "", 0); len(got) != 0 {
		t.Errorf("list after abort: %q", got)
	}
	must(t, s.PutIfAbsent(t.Context(), "c/k", []byte("y")))
}

func readAtFollowsReaderAt(t *testing.T, s blob.Store) {
	must(t, s.PutIfAbsent(t.Context(), "r", []byte("0123456789")))
	r, err := s.Open(t.Context(), "r")
	must(t, err)
	if r.Size() != 10 {
		t.Errorf("size %d, want 10", r.Size())
	}
	p := make([]byte, 4)
	n, err := r.ReadAt(p, 3)
	if n != 4 || err != nil || string(p) != "3456" {
		t.Errorf("inside: %d %v %q", n, err, p)
	}
	n, err = r.ReadAt(p, 8)
	if n != 2 || !errors.Is(err, io.EOF) || string(p[:n]) != "89" {
		t.Errorf("over the end: %d %v %q", n, err, p[:n])
	}
	if n, err := r.ReadAt(p, 10); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d %v", n, err)
	}
	buf := vfs.AlignedBuffer(vfs.RangeBytes(4))
	if p, err := r.ReadRange(buf, 3, 4); err != nil || string(p) != "3456" {
		t.Errorf("range inside: %v %q", err, p)
	}
	head, tail := make([]byte, 3), make([]byte, 2)
	if err := blob.ReadVector(r, [][]byte{head, tail}, 4); err != nil || string(head) != "456" || string(tail) != "78" {
		t.Errorf("vector at 4: %q, %q, %v", head, tail, err)
	}
	if err := blob.ReadVector(r, [][]byte{head, tail}, 6); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("vector beyond the end: got %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if _, err := r.ReadRange(buf, 8, 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("range over the end: %v, want io.ErrUnexpectedEOF", err)
	}
	must(t, r.Close())
}

func absentKey(t *testing.T, s blob.Store) {
	_, err := s.Open(t.Context(), "no/such")
	wantErr(t, "open", err, blob.ErrNotFound)
	must(t, s.Delete(t.Context(), "no/such"))
	must(t, s.PutIfAbsent(t.Context(), "no/other", nil))
	_, err = s.Open(t.Context(), "no")
	wantErr(t, "open of a folder", err, blob.ErrNotFound)
	must(t, s.Delete(t.Context(), "no"))
	wantBody(t, s, "no/other", "")
}

func deleteFreesTheKey(t *testing.T, s blob.Store) {
	must(t, s.PutIfAbsent(t.Context(), "d/k", []byte("one")))
	r, err := s.Open(t.Context(), "d/k")
	must(t, err)
	must(t, s.Delete(t.Context(), "d/k"))
	must(t, s.Delete(t.Context(), "d/k"))
	_, err = s.Open(t.Context(), "d/k")
	wantErr(t, "open after delete", err, blob.ErrNotFound)
	if got := keys(t, s, "", "", 0); len(got) != 0 {
		t.Errorf("list after delete: %q", got)
	}
	must(t, r.Close())
	must(t, s.PutIfAbsent(t.Context(), "d/k", []byte("two")))
	wantBody(t, s, "d/k", "two")
}

// listed are keys in the order of their bytes, with folders whose order differs from their entries' names.
var listed = []string{
	"a-b", "a.b", "a/0", "a/b-c/x", "a/b.c", "a/b/x", "a/b/y", "a/b0/x", "a0", "a0b/z", "b/1", "b/10", "b/2", "c",
}

func fill(t *testing.T, s blob.Store) {
	t.Helper()
	for i := range listed {
		must(t, s.PutIfAbsent(t.Context(), listed[(i*5)%len(listed)], make([]byte, (i*5)%len(listed))))
	}
}

func listIsSorted(t *testing.T, s blob.Store) {
	if got := keys(t, s, "x", "", 0); len(got) != 0 {
		t.Errorf("empty store lists %q", got)
	}
	fill(t, s)
	infos, err := s.List(t.Context(), "", "", 0)
	must(t, err)
	for i, info := range infos {
		if i >= len(listed) || info.Key != listed[i] || info.Size != int64(i) {
			t.Errorf("entry %d: got %+v", i, info)
		}
	}
	if len(infos) != len(listed) {
		t.Errorf("got %d entries, want %d", len(infos), len(listed))
	}
}

func listPages(t *testing.T, s blob.Store) {
	fill(t, s)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "a/b/x", "b/1", "c", "c/", "d", "a//", "A", ".", "/"} {
		for _, limit := range []int{0, 1, 2, 3, 100} {
			for _, after := range append([]string{"", "a", "a/", "a/b", "a/bz", "b/", "zz", "a0/", "!"}, listed...) {
				var want []string
				for _, k := range listed {
					if strings.HasPrefix(k, prefix) && k > after && (limit == 0 || len(want) < limit) {
						want = append(want, k)
					}
				}
				if got := keys(t, s, prefix, after, limit); !slices.Equal(got, want) {
					t.Errorf("List(%q, %q, %d): got %q, want %q", prefix, after, limit, got, want)
				}
			}
		}
	}
}

func bodyIsCopied(t *testing.T, s blob.Store) {
	body := []byte("body")
	must(t, s.PutIfAbsent(t.Context(), "k1", body))
	must(t, s.Put(t.Context(), "k2", body))
	w, err := s.Create(t.Context(), "k3")
	must(t, err)
	_, err = w.Write(body)
	must(t, err)
	clear(body)
	must(t, w.Commit(t.Context()))
	for _, k := range []string{"k1", "k2", "k3"} {
		wantBody(t, s, k, "body")
	}
}

func badKeysAreRefused(t *testing.T, s blob.Store) {
	long := strings.Repeat("a", 256)
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.b", ".tmp/1", "A", "a b", "a\x00", "ä", long,
		strings.Repeat("a/", 512) + "a",
	}
	for _, key := range bad {
		what := fmt.Sprintf("key %q", key)
		wantErr(t, what, s.PutIfAbsent(t.Context(), key, nil), blob.ErrBadKey)
		wantErr(t, what, s.Put(t.Context(), key, nil), blob.ErrBadKey)
		_, err := s.Create(t.Context(), key)
		wantErr(t, what, err, blob.ErrBadKey)
		_, err = s.Open(t.Context(), key)
		wantErr(t, what, err, blob.ErrBadKey)
		wantErr(t, what, s.Delete(t.Context(), key), blob.ErrBadKey)
	}
}

func endedContextIsRefused(t *testing.T, s blob.Store) {
	w, err := s.Create(t.Context(), "w")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "commit", w.Commit(ctx), context.Canceled)
	wantErr(t, "put if absent", s.PutIfAbsent(ctx, "k", nil), context.Canceled)
	wantErr(t, "put", s.Put(ctx, "k", nil), context.Canceled)
	_, err = s.Create(ctx, "k")
	wantErr(t, "create", err, context.Canceled)
	_, err = s.Open(ctx, "k")
	wantErr(t, "open", err, context.Canceled)
	wantErr(t, "delete", s.Delete(ctx, "k"), context.Canceled)
	_, err = s.List(ctx, "", "", 0)
	wantErr(t, "list", err, context.Canceled)
	if got := keys(t, s, "", "", 0); len(got) != 0 {
		t.Errorf("list: got %q, want none", got)
	}
}
