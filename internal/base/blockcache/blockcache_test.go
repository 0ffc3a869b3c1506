package blockcache

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeFile counts the reads of a file in memory.
type fakeFile struct {
	b     []byte
	reads atomic.Int64
	fail  atomic.Bool
}

var errBroken = errors.New("broken")

func (f *fakeFile) ReadRange(buf []byte, off int64, n int) ([]byte, error) {
	f.reads.Add(1)
	if f.fail.Load() {
		return nil, errBroken
	}
	copy(buf[:n], f.b[off:])
	return buf[:n], nil
}

// countedFile has no bytes of its own.
type countedFile struct{ reads atomic.Int64 }

func (f *countedFile) ReadRange(buf []byte, _ int64, n int) ([]byte, error) {
	f.reads.Add(1)
	return buf[:n], nil
}

func newFile(blocks int) *fakeFile {
	f := &fakeFile{b: make([]byte, blocks*BlockBytes)}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(f.b); i += 97 {
		f.b[i] = byte(rng.Uint32())
	}
	return f
}

func held() (func(), bool) { return func() {}, true }

func TestReadsEqualTheFile(t *testing.T) {
	t.Parallel()
	f := newFile(12)
	c := New(5 * BlockBytes)
	defer c.Close()
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := c.Reader("f", f, int64(len(f.b))-BlockBytes/2, held)
			rng := rand.New(rand.NewPCG(seed, 9))
			for range 40 {
				off := rng.IntN(len(f.b))
				n := 1 + rng.IntN(min(len(f.b)-off, 3*BlockBytes))
				got := make([]byte, n)
				if _, err := r.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, f.b[off:off+n]) {
					t.Errorf("range [%d, %d) differs: %v", off, off+n, err)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
	if len(c.blocks) > 5+aheadBlocks*4 {
		t.Errorf("the cache holds %d blocks of 5", len(c.blocks))
	}
}

func TestSequentialReadsReadEachBlockOnceAndAhead(t *testing.T) {
	t.Parallel()
	f := newFile(8)
	c := New(16 * BlockBytes)
	r := c.Reader(7, f, int64(len(f.b)), held)
	p := make([]byte, 64<<10)
	for range 3 { // consumers
		for off := int64(0); off < int64(len(f.b)); off += int64(len(p)) {
			if _, err := r.ReadAt(p, off); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Close()
	if n := f.reads.Load(); n != 8 {
		t.Errorf("8 blocks were read %d times", n)
	}
	if _, misses := c.Stats(); misses != 1 {
		t.Errorf("%d reads had to wait for a block that nobody had begun, want the first alone", misses)
	}
}

func TestReadersInManyPlacesReadEachBlockOnce(t *testing.T) {
	t.Parallel()
	for _, places := range []int{2, 6, 16} {
		const each = 24 // blocks of a place
		var f countedFile
		c := New(48 * BlockBytes)
		r := c.Reader(7, &f, int64(places)*each*BlockBytes, held)
		const n = BlockBytes - 100 // as a fetch takes of a partition: whole batches, less than a block
		for at := int64(0); at+n <= each*BlockBytes; at += n {
			for i := range places {
				if err := r.Touch(int64(i)*each*BlockBytes+at, n); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Close()
		// What is read ahead of one place's end is the begin of the next, which has been read already.
		if n, most := int(f.reads.Load()), places*(each+aheadBlocks); n > most {
			t.Errorf("%d places: %d blocks were read %d times, want %d at the most", places, places*each, n, most)
		}
	}
}

func TestWhatIsReadAheadForNobodyIsGivenUp(t *testing.T) {
	t.Parallel()
	var f countedFile
	c := New(8 * BlockBytes)
	r := c.Object(7, &f, 40*BlockBytes, held)
	r.Ahead(0, 8*BlockBytes)
	c.wg.Wait()
	p := make([]byte, 10)
	for range 3 {
		for n := int64(10); n < 40; n++ { // the begins of blocks: nothing is read ahead for them
			if _, err := r.ReadAt(p, n*BlockBytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := c.early.Len(); n != 0 {
		t.Errorf("%d blocks still wait for a reader", n)
	}
	if n := len(c.blocks); n > 8 {
		t.Errorf("the cache holds %d blocks of 8", n)
	}
	c.Close()
}

func TestAheadReadsWhatIsTouchedLater(t *testing.T) {
	t.Parallel()
	f := newFile(4)
	c := New(16 * BlockBytes)
	r := c.Object(7, f, int64(len(f.b))-10, held)
	r.Ahead(BlockBytes/2, 2*BlockBytes)
	if err := r.Touch(BlockBytes/2, 2*BlockBytes); err != nil {
		t.Fatal(err)
	}
	if _, misses := c.Stats(); misses != 0 {
		t.Errorf("%d blocks were not read ahead", misses)
	}
	f.fail.Store(true)
	c.Close()
	if err := c.Object(8, f, 5, held).Touch(0, 5); !errors.Is(err, errBroken) {
		t.Errorf("touch of what cannot be read: %v", err)
	}
}

func TestBytesBeyondTheLimitAreNotKept(t *testing.T) {
	t.Parallel()
	f := newFile(2)
	c := New(16 * BlockBytes)
	defer c.Close()
	r := c.Reader(7, f, BlockBytes+10, held)
	p := make([]byte, 1)
	if _, err := r.ReadAt(p, BlockBytes+5); err != nil {
		t.Fatal(err)
	}
	f.b[BlockBytes+20] = 99 // written later
	if _, err := c.Reader(7, f, 2*BlockBytes, held).ReadAt(p, BlockBytes+20); err != nil || p[0] != 99 {
		t.Errorf("read %d, %v, want what was written after the first read", p[0], err)
	}
}

func TestFailedReadIsToldAndNotKept(t *testing.T) {
	t.Parallel()
	f := newFile(1)
	c := New(16 * BlockBytes)
	defer c.Close()
	r := c.Reader(7, f, BlockBytes, held)
	f.fail.Store(true)
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of the file", err)
	}
	f.fail.Store(false)
	if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
		t.Errorf("second read: %v", err)
	}
}

func TestClosedCacheStillReads(t *testing.T) {
	t.Parallel()
	f := newFile(1)
	c := New(16 * BlockBytes)
	c.Close()
	if _, err := c.Reader(7, f, BlockBytes, held).ReadAt(make([]byte, 10), 0); err != nil {
		t.Error(err)
	}
}

// vectorFile is a file that reads neighbouring blocks at once.
type vectorFile struct{ *fakeFile }

func (vectorFile) Vectored() bool { return true }

func (f vectorFile) ReadVector(p [][]byte, off int64) error {
	f.reads.Add(1)
	if f.fail.Load() {
		return errBroken
	}
	for _, piece := range p {
		off += int64(copy(piece, f.b[off:]))
	}
	return nil
}

func TestNeighbouringBlocksAreReadAheadWithOneRead(t *testing.T) {
	t.Parallel()
	f := vectorFile{newFile(7)}
	c := New(16 * BlockBytes)
	size := int64(len(f.b)) - 10
	r := c.Object(7, f, size, held)
	r.Ahead(3*BlockBytes, 1)
	r.AheadToEnd(BlockBytes / 2)
	got := make([]byte, size)
	if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, f.b[:size]) {
		t.Errorf("bytes differ: %v", err)
	}
	c.Close()
	// Block 3 was there: [0, 3), 3, [4, 7).
	if n := f.reads.Load(); n != 3 {
		t.Errorf("%d reads, want 3", n)
	}
	if _, misses := c.Stats(); misses != 0 {
		t.Errorf("%d blocks were not read ahead", misses)
	}
}

func TestAFailedReadOfSeveralBlocksIsToldOfEach(t *testing.T) {
	t.Parallel()
	f := vectorFile{newFile(4)}
	c := New(16 * BlockBytes)
	defer c.Close()
	f.fail.Store(true)
	r := c.Object(7, f, 4*BlockBytes, held)
	r.AheadToEnd(0)
	for off := range int64(4) {
		if err := r.Touch(off*BlockBytes, 10); !errors.Is(err, errBroken) {
			t.Errorf("block %d: got %v, want the error of the file", off, err)
		}
	}
	f.fail.Store(false)
	if err := r.Touch(0, 4*BlockBytes); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

// flaky gives other bytes at its first read.
type flaky struct{ reads int }

func (f *flaky) ReadRange(buf []byte, _ int64, n int) ([]byte, error) {
	f.reads++
	for i := range buf[:n] {
		buf[i] = byte(f.reads)
	}
	return buf[:n], nil
}

func TestForgottenBlocksAreReadAnew(t *testing.T) {
	t.Parallel()
	c := New(8 * BlockBytes)
	defer c.Close()
	f := &flaky{}
	r := c.Object("o", f, BlockBytes/2, func() (func(), bool) { return func() {}, true })
	first, release, err := r.View(10, 5)
	if err != nil || first[0] != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	r.Forget(12, 1)
	p := make([]byte, 5)
	if _, err := r.ReadAt(p, 10); err != nil || p[0] != 2 || first[0] != 1 {
		t.Errorf("after Forget: %v, %v, and the view of before %v; want what is read anew, and the view as it was", p, err, first)
	}
	release()
	r.Forget(0, 1)
	r.Forget(0, 1)
	if _, err := r.ReadAt(p, 10); err != nil || p[0] != 3 {
		t.Errorf("after Forget of a block that nobody uses: %v, %v", p, err)
	}
}
