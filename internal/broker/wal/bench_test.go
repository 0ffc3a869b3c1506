package wal

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// BenchmarkAppend measures durable appends on the file system of the operating system: every batch waits for its sync.
// Nothing is trimmed but what lies 512 MiB back, so files are recycled once that much is written.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{256, 1 << 10, 16 << 10, 256 << 10} {
		for _, parallel := range []int{1, 16, 128, 1024} {
			if size*parallel > 64<<20 { // more than may wait
				continue
			}
			b.Run(fmt.Sprintf("batch=%d/producers=%d", size, parallel), func(b *testing.B) { benchmarkAppend(b, size, parallel) })
		}
	}
}

func benchmarkAppend(b *testing.B, size, producers int) {
	var l *Log
	o := Options{FS: vfs.OS(), Dir: b.TempDir(), Incarnation: 1, OnDurable: func(f *Frame) { l.Trim(f.Pos - 512<<20) }}
	l = New(o)
	ctx, cancel := context.WithCancel(b.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- l.Run(ctx, func() { close(ready) }) }()
	<-ready
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			s := NewStream(0, testTopic, int32(p))
			batch := make([]byte, size)
			var offset int64
			for left.Add(-1) >= 0 {
				if err := l.Admit(ctx, int64(size)); err != nil {
					b.Error(err)
					return
				}
				ticket, err := l.Append(s, batch, BatchInfo{BaseOffset: offset, RecordCount: 1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
				if err == nil {
					err = ticket.Wait(ctx)
				}
				if err != nil {
					b.Error(err)
					return
				}
				offset++
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFill appends without waiting for each batch, as pipelining producers do: it measures the bandwidth.
func BenchmarkFill(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			var l *Log
			o := Options{FS: vfs.OS(), Dir: b.TempDir(), Incarnation: 1, OnDurable: func(f *Frame) { l.Trim(f.Pos - 512<<20) }}
			l = New(o)
			ctx, cancel := context.WithCancel(b.Context())
			done, ready := make(chan error, 1), make(chan struct{})
			go func() { done <- l.Run(ctx, func() { close(ready) }) }()
			<-ready
			streams := make([]*Stream, 6)
			for i := range streams {
				streams[i] = NewStream(0, testTopic, int32(i))
			}
			batch := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var offset int64
			for b.Loop() {
				if err := l.Admit(ctx, int64(size)); err != nil {
					b.Fatal(err)
				}
				if _, err := l.Append(streams[offset%6], batch, BatchInfo{BaseOffset: offset, RecordCount: 1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}); err != nil {
					b.Fatal(err)
				}
				offset++
			}
			if err := l.Barrier().Wait(ctx); err != nil {
				b.Fatal(err)
			}
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkScan recovers a log of 256 MiB that was not closed in order, by the size of its frames. The files are in the page cache.
func BenchmarkScan(b *testing.B) {
	for _, size := range []int{3000, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("frame=%d", size), func(b *testing.B) {
			const total = 256 << 20
			dir := b.TempDir()
			l := startLog(b, Options{FS: vfs.OS(), Dir: dir, Incarnation: 1, GroupBytes: size})
			s := NewStream(0, testTopic, 0)
			batch := make([]byte, min(size, 16<<10))
			for i := int64(0); i*int64(len(batch)) < total; i++ {
				if err := l.Admit(b.Context(), int64(len(batch))); err != nil {
					b.Fatal(err)
				}
				if _, err := l.Append(s, batch, info(i)); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Barrier().Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(total)
			var res ScanResult
			for b.Loop() {
				var err error
				if res, err = scanAll(b, ScanOptions{FS: vfs.OS(), Dir: dir}, nil); err != nil || res.TornAt != 0 {
					b.Fatal(res, err)
				}
			}
			b.ReportMetric(float64(res.Frames), "frames")
			if err := l.stop(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkStart opens a log in an empty directory and ends it.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		l := startLog(b, Options{FS: vfs.OS(), Dir: b.TempDir(), Incarnation: 1})
		if err := l.stop(); err != nil {
			b.Fatal(err)
		}
	}
}
