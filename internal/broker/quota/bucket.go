package quota

import "time"

// bucket holds tokens that come back at a limit a second, up to what all windows together would bring. It may be
// overdrawn by one taking, and gives nothing more until it is at 0 again (KIP-599): so a burst is taken whole or not at
// all. The zero bucket is full.
type bucket struct {
	tokens float64
	at     time.Time // when tokens were counted
}

// fill adds what has come since.
func (b *bucket) fill(w windows, limit float64, now time.Time) {
	most := limit * w.span().Seconds()
	switch {
	case b.at.IsZero():
		b.tokens = most
	case now.After(b.at):
		b.tokens = min(most, b.tokens+limit*now.Sub(b.at).Seconds())
	default:
		b.tokens = min(most, b.tokens)
		return
	}
	b.at = now
}

// take takes n tokens. If strict, and the bucket is overdrawn already, nothing is taken and ok is false. after is the time
// until the bucket is at 0 again.
func (b *bucket) take(w windows, limit, n float64, strict bool, now time.Time) (after time.Duration, ok bool) {
	b.fill(w, limit, now)
	if strict && b.tokens < 0 {
		return wait(-b.tokens / limit), false
	}
	b.tokens -= n
	return wait(-b.tokens / limit), true
}
