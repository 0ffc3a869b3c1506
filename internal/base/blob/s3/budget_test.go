package s3

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestBudgetFillsWithTimeAndSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(3, 10)
		for range 3 {
			if wait, ok := b.reserve(0); !ok || wait != 0 {
				t.Fatalf("got %v, %t, want a token", wait, ok)
			}
		}
		if b.try() {
			t.Error("a fourth token of three")
		}
		if _, ok := b.reserve(50 * time.Millisecond); ok {
			t.Error("a token that is not there in time")
		}
		for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
			if wait, ok := b.reserve(time.Second); !ok || wait.Round(time.Millisecond) != want {
				t.Errorf("waiter %d: got %v, %t, want %v", i, wait, ok, want)
			}
		}
		<-time.After(time.Minute)
		for range 3 {
			if !b.try() {
				t.Error("not full after a minute")
			}
		}
		b.earn(1)
		if !b.try() || b.try() {
			t.Error("a success is not worth one token")
		}
	})
}

func TestPausesDoubleUpToABound(t *testing.T) {
	t.Parallel()
	for n := 1; n < 100; n++ {
		want := longPause
		if n < 8 {
			want = min(longPause, firstPause*time.Duration(int64(1)<<(n-1)))
		}
		for range 20 {
			if d := pause(n); d < want/2 || d > want {
				t.Fatalf("pause %d is %v, want %v to %v", n, d, want/2, want)
			}
		}
	}
}

func TestHedgeComesAtThe95thPercentile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l latencies
		if got := l.hedgeAfter(); got != hedgeBlind {
			t.Fatalf("before anything is known: %v, want %v", got, hedgeBlind)
		}
		samples := rapid.SliceOfN(rapid.Int64Range(0, int64(10*time.Second)), latencyEnough, latencyForget).Draw(t, "samples")
		for _, s := range samples {
			l.add(time.Duration(s))
		}
		slices.Sort(samples)
		exact := time.Duration(samples[len(samples)-len(samples)/20-1])
		low, high := min(max(exact, hedgeFloor), hedgeCeiling), min(max(exact*5/4+time.Microsecond, hedgeFloor), hedgeCeiling)
		if got := l.hedgeAfter(); got < low || got > high {
			t.Fatalf("got %v, want %v to %v", got, low, high)
		}
	})
}

func TestOldLatenciesAreForgotten(t *testing.T) {
	t.Parallel()
	var l latencies
	for range 10 * latencyForget {
		l.add(time.Second)
	}
	for range 6 * latencyForget {
		l.add(time.Millisecond)
	}
	if got := l.hedgeAfter(); got != hedgeFloor {
		t.Errorf("got %v, want %v", got, hedgeFloor)
	}
}
