package s3

import (
	"math/bits"
	"sync"
	"time"
)

const (
	latencyBuckets = 96
	latencyForget  = 2000 // samples after which the older weigh half
	latencyEnough  = 50   // samples before which nothing is known

	hedgeFloor   = 20 * time.Millisecond
	hedgeCeiling = 2 * time.Second
	hedgeBlind   = 500 * time.Millisecond
)

// latencies is a histogram of the times to the first byte of recent reads, in buckets of a quarter of a power of two of
// microseconds.
type latencies struct {
	mu    sync.Mutex
	count [latencyBuckets]int
	total int
}

// bucketOf numbers the bucket of d: two bits after the leading one.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 4))
	top := bits.Len64(us) - 1
	return min((top-2)*4+int(us>>(top-2)&3), latencyBuckets-1)
}

// upperBound is the end of bucket i.
func upperBound(i int) time.Duration {
	return time.Duration(5+i%4) << (i / 4) * time.Microsecond
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= latencyForget {
		l.total = 0
		for i := range l.count {
			l.count[i] /= 2
			l.total += l.count[i]
		}
	}
	l.count[bucketOf(d)]++
	l.total++
}

// hedgeAfter returns how long to wait for a first byte before asking again: the 95th percentile, from 20 ms to 2 s.
func (l *latencies) hedgeAfter() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total < latencyEnough {
		return hedgeBlind
	}
	above := l.total / 20
	for i := latencyBuckets - 1; i >= 0; i-- {
		if above -= l.count[i]; above < 0 {
			return min(max(upperBound(i), hedgeFloor), hedgeCeiling)
		}
	}
	return hedgeBlind
}
