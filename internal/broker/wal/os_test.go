package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// testLog is a Log that runs, with what it made durable.
type testLog struct {
	*Log
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
	model  *model
}

// model is what must be found again: the batches of each partition, in order.
type model struct {
	mu       sync.Mutex
	appended map[int32][]modelBatch
}

type modelBatch struct {
	offset int64
	data   []byte
	ticket Ticket
}

var (
	testCluster = [16]byte{0xc1}
	testTopic   = [16]byte{0x70}
)

func testNonce(incarnation uint64) [16]byte {
	return [16]byte{1: byte(incarnation), 2: byte(incarnation >> 8), 3: 9}
}

func startLog(t testing.TB, o Options) *testLog {
	t.Helper()
	o.ClusterID, o.Nonce = testCluster, testNonce(o.Incarnation)
	l := &testLog{Log: New(o), t: t, done: make(chan error, 1), model: &model{appended: map[int32][]modelBatch{}}}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	ready := make(chan struct{})
	go func() { l.done <- l.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-l.done:
		l.done <- err
	}
	return l
}

// stop ends the log in order.
func (l *testLog) stop() error {
	l.cancel()
	err := <-l.done
	l.done <- err
	return err
}

// randomBatch makes bytes that name their place.
func randomBatch(rng *rand.Rand, partition int32, offset int64, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		copy(b[i:], word[:])
	}
	copy(b, fmt.Sprintf("%d/%d|", partition, offset))
	return b
}

// put appends a batch of n bytes to a partition and remembers it.
func (l *testLog) put(rng *rand.Rand, s *Stream, offset int64, n int) (Ticket, error) {
	b := randomBatch(rng, s.Partition, offset, n)
	ticket, err := l.Append(s, b, BatchInfo{
		BaseOffset: offset, LastOffsetDelta: 1, RecordCount: 2, MinTimestamp: offset, MaxTimestamp: offset + 5,
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
	})
	if err == nil {
		l.model.mu.Lock()
		l.model.appended[s.Partition] = append(l.model.appended[s.Partition], modelBatch{offset, b, ticket})
		l.model.mu.Unlock()
	}
	return ticket, err
}

func scanAll(t testing.TB, o ScanOptions, visit func(*Frame) error) (ScanResult, error) {
	t.Helper()
	o.ClusterID = testCluster
	if visit == nil {
		visit = func(*Frame) error { return nil }
	}
	return Scan(t.Context(), o, visit)
}

// found is what a scan gives of a partition.
type found struct {
	offset int64
	data   []byte
}

// recoverAll scans dir and reads all batches by it.
func recoverAll(t testing.TB, o ScanOptions) (map[int32][]found, ScanResult, error) {
	t.Helper()
	out := map[int32][]found{}
	res, err := scanAll(t, o, func(f *Frame) error {
		for i := range f.Runs {
			r := &f.Runs[i]
			body := readRange(t, o.FS, o.Dir, r.Pos, r.Bytes)
			if checksum(body) != r.CRC {
				return fmt.Errorf("frame %d: run at %v does not have its checksum", f.Seq, r.Pos)
			}
			for _, b := range r.Batches {
				out[r.Partition] = append(out[r.Partition], found{b.BaseOffset, slices.Clone(body[:b.Bytes])})
				body = body[b.Bytes:]
			}
		}
		return nil
	})
	return out, res, err
}

// readRange reads bytes at a position by looking for the file that holds it.
func readRange(t testing.TB, fsys vfs.FS, dir string, p Position, n int64) []byte {
	t.Helper()
	bases, err := listFiles(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range slices.Backward(bases) {
		if base > p {
			continue
		}
		f, err := openChainFile(fsys, dir, base, testCluster)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		if err := errors.Join(f.read(b, int64(p-base)), f.f.Close()); err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatalf("no file holds %v", p)
	return nil
}

// check compares what was recovered with what was appended: all acknowledged batches, and nothing that is not a prefix.
func (m *model) check(t testing.TB, got map[int32][]found) {
	t.Helper()
	for partition, want := range m.appended {
		have := got[partition]
		if len(have) > len(want) {
			t.Fatalf("partition %d: %d batches recovered, %d appended", partition, len(have), len(want))
		}
		for i, w := range want {
			acked := isDone(w.ticket) && w.ticket.Err() == nil
			if i >= len(have) {
				if acked {
					t.Fatalf("partition %d: acknowledged batch at offset %d is lost", partition, w.offset)
				}
				continue
			}
			if have[i].offset != w.offset || string(have[i].data) != string(w.data) {
				t.Fatalf("partition %d: batch %d is not what was appended", partition, i)
			}
		}
	}
}

func isDone(t Ticket) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

func TestLogOnTheOperatingSystemSurvivesRestarts(t *testing.T) {
	t.Parallel()
	fsys, dir := vfs.OS(), t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	all := &model{appended: map[int32][]modelBatch{}}
	streams := map[int32]*Stream{}
	offsets := map[int32]int64{}
	var res ScanResult
	sealed := map[uint64]uint64{}
	for life := range uint64(4) {
		l := startLog(t, Options{FS: fsys, Dir: dir, Incarnation: life + 1, Start: res.NextStart, Recovered: res.End, FileBytes: 1 << 20, GroupBytes: 64 << 10})
		l.model = all
		for p := range int32(5) {
			streams[p] = NewStream(p%2, testTopic, p)
		}
		var last Ticket
		for range 100 {
			p := rng.Int32N(5)
			n := 1 + rng.IntN(20000)
			if err := l.Admit(t.Context(), int64(n)); err != nil {
				t.Fatal(err)
			}
			ticket, err := l.put(rng, streams[p], offsets[p], n)
			if err != nil {
				t.Fatal(err)
			}
			offsets[p] += 2
			last = ticket
		}
		if err := last.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		got, r, err := recoverAll(t, ScanOptions{FS: fsys, Dir: dir, Sealed: sealed})
		if err != nil {
			t.Fatal(err)
		}
		all.check(t, got)
		res = r
		if res.Incarnation != life+1 || res.TornAt != 0 {
			t.Fatalf("life %d: %+v", life, res)
		}
		sealed[life+1] = res.NextSeq
	}
	t.Logf("%+v", res)
}
