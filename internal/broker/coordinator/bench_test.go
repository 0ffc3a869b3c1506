package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

// nullLog is a disk that needs no time and keeps nothing.
type nullLog struct{ batches atomic.Int64 }

func (l *nullLog) Append(context.Context, []byte) (func(context.Context) error, error) {
	l.batches.Add(1)
	return func(context.Context) error { return nil }, nil
}

func (l *nullLog) Replay(context.Context, func([]byte) error) error { return nil }

type nullTopics struct{ log *nullLog }

func (n nullTopics) Lookup() (int32, bool)                 { return 1, true }
func (n nullTopics) Ensure(context.Context) (int32, error) { return 1, nil }
func (nullTopics) Owned(int32) (int32, bool)               { return 1, true }

func (nullTopics) Changed() <-chan struct{} { return nil }

func (n nullTopics) Open(int32) (Log, error) { return n.log, nil }

// One shard, many consumers that commit at once.
func BenchmarkCommit(b *testing.B) {
	for _, offsets := range []int{1, 10} {
		b.Run(fmt.Sprintf("offsets=%d", offsets), func(b *testing.B) {
			log := &nullLog{}
			g := NewGroups(GroupsOptions{Options: Options{Topics: nullTopics{log}, Logger: slog.New(slog.DiscardHandler)}})
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- g.Run(ctx, func() {}) }()
			for !errors.Is(g.Heartbeat(ctx, group.Heartbeat{Group: "g"}), kafka.UnknownMemberID) {
				runtime.Gosched()
			}
			var n atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				e := group.Commit{Group: fmt.Sprintf("g%d", n.Add(1)), Generation: -1, Retention: -1}
				for i := range int32(offsets) {
					e.Offsets = append(e.Offsets, group.CommitOffset{Topic: "topic", Partition: i, Offset: 1})
				}
				for pb.Next() {
					if _, err := g.Commit(ctx, e); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(log.batches.Load())/float64(b.N), "batches/op")
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkReplay loads a partition with ten thousand groups and a hundred thousand offsets, as a broker does that has just come
// to own it.
func BenchmarkReplay(b *testing.B) {
	w := newWorld(1)
	w.move(0, 1, 0)
	loaded := make(chan int32, 1)
	serve := func() (*Groups, func()) {
		g := NewGroups(GroupsOptions{Options: Options{Topics: inWorld{w, 1}, Logger: slog.New(slog.DiscardHandler), Loaded: func(p int32) { loaded <- p }}})
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, func() {}) }()
		<-loaded
		return g, func() {
			cancel()
			<-done
		}
	}
	g, stop := serve()
	for i := range 10_000 {
		e := group.Commit{Group: fmt.Sprintf("group-%d", i), Generation: -1, Retention: -1}
		for p := range int32(10) {
			e.Offsets = append(e.Offsets, group.CommitOffset{Topic: "orders", Partition: p, Offset: 1 << 40})
		}
		if _, err := g.Commit(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	var bytes int64
	for _, batch := range w.logs[0].durable {
		bytes += int64(len(batch))
	}
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		w.logs[0].handle = nil
		_, stop := serve()
		stop()
	}
}
