package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestDamageNeverGivesWrongData changes each byte of a small object in turn. Every answer must then be that of the
// whole object, or a CorruptError; and a scrub must find the damage.
func TestDamageNeverGivesWrongData(t *testing.T) {
	t.Parallel()
	object, model, _ := randomObject(t, rand.New(rand.NewPCG(21, 1)), shape{runs: 6, batches: 9, payload: 150, indexBytes: 512})
	if len(model) < 3 {
		t.Fatalf("the object has %d runs, too few to be of interest", len(model))
	}
	for i := range object {
		bad := bytes.Clone(object)
		bad[i] ^= 1 << (i % 8)
		checkDamaged(t, bad, object, model, i)
	}
}

func TestCutObjectIsRefused(t *testing.T) {
	t.Parallel()
	object, _, _ := randomObject(t, rand.New(rand.NewPCG(21, 1)), shape{runs: 8, batches: 4, payload: 100, indexBytes: 512})
	for n := range object {
		_, err := Open("o", &memObject{b: object[:n]})
		if !isCorrupt(err) {
			t.Fatalf("cut to %d of %d bytes: got %v, want a CorruptError", n, len(object), err)
		}
	}
	for _, more := range []int{1, trailerBytes, 5000} {
		if _, err := Open("o", &memObject{b: append(bytes.Clone(object), make([]byte, more)...)}); !isCorrupt(err) {
			t.Fatalf("%d zeros appended: got %v, want a CorruptError", more, err)
		}
	}
	// An object that shrinks after it was opened must not give short reads.
	m := &memObject{b: object}
	r, err := Open("o", m)
	must(t, err)
	m.b = object[:headerBytes+1]
	if _, err := r.ReadAt(make([]byte, 10), headerBytes); !isCorrupt(err) {
		t.Fatalf("read of a shrunk object: got %v, want a CorruptError", err)
	}
}

func isCorrupt(err error) bool {
	e, ok := errors.AsType[*CorruptError](err)
	return ok && e.Object == "o"
}

// checkDamaged asks a damaged object all there is to ask.
func checkDamaged(t *testing.T, bad, good []byte, model []*modelRun, at int) {
	t.Helper()
	r, err := Open("o", &memObject{b: bad})
	if err != nil {
		if !isCorrupt(err) {
			t.Fatalf("byte %d: Open: got %v, want a CorruptError", at, err)
		}
		return
	}
	for _, m := range model {
		for _, b := range m.batches {
			if got, err := r.Locate(m.info, b.last); err == nil && got != m.locate(b.last) {
				t.Fatalf("byte %d: Locate(%d): got %d, want %d", at, b.last, got, m.locate(b.last))
			}
			got, ok, err := r.LocateTime(m.info, b.maxTs)
			if want, wantOK := m.locateTime(b.maxTs); err == nil && (got != want || ok != wantOK) {
				t.Fatalf("byte %d: LocateTime(%d): got %d %v, want %d %v", at, b.maxTs, got, ok, want, wantOK)
			}
			p := make([]byte, len(b.bytes))
			for range 2 { // damage is told each time
				if _, err := r.ReadAt(p, b.pos); err == nil && !bytes.Equal(p, b.bytes) {
					t.Fatalf("byte %d: ReadAt(%d) gave wrong data", at, b.pos)
				} else if err != nil && !isCorrupt(err) {
					t.Fatalf("byte %d: ReadAt(%d): got %v, want a CorruptError", at, b.pos, err)
				}
			}
		}
		if got, err := r.Aborted(m.info, 0, m.info.NextOffset); err == nil && len(got) != len(m.aborted) {
			t.Fatalf("byte %d: got %d aborted transactions, want %d", at, len(got), len(m.aborted))
		}
		hit := int64(at) >= m.info.Pos && int64(at) < m.info.Pos+m.info.Bytes
		for range 2 {
			if err := r.Verify(m.info, 0, m.info.Bytes); hit && !isCorrupt(err) {
				t.Fatalf("byte %d: Verify of its run: got %v, want a CorruptError", at, err)
			}
		}
	}
	if err := r.Scrub(t.Context()); !isCorrupt(err) {
		t.Fatalf("byte %d: Scrub: got %v, want a CorruptError", at, err)
	}
}

func TestScrubEndsWithItsContext(t *testing.T) {
	t.Parallel()
	object, _, _ := randomObject(t, rand.New(rand.NewPCG(21, 1)), shape{runs: 8, batches: 4, payload: 100, indexBytes: 512})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mustOpen(t, object).Scrub(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the cancellation", err)
	}
}

func TestNewerFormatIsNotCalledCorrupt(t *testing.T) {
	t.Parallel()
	object, _, _ := randomObject(t, rand.New(rand.NewPCG(21, 1)), shape{runs: 8, batches: 4, payload: 100, indexBytes: 512})
	tail := object[len(object)-trailerBytes:]
	tail[21]++
	binary.BigEndian.PutUint32(tail[trailerBytes-4:], crc32.Checksum(tail[:trailerBytes-4], castagnoli))
	if _, err := Open("o", &memObject{b: object}); !errors.Is(err, ErrVersion) {
		t.Fatalf("got %v, want ErrVersion", err)
	}
}

// The file in testdata is rewritten by go test -run Golden -rewrite. A difference there is a change of the format: it
// needs a new version and a reader for the old one.
var rewrite = flag.Bool("rewrite", false, "rewrite the golden file")

func TestGoldenFileKeepsTheFormat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out, Options{Shard: 3, Level: L2, Epoch: 7, CreatedAt: testTime, IndexBytes: 512})
	now := testTime.UnixMilli()
	must(t, w.BeginRun([16]byte{1, 2, 3}, 0))
	for i := range int64(8) {
		must(t, w.AppendBatch(batch(100+i*10, 7, 8, now+i, now+i*2, bytes.Repeat([]byte{byte(i)}, 180))))
	}
	must(t, w.Aborted(AbortedTxn{ProducerID: 1001, FirstOffset: 90, LastOffset: 170, LastStableOffset: 150}))
	must(t, w.BeginRun([16]byte{1, 2, 3}, 5))
	must(t, w.AppendBatch(batch(0, 0, 1, now-1, now-1, []byte("one"))))
	must(t, w.BeginRun([16]byte{9}, 1))
	must(t, w.AppendBatch(batch(1<<40, 9, 0, -1, -1, nil)))
	_, err := w.Finish()
	must(t, err)
	got := hex.Dump(out.Bytes())
	path := filepath.Join("testdata", "object.hex")
	if *rewrite {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("the format has changed\ngot\n%swant\n%s", got, want)
	}
	must(t, mustOpen(t, out.Bytes()).Scrub(t.Context()))
}
