package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A registry that nobody uses asks its cluster once for a topic that is not there. It goes on asking only while it gets no answer.
func TestRegistryLeavesAClusterWithoutItsTopicInPeace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewKafkaLog(LogOptions{Topic: "_schemas", Logger: slog.New(slog.DiscardHandler)})
		var asked, loaded atomic.Int64
		var reached, there atomic.Bool
		exists := func(context.Context) (bool, error) {
			asked.Add(1)
			if !reached.Load() {
				return false, errors.New("refused")
			}
			return there.Load(), nil
		}
		var running sync.WaitGroup
		found := false
		running.Go(func() { found = l.await(t.Context(), exists, func() { loaded.Add(1) }) })
		<-time.After(5*lookInterval + time.Millisecond)
		if asked.Load() != 6 || loaded.Load() != 0 {
			t.Errorf("a cluster that does not answer was asked %d times, want 6; loaded %d times", asked.Load(), loaded.Load())
		}
		reached.Store(true)
		<-time.After(24 * time.Hour)
		if asked.Load() != 7 || loaded.Load() != 1 {
			t.Errorf("a cluster without the topic was asked %d times, want 7; loaded %d times, want 1", asked.Load(), loaded.Load())
		}
		l.announce() // and the broker that is asked has not heard of it yet
		<-time.After(time.Millisecond)
		there.Store(true)
		running.Wait()
		if !found || asked.Load() != 9 {
			t.Errorf("a topic that was announced: found %v after %d questions, want 9", found, asked.Load())
		}
	})
}
