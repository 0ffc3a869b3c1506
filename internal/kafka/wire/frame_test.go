package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func frameBytes(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func randomBody(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, 3<<20 + 1, 70_000, 9 << 20, 12, 9 << 20}
	var stream []byte
	var want [][]byte
	for _, n := range sizes {
		want = append(want, randomBody(rng, n))
		stream = append(stream, frameBytes(want[len(want)-1])...)
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream))} {
		budget := NewBudget(32 << 20)
		in := NewFrameReader(r, FrameReaderOptions{Budget: budget})
		for i, w := range want {
			f, err := in.Next(t.Context())
			if err != nil {
				t.Fatalf("%s: frame %d: %v", name, i, err)
			}
			if !bytes.Equal(f.Bytes, w) {
				t.Fatalf("%s: frame %d of %d bytes differs", name, i, len(w))
			}
			if got := budget.Used(); got != int64(len(w)) {
				t.Errorf("%s: frame of %d bytes holds %d of the budget", name, len(w), got)
			}
			f.Release()
			f.Release()
		}
		if _, err := in.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end got %v, want io.EOF", name, err)
		}
		if budget.Used() != 0 {
			t.Errorf("%s: %d bytes of budget left", name, budget.Used())
		}
	}
}

func TestBadSizesAreRefused(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{0xffffffff, 0x80000000, 1001} {
		in := NewFrameReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, size)), FrameReaderOptions{MaxBytes: 1000})
		if _, err := in.Next(t.Context()); !errors.Is(err, ErrFrameSize) {
			t.Errorf("size %d: got %v", int32(size), err)
		}
	}
	whole := frameBytes(make([]byte, 100_000))
	for _, cut := range []int{1, 3, 4, 50, 99_000} {
		budget := NewBudget(1 << 20)
		_, err := NewFrameReader(bytes.NewReader(whole[:cut]), FrameReaderOptions{Budget: budget}).Next(t.Context())
		if !errors.Is(err, io.ErrUnexpectedEOF) || budget.Used() != 0 {
			t.Errorf("cut at %d: got %v, %d of the budget held", cut, err, budget.Used())
		}
	}
}

func TestPeersThatAnnounceMuchAndSendNothingCostLittle(t *testing.T) {
	const peers = 200
	budget := NewBudget(100 << 20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range peers {
		in := NewFrameReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, 100<<20)), FrameReaderOptions{Budget: budget})
		if _, err := in.Next(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / peers; per > 16<<10 {
		t.Errorf("each takes %d bytes", per)
	}
}

func TestBudgetHoldsFramesBackInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(1 << 20)
		next := func(n int, done chan<- *Frame) {
			f, err := NewFrameReader(bytes.NewReader(frameBytes(make([]byte, n))), FrameReaderOptions{Budget: budget}).Next(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- f
		}
		first, huge, small := make(chan *Frame, 1), make(chan *Frame, 1), make(chan *Frame, 1)
		next(100<<10, first)
		go next(5<<20, huge) // Over the whole budget: it runs alone.
		synctest.Wait()
		go next(10, small)
		synctest.Wait()
		if len(huge) != 0 || len(small) != 0 {
			t.Fatal("frames passed a budget that is taken, or one that waits")
		}
		(<-first).Release()
		f := <-huge
		synctest.Wait()
		if len(small) != 0 {
			t.Fatal("a frame runs beside one that takes the whole budget")
		}
		f.Release()
		(<-small).Release()
		if budget.Used() != 0 || budget.Limit() != 1<<20 {
			t.Errorf("%d of %d left in use", budget.Used(), budget.Limit())
		}
	})
}

func TestWaitingForBudgetEndsWithTheContext(t *testing.T) {
	t.Parallel()
	budget := NewBudget(100)
	if !budget.TryAcquire(100) || budget.TryAcquire(1) {
		t.Fatal("TryAcquire does not count")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewFrameReader(bytes.NewReader(frameBytes([]byte("x"))), FrameReaderOptions{Budget: budget}).Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if budget.Used() != 100 {
		t.Errorf("%d used", budget.Used())
	}
}

func TestBodyThatStallsMeetsItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer server.Close()
		defer client.Close()
		in := NewFrameReader(server, FrameReaderOptions{BodyTimeout: 10 * time.Second})
		go func() { _, _ = client.Write([]byte{0, 0, 0, 9, 'x'}) }()
		start := time.Now()
		if _, err := in.Next(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %s", took)
		}
		go func() { _, _ = client.Write([]byte{0, 0, 0, 1, 'y'}) }()
		// Between frames a peer may be silent for as long as it likes.
		f, err := in.Next(t.Context())
		if err != nil || string(f.Bytes) != "y" {
			t.Errorf("next frame: %v", err)
		}
	})
}

func FuzzFrameReader(f *testing.F) {
	f.Add(append(frameBytes([]byte("hello")), frameBytes(nil)...), uint8(3))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint8(1))
	f.Add([]byte{0, 1, 0, 0, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		budget := NewBudget(1 << 10)
		in := NewFrameReader(&chunkReader{stream, int(chunk) + 1}, FrameReaderOptions{MaxBytes: 1 << 20, Budget: budget})
		rest := stream
		for {
			frame, err := in.Next(t.Context())
			if err != nil {
				break
			}
			if want := frameBytes(frame.Bytes); !bytes.HasPrefix(rest, want) {
				t.Fatalf("got a frame of %d bytes that is not in the stream", len(frame.Bytes))
			} else {
				rest = rest[len(want):]
			}
			frame.Release()
		}
		if budget.Used() != 0 {
			t.Fatalf("%d bytes of budget left", budget.Used())
		}
	})
}

type chunkReader struct {
	rest  []byte
	chunk int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.chunk)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func BenchmarkFrameReader(b *testing.B) {
	for name, size := range map[string]int{"size=1KiB": 1 << 10, "size=64KiB": 64 << 10, "size=1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			frame := frameBytes(make([]byte, size))
			src := bytes.NewReader(frame)
			in := NewFrameReader(src, FrameReaderOptions{Budget: NewBudget(64 << 20)})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				src.Reset(frame)
				f, err := in.Next(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				f.Release()
			}
		})
	}
}
