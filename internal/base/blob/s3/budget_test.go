package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// A caller who gave up is to find that in the error: what the last try met would have passed, and says nothing of the object.
func TestOperationThatWasGivenUpSaysSo(t *testing.T) {
	t.Parallel()
	s := newFake(t).open(t)
	for name, late := range map[string]bool{"during a try": false, "during a pause": true} {
		ctx, cancel := context.WithCancel(t.Context())
		last := &Error{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
		err := s.retry(ctx, opGet, func() error {
			if late {
				time.AfterFunc(time.Millisecond, cancel) // before the first pause is over, or at the latest in one after it
			} else {
				cancel()
			}
			return last
		})
		cancel()
		if !errors.Is(err, context.Canceled) || !errors.Is(err, last) {
			t.Errorf("%s: got %v, want the cancellation, and the last answer", name, err)
		}
	}
}

func TestServiceThatAsksForAPauseGetsIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"": 0, "1": time.Second, "600": longPause, "-1": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "99999999999": 0} {
		err := fmt.Errorf("put: %w", refusal(http.StatusTooManyRequests, http.Header{"Retry-After": {text}}, nil))
		if got := told(err); got != want || !passing(err) {
			t.Errorf("Retry-After %q: waits for %v, want %v, passing %t", text, got, want, passing(err))
		}
	}
	f := newFake(t)
	f.intercept = func(w http.ResponseWriter, _ *http.Request, _ string, n int, _ http.HandlerFunc) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "SlowDown")
		return true
	}
	began := time.Now()
	if err := f.open(t).PutIfAbsent(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("asked again after %v", took)
	}
}

// For a while a name may lead elsewhere: that is waited out, and nothing is sent there.
func TestTemporaryRedirectIsWaitedOut(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.intercept = func(w http.ResponseWriter, r *http.Request, _ string, n int, _ http.HandlerFunc) bool {
		if n > 2 {
			return false
		}
		w.Header().Set("Location", "http://127.0.0.1:1"+r.URL.RequestURI())
		refuse(w, http.StatusTemporaryRedirect, "TemporaryRedirect")
		return true
	}
	s := f.open(t)
	if err := s.PutIfAbsent(t.Context(), "k", []byte("body")); err != nil {
		t.Error(err)
	}
	r, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != 4 {
		t.Errorf("size %d", r.Size())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
