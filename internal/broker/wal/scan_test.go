package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// crafter writes a chain by hand, so that a test decides what each header says.
type crafter struct {
	t     testing.TB
	fs    *vfs.Mem
	f     vfs.File
	head  fileHeader
	at    Position
	seq   uint64
	chain uint32
	ends  []Position
	begin []Position
}

func newCrafter(t testing.TB) *crafter {
	c := &crafter{t: t, fs: newMemDir(t)}
	c.file(fileHeader{Cluster: testCluster, Incarnation: 1, Nonce: testNonce(1), FileBytes: 256 << 10})
	return c
}

// file begins a file.
func (c *crafter) file(h fileHeader) {
	c.t.Helper()
	f, err := c.fs.Create(testDir + "/" + fileName(h.Base))
	if err != nil {
		c.t.Fatal(err)
	}
	if h.Incarnation != c.head.Incarnation {
		c.seq, c.chain = 0, 0
	}
	c.head, c.f, c.at = h, f, h.Base+fileHeaderBytes
	var page [fileHeaderBytes]byte
	h.encode(page[:])
	c.write(page[:], h.Base)
	c.sync()
}

func (c *crafter) sync() {
	if err := errors.Join(c.f.Sync(), c.fs.SyncDir(testDir)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crafter) write(b []byte, p Position) {
	c.t.Helper()
	if _, err := c.f.WriteAt(b, int64(p-c.head.Base)); err != nil {
		c.t.Fatal(err)
	}
}

// frame adds a frame with one batch of n bytes, whose header says that the log was durable up to synced.
func (c *crafter) frame(n int, synced Position) {
	c.t.Helper()
	g := &group{}
	g.reset(1)
	offset := int64(c.head.Incarnation)<<32 + int64(c.seq)
	rng := rand.New(rand.NewPCG(c.seq, 1))
	g.add(NewStream(0, testTopic, 0), randomBatch(rng, 0, offset, n), BatchInfo{BaseOffset: offset, RecordCount: 1, Bytes: int32(n)})
	g.header = frameHeader{Cluster: c.head.Cluster, Incarnation: c.head.Incarnation, Seq: c.seq, Nonce: c.head.Nonce, Pos: c.at, LastSynced: synced, PrevChain: c.chain}
	g.block = (&ring{}).take(maxFrameBytes(g.body, g.footer))
	g.build()
	c.begin = append(c.begin, c.at)
	c.write(g.block.bytes, c.at)
	c.at, c.chain = g.frame.End(), g.header.CRC
	c.seq++
	c.ends = append(c.ends, c.at)
}

// flip turns one bit.
func (c *crafter) flip(p Position) { flipBit(c.t, c.f, int64(p-c.head.Base)) }

func flipBit(t testing.TB, f vfs.File, off int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// scan counts the frames of a scan.
func (c *crafter) scan(o ScanOptions) (ScanResult, error) {
	c.t.Helper()
	o.FS, o.Dir = c.fs, testDir
	return scanAll(c.t, o, nil)
}

func wantCorruptAt(t *testing.T, err error, p Position) {
	t.Helper()
	if c, ok := errors.AsType[*CorruptError](err); !ok || c.Position != p || c.Offset != int64(p)%(256<<10) || !strings.HasSuffix(c.File, fileSuffix) {
		t.Fatalf("got %v, want a CorruptError at %v", err, p)
	}
}

// parts of a frame, as offsets from its begin or, if negative, from the end of its content.
var frameParts = map[string]int64{"magic": 3, "header": 70, "body": 500, "directory": -32 - 40, "trailer": -10}

func contentOffset(off int64, n int) int64 {
	if off >= 0 {
		return off
	}
	g := &group{}
	g.reset(1)
	g.add(NewStream(0, testTopic, 0), make([]byte, n), BatchInfo{BaseOffset: 1 << 32, RecordCount: 1, Bytes: int32(n)})
	g.block = (&ring{}).take(maxFrameBytes(g.body, g.footer))
	g.build()
	return g.header.contentBytes() + off
}

func TestFlippedBitInTheMiddleIsCorruption(t *testing.T) {
	t.Parallel()
	for part, off := range frameParts {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			c := newCrafter(t)
			for i := range 6 {
				synced := Position(0)
				if i >= 2 {
					synced = c.ends[i-2]
				}
				c.frame(9000, synced)
			}
			c.flip(c.begin[2] + Position(contentOffset(off, 9000)))
			_, err := c.scan(ScanOptions{Verify: true})
			wantCorruptAt(t, err, c.begin[2])
			if part != "body" { // which is not read without Verify
				_, err = c.scan(ScanOptions{})
				wantCorruptAt(t, err, c.begin[2])
			}
		})
	}
}

func TestFlippedBitInTheLastFrameIsATornTail(t *testing.T) {
	t.Parallel()
	for part, off := range frameParts {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			c := newCrafter(t)
			c.frame(9000, 0)
			c.frame(9000, c.ends[0])
			c.frame(9000, c.ends[1])
			c.flip(c.begin[2] + Position(contentOffset(off, 9000)))
			res, err := c.scan(ScanOptions{})
			if err != nil || res.End != c.begin[2] || res.NextSeq != 2 || res.Frames != 2 || res.NextStart != 256<<10 {
				t.Fatalf("got %+v, %v, want the end at %v", res, err, c.begin[2])
			}
			if headerGone := part == "magic" || part == "header"; !headerGone && res.TornAt != c.begin[2] {
				t.Fatalf("torn at %v, want %v", res.TornAt, c.begin[2])
			}
		})
	}
}

func TestOverlappingFramesOfWhichTheFirstIsTorn(t *testing.T) {
	t.Parallel()
	for part, off := range frameParts {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			c := newCrafter(t)
			c.frame(9000, 0)
			c.frame(9000, c.ends[0])
			c.frame(9000, c.ends[0]) // in flight together with the one before
			c.flip(c.begin[1] + Position(contentOffset(off, 9000)))
			res, err := c.scan(ScanOptions{})
			if err != nil || res.End != c.begin[1] || res.TornAt != c.begin[1] || res.NextSeq != 1 {
				t.Fatalf("got %+v, %v, want a torn tail at %v", res, err, c.begin[1])
			}
			// A third frame that was written after the first had been synced proves that the first was whole.
			c.frame(9000, c.ends[1])
			_, err = c.scan(ScanOptions{Verify: true})
			wantCorruptAt(t, err, c.begin[1])
			if _, err = c.scan(ScanOptions{Sealed: map[uint64]uint64{1: 1}}); err != nil {
				t.Fatalf("sealed before the bad frame: %v", err)
			}
		})
	}
}

func TestSealBeyondABadFrameIsCorruption(t *testing.T) {
	t.Parallel()
	for part, off := range frameParts {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			c := newCrafter(t)
			c.frame(9000, 0)
			c.frame(9000, c.ends[0])
			c.flip(c.begin[1] + Position(contentOffset(off, 9000)))
			_, err := c.scan(ScanOptions{Sealed: map[uint64]uint64{1: 2}})
			wantCorruptAt(t, err, c.begin[1])
		})
	}
}

func TestLaterIncarnationProvesTheEndOfTheOneBefore(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	c.frame(9000, 0)
	c.frame(9000, c.ends[0])
	first := c.f
	c.file(fileHeader{Cluster: testCluster, Incarnation: 2, Nonce: testNonce(2), FileBytes: 256 << 10, Base: 256 << 10, Start: 256 << 10, Recovered: c.ends[1]})
	c.frame(9000, c.ends[1])
	if res, err := c.scan(ScanOptions{}); err != nil || res.Frames != 3 || res.Incarnation != 2 || res.NextSeq != 1 {
		t.Fatalf("got %+v, %v", res, err)
	}
	flipBit(t, first, int64(c.begin[1])+500)
	_, err := c.scan(ScanOptions{Verify: true})
	wantCorruptAt(t, err, c.begin[1])
}

func TestFramesBehindTheEndOfAnIncarnationAreDead(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	c.frame(9000, 0)
	c.frame(9000, c.ends[0])
	c.frame(9000, c.ends[0])
	c.file(fileHeader{Cluster: testCluster, Incarnation: 2, Nonce: testNonce(2), FileBytes: 256 << 10, Base: 256 << 10, Start: 256 << 10, Recovered: c.ends[0]})
	c.frame(9000, c.ends[0])
	res, err := c.scan(ScanOptions{})
	if err != nil || res.Frames != 2 || res.End != c.ends[3] {
		t.Fatalf("got %+v, %v, want 2 frames", res, err)
	}
}

func TestScanFromAnyFrameGivesTheRest(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	for i := range 10 {
		if i == 5 {
			c.file(fileHeader{Cluster: testCluster, Incarnation: 1, Nonce: testNonce(1), FileBytes: 256 << 10, Base: 256 << 10})
		}
		c.frame(5000, Position(0))
	}
	for i, p := range append([]Position{0}, c.ends...) {
		res, err := c.scan(ScanOptions{From: p})
		if err != nil || res.Frames != int64(10-i) || res.NextSeq != 10 || res.End != c.ends[9] {
			t.Errorf("from %v: got %+v, %v, want %d frames", p, res, err, 10-i)
		}
	}
	if res, err := c.scan(ScanOptions{From: 256 << 10}); err != nil || res.Frames != 5 || res.NextSeq != 10 {
		t.Errorf("from the begin of the second file: got %+v, %v, want 5 frames", res, err)
	}
}

func TestMissingFileIsCorruption(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	for i := range Position(3) {
		if i > 0 {
			c.file(fileHeader{Cluster: testCluster, Incarnation: 1, Nonce: testNonce(1), FileBytes: 256 << 10, Base: i * 256 << 10})
		}
		c.frame(5000, c.at-fileHeaderBytes)
	}
	if err := c.fs.Remove(testDir + "/" + fileName(256<<10)); err != nil {
		t.Fatal(err)
	}
	for _, from := range []Position{0, c.ends[0], c.begin[1]} {
		_, err := c.scan(ScanOptions{From: from})
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			t.Errorf("from %v: got %v, want a CorruptError", from, err)
		}
	}
}

func TestForeignClusterIsRefused(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	c.frame(100, 0)
	_, err := Scan(t.Context(), ScanOptions{FS: c.fs, Dir: testDir, ClusterID: [16]byte{0xee}}, func(*Frame) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("got %v", err)
	}
}

func TestScanStopsWhenVisitFails(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	c.frame(100, 0)
	stop := errors.New("stop")
	if _, err := scanAll(t, ScanOptions{FS: c.fs, Dir: testDir}, func(*Frame) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestWalkGoesOnBehindDamage(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	for range 6 {
		c.frame(9000, 0)
	}
	c.flip(c.begin[1] + 70)
	c.flip(c.begin[3] + 500)
	var files, good, bad int
	err := Walk(t.Context(), c.fs, testDir, testCluster, Walker{
		File: func(f FileInfo) error { files++; return f.Problem },
		Frame: func(f FrameInfo) error {
			if f.Problem != nil {
				bad++
				return nil //nolint:nilerr // counted
			}
			good++
			return nil
		},
	})
	if err != nil || files != 1 || good != 4 || bad != 1 {
		t.Errorf("got %d files, %d good, %d bad frames, %v", files, good, bad, err)
	}
}

// FuzzScan changes bytes of a small log. Whatever is done to it, a scan gives frames that were written, in order, or an error.
func FuzzScan(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1}, uint16(0), false)
	f.Add([]byte{0, 0x10, 70, 1, 0, 0x20, 3, 9}, uint16(3), false)
	f.Add([]byte{0, 0x10, 85, 1}, uint16(0), true)
	f.Add([]byte{0, 0x40, 120, 1, 0, 0x41, 0, 7}, uint16(9000), true)
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16, repair bool) {
		c := newCrafter(t)
		for i := range 6 {
			synced := Position(0)
			if i >= 2 {
				synced = c.ends[i-2]
			}
			c.frame(200+3000*(i%3), synced)
		}
		size := int64(c.at) - int64(cut)%int64(c.at)
		if err := c.f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		for ; len(edits) >= 4; edits = edits[4:] {
			off := int64(edits[0])<<16 | int64(edits[1])<<8 | int64(edits[2])
			if off >= size {
				continue
			}
			c.write([]byte{edits[3]}, Position(off))
			if repair {
				c.repair(off, size)
			}
		}
		next := uint64(0)
		visit := func(fr *Frame) error {
			if !repair && (fr.Seq != next || fr.Pos != c.begin[next] || len(fr.Runs) != 1) {
				return fmt.Errorf("frame %d at %v is not what was written", fr.Seq, fr.Pos)
			}
			next++
			return nil
		}
		res, err := scanAll(t, ScanOptions{FS: c.fs, Dir: testDir, Verify: true}, visit)
		if _, corrupt := errors.AsType[*CorruptError](err); err != nil && !corrupt && !repair {
			t.Fatal(err)
		}
		if err == nil && !repair && res.NextSeq < 4 && (cut == 0 || size > int64(c.ends[5])-1) {
			t.Fatalf("durable frames are gone without an error: %+v", res)
		}
		if err := Walk(t.Context(), c.fs, testDir, testCluster, Walker{Frame: func(FrameInfo) error { return nil }}); err != nil {
			t.Fatal(err)
		}
	})
}

// repair makes the checksum right of the header that the byte at off lies in, so that the fuzzer gets behind it.
func (c *crafter) repair(off, size int64) {
	page := off &^ (pageBytes - 1)
	n := int64(headerBytes - 4)
	if page == 0 {
		n = 88
	}
	if off-page >= n || page+n+4 > size {
		return
	}
	b := make([]byte, n+4)
	if _, err := c.f.ReadAt(b, page); err != nil {
		c.t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(b[n:], checksum(b[:n]))
	c.write(b, Position(page))
}

// TestScanMakesDurableWhatItShows has a process die, but not the system: its writes are in the page cache. What the next life reads from there must
// not be lost when the power fails after all.
func TestScanMakesDurableWhatItShows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		c := newCrafter(t)
		c.frame(9000, 0)
		c.sync()
		c.frame(9000, c.ends[0])
		c.frame(20000, c.ends[0])
		if res, err := c.scan(ScanOptions{}); err != nil || res.Frames != 3 {
			t.Fatalf("got %+v, %v, want 3 frames", res, err)
		}
		c.fs = c.fs.CrashClone(rand.New(rand.NewPCG(seed, 8)))
		if res, err := c.scan(ScanOptions{}); err != nil || res.Frames != 3 {
			t.Fatalf("after the power cut: got %+v, %v, want 3 frames", res, err)
		}
	}
}

func TestFrameInTheWrongPlaceProvesNothing(t *testing.T) {
	t.Parallel()
	c := newCrafter(t)
	c.frame(9000, 0)
	c.frame(9000, c.ends[0])
	c.frame(9000, c.ends[1])
	moved := make([]byte, c.ends[2]-c.begin[2])
	if _, err := c.f.ReadAt(moved, int64(c.begin[2])); err != nil {
		t.Fatal(err)
	}
	c.write(moved, c.ends[2]+5*pageBytes)
	c.flip(c.begin[2])
	c.flip(c.begin[1])
	if res, err := c.scan(ScanOptions{}); err != nil || res.End != c.ends[0] {
		t.Fatalf("got %+v, %v, want the end at %v", res, err, c.ends[0])
	}
}
