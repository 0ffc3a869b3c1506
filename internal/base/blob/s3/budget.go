package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstPause = 50 * time.Millisecond
	longPause  = 5 * time.Second

	retryBurst     = 50.0 // tries that may follow at once
	retryPerSecond = 10.0 // and then
	retryPerGood   = 0.1  // and for each request that went well

	hedgeBurst      = 10.0
	hedgePerRequest = 0.05
)

// budget is a bucket of tokens that fills with time and with successes.
type budget struct {
	burst     float64
	perSecond float64

	mu     sync.Mutex
	tokens float64 // below zero: promised to those who wait
	filled time.Time
}

func newBudget(burst, perSecond float64) *budget {
	return &budget{burst: burst, perSecond: perSecond, tokens: burst, filled: time.Now()}
}

func (b *budget) fill(now time.Time) {
	b.tokens = min(b.burst, b.tokens+b.perSecond*now.Sub(b.filled).Seconds())
	b.filled = now
}

// earn adds tokens.
func (b *budget) earn(n float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.burst, b.tokens+n)
}

// try takes a token if there is one.
func (b *budget) try() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(time.Now())
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// reserve takes a token that will be there after the returned time, unless that is longer than limit.
func (b *budget) reserve(limit time.Duration) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(time.Now())
	wait := time.Duration(0)
	if b.tokens < 1 {
		wait = time.Duration((1 - b.tokens) / b.perSecond * float64(time.Second))
	}
	if wait > limit {
		return 0, false
	}
	b.tokens--
	return wait, true
}

// pause returns how long to wait before the n-th try after the first: between half of and the whole of a time that doubles.
func pause(n int) time.Duration {
	d := longPause
	if n < 8 {
		d = min(longPause, firstPause<<(n-1))
	}
	//nolint:gosec // Spreads requests; nobody gains from a guess.
	return d/2 + rand.N(d/2+1)
}

// retry calls try until it succeeds, fails for good, or RetryFor is over. What try returns last is returned, with the cause of ctx's end if that is why there was no
// other try: what went wrong with the last one would have passed.
func (s *Store) retry(ctx context.Context, op string, try func() error) error {
	begin := time.Now()
	for n := 1; ; n++ {
		err := try()
		if err == nil {
			s.retries.earn(retryPerGood)
			return nil
		}
		if !passing(err) {
			return err
		}
		if ctx.Err() != nil {
			return givenUp(ctx, err)
		}
		d := max(pause(n), told(err))
		left := s.o.RetryFor - time.Since(begin) - d
		wait, ok := s.retries.reserve(left) // never with a negative limit
		if !ok {
			return err
		}
		s.metrics.retries.WithLabelValues(op).Inc()
		timer := time.NewTimer(d + wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return givenUp(ctx, err)
		}
	}
}

// givenUp is the error of an operation whose caller wants it no more.
func givenUp(ctx context.Context, last error) error {
	cause := context.Cause(ctx)
	if errors.Is(last, cause) {
		return last
	}
	return fmt.Errorf("%w: %w", cause, last)
}

// told is how long the service asks to be left alone, within bounds.
func told(err error) time.Duration {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0
	}
	return min(e.after, longPause)
}
