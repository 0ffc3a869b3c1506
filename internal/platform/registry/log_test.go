package registry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A registry that nobody uses asks its cluster once for a topic that is not there. It goes on asking only while it gets no answer.
func TestRegistryLeavesAClusterWithoutItsTopicInPeace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewKafkaLog(LogOptions{Topic: "_schemas", Logger: slog.New(slog.DiscardHandler)})
		asked, loaded := 0, 0
		reached, there := false, false
		exists := func(context.Context) (bool, error) {
			asked++
			if !reached {
				return false, errors.New("refused")
			}
			return there, nil
		}
		var running sync.WaitGroup
		found := false
		running.Go(func() { found = l.await(t.Context(), exists, func() { loaded++ }) })
		<-time.After(5*lookInterval + time.Millisecond)
		if asked != 6 || loaded != 0 {
			t.Errorf("a cluster that does not answer was asked %d times, want 6; loaded %d times", asked, loaded)
		}
		reached = true
		<-time.After(24 * time.Hour)
		if asked != 7 || loaded != 1 {
			t.Errorf("a cluster without the topic was asked %d times, want 7; loaded %d times, want 1", asked, loaded)
		}
		l.announce() // and the broker that is asked has not heard of it yet
		<-time.After(time.Millisecond)
		there = true
		running.Wait()
		if !found || asked != 9 {
			t.Errorf("a topic that was announced: found %v after %d questions, want 9", found, asked)
		}
	})
}
