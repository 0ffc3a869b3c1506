package segment

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/vfs"
)

// TestObjectInDirectoryMayBeSentFromItsFile goes the way of a fetch: store, cache, locate, verify, then the bytes
// straight from the file.
func TestObjectInDirectoryMayBeSentFromItsFile(t *testing.T) {
	t.Parallel()
	store, err := blob.NewDir(vfs.OS(), t.TempDir())
	must(t, err)
	object, model, _ := randomObject(t, rand.New(rand.NewPCG(8, 8)), shape{runs: 30, batches: 30, payload: 400, indexBytes: 1024})
	out, err := store.Create(t.Context(), "l/00003/a")
	must(t, err)
	_, err = out.Write(object)
	must(t, err)
	must(t, out.Commit(t.Context()))

	c := NewCache(store, 0)
	for _, m := range model {
		r, release := get(t, c, "l/00003/a")
		b := m.batches[len(m.batches)/2]
		pos, err := r.Locate(m.info, b.base)
		must(t, err)
		must(t, r.Verify(m.info, pos, int64(len(b.bytes))))
		got, err := r.ReadRange(vfs.AlignedBuffer(vfs.RangeBytes(len(b.bytes))), m.info.Pos+pos, len(b.bytes))
		must(t, err)
		if !bytes.Equal(got, b.bytes) {
			t.Fatalf("batch at offset %d of %+v differs", b.base, m.info)
		}
		release()
	}
	must(t, c.Close())
}
