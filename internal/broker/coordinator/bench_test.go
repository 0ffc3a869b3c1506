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
